//! Instructions with labels → a program's slots, each with its place in the script.
//!
//! **Invariant:** what [`Asm::finish`] gives has every jump resolved; a jump that does not reach is an error.

use probity_isa::{
    AluOp, AtomicOp, CallTarget, Imm64, Insn, JmpOp, RawInsn, Reg, Size, Src, Width,
};

use crate::source::Span;

/// A place to jump to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Label(usize);

/// What an instruction can take as its second operand.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Operand {
    Reg(Reg),
    Imm(i32),
}

impl From<Reg> for Operand {
    fn from(r: Reg) -> Operand {
        Operand::Reg(r)
    }
}

impl From<i32> for Operand {
    fn from(i: i32) -> Operand {
        Operand::Imm(i)
    }
}

impl Operand {
    fn src(self) -> Src {
        match self {
            Operand::Reg(r) => Src::Reg(r),
            Operand::Imm(i) => Src::Imm(i),
        }
    }
}

/// A program being written.
#[derive(Debug, Default)]
pub(crate) struct Asm {
    insns: Vec<Insn>,
    spans: Vec<Span>,
    /// Slot of each label once it is bound.
    labels: Vec<Option<usize>>,
    /// Slots that jump to a label.
    jumps: Vec<(usize, Label)>,
    span: Span,
    /// Functions behind the main one.
    subprogs: Vec<(String, Label)>,
}

/// Slots with the places they come from.
#[derive(Debug)]
pub(crate) struct Code {
    pub insns: Vec<RawInsn>,
    /// First slot of each run of instructions from one place.
    pub places: Vec<(usize, Span)>,
    /// Name and first slot of each function behind the main one.
    pub subprogs: Vec<(String, usize)>,
}

/// `BPF_JMP | BPF_CALL`, `BPF_PSEUDO_CALL`, `BPF_PSEUDO_KFUNC_CALL`.
const CALL: u8 = 0x85;
const PSEUDO_CALL: u8 = 1;
const PSEUDO_KFUNC: u8 = 2;

impl Code {
    /// Where functions of other objects are called, and which; there is left what a linker fills in.
    pub fn outside(&mut self) -> Vec<(usize, usize)> {
        let mut found = Vec::new();
        for (slot, insn) in self.insns.iter_mut().enumerate() {
            if insn.opcode == CALL && insn.src == PSEUDO_KFUNC {
                found.push((slot, insn.imm as usize));
                insn.src = PSEUDO_CALL;
                insn.imm = -1;
            }
        }
        found
    }
}

impl Asm {
    pub fn new() -> Asm {
        Asm::default()
    }

    /// What comes next is from this place.
    pub fn at(&mut self, span: Span) -> Span {
        std::mem::replace(&mut self.span, span)
    }

    pub fn push(&mut self, insn: Insn) {
        self.insns.push(insn);
        self.spans.push(self.span);
    }

    pub fn len(&self) -> usize {
        self.insns.len()
    }

    pub fn label(&mut self) -> Label {
        self.labels.push(None);
        Label(self.labels.len() - 1)
    }

    pub fn bind(&mut self, label: Label) {
        self.labels[label.0] = Some(self.insns.len());
    }

    pub fn mov(&mut self, dst: Reg, src: impl Into<Operand>) {
        let src = src.into().src();
        if src == Src::Reg(dst) {
            return;
        }
        self.push(Insn::Mov {
            width: Width::W64,
            dst,
            src,
        });
    }

    /// Any 64-bit constant.
    pub fn constant(&mut self, dst: Reg, value: i64) {
        match i32::try_from(value) {
            Ok(v) => self.mov(dst, v),
            Err(_) => {
                self.push(Insn::LoadImm64 {
                    dst,
                    imm: Imm64::Value(value as u64),
                });
                self.push(Insn::Imm64High);
            }
        }
    }

    pub fn map(&mut self, dst: Reg, index: u32) {
        self.push(Insn::LoadImm64 {
            dst,
            imm: Imm64::MapIdx(index),
        });
        self.push(Insn::Imm64High);
    }

    pub fn map_value(&mut self, dst: Reg, index: u32, off: u32) {
        self.push(Insn::LoadImm64 {
            dst,
            imm: Imm64::MapIdxValue { index, off },
        });
        self.push(Insn::Imm64High);
    }

    pub fn alu(&mut self, op: AluOp, dst: Reg, src: impl Into<Operand>) {
        self.push(Insn::Alu {
            op,
            width: Width::W64,
            dst,
            src: src.into().src(),
        });
    }

    pub fn neg(&mut self, dst: Reg) {
        self.push(Insn::Neg {
            width: Width::W64,
            dst,
        });
    }

    /// `dst = base + off`.
    pub fn lea(&mut self, dst: Reg, base: Reg, off: i32) {
        self.mov(dst, base);
        if off != 0 {
            self.alu(AluOp::Add, dst, off);
        }
    }

    pub fn load(&mut self, size: Size, dst: Reg, base: Reg, off: i16) {
        self.push(Insn::Load {
            size,
            signed: false,
            dst,
            base,
            off,
        });
    }

    pub fn store(&mut self, size: Size, base: Reg, off: i16, src: impl Into<Operand>) {
        self.push(Insn::Store {
            size,
            base,
            off,
            src: src.into().src(),
        });
    }

    pub fn atomic_add(&mut self, base: Reg, off: i16, src: Reg, fetch: bool) {
        self.push(Insn::Atomic {
            op: AtomicOp::Add { fetch },
            size: Size::DW,
            base,
            off,
            src,
        });
    }

    pub fn call(&mut self, helper: u32) {
        self.push(Insn::Call(CallTarget::Helper(helper)));
    }

    /// Calls a function of another object, by its number among those.
    pub fn call_function(&mut self, index: usize) {
        // No other call is of this form; `Code::outside` finds it, and writes what a linker wants.
        self.push(Insn::Call(CallTarget::Kfunc {
            id: index as u32,
            module: 0,
        }));
    }

    pub fn exit(&mut self) {
        self.push(Insn::Exit);
    }

    pub fn jump(&mut self, to: Label) {
        self.jumps.push((self.insns.len(), to));
        self.push(Insn::Jump {
            rel: 0,
            long: false,
        });
    }

    pub fn jump_if(&mut self, op: JmpOp, dst: Reg, src: impl Into<Operand>, to: Label) {
        self.jumps.push((self.insns.len(), to));
        self.push(Insn::JumpIf {
            op,
            width: Width::W64,
            dst,
            src: src.into().src(),
            rel: 0,
        });
    }

    /// The address of a function that is begun elsewhere.
    pub fn function(&mut self, dst: Reg, label: Label) {
        self.jumps.push((self.insns.len(), label));
        self.push(Insn::LoadImm64 {
            dst,
            imm: Imm64::Func { rel: 0 },
        });
        self.push(Insn::Imm64High);
    }

    /// A function begins here.
    pub fn begin_function(&mut self, name: String, label: Label) {
        self.bind(label);
        self.subprogs.push((name, label));
    }

    /// Leaves a loop whose budget of turns is used up.
    pub fn may_goto(&mut self, to: Label) {
        self.jumps.push((self.insns.len(), to));
        self.push(Insn::MayGoto { rel: 0 });
    }

    /// Removes what no way leads to (what follows `return`): verifiers refuse it.
    fn drop_unreachable(&mut self) {
        let target_of: std::collections::HashMap<usize, usize> = self
            .jumps
            .iter()
            .filter_map(|(slot, l)| Some((*slot, self.labels[l.0]?)))
            .collect();
        let mut reached = vec![false; self.insns.len()];
        let mut open = vec![0];
        while let Some(slot) = open.pop() {
            if slot >= reached.len() || std::mem::replace(&mut reached[slot], true) {
                continue;
            }
            open.extend(target_of.get(&slot));
            if !matches!(self.insns[slot], Insn::Exit | Insn::Jump { .. }) {
                open.push(slot + 1);
            }
        }
        // Where each slot goes: how many stay before it.
        let mut place = Vec::with_capacity(reached.len() + 1);
        let mut kept = 0;
        for r in &reached {
            place.push(kept);
            kept += usize::from(*r);
        }
        place.push(kept);
        for at in self.labels.iter_mut().flatten() {
            *at = place.get(*at).copied().unwrap_or(kept);
        }
        self.jumps.retain(|(slot, _)| reached[*slot]);
        for (slot, _) in &mut self.jumps {
            *slot = place[*slot];
        }
        let keep = |n: &mut usize| {
            *n += 1;
            reached[*n - 1]
        };
        let mut n = 0;
        self.insns.retain(|_| keep(&mut n));
        let mut n = 0;
        self.spans.retain(|_| keep(&mut n));
    }

    /// # Errors
    /// The place of a jump that does not reach, or of an instruction that cannot be encoded.
    pub fn finish(mut self) -> Result<Code, Span> {
        self.drop_unreachable();
        for (slot, label) in std::mem::take(&mut self.jumps) {
            let span = self.spans[slot];
            let target = self.labels[label.0].ok_or(span)?;
            let distance = target as i64 - slot as i64 - 1;
            match &mut self.insns[slot] {
                Insn::Jump { rel, long } => {
                    *long = i16::try_from(distance).is_err();
                    *rel = i32::try_from(distance).map_err(|_| span)?;
                }
                Insn::JumpIf { rel, .. } | Insn::MayGoto { rel } => {
                    *rel = i16::try_from(distance).map_err(|_| span)?;
                }
                Insn::LoadImm64 {
                    imm: Imm64::Func { rel },
                    ..
                } => *rel = i32::try_from(distance).map_err(|_| span)?,
                _ => return Err(span),
            }
        }
        let insns = probity_isa::encode(&self.insns).map_err(|_| self.span)?;
        let mut places: Vec<(usize, Span)> = Vec::new();
        for (slot, span) in self.spans.iter().enumerate() {
            if places.last().is_none_or(|(_, s)| s != span) && self.insns[slot] != Insn::Imm64High {
                places.push((slot, *span));
            }
        }
        let mut subprogs: Vec<(String, usize)> = self
            .subprogs
            .iter()
            .filter_map(|(name, l)| Some((name.clone(), self.labels[l.0]?)))
            .collect();
        // A function that is never called was removed.
        let ends: Vec<usize> = subprogs
            .iter()
            .skip(1)
            .map(|(_, at)| *at)
            .chain([insns.len()])
            .collect();
        let mut n = 0;
        subprogs.retain(|(_, at)| {
            n += 1;
            *at < ends[n - 1]
        });
        Ok(Code {
            insns,
            places,
            subprogs,
        })
    }
}
