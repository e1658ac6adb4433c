//! [`Object`] → the part of it that some of its programs need.

use std::collections::HashSet;

use crate::link::{LD_IMM64, PSEUDO_MAP_IDX, PSEUDO_MAP_IDX_VALUE};
use crate::{ExternKind, Initial, Object, Program};

impl Object {
    /// The programs that `keep` wants (by index), the programs that their program arrays start
    /// with, and the maps that these refer to; map indices are renumbered. Types are all kept.
    pub fn subset(&self, keep: impl Fn(usize, &Program) -> bool) -> Object {
        let mut programs: HashSet<usize> = HashSet::new();
        let mut maps: HashSet<usize> = HashSet::new();
        let mut wanted: Vec<usize> = (0..self.programs.len())
            .filter(|&i| keep(i, &self.programs[i]))
            .collect();
        while let Some(p) = wanted.pop() {
            if !programs.insert(p) {
                continue;
            }
            let mut more: Vec<usize> = self.maps_of(&self.programs[p]);
            while let Some(m) = more.pop() {
                let Some(map) = self.maps.get(m) else {
                    continue;
                };
                if !maps.insert(m) {
                    continue;
                }
                for (_, initial) in &map.initial {
                    match initial {
                        Initial::Map(index) => more.push(*index),
                        Initial::Program(name) => {
                            wanted.extend(self.programs.iter().position(|p| p.name == *name));
                        }
                    }
                }
            }
        }
        let place: Vec<Option<usize>> = (0..self.maps.len())
            .scan(0, |next, m| {
                let here = maps.contains(&m).then_some(*next);
                *next += usize::from(here.is_some());
                Some(here)
            })
            .collect();
        let mut part = self.clone();
        let mut index = 0;
        part.programs.retain(|_| {
            index += 1;
            programs.contains(&(index - 1))
        });
        for program in &mut part.programs {
            renumber(program, &place);
        }
        let mut index = 0;
        part.maps.retain(|_| {
            index += 1;
            maps.contains(&(index - 1))
        });
        for map in &mut part.maps {
            for (_, initial) in &mut map.initial {
                if let Initial::Map(index) = initial {
                    *index = place.get(*index).copied().flatten().unwrap_or(0);
                }
            }
        }
        if part.programs.iter().all(|p| p.extern_refs.is_empty()) {
            part.externs.clear();
        }
        for e in &mut part.externs {
            if let ExternKind::Kconfig { map, .. } = &mut e.kind {
                *map = place.get(*map).copied().flatten().unwrap_or(0);
            }
        }
        let known = |name: &String| part.programs.iter().any(|p| p.name == *name);
        part.struct_ops
            .retain(|ops| ops.members.iter().all(|(_, program)| known(program)));
        part
    }

    /// Every map that a program refers to, those of its externs included.
    fn maps_of(&self, program: &Program) -> Vec<usize> {
        let mut maps: Vec<usize> = map_refs(program)
            .map(|pc| program.insns[pc].imm as usize)
            .collect();
        maps.extend(program.jump_tables.iter().filter_map(|t| t.map));
        if !program.extern_refs.is_empty() {
            maps.extend(self.externs.iter().filter_map(|e| match e.kind {
                ExternKind::Kconfig { map, .. } => Some(map),
                _ => None,
            }));
        }
        maps
    }
}

/// Slots of 64-bit immediates that name a map.
fn map_refs(program: &Program) -> impl Iterator<Item = usize> + '_ {
    let mut pc = 0;
    std::iter::from_fn(move || {
        while let Some(insn) = program.insns.get(pc) {
            let here = pc;
            let wide = insn.opcode == LD_IMM64;
            pc += if wide { 2 } else { 1 };
            if wide && matches!(insn.src, PSEUDO_MAP_IDX | PSEUDO_MAP_IDX_VALUE) {
                return Some(here);
            }
        }
        None
    })
}

fn renumber(program: &mut Program, place: &[Option<usize>]) {
    let refs: Vec<usize> = map_refs(program).collect();
    for pc in refs {
        let imm = &mut program.insns[pc].imm;
        if let Some(Some(new)) = place.get(*imm as usize) {
            *imm = *new as i32;
        }
    }
    for table in &mut program.jump_tables {
        table.map = table.map.and_then(|m| place.get(m).copied().flatten());
    }
}
