//! TOML → [`Policy`].
//!
//! Every key is optional; one that is absent allows everything:
//!
//! ```toml
//! helpers = ["map_lookup_elem", "ktime_get_ns"]   # with or without bpf_
//! kfuncs = []                                     # none at all
//! map_kinds = ["array", "hash", "ringbuf"]
//! prog_kinds = ["tracepoint", "xdp"]
//! licenses = ["GPL", "Dual MIT/GPL"]
//! max_map_bytes = 1048576     # one map: entries × (key + value)
//! max_map_entries = 10000     # one map
//! max_insns = 4096            # slots of one program
//! max_processed = 100000      # instructions visited in verification
//! max_worst_case_insns = 1000000   # instructions that one run executes at most
//! max_stack = 256             # bytes
//! epoch_checks = true         # loops look whether the host wants the call to end
//! ```
//!
//! **Invariant:** a name or key that means nothing is an error, so that a slip of the pen never allows more than was meant.

use std::ops::Range;

use toml::de::{DeTable, DeValue};

use super::{Policy, short};
use crate::{NEWEST, Platform};

/// Why a text is not a policy. Lines count from 1.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    #[error("line {line}: not TOML: {message}")]
    Syntax { line: usize, message: String },
    #[error("line {line}: no such key: {key}{}", perhaps(.nearest))]
    UnknownKey {
        line: usize,
        key: String,
        nearest: Option<String>,
    },
    #[error("line {line}: no such {what}: {name}{}", perhaps(.nearest))]
    UnknownName {
        line: usize,
        what: &'static str,
        name: String,
        nearest: Option<String>,
    },
    #[error("line {line}: {key} must be {expected}, not {found}")]
    Type {
        line: usize,
        key: String,
        expected: &'static str,
        found: &'static str,
    },
    #[error("line {line}: {key} must be from 0 to {max}, not {number}")]
    Range {
        line: usize,
        key: String,
        max: u64,
        number: String,
    },
}

fn perhaps(nearest: &Option<String>) -> String {
    nearest
        .as_ref()
        .map(|n| format!("; did you mean {n}?"))
        .unwrap_or_default()
}

const KEYS: &[&str] = &[
    "helpers",
    "kfuncs",
    "map_kinds",
    "prog_kinds",
    "licenses",
    "max_map_bytes",
    "max_map_entries",
    "max_insns",
    "max_processed",
    "max_worst_case_insns",
    "max_stack",
    "epoch_checks",
];

impl Policy {
    /// Reads a policy whose names are those of Linux.
    pub fn from_toml(text: &str) -> Result<Policy, PolicyError> {
        Policy::from_toml_for(text, &Platform::linux(NEWEST, None))
    }

    /// Reads a policy whose names are those of `platform`.
    pub fn from_toml_for(text: &str, platform: &Platform) -> Result<Policy, PolicyError> {
        let table = DeTable::parse(text).map_err(|e| PolicyError::Syntax {
            line: line_of(text, e.span().unwrap_or_default()),
            message: e.message().to_owned(),
        })?;
        let mut policy = Policy::default();
        for (key, value) in table.get_ref() {
            let entry = Entry {
                text,
                key: key.get_ref(),
                key_span: key.span(),
                value,
            };
            match entry.key {
                "helpers" => {
                    let names = entry.names(
                        "helper",
                        |n| platform.helper_by_name(n).is_some(),
                        || platform.helpers.iter().map(|h| h.name).collect(),
                    )?;
                    policy.helpers = Some(names.iter().map(|n| short(n).to_owned()).collect());
                }
                "kfuncs" => policy.kfuncs = Some(entry.any_names()?),
                "licenses" => policy.licenses = Some(entry.any_names()?),
                "map_kinds" => {
                    policy.map_kinds = Some(entry.names(
                        "map kind",
                        |n| platform.map_kind_by_name(n).is_some(),
                        || platform.map_kinds.iter().map(|k| k.name).collect(),
                    )?);
                }
                "prog_kinds" => {
                    policy.prog_kinds = Some(entry.names(
                        "program kind",
                        |n| platform.prog_kind_by_name(n).is_some(),
                        || platform.prog_kinds.iter().map(|k| k.name).collect(),
                    )?);
                }
                "max_map_bytes" => policy.max_map_bytes = Some(entry.number()?),
                "max_map_entries" => policy.max_map_entries = Some(entry.number()?),
                "max_insns" => policy.max_insns = Some(entry.number()?),
                "max_processed" => policy.max_processed = Some(entry.number()?),
                "max_worst_case_insns" => policy.max_worst_case_insns = Some(entry.number()?),
                "max_stack" => policy.max_stack = Some(entry.number()?),
                "epoch_checks" => policy.epoch_checks = entry.truth()?,
                other => {
                    return Err(PolicyError::UnknownKey {
                        line: line_of(text, entry.key_span),
                        key: clip(other),
                        nearest: nearest(other, KEYS),
                    });
                }
            }
        }
        Ok(policy)
    }
}

/// One key of the file with its value.
struct Entry<'a> {
    text: &'a str,
    key: &'a str,
    key_span: Range<usize>,
    value: &'a toml::Spanned<DeValue<'a>>,
}

impl Entry<'_> {
    fn wrong_type(
        &self,
        at: Range<usize>,
        expected: &'static str,
        found: &DeValue<'_>,
    ) -> PolicyError {
        PolicyError::Type {
            line: line_of(self.text, at),
            key: self.key.to_owned(),
            expected,
            found: found.type_str(),
        }
    }

    /// Texts with the place of each.
    fn texts(&self) -> Result<Vec<(&str, Range<usize>)>, PolicyError> {
        const EXPECTED: &str = "a list of names";
        let DeValue::Array(values) = self.value.get_ref() else {
            return Err(self.wrong_type(self.value.span(), EXPECTED, self.value.get_ref()));
        };
        values
            .iter()
            .map(|v| match v.get_ref() {
                DeValue::String(s) => Ok((s.as_ref(), v.span())),
                other => Err(self.wrong_type(v.span(), EXPECTED, other)),
            })
            .collect()
    }

    fn any_names(&self) -> Result<Vec<String>, PolicyError> {
        Ok(self
            .texts()?
            .into_iter()
            .map(|(name, _)| name.to_owned())
            .collect())
    }

    fn names(
        &self,
        what: &'static str,
        known: impl Fn(&str) -> bool,
        all: impl Fn() -> Vec<&'static str>,
    ) -> Result<Vec<String>, PolicyError> {
        for (name, span) in self.texts()? {
            if !known(name) {
                return Err(PolicyError::UnknownName {
                    line: line_of(self.text, span),
                    what,
                    name: clip(name),
                    nearest: nearest(short(name), &all()),
                });
            }
        }
        self.any_names()
    }

    fn truth(&self) -> Result<bool, PolicyError> {
        match self.value.get_ref() {
            DeValue::Boolean(v) => Ok(*v),
            other => Err(self.wrong_type(self.value.span(), "true or false", other)),
        }
    }

    fn number<N: TryFrom<u64> + Bounded>(&self) -> Result<N, PolicyError> {
        let DeValue::Integer(number) = self.value.get_ref() else {
            return Err(self.wrong_type(self.value.span(), "a whole number", self.value.get_ref()));
        };
        let digits = number.to_string();
        u64::from_str_radix(number.as_str(), number.radix())
            .ok()
            .and_then(|n| N::try_from(n).ok())
            .ok_or_else(|| PolicyError::Range {
                line: line_of(self.text, self.value.span()),
                key: self.key.to_owned(),
                max: N::MAXIMUM,
                number: digits,
            })
    }
}

/// The greatest number of a type, for messages.
trait Bounded {
    const MAXIMUM: u64;
}

impl Bounded for u32 {
    const MAXIMUM: u64 = u32::MAX as u64;
}

impl Bounded for u64 {
    const MAXIMUM: u64 = u64::MAX;
}

impl Bounded for usize {
    const MAXIMUM: u64 = usize::MAX as u64;
}

fn line_of(text: &str, span: Range<usize>) -> usize {
    let before = text.as_bytes().get(..span.start).unwrap_or(text.as_bytes());
    before.iter().filter(|b| **b == b'\n').count() + 1
}

/// A name for a message, not longer than one reads.
fn clip(name: &str) -> String {
    match name.char_indices().nth(64) {
        Some((at, _)) => format!("{}…", name.get(..at).unwrap_or_default()),
        None => name.to_owned(),
    }
}

/// The name that differs least, if it differs by no more than a third of its letters.
fn nearest(name: &str, all: &[&str]) -> Option<String> {
    all.iter()
        .map(|candidate| (distance(name, candidate), candidate))
        .filter(|(d, candidate)| *d <= candidate.len().div_ceil(3))
        .min_by_key(|(d, _)| *d)
        .map(|(_, candidate)| (*candidate).to_owned())
}

/// Levenshtein's distance. A name much longer than any of ours is far from all of them, whatever its letters.
fn distance(a: &str, b: &str) -> usize {
    if a.len() > 4 * b.len() + 16 {
        return usize::MAX;
    }
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (above, cb) in row.iter_mut().skip(1).zip(&b) {
            let here = (diagonal + usize::from(ca != *cb))
                .min(left + 1)
                .min(*above + 1);
            diagonal = std::mem::replace(above, here);
            left = here;
        }
        row[0] = i + 1;
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_shows() {
        let text = "helpers = [\"bpf_map_lookup_elem\", 'ktime_get_ns']\nkfuncs = []\nmap_kinds = [\"array\"]\n\
                    prog_kinds = [\"xdp\"]\nlicenses = [\"Dual \\\"x\\\"/GPL\"]\nmax_map_bytes = 1_048_576\n\
                    max_map_entries = 0x10\nmax_insns = 4096\nmax_processed = 100000\nmax_worst_case_insns = 5_000_000_000\nmax_stack = 256\nepoch_checks = true\n";
        let policy = Policy::from_toml(text).unwrap();
        assert_eq!(
            policy.helpers.as_deref(),
            Some(&["map_lookup_elem".to_owned(), "ktime_get_ns".to_owned()][..])
        );
        assert_eq!(
            (policy.max_map_bytes, policy.max_map_entries),
            (Some(1_048_576), Some(16))
        );
        assert_eq!(policy.max_worst_case_insns, Some(5_000_000_000));
        assert!(policy.epoch_checks);
        assert!(Policy::from_toml("epoch_checks = 1").is_err());
        assert_eq!(Policy::from_toml(&policy.to_string()).unwrap(), policy);
        assert_eq!(Policy::from_toml("").unwrap(), Policy::default());
        assert_eq!(Policy::default().to_string(), "");
    }

    #[test]
    fn narrows_and_never_widens() {
        let policy = Policy::from_toml("helpers = ['bpf_ktime_get_ns']\nkfuncs = []\nmax_stack = 1024\nmax_insns = 10\nmax_map_bytes = 64").unwrap();
        assert!(policy.allows_helper("ktime_get_ns") && policy.allows_helper("bpf_ktime_get_ns"));
        assert!(
            !policy.allows_helper("map_lookup_elem") && !policy.allows_kfunc("bpf_task_acquire")
        );
        assert!(
            policy.allows_map_kind("hash")
                && policy.allows_prog_kind("xdp")
                && policy.allows_license("MIT")
        );
        let limits = policy.narrow(crate::linux::LIMITS);
        assert_eq!((limits.stack_bytes, limits.program_slots), (512, 10));
        assert!(policy.allows_map_size(4, 4, 8) && !policy.allows_map_size(4, 4, 9));
        assert!(!policy.allows_map_size(u32::MAX, u32::MAX, u32::MAX));
    }

    #[test]
    fn slips_are_errors_with_their_line() {
        for (text, message) in [
            (
                "\nhelpers = [\n'map_lookup_elem',\n'map_lokup_elem']",
                "line 4: no such helper: map_lokup_elem; did you mean map_lookup_elem?",
            ),
            (
                "map_kinds = ['arry']",
                "line 1: no such map kind: arry; did you mean array?",
            ),
            (
                "prog_kinds = ['zzzzzzzzzz']",
                "line 1: no such program kind: zzzzzzzzzz",
            ),
            (
                "\nmax_instr = 3",
                "line 2: no such key: max_instr; did you mean max_insns?",
            ),
            (
                "max_stack = 'x'",
                "line 1: max_stack must be a whole number, not string",
            ),
            (
                "max_stack = -1",
                "line 1: max_stack must be from 0 to 18446744073709551615, not -1",
            ),
            (
                "max_map_entries = 4294967296",
                "line 1: max_map_entries must be from 0 to 4294967295, not 4294967296",
            ),
            (
                "helpers = 'x'",
                "line 1: helpers must be a list of names, not string",
            ),
            (
                "helpers = [1]",
                "line 1: helpers must be a list of names, not integer",
            ),
            ("[table]\n", "line 1: no such key: table"),
        ] {
            assert_eq!(Policy::from_toml(text).unwrap_err().to_string(), message);
        }
        assert!(matches!(
            Policy::from_toml("a = \n\n= b"),
            Err(PolicyError::Syntax { line: 1, .. })
        ));
        let long = format!("{} = 1", "m".repeat(1 << 20));
        assert!(matches!(
            Policy::from_toml(&long),
            Err(PolicyError::UnknownKey { nearest: None, .. })
        ));
    }
}
