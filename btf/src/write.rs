//! Types → bytes: a builder, and the bytes of a parsed set.

use std::collections::HashMap;
use std::sync::Arc;

use crate::parse::{HEADER, MAGIC, references};
use crate::{Btf, Error, FuncLinkage, IntEncoding, Kind, SecVar, TypeId, VarLinkage};

/// Collects types one after another; each method returns the new type's id.
///
/// Ids may be used before they are given out: the next one is always [`BtfBuilder::next_id`].
/// References are checked by [`BtfBuilder::build`].
#[derive(Clone, Debug, Default)]
pub struct BtfBuilder {
    base: Option<Arc<Btf>>,
    words: Vec<u32>,
    starts: Vec<u32>,
    strings: Vec<u8>,
    known: HashMap<String, u32>,
    big_endian: bool,
}

/// A member to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemberDef<'a> {
    /// Empty for anonymous structures and unions.
    pub name: &'a str,
    pub ty: TypeId,
    pub bit_offset: u32,
    /// 0 for an ordinary member.
    pub bitfield_size: u32,
}

impl<'a> MemberDef<'a> {
    /// An ordinary member at a byte offset.
    pub fn at(name: &'a str, ty: TypeId, byte_offset: u32) -> MemberDef<'a> {
        MemberDef {
            name,
            ty,
            bit_offset: byte_offset.saturating_mul(8),
            bitfield_size: 0,
        }
    }
}

impl BtfBuilder {
    pub fn new() -> BtfBuilder {
        BtfBuilder::default()
    }

    /// A builder of types that continue those of `base`.
    pub fn split(base: Arc<Btf>) -> BtfBuilder {
        BtfBuilder {
            big_endian: base.big_endian,
            base: Some(base),
            ..BtfBuilder::default()
        }
    }

    /// The byte order to write; little-endian unless said otherwise.
    pub fn set_big_endian(&mut self, big_endian: bool) {
        self.big_endian = big_endian;
    }

    /// A builder that begins with all of `btf`'s types and strings, ids and offsets kept.
    pub fn from_btf(btf: &Btf) -> BtfBuilder {
        let mut starts = btf.starts.clone();
        starts.pop();
        let mut builder = BtfBuilder {
            base: btf.base.clone(),
            words: btf.words.clone(),
            starts,
            strings: btf.strings.as_bytes().to_vec(),
            known: HashMap::new(),
            big_endian: btf.big_endian,
        };
        let mut offset = btf.first_str;
        for s in btf.strings.split_terminator('\0') {
            builder.known.entry(s.to_owned()).or_insert(offset);
            offset += s.len() as u32 + 1;
        }
        builder
    }

    /// The id that the next type gets.
    pub fn next_id(&self) -> TypeId {
        let first = self.base.as_ref().map_or(1, |base| base.len());
        TypeId(first.saturating_add(self.starts.len() as u32))
    }

    /// Offset of a string, added when it is new. It ends at its first NUL, if it has one.
    pub fn string(&mut self, s: &str) -> u32 {
        let s = s.split('\0').next().unwrap_or("");
        if s.is_empty() {
            return 0;
        }
        if let Some(&offset) = self.known.get(s) {
            return offset;
        }
        let first = self
            .base
            .as_ref()
            .and_then(|base| base.str_len().ok())
            .unwrap_or(0);
        if self.strings.is_empty() && self.base.is_none() {
            self.strings.push(0);
        }
        let offset = first.saturating_add(u32::try_from(self.strings.len()).unwrap_or(u32::MAX));
        self.strings.extend_from_slice(s.as_bytes());
        self.strings.push(0);
        self.known.insert(s.to_owned(), offset);
        offset
    }

    /// Lists are cut at 65535 records, which is all that the format can count.
    fn push(&mut self, name: &str, kind: Kind, vlen: usize, flag: bool, last: u32) -> TypeId {
        let id = self.next_id();
        let name = self.string(name);
        self.starts.push(self.words.len() as u32);
        let vlen = vlen.min(0xffff) as u32;
        self.words.extend([
            name,
            u32::from(flag) << 31 | (kind as u32) << 24 | vlen,
            last,
        ]);
        id
    }

    /// `size` in bytes.
    pub fn int(&mut self, name: &str, size: u32, encoding: IntEncoding) -> TypeId {
        let id = self.push(name, Kind::Int, 0, false, size);
        self.words
            .push(encoding.bits() << 24 | size.saturating_mul(8) & 0xff);
        id
    }

    pub fn ptr(&mut self, to: TypeId) -> TypeId {
        self.push("", Kind::Ptr, 0, false, to.0)
    }

    pub fn array(&mut self, elem: TypeId, index: TypeId, len: u32) -> TypeId {
        let id = self.push("", Kind::Array, 0, false, 0);
        self.words.extend([elem.0, index.0, len]);
        id
    }

    /// `size` in bytes; at most 65535 members.
    pub fn struct_(&mut self, name: &str, size: u32, members: &[MemberDef<'_>]) -> TypeId {
        self.composite(Kind::Struct, name, size, members)
    }

    /// `size` in bytes; at most 65535 members.
    pub fn union_(&mut self, name: &str, size: u32, members: &[MemberDef<'_>]) -> TypeId {
        self.composite(Kind::Union, name, size, members)
    }

    fn composite(
        &mut self,
        kind: Kind,
        name: &str,
        size: u32,
        members: &[MemberDef<'_>],
    ) -> TypeId {
        let members = members.get(..0xffff).unwrap_or(members);
        let flag = members.iter().any(|m| m.bitfield_size != 0);
        let id = self.push(name, kind, members.len(), flag, size);
        for m in members {
            let name = self.string(m.name);
            let place = match flag {
                true => m.bitfield_size << 24 | m.bit_offset & 0xff_ffff,
                false => m.bit_offset,
            };
            self.words.extend([name, m.ty.0, place]);
        }
        id
    }

    /// An enumeration of 32-bit values (`BTF_KIND_ENUM`); `size` in bytes.
    pub fn enum_(&mut self, name: &str, size: u32, signed: bool, values: &[(&str, i64)]) -> TypeId {
        let values = values.get(..0xffff).unwrap_or(values);
        let id = self.push(name, Kind::Enum, values.len(), signed, size);
        for &(name, value) in values {
            let name = self.string(name);
            self.words.extend([name, value as u32]);
        }
        id
    }

    /// An enumeration of 64-bit values (`BTF_KIND_ENUM64`); `size` in bytes.
    pub fn enum64(
        &mut self,
        name: &str,
        size: u32,
        signed: bool,
        values: &[(&str, i64)],
    ) -> TypeId {
        let values = values.get(..0xffff).unwrap_or(values);
        let id = self.push(name, Kind::Enum64, values.len(), signed, size);
        for &(name, value) in values {
            let name = self.string(name);
            self.words
                .extend([name, value as u32, (value as u64 >> 32) as u32]);
        }
        id
    }

    pub fn fwd(&mut self, name: &str, is_union: bool) -> TypeId {
        self.push(name, Kind::Fwd, 0, is_union, 0)
    }

    pub fn typedef(&mut self, name: &str, to: TypeId) -> TypeId {
        self.push(name, Kind::Typedef, 0, false, to.0)
    }

    pub fn volatile(&mut self, to: TypeId) -> TypeId {
        self.push("", Kind::Volatile, 0, false, to.0)
    }

    pub fn const_(&mut self, to: TypeId) -> TypeId {
        self.push("", Kind::Const, 0, false, to.0)
    }

    pub fn restrict(&mut self, to: TypeId) -> TypeId {
        self.push("", Kind::Restrict, 0, false, to.0)
    }

    pub fn func(&mut self, name: &str, proto: TypeId, linkage: FuncLinkage) -> TypeId {
        self.push(name, Kind::Func, linkage.number().into(), false, proto.0)
    }

    /// A last parameter `("", TypeId::VOID)` stands for `...`.
    pub fn func_proto(&mut self, ret: TypeId, params: &[(&str, TypeId)]) -> TypeId {
        let params = params.get(..0xffff).unwrap_or(params);
        let id = self.push("", Kind::FuncProto, params.len(), false, ret.0);
        for &(name, ty) in params {
            let name = self.string(name);
            self.words.extend([name, ty.0]);
        }
        id
    }

    pub fn var(&mut self, name: &str, ty: TypeId, linkage: VarLinkage) -> TypeId {
        let id = self.push(name, Kind::Var, 0, false, ty.0);
        self.words.push(linkage.number());
        id
    }

    /// `size` in bytes.
    pub fn datasec(&mut self, name: &str, size: u32, vars: &[SecVar]) -> TypeId {
        let vars = vars.get(..0xffff).unwrap_or(vars);
        let id = self.push(name, Kind::DataSec, vars.len(), false, size);
        for v in vars {
            self.words.extend([v.var.0, v.offset, v.size]);
        }
        id
    }

    /// `size` in bytes.
    pub fn float(&mut self, name: &str, size: u32) -> TypeId {
        self.push(name, Kind::Float, 0, false, size)
    }

    /// `component` is the member or parameter it is on, if it is on one.
    pub fn decl_tag(&mut self, value: &str, target: TypeId, component: Option<u32>) -> TypeId {
        let id = self.push(value, Kind::DeclTag, 0, false, target.0);
        self.words.push(component.unwrap_or(u32::MAX));
        id
    }

    pub fn type_tag(&mut self, value: &str, target: TypeId) -> TypeId {
        self.push(value, Kind::TypeTag, 0, false, target.0)
    }

    /// Copies one type of another set; `map` says what each type it refers to is called here.
    /// `void` is copied as `void`.
    pub fn copy(&mut self, from: &Btf, id: TypeId, map: impl FnMut(TypeId) -> TypeId) -> TypeId {
        match from.raw(id) {
            Some(words) => self.copy_words(from, id, words.to_vec(), map),
            None => TypeId::VOID,
        }
    }

    /// [`BtfBuilder::copy`] of a structure or union with only some of its members; its size stays.
    pub fn copy_members(
        &mut self,
        from: &Btf,
        id: TypeId,
        keep: impl Fn(u32) -> bool,
        map: impl FnMut(TypeId) -> TypeId,
    ) -> TypeId {
        let composite = from.kind(id).is_some_and(Kind::is_composite);
        let (Some(words), true) = (from.raw(id), composite) else {
            return self.copy(from, id, map);
        };
        let (head, members) = words.split_at(words.len().min(3));
        let mut copy = head.to_vec();
        let mut count = 0;
        for (member, i) in members.chunks_exact(3).zip(0..) {
            if keep(i) {
                copy.extend(member);
                count += 1;
            }
        }
        if let Some(info) = copy.get_mut(1) {
            *info = *info & !0xffff | count;
        }
        self.copy_words(from, id, copy, map)
    }

    fn copy_words(
        &mut self,
        from: &Btf,
        id: TypeId,
        mut copy: Vec<u32>,
        mut map: impl FnMut(TypeId) -> TypeId,
    ) -> TypeId {
        let Some(kind) = from.kind(id) else {
            return TypeId::VOID;
        };
        let new = self.next_id();
        let (mut types, mut strings) = (Vec::new(), Vec::new());
        references(kind, &copy, |at| types.push(at), |at| strings.push(at));
        for at in types {
            copy[at] = map(TypeId(copy[at])).0;
        }
        for at in strings {
            copy[at] = self.string(from.str_or_empty(copy[at]));
        }
        self.starts.push(self.words.len() as u32);
        self.words.extend(copy);
        new
    }

    /// Redirects a pointer, modifier, function or variable made earlier.
    pub fn set_target(&mut self, id: TypeId, to: TypeId) {
        let first = self.base.as_ref().map_or(1, |base| base.len());
        let index = id.0.checked_sub(first).map(|i| i as usize);
        if let Some(&start) = index.and_then(|i| self.starts.get(i))
            && let Some(word) = self.words.get_mut(start as usize + 2)
        {
            *word = to.0;
        }
    }

    /// The bytes of a `.BTF` section. Nothing is checked.
    pub fn to_bytes(&self) -> Vec<u8> {
        let strings: &[u8] = match (&self.base, self.strings.is_empty()) {
            (None, true) => &[0],
            _ => &self.strings,
        };
        section_bytes(&self.words, strings, self.big_endian)
    }

    /// The types as a checked set.
    pub fn build(&self) -> Result<Btf, Error> {
        let bytes = self.to_bytes();
        match &self.base {
            Some(base) => Btf::parse_split(base.clone(), &bytes),
            None => Btf::parse(&bytes),
        }
    }
}

impl Btf {
    /// The bytes of a `.BTF` section, in the byte order it was read in; without the base's types.
    pub fn to_bytes(&self) -> Vec<u8> {
        section_bytes(&self.words, self.strings.as_bytes(), self.big_endian)
    }

    /// Whether it was read from big-endian bytes.
    pub fn is_big_endian(&self) -> bool {
        self.big_endian
    }

    /// Sets the size of a DATASEC of this set (not of its base): objects leave it 0 for the loader.
    pub fn set_datasec_size(&mut self, id: TypeId, size: u32) -> Result<(), Error> {
        *self.datasec_word(id, 2)? = size;
        Ok(())
    }

    /// Sets place and size of one variable of a DATASEC of this set (not of its base).
    pub fn set_sec_var(
        &mut self,
        id: TypeId,
        index: usize,
        offset: u32,
        size: u32,
    ) -> Result<(), Error> {
        let at = index.saturating_mul(3).saturating_add(3);
        *self.datasec_word(id, at.saturating_add(1))? = offset;
        *self.datasec_word(id, at.saturating_add(2))? = size;
        Ok(())
    }

    /// Sets the linkage of a variable of this set (not of its base): loaders make hidden ones static.
    pub fn set_var_linkage(&mut self, id: TypeId, linkage: VarLinkage) -> Result<(), Error> {
        let what = "not a VAR of this set";
        *self.word(id, Kind::Var, 3, what)? = linkage.number();
        Ok(())
    }

    fn datasec_word(&mut self, id: TypeId, at: usize) -> Result<&mut u32, Error> {
        let what = "not a DATASEC of this set, or it has no such variable";
        self.word(id, Kind::DataSec, at, what)
    }

    /// One word of a type, if it is of that kind and not the base's.
    fn word(
        &mut self,
        id: TypeId,
        kind: Kind,
        at: usize,
        what: &'static str,
    ) -> Result<&mut u32, Error> {
        let missing = Error::BadType { id, what };
        if self.kind(id) != Some(kind) || id.0 < self.first_id {
            return Err(missing);
        }
        let i = (id.0 - self.first_id) as usize;
        let range = match (self.starts.get(i), self.starts.get(i + 1)) {
            (Some(&start), Some(&end)) => start as usize..end as usize,
            _ => return Err(missing),
        };
        self.words
            .get_mut(range)
            .and_then(|words| words.get_mut(at))
            .ok_or(missing)
    }
}

fn section_bytes(words: &[u32], strings: &[u8], big_endian: bool) -> Vec<u8> {
    let word = |w: u32| {
        if big_endian {
            w.to_be_bytes()
        } else {
            w.to_le_bytes()
        }
    };
    let types_len = words.len() as u32 * 4;
    let mut bytes = Vec::with_capacity(HEADER as usize + words.len() * 4 + strings.len());
    bytes.extend(if big_endian {
        MAGIC.to_be_bytes()
    } else {
        MAGIC.to_le_bytes()
    });
    bytes.extend([1, 0]);
    for w in [HEADER, 0, types_len, types_len, strings.len() as u32] {
        bytes.extend(word(w));
    }
    for &w in words {
        bytes.extend(word(w));
    }
    bytes.extend_from_slice(strings);
    bytes
}
