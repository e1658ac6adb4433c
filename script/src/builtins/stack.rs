//! `kstack`, `ustack` and `dw_ustack`: stack traces.

use super::{Call, Row, Use};
use crate::check::{Checked, Checker};
use crate::config::stack_mode;
use crate::diagnostics::Diagnostic;
use crate::env::Arch;
use crate::hir::{Expr, ExprKind};
use crate::types::{StackTy, Ty};

/// `BPF_F_USER_STACK`, `BPF_F_FAST_STACK_CMP`, `BPF_F_REUSE_STACKID`.
const USER_STACK: u64 = 1 << 8;
const FAST_STACK_CMP: u64 = 1 << 9;
const REUSE_STACKID: u64 = 1 << 10;
const MAX_FRAMES: i64 = 127;

/// How the arguments want a stack shown.
fn shown<'a>(c: &mut Checker<'a>, call: &Call<'a>, kernel: bool) -> Checked<StackTy> {
    let mut ty = StackTy {
        kernel,
        unwound: false,
        mode: c.config.stack_mode,
        limit: MAX_FRAMES as u32,
    };
    for arg in call.args {
        if let crate::ast::ExprKind::Ident(word) = &arg.kind {
            ty.mode = stack_mode(word).ok_or_else(|| {
                Diagnostic::error(arg.span, format!("unknown form of stacks `{word}`"))
                    .suggest(word, ["bpftrace", "perf", "raw", "build_id", "folded"])
            })?;
        } else {
            let n = c.constant(arg)?;
            if !(0..=MAX_FRAMES).contains(&n) {
                return Err(Diagnostic::error(
                    arg.span,
                    format!("a stack has 0 to {MAX_FRAMES} frames"),
                ));
            }
            ty.limit = n as u32;
        }
    }
    Ok(ty)
}

fn lower<'a>(c: &mut Checker<'a>, call: &Call<'a>, kernel: bool) -> Checked<Expr> {
    let ty = shown(c, call, kernel)?;
    let limit = ty.limit.max(1);
    if !c.stacks.contains(&limit) {
        c.stacks.push(limit);
    }
    let flags = FAST_STACK_CMP | REUSE_STACKID | if kernel { 0 } else { USER_STACK };
    Ok(Expr::new(
        ExprKind::Stack {
            kernel,
            flags,
            limit,
        },
        Ty::Stack(ty),
        call.span,
    ))
}

pub const KSTACK: Row = Row {
    names: &["kstack"],
    kind: Use::Both { max: 2 },
    syntax: "`kstack`, `kstack(FRAMES)`, `kstack(perf)`, `kstack(perf, FRAMES)`; `kstack(folded)` is one line",
    doc: "The kernel's stack.",
    example: "profile:hz:99 { @[kstack] = count(); }",
    lower: |c, call| lower(c, call, true),
};

pub const USTACK: Row = Row {
    names: &["ustack"],
    kind: Use::Both { max: 2 },
    syntax: "`ustack`, `ustack(FRAMES)`, `ustack(perf)`, `ustack(perf, FRAMES)`; `ustack(folded)` is one line",
    doc: "The current thread's stack in user space.",
    example: "profile:hz:99 { @[ustack] = count(); }",
    lower: |c, call| lower(c, call, false),
};

pub const DW_USTACK: Row = Row {
    names: &["dw_ustack"],
    kind: Use::Both { max: 2 },
    syntax: "`dw_ustack`, with the arguments of `ustack`",
    doc: "The current thread's stack in user space, found by the tables that programs carry for exceptions (`.eh_frame`) instead of by frame pointers; on x86-64. A process whose tables are not read yet, which they are when it is first met, shows the first frame alone; those of `-p` and `-c` are read before.",
    example: "profile:hz:99 { @[dw_ustack] = count(); }",
    lower: |c, call| {
        if c.env.arch != Arch::X86_64 {
            let d = Diagnostic::error(call.span, "dw_ustack is there for x86-64 alone");
            return Err(d.hint("`ustack` follows frame pointers"));
        }
        if !c.env.live {
            let what = "dw_ustack needs the processes themselves: no recording has what it reads";
            return Err(Diagnostic::error(call.span, what).hint("`ustack` can be recorded"));
        }
        let ty = StackTy {
            unwound: true,
            ..shown(c, call, false)?
        };
        c.unwinds = true;
        // The registers that a thread entered the kernel with have a type there.
        let _ = c.env.types();
        let kind = ExprKind::Unwound {
            limit: ty.limit.max(1),
            counted: false,
        };
        Ok(Expr::new(kind, Ty::Stack(ty), call.span))
    },
};
