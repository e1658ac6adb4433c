//! Names → types: an index by hash, made at the first question.
//!
//! The hash is of the *essential* name, so one index serves both exact lookups and the search
//! for CO-RE candidates.

use std::hash::Hasher;

use crate::{Btf, EnumValue, Kind, Type, TypeId};

/// `(hash of essential name, id)`, ascending.
#[derive(Clone, Debug, Default)]
pub(crate) struct NameIndex(Vec<(u32, TypeId)>);

/// `(hash of name, enumeration, index of value)`, ascending.
#[derive(Clone, Debug, Default)]
pub(crate) struct EnumeratorIndex(Vec<(u32, TypeId, u32)>);

/// `(what it is on, declaration tag)`, ascending.
#[derive(Clone, Debug, Default)]
pub(crate) struct TagIndex(Vec<(u32, TypeId)>);

/// A name without its flavour: `task_struct___v2` → `task_struct`.
///
/// The flavour is what follows the last `___` that has a name before it and something after it.
pub fn essential_name(name: &str) -> &str {
    let bytes = name.as_bytes();
    let mut i = bytes.len().saturating_sub(5);
    // libbpf's rule: five bytes `x___y` where neither x nor y is an underscore.
    while bytes.len() >= 5 {
        if bytes[i] != b'_' && &bytes[i + 1..i + 4] == b"___" && bytes[i + 4] != b'_' {
            return name.get(..=i).unwrap_or(name);
        }
        if i == 0 {
            break;
        }
        i -= 1;
    }
    name
}

fn hash(name: &str) -> u32 {
    // FNV-1a folded: names are short, and the index is rebuilt for every kernel read.
    let mut h = Fnv(0xcbf2_9ce4_8422_2325);
    h.write(name.as_bytes());
    let h = h.finish();
    (h ^ h >> 32) as u32
}

struct Fnv(u64);

impl Hasher for Fnv {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &b in bytes {
            self.0 = (self.0 ^ u64::from(b)).wrapping_mul(0x100_0000_01b3);
        }
    }
}

impl Btf {
    /// The first type of this name and kind; the base's come first.
    pub fn find(&self, name: &str, kind: Kind) -> Option<TypeId> {
        self.find_hashed(hash(essential_name(name)), name, kind)
    }

    fn find_hashed(&self, wanted: u32, name: &str, kind: Kind) -> Option<TypeId> {
        let base = self.base.as_ref();
        if let Some(id) = base.and_then(|base| base.find_hashed(wanted, name, kind)) {
            return Some(id);
        }
        let index = &self.names.get_or_init(|| self.index_names()).0;
        let start = index.partition_point(|&(h, _)| h < wanted);
        let named = index.get(start..)?.iter().take_while(|e| e.0 == wanted);
        named
            .map(|&(_, id)| id)
            .find(|&id| self.kind(id) == Some(kind) && self.name_is(id, name))
    }

    /// Every type of this name, of any kind, ascending.
    pub fn find_all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = TypeId> + 'a {
        self.with_essential_name(essential_name(name))
            .filter(move |&id| self.name(id) == name)
    }

    /// Every named type whose essential name is `essential`.
    pub fn with_essential_name<'a>(
        &'a self,
        essential: &'a str,
    ) -> Box<dyn Iterator<Item = TypeId> + 'a> {
        let wanted = hash(essential);
        let index = &self.names.get_or_init(|| self.index_names()).0;
        let start = index.partition_point(|&(h, _)| h < wanted);
        let own = index
            .get(start..)
            .unwrap_or(&[])
            .iter()
            .take_while(move |&&(h, _)| h == wanted)
            .map(|&(_, id)| id)
            .filter(move |&id| essential_name(self.name(id)) == essential);
        match &self.base {
            Some(base) => Box::new(base.with_essential_name(essential).chain(own)),
            None => Box::new(own),
        }
    }

    fn index_names(&self) -> NameIndex {
        let mut index: Vec<_> = (self.first_id..self.len())
            .map(TypeId)
            .map(|id| (self.name(id), id))
            .filter(|(name, _)| !name.is_empty())
            .map(|(name, id)| (hash(essential_name(name)), id))
            .collect();
        index.sort_unstable();
        NameIndex(index)
    }

    /// Every declaration tag on a type, ascending.
    pub fn tags_on(&self, target: TypeId) -> impl Iterator<Item = TypeId> + '_ {
        let mut levels = vec![self];
        while let Some(base) = levels.last().and_then(|b| b.base.as_deref()) {
            levels.push(base);
        }
        levels.into_iter().rev().flat_map(move |btf| {
            let index = &btf.tags.get_or_init(|| btf.index_tags()).0;
            let start = index.partition_point(|&(on, _)| on < target.0);
            let from = index.get(start..).unwrap_or(&[]).iter();
            from.take_while(move |&&(on, _)| on == target.0)
                .map(|&(_, id)| id)
        })
    }

    fn index_tags(&self) -> TagIndex {
        let on = |id: TypeId| match self.ty(id)? {
            Type::DeclTag { target, .. } => Some((target.0, id)),
            _ => None,
        };
        let own = (self.first_id..self.len()).map(TypeId);
        let mut index: Vec<_> = own.filter_map(on).collect();
        index.sort_unstable();
        TagIndex(index)
    }

    pub fn find_func(&self, name: &str) -> Option<TypeId> {
        self.find(name, Kind::Func)
    }

    /// Kernel functions that programs may call: those tagged `bpf_kfunc` (since Linux 6.9),
    /// ascending.
    pub fn kfuncs(&self) -> Vec<TypeId> {
        let mut found: Vec<TypeId> = self
            .find_all("bpf_kfunc")
            .filter_map(|tag| match self.ty(tag)? {
                Type::DeclTag {
                    target,
                    component: None,
                    attribute: false,
                    ..
                } => Some(target),
                _ => None,
            })
            .filter(|&id| self.kind(id) == Some(Kind::Func))
            .collect();
        found.sort_unstable();
        found.dedup();
        found
    }

    pub fn find_struct(&self, name: &str) -> Option<TypeId> {
        self.find(name, Kind::Struct)
    }

    pub fn find_union(&self, name: &str) -> Option<TypeId> {
        self.find(name, Kind::Union)
    }

    pub fn find_var(&self, name: &str) -> Option<TypeId> {
        self.find(name, Kind::Var)
    }

    pub fn find_typedef(&self, name: &str) -> Option<TypeId> {
        self.find(name, Kind::Typedef)
    }

    pub fn find_datasec(&self, name: &str) -> Option<TypeId> {
        self.find(name, Kind::DataSec)
    }

    /// An enumeration of either width.
    pub fn find_enum(&self, name: &str) -> Option<TypeId> {
        self.find(name, Kind::Enum)
            .or_else(|| self.find(name, Kind::Enum64))
    }

    /// A type as C spells it: `struct task_struct`, `union U`, `enum e`, or a typedef's or
    /// integer's name.
    pub fn find_type(&self, spelling: &str) -> Option<TypeId> {
        let mut words = spelling.split_ascii_whitespace();
        match (words.next()?, words.next(), words.next()) {
            ("struct", Some(name), None) => self.find_struct(name),
            ("union", Some(name), None) => self.find_union(name),
            ("enum", Some(name), None) => self.find_enum(name),
            ("void", None, None) => Some(TypeId::VOID),
            _ => {
                let spelling = spelling
                    .split_ascii_whitespace()
                    .collect::<Vec<_>>()
                    .join(" ");
                self.find_typedef(&spelling)
                    .or_else(|| self.find(&spelling, Kind::Int))
                    .or_else(|| self.find(&spelling, Kind::Float))
            }
        }
    }

    /// The first enumeration that has a value of this name, and the value.
    pub fn find_enum_value(&self, name: &str) -> Option<(TypeId, EnumValue<'_>)> {
        if let Some(found) = self
            .base
            .as_ref()
            .and_then(|base| base.find_enum_value(name))
        {
            return Some(found);
        }
        let wanted = hash(name);
        let index = &self.enumerators.get_or_init(|| self.index_enumerators()).0;
        let start = index.partition_point(|&(h, ..)| h < wanted);
        let found = index
            .get(start..)?
            .iter()
            .take_while(|&&(h, ..)| h == wanted);
        found
            .filter_map(|&(_, id, i)| match self.ty(id)? {
                Type::Enum(e) | Type::Enum64(e) => Some((id, e.values.get(i as usize)?)),
                _ => None,
            })
            .find(|(_, value)| value.name == name)
    }

    fn index_enumerators(&self) -> EnumeratorIndex {
        let mut index = Vec::new();
        for id in (self.first_id..self.len()).map(TypeId) {
            if let Some(Type::Enum(e) | Type::Enum64(e)) = self.ty(id) {
                let values = e.values.iter().enumerate();
                index.extend(values.map(|(i, v)| (hash(v.name), id, i as u32)));
            }
        }
        index.sort_unstable();
        EnumeratorIndex(index)
    }
}

#[cfg(test)]
mod tests {
    use super::essential_name;

    #[test]
    fn flavours() {
        for (name, essential) in [
            ("sample", "sample"),
            ("sample___flavor_one", "sample"),
            ("s___a___b", "s___a"),
            ("___s", "___s"),
            ("s___", "s___"),
            ("s____x", "s____x"),
            ("a___b", "a"),
            ("", ""),
            ("é___b", "é"),
        ] {
            assert_eq!(essential_name(name), essential, "{name}");
        }
    }
}
