//! `ntop`, `pton`, `macaddr`, `bswap`: numbers as networks have them.

use super::{Row, Use};
use crate::diagnostics::Diagnostic;
use crate::hir::{Expr, ExprKind};
use crate::types::Ty;

/// `AF_INET`, `AF_INET6`.
const AF_INET: i64 = 2;
const AF_INET6: i64 = 10;

pub const NTOP: Row = Row {
    names: &["ntop"],
    kind: Use::Function { min: 1, max: 2 },
    syntax: "`ntop(ADDRESS)`, or `ntop(FAMILY, ADDRESS)`",
    doc: "An Internet address as text.",
    example: "begin { printf(\"%s\\n\", ntop(0x0100007f)); }",
    lower: |c, call| {
        let (family, at) = match call.args {
            [_] => (None, 0),
            _ => (Some(c.number(&call.args[0])?), 1),
        };
        let value = c.place(&call.args[at])?;
        let span = call.span;
        match value.ty.clone() {
            Ty::Array(elem, n, space) => {
                let bytes = c.memory_layout(&elem).0 * n;
                let default = match bytes {
                    4 => AF_INET,
                    16 => AF_INET6,
                    _ => return Err(Diagnostic::error(span, "an address has 4 or 16 bytes")),
                };
                let family = family.unwrap_or(Expr::int(default, Ty::I64, span));
                if let ExprKind::Ctx(offset) = value.kind {
                    let word = |at: u32, size: u8| {
                        Expr::new(
                            ExprKind::CtxLoad {
                                offset: offset + at as i32,
                                bytes: size,
                                signed: false,
                            },
                            Ty::U64,
                            span,
                        )
                    };
                    let two = |at: u32| {
                        let high = Expr::bin(
                            crate::hir::Arith::Shl,
                            word(at + 4, 4),
                            Expr::int(32, Ty::I64, span),
                            Ty::U64,
                        );
                        Expr::bin(crate::hir::Arith::Or, word(at, 4), high, Ty::U64)
                    };
                    let (low, high) = match bytes {
                        4 => (word(0, 4), Expr::int(0, Ty::I64, span)),
                        _ => (two(0), two(8)),
                    };
                    return Ok(Expr::new(
                        ExprKind::Words(vec![family, low, high]),
                        Ty::Inet,
                        span,
                    ));
                }
                let space = c.known_space(space);
                let read = |at: i64, size: u8| {
                    let base = Expr {
                        ty: Ty::U64,
                        ..value.clone()
                    };
                    let addr = Expr::bin(
                        crate::hir::Arith::Add,
                        base,
                        Expr::int(at, Ty::I64, span),
                        Ty::U64,
                    );
                    Expr::new(
                        ExprKind::Read {
                            addr: Box::new(addr),
                            bytes: size,
                            signed: false,
                            space,
                        },
                        Ty::U64,
                        span,
                    )
                };
                let (low, high) = match bytes {
                    4 => (read(0, 4), Expr::int(0, Ty::I64, span)),
                    _ => (read(0, 8), read(8, 8)),
                };
                Ok(Expr::new(
                    ExprKind::Words(vec![family, low, high]),
                    Ty::Inet,
                    span,
                ))
            }
            Ty::Inet => Ok(value),
            t if t.is_number() => {
                let family = family.unwrap_or(Expr::int(AF_INET, Ty::I64, span));
                let zero = Expr::int(0, Ty::I64, span);
                Ok(Expr::new(
                    ExprKind::Words(vec![family, value.cast(4, false), zero]),
                    Ty::Inet,
                    span,
                ))
            }
            t => Err(Diagnostic::error(
                span,
                format!("a value of type `{t}` is no Internet address"),
            )),
        }
    },
};

pub const PTON: Row = Row {
    names: &["pton"],
    kind: Use::Function { min: 1, max: 1 },
    syntax: "`pton(\"127.0.0.1\")`",
    doc: "An Internet address from its text.",
    example: "begin { printf(\"%s\\n\", ntop(pton(\"127.0.0.1\"))); }",
    lower: |c, call| {
        let text = c.text(&call.args[0])?;
        let address: std::net::IpAddr = text.parse().map_err(|_| {
            Diagnostic::error(
                call.args[0].span,
                format!("`{text}` is no Internet address"),
            )
        })?;
        let span = call.span;
        let int = |v: u64| Expr::int(v as i64, Ty::U64, span);
        let words = match address {
            std::net::IpAddr::V4(a) => vec![
                int(AF_INET as u64),
                int(u64::from(u32::from_le_bytes(a.octets()))),
                int(0),
            ],
            std::net::IpAddr::V6(a) => {
                let bits = u128::from_le_bytes(a.octets());
                vec![
                    int(AF_INET6 as u64),
                    int(bits as u64),
                    int((bits >> 64) as u64),
                ]
            }
        };
        Ok(Expr::new(ExprKind::Words(words), Ty::Inet, span))
    },
};

pub const BSWAP: Row = Row {
    names: &["bswap"],
    kind: Use::Function { min: 1, max: 1 },
    syntax: "`bswap(NUMBER)`",
    doc: "The number with its bytes reversed.",
    example: "begin { printf(\"%x\\n\", bswap((uint16)0x1234)); }",
    lower: |c, call| {
        let v = c.number(&call.args[0])?;
        // A literal has the width it needs.
        let bytes = match v.constant() {
            Some(n) if v.ty == Ty::I64 => match n as u64 {
                0..=0xff => 1,
                0x100..=0xffff => 2,
                0x1_0000..=0xffff_ffff => 4,
                _ => 8,
            },
            _ => v.ty.int_bytes(),
        };
        let ty = Ty::Int {
            bytes,
            signed: false,
        };
        if bytes == 1 {
            return Ok(Expr { ty, ..v });
        }
        Ok(Expr::new(
            ExprKind::Swap {
                bytes,
                expr: Box::new(v),
            },
            ty,
            call.span,
        ))
    },
};
