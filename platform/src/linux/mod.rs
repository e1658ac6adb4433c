//! The Linux tables, and the platform value made of them.
//!
//! **Invariant:** facts only (numbers, names, layouts, prototypes); each table says where its facts come from.

mod contexts;
mod helper_sets;
mod helpers;
mod hooks;
mod kfuncs;
pub mod kinds;
pub mod managed;
mod maps;
mod programs;
mod struct_ops;
mod targets;
mod versions;

use std::sync::Arc;

use probity_btf::Btf;

use crate::{Helper, Layout, Limits, Platform, Ret, Struct, Version};

/// The newest version that the tables describe.
pub const NEWEST: Version = Version(6, 18);

/// The oldest version for which the tables tell what it lacks.
pub const OLDEST: Version = Version(6, 1);

/// Declaration tags `arg:…` on parameters of global functions, and the first version that knows each.
/// (`ctx` older loaders of programs spell out for kernels that do not know it.)
pub const PARAMETER_TAGS: &[(&str, Version)] = &[
    ("ctx", OLDEST),
    ("nonnull", Version(6, 8)),
    ("nullable", Version(6, 9)),
    ("trusted", Version(6, 9)),
    ("arena", Version(6, 9)),
    ("untrusted", Version(6, 17)),
];

impl Platform {
    /// Linux of this version on x86-64, as root sees it, with the types of that kernel if they are at hand.
    ///
    /// Rows newer than `version` are left out, and what [`versions`] knows; the rest is what Linux 6.18 demands.
    /// Of kernel functions `types` say which are there: with the newest version none is left out, so that a kernel
    /// newer than that has those of its own.
    pub fn linux(version: Version, types: Option<Arc<Btf>>) -> Platform {
        Platform {
            name: format!("linux {version}"),
            version,
            helpers: helpers::HELPERS
                .iter()
                .filter(|h| h.since <= version)
                .map(|h| versions::narrowed_helper(h, version))
                .collect(),
            map_kinds: maps::MAPS
                .iter()
                .filter(|k| k.since <= version)
                .map(|k| versions::narrowed_map(k, version))
                .collect(),
            prog_kinds: programs::PROGRAMS
                .iter()
                .filter(|k| k.since <= version)
                .map(|k| versions::narrowed(k, version))
                .collect(),
            kfuncs: kfuncs::KFUNCS
                .iter()
                .filter(|k| k.since <= version || version == NEWEST)
                .map(|k| versions::narrowed_kfunc(k, version))
                .collect(),
            structs: STRUCTS.into(),
            projections: &[("__sk_buff", "sk_buff"), ("xdp_md", "xdp_buff")],
            targets: targets::TARGETS,
            injectable: None,
            managed: managed::MANAGED,
            limits: Limits {
                may_goto_turns: (version < Version(6, 15)).then_some(MAX_LOOPS),
                ..LIMITS
            },
            types,
            privileged: true,
            uninit_stack: version >= Version(6, 3),
        }
    }

    /// The same on a machine with so many possible CPUs: helpers that give the number of one give less than that.
    /// Without it a proof holds for as many as Linux can have.
    pub fn with_cpus(mut self, cpus: u32) -> Platform {
        let last = i64::from(cpus.max(1)) - 1;
        let on_it = |h: &Helper| {
            let mut h = h.clone();
            if let Ret::Integer { max, .. } = &mut h.ret
                && *max == helpers::MAX_CPU
            {
                *max = last.min(helpers::MAX_CPU);
            }
            h
        };
        self.helpers = self.helpers.iter().map(on_it).collect();
        self
    }
}

/// What the verifier of Linux 6.18 grants to root: `BPF_COMPLEXITY_LIMIT_INSNS`, `MAX_BPF_STACK`,
/// `MAX_CALL_FRAMES`, `BPF_MAX_SUBPROGS`, `MAX_USED_MAPS`.
pub const LIMITS: Limits = Limits {
    program_slots: 1_000_000,
    processed: 1_000_000,
    stack_bytes: 512,
    frames: 8,
    subprograms: 256,
    maps: 64,
    // For 250 ms, counted each 65,535 turns.
    may_goto_turns: None,
};

/// `BPF_MAX_LOOPS`: before Linux 6.15 turns of `may_goto` are counted, as those of `bpf_loop` are.
const MAX_LOOPS: u64 = 8 * 1024 * 1024;

/// Structures that context fields and helpers lead to.
/// `sock_common` is the part of `bpf_sock` that sockets which are not full have.
pub const STRUCTS: &[Struct] = &[
    Struct {
        name: "bpf_sock",
        size: 80,
        layout: Layout::Fields(contexts::SOCK),
    },
    Struct {
        name: "sock_common",
        size: 80,
        layout: Layout::Fields(contexts::SOCK_COMMON),
    },
    Struct {
        name: "bpf_tcp_sock",
        size: 112,
        layout: Layout::Fields(contexts::TCP_SOCK),
    },
    Struct {
        name: "bpf_xdp_sock",
        size: 4,
        layout: Layout::Fields(contexts::XDP_SOCK),
    },
    Struct {
        name: "bpf_flow_keys",
        size: 56,
        layout: Layout::Bytes,
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ArgKind, KfuncFlag};

    #[test]
    fn a_machine_has_so_many_cpus() {
        let max = |p: &Platform| match p.helper_by_name("get_smp_processor_id").unwrap().ret {
            Ret::Integer { min: 0, max } => max,
            other => panic!("{other:?}"),
        };
        let linux = Platform::linux(NEWEST, None);
        assert_eq!(max(&linux), 8191);
        assert_eq!(max(&linux.clone().with_cpus(2)), 1);
        assert_eq!(max(&linux.clone().with_cpus(0)), 0);
        assert_eq!(max(&linux.with_cpus(u32::MAX)), 8191);
    }

    #[test]
    fn helpers_are_complete_and_well_formed() {
        let linux = Platform::linux(NEWEST, None);
        assert_eq!(linux.helpers.len(), 211);
        for (helper, id) in linux.helpers.iter().zip(1..) {
            assert_eq!(helper.id, id, "{}", helper.name);
            assert_eq!(linux.helper(id).unwrap().name, helper.name);
            for prototype in helper
                .variants
                .iter()
                .map(|v| v.args)
                .chain([helper.args])
                .map(|args| args.iter().map(|a| a.kind))
            {
                let kinds: Vec<ArgKind> = prototype.collect();
                assert!(kinds.len() <= 5, "{}", helper.name);
                for (i, kind) in kinds.iter().enumerate() {
                    let memory = matches!(kind, ArgKind::Mem { .. } | ArgKind::MapMem { .. });
                    let sized = matches!(kinds.get(i + 1), Some(ArgKind::Size { .. }));
                    assert_eq!(
                        memory, sized,
                        "{}: memory and size go together",
                        helper.name
                    );
                }
            }
        }
    }

    #[test]
    fn rows_are_found_by_their_numbers() {
        for version in [OLDEST, NEWEST] {
            let mut linux = Platform::linux(version, None);
            // A host of ours lacks some of them.
            linux.helpers = linux
                .helpers
                .iter()
                .filter(|h| h.id % 3 != 1)
                .cloned()
                .collect();
            assert!(linux.helpers.is_sorted_by(|a, b| a.id < b.id));
            assert!(linux.map_kinds.is_sorted_by(|a, b| a.kind < b.kind));
            assert!(linux.prog_kinds.is_sorted_by(|a, b| a.kind < b.kind));
            for number in (0..300).chain([u32::MAX]) {
                let helper = linux.helpers.iter().find(|h| h.id == number);
                let map = linux.map_kinds.iter().find(|k| k.kind == number);
                let prog = linux.prog_kinds.iter().find(|k| k.kind == number);
                assert_eq!(linux.helper(number).map(|h| h.name), helper.map(|h| h.name));
                assert_eq!(linux.map_kind(number).map(|k| k.name), map.map(|k| k.name));
                assert_eq!(
                    linux.prog_kind(number).map(|k| k.name),
                    prog.map(|k| k.name)
                );
            }
        }
    }

    #[test]
    fn every_name_in_every_table_is_a_helper() {
        let linux = Platform::linux(NEWEST, None);
        let known = |name: &str| assert!(linux.helper_by_name(name).is_some(), "{name}");
        for kind in linux.prog_kinds.iter() {
            kind.helpers
                .groups
                .iter()
                .chain(kind.helpers.by_attach.iter().map(|(_, g)| g))
                .for_each(|g| {
                    g.iter().for_each(|n| known(n));
                });
        }
        for kind in linux.map_kinds.iter() {
            kind.helpers
                .iter()
                .chain(kind.helpers_in.iter().flat_map(|(_, g)| *g))
                .for_each(|n| known(n));
        }
        for helper in linux.helpers.iter() {
            assert!(
                linux.callers(helper.name).next().is_some(),
                "nobody may call {}",
                helper.name
            );
        }
    }

    #[test]
    fn kinds_ascend_without_gaps_and_have_names() {
        let linux = Platform::linux(NEWEST, None);
        assert!(linux.prog_kinds.iter().map(|k| k.kind).eq(1..=32));
        assert!(linux.map_kinds.iter().map(|k| k.kind).eq(1..=33));
        for kind in linux.prog_kinds.iter() {
            assert_eq!(linux.prog_kind_by_name(kind.name).unwrap().kind, kind.kind);
            for attach in kind.attach {
                let name = kinds::attach_name(*attach).unwrap();
                assert_eq!(kinds::attach_by_name(name), Some(*attach));
            }
        }
    }

    #[test]
    fn kernel_functions_are_found_by_name() {
        let linux = Platform::linux(NEWEST, None);
        assert!(linux.kfuncs.is_sorted_by(|a, b| a.name < b.name));
        for kfunc in linux.kfuncs.iter() {
            assert_eq!(linux.kfunc(kfunc.name).unwrap().name, kfunc.name);
        }
        let acquire = linux.kfunc("bpf_task_acquire").unwrap();
        assert!(
            acquire.has(KfuncFlag::Acquire)
                && acquire.allows(kinds::TRACING)
                && !acquire.allows(kinds::SK_MSG)
        );
    }

    #[test]
    fn rows_about_hooks_are_found_by_name() {
        let targets = &targets::TARGETS;
        assert!(targets.fmod_ret.is_sorted_by_key(|r| r.name));
        assert!(targets.struct_ops.is_sorted_by_key(|r| r.name));
        assert!(targets.iterators.is_sorted_by_key(|r| r.name));
        assert!(targets.tracepoints.is_sorted_by_key(|r| r.name));
        let tcp = targets.struct_ops("tcp_congestion_ops").unwrap();
        assert!(tcp.allows("init", "setsockopt") && !tcp.allows("release", "setsockopt"));
        assert_eq!(tcp.promote("sock"), "tcp_sock");
        let linux = Platform::linux(NEWEST, None);
        for helper in targets
            .struct_ops
            .iter()
            .flat_map(|s| s.helpers)
            .copied()
            .flatten()
        {
            assert!(linux.helper_by_name(helper).is_some(), "{helper}");
        }
    }

    #[test]
    fn older_versions_have_fewer_rows() {
        let old = Platform::linux(Version(4, 9), None);
        assert!(
            old.helper_by_name("bpf_ringbuf_output").is_none()
                && old.helper_by_name("bpf_map_lookup_elem").is_some()
        );
        assert!(old.prog_kind(kinds::XDP).is_some() && old.prog_kind(kinds::TRACING).is_none());
        assert!(
            old.map_kind_by_name("hash").is_some() && old.map_kind_by_name("ringbuf").is_none()
        );
    }

    #[test]
    fn rows_read_well() {
        let linux = Platform::linux(NEWEST, None);
        let shown = |name: &str| linux.helper_by_name(name).unwrap().to_string();
        assert_eq!(
            shown("map_lookup_elem"),
            "map_lookup_elem(map, key) -> map value or NULL   id 1, since 3.19"
        );
        assert_eq!(
            shown("probe_read_kernel"),
            "probe_read_kernel(out mem, size, any) -> number   id 113, since 5.5, GPL only"
        );
        assert_eq!(
            shown("sk_lookup_tcp"),
            "sk_lookup_tcp(ctx, mem, size, any, any) -> acquired full sock or NULL   id 84, since 4.20"
        );
        assert_eq!(
            linux.prog_kind(kinds::XDP).unwrap().to_string(),
            "xdp   kind 6, since 4.8, context struct xdp_md"
        );
    }
}
