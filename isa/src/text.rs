//! Instructions → assembly text, in the syntax of LLVM and the kernel's log, or as mnemonics.
//!
//! **Invariant:** the text of an encodable instruction parses to the same instruction.
//! What LLVM can express is written as `llvm-mc` reads it; the rest (map and function
//! references by number, calls by BTF id) in the notation of `bpftool`.

use std::collections::BTreeMap;
use std::fmt::{self, Write};

use crate::encode::row_and_operands;
use crate::form::Operands;
use crate::gnu;
use crate::table::Kind;
use crate::template::{Piece, Slot, pieces};
use crate::{CallTarget, Insn, Pc};

impl fmt::Display for Insn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_insn(f, *self, Dialect::Llvm, &|_| None)
    }
}

/// How instructions are written. Both are read, line by line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dialect {
    /// `r1 += 5`, as LLVM and the kernel write it.
    #[default]
    Llvm,
    /// `add %r1, 5`, as GNU binutils and ubpf write it.
    Gnu,
}

impl Insn {
    /// Its text in a dialect.
    pub fn written(self, dialect: Dialect) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = write_insn(&mut text, self, dialect, &|_| None);
        text
    }
}

/// Writes one instruction; `name` may give a name for a jump's or call's or address's target.
fn write_insn(
    f: &mut impl Write,
    insn: Insn,
    dialect: Dialect,
    name: &dyn Fn(&Insn) -> Option<String>,
) -> fmt::Result {
    let Some((row, ops)) = row_and_operands(insn) else {
        return match insn {
            Insn::Imm64High => f.write_str("(second slot)"),
            insn => write!(f, "(no encoding: {insn:?})"),
        };
    };
    let name = name(&insn);
    let words = match dialect {
        Dialect::Llvm => None,
        Dialect::Gnu => gnu::text(row.kind),
    };
    let sigil = if words.is_some() { "%" } else { "" };
    if let (Some(name), Insn::Call(target)) = (&name, insn) {
        let local = matches!(target, CallTarget::Subprog { .. }) && words.is_some();
        return write!(f, "call {}{name}", if local { "local " } else { "" });
    }
    if let (Some(name), Insn::LoadImm64 { dst, .. }) = (&name, insn) {
        return write!(f, "{dst} = {name} ll");
    }
    for piece in pieces(words.unwrap_or(row.text)) {
        match (piece, &name) {
            (Piece::Literal(text), _) => f.write_str(text)?,
            (Piece::Operand(Slot::Rel | Slot::Rel32), Some(name)) => f.write_str(name)?,
            (Piece::Operand(Slot::Dst | Slot::Dst32 | Slot::Src | Slot::Src32), _) => {
                if let Piece::Operand(slot) = piece {
                    f.write_str(sigil)?;
                    write_operand(f, slot, &ops)?;
                }
            }
            // A subprogram by its distance, which is signed.
            (Piece::Operand(Slot::Helper), _) if row.kind == Kind::CallSubprog => {
                write!(f, "{}", ops.imm)?;
            }
            (Piece::Operand(slot), _) => write_operand(f, slot, &ops)?,
        }
    }
    Ok(())
}

fn write_operand(f: &mut impl Write, slot: Slot, ops: &Operands) -> fmt::Result {
    let imm = ops.imm as u32;
    match slot {
        Slot::Dst => write!(f, "r{}", ops.dst.index()),
        Slot::Dst32 => write!(f, "w{}", ops.dst.index()),
        Slot::Src => write!(f, "r{}", ops.src.index()),
        Slot::Src32 => write!(f, "w{}", ops.src.index()),
        Slot::Imm | Slot::Imm32 | Slot::SignedImm => write!(f, "{}", ops.imm),
        Slot::Id | Slot::Helper => write!(f, "{imm}"),
        Slot::To => write!(f, "{}", imm >> 16),
        Slot::From => write!(f, "{}", imm & 0xffff),
        Slot::Imm64 => write!(
            f,
            "{:#x}",
            u64::from(ops.next as u32) << 32 | u64::from(imm)
        ),
        Slot::Next => write!(f, "{}", ops.next as u32),
        Slot::Off => {
            let sign = if ops.off < 0 { '-' } else { '+' };
            write!(f, "{sign} {}", ops.off.unsigned_abs())
        }
        Slot::Disp if ops.off == 0 => Ok(()),
        Slot::Disp => write!(f, "{:+}", ops.off),
        Slot::Off32 if ops.imm == 0 => Ok(()),
        Slot::Off32 => {
            let sign = if ops.imm < 0 { '-' } else { '+' };
            write!(f, " {sign} {}", ops.imm.unsigned_abs())
        }
        Slot::Module => write!(f, "{}", ops.off),
        Slot::Rel => write!(f, "{:+}", ops.off),
        Slot::Rel32 => write!(f, "{:+}", ops.imm),
    }
}

/// A program to be listed, one line an instruction.
///
/// Its `Display` numbers the slots unless told not to; with labels it is a text that
/// assembles to the same program.
#[derive(Clone)]
pub struct Listing<'a> {
    insns: &'a [Insn],
    labels: BTreeMap<Pc, String>,
    helper: Option<&'a dyn Fn(u32) -> Option<String>>,
    pcs: bool,
    dialect: Dialect,
}

impl<'a> Listing<'a> {
    pub fn new(insns: &'a [Insn]) -> Listing<'a> {
        Listing {
            insns,
            labels: BTreeMap::new(),
            helper: None,
            pcs: true,
            dialect: Dialect::Llvm,
        }
    }

    /// Without slot numbers.
    pub fn plain(mut self) -> Listing<'a> {
        self.pcs = false;
        self
    }

    pub fn dialect(mut self, dialect: Dialect) -> Listing<'a> {
        self.dialect = dialect;
        self
    }

    /// Names a slot. It is shown as a label, and wherever something jumps to or calls it.
    pub fn label(mut self, pc: Pc, name: impl Into<String>) -> Listing<'a> {
        self.labels.insert(pc, name.into());
        self
    }

    /// Names every target that has no name yet: `sub_9` if it is called or its address
    /// taken, else `L9`.
    pub fn label_targets(mut self) -> Listing<'a> {
        let inside = |target: Option<i64>| {
            let pc = Pc::try_from(target?).ok()?;
            (self.insns.get(pc)? != &Insn::Imm64High).then_some(pc)
        };
        let mut names = BTreeMap::new();
        for (pc, insn) in self.insns.iter().enumerate() {
            if let Some(target) = inside(insn.jump_target(pc)) {
                names.entry(target).or_insert_with(|| format!("L{target}"));
            }
            if let Some(target) = inside(insn.subprog_target(pc)) {
                names.insert(target, format!("sub_{target}"));
            }
        }
        for (pc, name) in names {
            self.labels.entry(pc).or_insert(name);
        }
        self
    }

    /// Shows helpers by name where `name` knows one.
    pub fn helpers(mut self, name: &'a dyn Fn(u32) -> Option<String>) -> Listing<'a> {
        self.helper = Some(name);
        self
    }

    /// The text of the instruction at `pc`, or `None` past the end.
    pub fn line(&self, pc: Pc) -> Option<String> {
        let insn = *self.insns.get(pc)?;
        let name = |insn: &Insn| {
            if let Insn::Call(CallTarget::Helper(id)) = insn {
                return self.helper.and_then(|name| name(*id));
            }
            let target = insn.jump_target(pc).or(insn.subprog_target(pc))?;
            self.labels.get(&Pc::try_from(target).ok()?).cloned()
        };
        let mut line = String::new();
        // Writing to a string cannot fail.
        let _ = write_insn(&mut line, insn, self.dialect, &name);
        Some(line)
    }
}

impl fmt::Display for Listing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.insns.len().max(1).ilog10() as usize + 1;
        for (pc, insn) in self.insns.iter().enumerate() {
            if let Some(label) = self.labels.get(&pc) {
                writeln!(f, "{label}:")?;
            }
            if *insn == Insn::Imm64High {
                continue;
            }
            let line = self.line(pc).unwrap_or_default();
            if self.pcs {
                writeln!(f, "{pc:>digits$}: {line}")?;
            } else {
                writeln!(f, "\t{line}")?;
            }
        }
        Ok(())
    }
}
