//! Functions as the code generator gives them → one block of code that may be put anywhere.
//!
//! Functions lie one after another, then veneers (a jump to an address that is filled in later,
//! one for each function outside that is called), then the table of main functions.
//!
//! **Invariant:** what lies in the block refers to what lies in it by distance, and to the outside
//! by [`Fixup`]s alone, so the block is data: the same wherever and whenever it will run.

use std::collections::BTreeMap;

use crate::error::Error;
use crate::placement;
use crate::symbol::Symbol;
use crate::target::Arch;

/// What is written where when code is linked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// The address, as 64 bits.
    Address,
    /// A direct call, which goes by a veneer so far.
    Call,
}

/// A reference to the outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fixup {
    /// Offset into the block.
    pub at: u32,
    pub place: Place,
    pub symbol: Symbol,
    pub addend: i64,
}

/// One function of the block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Placed {
    pub program: u32,
    /// Number among the program's functions.
    pub function: u32,
    pub start: u32,
    pub len: u32,
    /// It does not use the call's state, which is its first argument: that may be anything.
    pub stateless: bool,
    /// Offset into the function, and the instruction whose code begins there; ascending.
    pub lines: Vec<(u32, u32)>,
}

/// Compiled programs, not yet in executable memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Code {
    pub arch: Arch,
    pub bytes: Vec<u8>,
    pub functions: Vec<Placed>,
    pub fixups: Vec<Fixup>,
    /// Offset of the table of main functions: an address a program, all zero so far.
    pub entries: u32,
    /// Offset of what a host calls of each program: its main function, or what enters that.
    pub mains: Vec<u32>,
    /// Offset of each program's main function, as it stands in the table.
    pub targets: Vec<u32>,
}

/// How a place inside of a function is to be patched, as the code generator says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reloc {
    Abs8,
    /// 32-bit distance from the place.
    X86Rel4,
    /// A 26-bit distance in words.
    Arm64Call,
    /// The distance in pages.
    Arm64Page,
    /// The offset in its page, of an addition.
    Arm64PageOffset,
}

/// A reference of one function.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reference {
    pub at: u32,
    pub reloc: Reloc,
    pub symbol: Symbol,
    pub addend: i64,
}

/// Collects functions.
pub(crate) struct Builder {
    code: Code,
    references: Vec<Reference>,
    starts: BTreeMap<Symbol, u32>,
}

const FUNCTION_ALIGN: u32 = 16;

impl Builder {
    pub fn new(arch: Arch) -> Builder {
        Builder {
            code: Code {
                arch,
                bytes: Vec::new(),
                functions: Vec::new(),
                fixups: Vec::new(),
                entries: 0,
                mains: Vec::new(),
                targets: Vec::new(),
            },
            references: Vec::new(),
            starts: BTreeMap::new(),
        }
    }

    pub fn arch(&self) -> Arch {
        self.code.arch
    }

    fn here(&self) -> Result<u32, Error> {
        let bytes = self.code.bytes.len();
        u32::try_from(bytes)
            .ok()
            .filter(|_| bytes <= crate::pages::MAX_BYTES)
            .ok_or_else(|| Error::Memory {
                bytes,
                message: format!("more than {}", crate::pages::MAX_BYTES),
            })
    }

    fn align(&mut self, to: u32) -> Result<u32, Error> {
        let bytes = self.code.bytes.len().next_multiple_of(to.max(1) as usize);
        self.code.bytes.resize(bytes, 0);
        self.here()
    }

    /// The next place at this offset in a line of so many bytes.
    fn place(&mut self, line: u32, offset: u32) -> Result<u32, Error> {
        let here = self.code.bytes.len();
        let line = line as usize;
        let gap = (line + offset as usize - here % line) % line;
        self.code.bytes.resize(here + gap, 0);
        self.here()
    }

    /// Adds a function's machine code, at an offset in a line where one is wanted; its references count from its start.
    /// Where it starts, and how long it is, is found out here.
    pub fn function(
        &mut self,
        placed: Placed,
        bytes: &[u8],
        align: u32,
        offset: Option<u32>,
        references: &[Reference],
    ) -> Result<(), Error> {
        let start = match offset {
            Some(offset) => self.place(placement::LINE, offset)?,
            None => self.align(align.max(FUNCTION_ALIGN))?,
        };
        self.code.bytes.extend_from_slice(bytes);
        self.here()?;
        let symbol = Symbol::Function {
            program: placed.program,
            function: placed.function,
        };
        self.starts.insert(symbol, start);
        self.references.extend(references.iter().map(|r| Reference {
            at: start.saturating_add(r.at),
            ..*r
        }));
        self.code.functions.push(Placed {
            start,
            len: bytes.len() as u32,
            ..placed
        });
        Ok(())
    }

    /// Adds veneers and the table, and resolves what can be.
    pub fn finish(mut self, programs: usize) -> Result<Code, Error> {
        for n in 0..programs {
            let main = Symbol::Function {
                program: n as u32,
                function: 0,
            };
            let start = self.starts.get(&main).copied();
            let start = start.ok_or(Error::NoProgram(n))?;
            let entry = self.starts.get(&Symbol::entry(n as u32)).copied();
            self.code.mains.push(entry.unwrap_or(start));
            self.code.targets.push(start);
        }
        self.code.entries = self.align(8)?;
        self.starts.insert(Symbol::Entries, self.code.entries);
        let table = self.code.bytes.len() + 8 * programs;
        self.code.bytes.resize(table, 0);
        let mut veneers: BTreeMap<(Symbol, i64), u32> = BTreeMap::new();
        for r in std::mem::take(&mut self.references) {
            // The distance counts from the place itself: what the processor adds to is in the addend.
            if r.symbol.is_inside() {
                let to = self.starts.get(&r.symbol).copied();
                let to = to.ok_or_else(|| Error::Link(format!("{:?} is not there", r.symbol)))?;
                self.patch(r.at, r.reloc, i64::from(to), r.addend)?;
                continue;
            }
            let place = match r.reloc {
                Reloc::Abs8 => Place::Address,
                Reloc::X86Rel4 | Reloc::Arm64Call => Place::Call,
                Reloc::Arm64Page | Reloc::Arm64PageOffset => {
                    return Err(Error::Link(format!("{:?} is not near", r.symbol)));
                }
            };
            self.code.fixups.push(Fixup {
                at: r.at,
                place,
                symbol: r.symbol,
                addend: r.addend,
            });
            if place == Place::Call {
                let key = (r.symbol, 0);
                let veneer = match veneers.get(&key) {
                    Some(v) => *v,
                    None => {
                        let v = self.veneer(r.symbol)?;
                        veneers.insert(key, v);
                        v
                    }
                };
                self.patch(r.at, r.reloc, i64::from(veneer), r.addend)?;
            }
        }
        Ok(self.code)
    }

    /// A jump to an address outside.
    fn veneer(&mut self, symbol: Symbol) -> Result<u32, Error> {
        let start = self.align(16)?;
        let jump: &[u8] = match self.code.arch {
            // jmp qword ptr [rip + 2]; ud2
            Arch::X86_64 => &[0xff, 0x25, 2, 0, 0, 0, 0x0f, 0x0b],
            // ldr x16, #8; br x16
            Arch::Aarch64 => &[0x50, 0, 0, 0x58, 0, 2, 0x1f, 0xd6],
        };
        self.code.bytes.extend_from_slice(jump);
        self.code.fixups.push(Fixup {
            at: self.here()?,
            place: Place::Address,
            symbol,
            addend: 0,
        });
        self.code.bytes.extend_from_slice(&[0; 8]);
        self.here()?;
        Ok(start)
    }

    fn patch(&mut self, at: u32, reloc: Reloc, to: i64, addend: i64) -> Result<(), Error> {
        let far = || Error::Link(format!("{reloc:?} at {at:#x} does not reach"));
        let distance = to - i64::from(at) + addend;
        match reloc {
            // The address of a part of the block is not known before it is placed.
            Reloc::Abs8 => Err(far()),
            Reloc::X86Rel4 => {
                let distance = i32::try_from(distance).map_err(|_| far())?;
                write(&mut self.code.bytes, at, &distance.to_le_bytes()).ok_or_else(far)
            }
            Reloc::Arm64Call => {
                let word = arm64_call(distance).ok_or_else(far)?;
                or_word(&mut self.code.bytes, at, word).ok_or_else(far)
            }
            Reloc::Arm64Page => {
                // Pages of the block are pages of memory: it is placed at a page's start.
                let pages = ((to + addend) >> 12) - (i64::from(at) >> 12);
                let pages = u32::try_from(pages & 0x1f_ffff).map_err(|_| far())?;
                or_word(
                    &mut self.code.bytes,
                    at,
                    (pages & 3) << 29 | (pages >> 2) << 5,
                )
                .ok_or_else(far)
            }
            Reloc::Arm64PageOffset => {
                let offset = ((to + addend) & 0xfff) as u32;
                or_word(&mut self.code.bytes, at, offset << 10).ok_or_else(far)
            }
        }
    }
}

/// The distance of a `bl`, in its place.
pub(crate) fn arm64_call(distance: i64) -> Option<u32> {
    let words = distance >> 2;
    ((-(1 << 25)..1 << 25).contains(&words) && distance & 3 == 0)
        .then_some(words as u32 & 0x03ff_ffff)
}

pub(crate) fn write(bytes: &mut [u8], at: u32, what: &[u8]) -> Option<()> {
    let at = at as usize;
    bytes
        .get_mut(at..at.checked_add(what.len())?)?
        .copy_from_slice(what);
    Some(())
}

/// Sets bits of an instruction that are zero so far.
fn or_word(bytes: &mut [u8], at: u32, bits: u32) -> Option<()> {
    let at = at as usize;
    let place = bytes.get_mut(at..at.checked_add(4)?)?;
    let word = u32::from_le_bytes(place.try_into().ok()?);
    place.copy_from_slice(&(word | bits).to_le_bytes());
    Some(())
}
