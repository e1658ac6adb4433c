//! `.jumptables` → maps of the targets that an indirect jump may have.

use std::collections::HashMap;

use probity_isa::Pc;

use super::{INSN_ARRAY, Link, PSEUDO_MAP_IDX_VALUE};
use crate::elf::{SLOT, Symbol};
use crate::{Error, JumpTable, Map};

impl Link<'_, '_> {
    /// Entries of `.jumptables` are places in the function's section; they become slots of the
    /// program, and each table a map that the instruction refers to.
    pub(super) fn jump_tables(&mut self) -> Result<(), Error> {
        let linker = self.linker;
        let mut known: HashMap<usize, usize> = HashMap::new();
        for (pc, symbol, addend) in std::mem::take(&mut self.tables) {
            let sym: &Symbol<'_> = &linker.elf.symbols[symbol];
            if addend != 0 {
                return Err(self.error(format!(
                    "instruction {pc} points into jump table `{}`",
                    sym.name
                )));
            }
            let map = match known.get(&symbol) {
                Some(&map) => map,
                None => {
                    let targets = self.table_targets(pc, sym)?;
                    let map = self.maps.len();
                    let count = targets.len() as u32;
                    self.maps
                        .push(Map::new(&sym.name, INSN_ARRAY, 4, 16, count));
                    self.program.jump_tables.push(JumpTable {
                        map: Some(map),
                        targets,
                    });
                    known.insert(symbol, map);
                    map
                }
            };
            self.map_ref(pc, PSEUDO_MAP_IDX_VALUE, map, 0);
        }
        Ok(())
    }

    fn table_targets(&self, pc: Pc, sym: &Symbol<'_>) -> Result<Vec<Pc>, Error> {
        let linker = self.linker;
        let error = |what: &str| self.error(format!("jump table `{}`: {what}", sym.name));
        let bytes = linker.elf.sections[sym.section].bytes()?;
        let from = usize::try_from(sym.value).ok();
        let to = sym
            .value
            .checked_add(sym.size)
            .and_then(|n| usize::try_from(n).ok());
        let table = from
            .zip(to)
            .and_then(|(from, to)| bytes.get(from..to))
            .filter(|t| !t.is_empty() && t.len() % 8 == 0)
            .ok_or_else(|| error("it lies outside its section or has an odd size"))?;
        let holder = self
            .program
            .subprogs
            .iter()
            .find(|s| (s.start..s.end).contains(&pc))
            .ok_or_else(|| error("nobody holds it"))?;
        let func = self
            .placed
            .iter()
            .find(|&(_, &index)| self.program.subprogs[index].start == holder.start)
            .map(|(&func, _)| &linker.funcs[func])
            .ok_or_else(|| error("nobody holds it"))?;
        let (entries, _) = table.as_chunks::<8>();
        entries
            .iter()
            .map(|&e| {
                let at = u64::from_le_bytes(e);
                let slot = usize::try_from(at / SLOT).ok().filter(|_| at % SLOT == 0);
                slot.and_then(|slot| slot.checked_sub(func.start))
                    .filter(|&slot| slot < func.len)
                    .map(|slot| holder.start + slot)
                    .ok_or_else(|| error("an entry points outside the function"))
            })
            .collect()
    }
}
