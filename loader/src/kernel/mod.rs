//! The running kernel's own verdict on a program, through the bpf system call and nothing of ours
//! but the relocated instructions: what tests hold verdicts against, and benchmarks times.
//!
//! **Invariant:** what is loaded here is closed again when its verdict is known; it is never attached or run.
//!
//! [`Machine`] holds what the kernel is (its types, symbols and configuration), [`Session`] one object in it:
//! its types and maps, as libbpf would make them. The free functions do without either.

pub(crate) mod attach;
pub(crate) mod load;
mod machine;
pub(crate) mod maps;
mod measure;
mod memory;
mod session;
pub(crate) mod sys;
pub(crate) mod types;

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use probity_isa::{Imm64, Insn, RawInsn};
use probity_objfile::{Map, Object, ProgType, Program};

pub use attach::target;
pub use load::{Answer, Load, telling};
pub use machine::Machine;
pub use maps::complete;
pub use measure::{Calmly, Measured};
pub use memory::{Group, Meter};
pub use session::{NoTargets, Session, Targets};
pub use sys::raise_limits;

/// What the kernel said.
#[derive(Debug)]
pub enum Verdict {
    Accept,
    Reject {
        log: String,
    },
    /// It did not look at the program (no privilege, a map it would not make, no such kind).
    NoVerdict(String),
}

/// May this process load programs at all?
pub fn available() -> Result<(), String> {
    let raw = probity_isa::encode(&[
        Insn::Mov {
            width: probity_isa::Width::W64,
            dst: probity_isa::Reg::R0,
            src: probity_isa::Src::Imm(0),
        },
        Insn::Exit,
    ])
    .map_err(|e| e.to_string())?;
    match load(&raw, ProgType::SOCKET_FILTER, 0, "GPL", false) {
        Verdict::Accept => Ok(()),
        Verdict::Reject { log } => Err(log),
        Verdict::NoVerdict(why) => Err(why),
    }
}

/// Asks the kernel about one program of a relocated object, as this kind.
pub fn verdict(object: &Object, program: &Program, kind: ProgType) -> Verdict {
    let mut maps = Vec::new();
    for map in &object.maps {
        match create(map) {
            Ok(fd) => maps.push(fd),
            Err(e) => return Verdict::NoVerdict(format!("map {}: {e}", map.name)),
        }
    }
    verdict_with(object, program, kind, &maps)
}

/// The same with maps that are made already, in the object's order.
pub fn verdict_with(
    object: &Object,
    program: &Program,
    kind: ProgType,
    maps: &[OwnedFd],
) -> Verdict {
    let insns = with_maps(&program.insns, |index| {
        maps.get(index).map(AsRawFd::as_raw_fd)
    });
    let attach = program.hook.attach_type.map_or(0, |a| a.0);
    let license = object.license.clone().unwrap_or_default();
    load(&insns, kind, attach, &license, program.hook.sleepable)
}

/// Makes a map, without types.
pub fn create(map: &Map) -> io::Result<OwnedFd> {
    maps::make(map, None).map(|m| m.fd)
}

/// Asks the kernel about instructions whose maps are descriptors already.
pub fn load(
    insns: &[RawInsn],
    kind: ProgType,
    attach: u32,
    license: &str,
    sleepable: bool,
) -> Verdict {
    let load = Load {
        insns,
        kind,
        attach,
        license,
        sleepable,
        ..Load::default()
    };
    load.verdict()
}

/// Map references with descriptors in place of indices.
pub(crate) fn with_maps(insns: &[RawInsn], fd: impl Fn(usize) -> Option<i32>) -> Vec<RawInsn> {
    let mut raw = insns.to_vec();
    // A program that does not decode is given as it is: the kernel shall say so too.
    for pc in 0..raw.len() {
        let Ok(Insn::LoadImm64 { imm, .. }) = probity_isa::decode_at(&raw, pc) else {
            continue;
        };
        let (src, index, off) = match imm {
            Imm64::MapIdx(index) => (1, index, 0),
            Imm64::MapIdxValue { index, off } => (2, index, off),
            _ => continue,
        };
        let Some(fd) = fd(index as usize) else {
            continue;
        };
        raw[pc].src = src;
        raw[pc].imm = fd;
        raw[pc + 1].imm = off as i32;
    }
    raw
}
