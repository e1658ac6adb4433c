//! Bytes of a `.BTF` section → [`Btf`], every reference in it checked.

use std::sync::{Arc, OnceLock};

use crate::extents::Extents;
use crate::leaves::Leaves;
use crate::{Btf, Error, Kind, TypeId};

pub(crate) const MAGIC: u16 = 0xeb9f;
pub(crate) const HEADER: u32 = 24;
/// Linux allows 2^20 - 1; a linker's input may hold more before it is deduplicated.
const MAX_TYPES: u32 = 1 << 24;
/// Longest chain of modifiers and arrays. Linux allows 32.
pub(crate) const MAX_CHAIN: u32 = 64;

impl Btf {
    /// Reads a `.BTF` section or `/sys/kernel/btf/vmlinux`, in either byte order.
    pub fn parse(bytes: &[u8]) -> Result<Btf, Error> {
        parse(None, bytes)
    }

    /// Reads types that continue those of `base`: a kernel module's, `/sys/kernel/btf/NAME`.
    pub fn parse_split(base: Arc<Btf>, bytes: &[u8]) -> Result<Btf, Error> {
        parse(Some(base), bytes)
    }
}

fn parse(base: Option<Arc<Btf>>, bytes: &[u8]) -> Result<Btf, Error> {
    let header = Header::read(bytes)?;
    if base
        .as_ref()
        .is_some_and(|b| b.big_endian != header.big_endian)
    {
        return Err(Error::Endian);
    }
    let strings = header.strings(bytes, base.is_some())?;
    let words = header.words(bytes)?;
    let (first_id, first_str) = match &base {
        Some(base) => (base.len(), base.str_len()?),
        None => (1, 0),
    };
    let starts = find_starts(&words, first_id)?;
    let btf = Btf {
        base,
        first_id,
        words,
        starts,
        first_str,
        strings,
        big_endian: header.big_endian,
        names: OnceLock::new(),
        tags: OnceLock::new(),
        enumerators: OnceLock::new(),
        extents: Extents::default(),
        leaves: Leaves::default(),
    };
    check_references(&btf)?;
    check_chains(&btf)?;
    Ok(btf)
}

/// Where the two sections are.
struct Header {
    big_endian: bool,
    types: (u64, u64),
    strings: (u64, u64),
}

impl Header {
    fn read(bytes: &[u8]) -> Result<Header, Error> {
        let truncated = |need: u64| Error::Truncated {
            what: "header",
            need,
            have: bytes.len() as u64,
        };
        let head: &[u8; HEADER as usize] = bytes
            .first_chunk()
            .ok_or_else(|| truncated(HEADER.into()))?;
        let big_endian = match u16::from_le_bytes([head[0], head[1]]) {
            MAGIC => false,
            other if other.swap_bytes() == MAGIC => true,
            other => return Err(Error::Magic(other)),
        };
        if head[2] != 1 {
            return Err(Error::Version(head[2]));
        }
        let word = |at: usize| {
            let raw = [head[at], head[at + 1], head[at + 2], head[at + 3]];
            if big_endian {
                u32::from_be_bytes(raw)
            } else {
                u32::from_le_bytes(raw)
            }
        };
        let header_len = word(4);
        if header_len < HEADER {
            return Err(Error::Header("its length is below 24"));
        }
        if u64::from(header_len) > bytes.len() as u64 {
            return Err(truncated(header_len.into()));
        }
        let section = |what: &'static str, at: usize| {
            let start = u64::from(header_len) + u64::from(word(at));
            let end = start + u64::from(word(at + 4));
            if end > bytes.len() as u64 {
                return Err(Error::Truncated {
                    what,
                    need: end,
                    have: bytes.len() as u64,
                });
            }
            Ok((start, end))
        };
        let header = Header {
            big_endian,
            types: section("type section", 8)?,
            strings: section("string section", 16)?,
        };
        if !(header.types.1 - header.types.0).is_multiple_of(4) {
            return Err(Error::Header("the type section is not made of whole words"));
        }
        Ok(header)
    }

    fn words(&self, bytes: &[u8]) -> Result<Vec<u32>, Error> {
        let raw = bytes
            .get(self.types.0 as usize..self.types.1 as usize)
            .unwrap_or(&[]);
        let (words, _) = raw.as_chunks::<4>();
        Ok(match self.big_endian {
            true => words.iter().map(|&w| u32::from_be_bytes(w)).collect(),
            false => words.iter().map(|&w| u32::from_le_bytes(w)).collect(),
        })
    }

    fn strings(&self, bytes: &[u8], split: bool) -> Result<String, Error> {
        let raw = bytes
            .get(self.strings.0 as usize..self.strings.1 as usize)
            .unwrap_or(&[]);
        match (raw.first(), raw.last()) {
            (None, None) if split => return Ok(String::new()),
            (Some(0), Some(0)) => {}
            (Some(_), Some(0)) if split => {}
            (_, Some(0)) => return Err(Error::Header("the first string is not empty")),
            _ => return Err(Error::Header("the last string does not end")),
        }
        Ok(match std::str::from_utf8(raw) {
            Ok(text) => text.to_owned(),
            Err(_) => one_for_one(raw),
        })
    }
}

/// Source lines may be in any encoding; offsets must survive, so each stray byte becomes one `?`.
fn one_for_one(raw: &[u8]) -> String {
    let mut text = String::with_capacity(raw.len());
    for chunk in raw.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|_| '?'));
    }
    text
}

/// Offsets of all types in `words`, and the end.
fn find_starts(words: &[u32], first_id: u32) -> Result<Vec<u32>, Error> {
    if u32::try_from(words.len()).is_err() {
        return Err(Error::TooManyTypes(MAX_TYPES));
    }
    // The average type of a kernel takes six words.
    let mut starts = Vec::with_capacity(words.len() / 6 + 2);
    let mut at = 0;
    while at < words.len() {
        let id = TypeId(first_id.saturating_add(starts.len() as u32));
        if id.0 >= MAX_TYPES {
            return Err(Error::TooManyTypes(MAX_TYPES));
        }
        starts.push(at as u32);
        let truncated = |need: usize| Error::Truncated {
            what: "type section",
            need: need as u64 * 4,
            have: words.len() as u64 * 4,
        };
        let info = *words.get(at + 1).ok_or_else(|| truncated(at + 3))?;
        let number = info >> 24 & 0x1f;
        let kind = Kind::from_number(number).filter(|&k| k != Kind::Void);
        let kind = kind.ok_or(Error::UnknownKind {
            id,
            offset: at * 4,
            kind: number,
        })?;
        let vlen = (info & 0xffff) as usize;
        at += 3 + record_words(kind) * if has_vlen(kind) { vlen } else { 1 };
        if at > words.len() {
            return Err(truncated(at));
        }
    }
    starts.push(at as u32);
    Ok(starts)
}

/// Words of one record after the header of a type; once, or `vlen` times where [`has_vlen`].
fn record_words(kind: Kind) -> usize {
    match kind {
        Kind::Int | Kind::Var | Kind::DeclTag => 1,
        Kind::Enum | Kind::FuncProto => 2,
        Kind::Array | Kind::Struct | Kind::Union | Kind::DataSec | Kind::Enum64 => 3,
        _ => 0,
    }
}

fn has_vlen(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Struct | Kind::Union | Kind::Enum | Kind::Enum64 | Kind::FuncProto | Kind::DataSec
    )
}

/// Which words of a type (by index from its start) are type ids, which string offsets.
pub(crate) fn references(
    kind: Kind,
    words: &[u32],
    mut on_type: impl FnMut(usize),
    mut on_string: impl FnMut(usize),
) {
    on_string(0);
    let records = |stride: usize| (3..words.len()).step_by(stride);
    match kind {
        Kind::Ptr
        | Kind::Typedef
        | Kind::Volatile
        | Kind::Const
        | Kind::Restrict
        | Kind::Func
        | Kind::Var
        | Kind::DeclTag
        | Kind::TypeTag => on_type(2),
        Kind::Array => {
            on_type(3);
            on_type(4);
        }
        Kind::Struct | Kind::Union => records(3).for_each(|at| {
            on_string(at);
            on_type(at + 1);
        }),
        Kind::FuncProto => {
            on_type(2);
            records(2).for_each(|at| {
                on_string(at);
                on_type(at + 1);
            });
        }
        Kind::DataSec => records(3).for_each(on_type),
        Kind::Enum => records(2).for_each(on_string),
        Kind::Enum64 => records(3).for_each(on_string),
        Kind::Void | Kind::Int | Kind::Fwd | Kind::Float => {}
    }
}

impl Btf {
    /// End of the strings, in offsets.
    pub(crate) fn str_len(&self) -> Result<u32, Error> {
        u32::try_from(u64::from(self.first_str) + self.strings.len() as u64)
            .map_err(|_| Error::TooBig("strings"))
    }

    /// Whether a string begins at `offset`, without measuring it: all strings end with a NUL.
    fn has_string(&self, offset: u32) -> bool {
        if offset < self.first_str {
            return self
                .base
                .as_ref()
                .is_some_and(|base| base.has_string(offset));
        }
        let at = (offset - self.first_str) as usize;
        at < self.strings.len() && self.strings.is_char_boundary(at)
    }
}

fn check_references(btf: &Btf) -> Result<(), Error> {
    let len = btf.len();
    for i in 0..btf.own_len() {
        let id = TypeId(btf.first_id + i);
        let (Some(words), Some(kind)) = (btf.raw(id), btf.kind(id)) else {
            continue;
        };
        let mut bad = None;
        let mut bad_string = None;
        references(
            kind,
            words,
            |at| bad = bad.or(Some(words[at]).filter(|&to| to >= len)),
            |at| bad_string = bad_string.or(Some(words[at]).filter(|&s| !btf.has_string(s))),
        );
        if let Some(to) = bad {
            return Err(Error::BadReference { id, to: TypeId(to) });
        }
        if let Some(offset) = bad_string {
            return Err(Error::BadString { id, offset });
        }
        check_type(id, kind, words)?;
    }
    Ok(())
}

/// What later code relies on beyond references.
fn check_type(id: TypeId, kind: Kind, words: &[u32]) -> Result<(), Error> {
    let bad = |what| Err(Error::BadType { id, what });
    match kind {
        Kind::Int => {
            let (size, bits, offset) = (words[2], words[3] & 0xff, words[3] >> 16 & 0xff);
            if !matches!(size, 1 | 2 | 4 | 8 | 16) {
                return bad("an integer is of 1, 2, 4, 8 or 16 bytes");
            }
            if bits + offset > size * 8 {
                return bad("an integer has more bits than its bytes hold");
            }
        }
        // clang gives one that is only declared no size.
        Kind::Enum if words[2] == 0 && words[1] & 0xffff == 0 => {}
        Kind::Enum | Kind::Enum64 if !matches!(words[2], 1 | 2 | 4 | 8) => {
            return bad("an enumeration is of 1, 2, 4 or 8 bytes");
        }
        Kind::Float if !matches!(words[2], 2 | 4 | 8 | 10 | 12 | 16) => {
            return bad("a floating point number is of 2, 4, 8, 12 or 16 bytes");
        }
        _ => {}
    }
    Ok(())
}

/// What a modifier or an array is made of.
pub(crate) fn successor(kind: Kind, words: &[u32]) -> Option<TypeId> {
    match kind {
        Kind::Array => Some(TypeId(words[3])),
        kind if kind.is_modifier() => Some(TypeId(words[2])),
        _ => None,
    }
}

/// Refuses chains of modifiers and arrays that return to themselves or are too long:
/// the depth of each type is found once, so this is linear.
fn check_chains(btf: &Btf) -> Result<(), Error> {
    let mut depths = vec![0u8; btf.own_len() as usize];
    let mut path = Vec::new();
    for i in 0..btf.own_len() {
        let mut id = TypeId(btf.first_id + i);
        path.clear();
        // Down to something whose depth is known (the base's are at most the limit: walk them)…
        let mut depth = 0u32;
        loop {
            if id.0 >= btf.first_id {
                let known = depths
                    .get((id.0 - btf.first_id) as usize)
                    .copied()
                    .unwrap_or(0);
                if known != 0 {
                    depth += u32::from(known);
                    break;
                }
                path.push(id);
            } else {
                depth += 1;
            }
            if path.len() as u32 + depth > MAX_CHAIN {
                return Err(Error::Nesting { id, max: MAX_CHAIN });
            }
            let (Some(kind), Some(words)) = (btf.kind(id), btf.raw(id)) else {
                break;
            };
            match successor(kind, words) {
                Some(next) => id = next,
                None => break,
            }
        }
        // …and back.
        for id in path.iter().rev() {
            depth += 1;
            if depth > MAX_CHAIN {
                return Err(Error::Nesting {
                    id: *id,
                    max: MAX_CHAIN,
                });
            }
            if let Some(slot) = depths.get_mut((id.0 - btf.first_id) as usize) {
                *slot = depth as u8;
            }
        }
    }
    Ok(())
}
