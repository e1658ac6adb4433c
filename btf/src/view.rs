//! A [`Btf`] and an id → a view of the type.

use std::ffi::CStr;
use std::marker::PhantomData;
use std::sync::Arc;

use crate::{
    Btf, Composite, Enum, FuncLinkage, IntEncoding, Kind, Member, Param, Records, Type, TypeId,
    VarLinkage,
};

impl Btf {
    /// Number of types, `void` and the base's included: ids are below it.
    pub fn len(&self) -> u32 {
        self.first_id + self.own_len()
    }

    /// Whether there is no type but `void`.
    pub fn is_empty(&self) -> bool {
        self.len() <= 1
    }

    /// The set that this one continues, for split BTF.
    pub fn base(&self) -> Option<&Arc<Btf>> {
        self.base.as_ref()
    }

    /// Id of the first type that is not the base's.
    pub fn first_id(&self) -> TypeId {
        TypeId(self.first_id)
    }

    pub(crate) fn own_len(&self) -> u32 {
        (self.starts.len() as u32).saturating_sub(1)
    }

    /// The words of one type, header and records.
    pub(crate) fn raw(&self, id: TypeId) -> Option<&[u32]> {
        if id.0 < self.first_id {
            return self.base.as_ref()?.raw(id);
        }
        let i = (id.0 - self.first_id) as usize;
        let (start, end) = (*self.starts.get(i)?, *self.starts.get(i.checked_add(1)?)?);
        self.words.get(start as usize..end as usize)
    }

    pub(crate) fn str_or_empty(&self, offset: u32) -> &str {
        self.str_at(offset).unwrap_or("")
    }

    /// The string at this offset of the string section (the base's strings come first).
    pub fn str_at(&self, offset: u32) -> Option<&str> {
        if offset < self.first_str {
            return self.base.as_ref()?.str_at(offset);
        }
        let tail = self.strings.get((offset - self.first_str) as usize..)?;
        let text = CStr::from_bytes_until_nul(tail.as_bytes()).ok()?;
        tail.get(..text.count_bytes())
    }

    /// Whether this is the string at this offset: without looking for its end.
    pub(crate) fn str_is(&self, offset: u32, text: &str) -> bool {
        if offset < self.first_str {
            return (self.base.as_ref()).is_some_and(|base| base.str_is(offset, text));
        }
        let all = self.strings.as_bytes();
        let tail = all.get((offset - self.first_str) as usize..);
        let rest = tail.and_then(|t| t.strip_prefix(text.as_bytes()));
        rest.is_some_and(|r| r.first() == Some(&0)) && !text.as_bytes().contains(&0)
    }

    /// Whether this is the type's name.
    pub fn name_is(&self, id: TypeId, name: &str) -> bool {
        match self.raw(id) {
            Some(words) => self.str_is(words[0], name),
            None => name.is_empty(),
        }
    }

    /// Every type of this kind, ascending; the base's come first.
    pub fn of_kind(&self, kind: Kind) -> Box<dyn Iterator<Item = TypeId> + '_> {
        self.by_header(move |info, _| info >> 24 & 0x1f == kind as u32)
    }

    /// Types by the second and third words of their headers.
    fn by_header<'a>(
        &'a self,
        wanted: impl Fn(u32, u32) -> bool + Clone + 'a,
    ) -> Box<dyn Iterator<Item = TypeId> + 'a> {
        let starts = self.starts.iter().take(self.own_len() as usize);
        let own = (self.first_id..).map(TypeId).zip(starts);
        let is = wanted.clone();
        let own = own.filter(move |(_, start)| {
            let header = self.words.get(**start as usize..);
            matches!(header, Some(&[_, info, last, ..]) if is(info, last))
        });
        let own = own.map(|(id, _)| id);
        match &self.base {
            Some(base) => Box::new(base.by_header(wanted).chain(own)),
            None => Box::new(own),
        }
    }

    /// Name of a type; empty for anonymous ones and for ids that do not exist.
    /// Tags' names are their values.
    pub fn name(&self, id: TypeId) -> &str {
        self.raw(id).map_or("", |words| self.str_or_empty(words[0]))
    }

    pub fn kind(&self, id: TypeId) -> Option<Kind> {
        if id == TypeId::VOID {
            return Some(Kind::Void);
        }
        Kind::from_number(self.raw(id)?[1] >> 24 & 0x1f)
    }

    /// A view of a type; `None` when there is no such type.
    pub fn ty(&self, id: TypeId) -> Option<Type<'_>> {
        if id == TypeId::VOID {
            return Some(Type::Void);
        }
        let words = self.raw(id)?;
        let (&[name, info, last], rest) = words.split_first_chunk::<3>()?;
        let flag = info >> 31 != 0;
        let to = TypeId(last);
        Some(match Kind::from_number(info >> 24 & 0x1f)? {
            Kind::Void => Type::Void,
            Kind::Int => Type::Int {
                size: last,
                encoding: IntEncoding::from_bits(rest[0] >> 24 & 0xf),
                offset: rest[0] >> 16 & 0xff,
                bits: rest[0] & 0xff,
            },
            Kind::Ptr => Type::Ptr(to),
            Kind::Array => Type::Array {
                elem: TypeId(rest[0]),
                index: TypeId(rest[1]),
                len: rest[2],
            },
            Kind::Struct => Type::Struct(Composite {
                size: last,
                members: self.records(rest, 3, flag),
            }),
            Kind::Union => Type::Union(Composite {
                size: last,
                members: self.records(rest, 3, flag),
            }),
            Kind::Enum => Type::Enum(Enum {
                size: last,
                signed: flag,
                values: self.records(rest, 2, flag),
            }),
            Kind::Enum64 => Type::Enum64(Enum {
                size: last,
                signed: flag,
                values: self.records(rest, 3, flag),
            }),
            Kind::Fwd => Type::Fwd { is_union: flag },
            Kind::Typedef => Type::Typedef(to),
            Kind::Volatile => Type::Volatile(to),
            Kind::Const => Type::Const(to),
            Kind::Restrict => Type::Restrict(to),
            Kind::Func => Type::Func {
                proto: to,
                linkage: FuncLinkage::from_number(info as u16),
            },
            Kind::FuncProto => Type::FuncProto {
                ret: to,
                params: self.records(rest, 2, flag),
            },
            Kind::Var => Type::Var {
                ty: to,
                linkage: VarLinkage::from_number(rest[0]),
            },
            Kind::DataSec => Type::DataSec {
                size: last,
                vars: self.records(rest, 3, flag),
            },
            Kind::Float => Type::Float { size: last },
            Kind::DeclTag => Type::DeclTag {
                target: to,
                component: Some(rest[0]).filter(|&i| i != u32::MAX),
                value: self.str_or_empty(name),
                attribute: flag,
            },
            Kind::TypeTag => Type::TypeTag {
                target: to,
                value: self.str_or_empty(name),
                attribute: flag,
            },
        })
    }

    fn records<'a, T>(&'a self, words: &'a [u32], stride: usize, flag: bool) -> Records<'a, T> {
        Records {
            btf: self,
            words,
            stride,
            flag,
            record: PhantomData,
        }
    }

    /// All ids with their types, `void` and the base's first.
    pub fn types(&self) -> impl Iterator<Item = (TypeId, Type<'_>)> {
        (0..self.len()).filter_map(|id| Some((TypeId(id), self.ty(TypeId(id))?)))
    }

    /// Members of a structure or union (through modifiers); empty for anything else.
    pub fn members(&self, id: TypeId) -> Records<'_, Member<'_>> {
        match self.ty(self.resolve(id)) {
            Some(Type::Struct(c) | Type::Union(c)) => c.members,
            _ => self.records(&[], 3, false),
        }
    }

    /// Parameters of a function, a prototype, or a pointer to one; empty for anything else.
    pub fn params(&self, id: TypeId) -> Records<'_, Param<'_>> {
        match self.proto(id).and_then(|proto| self.ty(proto)) {
            Some(Type::FuncProto { params, .. }) => params,
            _ => self.records(&[], 2, false),
        }
    }
}
