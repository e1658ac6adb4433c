//! `unwatch`: a watchpoint that has seen enough.

use super::printf::emit;
use super::{Row, Use};
use crate::diagnostics::Diagnostic;
use crate::event::Event;
use crate::hir::Expr;
use crate::types::Ty;

pub const ROW: Row = Row {
    names: &["unwatch"],
    kind: Use::Function { min: 1, max: 1 },
    syntax: "`unwatch(ADDRESS)`",
    doc: "Detaches the watchpoints at this address.",
    example: "watchpoint:0x10000000:8:w { printf(\"%s wrote first\\n\", comm); unwatch(0x10000000); }",
    lower: |c, call| {
        let v = c.expr(&call.args[0])?;
        if !v.ty.is_number() {
            return Err(Diagnostic::error(
                call.args[0].span,
                format!("an address is needed here, this is of type `{}`", v.ty),
            ));
        }
        let address = Expr { ty: Ty::U64, ..v };
        Ok(emit(c, call, Event::Unwatch, vec![address]))
    },
};
