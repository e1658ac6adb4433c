//! `uid` and `gid`: whose process runs; `username`: the name of that user.

use super::{Row, Use};
use crate::hir::{Arith, Expr};
use crate::types::Ty;

/// `bpf_get_current_uid_gid`: group in the high half, user in the low one.
const GET_CURRENT_UID_GID: u32 = 15;

pub const UID: Row = Row {
    names: &["uid"],
    kind: Use::Value,
    syntax: "`uid`",
    doc: "The number of the current process's user.",
    example: "begin { printf(\"%d\\n\", uid); }",
    lower: |_, call| Ok(Expr::call0(GET_CURRENT_UID_GID, Ty::U64, call.span).cast(4, false)),
};

pub const GID: Row = Row {
    names: &["gid"],
    kind: Use::Value,
    syntax: "`gid`",
    doc: "The number of the current process's group.",
    example: "begin { printf(\"%d\\n\", gid); }",
    lower: |_, call| {
        let both = Expr::call0(GET_CURRENT_UID_GID, Ty::U64, call.span);
        let by = Expr::int(32, Ty::I64, call.span);
        Ok(Expr::bin(Arith::Shr { signed: false }, both, by, Ty::U32))
    },
};

pub const USERNAME: Row = Row {
    names: &["username"],
    kind: Use::Both { max: 1 },
    syntax: "`username`, or `username(UID)`",
    doc: "The name of the current process's user, or of any.",
    example: "begin { printf(\"%s\\n\", username); }",
    lower: |c, call| {
        let uid = match call.args.first() {
            Some(a) => c.number(a)?,
            None => Expr::call0(GET_CURRENT_UID_GID, Ty::U64, call.span).cast(4, false),
        };
        Ok(Expr {
            ty: Ty::Username,
            ..uid
        })
    },
};
