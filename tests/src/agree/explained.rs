//! The table of acceptances that Linux does not share, each with the reason why it is safe.
//!
//! A row is a class: what Linux's message looks like, and, where that is not enough, which objects and
//! programs it is about. A pattern is text in which `*` stands for anything.

use std::path::Path;

/// What a row says of itself.
#[derive(Clone, Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Class {
    pub name: String,
    /// Found somewhere in the line that tells why Linux refuses.
    #[serde(default)]
    pub message: Option<String>,
    /// Found in some line of the end of Linux's log.
    #[serde(default)]
    pub log: Option<String>,
    /// Matches the whole file name of the object.
    #[serde(default)]
    pub object: Option<String>,
    /// Matches the whole name of the program.
    #[serde(default)]
    pub program: Option<String>,
    /// The instruction at which Linux stopped is one that no path reaches.
    #[serde(default)]
    pub unreached: bool,
    pub why: String,
}

#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Table {
    #[serde(default)]
    pub class: Vec<Class>,
}

/// What a row is matched with.
#[derive(Clone, Copy)]
pub struct Refusal<'a> {
    /// File name of the object; empty when there is none.
    pub object: &'a str,
    pub program: &'a str,
    /// The line that tells why.
    pub why: &'a str,
    /// The log with its trace.
    pub log: &'a [String],
    /// Per slot: does some path reach it, for us?
    pub reached: &'a dyn Fn(usize) -> bool,
}

impl Table {
    pub fn read(path: &Path) -> Result<Table, String> {
        let text = std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
        let table: Table = toml::from_str(&text).map_err(|e| format!("{}: {e}", path.display()))?;
        for c in &table.class {
            let names = c.object.is_some() && c.program.is_some();
            if c.message.is_none() && !c.unreached && !names {
                return Err(format!("class `{}` matches everything", c.name));
            }
        }
        Ok(table)
    }

    /// The one in the repository.
    pub fn ours() -> Result<Table, String> {
        Table::read(&crate::root().join("tests/agree/explained.toml"))
    }

    /// The first row that explains the refusal.
    pub fn explain(&self, r: &Refusal<'_>) -> Option<&Class> {
        self.class.iter().find(|c| c.matches(r))
    }
}

impl Class {
    fn matches(&self, r: &Refusal<'_>) -> bool {
        let whole =
            |pattern: &Option<String>, text: &str| pattern.as_ref().is_none_or(|p| glob(p, text));
        whole(&self.object, r.object)
            && whole(&self.program, r.program)
            && self
                .message
                .as_ref()
                .is_none_or(|m| glob(&format!("*{m}*"), r.why))
            && self.log.as_ref().is_none_or(|p| {
                let pattern = format!("*{p}*");
                r.log.iter().any(|line| glob(&pattern, line))
            })
            && (!self.unreached || stopped_at(r.log).is_some_and(|pc| !(r.reached)(pc)))
    }
}

/// The last instruction that Linux looked at: `12: (0f) r1 += r2`.
pub fn stopped_at(log: &[String]) -> Option<usize> {
    log.iter().rev().find_map(|l| {
        let (pc, rest) = l.split_once(": (")?;
        u8::from_str_radix(rest.get(..2)?, 16).ok()?;
        pc.split_whitespace().last()?.parse().ok()
    })
}

/// Does the text match a pattern of letters and `*`?
pub fn glob(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else {
        return false;
    };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else {
        return rest.is_empty();
    };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs() {
        for (pattern, text, want) in [
            ("a", "a", true),
            ("a", "ab", false),
            ("*b*", "abc", true),
            ("a*c", "abbc", true),
            ("a*b*c", "aXbYc", true),
            ("a*bc", "abcc", false),
            ("ab*b", "ab", false),
            ("*", "", true),
        ] {
            assert_eq!(glob(pattern, text), want, "{pattern} {text}");
        }
    }

    #[test]
    fn the_table_reads() {
        let table = Table::ours().unwrap();
        assert!(table.class.iter().all(|c| c.why.len() > 20));
    }

    #[test]
    fn an_unreached_stop_is_found() {
        let log: Vec<String> = [
            "3: (b7) r0 = 1",
            "; x",
            "4: R1=scalar()",
            "17: (0f) r1 += r2",
            "no",
        ]
        .map(String::from)
        .to_vec();
        assert_eq!(stopped_at(&log), Some(17));
    }
}
