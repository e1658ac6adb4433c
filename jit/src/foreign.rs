//! Programs → code for a processor other than this one, as data with its references by name.
//!
//! The same translation as for this machine; whoever loads the code gives the references their
//! addresses. The tests run code for 64-bit Arm this way, in an emulator.

use probity_runtime::Instance;

use crate::code::{Code, Place};
use crate::error::Error;
use crate::options::Options;
use crate::symbol::{Routine, Symbol};
use crate::target::Target;

/// Code that may be put at the start of any page.
#[derive(Clone, Debug)]
pub struct Foreign {
    code: Code,
}

/// What a reference is to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Referent {
    /// A helper, by number.
    Helper(u32),
    /// A kernel function, by its type's id on the platform.
    Kfunc(u32),
    /// Reads of kernel memory: (call, address, bytes).
    KernelRead,
    /// Legacy packet loads: (call, offset, bytes), in host order, or -1.
    PacketLoad,
    /// What a map's pointer holds, by the map's index.
    Map(u32),
    /// The values of a map that is an array.
    Values(u32),
    /// What low halves of addresses are added to in a map that is an arena.
    Arena(u32),
    /// Whether pages of an arena are there: (arena, place, bytes).
    ArenaHas,
    /// The slots of a map of programs: each holds a program's index, or all ones.
    Slots(u32),
    /// The count that a host moves to end calls.
    Epoch,
}

/// A place that holds the address of something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reference {
    /// Offset of eight bytes.
    pub at: u32,
    pub to: Referent,
    pub addend: i64,
}

impl Foreign {
    /// Compiles every program of the instance for 64-bit Arm.
    pub fn aarch64(instance: &Instance, options: &Options) -> Result<Foreign, Error> {
        let target = Target::aarch64(options)?;
        let code = crate::compile::compile(instance, &target)?;
        Ok(Foreign { code })
    }

    pub fn bytes(&self) -> &[u8] {
        &self.code.bytes
    }

    /// Offset of what is called of each program, with the call's state and r1.
    pub fn mains(&self) -> &[u32] {
        &self.code.mains
    }

    /// Offset of each program's main function as tail calls reach it.
    pub fn targets(&self) -> &[u32] {
        &self.code.targets
    }

    /// Offset of the table of these: their addresses, as the loader places them.
    pub fn entries(&self) -> u32 {
        self.code.entries
    }

    /// Addresses that the loader fills in. Calls go by these too.
    pub fn references(&self) -> impl Iterator<Item = Reference> {
        let addresses = self.code.fixups.iter();
        addresses
            .filter(|f| f.place == Place::Address)
            .map(|f| Reference {
                at: f.at,
                addend: f.addend,
                to: match f.symbol {
                    Symbol::Helper(id) => Referent::Helper(id),
                    Symbol::Kfunc(id) => Referent::Kfunc(id),
                    // Elsewhere there is one helper for all maps, which takes the map's own address.
                    Symbol::Direct { helper, .. } => Referent::Helper(helper.into()),
                    Symbol::Store(n) => Referent::Map(n),
                    Symbol::Routine(Routine::KernelRead) => Referent::KernelRead,
                    Symbol::Routine(Routine::PacketLoad) => Referent::PacketLoad,
                    Symbol::Routine(Routine::ArenaHas) => Referent::ArenaHas,
                    Symbol::Map(n) => Referent::Map(n),
                    Symbol::Values(n) => Referent::Values(n),
                    Symbol::Slots(n) => Referent::Slots(n),
                    Symbol::Arena(n) => Referent::Arena(n),
                    Symbol::Epoch => Referent::Epoch,
                    // What is inside is no reference to the outside.
                    Symbol::Function { .. } | Symbol::Entries => Referent::Map(u32::MAX),
                },
            })
    }
}
