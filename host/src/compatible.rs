//! Two descriptions of a host → which changes keep older extensions valid, and which do not.

use std::fmt;

use crate::description::{HookDescription, HostDescription};

/// A change by which an extension that was right before may be wrong now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Breaking {
    pub hook: String,
    pub what: String,
    /// The hook has another ABI version now, so that older extensions are told.
    pub told: bool,
}

impl fmt::Display for Breaking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let told = match self.told {
            true => "",
            false => ": this needs another ABI version",
        };
        write!(f, "hook `{}`: {}{told}", self.hook, self.what)
    }
}

impl HostDescription {
    /// What `new` changes that older extensions may meet; empty when all of them stay valid.
    pub fn breaking(&self, new: &HostDescription) -> Vec<Breaking> {
        let mut all = Vec::new();
        for old in &self.hooks {
            let mut found = Vec::new();
            let now = new.hook(&old.name).map(|(_, h)| h);
            match now {
                None => found.push("is gone".to_string()),
                Some(now) => {
                    hook(old, now, &mut found);
                    for name in &old.functions {
                        let of = |d: &HostDescription| {
                            let f = d.functions.iter().find(|f| f.name == *name);
                            f.map(|f| f.declaration.clone())
                        };
                        let (before, after) = (of(self), of(new));
                        if after.is_some() && before != after {
                            found.push(format!("function `{name}` has another prototype"));
                        }
                    }
                }
            }
            let told = now.is_none_or(|n| n.abi != old.abi);
            all.extend(found.into_iter().map(|what| Breaking {
                hook: old.name.clone(),
                what,
                told,
            }));
        }
        all
    }
}

fn hook(old: &HookDescription, new: &HookDescription, found: &mut Vec<String>) {
    let (a, b) = (&old.context, &new.context);
    if a.name != b.name {
        found.push(format!("its context is called `{}` now", b.name));
    }
    if b.size < a.size {
        found.push(format!(
            "its context shrinks from {} to {} bytes",
            a.size, b.size
        ));
    }
    for f in &a.fields {
        let name = &f.name;
        let Some(now) = b.fields.iter().find(|g| g.name == *name) else {
            found.push(format!("field `{name}` is gone"));
            continue;
        };
        if (now.offset, &now.ty) != (f.offset, &f.ty) {
            found.push(format!(
                "field `{name}` is {} at {} now, not {} at {}",
                now.ty, now.offset, f.ty, f.offset
            ));
        }
        let wider = |(a, b): (i64, u64), (c, d): (i64, u64)| c <= a && b <= d;
        let kept = match (f.write, now.write, f.range, now.range) {
            (false, ..) | (true, true, _, None) => true,
            (true, false, ..) | (true, true, None, Some(_)) => false,
            (true, true, Some(old), Some(new)) => wider(old, new),
        };
        if !kept {
            found.push(format!("less may be stored in field `{name}`"));
        }
    }
    // A field among older ones lies where extensions know of nothing; it is told all the same.
    let end = a.fields.iter().map(|f| f.end()).max().unwrap_or(0);
    for f in &b.fields {
        let known = a.fields.iter().any(|g| g.name == f.name);
        if !known && f.offset < end {
            found.push(format!("field `{}` is new, but not at the end", f.name));
        }
    }
    let (least, greatest) = old.returns;
    if new.returns.0 > least || new.returns.1 < greatest {
        found.push("fewer numbers may be returned".into());
    }
    if new.budget.is_some_and(|n| old.budget.is_none_or(|o| n < o)) {
        found.push("fewer instructions may be executed".into());
    }
    if old.packet_write && !new.packet_write {
        found.push("the packet may no longer be written".into());
    }
    let lists = [
        ("helper", &old.helpers, &new.helpers),
        ("function", &old.functions, &new.functions),
    ];
    for (what, before, after) in lists {
        for name in before.iter().filter(|n| !after.contains(n)) {
            found.push(format!("{what} `{name}` is gone"));
        }
    }
}
