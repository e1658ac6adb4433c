//! An assembly file → sections of instructions and data, with what is left to resolve.
//!
//! The syntax of an instruction is LLVM's and the kernel's ([`crate::table`] has it all), or that of
//! GNU binutils and conformance data: `add32 %r1, 5`, `ldxdw r0, [r1+8]`, `jne r1, r2, out`. A
//! file is a sequence of statements, one a line or separated by `;`:
//!
//! ```text
//! # comment        // comment        /* comment */
//! ; comment, at the start of a line only
//! .license "GPL"                       # section `license`
//! .map counts kind=hash key=4 value=8 max_entries=16 flags=0
//! .equ XDP_PASS, 2                     # a number's name; also `XDP_PASS = 2`
//!
//! .section xdp                         # instructions go to section `xdp`
//! .globl count                         # global: a program or a global function
//! count:                               # a label
//!     r2 = r10
//!     r2 += -4
//!     *(u32 *)(r10 - 4) = 1
//!     r1 = map counts ll               # address of a map
//!     call bpf_map_lookup_elem         # a helper by name, or by number: `call 1`
//!     if r0 == 0 goto out              # a label of the same section, or `goto +3`
//!     r1 = *(u64 *)(r0 + 0)
//!     r1 += 1
//!     *(u64 *)(r0 + 0) = r1
//!     r1 = step + 8 ll                 # address of data, or of a subprogram
//!     call helper_of_ours              # a subprogram, of any section
//! out:
//!     r0 = XDP_PASS
//!     exit
//!
//! .rodata step                         # data: `.section .rodata` and a label
//!     .quad 1, 2
//!     .byte 1, 2, 3
//!     .asciz "text"
//! ```
//!
//! `.rodata`, `.data` and `.bss` take an optional label. Besides these, the directives that
//! `clang -S` emits are read (`.section NAME,"flags",@progbits`, `.text`, `.globl`, `.weak`,
//! `.hidden`, `.type`, `.size`, `.p2align`, `.byte .short .long .quad`, `.ascii .asciz`,
//! `.zero`, `.comm`) or mean nothing here (`.file`, `.loc`, `.ident`, `.addrsig`, `.cfi_…`);
//! sections called `.debug…` are left out. Labels may be numbers, used as `1f` and `1b`.
//!
//! **Invariant:** what `llvm-mc` accepts of this means the same here.
//!
//! **Invariant:** labels of a section's own instructions are resolved; what remains in
//! [`Section::refs`] names maps, data, functions of other sections, or nothing in the file.

mod directives;
mod resolve;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::expr::{Cursor, Mismatch, What};
use crate::lex::{Tok, Token, error_at, lex};
use crate::parse::{Parser, Symbol};
use crate::{Error, Insn, Pc};

/// A whole file, assembled.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Assembly {
    /// In the order in which the file first names them; without empty ones.
    pub sections: Vec<Section>,
    pub maps: Vec<MapDecl>,
}

/// A section of the object to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    pub name: String,
    pub content: Content,
    /// In bytes, a power of two.
    pub align: u64,
    /// The section's flags as the file gives them (`"aw"`), if it does.
    pub flags: Option<String>,
    /// In order of their offsets.
    pub labels: Vec<Label>,
    /// In order of their offsets.
    pub refs: Vec<Reference>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// One `Insn` for each slot, and the line of the file that it stands on.
    Code {
        insns: Vec<Insn>,
        lines: Vec<u32>,
    },
    Data(Vec<u8>),
    /// So many zero bytes that take no room in the file.
    Zeros(u64),
}

/// A name for a place in a section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    pub name: String,
    /// In bytes, from the start of the section.
    pub offset: u64,
    /// In bytes; of functions and data objects. Where the file does not say, to the next one
    /// or the end of the section.
    pub size: u64,
    pub kind: LabelKind,
    pub binding: Binding,
    /// `.hidden`: not seen by other objects.
    pub hidden: bool,
    pub line: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LabelKind {
    /// A program or subprogram: declared by `.type`, global, called, or the code that a
    /// section starts with.
    Function,
    /// Any label of data, but for those that start in `.L`.
    Object,
    /// A place only.
    Place,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Binding {
    #[default]
    Local,
    Global,
    Weak,
}

/// A place whose content depends on where a name ends up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// In bytes, from the start of the section.
    pub offset: u64,
    pub kind: RefKind,
    pub name: String,
    /// In bytes.
    pub addend: i64,
    pub line: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefKind {
    /// A call instruction, which stands as a subprogram call by -1.
    Call,
    /// A 64-bit immediate, which stands as the number `addend`: the address of data, of a
    /// function of another section, or of something that the file does not define.
    Address,
    /// A 64-bit immediate: a map of this file.
    Map,
    /// So many bytes of data, which hold `addend`.
    Data { size: u8 },
}

/// A map that `.map` declares. What its kind and sizes mean is for others to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MapDecl {
    pub name: String,
    /// A word or a number.
    pub kind: String,
    pub key_size: u32,
    pub value_size: u32,
    pub max_entries: u32,
    pub flags: u32,
    /// Any further `name=value`.
    pub attributes: Vec<(String, String)>,
    pub line: u32,
}

/// Assembles a file. `helper` knows the numbers of helpers; a label of the file hides a
/// helper of the same name.
pub fn assemble(text: &str, helper: &dyn Fn(&str) -> Option<u32>) -> Result<Assembly, Error> {
    let tokens = lex(text)?;
    let mut assembler = Assembler::new(text);
    for statement in tokens.split_inclusive(|t| t.tok == Tok::End) {
        assembler.statement(statement)?;
    }
    resolve::resolve(assembler, helper)
}

impl Assembly {
    /// The section of that name.
    pub fn section(&self, name: &str) -> Option<&Section> {
        self.sections.iter().find(|s| s.name == name)
    }
}

impl Section {
    /// Its instructions; none if it holds data.
    pub fn insns(&self) -> &[Insn] {
        match &self.content {
            Content::Code { insns, .. } => insns,
            _ => &[],
        }
    }
}

/// Where a label is defined.
#[derive(Clone, Copy, Debug)]
struct Place {
    section: usize,
    offset: u64,
    line: u32,
}

/// What directives say of a name, wherever it is defined.
#[derive(Clone, Debug, Default)]
struct Attributes {
    binding: Binding,
    hidden: bool,
    kind: Option<LabelKind>,
    /// `.size`: a sum of a number and at most two labels.
    size: Option<crate::expr::Expr>,
}

/// Data whose value depends on labels.
#[derive(Debug)]
struct NamedData {
    offset: u64,
    size: u8,
    value: crate::expr::Expr,
    /// Where it stands in the text, and on which line.
    at: usize,
    line: u32,
}

/// A section being filled.
#[derive(Debug, Default)]
struct Draft {
    name: String,
    flags: Option<String>,
    align: u64,
    /// Code.
    insns: Vec<Insn>,
    lines: Vec<u32>,
    /// Data.
    bytes: Vec<u8>,
    /// Instructions with a name, by slot; and where the name stands in the text.
    symbols: Vec<(Pc, Symbol, usize)>,
    data: Vec<NamedData>,
}

impl Draft {
    fn here(&self) -> u64 {
        // Only one of them is ever filled.
        self.bytes.len() as u64 + self.insns.len() as u64 * 8
    }
}

struct Assembler<'a> {
    source: &'a str,
    parser: Parser,
    sections: Vec<Draft>,
    /// Index of the section that statements go to; `None` in one that is left out.
    current: Option<usize>,
    labels: HashMap<String, Place>,
    /// How often each numbered label has been defined.
    numbered: HashMap<u64, u64>,
    attributes: BTreeMap<String, Attributes>,
    constants: HashMap<String, i64>,
    maps: Vec<MapDecl>,
    map_names: HashSet<String>,
    section_names: HashMap<String, usize>,
    /// Bytes of data so far, of all sections.
    data_len: u64,
}

/// Whether a name is a register or may be meant to be one (`R1`, `r11`): it names nothing else.
fn is_register_like(name: &str) -> bool {
    let digits = name.strip_prefix(['r', 'R', 'w', 'W']);
    digits.is_some_and(|d| !d.is_empty() && d.bytes().all(|b| b.is_ascii_digit()))
}

impl<'a> Assembler<'a> {
    fn new(source: &'a str) -> Assembler<'a> {
        Assembler {
            source,
            parser: Parser::new(),
            sections: vec![Draft {
                name: ".text".to_owned(),
                align: 8,
                ..Draft::default()
            }],
            current: Some(0),
            labels: HashMap::new(),
            numbered: HashMap::new(),
            attributes: BTreeMap::new(),
            constants: HashMap::new(),
            maps: Vec::new(),
            map_names: HashSet::new(),
            section_names: HashMap::from([(".text".to_owned(), 0)]),
            data_len: 0,
        }
    }

    fn error(&self, token: &Token<'_>, message: impl Into<String>) -> Error {
        error_at(self.source, token.at, message)
    }

    fn mismatch(&self, tokens: &[Token<'_>], mismatch: Mismatch) -> Error {
        let at = tokens.get(mismatch.at).map_or(self.source.len(), |t| t.at);
        let message = match mismatch.what {
            What::Literal(text) => format!("expected `{text}`"),
            What::Expected(text) => format!("expected {text}"),
            What::Message(text) => text,
        };
        error_at(self.source, at, message)
    }

    /// `tokens` ends in its `End`.
    fn statement(&mut self, mut tokens: &[Token<'_>]) -> Result<(), Error> {
        while let [name, colon, rest @ ..] = tokens
            && colon.text == ":"
            && matches!(name.tok, Tok::Ident | Tok::Number(_))
        {
            self.label(name)?;
            tokens = rest;
        }
        match tokens {
            [] | [Token { tok: Tok::End, .. }] => Ok(()),
            [name, equals, ..]
                if name.tok == Tok::Ident && equals.text == "=" && !is_register_like(name.text) =>
            {
                let mut cursor = Cursor { tokens, at: 2 };
                self.define(name, &mut cursor)
            }
            [first, ..] if first.tok == Tok::Ident && first.text.starts_with('.') => {
                self.directive(tokens)
            }
            _ => self.instruction(tokens),
        }
    }

    /// The name by which a numbered label's `n`th definition is known; no text spells it.
    fn numbered_name(number: u64, n: u64) -> String {
        format!("{number}:{n}")
    }

    fn label(&mut self, token: &Token<'_>) -> Result<(), Error> {
        let name = match token.tok {
            Tok::Number(number) => {
                let n = self.numbered.entry(number).or_default();
                *n += 1;
                Assembler::numbered_name(number, *n)
            }
            _ if is_register_like(token.text) => {
                return Err(self.error(token, "a register's name cannot be a label"));
            }
            _ => token.text.to_owned(),
        };
        let Some(section) = self.current else {
            return Ok(());
        };
        let place = Place {
            section,
            offset: self.sections[section].here(),
            line: token.line,
        };
        if let Some(before) = self.labels.get(&name) {
            let message = format!("`{name}` is a label of line {} already", before.line);
            return Err(self.error(token, message));
        }
        if self.constants.contains_key(&name) || self.map_names.contains(&name) {
            return Err(self.error(token, format!("`{name}` is a constant or a map already")));
        }
        self.labels.insert(name, place);
        Ok(())
    }

    fn instruction(&mut self, tokens: &[Token<'_>]) -> Result<(), Error> {
        let Some(section) = self.current else {
            return Ok(());
        };
        let constant = |name: &str| self.constants.get(name).copied();
        let mut parsed = self.parser.statement(self.source, tokens, &constant)?;
        let first = &tokens[0];
        let draft = &mut self.sections[section];
        if !draft.bytes.is_empty() {
            let message = format!(
                "an instruction in section `{}`, which holds data",
                draft.name
            );
            return Err(self.error(first, message));
        }
        if let Some(mut symbol) = parsed.symbol.take() {
            let spelled = tokens.iter().find(|t| t.text == symbol.name);
            let token = spelled.unwrap_or(first);
            if let Tok::Local { number, forward } = token.tok {
                let n = self.numbered.get(&number).copied().unwrap_or(0);
                let n = n + u64::from(forward);
                symbol.name = Assembler::numbered_name(number, n);
            }
            draft.symbols.push((draft.insns.len(), symbol, token.at));
        }
        draft.insns.push(parsed.insn);
        draft.lines.push(first.line);
        if parsed.insn.slots() == 2 {
            draft.insns.push(Insn::Imm64High);
            draft.lines.push(first.line);
        }
        Ok(())
    }
}
