//! `.BTF.ext` bytes ⇄ function, line and CO-RE records by section.
//!
//! **Invariant:** offsets stay bytes into the ELF section named; mapping them to instructions
//! of a linked program is the object reader's work.
//!
//! Source: `Documentation/bpf/btf.rst`, section 4.2.

use crate::{Btf, BtfBuilder, Error, TypeId};

const MAGIC: u16 = 0xeb9f;

/// The records of a `.BTF.ext` section, by ELF section.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BtfExt {
    pub funcs: Vec<ExtSection<FuncRecord>>,
    pub lines: Vec<ExtSection<LineRecord>>,
    pub core_relos: Vec<ExtSection<CoreRecord>>,
}

/// The records about one ELF section. A section may appear more than once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExtSection<T> {
    pub section: String,
    pub records: Vec<T>,
}

/// `struct bpf_func_info`: a function begins here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FuncRecord {
    /// Bytes into the section.
    pub insn_off: u32,
    /// A [`crate::Type::Func`].
    pub type_id: TypeId,
}

/// `struct bpf_line_info`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineRecord {
    /// Bytes into the section.
    pub insn_off: u32,
    /// String offset: [`Btf::str_at`].
    pub file: u32,
    /// String offset of the line's text.
    pub text: u32,
    /// 1-based.
    pub line: u32,
    /// 1-based; 0 when unknown.
    pub column: u32,
}

/// `struct bpf_core_relo`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CoreRecord {
    /// Bytes into the section.
    pub insn_off: u32,
    pub type_id: TypeId,
    /// String offset of the access string, `0:1:2`.
    pub access: u32,
    /// `enum bpf_core_relo_kind`.
    pub kind: u32,
}

impl BtfExt {
    /// Reads a `.BTF.ext` section that belongs to `btf`.
    pub fn parse(bytes: &[u8], btf: &Btf) -> Result<BtfExt, Error> {
        let reader = Reader::new(bytes)?;
        Ok(BtfExt {
            funcs: reader.table(0, btf, |w: [u32; 2]| FuncRecord {
                insn_off: w[0],
                type_id: TypeId(w[1]),
            })?,
            lines: reader.table(1, btf, |w: [u32; 4]| LineRecord {
                insn_off: w[0],
                file: w[1],
                text: w[2],
                line: w[3] >> 10,
                column: w[3] & 0x3ff,
            })?,
            core_relos: reader.table(2, btf, |w: [u32; 4]| CoreRecord {
                insn_off: w[0],
                type_id: TypeId(w[1]),
                access: w[2],
                kind: w[3],
            })?,
        })
    }

    /// The bytes of a `.BTF.ext` section; section names become strings of `btf`, which is to be
    /// written afterwards. String offsets in records are written as they are.
    pub fn to_bytes(&self, btf: &mut BtfBuilder) -> Vec<u8> {
        let funcs = table_bytes(&self.funcs, btf, |r| [r.insn_off, r.type_id.0]);
        let lines = table_bytes(&self.lines, btf, |r| {
            [
                r.insn_off,
                r.file,
                r.text,
                r.line << 10 | r.column.min(0x3ff),
            ]
        });
        let relos = table_bytes(&self.core_relos, btf, |r| {
            [r.insn_off, r.type_id.0, r.access, r.kind]
        });
        let mut words = Vec::new();
        let (f, l, c) = (
            funcs.len() as u32 * 4,
            lines.len() as u32 * 4,
            relos.len() as u32 * 4,
        );
        // Header of 32 bytes; the magic and version take the word that is not among these.
        words.extend([32, 0, f, f, l, f + l, c]);
        words.extend(funcs);
        words.extend(lines);
        words.extend(relos);
        let mut bytes = Vec::with_capacity(words.len() * 4 + 4);
        bytes.extend(MAGIC.to_le_bytes());
        bytes.extend([1, 0]);
        bytes.extend(words.into_iter().flat_map(u32::to_le_bytes));
        bytes
    }
}

fn table_bytes<T, const N: usize>(
    sections: &[ExtSection<T>],
    btf: &mut BtfBuilder,
    write: impl Fn(&T) -> [u32; N],
) -> Vec<u32> {
    let mut words = Vec::new();
    for s in sections.iter().filter(|s| !s.records.is_empty()) {
        if words.is_empty() {
            words.push(N as u32 * 4);
        }
        words.extend([btf.string(&s.section), s.records.len() as u32]);
        words.extend(s.records.iter().flat_map(&write));
    }
    words
}

struct Reader<'a> {
    bytes: &'a [u8],
    big_endian: bool,
    header_len: usize,
}

impl<'a> Reader<'a> {
    fn new(bytes: &'a [u8]) -> Result<Reader<'a>, Error> {
        let head: &[u8; 8] = bytes
            .first_chunk()
            .ok_or(Error::Ext("shorter than its header"))?;
        let big_endian = match u16::from_le_bytes([head[0], head[1]]) {
            MAGIC => false,
            other if other.swap_bytes() == MAGIC => true,
            other => return Err(Error::Magic(other)),
        };
        if head[2] != 1 {
            return Err(Error::Version(head[2]));
        }
        let mut reader = Reader {
            bytes,
            big_endian,
            header_len: 0,
        };
        let header_len = reader.word(4).unwrap_or(0) as usize;
        if header_len < 24 || header_len > bytes.len() {
            return Err(Error::Ext("bad header length"));
        }
        reader.header_len = header_len;
        Ok(reader)
    }

    fn word(&self, at: usize) -> Option<u32> {
        let raw = self.bytes.get(at..)?.first_chunk::<4>()?;
        Some(if self.big_endian {
            u32::from_be_bytes(*raw)
        } else {
            u32::from_le_bytes(*raw)
        })
    }

    /// The `index`-th table of the header, its records of at least N words each.
    fn table<T, const N: usize>(
        &self,
        index: usize,
        btf: &Btf,
        read: impl Fn([u32; N]) -> T,
    ) -> Result<Vec<ExtSection<T>>, Error> {
        let field = 8 + index * 8;
        if field + 8 > self.header_len {
            return Ok(Vec::new());
        }
        let word = |at: usize| self.word(at).ok_or(Error::Ext("a table is cut short"));
        let start = self.header_len as u64 + u64::from(word(field)?);
        let end = start + u64::from(word(field + 4)?);
        if end > self.bytes.len() as u64 {
            return Err(Error::Ext("a table lies outside the section"));
        }
        let (mut at, end) = (start as usize, end as usize);
        if at == end {
            return Ok(Vec::new());
        }
        let record = word(at)? as usize;
        if record < N * 4 || !record.is_multiple_of(4) {
            return Err(Error::Ext("bad record size"));
        }
        at += 4;
        let mut sections = Vec::new();
        while at < end {
            if end - at < 8 {
                return Err(Error::Ext("a section's header is cut short"));
            }
            let (name, count) = (word(at)?, word(at + 4)? as usize);
            at += 8;
            let section = btf
                .str_at(name)
                .ok_or(Error::Ext("a section's name is not a string"))?;
            if count == 0 {
                return Err(Error::Ext("a section has no records"));
            }
            if count > (end - at) / record {
                return Err(Error::Ext("a section's records are cut short"));
            }
            let mut records = Vec::with_capacity(count);
            for _ in 0..count {
                let mut words = [0; N];
                for (i, w) in words.iter_mut().enumerate() {
                    *w = word(at + i * 4)?;
                }
                records.push(read(words));
                at += record;
            }
            sections.push(ExtSection {
                section: section.to_owned(),
                records,
            });
        }
        Ok(sections)
    }
}
