//! Proved programs → what is known of each before any call; those that have no meaning in process are refused.

use std::sync::Arc;

use probity_isa::{CallTarget, Imm64, Insn, Pc};
use probity_objfile as objfile;
use probity_platform::Platform;
use probity_verifier::{Region, Verified, VerifiedProgram};

use crate::kfuncs::{self, BoundKfunc, Unbound};
use crate::maps::ARENA;
use crate::{Error, context, helpers, hidden_word};

/// One program of an instance.
#[derive(Clone, Debug)]
pub struct Program {
    verified: Arc<VerifiedProgram>,
    context_size: usize,
    exception_callback: Option<Pc>,
    tail_calls: bool,
    arena: Option<usize>,
}

impl Program {
    pub fn verified(&self) -> &Arc<VerifiedProgram> {
        &self.verified
    }
    pub fn name(&self) -> &str {
        self.verified.name()
    }
    /// Bytes that a context must have at least: as far as the program reads or writes it, and, when it makes
    /// tail calls, as far as any program does that these may lead to.
    pub fn context_size(&self) -> usize {
        self.context_size
    }
    /// It makes tail calls.
    pub fn tail_calls(&self) -> bool {
        self.tail_calls
    }
    /// The map that is its arena.
    pub fn arena(&self) -> Option<usize> {
        self.arena
    }
    /// Where the subprogram starts that exceptions end in.
    pub fn exception_callback(&self) -> Option<Pc> {
        self.exception_callback
    }
}

/// The proved programs, and the maps that they use. What has no meaning in process is an error.
pub(super) fn all(
    verified: &Verified,
    functions: &[kfuncs::Entry],
    used: &mut [bool],
) -> Result<Vec<Program>, Error> {
    let object = &verified.relocated().object;
    let linux = Platform::linux(probity_platform::linux::NEWEST, None);
    let mut programs = Vec::new();
    for p in verified.programs() {
        check_program(&linux, verified, p, functions, used)?;
        let arena = arena(object, p);
        if let Some(u) = arena.and_then(|n| used.get_mut(n)) {
            *u = true;
        }
        programs.push(Program {
            verified: p.clone(),
            context_size: context_size(verified, p),
            exception_callback: exception_callback(object, p),
            tail_calls: tail_calls(verified, p).next().is_some(),
            arena,
        });
    }
    reach_contexts(&mut programs);
    Ok(programs)
}

/// Refuses what has no meaning in process, and notes which maps the program uses.
fn check_program(
    linux: &Platform,
    verified: &Verified,
    p: &VerifiedProgram,
    functions: &[kfuncs::Entry],
    used: &mut [bool],
) -> Result<(), Error> {
    let unsupported = |pc, what: String| Error::Unsupported {
        program: p.name().to_string(),
        pc,
        what,
    };
    let platform = verified.platform();
    for (pc, insn) in p.insns().iter().enumerate() {
        let fact = p.facts().get(pc).copied().unwrap_or_default();
        if !fact.reached {
            continue;
        }
        match insn {
            Insn::Call(CallTarget::Helper(id)) => {
                let name = platform
                    .helper(*id)
                    .map_or_else(|| format!("helper {id}"), |h| format!("bpf_{}", h.name));
                if helpers::find(*id).is_none() {
                    return Err(unsupported(pc, name));
                }
                let kind = p.prog_type().0;
                let theirs = platform.helper(*id).map(|h| h.prototype(kind));
                if theirs.is_none() || theirs != linux.helper(*id).map(|h| h.prototype(kind)) {
                    return Err(Error::ForeignPlatform {
                        program: p.name().to_string(),
                        platform: platform.name.clone(),
                        what: format!("the prototype of {name} differs from Linux's"),
                    });
                }
            }
            Insn::Call(CallTarget::Kfunc { id, .. }) => {
                match BoundKfunc::new(platform, *id, functions) {
                    Ok(_) => {}
                    Err(Unbound::Missing(what)) => return Err(unsupported(pc, what)),
                    Err(Unbound::Foreign(what)) => {
                        return Err(Error::ForeignPlatform {
                            program: p.name().to_string(),
                            platform: platform.name.clone(),
                            what,
                        });
                    }
                }
            }
            Insn::Call(CallTarget::Reg(_)) => {
                return Err(unsupported(pc, "a call through a register".into()));
            }
            Insn::LoadImm64 { imm, .. } => match imm {
                Imm64::MapIdx(n) | Imm64::MapIdxValue { index: n, .. } => {
                    match used.get_mut(*n as usize) {
                        Some(u) => *u = true,
                        None => {
                            return Err(unsupported(
                                pc,
                                format!("map {n}, which the object has not,"),
                            ));
                        }
                    }
                }
                Imm64::MapFd(_) | Imm64::MapFdValue { .. } => {
                    return Err(unsupported(pc, "a map by file descriptor".into()));
                }
                Imm64::BtfId { .. } => return Err(unsupported(pc, "a kernel variable".into())),
                Imm64::Value(_) | Imm64::Func { .. } => {}
            },
            _ => {}
        }
        if fact.access.map(|a| a.region) == Some(Region::Kernel)
            && !matches!(insn, Insn::Load { .. })
        {
            return Err(unsupported(
                pc,
                "a kernel structure, other than read,".into(),
            ));
        }
        if let Some(Region::Context(kind)) = fact.access.map(|a| a.region)
            && !context::is_plain(kind)
            && hidden_word(kind).is_none()
        {
            return Err(unsupported(pc, format!("a context field of kind {kind:?}")));
        }
    }
    Ok(())
}

/// Instructions of a program that make tail calls: calls of helpers that do not return when they succeed.
pub(super) fn tail_calls<'a>(
    verified: &'a Verified,
    p: &'a VerifiedProgram,
) -> impl Iterator<Item = Pc> + 'a {
    let kind = p.prog_type().0;
    let gone = move |id: u32| {
        let helper = verified.platform().helper(id);
        helper.is_some_and(|h| h.prototype(kind).effects.may_not_return)
    };
    let all = p.insns().iter().zip(p.facts()).enumerate();
    all.filter(move |(_, (insn, fact))| match insn {
        Insn::Call(CallTarget::Helper(id)) => fact.reached && gone(*id),
        _ => false,
    })
    .map(|(pc, _)| pc)
}

/// A tail call hands on the context, so that who makes one is held to what the programs of its kind need.
fn reach_contexts(programs: &mut [Program]) {
    let need: Vec<usize> = programs
        .iter()
        .map(|p| {
            if !p.tail_calls {
                return p.context_size;
            }
            let kind = p.verified.prog_type();
            let same = programs.iter().filter(|o| o.verified.prog_type() == kind);
            same.map(|o| o.context_size).max().unwrap_or_default()
        })
        .collect();
    for (p, need) in programs.iter_mut().zip(need) {
        p.context_size = need;
    }
}

/// The arena among the maps that the program names; the proof has that there is one at most.
fn arena(object: &objfile::Object, p: &VerifiedProgram) -> Option<usize> {
    p.insns().iter().find_map(|insn| match insn {
        Insn::LoadImm64 {
            imm: Imm64::MapIdx(n) | Imm64::MapIdxValue { index: n, .. },
            ..
        } => Some(*n as usize).filter(|n| object.maps.get(*n).is_some_and(|m| m.kind == ARENA)),
        _ => None,
    })
}

fn exception_callback(object: &objfile::Object, p: &VerifiedProgram) -> Option<Pc> {
    let given = object.programs.get(p.index())?;
    let callback = given.subprogs.get(given.exception_cb?)?;
    Some(callback.start)
}

/// One past the last byte of the context that the program accesses.
fn context_size(verified: &Verified, p: &VerifiedProgram) -> usize {
    use probity_platform::Context;
    let whole = match verified
        .platform()
        .prog_kind(p.prog_type().0)
        .map(|k| &k.context)
    {
        Some(Context::Struct { size, .. }) => *size as usize,
        Some(Context::Bytes { from, size, .. }) => from.saturating_add(*size) as usize,
        Some(Context::Words { count, .. }) => *count as usize * 8,
        Some(Context::Memory { size }) => *size as usize,
        Some(Context::Typed | Context::None) | None => 0,
    };
    let mut need = 0;
    for (insn, fact) in p.insns().iter().zip(p.facts()) {
        let Some(access) = fact.access.filter(|_| fact.reached) else {
            continue;
        };
        if !matches!(access.region, Region::Context(_)) {
            continue;
        }
        let size = match insn {
            Insn::Load { size, .. }
            | Insn::Store { size, .. }
            | Insn::Atomic { size, .. }
            | Insn::LoadAcquire { size, .. }
            | Insn::StoreRelease { size, .. } => size.bytes(),
            _ => 8,
        };
        let end = access
            .offset
            .and_then(|o| usize::try_from(o).ok())
            .map_or(whole, |o| o.saturating_add(size));
        need = need.max(end);
    }
    need
}
