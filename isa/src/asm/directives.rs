//! Directives: statements that start in a dot.

use super::{Assembler, Attributes, Binding, Draft, LabelKind, MapDecl, NamedData};
use crate::Error;
use crate::expr::{Cursor, Expr, Mismatch, expr};
use crate::lex::{Tok, Token, unquote};

/// Bytes of data at most in one file: a `.zero` must not ask for all memory.
const MAX_DATA: u64 = 64 << 20;
const MAX_ALIGN: u64 = 4096;

impl Assembler<'_> {
    /// `tokens` starts with the directive's name and ends in its `End`.
    pub(super) fn directive(&mut self, tokens: &[Token<'_>]) -> Result<(), Error> {
        let Some(name) = tokens.first() else {
            return Ok(());
        };
        let mut cursor = Cursor { tokens, at: 1 };
        match name.text {
            ".section" => return self.section_directive(&mut cursor),
            ".text" => self.enter(".text", None),
            ".rodata" | ".data" | ".bss" => {
                self.enter(name.text, None);
                if let Some(label) = cursor.take_if(Tok::Ident) {
                    self.align(8, name)?;
                    self.label(label)?;
                }
            }
            ".license" => {
                let Some(text) = cursor.take_if(Tok::Str) else {
                    return Err(self.mismatch(tokens, Mismatch::expected(1, "a string")));
                };
                let before = self.current;
                self.enter("license", None);
                let bytes = self.string(text)?;
                self.data(text, &bytes)?;
                self.data(text, &[0])?;
                self.current = before;
            }
            ".map" => self.map(&mut cursor)?,
            ".globl" | ".global" => self.attribute(&mut cursor, |a| a.binding = Binding::Global)?,
            ".weak" => self.attribute(&mut cursor, |a| a.binding = Binding::Weak)?,
            ".hidden" | ".internal" | ".protected" => {
                self.attribute(&mut cursor, |a| a.hidden = true)?;
            }
            ".local" | ".extern" => self.attribute(&mut cursor, |_| {})?,
            ".type" => self.type_directive(&mut cursor)?,
            ".size" => {
                let symbol = self.word(&mut cursor)?;
                self.comma(&mut cursor)?;
                let size = self.expression(&mut cursor)?;
                self.attributes.entry(symbol).or_default().size = Some(size);
            }
            ".equ" | ".set" => {
                let at = cursor.at;
                self.word(&mut cursor)?;
                self.comma(&mut cursor)?;
                let Some(symbol) = tokens.get(at) else {
                    return Ok(());
                };
                return self.define(symbol, &mut cursor);
            }
            // A section that is left out.
            _ if self.current.is_none() => return Ok(()),
            ".byte" | ".1byte" => self.numbers(&mut cursor, 1)?,
            ".short" | ".hword" | ".2byte" | ".value" => self.numbers(&mut cursor, 2)?,
            ".long" | ".int" | ".word" | ".4byte" => self.numbers(&mut cursor, 4)?,
            ".quad" | ".8byte" | ".xword" => self.numbers(&mut cursor, 8)?,
            ".ascii" => self.strings(&mut cursor, false)?,
            ".asciz" | ".string" => self.strings(&mut cursor, true)?,
            ".zero" | ".skip" | ".space" => self.fill(&mut cursor)?,
            ".p2align" | ".align" | ".balign" => self.align_directive(&mut cursor)?,
            ".comm" | ".lcomm" => self.common(&mut cursor)?,
            ".file" | ".loc" | ".ident" | ".addrsig" | ".addrsig_sym" => return Ok(()),
            other if other.starts_with(".cfi_") => return Ok(()),
            other => return Err(self.error(name, format!("unknown directive `{other}`"))),
        }
        self.end(&cursor)
    }

    /// Goes to a section, which is new or known.
    fn enter(&mut self, name: &str, flags: Option<String>) {
        if name.starts_with(".debug") {
            self.current = None;
            return;
        }
        let index = match self.section_names.get(name) {
            Some(known) => *known,
            None => {
                let index = self.sections.len();
                self.section_names.insert(name.to_owned(), index);
                self.sections.push(Draft {
                    name: name.to_owned(),
                    align: 1,
                    ..Draft::default()
                });
                index
            }
        };
        if flags.is_some() {
            self.sections[index].flags = flags;
        }
        self.current = Some(index);
    }

    /// `.section NAME[,"flags"[,@type…]]`; a name without quotes goes to the next comma.
    fn section_directive(&mut self, cursor: &mut Cursor<'_, '_>) -> Result<(), Error> {
        let tokens = cursor.tokens;
        let start = cursor.at;
        let name = match cursor.take_if(Tok::Str) {
            Some(text) => {
                let bytes = self.string(text)?;
                String::from_utf8(bytes)
                    .map_err(|_| self.error(text, "a section's name must be text"))?
            }
            None => {
                while cursor
                    .peek()
                    .is_some_and(|t| t.tok != Tok::End && t.text != ",")
                {
                    cursor.at += 1;
                }
                let span = tokens.get(start..cursor.at).unwrap_or(&[]);
                match (span.first(), span.last()) {
                    (Some(first), Some(last)) => {
                        let text = self.source.get(first.at..last.at + last.text.len());
                        text.unwrap_or(first.text).to_owned()
                    }
                    _ => String::new(),
                }
            }
        };
        if name.is_empty() || name.contains(['\0', '\n']) {
            let missing = Mismatch::expected(start, "a section's name");
            return Err(self.mismatch(tokens, missing));
        }
        let mut flags = None;
        if cursor.take(",") {
            let Some(text) = cursor.take_if(Tok::Str) else {
                let missing = Mismatch::expected(cursor.at, "the section's flags, as a string");
                return Err(self.mismatch(tokens, missing));
            };
            flags = Some(String::from_utf8_lossy(&self.string(text)?).into_owned());
        }
        // What follows (type, entry size, group) says nothing that matters here.
        self.enter(&name, flags);
        Ok(())
    }

    fn attribute(
        &mut self,
        cursor: &mut Cursor<'_, '_>,
        set: fn(&mut Attributes),
    ) -> Result<(), Error> {
        loop {
            let name = self.word(cursor)?;
            set(self.attributes.entry(name).or_default());
            if !cursor.take(",") {
                return Ok(());
            }
        }
    }

    /// `.type NAME, @function`
    fn type_directive(&mut self, cursor: &mut Cursor<'_, '_>) -> Result<(), Error> {
        let name = self.word(cursor)?;
        self.comma(cursor)?;
        let at = cursor.at;
        if !cursor.take("@") {
            cursor.take("%");
        }
        let kind = match cursor.peek().map(|t| t.text) {
            Some("function" | "STT_FUNC") => LabelKind::Function,
            Some("object" | "STT_OBJECT") => LabelKind::Object,
            Some("notype" | "STT_NOTYPE") => LabelKind::Place,
            _ => {
                let missing = Mismatch::expected(at, "`@function` or `@object`");
                return Err(self.mismatch(cursor.tokens, missing));
            }
        };
        cursor.at += 1;
        self.attributes.entry(name).or_default().kind = Some(kind);
        Ok(())
    }

    /// Gives `name` the value of the expression at `cursor`.
    pub(super) fn define(
        &mut self,
        name: &Token<'_>,
        cursor: &mut Cursor<'_, '_>,
    ) -> Result<(), Error> {
        let at = cursor.at;
        let Expr { value, plus, minus } = self.expression(cursor)?;
        if let Some(symbol) = plus.or(minus) {
            let message = format!("`{symbol}` is not a number");
            return Err(self.mismatch(cursor.tokens, Mismatch::message(at, at, message)));
        }
        let value = i64::try_from(value).or_else(|_| u64::try_from(value).map(|v| v as i64));
        let Ok(value) = value else {
            return Err(self.error(name, "the value does not fit 64 bits"));
        };
        self.end(cursor)?;
        if self.labels.contains_key(name.text) {
            return Err(self.error(name, format!("`{}` is a label already", name.text)));
        }
        self.constants.insert(name.text.to_owned(), value);
        Ok(())
    }

    /// `.map NAME kind=hash key=4 value=8 max_entries=16`
    fn map(&mut self, cursor: &mut Cursor<'_, '_>) -> Result<(), Error> {
        let tokens = cursor.tokens;
        let line = tokens.first().map_or(0, |t| t.line);
        let name = self.word(cursor)?;
        if self.labels.contains_key(&name) || self.map_names.contains(&name) {
            let message = format!("`{name}` is a label or a map already");
            return Err(self.mismatch(tokens, Mismatch::message(1, 1, message)));
        }
        let mut map = MapDecl {
            name,
            kind: String::new(),
            key_size: 0,
            value_size: 0,
            max_entries: 0,
            flags: 0,
            attributes: Vec::new(),
            line,
        };
        while let Some(attribute) = cursor.take_if(Tok::Ident) {
            if !cursor.take("=") {
                return Err(self.mismatch(tokens, Mismatch::literal(cursor.at, "=")));
            }
            match attribute.text {
                "key" => map.key_size = self.u32(cursor)?,
                "value" => map.value_size = self.u32(cursor)?,
                "max_entries" => map.max_entries = self.u32(cursor)?,
                "flags" => map.flags = self.u32(cursor)?,
                other => {
                    let value = match cursor.peek() {
                        Some(t) if matches!(t.tok, Tok::Ident | Tok::Number(_)) => {
                            t.text.to_owned()
                        }
                        Some(t) if t.tok == Tok::Str => {
                            String::from_utf8_lossy(&self.string(t)?).into_owned()
                        }
                        _ => {
                            let missing = Mismatch::expected(cursor.at, "a word or a number");
                            return Err(self.mismatch(tokens, missing));
                        }
                    };
                    cursor.at += 1;
                    if other == "kind" {
                        map.kind = value;
                    } else {
                        map.attributes.push((other.to_owned(), value));
                    }
                }
            }
            cursor.take(",");
        }
        if map.kind.is_empty() {
            let missing = Mismatch::expected(cursor.at, "`kind=` and the kind of map");
            return Err(self.mismatch(tokens, missing));
        }
        self.map_names.insert(map.name.clone());
        self.maps.push(map);
        Ok(())
    }

    fn numbers(&mut self, cursor: &mut Cursor<'_, '_>, size: u8) -> Result<(), Error> {
        loop {
            let at = cursor.at;
            let value = self.expression(cursor)?;
            let Some(token) = cursor.tokens.get(at) else {
                return Ok(());
            };
            self.number(token, value, size)?;
            if !cursor.take(",") {
                return Ok(());
            }
        }
    }

    fn number(&mut self, token: &Token<'_>, value: Expr, size: u8) -> Result<(), Error> {
        let bits = u32::from(size) * 8;
        if !(-(1i128 << (bits - 1))..1i128 << bits).contains(&value.value) {
            let message = format!("{} does not fit {bits} bits", value.value);
            return Err(self.error(token, message));
        }
        let bytes = (value.value as u64).to_le_bytes();
        let offset = self.current.map_or(0, |s| self.sections[s].here());
        self.data(token, &bytes[..size.into()])?;
        if (value.plus.is_some() || value.minus.is_some())
            && let Some(section) = self.current
        {
            let data = &mut self.sections[section].data;
            data.push(NamedData {
                offset,
                size,
                value,
                at: token.at,
                line: token.line,
            });
        }
        Ok(())
    }

    fn strings(&mut self, cursor: &mut Cursor<'_, '_>, terminated: bool) -> Result<(), Error> {
        loop {
            let Some(text) = cursor.take_if(Tok::Str) else {
                let missing = Mismatch::expected(cursor.at, "a string");
                return Err(self.mismatch(cursor.tokens, missing));
            };
            let bytes = self.string(text)?;
            self.data(text, &bytes)?;
            if terminated {
                self.data(text, &[0])?;
            }
            if !cursor.take(",") {
                return Ok(());
            }
        }
    }

    /// `.zero COUNT[, BYTE]`
    fn fill(&mut self, cursor: &mut Cursor<'_, '_>) -> Result<(), Error> {
        let Some(token) = cursor.peek() else {
            return Ok(());
        };
        let count = self.u32(cursor)?;
        let byte = if cursor.take(",") {
            self.u32(cursor)? as u8
        } else {
            0
        };
        self.fill_with(token, count.into(), byte)
    }

    fn fill_with(&mut self, token: &Token<'_>, count: u64, byte: u8) -> Result<(), Error> {
        self.room(token, count)?;
        if let Some(section) = self.current {
            let bytes = &mut self.sections[section].bytes;
            bytes.resize(bytes.len() + count as usize, byte);
            self.data_len += count;
        }
        Ok(())
    }

    /// `.comm NAME, SIZE[, ALIGNMENT]`: zeros in `.bss`.
    fn common(&mut self, cursor: &mut Cursor<'_, '_>) -> Result<(), Error> {
        let at = cursor.at;
        let name = self.word(cursor)?;
        self.comma(cursor)?;
        let size = self.u32(cursor)?;
        let align = if cursor.take(",") {
            self.u32(cursor)?.into()
        } else {
            8
        };
        let Some(token) = cursor.tokens.get(at) else {
            return Ok(());
        };
        let before = self.current;
        self.enter(".bss", None);
        self.align(align, token)?;
        self.label(token)?;
        let attributes = self.attributes.entry(name).or_default();
        attributes.kind = Some(LabelKind::Object);
        if cursor.tokens.first().is_some_and(|t| t.text == ".comm") {
            attributes.binding = Binding::Global;
        }
        self.fill_with(token, size.into(), 0)?;
        self.current = before;
        Ok(())
    }

    /// `.p2align POWER[, fill[, most]]`, `.align BYTES`
    fn align_directive(&mut self, cursor: &mut Cursor<'_, '_>) -> Result<(), Error> {
        let Some(name) = cursor.tokens.first() else {
            return Ok(());
        };
        let n = self.u32(cursor)?;
        let align = if name.text == ".p2align" {
            1u64.checked_shl(n).unwrap_or(u64::MAX)
        } else {
            n.into()
        };
        while cursor.take(",") {
            if !cursor.is(",") {
                self.expression(cursor)?;
            }
        }
        self.align(align, name)
    }

    fn align(&mut self, align: u64, token: &Token<'_>) -> Result<(), Error> {
        let Some(section) = self.current else {
            return Ok(());
        };
        if align > MAX_ALIGN || !align.is_power_of_two() {
            let message = format!("an alignment is a power of 2 up to {MAX_ALIGN}, not {align}");
            return Err(self.error(token, message));
        }
        let draft = &mut self.sections[section];
        if !draft.insns.is_empty() {
            // Instructions are 8 bytes each: there is no padding that means nothing.
            return match draft.here() % align {
                0 => Ok(()),
                _ => Err(self.error(token, "instructions are aligned to 8 bytes only")),
            };
        }
        draft.align = draft.align.max(align);
        let padding = draft.here().next_multiple_of(align) - draft.here();
        self.fill_with(token, padding, 0)
    }

    /// Refuses data where instructions are, and more than there may be.
    fn room(&self, token: &Token<'_>, count: u64) -> Result<(), Error> {
        if self.data_len.saturating_add(count) > MAX_DATA {
            let message = format!("more than {} MiB of data", MAX_DATA >> 20);
            return Err(self.error(token, message));
        }
        match self.current.and_then(|s| self.sections.get(s)) {
            Some(draft) if count > 0 && !draft.insns.is_empty() => {
                let message = format!("data in section `{}`, which holds instructions", draft.name);
                Err(self.error(token, message))
            }
            _ => Ok(()),
        }
    }

    fn data(&mut self, token: &Token<'_>, bytes: &[u8]) -> Result<(), Error> {
        self.room(token, bytes.len() as u64)?;
        if let Some(section) = self.current {
            self.sections[section].bytes.extend_from_slice(bytes);
            self.data_len += bytes.len() as u64;
        }
        Ok(())
    }

    fn string(&self, token: &Token<'_>) -> Result<Vec<u8>, Error> {
        unquote(token.text).map_err(|e| self.error(token, e))
    }

    fn word(&self, cursor: &mut Cursor<'_, '_>) -> Result<String, Error> {
        match cursor.take_if(Tok::Ident) {
            Some(token) => Ok(token.text.to_owned()),
            None => Err(self.mismatch(cursor.tokens, Mismatch::expected(cursor.at, "a name"))),
        }
    }

    fn comma(&self, cursor: &mut Cursor<'_, '_>) -> Result<(), Error> {
        match cursor.take(",") {
            true => Ok(()),
            false => Err(self.mismatch(cursor.tokens, Mismatch::literal(cursor.at, ","))),
        }
    }

    fn expression(&self, cursor: &mut Cursor<'_, '_>) -> Result<Expr, Error> {
        let constant = |name: &str| self.constants.get(name).copied();
        expr(cursor, &constant).map_err(|e| self.mismatch(cursor.tokens, e))
    }

    fn u32(&self, cursor: &mut Cursor<'_, '_>) -> Result<u32, Error> {
        let at = cursor.at;
        let value = self.expression(cursor)?;
        let number = match (&value.plus, &value.minus) {
            (None, None) => u32::try_from(value.value).ok(),
            _ => None,
        };
        let what = "a number of 32 bits";
        number.ok_or_else(|| self.mismatch(cursor.tokens, Mismatch::expected(at, what)))
    }

    fn end(&self, cursor: &Cursor<'_, '_>) -> Result<(), Error> {
        match cursor.peek() {
            None | Some(Token { tok: Tok::End, .. }) => Ok(()),
            Some(token) => {
                let message = format!("expected the end of the statement, found `{}`", token.text);
                Err(self.error(token, message))
            }
        }
    }
}
