//! Type names, and C's declarations of structs, unions and enums.

use super::{Parsed, Parser};
use crate::ast::*;
use crate::diagnostics::Diagnostic;
use crate::lexer::Tok;

/// Words that begin a type and nothing else.
const TYPE_WORDS: [&str; 43] = [
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "int8_t",
    "int16_t",
    "int32_t",
    "int64_t",
    "uint8_t",
    "uint16_t",
    "uint32_t",
    "uint64_t",
    "bool",
    "char",
    "short",
    "int",
    "long",
    "unsigned",
    "signed",
    "void",
    "size_t",
    "ssize_t",
    "uintptr_t",
    "intptr_t",
    "string",
    "u8",
    "u16",
    "u32",
    "u64",
    "s8",
    "s16",
    "s32",
    "s64",
    "struct",
    "union",
    "enum",
    "typeof",
    "const",
    "volatile",
];
const C_WORDS: [&str; 6] = ["unsigned", "signed", "char", "short", "int", "long"];

impl Parser<'_> {
    /// Whether a type stands here: by its first word, or `name *…)` and `(name) operand` for names of the kernel's.
    pub(super) fn at_type(&mut self) -> Parsed<bool> {
        let t = self.peek()?;
        let Tok::Ident(word) = &t.tok else {
            return Ok(false);
        };
        if TYPE_WORDS.contains(&word.as_str()) {
            return Ok(true);
        }
        let before = (self.pos, self.last_end);
        self.next()?;
        let mut stars = 0;
        while self.eat("*")? {
            stars += 1;
        }
        let closed = self.eat(")")?;
        let operand = matches!(
            self.peek()?.tok,
            Tok::Var(_)
                | Tok::Map(_)
                | Tok::Ident(_)
                | Tok::Int(_)
                | Tok::Param(_)
                | Tok::Punct("(")
        );
        let called = matches!(self.peek()?.tok, Tok::Punct("("));
        (self.pos, self.last_end) = before;
        Ok(closed && ((stars > 0) || (operand && !called)))
    }

    pub(super) fn type_name(&mut self) -> Parsed<TypeName> {
        let start = self.here();
        while self.is_word("const")? || self.is_word("volatile")? {
            self.next()?;
        }
        let (word, _) = self.ident("the name of a type")?;
        let base = match word.as_str() {
            "struct" | "union" | "enum" => {
                let (name, _) = self.ident(&format!("the name of the {word}"))?;
                BaseType::Name(format!("{word} {name}"))
            }
            "typeof" => {
                self.expect("(", "after `typeof`")?;
                let inner = if self.at_type()? || self.at_type_then_close()? {
                    let ty = self.nested(|p| p.type_name())?;
                    Expr {
                        span: ty.span,
                        kind: ExprKind::Type(ty),
                    }
                } else {
                    self.expr()?
                };
                self.expect(")", "after `typeof(…`")?;
                BaseType::Typeof(Box::new(inner))
            }
            w if C_WORDS.contains(&w) => {
                let mut name = word;
                while let Tok::Ident(next) = self.peek()?.tok {
                    if !C_WORDS.contains(&next.as_str()) {
                        break;
                    }
                    self.next()?;
                    name.push(' ');
                    name.push_str(&next);
                }
                BaseType::Name(name)
            }
            _ => BaseType::Name(word),
        };
        let mut ty = TypeName {
            base,
            pointers: 0,
            dims: Vec::new(),
            span: self.since(start),
        };
        loop {
            while self.is_word("const")? || self.is_word("volatile")? {
                self.next()?;
            }
            if self.is("*")? {
                self.next()?;
                ty.pointers += 1;
            } else {
                break;
            }
        }
        self.dims(&mut ty)?;
        ty.span = self.since(start);
        if ty.pointers as usize + ty.dims.len() > 8 {
            return Err(Diagnostic::error(ty.span, "a type of more than 8 levels"));
        }
        Ok(ty)
    }

    /// `typeof(name *)`: a type by a name that only the kernel knows.
    fn at_type_then_close(&mut self) -> Parsed<bool> {
        let before = (self.pos, self.last_end);
        let mut yes = false;
        if matches!(self.peek()?.tok, Tok::Ident(_)) {
            self.next()?;
            let mut stars = 0;
            while self.eat("*")? {
                stars += 1;
            }
            yes = stars > 0 && self.is(")")?;
        }
        (self.pos, self.last_end) = before;
        Ok(yes)
    }

    fn dims(&mut self, ty: &mut TypeName) -> Parsed<()> {
        while self.eat("[")? {
            if self.eat("]")? {
                ty.dims.push(None);
                continue;
            }
            let t = self.next()?;
            let Tok::Int(n) = t.tok else {
                return Err(self.unexpected(&t, "the number of elements"));
            };
            ty.dims.push(Some(n.value));
            self.expect("]", "after the number of elements")?;
        }
        Ok(())
    }

    pub(super) fn type_decl(&mut self) -> Parsed<TypeDecl> {
        self.nested(|p| p.type_decl_inner())
    }

    fn type_decl_inner(&mut self) -> Parsed<TypeDecl> {
        let start = self.here();
        let (word, _) = self.ident("`struct`, `union` or `enum`")?;
        let name = match self.peek()?.tok {
            Tok::Ident(n) => {
                self.next()?;
                n
            }
            _ => String::new(),
        };
        self.expect("{", &format!("of the {word}"))?;
        let kind = match word.as_str() {
            "enum" => DeclKind::Enum(self.enumerators()?),
            "union" => DeclKind::Union(self.fields()?),
            _ => DeclKind::Struct(self.fields()?),
        };
        Ok(TypeDecl {
            kind,
            name,
            span: self.since(start),
        })
    }

    /// `typedef TYPE NAME;`
    pub(super) fn typedef(&mut self) -> Parsed<TypeDecl> {
        let start = self.here();
        self.next()?;
        let inline = self.inline_decl()?;
        let mut ty = match &inline {
            Some(decl) => TypeName {
                base: BaseType::Name(decl.name.clone()),
                pointers: 0,
                dims: Vec::new(),
                span: decl.span,
            },
            None => self.type_name()?,
        };
        while self.eat("*")? {
            ty.pointers += 1;
        }
        let (name, _) = self.ident("the new name of the type")?;
        self.dims(&mut ty)?;
        self.expect(";", "after the new name of the type")?;
        let span = self.since(start);
        let of = FieldDecl {
            name: name.clone(),
            ty,
            inline: inline.map(Box::new),
            bits: None,
            span,
        };
        Ok(TypeDecl {
            kind: DeclKind::Alias(Box::new(of)),
            name,
            span,
        })
    }

    fn enumerators(&mut self) -> Parsed<Vec<(String, i64)>> {
        let mut out: Vec<(String, i64)> = Vec::new();
        let mut next = 0i64;
        while !self.eat("}")? {
            let (name, span) = self.ident("an enumerator or `}`")?;
            if self.eat("=")? {
                let negative = self.eat("-")?;
                let t = self.next()?;
                next = match t.tok {
                    Tok::Int(i) if negative => (i.value as i64).wrapping_neg(),
                    Tok::Int(i) => i.value as i64,
                    Tok::Ident(other) => match out.iter().find(|(n, _)| *n == other) {
                        Some((_, v)) => *v,
                        None => {
                            return Err(Diagnostic::error(
                                t.span,
                                format!("unknown enumerator `{other}`"),
                            ));
                        }
                    },
                    _ => return Err(self.unexpected(&t, "the value of the enumerator")),
                };
            }
            if out.iter().any(|(n, _)| *n == name) {
                return Err(Diagnostic::error(
                    span,
                    format!("the enumerator `{name}` is there twice"),
                ));
            }
            out.push((name, next));
            next = next.wrapping_add(1);
            if !self.eat(",")? && !self.is("}")? {
                let t = self.peek()?;
                return Err(self.unexpected(&t, "`,` or `}`"));
            }
        }
        Ok(out)
    }

    fn fields(&mut self) -> Parsed<Vec<FieldDecl>> {
        let mut out = Vec::new();
        while !self.eat("}")? {
            let start = self.here();
            let inline = self.inline_decl()?;
            let base = match &inline {
                Some(decl) => TypeName {
                    base: BaseType::Name(decl.name.clone()),
                    pointers: 0,
                    dims: Vec::new(),
                    span: decl.span,
                },
                None => self.type_name()?,
            };
            if self.eat(";")? {
                if inline.is_none() {
                    return Err(Diagnostic::error(base.span, "this member has no name"));
                }
                out.push(FieldDecl {
                    name: String::new(),
                    ty: base,
                    inline: inline.map(Box::new),
                    bits: None,
                    span: self.since(start),
                });
                continue;
            }
            loop {
                let mut ty = base.clone();
                while self.eat("*")? {
                    ty.pointers += 1;
                }
                if self.is("(")? {
                    let t = self.peek()?;
                    return Err(Diagnostic::error(
                        t.span,
                        "function pointers cannot be members here",
                    )
                    .hint("declare it as `void *name`"));
                }
                let (name, _) = self.ident("the name of the member")?;
                self.dims(&mut ty)?;
                let bits = if self.eat(":")? {
                    let t = self.next()?;
                    match t.tok {
                        Tok::Int(n) if n.value > 0 && n.value <= 64 => Some(n.value as u32),
                        _ => return Err(self.unexpected(&t, "the width of the bit field, 1 to 64")),
                    }
                } else {
                    None
                };
                out.push(FieldDecl {
                    name,
                    ty,
                    inline: inline.clone().map(Box::new),
                    bits,
                    span: self.since(start),
                });
                if !self.eat(",")? {
                    break;
                }
            }
            // The last member goes without, as bpftrace's tests have it.
            if !self.eat(";")? && !self.is("}")? {
                let t = self.peek()?;
                return Err(self.unexpected(&t, "`;` after the member"));
            }
        }
        Ok(out)
    }

    /// `struct { … }` as a member's type.
    fn inline_decl(&mut self) -> Parsed<Option<TypeDecl>> {
        let before = (self.pos, self.last_end);
        let Tok::Ident(word) = self.peek()?.tok else {
            return Ok(None);
        };
        if !matches!(word.as_str(), "struct" | "union" | "enum") {
            return Ok(None);
        }
        self.next()?;
        if matches!(self.peek()?.tok, Tok::Ident(_)) {
            self.next()?;
        }
        let declares = self.is("{")?;
        (self.pos, self.last_end) = before;
        if declares {
            Ok(Some(self.type_decl()?))
        } else {
            Ok(None)
        }
    }
}
