//! The text of LLVM's intermediate code, read into functions of blocks: as much of it as arithmetic needs.
//!
//! **Invariant:** what is not understood is an error that quotes the line; nothing is passed over.
//! Flags such as `nuw` only narrow what may happen and are not kept: a proof without them says more.
//!
//! Source: the LLVM Language Reference.

use std::collections::HashMap;

use anyhow::{Context, Result, bail};

/// A function: blocks by name, the entry first.
#[derive(Clone, Debug)]
pub struct Function {
    pub name: String,
    pub blocks: Vec<Block>,
}

#[derive(Clone, Debug)]
pub struct Block {
    pub name: String,
    pub phis: Vec<Phi>,
    pub insns: Vec<Insn>,
    pub end: End,
}

#[derive(Clone, Debug)]
pub struct Phi {
    pub result: String,
    pub bits: u32,
    /// Value and the block it comes from.
    pub from: Vec<(Operand, String)>,
}

#[derive(Clone, Debug)]
pub struct Insn {
    pub result: String,
    pub op: Op,
}

/// Widths are in bits; a condition has one.
#[derive(Clone, Debug)]
pub enum Op {
    /// `ptr + offset`, of the one argument or what was computed from it.
    Offset {
        base: String,
        bytes: u64,
    },
    /// A 64-bit word of the input.
    Load {
        address: String,
    },
    Binary {
        op: String,
        bits: u32,
        args: [Operand; 2],
    },
    Compare {
        op: String,
        bits: u32,
        args: [Operand; 2],
    },
    Select {
        bits: u32,
        args: [Operand; 3],
    },
    Cast {
        op: String,
        from: u32,
        to: u32,
        arg: Operand,
    },
    /// An LLVM intrinsic, by the name between `llvm.` and the type.
    Call {
        name: String,
        bits: u32,
        args: Vec<Operand>,
    },
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Operand {
    Name(String),
    Number(i128),
    /// `undef` and `poison`.
    Any,
}

#[derive(Clone, Debug)]
pub enum End {
    Jump(String),
    Branch(Operand, String, String),
    Switch {
        on: Operand,
        bits: u32,
        default: String,
        cases: Vec<(i128, String)>,
    },
    Return(Operand),
    /// A panic, or what the compiler believes is never reached.
    Never,
}

impl End {
    /// Where it may go.
    pub fn targets(&self) -> Vec<&String> {
        match self {
            End::Jump(to) => vec![to],
            End::Branch(_, yes, no) => vec![yes, no],
            End::Switch { default, cases, .. } => std::iter::once(default)
                .chain(cases.iter().map(|(_, to)| to))
                .collect(),
            End::Return(_) | End::Never => vec![],
        }
    }

    pub fn rename(&mut self, by: impl Fn(&str) -> String) {
        match self {
            End::Jump(to) => *to = by(to),
            End::Branch(_, yes, no) => {
                *yes = by(yes);
                *no = by(no);
            }
            End::Switch { default, cases, .. } => {
                *default = by(default);
                for (_, to) in cases {
                    *to = by(to);
                }
            }
            End::Return(_) | End::Never => {}
        }
    }
}

/// Every function with a body, by name; those that cannot be read with the reason.
pub fn read(text: &str) -> HashMap<String, Result<Function>> {
    let mut all = HashMap::new();
    let mut lines = text.lines();
    // Functions with the same body are one, with further names.
    let mut aliases = Vec::new();
    while let Some(line) = lines.next() {
        if line.starts_with('@') && line.contains(" alias ") {
            let mut names = line
                .split('@')
                .skip(1)
                .filter_map(|n| n.split([' ', ',']).next());
            aliases.extend(names.next().zip(names.next()));
        }
        if !line.starts_with("define ") {
            continue;
        }
        let name = line
            .split('@')
            .nth(1)
            .and_then(|rest| rest.split('(').next());
        let body: Vec<&str> = lines.by_ref().take_while(|line| *line != "}").collect();
        if let Some(name) = name {
            all.insert(name.to_owned(), function(name, &body));
        }
    }
    for (name, of) in aliases {
        if let Some(Ok(function)) = all.get(of) {
            let function = Function {
                name: name.to_owned(),
                ..function.clone()
            };
            all.insert(name.to_owned(), Ok(function));
        }
    }
    all
}

fn function(name: &str, body: &[&str]) -> Result<Function> {
    let mut blocks = Vec::new();
    let mut current: Option<(String, Vec<Phi>, Vec<Insn>)> = None;
    let mut lines = body.iter().copied();
    while let Some(line) = lines.next() {
        let line = line.split(" ; ").next().unwrap_or(line);
        let whole;
        // A switch goes over several lines.
        let line = if line.trim_start().starts_with("switch ") {
            let rest: Vec<&str> = lines.by_ref().take_while(|l| l.trim() != "]").collect();
            whole = format!("{line} {}", rest.join(" "));
            &whole
        } else {
            line
        };
        if line.trim().is_empty() || line.starts_with(';') {
            continue;
        }
        if !line.starts_with(' ') {
            let label = line.trim_end().trim_end_matches(':').trim_matches('"');
            current = Some((label.to_owned(), Vec::new(), Vec::new()));
            continue;
        }
        let (_, phis, insns) = current.get_or_insert_with(|| ("entry".into(), vec![], vec![]));
        let said = || format!("{name}: `{}`", line.trim());
        match statement(line).with_context(said)? {
            Statement::Phi(phi) => phis.push(phi),
            Statement::Insn(insn) => insns.push(insn),
            Statement::Nothing => {}
            Statement::End(end) => {
                if let Some((name, phis, insns)) = current.take() {
                    blocks.push(Block {
                        name,
                        phis,
                        insns,
                        end,
                    });
                }
            }
        }
    }
    Ok(Function {
        name: name.to_owned(),
        blocks,
    })
}

enum Statement {
    Phi(Phi),
    Insn(Insn),
    End(End),
    Nothing,
}

/// The words of a line, and how far they are read.
struct Words<'a> {
    words: Vec<&'a str>,
    next: usize,
}

impl<'a> Words<'a> {
    fn new(line: &'a str) -> Words<'a> {
        let mut words = Vec::new();
        let mut rest = line.trim();
        while let Some(first) = rest.chars().next() {
            let length = match first {
                ',' | '(' | ')' | '[' | ']' | '=' | '{' | '}' => 1,
                _ => {
                    let mut quoted = false;
                    let ends = |c: char| {
                        quoted ^= c == '"';
                        !quoted && (c.is_whitespace() || ",()[]={}".contains(c))
                    };
                    rest.find(ends).unwrap_or(rest.len())
                }
            };
            words.push(&rest[..length]);
            rest = rest[length..].trim_start();
        }
        Words { words, next: 0 }
    }

    fn peek(&self) -> &'a str {
        self.words.get(self.next).copied().unwrap_or("")
    }

    fn take(&mut self) -> &'a str {
        let word = self.peek();
        self.next += 1;
        word
    }

    fn expect(&mut self, word: &str) -> Result<()> {
        match self.take() {
            found if found == word => Ok(()),
            found => bail!("`{found}` where `{word}` belongs"),
        }
    }

    /// Past attributes and flags, `range(i64 0, 65)` among them, up to a type.
    fn bits(&mut self) -> Result<u32> {
        loop {
            let word = self.take();
            if let Some(bits) = word.strip_prefix('i').and_then(|n| n.parse().ok()) {
                return Ok(bits);
            }
            if word.is_empty() || word == "ptr" || word.starts_with(['%', '@', '<', '{']) {
                bail!("no integer type before `{word}`");
            }
            if self.peek() == "(" {
                while !["", ")"].contains(&self.take()) {}
            }
        }
    }

    fn operand(&mut self) -> Result<Operand> {
        let word = self.take();
        Ok(match word {
            "true" => Operand::Number(1),
            "false" => Operand::Number(0),
            "undef" | "poison" => Operand::Any,
            "zeroinitializer" => Operand::Number(0),
            _ => match word.strip_prefix('%') {
                Some(name) => Operand::Name(name.trim_matches('"').to_owned()),
                None => Operand::Number(word.parse().with_context(|| format!("operand `{word}`"))?),
            },
        })
    }

    fn pair(&mut self) -> Result<[Operand; 2]> {
        let first = self.operand()?;
        self.expect(",")?;
        Ok([first, self.operand()?])
    }

    fn label(&mut self) -> Result<String> {
        self.expect("label")?;
        match self.operand()? {
            Operand::Name(name) => Ok(name),
            other => bail!("{other:?} is no label"),
        }
    }
}

fn statement(line: &str) -> Result<Statement> {
    let mut words = Words::new(line);
    let first = words.take();
    let Some(result) = first.strip_prefix('%') else {
        return effect(first, &mut words);
    };
    let result = result.trim_matches('"').to_owned();
    words.expect("=")?;
    let mut name = words.take();
    if name == "tail" || name == "notail" {
        name = words.take();
    }
    let op = match name {
        "phi" => {
            let bits = words.bits()?;
            let mut from = Vec::new();
            while words.peek() == "[" || words.peek() == "," {
                if words.take() == "," && words.peek() != "[" {
                    break;
                }
                if words.peek() == "[" {
                    words.take();
                }
                let [value, block] = words.pair()?;
                words.expect("]")?;
                match block {
                    Operand::Name(block) => from.push((value, block)),
                    other => bail!("{other:?} is no label"),
                }
            }
            return Ok(Statement::Phi(Phi { result, bits, from }));
        }
        "getelementptr" => {
            while words.peek() != "i8" && !words.peek().is_empty() {
                words.take();
            }
            words.expect("i8")?;
            words.expect(",")?;
            words.expect("ptr")?;
            let base = words.operand()?;
            words.expect(",")?;
            words.bits()?;
            match (base, words.operand()?) {
                (Operand::Name(base), Operand::Number(bytes)) => Op::Offset {
                    base,
                    bytes: u64::try_from(bytes)?,
                },
                _ => bail!("an address that is not known"),
            }
        }
        "load" => {
            if words.bits()? != 64 {
                bail!("a load that is not of a word");
            }
            words.expect(",")?;
            words.expect("ptr")?;
            match words.operand()? {
                Operand::Name(address) => Op::Load { address },
                other => bail!("{other:?} is no address"),
            }
        }
        "add" | "sub" | "mul" | "udiv" | "urem" | "sdiv" | "srem" | "shl" | "lshr" | "ashr"
        | "and" | "or" | "xor" => {
            let bits = words.bits()?;
            Op::Binary {
                op: name.to_owned(),
                bits,
                args: words.pair()?,
            }
        }
        "icmp" => {
            let mut op = words.take();
            if op == "samesign" {
                op = words.take();
            }
            let bits = words.bits()?;
            Op::Compare {
                op: op.to_owned(),
                bits,
                args: words.pair()?,
            }
        }
        "select" => {
            words.bits()?;
            let condition = words.operand()?;
            words.expect(",")?;
            let bits = words.bits()?;
            let yes = words.operand()?;
            words.expect(",")?;
            words.bits()?;
            Op::Select {
                bits,
                args: [condition, yes, words.operand()?],
            }
        }
        "zext" | "sext" | "trunc" | "freeze" => {
            let from = words.bits()?;
            let arg = words.operand()?;
            let to = if words.peek() == "to" {
                words.bits()?
            } else {
                from
            };
            Op::Cast {
                op: name.to_owned(),
                from,
                to,
                arg,
            }
        }
        "call" => {
            let bits = words.bits()?;
            let Some(called) = words.take().strip_prefix("@llvm.") else {
                bail!("a call that was not inlined");
            };
            let name = called.rsplit_once('.').map_or(called, |(name, _)| name);
            words.expect("(")?;
            let mut args = Vec::new();
            while words.peek() != ")" {
                words.bits()?;
                while ["noundef", "range"].contains(&words.peek()) {
                    if words.take() == "range" {
                        while !["", ")"].contains(&words.take()) {}
                    }
                }
                args.push(words.operand()?);
                if words.peek() == "," {
                    words.take();
                }
            }
            Op::Call {
                name: name.to_owned(),
                bits,
                args,
            }
        }
        other => bail!("`{other}` is not understood"),
    };
    Ok(Statement::Insn(Insn { result, op }))
}

fn effect(first: &str, words: &mut Words) -> Result<Statement> {
    let end = match first {
        "br" if words.peek() == "label" => End::Jump(words.label()?),
        "br" => {
            words.bits()?;
            let condition = words.operand()?;
            words.expect(",")?;
            let yes = words.label()?;
            words.expect(",")?;
            End::Branch(condition, yes, words.label()?)
        }
        "switch" => {
            let bits = words.bits()?;
            let on = words.operand()?;
            words.expect(",")?;
            let default = words.label()?;
            words.expect("[")?;
            let mut cases = Vec::new();
            while !["", "]"].contains(&words.peek()) {
                words.bits()?;
                let Operand::Number(case) = words.operand()? else {
                    bail!("a case that is no number");
                };
                words.expect(",")?;
                cases.push((case, words.label()?));
            }
            End::Switch {
                on,
                bits,
                default,
                cases,
            }
        }
        "ret" => {
            words.bits()?;
            End::Return(words.operand()?)
        }
        "unreachable" => End::Never,
        // A panic is followed by `unreachable`; other calls without a result would be effects.
        "call" | "tail" => {
            let line = words.words.join(" ");
            let harmless = [
                "panic",
                "llvm.assume",
                "llvm.experimental.noalias",
                "llvm.lifetime",
            ];
            match harmless.iter().any(|name| line.contains(name)) {
                true => return Ok(Statement::Nothing),
                false => bail!("a call with an effect"),
            }
        }
        other => bail!("`{other}` is not understood"),
    };
    Ok(Statement::End(end))
}
