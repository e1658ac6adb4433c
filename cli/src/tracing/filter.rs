//! A regular expression over probes' names: `|`, groups, `.`, `[…]`, `*`, `+`, `?`, `^`, `$`.
//!
//! **Invariant:** the work on one name is bounded: an expression that needs more matches nothing.

use anyhow::{Result, bail};

/// Steps on one name.
const MAX_STEPS: u32 = 200_000;

#[derive(Debug)]
pub struct Filter {
    whole: Node,
}

#[derive(Debug)]
enum Node {
    Char(char),
    Any,
    Set(Vec<(char, char)>, bool),
    Start,
    End,
    Sequence(Vec<Node>),
    Choice(Vec<Node>),
    /// At least so many times, and without a bound.
    Repeat(Box<Node>, u32, bool),
}

impl Filter {
    pub fn parse(text: &str) -> Result<Filter> {
        let chars: Vec<char> = text.chars().collect();
        let mut at = 0;
        let whole = choice(&chars, &mut at, 0)?;
        if at < chars.len() {
            bail!("the expression `{text}` has a `)` too many");
        }
        Ok(Filter { whole })
    }

    /// Whether some part of the name fits.
    pub fn matches(&self, name: &str) -> bool {
        let chars: Vec<char> = name.chars().collect();
        let mut steps = MAX_STEPS;
        (0..=chars.len()).any(|from| fits(&self.whole, &chars, from, &mut steps, &mut |_, _| true))
    }
}

fn choice(t: &[char], at: &mut usize, depth: u32) -> Result<Node> {
    if depth > 32 {
        bail!("the expression is nested too deeply");
    }
    let mut arms = vec![sequence(t, at, depth)?];
    while t.get(*at) == Some(&'|') {
        *at += 1;
        arms.push(sequence(t, at, depth)?);
    }
    Ok(Node::Choice(arms))
}

fn sequence(t: &[char], at: &mut usize, depth: u32) -> Result<Node> {
    let mut items = Vec::new();
    while let Some(c) = t.get(*at) {
        *at += 1;
        let node = match c {
            '|' | ')' => {
                *at -= 1;
                break;
            }
            '(' => {
                let inner = choice(t, at, depth + 1)?;
                if t.get(*at) != Some(&')') {
                    bail!("a `(` of the expression is not closed");
                }
                *at += 1;
                inner
            }
            '.' => Node::Any,
            '^' => Node::Start,
            '$' => Node::End,
            '[' => set(t, at)?,
            '\\' => match t.get(*at) {
                Some(c) => {
                    *at += 1;
                    Node::Char(*c)
                }
                None => bail!("the expression ends with `\\`"),
            },
            c => Node::Char(*c),
        };
        items.push(match t.get(*at) {
            Some('*') => Node::Repeat(Box::new(node), 0, true),
            Some('+') => Node::Repeat(Box::new(node), 1, true),
            Some('?') => Node::Repeat(Box::new(node), 0, false),
            _ => {
                items.push(node);
                continue;
            }
        });
        *at += 1;
    }
    Ok(Node::Sequence(items))
}

fn set(t: &[char], at: &mut usize) -> Result<Node> {
    let negated = t.get(*at) == Some(&'^');
    *at += usize::from(negated);
    let mut ranges = Vec::new();
    loop {
        let Some(&low) = t.get(*at) else {
            bail!("a `[` of the expression is not closed");
        };
        *at += 1;
        if low == ']' && !ranges.is_empty() {
            return Ok(Node::Set(ranges, negated));
        }
        match (t.get(*at), t.get(*at + 1)) {
            (Some('-'), Some(&high)) if high != ']' => {
                *at += 2;
                ranges.push((low, high));
            }
            _ => ranges.push((low, low)),
        }
    }
}

type Next<'n> = &'n mut dyn FnMut(usize, &mut u32) -> bool;

fn fits(node: &Node, t: &[char], at: usize, steps: &mut u32, next: Next<'_>) -> bool {
    if *steps == 0 {
        return false;
    }
    *steps -= 1;
    match node {
        Node::Char(c) => t.get(at) == Some(c) && next(at + 1, steps),
        Node::Any => at < t.len() && next(at + 1, steps),
        Node::Set(ranges, negated) => {
            t.get(at)
                .is_some_and(|c| ranges.iter().any(|(l, h)| l <= c && c <= h) != *negated)
                && next(at + 1, steps)
        }
        Node::Start => at == 0 && next(at, steps),
        Node::End => at == t.len() && next(at, steps),
        Node::Sequence(items) => match items.split_first() {
            None => next(at, steps),
            Some(_) => in_order(items, t, at, steps, next),
        },
        Node::Choice(arms) => arms.iter().any(|a| fits(a, t, at, steps, next)),
        Node::Repeat(inner, least, many) => repeated(inner, (*least, *many), t, at, steps, next),
    }
}

fn in_order(items: &[Node], t: &[char], at: usize, steps: &mut u32, next: Next<'_>) -> bool {
    match items.split_first() {
        None => next(at, steps),
        Some((first, rest)) => fits(first, t, at, steps, &mut |to, steps| {
            in_order(rest, t, to, steps, next)
        }),
    }
}

fn repeated(
    inner: &Node,
    (least, many): (u32, bool),
    t: &[char],
    at: usize,
    steps: &mut u32,
    next: Next<'_>,
) -> bool {
    let more = fits(inner, t, at, steps, &mut |to, steps| {
        if many && to > at {
            repeated(inner, (least.saturating_sub(1), true), t, to, steps, next)
        } else {
            next(to, steps)
        }
    });
    more || (least == 0 && next(at, steps))
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
