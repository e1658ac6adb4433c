//! [`Ast`] → a script's text, one item after the other, four blanks a level.

use std::fmt::{self, Display, Formatter, Write};

use crate::ast::*;

impl Display for Ast {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (i, item) in self.items.iter().enumerate() {
            if i > 0 {
                writeln!(f)?;
            }
            item_text(f, item)?;
        }
        Ok(())
    }
}

fn item_text(f: &mut Formatter<'_>, item: &Item) -> fmt::Result {
    match item {
        Item::Config(entries) => {
            writeln!(f, "config = {{")?;
            for e in entries {
                let plain = e
                    .value
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || c == '_');
                if plain && !e.value.is_empty() {
                    writeln!(f, "    {} = {};", e.key, e.value)?;
                } else {
                    writeln!(f, "    {} = {};", e.key, quoted(e.value.as_bytes()))?;
                }
            }
            writeln!(f, "}}")
        }
        Item::Type(decl) => {
            decl_text(f, decl, 0)?;
            writeln!(f, ";")
        }
        Item::Macro(m) => {
            let params: Vec<String> = m
                .params
                .iter()
                .map(|p| match p {
                    MacroParam::Var(n) => format!("${n}"),
                    MacroParam::Map(n) => format!("@{n}"),
                    MacroParam::Expr(n) => n.clone(),
                })
                .collect();
            write!(f, "macro {}({}) ", m.name, params.join(", "))?;
            block_text(f, &m.body, 0)?;
            writeln!(f)
        }
        Item::Import { path, .. } => writeln!(f, "import {};", quoted(path.as_bytes())),
        Item::Map(m) => writeln!(f, "let @{} = {}({});", m.name, m.kind, m.entries),
        Item::Probe(p) => {
            let points: Vec<&str> = p.attach.iter().map(|a| a.text.as_str()).collect();
            write!(f, "{}", points.join(",\n"))?;
            if let Some(e) = &p.predicate {
                write!(f, " / {e} /")?;
            }
            f.write_char(' ')?;
            block_text(f, &p.body, 0)?;
            writeln!(f)
        }
    }
}

fn decl_text(f: &mut Formatter<'_>, decl: &TypeDecl, level: usize) -> fmt::Result {
    let pad = "    ".repeat(level);
    let (word, fields) = match &decl.kind {
        DeclKind::Struct(fields) => ("struct", fields.as_slice()),
        DeclKind::Union(fields) => ("union", fields.as_slice()),
        DeclKind::Enum(values) => {
            write!(f, "enum {} {{", decl.name)?;
            for (i, (name, value)) in values.iter().enumerate() {
                write!(f, "{}{name} = {value}", if i == 0 { " " } else { ", " })?;
            }
            return write!(f, " }}");
        }
        DeclKind::Alias(of) => {
            write!(f, "typedef ")?;
            return field_text(f, of, level);
        }
    };
    writeln!(f, "{word} {} {{", decl.name)?;
    for field in fields {
        write!(f, "{pad}    ")?;
        field_text(f, field, level + 1)?;
        writeln!(f, ";")?;
    }
    write!(f, "{pad}}}")
}

fn field_text(f: &mut Formatter<'_>, field: &FieldDecl, level: usize) -> fmt::Result {
    match &field.inline {
        Some(inner) => decl_text(f, inner, level)?,
        None => match &field.ty.base {
            BaseType::Name(n) => write!(f, "{n}")?,
            BaseType::Typeof(e) => write!(f, "typeof({e})")?,
        },
    }
    if !field.name.is_empty() {
        write!(
            f,
            " {}{}",
            "*".repeat(field.ty.pointers as usize),
            field.name
        )?;
    }
    for d in &field.ty.dims {
        dim_text(f, *d)?;
    }
    if let Some(bits) = field.bits {
        write!(f, " : {bits}")?;
    }
    Ok(())
}

fn dim_text(f: &mut Formatter<'_>, dim: Option<u64>) -> fmt::Result {
    match dim {
        Some(n) => write!(f, "[{n}]"),
        None => write!(f, "[]"),
    }
}

impl Display for TypeName {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.base {
            BaseType::Name(n) => write!(f, "{n}")?,
            BaseType::Typeof(e) => write!(f, "typeof({e})")?,
        }
        if self.pointers > 0 {
            write!(f, " {}", "*".repeat(self.pointers as usize))?;
        }
        self.dims.iter().try_for_each(|d| dim_text(f, *d))
    }
}

fn block_text(f: &mut Formatter<'_>, block: &Block, level: usize) -> fmt::Result {
    let pad = "    ".repeat(level);
    writeln!(f, "{{")?;
    for s in &block.stmts {
        write!(f, "{pad}    ")?;
        stmt_text(f, s, level + 1)?;
        writeln!(f)?;
    }
    if let Some(v) = &block.value {
        write!(f, "{pad}    ")?;
        expr_text(f, v, level + 1)?;
        writeln!(f)?;
    }
    write!(f, "{pad}}}")
}

fn if_text(f: &mut Formatter<'_>, chain: &If, level: usize) -> fmt::Result {
    for (i, (cond, body)) in chain.arms.iter().enumerate() {
        if i > 0 {
            write!(f, " else ")?;
        }
        write!(f, "if (")?;
        expr_text(f, cond, level)?;
        write!(f, ") ")?;
        block_text(f, body, level)?;
    }
    if let Some(b) = &chain.otherwise {
        write!(f, " else ")?;
        block_text(f, b, level)?;
    }
    Ok(())
}

fn stmt_text(f: &mut Formatter<'_>, stmt: &Stmt, level: usize) -> fmt::Result {
    match &stmt.kind {
        StmtKind::Expr(e) => {
            expr_text(f, e, level)?;
            write!(f, ";")
        }
        StmtKind::Let { name, ty, value } => {
            write!(f, "let ${name}")?;
            if let Some(ty) = ty {
                write!(f, ": {ty}")?;
            }
            if let Some(v) = value {
                write!(f, " = ")?;
                expr_text(f, v, level)?;
            }
            write!(f, ";")
        }
        StmtKind::Assign { target, op, value } => {
            expr_text(f, target, level)?;
            write!(f, " {}= ", op.map_or("", BinOp::text))?;
            expr_text(f, value, level)?;
            write!(f, ";")
        }
        StmtKind::Discard(e) => {
            write!(f, "_ = ")?;
            expr_text(f, e, level)?;
            write!(f, ";")
        }
        StmtKind::If(chain) => if_text(f, chain, level),
        StmtKind::While { cond, body } => {
            write!(f, "while (")?;
            expr_text(f, cond, level)?;
            write!(f, ") ")?;
            block_text(f, body, level)
        }
        StmtKind::Unroll { times, body } => {
            write!(f, "unroll (")?;
            expr_text(f, times, level)?;
            write!(f, ") ")?;
            block_text(f, body, level)
        }
        StmtKind::For { var, over, body } => {
            write!(f, "for (${var} : ")?;
            match over {
                ForOver::Map(m) => expr_text(f, m, level)?,
                ForOver::Range(a, b) => {
                    expr_text(f, a, level)?;
                    write!(f, "..")?;
                    expr_text(f, b, level)?;
                }
            }
            write!(f, ") ")?;
            block_text(f, body, level)
        }
        StmtKind::Block(b) => block_text(f, b, level),
        StmtKind::Break => write!(f, "break;"),
        StmtKind::Continue => write!(f, "continue;"),
        StmtKind::Return(None) => write!(f, "return;"),
        StmtKind::Return(Some(e)) => {
            write!(f, "return ")?;
            expr_text(f, e, level)?;
            write!(f, ";")
        }
    }
}

impl Display for Expr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        expr_text(f, self, 0)
    }
}

fn list_text(f: &mut Formatter<'_>, list: &[Expr], level: usize) -> fmt::Result {
    for (i, e) in list.iter().enumerate() {
        if i > 0 {
            write!(f, ", ")?;
        }
        expr_text(f, e, level)?;
    }
    Ok(())
}

/// An operand, in parentheses unless it is a single thing.
fn operand_text(f: &mut Formatter<'_>, e: &Expr, level: usize) -> fmt::Result {
    let compound = matches!(
        e.kind,
        ExprKind::Binary { .. }
            | ExprKind::Cond { .. }
            | ExprKind::Unary { .. }
            | ExprKind::Cast { .. }
            | ExprKind::Step { .. }
            | ExprKind::If(_)
    );
    if compound {
        write!(f, "(")?;
        expr_text(f, e, level)?;
        write!(f, ")")
    } else {
        expr_text(f, e, level)
    }
}

fn expr_text(f: &mut Formatter<'_>, e: &Expr, level: usize) -> fmt::Result {
    match &e.kind {
        ExprKind::Int(i) => {
            write!(f, "{}", i.value)?;
            if i.duration { write!(f, "ns") } else { Ok(()) }
        }
        ExprKind::Bool(b) => write!(f, "{b}"),
        ExprKind::Str(s) => write!(f, "{}", quoted(s)),
        ExprKind::Var(n) => write!(f, "${n}"),
        ExprKind::Map { name, keys } => {
            write!(f, "@{name}")?;
            if keys.is_empty() {
                return Ok(());
            }
            write!(f, "[")?;
            list_text(f, keys, level)?;
            write!(f, "]")
        }
        ExprKind::Param(n) => write!(f, "${n}"),
        ExprKind::ParamCount => write!(f, "$#"),
        ExprKind::Ident(n) => write!(f, "{n}"),
        ExprKind::Call { name, args } => {
            write!(f, "{name}(")?;
            list_text(f, args, level)?;
            write!(f, ")")
        }
        ExprKind::Unary { op, expr } => {
            write!(f, "{}", op.text())?;
            operand_text(f, expr, level)
        }
        ExprKind::Binary { op, left, right } => {
            operand_text(f, left, level)?;
            write!(f, " {} ", op.text())?;
            operand_text(f, right, level)
        }
        ExprKind::Step { expr, up, prefix } => {
            let sign = if *up { "++" } else { "--" };
            if *prefix {
                write!(f, "{sign}")?;
            }
            operand_text(f, expr, level)?;
            if *prefix { Ok(()) } else { write!(f, "{sign}") }
        }
        ExprKind::Cond { cond, yes, no } => {
            operand_text(f, cond, level)?;
            match yes {
                Some(y) => {
                    write!(f, " ? ")?;
                    operand_text(f, y, level)?;
                    write!(f, " : ")?;
                }
                None => write!(f, " ?: ")?,
            }
            operand_text(f, no, level)
        }
        ExprKind::Field { expr, name, arrow } => {
            operand_text(f, expr, level)?;
            write!(f, "{}{name}", if *arrow { "->" } else { "." })
        }
        ExprKind::TupleIndex { expr, index } => {
            operand_text(f, expr, level)?;
            write!(f, ".{index}")
        }
        ExprKind::Index { expr, index } => {
            operand_text(f, expr, level)?;
            write!(f, "[")?;
            expr_text(f, index, level)?;
            write!(f, "]")
        }
        ExprKind::Cast { ty, expr } => {
            write!(f, "({ty})")?;
            operand_text(f, expr, level)
        }
        ExprKind::Tuple(items) => {
            write!(f, "(")?;
            list_text(f, items, level)?;
            if items.len() == 1 {
                write!(f, ",")?;
            }
            write!(f, ")")
        }
        ExprKind::Record(fields) => {
            write!(f, "(")?;
            for (i, (name, e)) in fields.iter().enumerate() {
                if i > 0 {
                    write!(f, ", ")?;
                }
                write!(f, "{name}=")?;
                expr_text(f, e, level)?;
            }
            write!(f, ")")
        }
        ExprKind::Block(b) => block_text(f, b, level),
        ExprKind::If(chain) => if_text(f, chain, level),
        ExprKind::SizeofType(ty) => write!(f, "sizeof({ty})"),
        ExprKind::Offsetof { ty, field } => write!(f, "offsetof({ty}, {})", field.join(".")),
        ExprKind::Type(ty) => write!(f, "{ty}"),
    }
}

/// A string literal, as the lexer reads it back.
fn quoted(bytes: &[u8]) -> String {
    let mut out = String::from("\"");
    let text = String::from_utf8_lossy(bytes);
    if text.as_bytes() == bytes {
        for c in text.chars() {
            match c {
                '"' => out.push_str("\\\""),
                '\\' => out.push_str("\\\\"),
                '\n' => out.push_str("\\n"),
                '\t' => out.push_str("\\t"),
                '\r' => out.push_str("\\r"),
                c if (c as u32) < 32 || c as u32 == 127 => {
                    let _ = write!(out, "\\{:03o}", c as u32);
                }
                c => out.push(c),
            }
        }
    } else {
        for b in bytes {
            let _ = write!(out, "\\{b:03o}");
        }
    }
    out.push('"');
    out
}
