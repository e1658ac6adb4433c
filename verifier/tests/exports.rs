//! Small programs that call what other extensions export, each about one rule: `exports.txt`.
//!
//! An export is a row with a prototype of numbers and pointers to numbers, and the flag that says what a call executes at most.

mod harness;

use std::sync::Arc;

use probity_btf::{Btf, BtfBuilder, FuncLinkage, IntEncoding, MemberDef, TypeId};
use probity_platform::linux::OLDEST;
use probity_platform::{Kfunc, KfuncFlag, NEWEST, Platform};

const MAPS: &str = "\
.license \"GPL\"
.map counts kind=array key=4 value=8 max_entries=4
.rodata fixed
.quad 7
.data varying
.quad 7
";

/// `tc`, `raw_tracepoint`, `syscall`.
const KINDS: &[u32] = &[3, 17, 31];

const EXPORTS: &[(&str, u64)] = &[("twice", 1000), ("fill", 50), ("forever", 1 << 40)];

fn types() -> Btf {
    let mut b = BtfBuilder::new();
    let int = b.int("int", 4, IntEncoding::SIGNED);
    let u32_ = b.int("unsigned int", 4, IntEncoding::UNSIGNED);
    let u64_ = b.int("unsigned long", 8, IntEncoding::UNSIGNED);
    let pu64 = b.ptr(u64_);
    let void = TypeId(0);
    let task = b.struct_("task_struct", 8, &[MemberDef::at("flags", u64_, 0)]);
    let ptask = b.ptr(task);
    let mut func = |name: &str, ret, params: &[(&str, TypeId)]| {
        let proto = b.func_proto(ret, params);
        b.func(name, proto, FuncLinkage::Static);
    };
    func("bpf_rcu_read_lock", void, &[]);
    func("bpf_rcu_read_unlock", void, &[]);
    func("bpf_preempt_disable", void, &[]);
    func("bpf_preempt_enable", void, &[]);
    func("bpf_local_irq_save", void, &[("flags__irq_flag", pu64)]);
    func("bpf_local_irq_restore", void, &[("flags__irq_flag", pu64)]);
    func("bpf_task_from_pid", ptask, &[("pid", int)]);
    func("bpf_task_release", void, &[("p", ptask)]);
    func("twice", u64_, &[("a1", u64_)]);
    func("fill", int, &[("a1", pu64), ("a2", u32_)]);
    func("forever", void, &[]);
    b.build().expect("types")
}

fn platform(types: &Arc<Btf>) -> Platform {
    let linux = Platform::linux(NEWEST, Some(types.clone()));
    let export = |(name, executes): &(&'static str, u64)| Kfunc {
        name,
        flags: Box::leak(Box::new([
            KfuncFlag::AnyLicense,
            KfuncFlag::Executes(*executes),
        ])),
        kinds: KINDS,
        later: &[],
        attached: None,
        since: OLDEST,
        special: None,
        under_lock: false,
        origin: "extension",
    };
    let mut kfuncs = linux.kfuncs.to_vec();
    kfuncs.extend(EXPORTS.iter().map(export));
    kfuncs.sort_by_key(|k| k.name);
    Platform {
        kfuncs: kfuncs.into(),
        // As in hosts.
        uninit_stack: false,
        ..linux
    }
}

#[test]
fn every_rule() {
    let types = Arc::new(types());
    let platform = Arc::new(platform(&types));
    let line = |line: &str| {
        let func = line.strip_prefix("call ").and_then(|n| types.find_func(n));
        match func {
            Some(id) => format!("call kfunc[{}, 0]", id.0),
            None => line.to_string(),
        }
    };
    harness::judge(
        &harness::cases(include_str!("exports.txt")),
        |_| platform.clone(),
        |case, platform| harness::assemble(platform, &case.text(MAPS, line)),
    );
}
