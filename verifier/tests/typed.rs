//! Small programs on hooks that a kernel's types describe, each about one rule: `typed.txt`.
//!
//! The kernel is a made-up one of a few types. `{NAME}` stands for the number of its type of that name;
//! a line `implements STRUCT.MEMBER` puts the program into a variable of that structure.

mod harness;

use std::sync::Arc;

use probity_btf::{
    Btf, BtfBuilder, FuncLinkage, IntEncoding, MemberDef, SecVar, TypeId, VarLinkage,
};
use probity_objfile::StructOps;
use probity_platform::{NEWEST, Platform, parse_injectable};

const MAPS: &str = "\
.license \"GPL\"
.map stored kind=sk_storage key=4 value=8 max_entries=0
.map shared kind=arena max_entries=10
.map other kind=arena max_entries=10
.map sockets kind=sockmap key=4 value=4 max_entries=4
.map counts kind=array key=4 value=8 max_entries=4
";

/// The made-up kernel.
struct Types {
    b: BtfBuilder,
    word: TypeId,
    int: TypeId,
}

impl Types {
    fn structure(&mut self, name: &str, members: &[(&str, TypeId, u32)], size: u32) -> TypeId {
        let members: Vec<MemberDef<'_>> = members
            .iter()
            .map(|(n, ty, at)| MemberDef::at(n, *ty, *at))
            .collect();
        self.b.struct_(name, size, &members)
    }

    fn func(&mut self, name: &str, ret: TypeId, params: &[(&str, TypeId)]) -> TypeId {
        let proto = self.b.func_proto(ret, params);
        self.b.func(name, proto, FuncLinkage::Static)
    }

    fn tracepoint(&mut self, name: &str, params: &[(&str, TypeId)], named: bool) {
        let unnamed: Vec<(&str, TypeId)> = params.iter().map(|(_, ty)| ("", *ty)).collect();
        let proto = self.b.func_proto(TypeId::VOID, &unnamed);
        let pointer = self.b.ptr(proto);
        self.b.typedef(&format!("btf_trace_{name}"), pointer);
        if named {
            self.func(&format!("__bpf_trace_{name}"), TypeId::VOID, params);
        }
    }

    /// A structure of function pointers, and what says that programs may implement it.
    fn ops(&mut self, name: &str, members: &[(&str, TypeId, &[TypeId])]) {
        let mut fields = Vec::new();
        for (i, (member, ret, params)) in members.iter().enumerate() {
            let unnamed: Vec<(&str, TypeId)> = params.iter().map(|ty| ("", *ty)).collect();
            let proto = self.b.func_proto(*ret, &unnamed);
            fields.push((*member, self.b.ptr(proto), i as u32 * 8));
        }
        let size = fields.len() as u32 * 8 + 8;
        fields.push(("flags", self.word, size - 8));
        let id = self.structure(name, &fields, size);
        self.structure(&format!("bpf_struct_ops_{name}"), &[("data", id, 0)], size);
    }
}

fn kernel() -> Btf {
    let mut b = BtfBuilder::new();
    let int = b.int("int", 4, IntEncoding::SIGNED);
    let word = b.int("u64", 8, IntEncoding::UNSIGNED);
    let byte = b.int("char", 1, IntEncoding::SIGNED);
    let void = b.ptr(TypeId::VOID);
    let to_int = b.ptr(int);
    let mut t = Types { b, word, int };

    let inode = t.structure("inode", &[("i_ino", word, 0)], 8);
    let to_inode = t.b.ptr(inode);
    let path = t.structure("path", &[("mnt", word, 0)], 8);
    let file = t.structure(
        "file",
        &[
            ("f_inode", to_inode, 0),
            ("f_other", to_inode, 8),
            ("f_path", path, 16),
        ],
        24,
    );
    t.structure("file__safe_trusted", &[("f_inode", to_inode, 0)], 8);
    let to_file = t.b.ptr(file);

    let name = t.b.array(byte, int, 16);
    // Structures that point to themselves are made with a pointer that is set afterwards.
    let to_task = t.b.ptr(TypeId::VOID);
    let task = t.structure(
        "task_struct",
        &[
            ("real_parent", to_task, 0),
            ("last", to_task, 8),
            ("comm", name, 16),
            ("pid", int, 32),
        ],
        40,
    );
    t.b.set_target(to_task, task);
    t.structure("task_struct__safe_rcu", &[("real_parent", to_task, 0)], 8);

    let common = t.structure("sock_common", &[("skc_state", word, 0)], 8);
    let to_common = t.b.ptr(common);
    let sock = t.structure(
        "sock",
        &[("__sk_common", common, 0), ("sk_pacing_rate", word, 8)],
        16,
    );
    let to_sock = t.b.ptr(sock);
    let inet = t.structure("inet_sock", &[("sk", sock, 0)], 16);
    let private = t.b.array(word, int, 13);
    let conn = t.structure(
        "inet_connection_sock",
        &[("icsk_inet", inet, 0), ("icsk_ca_priv", private, 16)],
        120,
    );
    t.structure(
        "tcp_sock",
        &[
            ("inet_conn", conn, 0),
            ("snd_cwnd", int, 120),
            ("snd_nxt", int, 124),
        ],
        128,
    );
    let to_u32 = int;
    t.ops(
        "tcp_congestion_ops",
        &[
            ("ssthresh", to_u32, &[to_sock]),
            ("release", TypeId::VOID, &[to_sock]),
            ("get_info", word, &[to_sock]),
        ],
    );
    let state = t.structure("bpf_dummy_ops_state", &[("val", int, 0)], 4);
    let to_state = t.b.ptr(state);
    t.ops(
        "bpf_dummy_ops",
        &[
            ("test_1", int, &[to_state]),
            ("test_sleepable", int, &[to_state]),
        ],
    );
    t.func("bpf_dummy_ops__test_1", int, &[("cb__nullable", to_state)]);
    let skb = t.structure("sk_buff", &[("len", int, 0)], 8);
    let to_skb = t.b.ptr(skb);
    let skb_pointer = t.structure("bpf_sk_buff_ptr", &[("skb", word, 0)], 8);
    let to_to_skb = t.b.ptr(to_skb);
    let _ = skb_pointer;
    t.ops(
        "Qdisc_ops",
        &[
            ("enqueue", int, &[to_skb, to_skb, to_to_skb]),
            ("dequeue", to_skb, &[to_skb]),
        ],
    );
    t.func(
        "Qdisc_ops__enqueue",
        int,
        &[
            ("skb__ref", to_skb),
            ("sch", to_skb),
            ("to_free", to_to_skb),
        ],
    );
    t.func("Qdisc_ops__dequeue", to_skb, &[("skb__ref", to_skb)]);
    t.structure("plain_ops", &[("call", to_int, 0)], 8);

    let seq = t.structure("seq_file", &[("count", word, 0)], 8);
    let to_seq = t.b.ptr(seq);
    let meta = t.structure(
        "bpf_iter_meta",
        &[("seq", to_seq, 0), ("session", word, 8)],
        16,
    );
    t.structure("bpf_iter_meta__safe_trusted", &[("seq", to_seq, 0)], 8);
    let to_meta = t.b.ptr(meta);
    let map = t.structure("bpf_map", &[("id", int, 0), ("name", name, 4)], 24);
    t.structure("bpf_array", &[("map", map, 0)], 24);
    let to_map = t.b.ptr(map);
    t.func(
        "bpf_iter_task",
        int,
        &[("meta", to_meta), ("task", to_task)],
    );
    t.func(
        "bpf_iter_bpf_map_elem",
        int,
        &[
            ("meta", to_meta),
            ("map", to_map),
            ("key", void),
            ("value", void),
        ],
    );
    t.func(
        "bpf_iter_sockmap",
        int,
        &[
            ("meta", to_meta),
            ("map", to_map),
            ("key", void),
            ("sk", to_sock),
        ],
    );

    let pair = t.structure("pair", &[("a", word, 0), ("b", word, 8)], 16);
    let user = t.b.type_tag("user", task);
    let to_user = t.b.ptr(user);
    t.func(
        "traced",
        int,
        &[
            ("task", to_task),
            ("number", to_int),
            ("pair", pair),
            ("last", int),
            ("theirs", to_user),
        ],
    );
    t.func("bpf_sk_storage_free", TypeId::VOID, &[("sk", to_sock)]);
    t.func("other_storage_free", TypeId::VOID, &[("sk", to_sock)]);
    t.func("__x64_sys_nanosleep", int, &[("regs", to_task)]);
    t.func("loud", TypeId::VOID, &[("a", to_task)]);
    t.func("bpf_lsm_file_open", int, &[("file", to_file)]);
    t.func("bpf_lsm_task_free", TypeId::VOID, &[("task", to_task)]);
    t.func("bpf_lsm_socket_post_create", int, &[("sk", to_common)]);
    t.tracepoint(
        "demo",
        &[
            ("__data", void),
            ("task", to_task),
            ("n", int),
            ("next__nullable", to_task),
        ],
        true,
    );
    t.tracepoint(
        "sched_pi_setprio",
        &[("__data", void), ("tsk", to_task), ("pi", to_task)],
        false,
    );
    t.tracepoint(
        "cachefiles_lookup",
        &[
            ("__data", void),
            ("obj", to_task),
            ("dir", to_task),
            ("de", to_task),
        ],
        true,
    );
    t.tracepoint("sockets", &[("__data", void), ("sk", to_sock)], true);

    t.b.var("plain_number", t.word, VarLinkage::Global);
    t.b.var("init_task", task, VarLinkage::Global);
    let number = t.b.var("each_number", t.int, VarLinkage::Global);
    let each = t.b.var("each_task", task, VarLinkage::Global);
    let place = |var, offset, size| SecVar { var, offset, size };
    t.b.datasec(
        ".data..percpu",
        44,
        &[place(number, 0, 4), place(each, 4, 40)],
    );
    t.b.build().expect("types of a kernel")
}

#[test]
fn every_rule_of_typed_hooks() {
    let types = Arc::new(kernel());
    let mut platform = Platform::linux(NEWEST, Some(types.clone()));
    platform.injectable = Some(Arc::new(parse_injectable("loud\t0xdeadbeef errno\n")));
    let platform = Arc::new(platform);
    harness::judge(
        &harness::cases(include_str!("typed.txt")),
        |_| platform.clone(),
        |case, platform| {
            let implements = case
                .code
                .lines()
                .find_map(|l| l.strip_prefix("implements ")?.split_once('.'));
            let mut text = case.text(MAPS, |line| match line.starts_with("implements ") {
                true => String::new(),
                false => line.to_string(),
            });
            for name in ["plain_number", "init_task", "each_number", "each_task"] {
                let id = types.find_var(name).expect("a variable");
                text = text.replace(&format!("{{{name}}}"), &id.0.to_string());
            }
            if case.code.contains("no licence") {
                text = text.replace(".license \"GPL\"", ".license \"none\"");
            }
            let mut object = harness::assemble(platform, &text)?;
            if let Some((ops, member)) = implements {
                object.struct_ops.push(StructOps {
                    name: "variable".into(),
                    type_name: ops.into(),
                    link: true,
                    optional: false,
                    type_id: TypeId(1),
                    bytes: vec![0; 64],
                    members: vec![(member.into(), "main".into())],
                });
            }
            Ok(object)
        },
    );
}
