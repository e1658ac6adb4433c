//! Programs and maps that aya does not load → descriptors, by system calls: what traces, maps of maps,
//! kinds of programs that it has no name for.
//!
//! **Invariant:** maps that aya made are used, never made twice.

pub(crate) mod behind;
pub mod link;
pub(crate) mod loaded;
mod modules;
pub(crate) mod operations;
pub(crate) mod perf;
pub mod stats;

use std::collections::BTreeMap;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use probity_isa::{Imm64, Insn};
use probity_objfile::{Initial, Map, ProgType};
use probity_verifier::{Verified, VerifiedProgram};

pub use link::Multi;
pub use loaded::{LoadedFunction, loaded_functions};
pub use stats::RunStats;

use crate::kernel::attach;
use crate::kernel::load::{Load, text};
use crate::kernel::maps::{self, Made};
use crate::kernel::types;
use crate::{Error, Refusal, sys};

/// What is made by system calls.
pub(crate) struct Direct<'a> {
    verified: &'a Verified,
    types: Option<types::Loaded>,
    /// By index into the object's maps.
    made: BTreeMap<usize, Made>,
    /// The maps that aya made.
    theirs: BTreeMap<usize, OwnedFd>,
}

impl<'a> Direct<'a> {
    pub fn new(verified: &'a Verified, theirs: BTreeMap<usize, OwnedFd>) -> Direct<'a> {
        Direct {
            verified,
            // A kernel that does not take the types says so when a program needs them.
            types: types::load(&verified.relocated().object).unwrap_or_default(),
            made: BTreeMap::new(),
            theirs,
        }
    }

    /// Loads a program with the maps that it uses; `traced` is the program's function that it traces, where its
    /// section leaves that open.
    pub fn load(
        &mut self,
        program: &VerifiedProgram,
        traced: Option<&LoadedFunction>,
    ) -> Result<OwnedFd, Error> {
        let object = &self.verified.relocated().object;
        let source = &object.programs[program.index()];
        let unsupported = |why: String| Error::Unsupported {
            program: program.name().into(),
            why,
        };
        let platform = self.verified.platform();
        let types = platform.types.as_deref();
        let mut target = match traced {
            Some(_) => attach::Attach::default(),
            None => attach::target(object, source, types).map_err(unsupported)?,
        };
        // Both are held until the program is loaded.
        let traced = traced
            .map(loaded::target)
            .transpose()
            .map_err(|source| Error::Io {
                what: "the program that is to be traced is not there any more",
                source,
            })?;
        if let Some((fd, id)) = &traced {
            target.btf_id = *id;
            target.prog_fd = fd.as_raw_fd() as u32;
        }
        let module = match types.filter(|_| traced.is_none()) {
            Some(types) if types.base().is_some() && target.btf_id >= types.first_id().0 => Some(
                modules::of(types, target.btf_id).map_err(|source| Error::Io {
                    what: "the types of the module cannot be opened",
                    source,
                })?,
            ),
            _ => None,
        };
        if let Some(module) = &module {
            target.prog_fd = module.as_raw_fd() as u32;
        }
        for index in maps_of(program) {
            self.map(index)?;
        }
        let filled = crate::symbols::filled(self.verified, program)?;
        let raw = filled.as_deref().unwrap_or(program.raw());
        let insns =
            crate::kernel::with_maps(raw, |index| self.descriptor(index).map(AsRawFd::as_raw_fd));
        let funcs = match &self.types {
            Some(_) => types::func_info(source),
            None => Vec::new(),
        };
        let license = object.license.clone().unwrap_or_default();
        let load = Load {
            insns: &insns,
            kind: program.prog_type(),
            name: program.name(),
            attach: source.hook.attach_type.map_or(0, |a| a.0),
            license: &license,
            sleepable: source.hook.sleepable,
            frags: source.hook.frags,
            kernel_version: object.kernel_version.unwrap_or(0),
            types: self.types.as_ref().map(types::Loaded::raw),
            funcs: &funcs,
            target,
            ..Load::default()
        };
        load.loaded().map_err(|(errno, log)| {
            Error::Refused(Box::new(Refusal {
                program: program.name().into(),
                our_processed: program.stats().processed,
                errno: Some(errno),
                reason: text(errno),
                telling: crate::error::telling_line(&log),
                log,
            }))
        })
    }

    fn descriptor(&self, index: usize) -> Option<&OwnedFd> {
        self.theirs
            .get(&index)
            .or_else(|| self.made.get(&index).map(|m| &m.fd))
    }

    /// Makes a map that is not there yet, and fills it.
    fn map(&mut self, index: usize) -> Result<(), Error> {
        let object = &self.verified.relocated().object;
        let Some(map) = object.maps.get(index) else {
            return Ok(());
        };
        if self.descriptor(index).is_some() {
            return Ok(());
        }
        let error = |what: &'static str| {
            move |source| Error::Map {
                map: map.name.clone(),
                what,
                source,
            }
        };
        let types = self.types.as_ref().map(|t| &t.fd);
        let made = maps::make(map, types).map_err(error("cannot be made"))?;
        self.made.insert(index, made);
        for (slot, initial) in &map.initial {
            let Initial::Map(inner) = initial else {
                continue;
            };
            self.map(*inner)?;
            let (Some(outer), Some(inner)) = (self.descriptor(index), self.descriptor(*inner))
            else {
                continue;
            };
            let value = inner.as_raw_fd().to_ne_bytes();
            sys::update(outer.as_fd(), &slot.to_ne_bytes(), &value)
                .map_err(error("cannot be filled"))?;
        }
        Ok(())
    }

    /// The maps that were made here.
    pub fn into_maps(self) -> impl Iterator<Item = (usize, Made)> {
        self.made.into_iter()
    }
}

/// Whether a program is loaded here: all that traces, and whatever aya cannot.
///
/// aya parses all types of the kernel before it loads anything, which takes longer, and more memory, than
/// all else that a tracing script needs.
pub(crate) fn is_needed(verified: &Verified, program: &VerifiedProgram) -> bool {
    const TRACING: [ProgType; 6] = [
        ProgType::KPROBE,
        ProgType::TRACEPOINT,
        ProgType::PERF_EVENT,
        ProgType::RAW_TRACEPOINT,
        ProgType::TRACING,
        ProgType::LSM,
    ];
    let object = &verified.relocated().object;
    let hook = &object.programs[program.index()].hook;
    let unknown_map = |m: &Map| m.inner.is_some();
    TRACING.contains(&program.prog_type())
        || !crate::normalise::is_known(program.prog_type(), hook)
        || crate::symbols::are_open(verified, program)
        || maps_of(program).any(|i| object.maps.get(i).is_some_and(unknown_map))
}

/// Indices of the maps that a program refers to.
fn maps_of(program: &VerifiedProgram) -> impl Iterator<Item = usize> {
    program.insns().iter().filter_map(|insn| match insn {
        Insn::LoadImm64 {
            imm: Imm64::MapIdx(index) | Imm64::MapIdxValue { index, .. },
            ..
        } => Some(*index as usize),
        _ => None,
    })
}
