//! Branches around one copy → selections.
//!
//! BPF has no conditional copies, so that `x = a; if c goto on; x = b; on:` is what a compiler makes of them. As blocks
//! with a parameter they take the code generator several times what a selection does, and the processor a guess.
//!
//! **Invariant:** the copy does nothing but write its register, whatever that holds on the other way, and control comes to
//! it by the branch alone.

use std::collections::BTreeMap;
use std::ops::Range;

use cranelift_codegen::ir::{Block, InstBuilder, Value};
use probity_isa::{Imm64, Insn, JmpOp, Pc, Reg, Src, Width};

use crate::error::Error;
use crate::flow::{reached, successors};
use crate::lowerings::Lowerings;
use crate::translate::Translator;

/// Functions longer than this are left alone.
const MAX_FOLLOWED: usize = 1 << 16;

/// Branches that are selections, each with its copy, and places that no other way leads to.
#[derive(Default)]
pub(crate) struct Selections {
    copies: BTreeMap<Pc, Pc>,
    joined: Vec<Pc>,
}

impl Selections {
    /// The copy that a branch jumps over.
    pub fn copy(&self, branch: Pc) -> Option<Pc> {
        self.copies.get(&branch).copied()
    }

    /// The instruction is translated with the branch before it.
    pub fn is_copy(&self, pc: Pc) -> bool {
        let before = pc.checked_sub(1).and_then(|branch| self.copy(branch));
        before == Some(pc)
    }

    /// Where control no longer parts or comes together.
    pub fn straight(&self) -> impl Iterator<Item = Pc> {
        let copies = self.copies.values().copied();
        copies.chain(self.joined.iter().copied())
    }
}

/// The register that a copy writes.
fn copied(insn: &Insn) -> Option<Reg> {
    match *insn {
        Insn::Mov { dst, .. }
        | Insn::LoadImm64 {
            dst,
            imm: Imm64::Value(_),
        } => Some(dst),
        _ => None,
    }
}

impl Translator<'_, '_> {
    /// The selections of a function; `tables` is where jumps through registers may go.
    pub(crate) fn selections(&self, range: &Range<Pc>, tables: &[Pc]) -> Selections {
        let mut found = Selections::default();
        let skipped = range.len() > MAX_FOLLOWED || self.watched.is_some();
        if skipped || !self.lowerings.has(Lowerings::SELECTS) {
            return found;
        }
        let p = self.program();
        let mut candidates = Vec::new();
        for pc in range.clone().filter(|pc| reached(p, *pc)) {
            let insn @ Insn::JumpIf { op, width, src, .. } = &p.insns()[pc] else {
                continue;
            };
            // What a lookup gave is compared with NULL in a way of its own.
            let null =
                *src == Src::Imm(0) && *width == Width::W64 && matches!(op, JmpOp::Eq | JmpOp::Ne);
            let decided = p.facts().get(pc).is_none_or(|f| f.decided.is_some());
            let copy = pc + 1;
            let Some(insns) = p.insns().get(copy).filter(|i| copied(i).is_some()) else {
                continue;
            };
            let on = copy + insns.slots();
            let jumps = insn.jump_target(pc) == Some(on as i64);
            let whole = range.contains(&copy) && range.contains(&on) && reached(p, copy);
            if null || decided || !jumps || !whole || self.landing(copy) != copy {
                continue;
            }
            // Where the jump leads in the end may be another place than behind the copy.
            if self.landing(on) == on {
                candidates.push((pc, copy, on));
            }
        }
        if candidates.is_empty() {
            return found;
        }
        let mut ways = vec![0u32; range.len()];
        let mut come = |to: Pc| {
            let to = to.checked_sub(range.start);
            if let Some(n) = to.and_then(|to| ways.get_mut(to)) {
                *n += 1;
            }
        };
        tables.iter().for_each(|to| come(*to));
        come(range.start);
        for pc in range.clone().filter(|pc| reached(p, *pc)) {
            successors(p, pc).for_each(|to| come(self.landing(to)));
        }
        for (pc, copy, on) in candidates {
            if ways.get(copy - range.start) != Some(&1) {
                continue;
            }
            found.copies.insert(pc, copy);
            if ways.get(on - range.start) == Some(&2) {
                found.joined.push(on);
            }
        }
        found
    }

    /// The branch at an instruction, as a selection of what the copy behind it writes.
    pub(crate) fn select(
        &mut self,
        copy: Pc,
        taken: Value,
        heads: &BTreeMap<Pc, Block>,
    ) -> Result<(), Error> {
        let insn = self.program().insns()[copy];
        let Some(dst) = copied(&insn) else {
            return Err(self.unsupported(copy, "this copy"));
        };
        let old = self.get(dst);
        self.insn(copy, insn, heads)?;
        let new = self.get(dst);
        if old == new {
            return Ok(());
        }
        let narrow = self.is_narrow(old) && self.is_narrow(new);
        let v = self.b.ins().select(taken, old, new);
        if narrow {
            self.narrow.insert(v);
        }
        self.set(dst, v);
        Ok(())
    }
}
