//! The Linux tables, and the platform value made of them.
//!
//! **Invariant:** facts only (numbers, names, layouts, prototypes); each table says where its facts come from.

mod contexts;
mod helper_sets;
mod helpers;
pub mod kinds;
mod maps;
mod programs;

use std::sync::Arc;

use probity_btf::Btf;

use crate::{Layout, Limits, Platform, Struct, Version};

/// The newest version that the tables describe.
pub const NEWEST: Version = Version(6, 18);

impl Platform {
    /// Linux of this version on x86-64, as root sees it, with the types of that kernel if they are at hand.
    ///
    /// Rows newer than `version` are left out; the rest is what Linux 6.18 demands.
    pub fn linux(version: Version, types: Option<Arc<Btf>>) -> Platform {
        Platform {
            name: format!("linux {version}"),
            version,
            helpers: helpers::HELPERS
                .iter()
                .filter(|h| h.since <= version)
                .cloned()
                .collect(),
            map_kinds: maps::MAPS
                .iter()
                .filter(|k| k.since <= version)
                .cloned()
                .collect(),
            prog_kinds: programs::PROGRAMS
                .iter()
                .filter(|k| k.since <= version)
                .cloned()
                .collect(),
            structs: STRUCTS.into(),
            limits: LIMITS,
            types,
            privileged: true,
        }
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
};

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
