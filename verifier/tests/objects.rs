//! Small programs with objects on the stack that kernel functions make: `objects.txt`.
//!
//! A line `kfunc NAME` is a call of the kernel function declared here, as the kernel's types declare it.

mod harness;

use std::collections::BTreeMap;
use std::sync::Arc;

use probity_btf::{Btf, BtfBuilder, FuncLinkage, IntEncoding, MemberDef, TypeId};
use probity_platform::{NEWEST, Platform};

const MAPS: &str = "\
.license \"GPL\"
.map counts kind=array key=4 value=8 max_entries=4
.map ring kind=ringbuf max_entries=4096
";

/// The kernel functions, each with its parameters and what it returns.
const FUNCTIONS: &[(&str, &[(&str, &str)], &str)] = &[
    (
        "bpf_iter_num_new",
        &[("it", "bpf_iter_num*"), ("start", "int"), ("end", "int")],
        "int",
    ),
    ("bpf_iter_num_next", &[("it", "bpf_iter_num*")], "int*"),
    ("bpf_iter_num_destroy", &[("it", "bpf_iter_num*")], "void"),
    (
        "bpf_iter_task_new",
        &[
            ("it", "bpf_iter_task*"),
            ("task__nullable", "task_struct*"),
            ("flags", "int"),
        ],
        "int",
    ),
    (
        "bpf_iter_task_next",
        &[("it", "bpf_iter_task*")],
        "task_struct*",
    ),
    ("bpf_iter_task_destroy", &[("it", "bpf_iter_task*")], "void"),
    (
        "bpf_iter_task_vma_new",
        &[
            ("it", "bpf_iter_task_vma*"),
            ("task", "task_struct*"),
            ("addr", "long"),
        ],
        "int",
    ),
    (
        "bpf_iter_task_vma_next",
        &[("it", "bpf_iter_task_vma*")],
        "vm_area_struct*",
    ),
    (
        "bpf_iter_task_vma_destroy",
        &[("it", "bpf_iter_task_vma*")],
        "void",
    ),
    (
        "bpf_iter_kmem_cache_new",
        &[("it", "bpf_iter_kmem_cache*")],
        "int",
    ),
    (
        "bpf_iter_kmem_cache_next",
        &[("it", "bpf_iter_kmem_cache*")],
        "kmem_cache*",
    ),
    (
        "bpf_iter_kmem_cache_destroy",
        &[("it", "bpf_iter_kmem_cache*")],
        "void",
    ),
    ("bpf_rcu_read_lock", &[], "void"),
    ("bpf_rcu_read_unlock", &[], "void"),
    (
        "bpf_local_irq_save",
        &[("flags__irq_flag", "long*")],
        "void",
    ),
    (
        "bpf_local_irq_restore",
        &[("flags__irq_flag", "long*")],
        "void",
    ),
    (
        "bpf_dynptr_from_skb",
        &[
            ("s", "__sk_buff*"),
            ("flags", "long"),
            ("ptr__uninit", "bpf_dynptr*"),
        ],
        "int",
    ),
    (
        "bpf_dynptr_slice",
        &[
            ("p", "const bpf_dynptr*"),
            ("offset", "int"),
            ("buffer__opt", "void*"),
            ("buffer__szk", "int"),
        ],
        "void*",
    ),
    (
        "bpf_dynptr_slice_rdwr",
        &[
            ("p", "const bpf_dynptr*"),
            ("offset", "int"),
            ("buffer__opt", "void*"),
            ("buffer__szk", "int"),
        ],
        "void*",
    ),
    (
        "bpf_dynptr_clone",
        &[("p", "const bpf_dynptr*"), ("clone__uninit", "bpf_dynptr*")],
        "int",
    ),
    (
        "bpf_dynptr_memset",
        &[
            ("p", "bpf_dynptr*"),
            ("offset", "int"),
            ("size", "int"),
            ("val", "int"),
        ],
        "int",
    ),
];

struct Types {
    types: BtfBuilder,
    known: BTreeMap<String, TypeId>,
}

impl Types {
    fn named(&mut self, name: &str) -> TypeId {
        if let Some(id) = self.known.get(name) {
            return *id;
        }
        let id = match name {
            "void" => TypeId::VOID,
            "int" => self.types.int("int", 4, IntEncoding::SIGNED),
            "long" => self.types.int("long", 8, IntEncoding::SIGNED),
            "bpf_dynptr" => self.types.struct_(name, 16, &[]),
            "bpf_iter_num" | "bpf_iter_task_vma" | "bpf_iter_kmem_cache" => {
                self.types.struct_(name, 8, &[])
            }
            "bpf_iter_task" => self.types.struct_(name, 24, &[]),
            _ => {
                let word = self.named("long");
                let first = MemberDef::at("first", word, 0);
                self.types.struct_(name, 192, &[first])
            }
        };
        self.known.insert(name.to_string(), id);
        id
    }

    /// `NAME` for a number or nothing, `NAME*` for a pointer.
    fn ty(&mut self, word: &str) -> TypeId {
        let Some(to) = word.strip_suffix('*') else {
            return self.named(word);
        };
        let id = match to.strip_prefix("const ") {
            Some(to) => {
                let to = self.named(to);
                self.types.const_(to)
            }
            None => self.named(to),
        };
        self.types.ptr(id)
    }
}

fn types() -> Btf {
    let mut all = Types {
        types: BtfBuilder::new(),
        known: BTreeMap::new(),
    };
    for (name, params, ret) in FUNCTIONS {
        let ret = all.ty(ret);
        let params: Vec<(&str, TypeId)> = params
            .iter()
            .map(|(name, word)| (*name, all.ty(word)))
            .collect();
        let proto = all.types.func_proto(ret, &params);
        all.types.func(name, proto, FuncLinkage::Global);
    }
    all.types.build().expect("types")
}

#[test]
fn objects_on_the_stack() {
    let types = Arc::new(types());
    let platform = Arc::new(Platform::linux(NEWEST, Some(types.clone())));
    harness::judge(
        &harness::cases(include_str!("objects.txt")),
        |_| platform.clone(),
        |case, platform| {
            let text = case.text(MAPS, |line| match line.strip_prefix("kfunc ") {
                Some(name) => {
                    let id = types.find_func(name).expect("a function declared here");
                    format!("call kfunc[{}, 0]", id.0)
                }
                None => line.to_string(),
            });
            harness::assemble(platform, &text)
        },
    );
}
