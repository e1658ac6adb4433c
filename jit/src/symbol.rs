//! What compiled code refers to outside of itself, by name ⇄ as Cranelift carries it → addresses of this process.
//!
//! **Invariant:** code holds no address but by a [`Symbol`]: an address is known when the code is
//! linked, not before, so that compiled code means the same in every process and for every instance.

use cranelift_codegen::ir::UserExternalName;
use probity_runtime::{Instance, arena_has_fn, helpers, kernel_read_fn, packet_load_fn};

/// Something with an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Symbol {
    /// A function of a program, by number.
    Function { program: u32, function: u32 },
    /// The table of the programs' main functions, as tail calls reach them.
    Entries,
    /// A helper by its number.
    Helper(u32),
    /// A kernel function by its type's id.
    Kfunc(u32),
    /// A function of the runtime that is neither.
    Routine(Routine),
    /// A map's own address: what a program's map pointer holds.
    Map(u32),
    /// The count that a host moves to end calls.
    Epoch,
    /// The first value of a map whose values lie side by side, the first page of an arena.
    Values(u32),
    /// What a map's own helpers take in the place of its address.
    Store(u32),
    /// What low halves of addresses are added to in a map that is an arena.
    Arena(u32),
    /// The first slot of a map whose elements programs follow.
    Slots(u32),
    /// A helper's code for one map.
    Direct { helper: u8, map: u32 },
}

/// Functions of the runtime that compiled code calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Routine {
    KernelRead,
    PacketLoad,
    ArenaHas,
}

impl Routine {
    pub const ALL: &[Routine] = &[Routine::KernelRead, Routine::PacketLoad, Routine::ArenaHas];

    fn address(self) -> u64 {
        let function = match self {
            Routine::KernelRead => kernel_read_fn as *const (),
            Routine::PacketLoad => packet_load_fn as *const (),
            Routine::ArenaHas => arena_has_fn as *const (),
        };
        function as u64
    }
}

/// Name spaces of [`UserExternalName`]; functions of program `n` are in `PROGRAMS + n`.
mod space {
    pub const ENTRIES: u32 = 0;
    pub const HELPERS: u32 = 1;
    pub const ROUTINES: u32 = 2;
    pub const MAPS: u32 = 3;
    pub const VALUES: u32 = 4;
    pub const EPOCH: u32 = 5;
    pub const STORES: u32 = 6;
    pub const KFUNCS: u32 = 7;
    pub const SLOTS: u32 = 8;
    pub const ARENAS: u32 = 9;
    /// And the helper's number, below 256.
    pub const DIRECT: u32 = 256;
    pub const PROGRAMS: u32 = 512;
}

impl Symbol {
    /// As two numbers: in IR, and in the cache.
    pub fn numbers(self) -> (u32, u32) {
        match self {
            Symbol::Function { program, function } => {
                (space::PROGRAMS.saturating_add(program), function)
            }
            Symbol::Entries => (space::ENTRIES, 0),
            Symbol::Helper(id) => (space::HELPERS, id),
            Symbol::Kfunc(id) => (space::KFUNCS, id),
            Symbol::Routine(r) => (space::ROUTINES, r as u32),
            Symbol::Map(n) => (space::MAPS, n),
            Symbol::Values(n) => (space::VALUES, n),
            Symbol::Epoch => (space::EPOCH, 0),
            Symbol::Store(n) => (space::STORES, n),
            Symbol::Slots(n) => (space::SLOTS, n),
            Symbol::Arena(n) => (space::ARENAS, n),
            Symbol::Direct { helper, map } => (space::DIRECT + u32::from(helper), map),
        }
    }

    pub fn of_numbers(space: u32, index: u32) -> Option<Symbol> {
        Some(match space {
            space::ENTRIES if index == 0 => Symbol::Entries,
            space::HELPERS => Symbol::Helper(index),
            space::KFUNCS => Symbol::Kfunc(index),
            space::ROUTINES => {
                let mut all = Routine::ALL.iter();
                Symbol::Routine(*all.find(|r| **r as u32 == index)?)
            }
            space::MAPS => Symbol::Map(index),
            space::VALUES => Symbol::Values(index),
            space::EPOCH if index == 0 => Symbol::Epoch,
            space::STORES => Symbol::Store(index),
            space::SLOTS => Symbol::Slots(index),
            space::ARENAS => Symbol::Arena(index),
            n @ space::DIRECT..space::PROGRAMS => Symbol::Direct {
                helper: (n - space::DIRECT) as u8,
                map: index,
            },
            n => Symbol::Function {
                program: n.checked_sub(space::PROGRAMS)?,
                function: index,
            },
        })
    }

    pub fn name(self) -> UserExternalName {
        let (namespace, index) = self.numbers();
        UserExternalName { namespace, index }
    }

    /// The function by which a host enters a program whose main function has another convention.
    pub fn entry(program: u32) -> Symbol {
        let function = Symbol::ENTRY;
        Symbol::Function { program, function }
    }

    /// The number of such a function.
    pub const ENTRY: u32 = u32::MAX;

    /// Whether it is part of the code itself.
    pub fn is_inside(self) -> bool {
        matches!(self, Symbol::Function { .. } | Symbol::Entries)
    }

    /// Where it is in this process, when it is outside of the code and exists.
    pub fn address(self, instance: &Instance) -> Option<u64> {
        match self {
            Symbol::Function { .. } | Symbol::Entries => None,
            Symbol::Helper(id) => helpers::find(id).map(|h| h.function as usize as u64),
            Symbol::Kfunc(id) => instance.kfunc(id).map(|k| k.function as usize as u64),
            Symbol::Routine(r) => Some(r.address()),
            Symbol::Map(n) => instance.map(n as usize).map(|m| m.address()),
            Symbol::Epoch => Some(instance.epoch().address()),
            Symbol::Values(n) => instance.map(n as usize)?.values_start(),
            Symbol::Store(n) => Some(instance.map(n as usize)?.store_address()),
            Symbol::Slots(n) => Some(instance.map(n as usize)?.slots()?.base),
            Symbol::Arena(n) => Some(instance.map(n as usize)?.arena()?.origin()),
            Symbol::Direct { helper, map } => {
                let direct = instance.direct(u32::from(helper), map as usize)?;
                Some(direct.function as usize as u64)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_symbol_is_its_numbers() {
        let mut all = vec![
            Symbol::Function {
                program: 3,
                function: 7,
            },
            Symbol::Entries,
            Symbol::Helper(211),
            Symbol::Kfunc(211),
            Symbol::Map(0),
            Symbol::Epoch,
            Symbol::Values(u32::MAX),
            Symbol::Store(5),
            Symbol::Slots(5),
            Symbol::Arena(5),
            Symbol::Direct {
                helper: 255,
                map: 1,
            },
            Symbol::Direct { helper: 0, map: 1 },
        ];
        all.extend(Routine::ALL.iter().map(|r| Symbol::Routine(*r)));
        for (n, s) in all.iter().enumerate() {
            let (space, index) = s.numbers();
            assert_eq!(Symbol::of_numbers(space, index), Some(*s));
            assert!(all[..n].iter().all(|o| o.numbers() != s.numbers()));
        }
        assert_eq!(Symbol::of_numbers(60, 0), None);
        assert_eq!(Symbol::of_numbers(0, 1), None);
        assert_eq!(Symbol::of_numbers(2, 99), None);
    }
}
