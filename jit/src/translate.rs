//! One function of a verified program → IR.
//!
//! **Invariant:** registers are SSA variables that only uses keep alive; the proof's facts
//! decide what is translated at all: dead instructions and decided branches are not.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use cranelift_codegen::entity::EntitySet;
use cranelift_codegen::ir::{
    Block, ExtFuncData, ExternalName, FuncRef, GlobalValueData, InstBuilder, MemFlagsData, SigRef,
    SourceLoc, StackSlot, StackSlotData, StackSlotKind, Value, types,
};
use cranelift_codegen::isa::CallConv;
use cranelift_frontend::{FunctionBuilder, Switch, Variable};
use probity_isa::{CallTarget, Imm64, Insn, Pc, Reg, Src, Width};
use probity_runtime::Instance;
use probity_verifier::VerifiedProgram;

use crate::alu::{alu, compare, immediate, of_size, of_width, swap};
use crate::call::signature;
use crate::epoch::loop_heads;
use crate::error::Error;
use crate::flow::{Function, heads, landing, reached, successors};
use crate::frame::Frame;
use crate::lowerings::Lowerings;
use crate::memory::{Aliasing, UNREACHABLE};
use crate::numbers::Numbers;
use crate::ranges::Ranges;
use crate::registers::Local;
use crate::selects::Selections;
use crate::symbol::Symbol;
use crate::target::Arch;
use crate::words::Words;

/// Turns that `may_goto` grants a function, as in Linux.
const MAY_GOTO_TURNS: i64 = 8 * 1024 * 1024;

/// A function being translated.
pub(crate) struct Translator<'a, 'f> {
    pub b: FunctionBuilder<'f>,
    pub instance: &'a Instance,
    /// Index into the instance's programs.
    pub index: usize,
    pub functions: &'a [Function],
    pub this: &'a Function,
    /// Functions that this one calls or takes the address of, as far as it is translated.
    pub callees: BTreeMap<(Symbol, usize), FuncRef>,
    pub frame: Frame,
    pub aliasing: Aliasing,
    pub arch: Arch,
    /// The pointer to the call's state.
    pub call: Value,
    pub regs: Vec<Variable>,
    /// Frame slots that are values.
    pub slots: BTreeMap<i32, Variable>,
    pub memory: Option<StackSlot>,
    /// What says where it is, and the value that leads to the caller's ([`crate::frames`]).
    pub named: Option<(StackSlot, Value)>,
    /// The address where it ends: the frame pointer's value.
    pub top: Value,
    pub turns: Option<Variable>,
    /// Signatures of calls by address, by number of 64-bit arguments.
    pub signatures: HashMap<(CallConv, usize), SigRef>,
    /// What helpers and subprograms are called by.
    pub convention: CallConv,
    pub lowerings: Lowerings,
    /// What this block knows of the registers.
    pub local: Local,
    /// Values whose upper halves are 0.
    pub narrow: EntitySet<Value>,
    /// Results of lookups: what decides whether they are not NULL, and what they are then.
    pub lookups: HashMap<Value, (Value, Value)>,
    pub words: Words,
    pub numbers: Numbers,
    pub selections: Selections,
    /// Comparisons that a jump through a table stands for.
    pub in_tables: BTreeSet<Pc>,
    /// Where the epoch is looked at: the heads of loops. `None`: the policy does not demand it.
    pub watched: Option<BTreeSet<Pc>>,
    /// In a subprogram that is translated in place: where it returns to.
    pub back: Option<Block>,
    /// The context's address, where the function is handed it: r1 of a program's main function.
    pub context: Option<Value>,
    /// Instructions of subprograms translated in place.
    pub grown: usize,
    /// Where control comes from behind, too.
    pub later: BTreeSet<Pc>,
    /// Control comes back to somewhere.
    pub loops: bool,
}

impl<'a> Translator<'a, '_> {
    pub fn program(&self) -> &'a VerifiedProgram {
        self.instance.programs()[self.index].verified()
    }

    pub(crate) fn unsupported(&self, pc: Pc, what: impl Into<String>) -> Error {
        Error::Unsupported {
            program: self.program().name().to_string(),
            pc,
            what: what.into(),
        }
    }

    /// A number; never an address, which is a [`Symbol`]'s.
    pub fn constant(&mut self, v: u64) -> Value {
        self.number(types::I64, v as i64)
    }

    fn operand_of(&mut self, src: Src, width: Width) -> Value {
        self.low_operand(src, of_width(width))
    }

    pub fn read_slot(&mut self, at: i32) -> Value {
        match self.slots.get(&at) {
            Some(v) => self.b.use_var(*v),
            None => self.constant(0),
        }
    }

    pub fn write_slot(&mut self, at: i32, v: Value) {
        if let Some(var) = self.slots.get(&at) {
            self.b.def_var(*var, v);
        }
    }

    /// The address of a byte of the frame, by its offset from the frame pointer.
    pub fn frame_address(&mut self, at: i32) -> Value {
        match self.memory {
            Some(slot) => {
                let top = self.frame_bytes() as i32;
                self.b
                    .ins()
                    .stack_addr(types::I64, slot, top.saturating_add(at))
            }
            // Nothing of the frame is in memory, so nothing follows this address.
            None => self.constant(at as i64 as u64),
        }
    }

    fn frame_bytes(&self) -> u32 {
        self.frame.memory.next_multiple_of(16)
    }

    /// Translates the whole function.
    pub fn translate(&mut self) -> Result<(), Error> {
        let entry = self.b.create_block();
        self.b.append_block_params_for_function_params(entry);
        self.b.switch_to_block(entry);
        self.b.seal_block(entry);
        self.enter(entry);
        if self.instance.is_watched() {
            let heads = loop_heads(self.program(), self.this, &self.table_targets());
            self.watched = Some(heads);
            if self.this.callback {
                self.check_epoch(self.this.range.start);
            }
        }
        self.body()?;
        self.b.seal_all_blocks();
        Ok(())
    }

    /// Translates the function's instructions, from where control is now.
    pub(crate) fn body(&mut self) -> Result<(), Error> {
        let program = self.program();
        let range = self.this.range.clone();
        let tables = self.table_targets();
        let selections = self.selections(&range, &tables);
        let mut places = heads(program, &range);
        for pc in selections.straight() {
            places.remove(&pc);
        }
        places.extend(&tables);
        let outside = std::mem::replace(&mut self.selections, selections);
        let heads: BTreeMap<Pc, Block> = places
            .into_iter()
            .map(|pc| (pc, self.b.create_block()))
            .collect();
        let later = self.entered_later();
        self.loops |= !later.is_empty();
        let outer = std::mem::replace(&mut self.later, later);
        let ranges = match self.lowerings.has(Lowerings::RANGES) {
            true => Ranges::of(program, &range, &tables),
            false => Ranges::default(),
        };
        let mut open = true;
        let mut pc = range.start;
        while pc < range.end {
            let insn = program.insns()[pc];
            if let Some(block) = heads.get(&pc) {
                if open {
                    self.flush();
                    self.b.ins().jump(*block, &[]);
                }
                self.b.switch_to_block(*block);
                // All ways in are known, so that no register needs a parameter for what comes from elsewhere.
                if !self.later.contains(&pc) {
                    self.b.seal_block(*block);
                }
                self.local = Local::entered(ranges.at(pc));
                self.words.forget();
                if self.watched.as_ref().is_some_and(|w| w.contains(&pc)) {
                    self.check_epoch(pc);
                }
                open = true;
            }
            if open && !self.selections.is_copy(pc) {
                if reached(program, pc) {
                    self.b.set_srcloc(SourceLoc::new(pc as u32));
                    open = self.insn(pc, insn, &heads)?;
                } else {
                    self.b.ins().trap(UNREACHABLE);
                    open = false;
                }
            }
            pc += insn.slots();
        }
        if open {
            self.b.ins().trap(UNREACHABLE);
        }
        // Targets outside of the function, which the verifier refuses.
        for (pc, block) in &heads {
            if !range.contains(pc) {
                self.b.switch_to_block(*block);
                self.b.ins().trap(UNREACHABLE);
            }
        }
        self.later = outer;
        self.selections = outside;
        Ok(())
    }

    /// Where control comes from instructions at the place or behind it, too.
    fn entered_later(&self) -> BTreeSet<Pc> {
        let program = self.program();
        let mut later = BTreeSet::new();
        for pc in self.this.range.clone().filter(|pc| reached(program, *pc)) {
            if matches!(program.insns()[pc], Insn::JumpReg { .. }) {
                later.extend(self.table_targets());
            }
            let to = successors(program, pc).map(|to| self.landing(to));
            later.extend(to.filter(|to| *to <= pc));
        }
        later
    }

    /// Arguments, frame pointer and frame.
    fn enter(&mut self, entry: Block) {
        let params = self.b.block_params(entry).to_vec();
        self.call = params[0];
        let main = self.functions.first().map(|f| f.range.start) == Some(self.this.range.start);
        for (r, v) in self.this.args.iter().zip(&params[1..]) {
            self.set(r, *v);
            if main && r == Reg::R1 && self.lowerings.has(Lowerings::STATELESS) {
                self.context = Some(*v);
            }
        }
        let bytes = self.frame_bytes();
        if bytes > 0 {
            let data = StackSlotData::new(StackSlotKind::ExplicitSlot, bytes, 4);
            let slot = self.b.create_sized_stack_slot(data);
            self.memory = Some(slot);
            if self.frame.clear {
                self.clear(bytes);
            }
        }
        self.top = self.frame_address(0);
        self.set(Reg::R10, self.top);
        self.name_frame(main, bytes);
        if let Some(turns) = self.turns {
            let all = self.b.ins().iconst(types::I64, MAY_GOTO_TURNS);
            self.b.def_var(turns, all);
        }
    }

    /// A program may read stack bytes that it never wrote: they are zeros, never the host's.
    fn clear(&mut self, bytes: u32) {
        let zero = self.b.func.dfg.constants.insert(vec![0u8; 16].into());
        let zero = self.b.ins().vconst(types::I8X16, zero);
        let region = if self.aliasing.mixed {
            probity_verifier::Region::Mixed
        } else {
            probity_verifier::Region::Stack
        };
        let flags = self.flags(region);
        let base = self.frame_address(-(bytes as i32));
        for at in (0..bytes as i32).step_by(16) {
            self.b.ins().store(flags, zero, base, at);
        }
    }

    /// Where jumps through a register may go.
    fn table_targets(&self) -> Vec<Pc> {
        let object = &self.instance.verified().relocated().object;
        let tables = object
            .programs
            .get(self.program().index())
            .map_or(&[][..], |p| &p.jump_tables);
        let mut targets: Vec<Pc> = tables
            .iter()
            .flat_map(|t| t.targets.iter().copied())
            .filter(|t| self.this.range.contains(t))
            .collect();
        targets.sort_unstable();
        targets.dedup();
        targets
    }

    /// Translates one instruction; false when control does not go on behind it.
    pub(crate) fn insn(
        &mut self,
        pc: Pc,
        insn: Insn,
        heads: &BTreeMap<Pc, Block>,
    ) -> Result<bool, Error> {
        match insn {
            Insn::Alu {
                op,
                width,
                dst,
                src,
            } => {
                let y = self.operand_of(src, width);
                let x = self.low(dst, of_width(width));
                let mut v = match self.rotation(op, src, x, y) {
                    Some(v) => v,
                    None => alu(&mut self.b, op, x, y, immediate(src)),
                };
                if self.lowerings.has(Lowerings::WORDS) {
                    v = self.word(op, width, src, dst, v);
                }
                self.put(dst, v);
            }
            Insn::Neg { width, dst } => {
                let v = self.low(dst, of_width(width));
                let v = self.b.ins().ineg(v);
                self.put(dst, v);
            }
            Insn::Mov { width, dst, src } => match src {
                Src::Reg(src) => self.copy(dst, src, width),
                Src::Imm(_) => {
                    let v = self.operand_of(src, width);
                    self.put(dst, v);
                }
            },
            Insn::MovSx {
                width,
                dst,
                src,
                from,
            } => {
                let v = self.low(src, of_size(from));
                let ty = of_width(width);
                let v = if of_size(from) == ty {
                    v
                } else {
                    self.b.ins().sextend(ty, v)
                };
                self.put(dst, v);
            }
            Insn::Swap { op, dst, bits } => {
                let v = self.get(dst);
                let v = swap(&mut self.b, op, bits, v);
                self.set(dst, v);
            }
            Insn::LoadImm64 { dst, imm } => {
                let v = self.imm64(pc, imm)?;
                self.set(dst, v);
            }
            Insn::Load {
                size,
                signed,
                dst,
                base,
                off,
            } => {
                let v = self.load(pc, size, signed, base, off);
                self.put(dst, v);
            }
            Insn::Store {
                size,
                base,
                off,
                src,
            } => self.store(pc, size, base, off, src),
            Insn::Atomic {
                op,
                size,
                base,
                off,
                src,
            } => self.atomic(pc, op, size, base, off, src),
            Insn::LoadAcquire {
                size,
                dst,
                base,
                off,
            } => {
                let v = self.load_acquire(pc, size, base, off);
                self.set(dst, v);
            }
            Insn::StoreRelease {
                size,
                base,
                off,
                src,
            } => self.store_release(pc, size, base, off, src),
            Insn::LoadPacket { size, index, imm } => self.load_packet(size, index, imm),
            Insn::Jump { .. } => {
                let to = self.target(pc, &insn, heads)?;
                self.flush();
                self.b.ins().jump(to, &[]);
                return Ok(false);
            }
            Insn::JumpIf {
                op,
                width,
                dst,
                src,
                ..
            } => {
                let decided = self.program().facts().get(pc).and_then(|f| f.decided);
                match decided {
                    Some(true) => {
                        let to = self.target(pc, &insn, heads)?;
                        self.flush();
                        self.b.ins().jump(to, &[]);
                        return Ok(false);
                    }
                    Some(false) => return Ok(true),
                    None => {}
                }
                if let Some(copy) = self.selections.copy(pc) {
                    let x = self.low(dst, of_width(width));
                    let y = self.operand_of(src, width);
                    let taken = compare(&mut self.b, op, x, y);
                    self.select(copy, taken, heads)?;
                    return Ok(true);
                }
                let (to, next) = (self.target(pc, &insn, heads)?, self.next(pc, heads)?);
                self.flush();
                self.table(pc, heads);
                if src == Src::Imm(0) && width == Width::W64 {
                    let x = self.get(dst);
                    if self.null_test(op, x, to, next) {
                        return Ok(false);
                    }
                }
                let x = self.low(dst, of_width(width));
                let y = self.operand_of(src, width);
                let taken = compare(&mut self.b, op, x, y);
                self.b.ins().brif(taken, to, &[], next, &[]);
                return Ok(false);
            }
            Insn::MayGoto { .. } => {
                let (to, next) = (self.target(pc, &insn, heads)?, self.next(pc, heads)?);
                let Some(turns) = self.turns else {
                    return Err(self.unsupported(pc, "may_goto"));
                };
                self.flush();
                let left = self.b.use_var(turns);
                let fewer = self.b.ins().iadd_imm_s(left, -1);
                self.b.def_var(turns, fewer);
                self.b.ins().brif(left, next, &[], to, &[]);
                return Ok(false);
            }
            Insn::JumpReg { dst } => {
                self.flush();
                let v = self.get(dst);
                let mut switch = Switch::new();
                for to in self.table_targets() {
                    if let Some(block) = heads.get(&to) {
                        switch.set_entry(to as u128, *block);
                    }
                }
                let nowhere = self.b.create_block();
                switch.emit(&mut self.b, v, nowhere);
                self.b.switch_to_block(nowhere);
                self.b.ins().trap(UNREACHABLE);
                return Ok(false);
            }
            Insn::Call(CallTarget::Subprog { .. }) => {
                self.call_subprogram(pc, &insn)?;
                self.unwind(pc, &insn)?;
            }
            Insn::Call(CallTarget::Helper(id)) => self.call_helper(pc, id)?,
            Insn::Call(CallTarget::Kfunc { id, .. }) => return self.call_kfunc(pc, id),
            Insn::Call(CallTarget::Reg(_)) => {
                return Err(self.unsupported(pc, insn.to_string()));
            }
            Insn::AddrSpaceCast { dst, src, to, .. } => self.cast(pc, dst, src, to)?,
            Insn::Imm64High => {
                return Err(self.unsupported(pc, insn.to_string()));
            }
            Insn::Exit => {
                let r0 = self.get(Reg::R0);
                match self.back {
                    Some(back) => {
                        self.b.ins().jump(back, &[r0.into()]);
                    }
                    None => {
                        self.forget_frame();
                        self.b.ins().return_(&[r0]);
                    }
                }
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Where a jump to an instruction leads in the end.
    pub(crate) fn landing(&self, to: Pc) -> Pc {
        // A loop whose head is such a jump looks at the epoch there.
        match self.lowerings.has(Lowerings::JUMPS) && self.watched.is_none() {
            true => landing(self.program(), &self.this.range, to),
            false => to,
        }
    }

    fn target(&self, pc: Pc, insn: &Insn, heads: &BTreeMap<Pc, Block>) -> Result<Block, Error> {
        insn.jump_target(pc)
            .and_then(|to| usize::try_from(to).ok())
            .and_then(|to| heads.get(&self.landing(to)).copied())
            .ok_or_else(|| self.unsupported(pc, "a jump out of the function"))
    }

    fn next(&self, pc: Pc, heads: &BTreeMap<Pc, Block>) -> Result<Block, Error> {
        heads
            .get(&self.landing(pc + 1))
            .copied()
            .ok_or_else(|| self.unsupported(pc, "falling out of the function"))
    }

    fn imm64(&mut self, pc: Pc, imm: Imm64) -> Result<Value, Error> {
        let v = match imm {
            Imm64::Value(v) => Some(self.constant(v)),
            Imm64::MapIdx(n) => self
                .instance
                .map(n as usize)
                .map(|_| self.address_of(Symbol::Map(n), 0)),
            Imm64::MapIdxValue { index, off } => self
                .instance
                .map(index as usize)
                .and_then(|m| m.direct_value(off))
                .map(|_| self.address_of(Symbol::Values(index), i64::from(off))),
            Imm64::Func { rel } => {
                let to = (pc as i64 + 1).saturating_add(i64::from(rel));
                let n = self
                    .functions
                    .iter()
                    .position(|f| f.range.start as i64 == to);
                let Some(n) = n else {
                    return Err(self.unsupported(pc, "the address of no function"));
                };
                let callee = self.function(n);
                Some(self.b.ins().func_addr(types::I64, callee))
            }
            Imm64::MapFd(_) | Imm64::MapFdValue { .. } | Imm64::BtfId { .. } => None,
        };
        v.ok_or_else(|| self.unsupported(pc, "this 64-bit immediate"))
    }

    /// The address of something, plus an offset.
    pub fn address_of(&mut self, symbol: Symbol, offset: i64) -> Value {
        let name = self.b.func.declare_imported_user_function(symbol.name());
        let global = self.b.create_global_value(GlobalValueData::Symbol {
            name: ExternalName::user(name),
            offset: offset.into(),
            // What lies in the same block of code is near.
            colocated: symbol.is_inside(),
            tls: false,
        });
        self.b.ins().symbol_value(types::I64, global)
    }

    /// Something outside to call, with so many 64-bit arguments.
    pub fn callee(&mut self, symbol: Symbol, args: usize) -> FuncRef {
        self.callee_by(self.convention, symbol, args)
    }

    fn callee_by(&mut self, by: CallConv, symbol: Symbol, args: usize) -> FuncRef {
        if let Some(f) = self.callees.get(&(symbol, args)) {
            return *f;
        }
        let name = self.b.func.declare_imported_user_function(symbol.name());
        let signature = self.signature(by, args);
        let f = self.b.import_function(ExtFuncData {
            name: ExternalName::user(name),
            signature,
            // Calls that do not reach go by a veneer.
            colocated: true,
            patchable: false,
        });
        self.callees.insert((symbol, args), f);
        f
    }

    /// A function of the program, by number.
    pub fn function(&mut self, n: usize) -> FuncRef {
        let function = self.functions.get(n);
        let args = function.map_or(0, |f| f.args.len());
        let by = match function {
            Some(f) if f.tail => CallConv::Tail,
            _ => self.convention,
        };
        let symbol = Symbol::Function {
            program: self.index as u32,
            function: n as u32,
        };
        self.callee_by(by, symbol, 1 + args)
    }

    pub fn signature(&mut self, by: CallConv, args: usize) -> SigRef {
        if let Some(s) = self.signatures.get(&(by, args)) {
            return *s;
        }
        let s = self.b.import_signature(signature(by, args));
        self.signatures.insert((by, args), s);
        s
    }

    /// A word of the call's state.
    pub fn call_word(&mut self, offset: i32) -> Value {
        // `ctx` and `cpu` do not change during a call, `next` is read right after the helper that sets it.
        let flags = MemFlagsData::new().with_notrap();
        self.b.ins().load(types::I64, flags, self.call, offset)
    }
}
