//! `--filter`: words → which rows are shown, as veristat has it.
//!
//! A word with a comparison is about a column, and a row must meet all of those. Other words are patterns of names, and a
//! row must meet one of them, or none that starts with `!`.

use std::cmp::Ordering;

use super::row::{self, Cell, Row};

#[derive(Clone, Debug, Default)]
pub struct Filter {
    names: Vec<String>,
    not_names: Vec<String>,
    columns: Vec<Comparison>,
}

#[derive(Clone, Debug)]
struct Comparison {
    key: String,
    holds: fn(Ordering) -> bool,
    /// `!=`: holds also where there is nothing to compare.
    differs: bool,
    value: Value,
}

#[derive(Clone, Debug)]
enum Value {
    Number(f64),
    Pattern(String),
}

/// Longer ones first.
const OPERATORS: &[(&str, fn(Ordering) -> bool)] = &[
    ("<=", Ordering::is_le),
    (">=", Ordering::is_ge),
    ("!=", Ordering::is_ne),
    ("==", Ordering::is_eq),
    ("<", Ordering::is_lt),
    (">", Ordering::is_gt),
    ("=", Ordering::is_eq),
];

impl Filter {
    pub fn parse(words: &[String]) -> Result<Filter, String> {
        let mut filter = Filter::default();
        for word in words.iter().flat_map(|w| w.split(',')).map(str::trim) {
            if word.is_empty() {
                continue;
            }
            if let Some(at) = word.find(['<', '>', '=']) {
                filter.columns.push(comparison(word, at)?);
            } else if let Some(pattern) = word.strip_prefix('!') {
                filter.not_names.push(pattern.to_string());
            } else {
                filter.names.push(word.to_string());
            }
        }
        Ok(filter)
    }

    /// Does it ask for names alone?
    pub fn only_names(&self) -> bool {
        self.columns.is_empty()
    }

    /// May a program of that name be shown? Known before it is measured.
    pub fn names(&self, object: &str, program: &str) -> bool {
        let file = object.rsplit('/').next().unwrap_or(object);
        let both = format!("{file}/{program}");
        let meets = |p: &String| glob(p, program) || glob(p, file) || glob(p, &both);
        (self.names.is_empty() || self.names.iter().any(meets)) && !self.not_names.iter().any(meets)
    }

    pub fn row(&self, row: &Row) -> bool {
        self.columns.iter().all(|c| c.meets(row))
    }
}

fn comparison(word: &str, at: usize) -> Result<Comparison, String> {
    // `!=` starts a byte before what was found.
    let at = match word[..at].strip_suffix('!') {
        Some(before) => before.len(),
        None => at,
    };
    let (key, rest) = word.split_at(at);
    let Some((operator, holds)) = OPERATORS.iter().find(|(o, _)| rest.starts_with(o)) else {
        return Err(format!("`{word}` compares nothing that is known"));
    };
    let (key, value) = (row::key(key.trim())?, rest[operator.len()..].trim());
    let is_text = matches!(Row::default().cell(&key), Cell::Text(_)) || key.ends_with("_verdict");
    let value = match number(value) {
        _ if is_text && ["=", "==", "!="].contains(operator) => Value::Pattern(value.to_string()),
        Some(n) if !is_text => Value::Number(n),
        _ if value == "none" && ["=", "==", "!="].contains(operator) => {
            Value::Pattern(value.to_string())
        }
        _ if is_text => return Err(format!("`{word}`: names are compared with = and != only")),
        _ => return Err(format!("`{word}`: `{value}` is no number")),
    };
    Ok(Comparison {
        key,
        holds: *holds,
        differs: *operator == "!=",
        value,
    })
}

/// `1500`, `1.5k`, `2M`, `1G`.
fn number(text: &str) -> Option<f64> {
    let times = |text: &str, by: f64| text.parse::<f64>().ok().map(|n| n * by);
    let found = match text.chars().last()? {
        'k' | 'K' => times(&text[..text.len() - 1], 1e3),
        'M' => times(&text[..text.len() - 1], 1e6),
        'G' => times(&text[..text.len() - 1], 1e9),
        _ => times(text, 1.0),
    };
    found.filter(|n| n.is_finite())
}

impl Comparison {
    fn meets(&self, row: &Row) -> bool {
        match (&self.value, row.cell(&self.key)) {
            (Value::Number(n), Cell::Number(cell)) => {
                cell.partial_cmp(n).is_some_and(|o| (self.holds)(o))
            }
            (Value::Number(_), _) => self.differs,
            (Value::Pattern(p), Cell::Text(cell)) => glob(p, &cell) != self.differs,
            // Nothing there is `none`.
            (Value::Pattern(p), Cell::Missing) => (p == "none") != self.differs,
            (Value::Pattern(_), Cell::Number(_)) => self.differs,
        }
    }
}

/// `*` for anything, `?` for one character.
fn glob(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) =
        (pattern.chars().collect(), text.chars().collect());
    let (mut p, mut t) = (0, 0);
    // Where to go on after the last `*` took one more.
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        if pattern.get(p) == Some(&'*') {
            p += 1;
            star = Some((p, t));
        } else if pattern.get(p).is_some_and(|&c| c == '?' || c == text[t]) {
            p += 1;
            t += 1;
        } else if let Some((after, taken)) = star {
            p = after;
            t = taken + 1;
            star = Some((after, t));
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|&c| c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(words: &[&str]) -> Filter {
        let words: Vec<String> = words.iter().map(|w| (*w).to_string()).collect();
        Filter::parse(&words).expect("it parses")
    }

    #[test]
    fn patterns() {
        for (pattern, text, meets) in [
            ("*", "", true),
            ("a*c", "abbc", true),
            ("a*c", "abb", false),
            ("*b*", "abc", true),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("abc", "abc", true),
            ("", "a", false),
            ("*a*b", "xaxxab", true),
        ] {
            assert_eq!(glob(pattern, text), meets, "{pattern} on {text}");
        }
    }

    #[test]
    fn names_and_columns() {
        let f = filter(&["xdp_*,tc_*", "!*_old"]);
        assert!(f.names("d/a.o", "xdp_a") && f.names("a.o", "tc_a"));
        assert!(!f.names("a.o", "xdp_old") && !f.names("a.o", "kprobe"));
        assert!(filter(&["a.o/p*"]).names("dir/a.o", "prog"));

        let row = Row {
            program: "p".into(),
            verdict: "accept".into(),
            processed: 1500,
            time_us: 12.5,
            ..Row::default()
        };
        for (words, shown) in [
            ("processed>1000", true),
            ("processed>=1.5k", true),
            ("processed<1500", false),
            ("processed!=1500", false),
            ("processed>1000,time<10", false),
            ("verdict=accept", true),
            ("verdict!=accept", false),
            ("verdict==acc*", true),
            ("linux_verdict=none", true),
            ("linux_verdict!=accept", true),
            ("linux_time>0", false),
            ("memory=none", true),
        ] {
            assert_eq!(filter(&[words]).row(&row), shown, "{words}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_said() {
        for (word, says) in [
            ("speed>1", "no column `speed`"),
            ("processed>many", "`many` is no number"),
            ("verdict>accept", "= and !="),
            ("processed=", "is no number"),
            ("=1", "no column"),
        ] {
            let error = Filter::parse(&[word.to_string()]).expect_err(word);
            assert!(error.contains(says), "{word}: {error}");
        }
    }
}
