//! Words after a type's header → its members, values, parameters or variables, read in place.

use std::fmt;
use std::marker::PhantomData;

use crate::{Btf, EnumValue, Member, Param, SecVar, TypeId};

/// The members, values, parameters or variables of a type: a list read in place.
pub struct Records<'a, T> {
    pub(crate) btf: &'a Btf,
    pub(crate) words: &'a [u32],
    /// Words a record; never 0.
    pub(crate) stride: usize,
    /// The `kind_flag` of the type, which says how to read some records.
    pub(crate) flag: bool,
    pub(crate) record: PhantomData<fn() -> T>,
}

impl<T> Clone for Records<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Records<'_, T> {}

/// One entry of a list after a type's header.
pub trait Record<'a>: Sized {
    /// `words` holds exactly one stride.
    fn read(btf: &'a Btf, flag: bool, words: &'a [u32]) -> Self;
}

impl<'a, T: Record<'a>> Records<'a, T> {
    pub fn len(&self) -> usize {
        self.words.len() / self.stride
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn get(&self, index: usize) -> Option<T> {
        let start = index.checked_mul(self.stride)?;
        let words = self.words.get(start..start.checked_add(self.stride)?)?;
        Some(T::read(self.btf, self.flag, words))
    }

    pub fn iter(self) -> impl ExactSizeIterator<Item = T> + DoubleEndedIterator + 'a {
        let Records {
            btf,
            words,
            stride,
            flag,
            ..
        } = self;
        words
            .chunks_exact(stride)
            .map(move |words| T::read(btf, flag, words))
    }
}

/// A member whose name is still an offset: to be looked at by the thousand.
#[derive(Clone, Copy)]
pub(crate) struct Unnamed {
    pub name: u32,
    pub ty: TypeId,
    pub bit_offset: u32,
    pub bitfield_size: u32,
}

impl Unnamed {
    fn read(flag: bool, words: &[u32]) -> Unnamed {
        let (bitfield_size, bit_offset) = match flag {
            true => (words[2] >> 24, words[2] & 0xff_ffff),
            false => (0, words[2]),
        };
        Unnamed {
            name: words[0],
            ty: TypeId(words[1]),
            bit_offset,
            bitfield_size,
        }
    }

    pub fn unnamed(self) -> Member<'static> {
        self.with_name("")
    }

    pub fn with_name(self, name: &str) -> Member<'_> {
        Member {
            name,
            ty: self.ty,
            bit_offset: self.bit_offset,
            bitfield_size: self.bitfield_size,
        }
    }
}

impl<'a> Records<'a, Member<'a>> {
    pub(crate) fn unnamed_at(&self, index: usize) -> Option<Unnamed> {
        let start = index.checked_mul(self.stride)?;
        let words = self.words.get(start..start.checked_add(self.stride)?)?;
        Some(Unnamed::read(self.flag, words))
    }

    pub(crate) fn unnamed(self) -> impl Iterator<Item = Unnamed> + 'a {
        let Records {
            words,
            stride,
            flag,
            ..
        } = self;
        words
            .chunks_exact(stride)
            .map(move |words| Unnamed::read(flag, words))
    }

    /// The first member of this name, not looking inside of others.
    pub fn named(&self, name: &str) -> Option<Member<'a>> {
        let mut all = self.words.chunks_exact(self.stride);
        let words = all.find(|words| self.btf.str_is(words[0], name))?;
        Some(Member::read(self.btf, self.flag, words))
    }
}

impl<'a, T: Record<'a> + fmt::Debug> fmt::Debug for Records<'a, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl<'a> Record<'a> for Member<'a> {
    fn read(btf: &'a Btf, flag: bool, words: &'a [u32]) -> Self {
        let m = Unnamed::read(flag, words);
        m.with_name(btf.str_or_empty(m.name))
    }
}

impl<'a> Record<'a> for Param<'a> {
    fn read(btf: &'a Btf, _: bool, words: &'a [u32]) -> Self {
        Param {
            name: btf.str_or_empty(words[0]),
            ty: TypeId(words[1]),
        }
    }
}

impl<'a> Record<'a> for SecVar {
    fn read(_: &'a Btf, _: bool, words: &'a [u32]) -> Self {
        SecVar {
            var: TypeId(words[0]),
            offset: words[1],
            size: words[2],
        }
    }
}

impl<'a> Record<'a> for EnumValue<'a> {
    fn read(btf: &'a Btf, signed: bool, words: &'a [u32]) -> Self {
        let value = match *words {
            [_, low, high] => (u64::from(high) << 32 | u64::from(low)) as i64,
            [_, value] if signed => i64::from(value as i32),
            _ => i64::from(words[1]),
        };
        EnumValue {
            name: btf.str_or_empty(words[0]),
            value,
        }
    }
}
