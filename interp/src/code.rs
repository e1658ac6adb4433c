//! `Verified` program → [`Code`]: instructions with what is known about each slot before any call.

use std::sync::Arc;

use probity_isa::{CallTarget, Imm64, Insn, Pc};
use probity_runtime::{Bound, BoundKfunc, Instance, Map, absent, hidden_word};
use probity_verifier::{Region, VerifiedProgram};

/// One program, ready to be interpreted.
pub(crate) struct Code {
    pub insns: Vec<Insn>,
    /// One per slot.
    pub sites: Vec<Site>,
    pub helpers: Vec<Bound>,
    pub kfuncs: Vec<BoundKfunc>,
    /// Where functions start.
    pub functions: Vec<Pc>,
    /// Where jumps through a register may go.
    pub targets: Vec<Pc>,
    /// Where exceptions end.
    pub exception_callback: Option<Pc>,
    /// The map that is the program's arena.
    pub arena: Option<Arc<Map>>,
}

/// What an instruction needs beside itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Site {
    Plain,
    /// The load is of a context field that stands for this hidden word.
    Hidden(i32),
    /// The load is through a kernel pointer.
    Kernel,
    /// The load gives a pointer that is promised not to be NULL: this, where there is none.
    Promised {
        kernel: bool,
        absent: u64,
    },
    /// The access is to the arena.
    Arena,
    /// The value of a 64-bit immediate.
    Value(u64),
    /// Index into [`Code::helpers`].
    Helper(usize),
    /// Index into [`Code::kfuncs`].
    Kfunc(usize),
    /// No verified path comes here.
    Dead,
}

/// Set in values that stand for functions; the rest is program and slot.
const FUNCTION: u64 = 0x4650 << 48;

/// The value that a program sees for one of its functions.
pub fn function_value(program: usize, pc: Pc) -> u64 {
    FUNCTION | (program as u64 & 0xffff) << 32 | pc as u64 & 0xffff_ffff
}

/// Program and slot of such a value.
pub(crate) fn function_of(value: u64) -> Option<(usize, Pc)> {
    (value >> 48 == FUNCTION >> 48).then_some((
        (value >> 32 & 0xffff) as usize,
        (value & 0xffff_ffff) as usize,
    ))
}

impl Code {
    /// `program` is its index in the instance.
    pub fn new(instance: &Instance, program: usize, p: &VerifiedProgram) -> Code {
        let mut helpers: Vec<Bound> = Vec::new();
        let mut kfuncs: Vec<BoundKfunc> = Vec::new();
        let sites = p.insns().iter().enumerate().map(|(pc, insn)| {
            let fact = p.facts().get(pc).copied().unwrap_or_default();
            if !fact.reached {
                return Site::Dead;
            }
            if let Some(access) = fact.access
                && let Some(absent) = absent(&access)
            {
                let kernel = access.region == Region::Kernel;
                return Site::Promised { kernel, absent };
            }
            match insn {
                Insn::Load { .. }
                | Insn::LoadAcquire { .. }
                | Insn::Store { .. }
                | Insn::StoreRelease { .. }
                | Insn::Atomic { .. } => match fact.access.map(|a| a.region) {
                    Some(Region::Context(kind)) => {
                        hidden_word(kind).map_or(Site::Plain, Site::Hidden)
                    }
                    Some(Region::Kernel) => Site::Kernel,
                    Some(Region::Arena) => Site::Arena,
                    _ => Site::Plain,
                },
                Insn::AddrSpaceCast { .. } => Site::Arena,
                Insn::LoadImm64 { imm, .. } => {
                    value(instance, program, pc, imm).map_or(Site::Dead, Site::Value)
                }
                Insn::Call(CallTarget::Helper(id)) => {
                    match helpers.iter().position(|h| h.id == *id) {
                        Some(n) => Site::Helper(n),
                        None => match instance.helper(*id, p.prog_type()) {
                            Some(bound) => {
                                helpers.push(bound);
                                Site::Helper(helpers.len() - 1)
                            }
                            None => Site::Dead,
                        },
                    }
                }
                Insn::Call(CallTarget::Kfunc { id, .. }) => {
                    let known = kfuncs.iter().position(|k| k.id == *id);
                    let bound = || {
                        kfuncs.push(instance.kfunc(*id)?);
                        Some(kfuncs.len() - 1)
                    };
                    known.or_else(bound).map_or(Site::Dead, Site::Kfunc)
                }
                _ => Site::Plain,
            }
        });
        let sites = sites.collect();
        let object = &instance.verified().relocated().object;
        let tables = object
            .programs
            .get(p.index())
            .map_or(&[][..], |p| &p.jump_tables);
        let mut targets: Vec<Pc> = tables
            .iter()
            .flat_map(|t| t.targets.iter().copied())
            .collect();
        targets.sort_unstable();
        Code {
            insns: p.insns().to_vec(),
            sites,
            helpers,
            kfuncs,
            functions: p.subprogs().iter().map(|s| s.start).collect(),
            targets,
            exception_callback: instance
                .programs()
                .get(program)
                .and_then(|p| p.exception_callback()),
            arena: instance
                .programs()
                .get(program)
                .and_then(|p| instance.map(p.arena()?).cloned()),
        }
    }
}

pub(crate) fn value(instance: &Instance, program: usize, pc: Pc, imm: &Imm64) -> Option<u64> {
    match imm {
        Imm64::Value(v) => Some(*v),
        Imm64::MapIdx(n) => instance.map(*n as usize).map(|m| m.address()),
        Imm64::MapIdxValue { index, off } => instance.map(*index as usize)?.direct_value(*off),
        Imm64::Func { rel } => {
            let target = (pc + 1).checked_add_signed(*rel as isize)?;
            Some(function_value(program, target))
        }
        Imm64::MapFd(_) | Imm64::MapFdValue { .. } | Imm64::BtfId { .. } => None,
    }
}
