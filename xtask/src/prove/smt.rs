//! A function without loops into an SMT-LIB script that is unsatisfiable where the function always answers true.
//!
//! Each value becomes a definition, conditions of one bit are Booleans. A block is reached where an edge
//! into it is taken; a phi chooses by the edge. The script asks for an input with which a `false` is
//! returned or an end that must not be reached, such as a panic, is.
//!
//! **Invariant:** operations whose result LLVM leaves open (a shift too far) are never met, because safe
//! Rust checks or masks first; a division by zero would be a panic, which counts as a failure.

use std::collections::HashMap;
use std::fmt::Write as _;

use anyhow::{Context, Result, bail};

use super::ir::{Block, End, Function, Op, Operand};

/// A value: a known number, or a term.
#[derive(Clone, PartialEq, Eq)]
enum Value {
    Known(u128),
    Term(String),
}

struct Script {
    text: String,
    values: HashMap<String, Value>,
    /// Offsets of addresses within the input.
    addresses: HashMap<String, u64>,
    /// The condition on which control goes from one block to another.
    edges: HashMap<(String, String), Vec<Value>>,
    fresh: usize,
}

const TRUE: Value = Value::Known(1);
const FALSE: Value = Value::Known(0);

fn mask(bits: u32) -> u128 {
    u128::MAX >> (128 - bits)
}

/// The script for `function`; its input is the words `w0`, `w1`, ….
pub fn script(function: &Function) -> Result<String> {
    let mut script = Script {
        text: String::from("(set-logic QF_BV)\n"),
        values: HashMap::new(),
        addresses: HashMap::new(),
        edges: HashMap::new(),
        fresh: 0,
    };
    for word in 0..32 {
        let _ = writeln!(script.text, "(declare-const w{word} (_ BitVec 64))");
    }
    let mut failures = Vec::new();
    for (i, block) in function.blocks.iter().enumerate() {
        let reached = if i == 0 {
            TRUE
        } else {
            script.reached(&function.blocks, block)
        };
        if reached == FALSE {
            continue;
        }
        script
            .block(block, &reached, &mut failures)
            .with_context(|| format!("{}, block {}", function.name, block.name))?;
    }
    let all: Vec<String> = failures.iter().map(|f| shown(f, 1)).collect();
    let _ = writeln!(script.text, "(assert (or false {}))", all.join(" "));
    script.text += "(check-sat)\n";
    Ok(script.text)
}

fn shown(value: &Value, bits: u32) -> String {
    match value {
        Value::Known(n) if bits == 1 => (if *n == 0 { "false" } else { "true" }).into(),
        Value::Known(n) => format!("(_ bv{n} {bits})"),
        Value::Term(term) => term.clone(),
    }
}

fn signed(x: u128, bits: u32) -> i128 {
    ((x << (128 - bits)) as i128) >> (128 - bits)
}

impl Script {
    /// Names a term, so that it is written once.
    fn define(&mut self, bits: u32, term: String) -> Value {
        let name = format!("v{}", self.fresh);
        self.fresh += 1;
        let sort = if bits == 1 {
            "Bool".into()
        } else {
            format!("(_ BitVec {bits})")
        };
        let _ = writeln!(self.text, "(define-fun {name} () {sort} {term})");
        Value::Term(name)
    }

    fn arbitrary(&mut self, bits: u32) -> Value {
        let name = format!("any{}", self.fresh);
        self.fresh += 1;
        let sort = if bits == 1 {
            "Bool".into()
        } else {
            format!("(_ BitVec {bits})")
        };
        let _ = writeln!(self.text, "(declare-const {name} {sort})");
        Value::Term(name)
    }

    fn value(&mut self, of: &Operand, bits: u32) -> Result<Value> {
        Ok(match of {
            Operand::Number(n) => Value::Known(*n as u128 & mask(bits)),
            Operand::Any => self.arbitrary(bits),
            Operand::Name(name) => self
                .values
                .get(name)
                .with_context(|| format!("`{name}` is not defined"))?
                .clone(),
        })
    }

    fn and(&mut self, a: &Value, b: &Value) -> Value {
        match (a, b) {
            (&FALSE, _) | (_, &FALSE) => FALSE,
            (&TRUE, other) | (other, &TRUE) => other.clone(),
            _ => self.define(1, format!("(and {} {})", shown(a, 1), shown(b, 1))),
        }
    }

    fn not(&mut self, a: &Value) -> Value {
        match a {
            Value::Known(n) => Value::Known(1 - n),
            Value::Term(term) => self.define(1, format!("(not {term})")),
        }
    }

    fn or(&mut self, all: &[Value]) -> Value {
        if all.contains(&TRUE) {
            return TRUE;
        }
        let terms: Vec<String> = all
            .iter()
            .filter(|v| **v != FALSE)
            .map(|v| shown(v, 1))
            .collect();
        match &terms[..] {
            [] => FALSE,
            [one] => Value::Term(one.clone()),
            _ => self.define(1, format!("(or {})", terms.join(" "))),
        }
    }

    fn choose(&mut self, condition: &Value, yes: &Value, no: &Value, bits: u32) -> Value {
        match condition {
            Value::Known(0) => no.clone(),
            Value::Known(_) => yes.clone(),
            _ if yes == no => yes.clone(),
            _ => {
                let (yes, no) = (shown(yes, bits), shown(no, bits));
                self.define(bits, format!("(ite {} {yes} {no})", shown(condition, 1)))
            }
        }
    }

    fn edge(&mut self, from: &str, to: &str) -> Value {
        let all = self
            .edges
            .get(&(from.to_owned(), to.to_owned()))
            .cloned()
            .unwrap_or_default();
        self.or(&all)
    }

    fn reached(&mut self, blocks: &[Block], block: &Block) -> Value {
        let mut all = Vec::new();
        for source in blocks {
            if source.end.targets().contains(&&block.name) {
                all.push(self.edge(&source.name, &block.name));
            }
        }
        self.or(&all)
    }

    fn block(&mut self, block: &Block, reached: &Value, failures: &mut Vec<Value>) -> Result<()> {
        for phi in &block.phis {
            // From the last: what no earlier edge chooses.
            let mut chosen: Option<Value> = None;
            for (of, source) in &phi.from {
                let edge = self.edge(source, &block.name);
                if edge == FALSE {
                    continue;
                }
                let value = self.value(of, phi.bits)?;
                chosen = Some(match chosen {
                    None => value,
                    Some(other) => self.choose(&edge, &value, &other, phi.bits),
                });
            }
            let value = chosen.with_context(|| format!("`{}` has no source", phi.result))?;
            self.values.insert(phi.result.clone(), value);
        }
        for insn in &block.insns {
            match &insn.op {
                Op::Offset { base, bytes } => {
                    let base = self.addresses.get(base).copied().unwrap_or(0);
                    self.addresses.insert(insn.result.clone(), base + bytes);
                }
                Op::Load { address } => {
                    let at = self.addresses.get(address).copied().unwrap_or(0);
                    self.values
                        .insert(insn.result.clone(), Value::Term(format!("w{}", at / 8)));
                }
                op => {
                    let value = self.operation(op)?;
                    self.values.insert(insn.result.clone(), value);
                }
            }
        }
        let goes = |script: &mut Script, to: &str, condition: Value| {
            let condition = script.and(reached, &condition);
            let edge = (block.name.clone(), to.to_owned());
            script.edges.entry(edge).or_default().push(condition);
        };
        match &block.end {
            End::Jump(to) => goes(self, to, TRUE),
            End::Branch(on, yes, no) => {
                let on = self.value(on, 1)?;
                let off = self.not(&on);
                goes(self, yes, on);
                goes(self, no, off);
            }
            End::Switch {
                on,
                bits,
                default,
                cases,
            } => {
                let on = self.value(on, *bits)?;
                let mut others = TRUE;
                for (case, to) in cases {
                    let case = Value::Known(*case as u128 & mask(*bits));
                    let equal = self.compare("eq", &on, &case, *bits)?;
                    let different = self.not(&equal);
                    others = self.and(&others, &different);
                    goes(self, to, equal);
                }
                goes(self, default, others);
            }
            End::Return(of) => {
                let of = self.value(of, 1)?;
                let wrong = self.not(&of);
                failures.push(self.and(reached, &wrong));
            }
            End::Never => failures.push(reached.clone()),
        }
        Ok(())
    }

    fn compare(&mut self, op: &str, a: &Value, b: &Value, bits: u32) -> Result<Value> {
        if let (Value::Known(x), Value::Known(y)) = (a, b) {
            let (sx, sy) = (signed(*x, bits), signed(*y, bits));
            return Ok(Value::Known(u128::from(match op {
                "eq" => x == y,
                "ne" => x != y,
                "ult" => x < y,
                "ule" => x <= y,
                "ugt" => x > y,
                "uge" => x >= y,
                "slt" => sx < sy,
                "sle" => sx <= sy,
                "sgt" => sx > sy,
                "sge" => sx >= sy,
                _ => bail!("comparison `{op}`"),
            })));
        }
        let (a, b) = (shown(a, bits), shown(b, bits));
        let term = match (op, bits) {
            ("eq", _) => format!("(= {a} {b})"),
            ("ne", _) => format!("(not (= {a} {b}))"),
            ("ult", 1) => format!("(and (not {a}) {b})"),
            ("ugt", 1) => format!("(and {a} (not {b}))"),
            ("ule", 1) => format!("(or (not {a}) {b})"),
            ("uge", 1) => format!("(or {a} (not {b}))"),
            (_, 1) => bail!("comparison `{op}` of one bit"),
            ("ult" | "ule" | "ugt" | "uge" | "slt" | "sle" | "sgt" | "sge", _) => {
                format!("(bv{op} {a} {b})")
            }
            _ => bail!("comparison `{op}`"),
        };
        Ok(self.define(1, term))
    }

    fn binary(&mut self, op: &str, a: &Value, b: &Value, bits: u32) -> Result<Value> {
        if let (Value::Known(x), Value::Known(y)) = (a, b) {
            let known = match op {
                "add" => Some(x.wrapping_add(*y)),
                "sub" => Some(x.wrapping_sub(*y)),
                "and" => Some(x & y),
                "or" => Some(x | y),
                "xor" => Some(x ^ y),
                "shl" if *y < u128::from(bits) => Some(x << y),
                "lshr" if *y < u128::from(bits) => Some(x >> y),
                _ => None,
            };
            if let Some(known) = known {
                return Ok(Value::Known(known & mask(bits)));
            }
        }
        if bits == 1 && op == "and" {
            return Ok(self.and(a, b));
        }
        if bits == 1 && op == "or" {
            return Ok(self.or(&[a.clone(), b.clone()]));
        }
        let (a, b) = (shown(a, bits), shown(b, bits));
        let name = match (op, bits) {
            ("xor", 1) => "xor",
            (_, 1) => bail!("`{op}` of one bit"),
            (
                "add" | "sub" | "mul" | "udiv" | "urem" | "sdiv" | "srem" | "shl" | "lshr" | "ashr"
                | "and" | "or" | "xor",
                _,
            ) => return Ok(self.define(bits, format!("(bv{op} {a} {b})"))),
            _ => bail!("operation `{op}`"),
        };
        Ok(self.define(bits, format!("({name} {a} {b})")))
    }

    fn operation(&mut self, op: &Op) -> Result<Value> {
        match op {
            Op::Binary { op, bits, args } => {
                let (a, b) = (self.value(&args[0], *bits)?, self.value(&args[1], *bits)?);
                self.binary(op, &a, &b, *bits)
            }
            Op::Compare { op, bits, args } => {
                let (a, b) = (self.value(&args[0], *bits)?, self.value(&args[1], *bits)?);
                self.compare(op, &a, &b, *bits)
            }
            Op::Select { bits, args } => {
                let on = self.value(&args[0], 1)?;
                let (yes, no) = (self.value(&args[1], *bits)?, self.value(&args[2], *bits)?);
                Ok(self.choose(&on, &yes, &no, *bits))
            }
            Op::Cast { op, from, to, arg } => {
                let value = self.value(arg, *from)?;
                self.cast(op, *from, *to, value)
            }
            Op::Call { name, bits, args } => {
                let args: Vec<Value> = args
                    .iter()
                    .map(|of| self.value(of, *bits))
                    .collect::<Result<_>>()?;
                self.intrinsic(name, *bits, &args)
            }
            Op::Offset { .. } | Op::Load { .. } => bail!("no arithmetic"),
        }
    }

    fn cast(&mut self, op: &str, from: u32, to: u32, value: Value) -> Result<Value> {
        if let Value::Known(n) = value {
            let n = if op == "sext" {
                signed(n, from) as u128
            } else {
                n
            };
            return Ok(Value::Known(n & mask(to)));
        }
        let term = shown(&value, from);
        let (ones, zero) = (format!("(_ bv{} {to})", mask(to)), format!("(_ bv0 {to})"));
        Ok(match (op, from, to) {
            ("freeze", ..) => value,
            ("zext", 1, _) => self.define(to, format!("(ite {term} (_ bv1 {to}) {zero})")),
            ("sext", 1, _) => self.define(to, format!("(ite {term} {ones} {zero})")),
            ("zext", ..) => self.define(to, format!("((_ zero_extend {}) {term})", to - from)),
            ("sext", ..) => self.define(to, format!("((_ sign_extend {}) {term})", to - from)),
            ("trunc", _, 1) => self.define(1, format!("(= ((_ extract 0 0) {term}) (_ bv1 1))")),
            ("trunc", ..) => self.define(to, format!("((_ extract {} 0) {term})", to - 1)),
            _ => bail!("cast `{op}`"),
        })
    }

    fn intrinsic(&mut self, name: &str, bits: u32, args: &[Value]) -> Result<Value> {
        let known = |args: &[Value]| match args {
            [Value::Known(x), ..] => Some(*x),
            _ => None,
        };
        match (name, args) {
            ("umin" | "umax" | "smin" | "smax", [a, b]) => {
                let less = self.compare(
                    if name.starts_with('u') { "ult" } else { "slt" },
                    a,
                    b,
                    bits,
                )?;
                let (yes, no) = if name.ends_with("min") {
                    (a, b)
                } else {
                    (b, a)
                };
                Ok(self.choose(&less, yes, no, bits))
            }
            ("uadd.sat", [a, b]) => {
                let sum = self.binary("add", a, b, bits)?;
                let over = self.compare("ult", &sum, a, bits)?;
                Ok(self.choose(&over, &Value::Known(mask(bits)), &sum, bits))
            }
            ("usub.sat", [a, b]) => {
                let difference = self.binary("sub", a, b, bits)?;
                let under = self.compare("ult", a, b, bits)?;
                Ok(self.choose(&under, &FALSE, &difference, bits))
            }
            ("abs", [a, _]) => {
                let negative = self.compare("slt", a, &FALSE, bits)?;
                let negated = self.binary("sub", &FALSE, a, bits)?;
                Ok(self.choose(&negative, &negated, a, bits))
            }
            ("ctlz" | "cttz", [a, ..]) => {
                if let Some(x) = known(args) {
                    let zeros = match name {
                        "ctlz" => x.leading_zeros() - (128 - bits),
                        _ => x.trailing_zeros().min(bits),
                    };
                    return Ok(Value::Known(zeros.into()));
                }
                self.count_zeros(a, bits, name == "ctlz")
            }
            ("ctpop", [a]) => {
                let a = shown(a, bits);
                let bit =
                    |i: u32| format!("((_ zero_extend {}) ((_ extract {i} {i}) {a}))", bits - 1);
                let sum = (1..bits).fold(bit(0), |sum, i| format!("(bvadd {sum} {})", bit(i)));
                Ok(self.define(bits, sum))
            }
            ("bswap", [a]) => {
                let a = shown(a, bits);
                let bytes: Vec<String> = (0..bits / 8)
                    .map(|i| format!("((_ extract {} {}) {a})", 8 * i + 7, 8 * i))
                    .collect();
                Ok(self.define(bits, format!("(concat {})", bytes.join(" "))))
            }
            ("fshl" | "fshr", [a, b, c]) => {
                let count = self.binary("and", c, &Value::Known(u128::from(bits - 1)), bits)?;
                let (a, b, count) = (shown(a, bits), shown(b, bits), shown(&count, bits));
                let both = format!("(concat {a} {b})");
                let count = format!("((_ zero_extend {bits}) {count})");
                Ok(self.define(
                    bits,
                    match name {
                        "fshl" => format!(
                            "((_ extract {} {bits}) (bvshl {both} {count}))",
                            2 * bits - 1
                        ),
                        _ => format!("((_ extract {} 0) (bvlshr {both} {count}))", bits - 1),
                    },
                ))
            }
            _ => bail!("intrinsic `{name}` of {bits} bits"),
        }
    }

    /// By halves: where a half is 0, its width is counted and the other half looked at.
    fn count_zeros(&mut self, of: &Value, bits: u32, leading: bool) -> Result<Value> {
        let mut rest = of.clone();
        let mut count = Value::Known(0);
        let mut width = bits / 2;
        while width > 0 {
            let amount = Value::Known(u128::from(width));
            let end = match leading {
                true => mask(width) << (bits - width),
                false => mask(width),
            };
            let part = self.binary("and", &rest, &Value::Known(end), bits)?;
            let zero = self.compare("eq", &part, &Value::Known(0), bits)?;
            let moved = self.binary(if leading { "shl" } else { "lshr" }, &rest, &amount, bits)?;
            let more = self.binary("add", &count, &amount, bits)?;
            rest = self.choose(&zero, &moved, &rest, bits);
            count = self.choose(&zero, &more, &count, bits);
            width /= 2;
        }
        // 0 was counted as one zero too few.
        let zero = self.compare("eq", of, &Value::Known(0), bits)?;
        Ok(self.choose(&zero, &Value::Known(u128::from(bits)), &count, bits))
    }
}
