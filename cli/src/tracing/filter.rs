//! A regular expression over probes' names.
//!
//! **Invariant:** the work on one name is bounded by its length and the expression's.

use anyhow::{Result, anyhow};
use regex_lite::Regex;

#[derive(Debug)]
pub struct Filter {
    expression: Regex,
}

impl Filter {
    pub fn parse(text: &str) -> Result<Filter> {
        let expression =
            Regex::new(text).map_err(|e| anyhow!("`{text}` is no regular expression: {e}"))?;
        Ok(Filter { expression })
    }

    /// Whether some part of the name fits.
    pub fn matches(&self, name: &str) -> bool {
        self.expression.is_match(name)
    }
}

#[cfg(test)]
mod tests {
    use super::Filter;

    #[test]
    fn expressions() {
        for (expression, name, yes) in [
            (":200", "interval:ms:200", true),
            (":200", "interval:ms:100", false),
            ("interval:ms:(200|300)", "interval:ms:300", true),
            ("^interval.*[0-2]$", "interval:ms:201", true),
            ("^interval.*[^0-2]$", "interval:ms:201", false),
            ("a+b?c", "xaac", true),
            ("(a*)*$", "aaaaaaaaaaaaaaaaaaaaaaaaaaaab", true),
            (
                "^(a|aa)+$",
                "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab",
                false,
            ),
        ] {
            let filter = Filter::parse(expression).unwrap();
            assert_eq!(filter.matches(name), yes, "{expression} {name}");
        }
        for bad in ["(", ")", "[a", "a\\"] {
            assert!(Filter::parse(bad).is_err(), "{bad}");
        }
    }
}
