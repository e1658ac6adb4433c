//! `skboutput`: a packet of the kernel's network stack into a capture file.

use super::{Row, Use, now};
use crate::diagnostics::Diagnostic;
use crate::env::Clock;
use crate::event::Event;
use crate::hir::{Arith, Cmp, Expr, ExprKind, Stmt, StmtKind};
use crate::types::{Space, Ty};

/// Bytes of a packet that are written at most.
const MOST: u32 = 2048;

pub const ROW: Row = Row {
    names: &["skboutput"],
    kind: Use::Function { min: 4, max: 4 },
    syntax: "`skboutput(\"FILE\", SK_BUFF, LENGTH, OFFSET)`",
    doc: "Writes a packet (`struct sk_buff *`) to a capture file (pcap, raw IP) from an offset on, 14 to leave out an Ethernet header: as many bytes as are asked for, as lie in the packet's own buffer, and 2048 at most. The file says how long the packet is. Gives 0.",
    example: "rawtracepoint:netif_receive_skb { skboutput(\"received.pcap\", (struct sk_buff *)arg0, 128, 0); }",
    lower: |c, call| {
        let span = call.span;
        let path = c.text(&call.args[0])?;
        let skb = c.expr(&call.args[1])?;
        let is_address = matches!(skb.ty, Ty::Ptr(..) | Ty::Struct(..)) || skb.ty.is_number();
        let Some(ty) = c.lookup_type("struct sk_buff").filter(|_| is_address) else {
            return Err(Diagnostic::error(
                call.args[1].span,
                format!(
                    "a `struct sk_buff *` is needed here, this is of type `{}`",
                    skb.ty
                ),
            ));
        };
        let ty = Ty::ptr(ty, Space::Kernel);
        let length = c.number(&call.args[2])?;
        let offset = c.number(&call.args[3])?;
        let room = match length.constant() {
            Some(n) if n < 0 => {
                return Err(Diagnostic::error(
                    call.args[2].span,
                    "a length must not be negative",
                ));
            }
            Some(n) => n.min(i64::from(MOST)) as u32,
            None => MOST,
        };
        let mut stmts = Vec::new();
        let mut kept = |c: &mut crate::check::Checker<'_>, e: Expr, ty: Ty| {
            let id = c.temp(&ty, span)?;
            stmts.push(Stmt {
                kind: StmtKind::SetVar(
                    id,
                    Expr {
                        ty: ty.clone(),
                        ..e
                    },
                ),
                span,
            });
            Ok::<Expr, Diagnostic>(Expr::new(ExprKind::Var(id), ty, span))
        };
        let skb = kept(c, skb, ty)?;
        let field = |c: &mut crate::check::Checker<'_>, name: &str| {
            let value = c.field(skb.clone(), name, span)?;
            Ok::<Expr, Diagnostic>(Expr {
                ty: Ty::I64,
                ..c.value_of(value)
            })
        };
        let (len, apart, data) = (field(c, "len")?, field(c, "data_len")?, field(c, "data")?);
        let minus = |a: Expr, b: Expr| Expr::bin(Arith::Sub, a, b, Ty::I64);
        let whole = kept(c, len, Ty::I64)?;
        let offset = kept(c, offset, Ty::I64)?;
        // What lies in pages beside the buffer is not read.
        let there = minus(minus(whole.clone(), apart), offset.clone());
        let there = kept(c, there, Ty::I64)?;
        let length = kept(c, length, Ty::I64)?;
        let less = |a: &Expr, b: &Expr| {
            let kind = ExprKind::Cmp {
                op: Cmp::Lt,
                signed: true,
                left: Box::new(a.clone()),
                right: Box::new(b.clone()),
            };
            Expr::new(kind, Ty::Bool, span)
        };
        let pick = |cond: Expr, yes: Expr, no: Expr| {
            let kind = ExprKind::Cond {
                cond: Box::new(cond),
                yes: Box::new(yes),
                no: Box::new(no),
            };
            Expr::new(kind, Ty::I64, span)
        };
        let zero = Expr::int(0, Ty::I64, span);
        let least = kept(
            c,
            pick(less(&there, &length), there.clone(), length.clone()),
            Ty::I64,
        )?;
        let bytes = pick(less(&least, &zero), zero.clone(), least.clone());
        let packet = Expr::new(
            ExprKind::ReadBuf {
                addr: Box::new(Expr::bin(Arith::Add, data, offset.clone(), Ty::U64)),
                space: Space::Kernel,
                len: Box::new(bytes),
            },
            Ty::Buf(room),
            span,
        );
        let event = c.event(Event::Packet { path });
        let args = vec![now(Clock::Boot, span), minus(whole, offset), packet];
        stmts.push(Stmt {
            kind: StmtKind::Emit { event, args },
            span,
        });
        let done = Box::new(Expr::int(0, Ty::U32, span));
        Ok(Expr::new(ExprKind::Block(stmts, done), Ty::U32, span))
    },
};
