//! Typed programs between checking and emission: what the script means, in terms of registers' worth of
//! numbers, stored values, maps, helpers and records.
//!
//! **Invariant:** no builtin's name is in here: builtins are made of these nodes.

use crate::source::Span;
use crate::types::{Agg, Space, Ty};

/// A checked script.
#[derive(Clone, Debug, Default)]
pub struct Hir {
    pub maps: Vec<MapDef>,
    /// What strings are held against, by the index in [`ExprKind::StrGlob`].
    pub patterns: Vec<Glob>,
    /// Functions of imported objects that are called, by the index in [`ExprKind::Function`].
    pub functions: Vec<String>,
    pub programs: Vec<ProgramDef>,
}

/// A script's map. Its place in [`Hir::maps`] is its id.
#[derive(Clone, Debug, PartialEq)]
pub struct MapDef {
    /// Without `@`.
    pub name: String,
    /// Empty: a single value.
    pub keys: Vec<Ty>,
    pub value: Ty,
    /// From `let @m = kind(n)`.
    pub declared: Option<(MapKind, u32)>,
    pub span: Span,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapKind {
    Hash,
    LruHash,
    PercpuHash,
    PercpuLruHash,
}

/// A pattern as a row of items that each take one character, with any number of them before some.
///
/// **Invariant:** at most 63 items.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glob {
    /// By character: which items take it, item `n` in bit `n`.
    pub takes: Box<[u64; 256]>,
    /// Bit `n`: anything may stand before item `n`, or behind all of them.
    pub any_before: u64,
    pub items: u32,
}

/// One attach point's program.
#[derive(Clone, Debug)]
pub struct ProgramDef {
    /// Index into the script's probes.
    pub probe: usize,
    /// Types of the variables, by id.
    pub vars: Vec<Ty>,
    pub body: Vec<Stmt>,
    pub span: Span,
}

#[derive(Clone, Debug)]
pub struct Expr {
    pub kind: ExprKind,
    pub ty: Ty,
    pub span: Span,
}

#[derive(Clone, Debug)]
pub enum ExprKind {
    Int(i64),
    /// Without NUL.
    Str(Vec<u8>),
    Var(usize),
    MapGet {
        map: usize,
        key: Vec<Expr>,
    },
    /// 1 when the key is there.
    MapHas {
        map: usize,
        key: Vec<Expr>,
    },
    /// 1 when the key was there.
    MapDelete {
        map: usize,
        key: Vec<Expr>,
    },
    /// The number an aggregation comes to, over all processors.
    AggGet {
        map: usize,
        key: Vec<Expr>,
        agg: Agg,
    },
    /// What a helper without arguments returns.
    Call {
        helper: u32,
    },
    /// A helper with numbers and addresses as its arguments.
    Helper {
        helper: u32,
        args: Vec<Expr>,
    },
    /// A function of an imported object with numbers and addresses as its arguments.
    Function {
        index: usize,
        args: Vec<Expr>,
    },
    /// A helper that writes the value into memory it is given.
    Fill {
        helper: u32,
        args: Vec<Arg>,
    },
    /// The context's address plus an offset.
    Ctx(i32),
    /// A number in the context.
    CtxLoad {
        offset: i32,
        bytes: u8,
        signed: bool,
    },
    /// Characters in the context, up to the value's size.
    CtxStr {
        offset: i32,
        bytes: u32,
    },
    /// A number anywhere in memory; 0 when it cannot be read.
    Read {
        addr: Box<Expr>,
        bytes: u8,
        signed: bool,
        space: Space,
    },
    /// A string anywhere in memory; `len` bounds it at run time, NUL included.
    ReadStr {
        addr: Box<Expr>,
        space: Space,
        len: Option<Box<Expr>>,
    },
    /// Bytes anywhere in memory.
    ReadBuf {
        addr: Box<Expr>,
        space: Space,
        len: Box<Expr>,
    },
    /// A structure or array anywhere in memory, by value; zeros when it cannot be read.
    ReadMem {
        addr: Box<Expr>,
        space: Space,
    },
    /// A number in a value held as it lies in memory.
    Bytes {
        of: Box<Expr>,
        offset: u32,
        bytes: u8,
        signed: bool,
    },
    /// A structure or array inside of another one held by value.
    Slice {
        of: Box<Expr>,
        offset: u32,
    },
    /// A number of an array held by value; 0 out of its bounds.
    Element {
        of: Box<Expr>,
        index: Box<Expr>,
        count: u32,
        bytes: u8,
        signed: bool,
    },
    /// Where a variable, or a map's value, or a value worked out for this, is in memory.
    AddrOf(Box<Expr>),
    /// Bytes of a stored value.
    BufOf {
        value: Box<Expr>,
        bytes: u32,
    },
    Bin {
        op: Arith,
        left: Box<Expr>,
        right: Box<Expr>,
    },
    Cmp {
        op: Cmp,
        signed: bool,
        left: Box<Expr>,
        right: Box<Expr>,
    },
    And(Box<Expr>, Box<Expr>),
    Or(Box<Expr>, Box<Expr>),
    Not(Box<Expr>),
    /// The low `bytes`, extended.
    Cast {
        bytes: u8,
        signed: bool,
        expr: Box<Expr>,
    },
    Swap {
        bytes: u8,
        expr: Box<Expr>,
    },
    Cond {
        cond: Box<Expr>,
        yes: Box<Expr>,
        no: Box<Expr>,
    },
    /// 1 when the strings are equal in their first `limit` bytes (all of them when `None`).
    StrEq {
        left: Box<Expr>,
        right: Box<Expr>,
        limit: Option<u32>,
    },
    /// Equality of other stored values, all bytes.
    MemEq {
        left: Box<Expr>,
        right: Box<Expr>,
    },
    /// 1 when the string contains the literal.
    StrHas {
        hay: Box<Expr>,
        needle: Vec<u8>,
    },
    StrLen(Box<Expr>),
    /// One string behind the other.
    StrConcat {
        left: Box<Expr>,
        right: Box<Expr>,
    },
    /// 1 when the whole string fits the pattern; which of the script's patterns it is.
    StrGlob {
        of: Box<Expr>,
        pattern: usize,
    },
    Tuple(Vec<Expr>),
    /// A part of a stored value, at this byte.
    Part {
        of: Box<Expr>,
        offset: u32,
    },
    /// A character of a stored string.
    CharAt {
        of: Box<Expr>,
        index: Box<Expr>,
    },
    /// Adds to a variable or map and gives the old value, or the new one when `prefix`.
    Step {
        place: Place,
        delta: i64,
        prefix: bool,
    },
    Block(Vec<Stmt>, Box<Expr>),
    /// Stack trace of so many frames at most: id, then process and, above 32 bits, `limit`.
    Stack {
        kernel: bool,
        flags: u64,
        limit: u32,
    },
    /// A user stack found by tables, of so many frames at most: its number, then process; or how many frames
    /// it has.
    Unwound {
        limit: u32,
        counted: bool,
    },
    /// The addresses of a stack trace, after a word with the number of their bytes.
    Frames {
        user: bool,
        flags: u64,
    },
    /// Stored values side by side: usym, inet.
    Words(Vec<Expr>),
    /// Statements without a value.
    Do(Vec<Stmt>),
    /// An aggregation's argument; only as the whole value assigned to a map.
    Agg {
        agg: Agg,
        arg: Option<Box<Expr>>,
    },
    /// When the script began, on the script's clock.
    StartTime,
}

/// An argument of a helper.
#[derive(Clone, Debug)]
pub enum Arg {
    /// Where the value is written, and its size.
    Dest,
    DestSize(u32),
    Const(u64),
}

#[derive(Clone, Debug)]
pub enum Place {
    Var(usize),
    Map { map: usize, key: Vec<Expr> },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arith {
    Add,
    Sub,
    Mul,
    Div { signed: bool },
    Mod { signed: bool },
    And,
    Or,
    Xor,
    Shl,
    Shr { signed: bool },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cmp {
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
}

#[derive(Clone, Debug)]
pub struct Stmt {
    pub kind: StmtKind,
    pub span: Span,
}

#[derive(Clone, Debug)]
pub enum StmtKind {
    Expr(Expr),
    SetVar(usize, Expr),
    SetMap {
        map: usize,
        key: Vec<Expr>,
        value: Expr,
    },
    /// A map takes an aggregation's argument.
    Collect {
        map: usize,
        key: Vec<Expr>,
        agg: Agg,
        arg: Option<Expr>,
    },
    If {
        cond: Expr,
        yes: Vec<Stmt>,
        no: Vec<Stmt>,
    },
    /// `cond` before each turn, `next` after each turn and `continue`.
    Loop {
        cond: Expr,
        body: Vec<Stmt>,
        next: Vec<Stmt>,
    },
    /// For each entry of a map; the variable is its key and value.
    ForMap {
        map: usize,
        var: usize,
        body: Vec<Stmt>,
    },
    /// Statements that `break` and `continue` stay inside of (an unrolled turn).
    Turn(Vec<Stmt>),
    Break,
    Continue,
    Return,
    /// A record of the printer's event.
    Emit {
        event: usize,
        args: Vec<Expr>,
    },
    /// Keeps the time as the script's beginning.
    StoreStart(Expr),
    /// Closes the gate: programs behind it do nothing any more.
    StoreEnded,
    Block(Vec<Stmt>),
}

impl Expr {
    pub fn int(value: i64, ty: Ty, span: Span) -> Expr {
        Expr {
            kind: ExprKind::Int(value),
            ty,
            span,
        }
    }

    pub fn new(kind: ExprKind, ty: Ty, span: Span) -> Expr {
        Expr { kind, ty, span }
    }

    /// A helper without arguments.
    pub fn call0(helper: u32, ty: Ty, span: Span) -> Expr {
        Expr::new(ExprKind::Call { helper }, ty, span)
    }

    pub fn bin(op: Arith, left: Expr, right: Expr, ty: Ty) -> Expr {
        let span = left.span.to(right.span);
        Expr::new(
            ExprKind::Bin {
                op,
                left: Box::new(left),
                right: Box::new(right),
            },
            ty,
            span,
        )
    }

    pub fn cast(self, bytes: u8, signed: bool) -> Expr {
        let span = self.span;
        Expr::new(
            ExprKind::Cast {
                bytes,
                signed,
                expr: Box::new(self),
            },
            Ty::Int { bytes, signed },
            span,
        )
    }

    pub fn constant(&self) -> Option<i64> {
        match self.kind {
            ExprKind::Int(v) => Some(v),
            _ => None,
        }
    }
}
