//! [`Code`] × an instance → executable memory of this process.
//!
//! **Invariant:** every address that is written comes from a [`crate::symbol::Symbol`] of this
//! instance; a symbol that it lacks is an error.

use probity_runtime::{Instance, kernel_read_fn};

use crate::code::{Code, Place, Placed, arm64_call, write};
use crate::error::Error;
use crate::pages::Pages;
use crate::target::Arch;

/// A function that a host calls.
#[derive(Clone, Copy)]
pub(crate) struct Entrance {
    pub address: u64,
    /// It does not use the call's state.
    pub stateless: bool,
}

/// Code that can be called.
pub(crate) struct Linked {
    pages: Pages,
    /// What a host calls of each program.
    pub mains: Box<[Entrance]>,
    pub functions: Vec<Placed>,
}

impl Linked {
    pub fn new(code: Code, instance: &Instance) -> Result<Linked, Error> {
        // Helpers are called without detours where the code lies near them.
        let near = kernel_read_fn as *const () as u64;
        let pages = Pages::new(code.bytes.len(), near, |base, memory| {
            let room = memory.get_mut(..code.bytes.len());
            let Some(room) = room else {
                return Err(Error::Link("the memory is too small".into()));
            };
            room.copy_from_slice(&code.bytes);
            patch(&code, instance, base, room)
        })?;
        let starts_at = |m: u32| code.functions.iter().find(|f| f.start == m);
        let entrance = |m: &u32| Entrance {
            address: pages.address() + u64::from(*m),
            stateless: starts_at(*m).is_some_and(|f| f.stateless),
        };
        let mains = code.mains.iter().map(entrance).collect();
        Ok(Linked {
            pages,
            mains,
            functions: code.functions,
        })
    }

    /// Address and machine code of a function.
    pub fn code(&self, f: &Placed) -> (u64, &[u8]) {
        let all = self.pages.bytes();
        let (start, len) = (f.start as usize, f.len as usize);
        let code = all.get(start..start.saturating_add(len));
        (
            self.pages.address() + u64::from(f.start),
            code.unwrap_or_default(),
        )
    }

    /// First address, and bytes.
    pub fn extent(&self) -> (u64, usize) {
        (self.pages.address(), self.pages.len())
    }
}

pub(crate) fn patch(
    code: &Code,
    instance: &Instance,
    base: u64,
    memory: &mut [u8],
) -> Result<(), Error> {
    let outside = |at: u32| Error::Link(format!("there is no place {at:#x}"));
    for f in &code.fixups {
        let address = f.symbol.address(instance);
        let address =
            address.ok_or_else(|| Error::Link(format!("{:?} does not exist", f.symbol)))?;
        let address = address.wrapping_add_signed(f.addend);
        match f.place {
            Place::Address => {
                write(memory, f.at, &address.to_le_bytes()).ok_or_else(|| outside(f.at))?;
            }
            Place::Call => {
                let distance = address.wrapping_sub(base + u64::from(f.at)) as i64;
                let word = match code.arch {
                    Arch::X86_64 => i32::try_from(distance).ok().map(|d| d as u32),
                    // The operation's bits: `bl`.
                    Arch::Aarch64 => arm64_call(distance).map(|w| 0x9400_0000 | w),
                };
                // Otherwise the veneer it is.
                if let Some(word) = word {
                    write(memory, f.at, &word.to_le_bytes()).ok_or_else(|| outside(f.at))?;
                }
            }
        }
    }
    for (n, main) in code.targets.iter().enumerate() {
        let at = code.entries.saturating_add(8 * n as u32);
        let main = base + u64::from(*main);
        write(memory, at, &main.to_le_bytes()).ok_or_else(|| outside(at))?;
    }
    Ok(())
}
