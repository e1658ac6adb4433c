//! Small programs with global functions, each about one rule: `functions.txt`.
//!
//! A line `fn NAME: P, P… -> R` declares a global function's prototype. `num` is an int, `memN` a pointer to a
//! structure of N bytes, `word` one to an integer of 8 bytes, `void` and `fwd` ones to nothing known,
//! `struct:NAME` one to a structure of that name; `+TAG` adds the declaration tag `arg:TAG`.
//! `exception NAME` names the exception callback; `call 7777` throws.
//! `call bpf_iter_num_…` and `call bpf_iter_task_…` call kernel functions.
//!
//! `worst.txt`: programs of the same form, with the most instructions that one run executes.

mod harness;

use std::sync::Arc;

use probity_btf::{BtfBuilder, FuncLinkage, IntEncoding, MemberDef, TypeId};
use probity_objfile::Object;
use probity_platform::{NEWEST, Platform, Version};

const MAPS: &str = "\
.license \"GPL\"
.map counts kind=array key=4 value=8 max_entries=4
.map hashed kind=hash key=4 value=8 max_entries=4
.map ring kind=ringbuf max_entries=4096
.rodata fixed
.quad 7
.data varying
.quad 7
";

fn pointee(types: &mut BtfBuilder, word: &str) -> TypeId {
    if let Some(size) = word.strip_prefix("mem") {
        let size = size.parse().expect("a size");
        return types.struct_(word, size, &[]);
    }
    if let Some(name) = word.strip_prefix("struct:") {
        return types.struct_(name, 0, &[]);
    }
    match word {
        "word" => types.int("long", 8, IntEncoding::SIGNED),
        "void" => TypeId::VOID,
        "fwd" => types.fwd("somewhere", false),
        _ => panic!("`{word}` is no type"),
    }
}

fn ty(types: &mut BtfBuilder, word: &str) -> TypeId {
    match word {
        "num" => types.int("int", 4, IntEncoding::SIGNED),
        "nothing" => TypeId::VOID,
        "float" => types.float("double", 8),
        _ => {
            let to = pointee(types, word);
            types.ptr(to)
        }
    }
}

/// Gives the subprograms of the first program their prototypes.
fn declare(object: &mut Object, prototypes: &[String]) {
    let mut types = match &object.btf {
        Some(btf) => BtfBuilder::from_btf(btf),
        None => BtfBuilder::new(),
    };
    for text in prototypes {
        let (name, rest) = text.split_once(':').expect("a name and parameters");
        let (params, ret) = rest.split_once("->").unwrap_or((rest, "num"));
        let ret = ty(&mut types, ret.trim());
        let words: Vec<&str> = params
            .split(',')
            .map(str::trim)
            .filter(|w| !w.is_empty())
            .collect();
        let mut list = Vec::new();
        for word in &words {
            let word = word.split('+').next().unwrap_or_default();
            list.push(("p", ty(&mut types, word)));
        }
        let proto = types.func_proto(ret, &list);
        let func = types.func(name, proto, FuncLinkage::Global);
        for (i, word) in words.iter().enumerate() {
            for tag in word.split('+').skip(1) {
                types.decl_tag(&format!("arg:{tag}"), func, Some(i as u32));
            }
        }
        let subprogs = object.programs.iter_mut().flat_map(|p| &mut p.subprogs);
        for s in subprogs.filter(|s| s.name == name) {
            s.func = Some(func);
            s.global = true;
        }
    }
    object.btf = Some(Arc::new(types.build().expect("types")));
}

/// Kernel functions, with the number that stands for each in a call.
const KERNEL: [(&str, i32); 12] = [
    ("bpf_throw", 7777),
    ("bpf_iter_num_new", 7778),
    ("bpf_iter_num_next", 7779),
    ("bpf_iter_num_destroy", 7780),
    ("bpf_iter_task_new", 7781),
    ("bpf_iter_task_next", 7782),
    ("bpf_iter_task_destroy", 7783),
    ("bpf_rcu_read_lock", 7784),
    ("bpf_rcu_read_unlock", 7785),
    ("bpf_task_acquire", 7786),
    ("bpf_task_release", 7787),
    ("bpf_send_signal_task", 7788),
];

#[test]
fn global_functions() {
    judge(include_str!("functions.txt"));
}

#[test]
fn worst_cases() {
    judge(include_str!("worst.txt"));
}

fn judge(cases: &str) {
    let mut kernel = BtfBuilder::new();
    let number = kernel.int("unsigned long", 8, IntEncoding::default());
    let int = kernel.int("int", 4, IntEncoding::SIGNED);
    let proto = kernel.func_proto(TypeId::VOID, &[("cookie", number)]);
    let mut ids = vec![kernel.func("bpf_throw", proto, FuncLinkage::Static)];
    let word = kernel.ptr(int);
    // RCU protects a task's leader; of its last wakee nothing is said.
    let task = kernel.ptr(TypeId::VOID);
    let [leader, wakee] =
        [("group_leader", 8), ("last_wakee", 16)].map(|(name, at)| MemberDef::at(name, task, at));
    let structure = kernel.struct_("task_struct", 64, &[leader, wakee]);
    kernel.set_target(task, structure);
    kernel.struct_(
        "task_struct__safe_rcu",
        8,
        &[MemberDef::at("group_leader", task, 0)],
    );
    for (name, gives, bounds) in [("num", word, [int, int]), ("task", task, [task, int])] {
        let state = MemberDef::at("opaque", number, 0);
        let it = kernel.struct_(&format!("bpf_iter_{name}"), 8, &[state]);
        let it = kernel.ptr(it);
        let new = kernel.func_proto(
            int,
            &[("it", it), ("a__nullable", bounds[0]), ("b", bounds[1])],
        );
        let next = kernel.func_proto(gives, &[("it", it)]);
        let destroy = kernel.func_proto(TypeId::VOID, &[("it", it)]);
        for (verb, proto) in [("new", new), ("next", next), ("destroy", destroy)] {
            let name = format!("bpf_iter_{name}_{verb}");
            ids.push(kernel.func(&name, proto, FuncLinkage::Static));
        }
    }
    let none = kernel.func_proto(TypeId::VOID, &[]);
    for name in ["bpf_rcu_read_lock", "bpf_rcu_read_unlock"] {
        ids.push(kernel.func(name, none, FuncLinkage::Static));
    }
    let release = kernel.func_proto(TypeId::VOID, &[("p", task)]);
    let acquire = kernel.func_proto(task, &[("p", task)]);
    let names = ["task", "sig", "type", "value"].into_iter();
    let signal: Vec<_> = names.zip([task, int, int, number]).collect();
    let signal = kernel.func_proto(int, &signal);
    for (name, proto) in [
        ("bpf_task_acquire", acquire),
        ("bpf_task_release", release),
        ("bpf_send_signal_task", signal),
    ] {
        ids.push(kernel.func(name, proto, FuncLinkage::Static));
    }
    let types = Arc::new(kernel.build().expect("types"));
    let platform = Arc::new(Platform::linux(NEWEST, Some(types.clone())));
    let counting = Arc::new(Platform::linux(Version(6, 12), Some(types)));
    harness::judge(
        &harness::cases(cases),
        |case| match case.words.iter().any(|w| w == "6.12") {
            true => counting.clone(),
            false => platform.clone(),
        },
        |case, platform| {
            let told = |word: &str| -> Vec<String> {
                let lines = case.code.lines();
                lines
                    .filter_map(|l| l.strip_prefix(word).map(str::to_string))
                    .collect()
            };
            let (prototypes, callback) = (told("fn "), told("exception "));
            // These lines are no code.
            let text = case.text(MAPS, |line| match line {
                l if l.starts_with("fn ") || l.starts_with("exception ") => String::new(),
                line => match KERNEL
                    .iter()
                    .find(|k| line.strip_prefix("call ") == Some(k.0))
                {
                    Some((_, number)) => format!("call {number}"),
                    None => line.to_string(),
                },
            });
            let mut object = harness::assemble(platform, &text)?;
            declare(&mut object, &prototypes);
            let program = object.programs.first_mut().expect("a program");
            for insn in &mut program.insns {
                let called = KERNEL.iter().zip(&ids).find(|(k, _)| k.1 == insn.imm);
                if let (0x85, Some((_, id))) = (insn.opcode, called) {
                    // `BPF_PSEUDO_KFUNC_CALL`.
                    insn.src = 2;
                    insn.imm = id.0 as i32;
                }
            }
            program.exception_cb = callback
                .first()
                .and_then(|name| program.subprogs.iter().position(|s| s.name == *name));
            Ok(object)
        },
    );
}
