//! One assembly statement → one instruction, perhaps with a symbol still to be resolved.
//!
//! A statement is tried against the text of every row of the table, and against
//! its aliases and its words in the mnemonic dialect; when none fits, the message is about the one that came furthest.

use std::str::FromStr;

use crate::expr::{Cursor, Expr, Mismatch, What, expr, is_register, register};
use crate::form::{Form, Operands};
use crate::gnu;
use crate::lex::{Tok, Token, error_at, lex};
use crate::table::{ALIASES, Kind, TABLE};
use crate::template::{Piece, Slot, pieces};
use crate::{CallTarget, Error, Insn, Reg};

/// How an instruction refers to a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SymbolUse {
    /// A jump to a label.
    Jump,
    /// A call of a helper, a subprogram or a kernel function.
    Call,
    /// `NAME ll`: the address of data or of a subprogram.
    Address,
    /// `map NAME ll`: a map.
    Map,
}

/// A name in an instruction's operand.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Symbol {
    pub name: String,
    pub usage: SymbolUse,
    /// Bytes added to the address.
    pub addend: i64,
}

/// A parsed instruction. Where `symbol` stands for an operand, that operand is a
/// placeholder: a jump by 0, a subprogram call by -1, the 64-bit number `addend`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AsmInsn {
    pub insn: Insn,
    pub symbol: Option<Symbol>,
}

impl FromStr for AsmInsn {
    type Err = Error;

    fn from_str(text: &str) -> Result<AsmInsn, Error> {
        let tokens = lex(text)?;
        let (statement, rest) = match tokens.iter().position(|t| t.tok == Tok::End) {
            Some(end) => tokens.split_at(end + 1),
            None => (&tokens[..], &[][..]),
        };
        if let Some(more) = rest.iter().find(|t| t.tok != Tok::End) {
            return Err(error_at(text, more.at, "expected one instruction only"));
        }
        Parser::new().statement(text, statement, &|_| None)
    }
}

/// An instruction without names, as `Display` writes it.
impl FromStr for Insn {
    type Err = Error;

    fn from_str(text: &str) -> Result<Insn, Error> {
        let parsed: AsmInsn = text.parse()?;
        match parsed.symbol {
            None => Ok(parsed.insn),
            Some(symbol) => {
                let at = text.find(&symbol.name).unwrap_or(0);
                let message = format!("`{}` is a name, and there are none here", symbol.name);
                Err(error_at(text, at, message))
            }
        }
    }
}

/// The texts of the table, tokenised.
pub(crate) struct Parser {
    templates: Vec<(Kind, Vec<Piece>)>,
}

/// What a template's operands were read as.
struct Match {
    ops: Operands,
    symbol: Option<Symbol>,
}

impl Parser {
    pub fn new() -> Parser {
        let rows = TABLE.iter().map(|row| (row.kind, row.text));
        let templates = rows
            .chain(ALIASES.iter().copied())
            .chain(gnu::WORDS.iter().copied())
            .chain(gnu::OTHER_WORDS.iter().copied())
            .map(|(kind, text)| (kind, pieces(text).flat_map(tokenise).collect()))
            .collect();
        Parser { templates }
    }

    /// Reads one statement, which ends at an `End` token or with `tokens`; `constant` knows
    /// the names that stand for numbers.
    pub fn statement(
        &self,
        source: &str,
        tokens: &[Token<'_>],
        constant: &dyn Fn(&str) -> Option<i64>,
    ) -> Result<AsmInsn, Error> {
        let mut failures = Furthest::default();
        for (kind, template) in &self.templates {
            match read(template, tokens, constant) {
                Ok(Match { ops, symbol }) => {
                    let form = Form { kind: *kind, ops };
                    let insn = match (&symbol, form.to_insn()) {
                        (Some(s), Insn::Call(_)) if s.usage == SymbolUse::Call => {
                            Insn::Call(CallTarget::Subprog { rel: -1 })
                        }
                        (_, insn) => insn,
                    };
                    return Ok(AsmInsn { insn, symbol });
                }
                Err(mismatch) => failures.add(mismatch),
            }
        }
        Err(failures.into_error(source, tokens))
    }
}

/// Literal text becomes one piece a token.
fn tokenise(piece: Piece) -> Vec<Piece> {
    match piece {
        Piece::Literal(text) => match lex(text) {
            Ok(tokens) => tokens
                .iter()
                .filter(|t| t.tok != Tok::End)
                .map(|t| Piece::Literal(t.text))
                .collect(),
            // Not in the table: a test tokenises all of it.
            Err(_) => vec![piece],
        },
        operand => vec![operand],
    }
}

fn read(
    template: &[Piece],
    tokens: &[Token<'_>],
    constant: &dyn Fn(&str) -> Option<i64>,
) -> Result<Match, Mismatch> {
    let mut reader = Reader {
        cursor: Cursor { tokens, at: 0 },
        constant,
        dst: None,
        src: None,
        matched: Match {
            ops: Operands::default(),
            symbol: None,
        },
    };
    for piece in template {
        match *piece {
            Piece::Literal(text) if reader.cursor.take(text) => {}
            Piece::Literal(text) => return Err(Mismatch::literal(reader.cursor.at, text)),
            Piece::Operand(slot) => reader.operand(slot)?,
        }
    }
    match reader.cursor.peek() {
        None | Some(Token { tok: Tok::End, .. }) => Ok(reader.matched),
        Some(_) => Err(Mismatch::expected(
            reader.cursor.at,
            "the end of the statement",
        )),
    }
}

struct Reader<'t, 'a> {
    cursor: Cursor<'t, 'a>,
    constant: &'t dyn Fn(&str) -> Option<i64>,
    /// Registers that the template has named already: it may name them again.
    dst: Option<Reg>,
    src: Option<Reg>,
    matched: Match,
}

impl Reader<'_, '_> {
    fn operand(&mut self, slot: Slot) -> Result<(), Mismatch> {
        match slot {
            Slot::Dst => self.dst = Some(self.register('r', self.dst)?),
            Slot::Dst32 => self.dst = Some(self.register('w', self.dst)?),
            Slot::Src => self.src = Some(self.register('r', self.src)?),
            Slot::Src32 => self.src = Some(self.register('w', self.src)?),
            Slot::Imm => self.matched.ops.imm = self.extended_imm()?,
            Slot::Imm32 => self.matched.ops.imm = self.either_sign()?,
            Slot::SignedImm => {
                self.matched.ops.imm = self.number::<i32>("a signed 32-bit number")?
            }
            Slot::Id => {
                self.matched.ops.imm = self.number::<u32>("an unsigned 32-bit number")? as i32
            }
            Slot::Next => {
                self.matched.ops.next = self.number::<u32>("an unsigned 32-bit number")? as i32
            }
            Slot::Module => self.matched.ops.off = self.number("a signed 16-bit number")?,
            Slot::To => {
                let to: u16 = self.number("an unsigned 16-bit number")?;
                self.matched.ops.imm |= (u32::from(to) << 16) as i32;
            }
            Slot::From => {
                let from: u16 = self.number("an unsigned 16-bit number")?;
                self.matched.ops.imm |= i32::from(from);
            }
            Slot::Helper => self.helper()?,
            Slot::Imm64 => self.imm64()?,
            Slot::Off | Slot::Disp => {
                self.matched.ops.off = self.offset("a signed 16-bit offset")?
            }
            Slot::Off32 => self.matched.ops.imm = self.offset("a signed 32-bit offset")?,
            Slot::Rel => self.matched.ops.off = self.jump("a 16-bit jump")?,
            Slot::Rel32 => self.matched.ops.imm = self.jump("a 32-bit jump")?,
        }
        self.matched.ops.dst = self.dst.unwrap_or(Reg::R0);
        self.matched.ops.src = self.src.unwrap_or(Reg::R0);
        Ok(())
    }

    fn register(&mut self, letter: char, before: Option<Reg>) -> Result<Reg, Mismatch> {
        let at = self.cursor.at;
        let wanted = if letter == 'r' {
            "a register r0 to r10"
        } else {
            "a register w0 to w10"
        };
        // As GNU writes them.
        self.cursor.take("%");
        let token = self.cursor.peek().filter(|t| t.tok == Tok::Ident);
        let reg = token
            .and_then(|t| register(t.text, letter))
            .ok_or(Mismatch::expected(at, wanted))?;
        self.cursor.at += 1;
        match before {
            Some(before) if before != reg => Err(Mismatch::message(
                at,
                self.cursor.at,
                format!("must be {letter}{}, the same register", before.index()),
            )),
            _ => Ok(reg),
        }
    }

    /// An expression without symbols, and where it starts.
    fn value(&mut self) -> Result<(i128, usize), Mismatch> {
        let at = self.cursor.at;
        let Expr { value, plus, minus } = expr(&mut self.cursor, self.constant)?;
        match plus.or(minus) {
            None => Ok((value, at)),
            Some(name) => {
                let message = format!("`{name}` is not a number; `{name} ll` is an address");
                Err(Mismatch::message(at, self.cursor.at, message))
            }
        }
    }

    fn number<T: TryFrom<i128>>(&mut self, what: &str) -> Result<T, Mismatch> {
        let (value, at) = self.value()?;
        T::try_from(value).map_err(|_| self.unfit(value, at, what))
    }

    fn unfit(&self, value: i128, at: usize, what: &str) -> Mismatch {
        Mismatch::message(at, self.cursor.at, format!("{value} does not fit {what}"))
    }

    /// An immediate that the operation extends: as a signed number of 32 bits, or the same
    /// number written with 64 bits.
    fn extended_imm(&mut self) -> Result<i32, Mismatch> {
        let (value, at) = self.value()?;
        let signed = i64::try_from(value).or_else(|_| u64::try_from(value).map(|v| v as i64));
        signed
            .ok()
            .and_then(|v| i32::try_from(v).ok())
            .ok_or_else(|| {
                let what = "a 32-bit immediate, which is sign-extended; load it with `ll` first";
                self.unfit(value, at, what)
            })
    }

    fn either_sign(&mut self) -> Result<i32, Mismatch> {
        let (value, at) = self.value()?;
        let unsigned = || u32::try_from(value).map(|v| v as i32);
        i32::try_from(value)
            .or_else(|_| unsigned())
            .map_err(|_| self.unfit(value, at, "32 bits"))
    }

    fn helper(&mut self) -> Result<(), Mismatch> {
        let at = self.cursor.at;
        match self.cursor.peek() {
            Some(t) if t.tok == Tok::Ident && is_register(t.text) => {
                return Err(Mismatch::expected(at, "a function"));
            }
            Some(t) if t.tok == Tok::Ident && (self.constant)(t.text).is_none() => {
                self.cursor.at += 1;
                self.symbol(t.text.to_owned(), SymbolUse::Call, 0);
            }
            _ => self.matched.ops.imm = self.either_sign()?,
        }
        Ok(())
    }

    fn imm64(&mut self) -> Result<(), Mismatch> {
        let at = self.cursor.at;
        if let Some(name) = self.map_name() {
            self.symbol(name, SymbolUse::Map, 0);
            return Ok(());
        }
        let Expr { value, plus, minus } = expr(&mut self.cursor, self.constant)?;
        if minus.is_some() {
            let message = "a difference of symbols has no address";
            return Err(Mismatch::message(at, self.cursor.at, message));
        }
        let number = i64::try_from(value).or_else(|_| u64::try_from(value).map(|v| v as i64));
        let number = number.map_err(|_| self.unfit(value, at, "64 bits"))?;
        self.matched.ops.imm = number as i32;
        self.matched.ops.next = (number >> 32) as i32;
        if let Some(name) = plus {
            self.symbol(name, SymbolUse::Address, number);
        }
        Ok(())
    }

    /// `map NAME` or `map[NAME]`; a symbol called `map` is neither.
    fn map_name(&mut self) -> Option<String> {
        let mut cursor = self.cursor;
        if !cursor.take("map") {
            return None;
        }
        let bracket = cursor.take("[");
        let name = cursor.take_if(Tok::Ident).filter(|t| t.text != "ll")?;
        if bracket && !cursor.take("]") {
            return None;
        }
        self.cursor = cursor;
        Some(name.text.to_owned())
    }

    /// `+ 4`, `- 4`, or nothing before a closing bracket.
    fn offset<T: TryFrom<i128> + Default>(&mut self, what: &str) -> Result<T, Mismatch> {
        if self.cursor.is("+") || self.cursor.is("-") {
            self.number(what)
        } else if [")", "]", ","].iter().any(|t| self.cursor.is(t)) {
            Ok(T::default())
        } else {
            Err(Mismatch::expected(
                self.cursor.at,
                "`+` or `-` and an offset",
            ))
        }
    }

    /// `+3`, `-2`, `pc+3`, or a label.
    fn jump<T: TryFrom<i128> + Default>(&mut self, what: &str) -> Result<T, Mismatch> {
        let signed = |c: &Cursor<'_, '_>| c.is("+") || c.is("-");
        let mut cursor = self.cursor;
        if cursor.take("pc") && signed(&cursor) {
            self.cursor = cursor;
        }
        if signed(&self.cursor) {
            return self.number(what);
        }
        let name = self.cursor.peek().filter(|t| match t.tok {
            Tok::Ident => !is_register(t.text),
            Tok::Local { .. } => true,
            _ => false,
        });
        let name = name.ok_or(Mismatch::expected(
            self.cursor.at,
            "a label, or `+` or `-` and a number of slots",
        ))?;
        self.cursor.at += 1;
        self.symbol(name.text.to_owned(), SymbolUse::Jump, 0);
        Ok(T::default())
    }

    fn symbol(&mut self, name: String, usage: SymbolUse, addend: i64) {
        self.matched.symbol = Some(Symbol {
            name,
            usage,
            addend,
        });
    }
}

/// The mismatches of the readings that came furthest.
#[derive(Default)]
struct Furthest {
    reach: usize,
    all: Vec<Mismatch>,
}

impl Furthest {
    fn add(&mut self, mismatch: Mismatch) {
        if mismatch.reach > self.reach {
            self.reach = mismatch.reach;
            self.all.clear();
        }
        if mismatch.reach == self.reach {
            self.all.push(mismatch);
        }
    }

    fn into_error(self, source: &str, tokens: &[Token<'_>]) -> Error {
        let place = |at: usize| tokens.get(at).map_or(source.len(), |t| t.at);
        for mismatch in &self.all {
            if let What::Message(message) = &mismatch.what {
                return error_at(source, place(mismatch.at), message.as_str());
            }
        }
        let found = match tokens.get(self.reach) {
            Some(t) if t.tok != Tok::End => format!("`{}`", t.text),
            _ => "the end of the statement".to_owned(),
        };
        let mut wanted: Vec<String> = Vec::new();
        for mismatch in &self.all {
            let what = match &mismatch.what {
                What::Literal(text) => format!("`{text}`"),
                What::Expected(text) => (*text).to_owned(),
                What::Message(text) => text.clone(),
            };
            if !wanted.contains(&what) {
                wanted.push(what);
            }
        }
        let message = if self.reach == 0 {
            let before = source.get(..place(0)).unwrap_or("");
            // Other assemblers have it start a comment.
            let hint = match before.trim_end_matches([' ', '\t']).ends_with(';') {
                true => " (`;` separates statements, `#` starts a comment)",
                false => "",
            };
            format!("{found} starts no instruction{hint}")
        } else if wanted.len() > 8 {
            format!("no instruction goes on with {found} here")
        } else {
            format!("expected {}, found {found}", wanted.join(" or "))
        };
        error_at(source, place(self.reach), message)
    }
}
