//! Numbers: worked out into r0.

use probity_isa::{AluOp, Insn, JmpOp, Reg, Size, SwapOp, Width};

use super::{Gen, Generated, Held, Place, R0, R1, R2, R3, R4, R5, R6};
use crate::diagnostics::Diagnostic;
use crate::hir::{Arg, Arith, Cmp, Expr, ExprKind};
use crate::probes::ProbeKind;
use crate::source::Span;
use crate::types::{Space, Ty};

/// `bpf_probe_read_user`, `bpf_probe_read_kernel`.
const PROBE_READ_USER: u32 = 112;
const PROBE_READ_KERNEL: u32 = 113;

impl<'a> Gen<'a> {
    /// r0 = e. Keeps r6 to r9.
    pub(super) fn scalar(&mut self, e: &'a Expr) -> Generated<()> {
        let before = self.asm.at(e.span);
        self.scalar_inner(e)?;
        self.asm.at(before);
        Ok(())
    }

    fn scalar_inner(&mut self, e: &'a Expr) -> Generated<()> {
        match &e.kind {
            ExprKind::Int(v) => self.asm.constant(R0, *v),
            ExprKind::Var(id) => {
                let place = self.vars[*id];
                self.load_word(R0, place);
            }
            ExprKind::MapGet { map, key } => self.map_get_scalar(*map, key, e.span)?,
            ExprKind::MapHas { map, key } => self.map_has(*map, key, e.span)?,
            ExprKind::MapDelete { map, key } => self.map_delete(*map, key, e.span)?,
            ExprKind::AggGet { map, key, agg } => self.agg_get(*map, key, *agg, e.span)?,
            ExprKind::Call { helper } => self.asm.call(*helper),
            ExprKind::Helper { helper, args } => {
                self.scoped(|g| g.helper(*helper, args, e.span))?
            }
            ExprKind::Function { index, args } => self.scoped(|g| {
                g.arguments(args, e.span)?;
                g.asm.call_function(*index);
                Ok(())
            })?,
            ExprKind::Ctx(off) => self.asm.lea(R0, R6, *off),
            ExprKind::CtxLoad {
                offset,
                bytes,
                signed,
            } => {
                let off = i16::try_from(*offset).map_err(|_| far(e.span))?;
                self.load_context(off, *bytes);
                if *signed {
                    self.extend(R0, *bytes, true);
                }
            }
            ExprKind::Read {
                addr,
                bytes,
                signed,
                space,
            } => self.read(addr, *bytes, *signed, *space, e.span)?,
            ExprKind::Bin { op, left, right } => self.bin(*op, left, right)?,
            ExprKind::Cmp {
                op,
                signed,
                left,
                right,
            } => self.cmp(*op, *signed, left, right)?,
            ExprKind::And(..) | ExprKind::Or(..) | ExprKind::Not(_) => self.truth(e)?,
            ExprKind::Cast {
                bytes,
                signed,
                expr,
            } => {
                self.scalar(expr)?;
                self.extend(R0, *bytes, *signed);
            }
            ExprKind::Swap { bytes, expr } => {
                self.scalar(expr)?;
                self.asm.push(Insn::Swap {
                    op: SwapOp::ToBe,
                    dst: R0,
                    bits: bytes * 8,
                });
            }
            ExprKind::Cond { cond, yes, no } => {
                let (other, end) = (self.asm.label(), self.asm.label());
                self.branch_unless(cond, other)?;
                self.scalar(yes)?;
                self.asm.jump(end);
                self.asm.bind(other);
                self.scalar(no)?;
                self.asm.bind(end);
            }
            ExprKind::StrEq { left, right, limit } => self.str_eq(left, right, *limit, e.span)?,
            ExprKind::MemEq { left, right } => self.mem_eq(left, right, e.span)?,
            ExprKind::StrHas { hay, needle } => self.str_has(hay, needle, e.span)?,
            ExprKind::StrLen(of) => self.str_len(of, e.span)?,
            ExprKind::StrGlob { of, pattern } => self.str_glob(of, *pattern, e.span)?,
            ExprKind::CharAt { of, index } => self.char_at(of, index, e.span)?,
            ExprKind::Part { of, offset } => self.scoped(|g| {
                let place = g.stored(of)?;
                g.load_word(R0, place.plus(*offset));
                Ok(())
            })?,
            ExprKind::Bytes {
                of,
                offset,
                bytes,
                signed,
            } => self.scoped(|g| g.bytes_of(of, *offset, *bytes, *signed))?,
            ExprKind::Element {
                of,
                index,
                count,
                bytes,
                signed,
            } => self.scoped(|g| g.element(of, index, *count, (*bytes, *signed), e.span))?,
            ExprKind::AddrOf(of) => self.address_of(of, e.span)?,
            ExprKind::Step {
                place,
                delta,
                prefix,
            } => self.step(place, *delta, *prefix, e.span)?,
            ExprKind::Block(stmts, value) => {
                self.stmts(stmts)?;
                self.scalar(value)?;
            }
            ExprKind::Do(stmts) => self.stmts(stmts)?,
            ExprKind::StartTime => {
                self.asm
                    .map_value(R1, self.layout.globals_index, super::globals::START);
                self.asm.load(Size::DW, R0, R1, 0);
            }
            ExprKind::Str(_)
            | ExprKind::Fill { .. }
            | ExprKind::CtxStr { .. }
            | ExprKind::StrConcat { .. }
            | ExprKind::ReadStr { .. }
            | ExprKind::ReadBuf { .. }
            | ExprKind::ReadMem { .. }
            | ExprKind::Slice { .. }
            | ExprKind::BufOf { .. }
            | ExprKind::Tuple(_)
            | ExprKind::Words(_)
            | ExprKind::Frames { .. }
            | ExprKind::Unwound { .. }
            | ExprKind::Stack { .. } => {
                return Err(Diagnostic::error(
                    e.span,
                    format!("a value of type `{}` cannot be used as a number", e.ty),
                ));
            }
            ExprKind::Agg { .. } => {
                return Err(Diagnostic::error(
                    e.span,
                    "an aggregation must be assigned to a map",
                ));
            }
        }
        Ok(())
    }

    /// r0 = what a helper returns.
    fn helper(&mut self, id: u32, args: &'a [Expr], span: Span) -> Generated<()> {
        self.arguments(args, span)?;
        self.asm.call(id);
        Ok(())
    }

    /// Works out up to five arguments into r1 to r5.
    fn arguments(&mut self, args: &'a [Expr], span: Span) -> Generated<()> {
        let regs = [R1, R2, R3, R4, R5];
        if args.len() > regs.len() {
            return Err(Diagnostic::error(
                span,
                "a helper takes at most 5 arguments",
            ));
        }
        // Each waits on the stack until all are there; constants and the context need not.
        let mut waiting = Vec::new();
        for a in args {
            let ready = a.constant().is_some() || matches!(a.kind, ExprKind::Ctx(_));
            waiting.push(if ready {
                None
            } else {
                let at = self.word(span)?;
                self.scalar(a)?;
                self.asm.store(Size::DW, self.fp, at as i16, R0);
                Some(at)
            });
        }
        for ((a, at), reg) in args.iter().zip(waiting).zip(regs) {
            match (&a.kind, at) {
                (_, Some(at)) => self.asm.load(Size::DW, reg, self.fp, at as i16),
                (ExprKind::Ctx(off), _) => self.asm.lea(reg, R6, *off),
                _ => self.asm.constant(reg, a.constant().unwrap_or(0)),
            }
        }
        Ok(())
    }

    /// Calls a helper that writes to `dest`.
    pub(super) fn fill(&mut self, id: u32, args: &[Arg], dest: Place) {
        for (a, reg) in args.iter().zip([R1, R2, R3, R4, R5]) {
            match a {
                Arg::Dest => self.address(reg, dest),
                Arg::DestSize(n) => self.asm.mov(reg, *n as i32),
                Arg::Const(n) => self.asm.constant(reg, *n as i64),
            }
        }
        self.asm.call(id);
    }

    /// r0 = the number at an address; 0 when it cannot be read.
    fn read(
        &mut self,
        addr: &'a Expr,
        bytes: u8,
        signed: bool,
        space: Space,
        span: Span,
    ) -> Generated<()> {
        self.scalar(addr)?;
        self.scoped(|g| {
            let at = g.word(span)?;
            g.asm.mov(R3, R0);
            g.asm.store(Size::DW, g.fp, at as i16, 0);
            g.asm.lea(R1, g.fp, at);
            g.asm.mov(R2, i32::from(bytes));
            g.call_by_space(space, PROBE_READ_USER, PROBE_READ_KERNEL);
            g.asm.load(size(bytes), R0, g.fp, at as i16);
            if signed {
                g.extend(R0, bytes, true);
            }
            Ok(())
        })
    }

    /// A word that must be on the stack.
    pub(super) fn word(&mut self, span: Span) -> Generated<i32> {
        if self.stack - 8 < -STACK_LIMIT {
            return Err(
                Diagnostic::error(span, "this is too complicated for 512 bytes of stack")
                    .hint("give a part of it a name with `$x = …`"),
            );
        }
        self.stack -= 8;
        Ok(self.stack)
    }

    /// r0 = `bytes` of the context, in pieces where they are not aligned.
    fn load_context(&mut self, off: i16, bytes: u8) {
        let step = [8u8, 4, 2, 1]
            .into_iter()
            .find(|s| *s <= bytes && off % i16::from(*s) == 0)
            .unwrap_or(1);
        self.asm.load(size(step), R0, R6, off);
        let mut at = step;
        while at < bytes {
            self.asm
                .load(size(step), R1, R6, off.saturating_add(i16::from(at)));
            self.asm.alu(AluOp::Lsh, R1, i32::from(at) * 8);
            self.asm.alu(AluOp::Or, R0, R1);
            at += step;
        }
    }

    /// Calls one of two helpers by where the address in r3 is. The kernel's addresses are negative.
    pub(super) fn call_by_space(&mut self, space: Space, user: u32, kernel: u32) {
        match space {
            Space::User => self.asm.call(user),
            Space::Kernel => self.asm.call(kernel),
            Space::Unknown => {
                let (other, end) = (self.asm.label(), self.asm.label());
                self.asm.jump_if(JmpOp::SLt, R3, 0, other);
                self.asm.call(user);
                self.asm.jump(end);
                self.asm.bind(other);
                self.asm.call(kernel);
                self.asm.bind(end);
            }
        }
    }

    /// The low `bytes` of a register, extended to all of it.
    pub(super) fn extend(&mut self, reg: Reg, bytes: u8, signed: bool) {
        let by = 64 - i32::from(bytes) * 8;
        if by == 0 {
            return;
        }
        match (bytes, signed) {
            (4, false) => self.asm.push(Insn::Mov {
                width: Width::W32,
                dst: reg,
                src: probity_isa::Src::Reg(reg),
            }),
            (1 | 2, false) => self.asm.alu(AluOp::And, reg, (1i32 << (bytes * 8)) - 1),
            _ => {
                self.asm.alu(AluOp::Lsh, reg, by);
                let op = if signed { AluOp::Arsh } else { AluOp::Rsh };
                self.asm.alu(op, reg, by);
            }
        }
    }

    /// Works both operands out: left into r0, right into r1 or a constant.
    fn operands(&mut self, left: &'a Expr, right: &'a Expr) -> Generated<crate::emit::Operand> {
        if let Some(v) = right.constant().and_then(|v| i32::try_from(v).ok()) {
            self.scalar(left)?;
            return Ok(v.into());
        }
        if let ExprKind::Var(id) = right.kind {
            self.scalar(left)?;
            let place = self.vars[id];
            self.load_word(R1, place);
            return Ok(R1.into());
        }
        self.scalar(left)?;
        self.holding(left.span, |g, held| {
            g.scalar(right)?;
            g.asm.mov(R1, R0);
            g.fetch(held, R0);
            Ok(())
        })?;
        Ok(R1.into())
    }

    fn bin(&mut self, op: Arith, left: &'a Expr, right: &'a Expr) -> Generated<()> {
        let operand = self.operands(left, right)?;
        // What an iterator or an imported function hands over may be missing, and nothing can be added to that.
        let handed = matches!(self.probe, ProbeKind::Iter { .. }) || !self.hir.functions.is_empty();
        if op == Arith::Add
            && handed
            && matches!(left.ty, Ty::Ptr(..) | Ty::Struct(..) | Ty::Array(..))
        {
            let missing = self.asm.label();
            self.asm.jump_if(JmpOp::Eq, R0, 0, missing);
            self.asm.alu(AluOp::Add, R0, operand);
            self.asm.bind(missing);
            return Ok(());
        }
        let op = match op {
            Arith::Add => AluOp::Add,
            Arith::Sub => AluOp::Sub,
            Arith::Mul => AluOp::Mul,
            Arith::Div { signed: false } => AluOp::Div,
            Arith::Div { signed: true } => AluOp::SDiv,
            Arith::Mod { signed: false } => AluOp::Mod,
            Arith::Mod { signed: true } => AluOp::SMod,
            Arith::And => AluOp::And,
            Arith::Or => AluOp::Or,
            Arith::Xor => AluOp::Xor,
            Arith::Shl => AluOp::Lsh,
            Arith::Shr { signed: false } => AluOp::Rsh,
            Arith::Shr { signed: true } => AluOp::Arsh,
        };
        if let crate::emit::Operand::Imm(v) = operand {
            match op {
                // What the processor makes of it; the verifier refuses the instruction itself.
                AluOp::Div | AluOp::SDiv if v == 0 => {
                    self.asm.mov(R0, 0);
                    return Ok(());
                }
                AluOp::Mod | AluOp::SMod if v == 0 => return Ok(()),
                AluOp::Lsh | AluOp::Rsh | AluOp::Arsh => {
                    self.asm.alu(op, R0, v & 63);
                    return Ok(());
                }
                // An immediate is sign-extended, as the constant it stands for.
                _ => {}
            }
        }
        self.asm.alu(op, R0, operand);
        Ok(())
    }

    fn cmp(&mut self, op: Cmp, signed: bool, left: &'a Expr, right: &'a Expr) -> Generated<()> {
        let operand = self.operands(left, right)?;
        let (yes, end) = (self.asm.label(), self.asm.label());
        self.asm.jump_if(jump_op(op, signed), R0, operand, yes);
        self.asm.mov(R0, 0);
        self.asm.jump(end);
        self.asm.bind(yes);
        self.asm.mov(R0, 1);
        self.asm.bind(end);
        Ok(())
    }

    /// A condition as 0 or 1.
    fn truth(&mut self, e: &'a Expr) -> Generated<()> {
        let (no, end) = (self.asm.label(), self.asm.label());
        self.branch_unless(e, no)?;
        self.asm.mov(R0, 1);
        self.asm.jump(end);
        self.asm.bind(no);
        self.asm.mov(R0, 0);
        self.asm.bind(end);
        Ok(())
    }

    /// Goes on when `e` is not zero, otherwise to `to`.
    pub(super) fn branch_unless(&mut self, e: &'a Expr, to: crate::emit::Label) -> Generated<()> {
        match &e.kind {
            ExprKind::Cmp {
                op,
                signed,
                left,
                right,
            } => {
                let operand = self.operands(left, right)?;
                self.asm
                    .jump_if(jump_op(negate(*op), *signed), R0, operand, to);
            }
            ExprKind::Not(inner) => self.branch_if(inner, to)?,
            ExprKind::And(a, b) => {
                self.branch_unless(a, to)?;
                self.branch_unless(b, to)?;
            }
            ExprKind::Or(a, b) => {
                let yes = self.asm.label();
                self.branch_if(a, yes)?;
                self.branch_unless(b, to)?;
                self.asm.bind(yes);
            }
            _ => {
                self.scalar(e)?;
                self.asm.jump_if(JmpOp::Eq, R0, 0, to);
            }
        }
        Ok(())
    }

    fn branch_if(&mut self, e: &'a Expr, to: crate::emit::Label) -> Generated<()> {
        match &e.kind {
            ExprKind::Cmp {
                op,
                signed,
                left,
                right,
            } => {
                let operand = self.operands(left, right)?;
                self.asm.jump_if(jump_op(*op, *signed), R0, operand, to);
            }
            ExprKind::Not(inner) => self.branch_unless(inner, to)?,
            ExprKind::Or(a, b) => {
                self.branch_if(a, to)?;
                self.branch_if(b, to)?;
            }
            ExprKind::And(a, b) => {
                let no = self.asm.label();
                self.branch_unless(a, no)?;
                self.branch_if(b, to)?;
                self.asm.bind(no);
            }
            _ => {
                self.scalar(e)?;
                self.asm.jump_if(JmpOp::Ne, R0, 0, to);
            }
        }
        Ok(())
    }

    fn char_at(&mut self, of: &'a Expr, index: &'a Expr, span: Span) -> Generated<()> {
        self.scoped(|g| {
            let bytes = of.ty.stored();
            if let Some(i) = index.constant() {
                let place = g.stored(of)?;
                if !(0..i64::from(bytes)).contains(&i) {
                    return Err(Diagnostic::error(
                        span,
                        format!("the index {i} is out of bounds"),
                    ));
                }
                let at = place.plus(i as u32);
                g.asm.load(Size::B, R0, g.base(at), at.off() as i16);
                g.extend(R0, 1, true);
                return Ok(());
            }
            // A copy in scratch memory: the stack does not take unknown offsets everywhere.
            let place = g.in_scratch(of, span)?;
            g.scalar(index)?;
            let (no, end) = (g.asm.label(), g.asm.label());
            g.asm.jump_if(JmpOp::Ge, R0, bytes as i32, no);
            g.address(R1, place);
            g.asm.alu(AluOp::Add, R1, R0);
            g.asm.load(Size::B, R0, R1, 0);
            g.extend(R0, 1, true);
            g.asm.jump(end);
            g.asm.bind(no);
            g.asm.mov(R0, 0);
            g.asm.bind(end);
            Ok(())
        })
    }

    pub(super) fn fetch_held(&mut self, held: Held, reg: Reg) {
        self.fetch(held, reg);
    }
}

const STACK_LIMIT: i32 = 464;

fn far(span: Span) -> Diagnostic {
    Diagnostic::error(span, "this field is too far away")
}

pub(super) fn size(bytes: u8) -> Size {
    match bytes {
        1 => Size::B,
        2 => Size::H,
        4 => Size::W,
        _ => Size::DW,
    }
}

fn negate(op: Cmp) -> Cmp {
    match op {
        Cmp::Eq => Cmp::Ne,
        Cmp::Ne => Cmp::Eq,
        Cmp::Lt => Cmp::Ge,
        Cmp::Le => Cmp::Gt,
        Cmp::Gt => Cmp::Le,
        Cmp::Ge => Cmp::Lt,
    }
}

fn jump_op(op: Cmp, signed: bool) -> JmpOp {
    match (op, signed) {
        (Cmp::Eq, _) => JmpOp::Eq,
        (Cmp::Ne, _) => JmpOp::Ne,
        (Cmp::Lt, false) => JmpOp::Lt,
        (Cmp::Le, false) => JmpOp::Le,
        (Cmp::Gt, false) => JmpOp::Gt,
        (Cmp::Ge, false) => JmpOp::Ge,
        (Cmp::Lt, true) => JmpOp::SLt,
        (Cmp::Le, true) => JmpOp::SLe,
        (Cmp::Gt, true) => JmpOp::SGt,
        (Cmp::Ge, true) => JmpOp::SGe,
    }
}
