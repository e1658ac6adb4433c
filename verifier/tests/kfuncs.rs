//! Small programs that call kernel functions, each about one rule: `kfuncs.txt`.
//!
//! The kernel's types are made up here, small enough to be read; flags are those of the platform's rows.
//! `call NAME` calls a kernel function of [`kernel`], or else a helper; `type:NAME` is the id of a structure.

mod harness;

use std::sync::Arc;

use probity_btf::{Btf, BtfBuilder, FuncLinkage, IntEncoding, MemberDef, TypeId};
use probity_objfile::{ProgType, assemble};
use probity_platform::{Platform, Policy, Version};
use probity_verifier::{Options, Prepared, Verdict, verify};

const MAPS: &str = "\
.license \"GPL\"
.map counts kind=array key=4 value=8 max_entries=4
.rodata fixed
.quad 7
.data varying
.quad 7
";

/// A kernel in small: some structures, functions that programs may call, and places where they attach.
fn kernel() -> Btf {
    let mut b = BtfBuilder::new();
    let int = b.int("int", 4, IntEncoding::SIGNED);
    let u32_ = b.int("unsigned int", 4, IntEncoding::UNSIGNED);
    let u64_ = b.int("unsigned long", 8, IntEncoding::UNSIGNED);
    let char_ = b.int("char", 1, IntEncoding::SIGNED);
    let void = TypeId(0);
    let pvoid = b.ptr(void);
    let pchar = b.ptr(char_);
    let pu64 = b.ptr(u64_);

    // Structures that lead to each other: their pointers first.
    let (ptask, pinode, psock) = (b.ptr(void), b.ptr(void), b.ptr(void));
    let rcu = b.type_tag("rcu", void);
    let prcu = b.ptr(rcu);
    let bits = b.array(u64_, u32_, 1);
    let cpumask = b.struct_("cpumask", 8, &[MemberDef::at("bits", bits, 0)]);
    let pcpumask = b.ptr(cpumask);
    let bpf_cpumask = b.struct_(
        "bpf_cpumask",
        16,
        &[
            MemberDef::at("cpumask", cpumask, 0),
            MemberDef::at("usage", u32_, 8),
        ],
    );
    let pbpf_cpumask = b.ptr(bpf_cpumask);
    let task = b.struct_(
        "task_struct",
        64,
        &[
            MemberDef::at("flags", u64_, 0),
            MemberDef::at("group_leader", ptask, 8),
            MemberDef::at("parent", prcu, 16),
            MemberDef::at("last_wakee", ptask, 24),
            MemberDef::at("cpus_mask", cpumask, 32),
            MemberDef::at("comm", bits, 40),
        ],
    );
    b.set_target(ptask, task);
    b.set_target(rcu, task);
    b.struct_(
        "task_struct__safe_rcu",
        8,
        &[MemberDef::at("group_leader", ptask, 0)],
    );
    let inode = b.struct_("inode", 8, &[MemberDef::at("i_ino", u64_, 0)]);
    b.set_target(pinode, inode);
    let path = b.struct_("path", 16, &[MemberDef::at("dentry", pvoid, 0)]);
    let ppath = b.ptr(path);
    let file = b.struct_(
        "file",
        32,
        &[
            MemberDef::at("f_inode", pinode, 0),
            MemberDef::at("f_path", path, 8),
        ],
    );
    let pfile = b.ptr(file);
    b.struct_(
        "file__safe_trusted",
        8,
        &[MemberDef::at("f_inode", pinode, 0)],
    );
    let sock = b.struct_("sock", 8, &[MemberDef::at("num", u64_, 0)]);
    b.set_target(psock, sock);
    let user_skb = b.struct_("__sk_buff", 8, &[MemberDef::at("len", u64_, 0)]);
    let puser_skb = b.ptr(user_skb);
    let skb = b.struct_(
        "sk_buff",
        16,
        &[MemberDef::at("sk", psock, 0), MemberDef::at("len", u64_, 8)],
    );
    let user_xdp = b.struct_("xdp_md", 8, &[MemberDef::at("data", u64_, 0)]);
    let puser_xdp = b.ptr(user_xdp);
    let xdp = b.struct_("xdp_buff", 8, &[MemberDef::at("data", u64_, 0)]);
    let map = b.struct_("bpf_map", 8, &[MemberDef::at("id", u64_, 0)]);
    let pmap = b.ptr(map);
    b.struct_(
        "bpf_ctx_convert",
        40,
        &[
            MemberDef::at("BPF_PROG_TYPE_SCHED_CLS_prog", user_skb, 0),
            MemberDef::at("BPF_PROG_TYPE_SCHED_CLS_kern", skb, 8),
            MemberDef::at("BPF_PROG_TYPE_XDP_prog", user_xdp, 24),
            MemberDef::at("BPF_PROG_TYPE_XDP_kern", xdp, 32),
        ],
    );
    let conn = b.struct_("nf_conn", 8, &[MemberDef::at("timeout", u64_, 0)]);
    let pconn = b.ptr(conn);
    let new_conn = b.struct_("nf_conn___init", 8, &[MemberDef::at("ct", conn, 0)]);
    let pnew_conn = b.ptr(new_conn);
    let tuple = b.struct_("bpf_sock_tuple", 12, &[MemberDef::at("a", u32_, 0)]);
    let ptuple = b.ptr(tuple);
    let opts = b.struct_("bpf_ct_opts", 16, &[MemberDef::at("netns_id", int, 0)]);
    let popts = b.ptr(opts);

    b.struct_("vm_area_struct", 8, &[MemberDef::at("vm_start", u64_, 0)]);
    let nothing = b.func_proto(int, &[("p", pvoid)]);
    let pcallback = b.ptr(nothing);

    let mut func = |name: &str, ret: TypeId, params: &[(&str, TypeId)]| {
        let proto = b.func_proto(ret, params);
        b.func(name, proto, FuncLinkage::Static)
    };
    func("bpf_task_acquire", ptask, &[("p", ptask)]);
    func("bpf_task_release", void, &[("p", ptask)]);
    func("bpf_task_from_pid", ptask, &[("pid", int)]);
    func(
        "bpf_send_signal_task",
        int,
        &[
            ("task", ptask),
            ("sig", int),
            ("type", u32_),
            ("value", u64_),
        ],
    );
    func("bpf_cpumask_create", pbpf_cpumask, &[]);
    func("bpf_cpumask_release", void, &[("cpumask", pbpf_cpumask)]);
    func(
        "bpf_cpumask_test_cpu",
        u32_,
        &[("cpu", u32_), ("cpumask", pcpumask)],
    );
    func(
        "bpf_cpumask_set_cpu",
        void,
        &[("cpu", u32_), ("cpumask", pbpf_cpumask)],
    );
    func("bpf_rcu_read_lock", void, &[]);
    func("bpf_rcu_read_unlock", void, &[]);
    func("bpf_preempt_disable", void, &[]);
    func("bpf_preempt_enable", void, &[]);
    func(
        "bpf_rdonly_cast",
        pvoid,
        &[("obj__ign", pvoid), ("btf_id__k", u32_)],
    );
    func("bpf_cast_to_kern_ctx", pvoid, &[("obj", pvoid)]);
    func(
        "bpf_path_d_path",
        int,
        &[("path", ppath), ("buf", pchar), ("buf__sz", u64_)],
    );
    func(
        "bpf_copy_from_user_str",
        int,
        &[
            ("dst", pvoid),
            ("dst__sz", u32_),
            ("from__ign", pvoid),
            ("flags", u64_),
        ],
    );
    func("bpf_xdp_pull_data", int, &[("x", puser_xdp), ("len", u32_)]);
    func("bpf_map_sum_elem_count", u64_, &[("map", pmap)]);
    func("bpf_session_cookie", pu64, &[]);
    func(
        "bpf_skb_ct_alloc",
        pnew_conn,
        &[
            ("skb", puser_skb),
            ("tuple", ptuple),
            ("tuple__sz", u32_),
            ("opts", popts),
            ("opts__sz", u32_),
        ],
    );
    func("bpf_ct_insert_entry", pconn, &[("ct", pnew_conn)]);
    func(
        "bpf_ct_set_timeout",
        void,
        &[("ct", pnew_conn), ("timeout", u32_)],
    );
    func(
        "bpf_ct_change_timeout",
        int,
        &[("ct", pconn), ("timeout", u32_)],
    );
    func("bpf_ct_release", void, &[("ct", pconn)]);
    func("bpf_kfunc_call_test_release", void, &[("p", pcallback)]);
    func("wake_up_new_task", void, &[("p", ptask)]);
    func("bpf_lsm_file_open", int, &[("file", pfile)]);
    func("not_for_programs", void, &[]);
    let proto = b.func_proto(void, &[("data", pvoid), ("p", ptask)]);
    let pointer = b.ptr(proto);
    b.typedef("btf_trace_task_newtask", pointer);
    b.build().expect("types")
}

/// `call NAME` of a kernel function and `type:NAME` by their ids.
fn resolved(types: &Btf, line: &str) -> String {
    let func = line.strip_prefix("call ").and_then(|n| types.find_func(n));
    match (func, line.split_once("type:")) {
        (Some(id), _) => format!("call kfunc[{}, 0]", id.0),
        (None, Some((head, name))) => {
            let id = types.find_struct(name).map_or(0, |id| id.0);
            format!("{head}{id}")
        }
        _ => line.to_string(),
    }
}

#[test]
fn every_rule() {
    let types = Arc::new(kernel());
    let platform = Arc::new(Platform::linux(Version(6, 18), Some(types.clone())));
    harness::judge(
        &harness::cases(include_str!("kfuncs.txt")),
        |_| platform.clone(),
        |case, platform| {
            harness::assemble(platform, &case.text(MAPS, |line| resolved(&types, line)))
        },
    );
}

/// Types that say nothing sensible of the functions lead to a rejection, whatever they say.
#[test]
fn hostile_prototypes_end_in_a_verdict() {
    let names = ["bpf_task_acquire", "bpf_rdonly_cast", "bpf_cpumask_create"];
    let mut judged = 0;
    for shape in 0..6 {
        let mut b = BtfBuilder::new();
        let int = b.int("int", 4, IntEncoding::SIGNED);
        let pint = b.ptr(int);
        let knot = b.struct_("task_struct", 8, &[MemberDef::at("self", TypeId(4), 0)]);
        assert_eq!(knot, TypeId(3));
        let array = b.array(knot, int, 1);
        assert_eq!(array, TypeId(4));
        let pknot = b.ptr(knot);
        let params: &[(&str, TypeId)] = match shape {
            0 => &[("a", pknot)],
            1 => &[("a", knot)],
            2 => &[
                ("a", int),
                ("b", int),
                ("c", int),
                ("d", int),
                ("e", int),
                ("f", int),
            ],
            3 => &[("a__sz", int), ("b__szk", int)],
            4 => &[("a__k", int), ("b__k", pint)],
            _ => &[("", TypeId(0))],
        };
        let ret = [pknot, knot, pint, TypeId(0), array, int][shape];
        for name in names {
            let proto = b.func_proto(ret, params);
            b.func(name, proto, FuncLinkage::Static);
        }
        // What cannot be read as types at all never gets here.
        let Ok(types) = b.build() else { continue };
        let types = Arc::new(types);
        let platform = Arc::new(Platform::linux(Version(6, 18), Some(types.clone())));
        for name in names {
            let call = resolved(&types, &format!("call {name}"));
            let code = format!("r2 = 1\n{call}\nr0 = 0\nexit\n");
            let text = format!(".license \"GPL\"\n.section \"syscall\"\nmain:\n{code}");
            let object = assemble("case", &text, &|_| None).expect("a program");
            let report = verify(&object, &platform, &Policy::default(), &Options::default())
                .expect("a report");
            assert_eq!(report.programs.len(), 1);
            judged += 1;
        }
    }
    assert!(judged > 0, "no types were read");
}

/// What an object's programs share, their kinds of contexts too, changes no verdict: in any order, with rejected ones
/// between them, and again.
#[test]
fn programs_of_many_kinds_share_an_object() {
    let types = Arc::new(kernel());
    let platform = Arc::new(Platform::linux(Version(6, 18), Some(types.clone())));
    let programs = [
        ("tc", "call bpf_cast_to_kern_ctx\nr0 = *(u64 *)(r0 + 8)"),
        ("xdp", "call bpf_cast_to_kern_ctx\nr0 = *(u64 *)(r0 + 0)"),
        ("xdp.frags", "r2 = 0\ncall bpf_xdp_pull_data"),
        ("xdp/devmap", "r1 = 1\nr2 = 0\ncall bpf_xdp_pull_data"),
        ("syscall", "call bpf_cast_to_kern_ctx"),
        ("classifier", "r0 = r5"),
        (
            "tp_btf/task_newtask",
            "r1 = *(u64 *)(r1 + 0)\ncall bpf_cast_to_kern_ctx",
        ),
        (
            "fentry/wake_up_new_task",
            "r1 = *(u64 *)(r1 + 0)\nr0 = *(u64 *)(r1 + 0)",
        ),
    ];
    let mut text = MAPS.to_string();
    for (n, (section, code)) in programs.iter().enumerate() {
        let lines: Vec<String> = code.lines().map(|line| resolved(&types, line)).collect();
        let code = lines.join("\n");
        text += &format!(".section \"{section}\"\np{n}:\n{code}\nr0 = 0\nexit\n");
    }
    let object = assemble("shared", &text, &|_| None).expect("programs");
    assert_eq!(object.programs.len(), programs.len());
    let shared = |options: &Options| {
        Prepared::new(&object, &platform, &Policy::default(), options).expect("an object")
    };
    let shown = |prepared: &Prepared, index: usize| {
        let report = prepared.verify(index).expect("a program");
        let verdict = match &report.verdict {
            Verdict::Accept(v) => format!("{:?}", v.facts()),
            Verdict::Reject(r) => r.to_string(),
        };
        (report.name, report.stats.processed, verdict)
    };
    // As each is, and all of one kind.
    for prog_type in [None, Some(ProgType(3))] {
        let options = Options {
            prog_type,
            ..Options::default()
        };
        let alone: Vec<_> = (0..programs.len())
            .map(|n| shown(&shared(&options), n))
            .collect();
        let accepted = alone.iter().filter(|a| a.2.starts_with('[')).count();
        assert!(accepted > 1 && accepted < programs.len(), "{alone:#?}");
        let kept = shared(&options);
        let mut at = 1;
        for _ in 0..100 {
            at = at * 5 % 101;
            let index = at % programs.len();
            assert_eq!(shown(&kept, index), alone[index]);
        }
    }
}
