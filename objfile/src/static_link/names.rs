//! Global names of all objects → who defines each, and every clash there is.

use std::collections::{BTreeMap, HashMap};

use probity_btf::{Type, TypeId, VarLinkage};

use super::types::Types;
use super::{Clash, Input, LinkError, is_single};
use crate::elf::Symbol;
use crate::maps::definition;
use crate::{Error, Map};

/// An input and a symbol of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    Defined(usize, usize),
    /// Nobody defines it: the first that wants it.
    Extern(usize, usize),
}

pub(crate) struct Entry {
    pub owner: Owner,
    /// Every use, or the definition, is weak.
    pub weak: bool,
    pub hidden: bool,
}

pub(crate) struct Names {
    pub all: BTreeMap<String, Entry>,
    /// By input and section: definitions that gave way, first byte → one past the last.
    dead: HashMap<(usize, usize), BTreeMap<u64, u64>>,
    /// By input: global name → the section that the types put it in.
    sections: Vec<HashMap<String, String>>,
}

/// Where C says that a name comes from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Source {
    Kernel,
    Objects,
}

pub(crate) fn resolve(inputs: &[Input<'_>], types: &Types) -> Result<Names, LinkError> {
    let mut resolver = Resolver {
        inputs,
        types,
        names: Names {
            all: BTreeMap::new(),
            dead: HashMap::new(),
            sections: inputs.iter().map(sections).collect(),
        },
        clashes: Vec::new(),
    };
    // All definitions before all uses: which object comes first decides nothing.
    for uses in [false, true] {
        for (i, input) in inputs.iter().enumerate() {
            for (n, s) in input.elf.symbols.iter().enumerate() {
                if input.is_own(s) || s.name.is_empty() || (s.section == 0) != uses {
                    continue;
                }
                match uses {
                    false => resolver.definition(i, n, s)?,
                    true => resolver.usage(i, n, s),
                }
            }
        }
    }
    match resolver.clashes.is_empty() {
        true => Ok(resolver.names),
        false => Err(LinkError::Clashes(resolver.clashes)),
    }
}

impl Names {
    /// Does it belong to a definition that gave way?
    pub fn is_dead(&self, input: usize, section: usize, offset: u64) -> bool {
        let ranges = self.dead.get(&(input, section));
        let before = ranges.and_then(|r| r.range(..=offset).next_back());
        before.is_some_and(|(_, &to)| offset < to)
    }

    /// Is this input's definition of the name the one that stays?
    pub fn is_owner(&self, name: &str, input: usize) -> bool {
        self.all
            .get(name)
            .is_some_and(|e| matches!(e.owner, Owner::Defined(i, _) if i == input))
    }

    pub fn is_defined(&self, name: &str) -> bool {
        self.all
            .get(name)
            .is_some_and(|e| matches!(e.owner, Owner::Defined(..)))
    }

    /// A variable that no other object may see. Maps are seen by all.
    pub fn is_hidden_variable(&self, inputs: &[Input<'_>], name: &str) -> bool {
        let Some(entry) = self.all.get(name).filter(|e| e.hidden) else {
            return false;
        };
        let Owner::Defined(i, n) = entry.owner else {
            return false;
        };
        let elf = &inputs[i].elf;
        elf.section_name(elf.symbols[n].section) != ".maps"
    }

    pub fn unresolved(&self) -> Vec<String> {
        let open = |(name, e): (&String, &Entry)| match e.owner {
            Owner::Extern(i, _) if self.source(i, name) == Source::Objects => Some(name.clone()),
            _ => None,
        };
        self.all.iter().filter_map(open).collect()
    }
}

impl Names {
    /// The section that the types of an input put a name in.
    fn section(&self, input: usize, name: &str) -> &str {
        let of_input = self.sections.get(input);
        of_input.and_then(|s| s.get(name)).map_or("", |s| s)
    }

    fn source(&self, input: usize, name: &str) -> Source {
        match self.section(input, name) {
            ".ksyms" | ".kconfig" => Source::Kernel,
            _ => Source::Objects,
        }
    }
}

struct Resolver<'a, 'i> {
    inputs: &'a [Input<'i>],
    types: &'a Types,
    names: Names,
    clashes: Vec<Clash>,
}

impl Resolver<'_, '_> {
    fn clash(&mut self, name: &str, first: usize, second: usize, what: impl Into<String>) {
        self.clashes.push(Clash {
            name: name.to_owned(),
            first: self.inputs[first].file.to_owned(),
            second: self.inputs[second].file.to_owned(),
            what: what.into(),
        });
    }

    fn definition(&mut self, i: usize, n: usize, s: &Symbol<'_>) -> Result<(), LinkError> {
        let input = &self.inputs[i];
        if !input.places.contains_key(&s.section) {
            return Err(input.error(Error::Symbol {
                section: input.elf.section_name(s.section).into(),
                symbol: s.name.to_string(),
                what: "it is defined outside of the sections that are loaded".into(),
            }));
        }
        let Some(there) = self.names.all.get_mut(&*s.name) else {
            let entry = Entry {
                owner: Owner::Defined(i, n),
                weak: s.is_weak(),
                hidden: s.is_hidden(),
            };
            self.names.all.insert(s.name.to_string(), entry);
            return Ok(());
        };
        let Owner::Defined(oi, on) = there.owner else {
            return Ok(());
        };
        there.hidden |= s.is_hidden();
        let other_input = &self.inputs[oi];
        let other = &other_input.elf.symbols[on];
        let (section, other_section) = (
            input.elf.section_name(s.section),
            other_input.elf.section_name(other.section),
        );
        if is_single(section) && is_single(other_section) {
            return Ok(());
        }
        if oi == i {
            self.clash(&s.name, oi, i, "it is defined twice");
            return Ok(());
        }
        // The one that stays, and the one that gives way.
        let replaced = other.is_weak() && !s.is_weak();
        if replaced {
            there.owner = Owner::Defined(i, n);
            there.weak = false;
        }
        let gone = if replaced { (oi, other) } else { (i, s) };
        let range = (gone.1.value, gone.1.value.saturating_add(gone.1.size));
        let place = (gone.0, gone.1.section);
        let maps = section == ".maps" && other_section == ".maps";
        let what = if maps {
            maps_differ(self.inputs, self.types, (oi, i), &s.name)
        } else if !s.is_weak() && !other.is_weak() {
            Some("it is defined in both".into())
        } else if s.is_func() != other.is_func() {
            Some("it is a function in one and a variable in the other".into())
        } else if (section == ".maps") != (other_section == ".maps") {
            Some("it is a map in one and a variable in the other".into())
        } else if !s.is_func() && s.size != other.size {
            Some(format!(
                "it has {} bytes in one and {} in the other",
                other.size, s.size
            ))
        } else {
            self.types.differ(self.inputs, (oi, i), &s.name)
        };
        if let Some(what) = what {
            self.clash(&s.name, oi, i, what);
        }
        let ranges = self.names.dead.entry(place).or_default();
        let to = ranges.entry(range.0).or_insert(range.1);
        *to = range.1.max(*to);
        Ok(())
    }

    fn usage(&mut self, i: usize, n: usize, s: &Symbol<'_>) {
        let here = self.names.source(i, &s.name);
        let Some(there) = self.names.all.get_mut(&*s.name) else {
            let entry = Entry {
                owner: Owner::Extern(i, n),
                weak: s.is_weak(),
                hidden: s.is_hidden(),
            };
            self.names.all.insert(s.name.to_string(), entry);
            return;
        };
        let (o, defined) = match there.owner {
            Owner::Defined(o, _) => (o, true),
            Owner::Extern(o, _) => {
                there.weak &= s.is_weak();
                (o, false)
            }
        };
        there.hidden |= s.is_hidden();
        let names = &self.names;
        let both_maps = [i, o].iter().all(|&i| names.section(i, &s.name) == ".maps");
        let what = if defined && here == Source::Kernel {
            Some("it is defined in one, and the other asks the kernel for it".into())
        } else if !defined && here != names.source(o, &s.name) {
            Some("one asks the kernel for it, and the other another object".into())
        } else if both_maps {
            maps_differ(self.inputs, self.types, (o, i), &s.name)
        } else {
            self.types.differ(self.inputs, (o, i), &s.name)
        };
        if let Some(what) = what {
            self.clash(&s.name, o, i, what);
        }
    }
}

/// Global names, and the section that the types put each in.
fn sections(input: &Input<'_>) -> HashMap<String, String> {
    let mut all = HashMap::new();
    let Some(btf) = &input.btf else { return all };
    for (id, ty) in btf.types() {
        let Type::DataSec { vars, .. } = ty else {
            continue;
        };
        for v in vars.iter() {
            let local = Type::Var {
                ty: TypeId::VOID,
                linkage: VarLinkage::Static,
            };
            let is_static = match btf.ty(v.var).unwrap_or(local) {
                Type::Var { linkage, .. } => linkage == VarLinkage::Static,
                _ => false,
            };
            if !is_static {
                all.insert(btf.name(v.var).to_owned(), btf.name(id).to_owned());
            }
        }
    }
    all
}

/// In what two definitions of a map differ.
fn maps_differ(
    inputs: &[Input<'_>],
    types: &Types,
    (a, b): (usize, usize),
    name: &str,
) -> Option<String> {
    let read = |i: usize| -> Result<Map, String> {
        let btf = inputs[i].btf.as_ref().ok_or("it has no types")?;
        let var = btf.find_var(name).and_then(|id| btf.ty(id));
        let Some(Type::Var { ty, .. }) = var else {
            return Err("the types do not say what the map is".into());
        };
        let Some(Type::Struct(def)) = btf.resolved(ty) else {
            return Err("its definition is not a structure".into());
        };
        definition(btf, name, def, false).map_err(|e| e.to_string())
    };
    let (x, y) = match (read(a), read(b)) {
        (Ok(x), Ok(y)) => (x, y),
        (Err(what), _) | (_, Err(what)) => return Some(what),
    };
    let inner = |m: &Map| m.inner.as_deref().cloned();
    maps_differ_in(types, (a, &x), (b, &y)).or_else(|| match (inner(&x), inner(&y)) {
        (Some(x), Some(y)) => {
            maps_differ_in(types, (a, &x), (b, &y)).map(|what| format!("of its inner map, {what}"))
        }
        (None, None) => None,
        _ => Some("one has an inner map and the other has none".into()),
    })
}

fn maps_differ_in(types: &Types, (a, x): (usize, &Map), (b, y): (usize, &Map)) -> Option<String> {
    let numbers = [
        ("type", u64::from(x.kind), u64::from(y.kind)),
        ("key_size", x.key_size.into(), y.key_size.into()),
        ("value_size", x.value_size.into(), y.value_size.into()),
        ("max_entries", x.max_entries.into(), y.max_entries.into()),
        ("map_flags", x.flags.into(), y.flags.into()),
        ("map_extra", x.map_extra, y.map_extra),
        ("pinning", x.pinned.into(), y.pinned.into()),
        (
            "numa_node",
            x.numa_node.map_or(u64::MAX, u64::from),
            y.numa_node.map_or(u64::MAX, u64::from),
        ),
    ];
    if let Some((what, x, y)) = numbers.into_iter().find(|(_, x, y)| x != y) {
        return Some(format!(
            "`{what}` of the map is {x} in one and {y} in the other"
        ));
    }
    for (what, x, y) in [
        ("key", x.key_type, y.key_type),
        ("value", x.value_type, y.value_type),
    ] {
        // One may know only the size.
        if let (Some(x), Some(y)) = (x, y)
            && !types.same((a, x), (b, y))
        {
            return Some(format!("types of the map's {what} differ"));
        }
    }
    None
}
