//! Statements.

use probity_isa::{JmpOp, Size};

use super::{Gen, Generated, Loop, Place, R0, R1, R2, R3, R4, globals};
use crate::diagnostics::Diagnostic;
use crate::hir::{Expr, ExprKind, Stmt, StmtKind};
use crate::source::Span;
use crate::types::Ty;

/// `bpf_ringbuf_output`, `bpf_ktime_get_ns`, `bpf_ktime_get_boot_ns`.
const RINGBUF_OUTPUT: u32 = 130;
/// `BPF_RB_NO_WAKEUP`.
const NO_WAKEUP: i32 = 1;
/// Records up to this size are made on the stack.
const RECORD_ON_STACK: u32 = 128;

impl<'a> Gen<'a> {
    pub(super) fn stmts(&mut self, stmts: &'a [Stmt]) -> Generated<()> {
        for s in stmts {
            let before = self.asm.at(s.span);
            self.scoped(|g| g.stmt(s))?;
            self.asm.at(before);
        }
        Ok(())
    }

    fn stmt(&mut self, s: &'a Stmt) -> Generated<()> {
        match &s.kind {
            StmtKind::Expr(e) => self.effect(e),
            StmtKind::SetVar(id, e) => {
                let place = self.vars[*id];
                let ty = &self.var_types[*id];
                if ty.is_scalar() {
                    return self.store_as(e, ty, place, true);
                }
                // The value may be made of the variable itself.
                if reads_var(e, *id) {
                    let copy = self.room(ty.stored(), s.span)?;
                    self.store_as(e, ty, copy, true)?;
                    self.copy(copy, place, ty.stored());
                    return Ok(());
                }
                self.store_as(e, ty, place, true)
            }
            StmtKind::SetMap { map, key, value } => self.set_map(*map, key, value, s.span),
            StmtKind::Collect { map, key, agg, arg } => {
                self.collect(*map, key, *agg, arg.as_ref(), s.span)
            }
            StmtKind::If { cond, yes, no } => {
                let (other, end) = (self.asm.label(), self.asm.label());
                self.branch_unless(cond, other)?;
                self.stmts(yes)?;
                if !no.is_empty() {
                    self.asm.jump(end);
                }
                self.asm.bind(other);
                self.stmts(no)?;
                self.asm.bind(end);
                Ok(())
            }
            StmtKind::Loop { cond, body, next } => {
                let (top, again, out) = (self.asm.label(), self.asm.label(), self.asm.label());
                self.asm.bind(top);
                // Bounds the loop whatever its condition is, and lets the verifier see an end.
                self.asm.may_goto(out);
                self.branch_unless(cond, out)?;
                self.loops.push(Loop { out, again });
                self.stmts(body)?;
                self.loops.pop();
                self.asm.bind(again);
                self.stmts(next)?;
                self.asm.jump(top);
                self.asm.bind(out);
                Ok(())
            }
            StmtKind::ForMap { map, var, body } => self.for_map(*map, *var, body, s.span),
            StmtKind::Turn(turns) => {
                let out = self.asm.label();
                for turn in turns {
                    let again = self.asm.label();
                    self.loops.push(Loop { out, again });
                    self.stmts(std::slice::from_ref(turn))?;
                    self.loops.pop();
                    self.asm.bind(again);
                }
                self.asm.bind(out);
                Ok(())
            }
            StmtKind::Break | StmtKind::Continue => match self.loops.last() {
                Some(l) => {
                    let to = if matches!(s.kind, StmtKind::Break) {
                        l.out
                    } else {
                        l.again
                    };
                    self.asm.jump(to);
                    Ok(())
                }
                None => Err(Diagnostic::error(s.span, "this is outside of a loop")),
            },
            StmtKind::Return => {
                let done = self.done;
                self.asm.jump(done);
                Ok(())
            }
            StmtKind::Emit { event, args } => self.emit(*event, args, s.span),
            StmtKind::StoreStart(now) => {
                self.scalar(now)?;
                self.asm
                    .map_value(R1, self.layout.globals_index, globals::START);
                self.asm.store(Size::DW, R1, 0, R0);
                Ok(())
            }
            StmtKind::StoreEnded => {
                self.asm
                    .map_value(R1, self.layout.globals_index, globals::ENDED);
                self.asm.store(Size::DW, R1, 0, 1);
                Ok(())
            }
            StmtKind::Block(b) => self.stmts(b),
        }
    }

    fn effect(&mut self, e: &'a Expr) -> Generated<()> {
        if e.ty.is_scalar() || e.ty == Ty::Void {
            return match &e.kind {
                // Either side for what it does.
                ExprKind::Cond { cond, yes, no } => {
                    let (other, end) = (self.asm.label(), self.asm.label());
                    self.branch_unless(cond, other)?;
                    self.effect(yes)?;
                    self.asm.jump(end);
                    self.asm.bind(other);
                    self.effect(no)?;
                    self.asm.bind(end);
                    Ok(())
                }
                ExprKind::Block(stmts, value) => {
                    self.stmts(stmts)?;
                    self.effect(value)
                }
                _ => self.scalar(e),
            };
        }
        let place = self.room(e.ty.stored(), e.span)?;
        self.store_as(e, &e.ty, place, false)
    }

    /// A record: the event's number, then its arguments.
    fn emit(&mut self, event: usize, args: &'a [Expr], span: Span) -> Generated<()> {
        let bytes = 8 + args.iter().map(|a| a.ty.stored()).sum::<u32>();
        let place = if self.on_stack_limit > 0
            && bytes <= RECORD_ON_STACK
            && self.stack - bytes as i32 >= -(self.stack_bytes() - 96)
        {
            self.stack -= bytes as i32;
            Place::Stack(self.stack)
        } else {
            self.scratch_room(bytes, span)?
        };
        let mut at = 8;
        for a in args {
            self.scoped(|g| g.store_as(a, &a.ty, place.plus(at), false))?;
            at += a.ty.stored();
        }
        self.store_imm(place, event as i32);
        self.asm.map(R1, self.layout.events_index);
        self.address(R2, place);
        self.asm.mov(R3, bytes as i32);
        // A reader that looks by itself need not be woken, which costs more than the record.
        let flags = if self.timed_draining { NO_WAKEUP } else { 0 };
        self.asm.mov(R4, flags);
        self.asm.call(RINGBUF_OUTPUT);
        let sent = self.asm.label();
        self.asm.jump_if(JmpOp::Eq, R0, 0, sent);
        self.count_global(globals::LOST);
        self.asm.bind(sent);
        Ok(())
    }
}

/// Whether a stored value is made from a variable.
fn reads_var(e: &Expr, id: usize) -> bool {
    match &e.kind {
        ExprKind::Var(v) => *v == id,
        ExprKind::Tuple(items) | ExprKind::Words(items) => items.iter().any(|i| reads_var(i, id)),
        ExprKind::Part { of, .. } => reads_var(of, id),
        ExprKind::Cond { cond, yes, no } => {
            reads_var(cond, id) || reads_var(yes, id) || reads_var(no, id)
        }
        ExprKind::Int(_) | ExprKind::Str(_) => false,
        _ => true,
    }
}
