//! The syntax tree of a script; every node knows its place.

use std::sync::Arc;

use crate::files::ImportedObject;
use crate::source::{Source, Span};

/// A parsed script. `Display` prints it back as a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ast {
    pub source: Arc<Source>,
    pub items: Vec<Item>,
    /// Imports that were found; their items are among [`Ast::items`].
    pub imported: Vec<String>,
    /// Those that are objects.
    pub objects: Vec<ImportedObject>,
}

/// What can stand outside of probes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    Config(Vec<ConfigEntry>),
    /// `struct`, `union` or `enum` in C's syntax.
    Type(TypeDecl),
    Macro(Macro),
    Import {
        path: String,
        span: Span,
    },
    Map(MapDecl),
    Probe(Probe),
}

/// `key = value` of a config block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigEntry {
    pub key: String,
    pub value: String,
    pub span: Span,
}

/// `let @name = kind(entries);`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MapDecl {
    pub name: String,
    pub kind: String,
    pub entries: i64,
    pub span: Span,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Macro {
    pub name: String,
    pub params: Vec<MacroParam>,
    pub body: Block,
    pub span: Span,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MacroParam {
    Var(String),
    Map(String),
    Expr(String),
}

/// A declared C type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TypeDecl {
    pub kind: DeclKind,
    /// Empty for an anonymous enum.
    pub name: String,
    pub span: Span,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeclKind {
    Struct(Vec<FieldDecl>),
    Union(Vec<FieldDecl>),
    Enum(Vec<(String, i64)>),
    /// `typedef`: another name for a type.
    Alias(Box<FieldDecl>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldDecl {
    /// Empty for an anonymous struct or union member.
    pub name: String,
    pub ty: TypeName,
    /// A member declared in place.
    pub inline: Option<Box<TypeDecl>>,
    pub bits: Option<u32>,
    pub span: Span,
}

/// A type as written: `uint32`, `struct task_struct *`, `int8[4]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TypeName {
    pub base: BaseType,
    pub pointers: u32,
    /// `None`: `[]`.
    pub dims: Vec<Option<u64>>,
    pub span: Span,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BaseType {
    /// With `struct `, `union ` or `enum ` in front where it was written; C spellings as one string (`unsigned long`).
    Name(String),
    Typeof(Box<Expr>),
}

/// Attach points, predicate and body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    pub attach: Vec<AttachPoint>,
    pub predicate: Option<Expr>,
    pub body: Block,
    pub span: Span,
}

/// One attach point as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttachPoint {
    pub text: String,
    pub span: Span,
}

/// Statements; `value` is the last expression when no `;` follows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    pub stmts: Vec<Stmt>,
    pub value: Option<Box<Expr>>,
    pub span: Span,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stmt {
    pub kind: StmtKind,
    pub span: Span,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StmtKind {
    Expr(Expr),
    Let {
        name: String,
        ty: Option<TypeName>,
        value: Option<Expr>,
    },
    /// `target = value`, or `target op= value`.
    Assign {
        target: Expr,
        op: Option<BinOp>,
        value: Expr,
    },
    /// `_ = value`.
    Discard(Expr),
    If(If),
    While {
        cond: Expr,
        body: Block,
    },
    Unroll {
        times: Expr,
        body: Block,
    },
    For {
        var: String,
        over: ForOver,
        body: Block,
    },
    Block(Block),
    Break,
    Continue,
    Return(Option<Expr>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct If {
    /// Conditions with their blocks, `else if` flattened.
    pub arms: Vec<(Expr, Block)>,
    pub otherwise: Option<Block>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ForOver {
    Map(Expr),
    /// From the first, up to but not including the second.
    Range(Expr, Expr),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expr {
    pub kind: ExprKind,
    pub span: Span,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExprKind {
    Int(IntLit),
    Bool(bool),
    Str(Vec<u8>),
    /// `$name`.
    Var(String),
    /// `@name` or `@name[keys]`.
    Map {
        name: String,
        keys: Vec<Expr>,
    },
    /// `$1`.
    Param(u32),
    /// `$#`.
    ParamCount,
    /// A builtin or an enumerator.
    Ident(String),
    Call {
        name: String,
        args: Vec<Expr>,
    },
    Unary {
        op: UnOp,
        expr: Box<Expr>,
    },
    Binary {
        op: BinOp,
        left: Box<Expr>,
        right: Box<Expr>,
    },
    /// `++`/`--` before or after.
    Step {
        expr: Box<Expr>,
        up: bool,
        prefix: bool,
    },
    /// `cond ? yes : no`; without `yes`: `cond ?: no`.
    Cond {
        cond: Box<Expr>,
        yes: Option<Box<Expr>>,
        no: Box<Expr>,
    },
    /// `.field`, or `->field`.
    Field {
        expr: Box<Expr>,
        name: String,
        arrow: bool,
    },
    /// `.0`.
    TupleIndex {
        expr: Box<Expr>,
        index: u64,
    },
    Index {
        expr: Box<Expr>,
        index: Box<Expr>,
    },
    Cast {
        ty: TypeName,
        expr: Box<Expr>,
    },
    Tuple(Vec<Expr>),
    Record(Vec<(String, Expr)>),
    Block(Box<Block>),
    If(Box<If>),
    SizeofType(TypeName),
    /// `offsetof(type, field)`.
    Offsetof {
        ty: TypeName,
        field: Vec<String>,
    },
    /// A type where an expression is expected (`typeof(x)` as a macro argument).
    Type(TypeName),
}

/// A literal: its value and whether it only fits an unsigned type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IntLit {
    pub value: u64,
    /// Written with a suffix of time (`5ms`): nanoseconds.
    pub duration: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnOp {
    Not,
    BitNot,
    Neg,
    Deref,
    AddrOf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BinOp {
    Add,
    Sub,
    Mul,
    Div,
    Mod,
    And,
    Or,
    Xor,
    Shl,
    Shr,
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
    LogAnd,
    LogOr,
}

impl BinOp {
    pub fn text(self) -> &'static str {
        match self {
            BinOp::Add => "+",
            BinOp::Sub => "-",
            BinOp::Mul => "*",
            BinOp::Div => "/",
            BinOp::Mod => "%",
            BinOp::And => "&",
            BinOp::Or => "|",
            BinOp::Xor => "^",
            BinOp::Shl => "<<",
            BinOp::Shr => ">>",
            BinOp::Eq => "==",
            BinOp::Ne => "!=",
            BinOp::Lt => "<",
            BinOp::Le => "<=",
            BinOp::Gt => ">",
            BinOp::Ge => ">=",
            BinOp::LogAnd => "&&",
            BinOp::LogOr => "||",
        }
    }

    /// Binding strength; higher binds tighter.
    pub fn precedence(self) -> u8 {
        match self {
            BinOp::LogOr => 1,
            BinOp::LogAnd => 2,
            BinOp::Or => 3,
            BinOp::Xor => 4,
            BinOp::And => 5,
            BinOp::Eq | BinOp::Ne => 6,
            BinOp::Lt | BinOp::Le | BinOp::Gt | BinOp::Ge => 7,
            BinOp::Shl | BinOp::Shr => 8,
            BinOp::Add | BinOp::Sub => 9,
            BinOp::Mul | BinOp::Div | BinOp::Mod => 10,
        }
    }

    pub fn is_comparison(self) -> bool {
        matches!(
            self,
            BinOp::Eq | BinOp::Ne | BinOp::Lt | BinOp::Le | BinOp::Gt | BinOp::Ge
        )
    }
}

impl UnOp {
    pub fn text(self) -> &'static str {
        match self {
            UnOp::Not => "!",
            UnOp::BitNot => "~",
            UnOp::Neg => "-",
            UnOp::Deref => "*",
            UnOp::AddrOf => "&",
        }
    }
}
