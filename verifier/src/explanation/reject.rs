//! A failed obligation, before it is told to a person: what must hold, what is known, which registers are involved.

use probity_isa::{Pc, Reg};

use crate::report::Rule;

/// Why a program is not accepted, without its surroundings.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    /// `None`: the instruction being visited, or the whole program.
    pub pc: Option<Pc>,
    pub rule: Rule,
    pub must: String,
    pub known: String,
    pub hint: Option<String>,
    /// The registers whose history explains it.
    pub regs: Vec<Reg>,
}

pub(crate) type Outcome<T> = Result<T, Box<Failure>>;

pub(crate) fn fail(rule: Rule, must: &str, known: &str) -> Box<Failure> {
    Box::new(Failure {
        pc: None,
        rule,
        must: must.to_string(),
        known: known.to_string(),
        hint: None,
        regs: Vec::new(),
    })
}

/// A feature that is not modelled.
pub(crate) fn unsupported(feature: &str) -> Box<Failure> {
    fail(Rule::Unsupported, feature, "not modelled yet")
}

/// What the verifier relies on of its own data, and which does not hold.
pub(crate) fn internal(invariant: &str) -> Box<Failure> {
    let known = "it does not hold: this is a mistake of the verifier, not of the program";
    fail(Rule::Internal, invariant, known).hint("please report it, with the object")
}

pub(crate) trait Explain {
    fn about(self, reg: Reg) -> Self;
    fn hint(self, hint: &str) -> Self;
}

impl Explain for Box<Failure> {
    fn about(mut self, reg: Reg) -> Self {
        self.regs.push(reg);
        self
    }

    fn hint(mut self, hint: &str) -> Self {
        self.hint = Some(hint.to_string());
        self
    }
}
