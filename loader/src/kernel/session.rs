//! One object in the running kernel: its types and maps, and the verdict on each of its programs.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use probity_isa::{Imm64, Insn};
use probity_objfile::{Initial, Object, ProgType, Program, Relocated};

use super::attach::{self, Attach};
use super::load::{Answer, Load};
use super::maps::{self, Made};
use super::measure::{Calmly, Measured};
use super::memory::Meter;
use super::{Machine, types, with_maps};

pub struct Session<'a> {
    machine: &'a Machine,
    /// As opened: externs and structures of operations are complete only here.
    object: &'a Object,
    relocated: Relocated,
    types: Option<types::Loaded>,
    types_error: Option<String>,
    maps: BTreeMap<usize, Result<Made, String>>,
    pub strict_alignment: bool,
    /// Its programs share program arrays, as they must to jump to each other. Not all objects that mean no harm can: such an
    /// array is for programs of one kind.
    pub shared_arrays: bool,
}

/// Programs that `freplace` programs of other objects may extend.
pub trait Targets {
    /// A loaded program and the type of the named function in its types.
    fn find(&self, function: &str, by: &Object) -> Option<(OwnedFd, u32)>;
}

impl<'a> Session<'a> {
    pub fn new(machine: &'a Machine, object: &'a Object) -> Result<Session<'a>, String> {
        let relocated = machine.relocate(object)?;
        let (types, types_error) = match types::load(object) {
            Ok(types) => (types, None),
            Err(why) => (None, Some(why)),
        };
        Ok(Session {
            machine,
            object,
            relocated,
            types,
            types_error,
            maps: BTreeMap::new(),
            strict_alignment: false,
            shared_arrays: false,
        })
    }

    pub fn relocated(&self) -> &Relocated {
        &self.relocated
    }

    /// Why the kernel did not take the object's types.
    pub fn types_error(&self) -> Option<&str> {
        self.types_error.as_deref()
    }

    /// What the kernel says of a program of the object.
    pub fn answer(&mut self, index: usize, targets: &dyn Targets) -> Answer {
        match self.prepared(index, targets, |load| load.answer()) {
            Ok(answer) => answer,
            Err(why) => Answer::none(why),
        }
    }

    /// What the kernel says of a program of the object, and what that takes it: up to `runs` loads, fewer once they
    /// took `enough`. `calmly` runs each, again where the machine was disturbed.
    pub fn measured(
        &mut self,
        index: usize,
        runs: usize,
        enough: Duration,
        meter: Option<&Meter>,
        calmly: &Calmly<'_>,
    ) -> Measured {
        let measure = |load: &Load<'_>| load.measured(runs, enough, meter, calmly);
        match self.prepared(index, &NoTargets, measure) {
            Ok(measured) => measured,
            Err(why) => Measured::none(why),
        }
    }

    /// The program loaded, and the type of one of its functions, to be extended.
    pub fn descriptor(&mut self, index: usize, function: &str) -> Result<(OwnedFd, u32), String> {
        let func = self
            .relocated
            .object
            .programs
            .get(index)
            .and_then(|p| p.subprogs.iter().find(|s| s.name == function)?.func)
            .ok_or("no such function")?;
        let fd = self.prepared(index, &NoTargets, |load| load.descriptor())??;
        Ok((fd, func.0))
    }

    /// Puts into the maps that are there, other than programs' own, what the object says is in them from the start: maps
    /// and programs.
    pub fn fill(&mut self) -> Result<(), String> {
        let maps: Vec<usize> = self.maps.keys().copied().collect();
        for index in maps {
            let Some(map) = self.relocated.object.maps.get(index) else {
                continue;
            };
            for (slot, initial) in map.initial.clone() {
                let fd = match initial {
                    Initial::Map(inner) => self.made(inner)?,
                    Initial::Program(name) => {
                        let programs = &self.relocated.object.programs;
                        let program = programs.iter().position(|p| p.name == name);
                        let program = program.ok_or_else(|| format!("no program `{name}`"))?;
                        self.prepared(program, &NoTargets, |load| load.descriptor())??
                    }
                };
                if let Some(Ok(made)) = self.maps.get(&index) {
                    maps::put(made, slot, &fd).map_err(|e| format!("slot {slot}: {e}"))?;
                }
            }
        }
        Ok(())
    }

    /// The map of this index.
    fn made(&mut self, index: usize) -> Result<OwnedFd, String> {
        let map = self.relocated.object.maps.get(index).ok_or("no such map")?;
        let btf = self.types.as_ref().map(|t| &t.fd);
        let make = || maps::make(map, btf).map_err(|e| format!("map `{}`: {e}", map.name));
        let made = self.maps.entry(index).or_insert_with(make);
        let made = made.as_ref().map_err(Clone::clone)?;
        made.fd.try_clone().map_err(|e| e.to_string())
    }

    fn prepared<T>(
        &mut self,
        index: usize,
        targets: &dyn Targets,
        then: impl FnOnce(&Load<'_>) -> T,
    ) -> Result<T, String> {
        if let Some(Some(e)) = self.relocated.failed.get(index) {
            return Err(format!("relocation: {e}"));
        }
        let program = self
            .relocated
            .object
            .programs
            .get(index)
            .cloned()
            .ok_or("no such program")?;
        let kind = program.hook.prog_type.unwrap_or_default();
        let mut held = None;
        let target = if kind == ProgType::EXT {
            let name = attach::name(&program.hook).ok_or("its section names no function")?;
            let (fd, btf_id) = targets
                .find(name, self.object)
                .ok_or_else(|| format!("no program with a function `{name}` to replace"))?;
            let prog_fd = fd.as_raw_fd() as u32;
            held = Some(fd);
            Attach {
                attach_type: None,
                btf_id,
                prog_fd,
            }
        } else {
            attach::target(self.object, &program, self.machine.types.as_deref())?
        };
        let own = self.make_maps(&program)?;
        let insns = with_maps(&program.insns, |index| {
            let made = own.get(&index).or_else(|| match self.maps.get(&index) {
                Some(Ok(made)) => Some(made),
                _ => None,
            });
            made.map(|m| m.fd.as_raw_fd())
        });
        let (funcs, lines) = match &self.types {
            Some(types) => (
                types::func_info(&program),
                types::line_info(&program, types),
            ),
            None => (Vec::new(), Vec::new()),
        };
        let license = self.object.license.clone().unwrap_or_default();
        let load = Load {
            insns: &insns,
            kind,
            name: "",
            attach: program.hook.attach_type.map_or(0, |a| a.0),
            license: &license,
            sleepable: program.hook.sleepable,
            frags: program.hook.frags,
            kernel_version: self.machine.version,
            types: self.types.as_ref().map(types::Loaded::raw),
            funcs: &funcs,
            // Lines say something of functions only.
            lines: if funcs.is_empty() { &[] } else { &lines },
            target,
            idle: self.types.as_ref().map(|t| t.idle.0),
            strict_alignment: self.strict_alignment,
        };
        let result = then(&load);
        drop(held);
        Ok(result)
    }

    /// Makes what maps the program refers to and are not there yet; gives those that are its own.
    fn make_maps(&mut self, program: &Program) -> Result<BTreeMap<usize, Made>, String> {
        let btf = self.types.as_ref().map(|t| &t.fd);
        let mut own = BTreeMap::new();
        for pc in 0..program.insns.len() {
            let Ok(Insn::LoadImm64 {
                imm: Imm64::MapIdx(index) | Imm64::MapIdxValue { index, .. },
                ..
            }) = probity_isa::decode_at(&program.insns, pc)
            else {
                continue;
            };
            let index = index as usize;
            let Some(map) = self.relocated.object.maps.get(index) else {
                continue;
            };
            let make = || maps::make(map, btf).map_err(|e| format!("map `{}`: {e}", map.name));
            if maps::exclusive(map.kind) && !self.shared_arrays {
                if let Entry::Vacant(place) = own.entry(index) {
                    place.insert(make()?);
                }
                continue;
            }
            let made = self.maps.entry(index).or_insert_with(make);
            if let Err(why) = made {
                return Err(why.clone());
            }
        }
        Ok(own)
    }
}

/// Nothing to extend: `freplace` programs get no verdict.
pub struct NoTargets;

impl Targets for NoTargets {
    fn find(&self, _: &str, _: &Object) -> Option<(OwnedFd, u32)> {
        None
    }
}
