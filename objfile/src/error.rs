//! What can be wrong with an object's bytes, or with an object that is to be written or relocated.

/// Every variant names the place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("not an ELF object")]
    NotElf,
    #[error("malformed or truncated ELF object: {0}")]
    Malformed(String),
    #[error("a 32-bit ELF object; BPF objects are 64-bit")]
    Class32,
    #[error("a big-endian ELF object; only little-endian BPF is supported")]
    BigEndian,
    #[error("ELF machine {0} is not BPF (247)")]
    Machine(u16),
    #[error("not a relocatable object (ELF type {0} instead of 1)")]
    NotRelocatable(u16),
    #[error("no symbol table; was the object stripped?")]
    NoSymbols,
    #[error("{what}: {size} is over the limit of {max}")]
    TooBig { what: String, size: u64, max: u64 },
    #[error("section `{section}`: {what}")]
    Section { section: String, what: String },
    #[error("symbol `{symbol}` of section `{section}`: {what}")]
    Symbol {
        section: String,
        symbol: String,
        what: String,
    },
    #[error("section `{section}`: relocation at byte {offset:#x} against `{symbol}`: {what}")]
    Reloc {
        section: String,
        offset: u64,
        symbol: String,
        what: String,
    },
    #[error("map `{map}`: {what}")]
    Map { map: String, what: String },
    #[error("program `{program}`: {what}")]
    Program { program: String, what: String },
    #[error("extern `{name}`: {what}")]
    Extern { name: String, what: String },
    #[error("section `{section}`: {error}")]
    Btf {
        section: &'static str,
        error: probity_btf::Error,
    },
    /// Assembly text, with the place.
    #[error("{0}")]
    Assembly(probity_isa::Error),
    #[error("{0} needs type information, and the object has none")]
    NoBtf(String),
}

impl Error {
    pub(crate) fn section(section: &str, what: impl Into<String>) -> Error {
        Error::Section {
            section: section.into(),
            what: what.into(),
        }
    }

    pub(crate) fn map(map: &str, what: impl Into<String>) -> Error {
        Error::Map {
            map: map.into(),
            what: what.into(),
        }
    }

    pub(crate) fn program(program: &str, what: impl Into<String>) -> Error {
        Error::Program {
            program: program.into(),
            what: what.into(),
        }
    }

    pub(crate) fn external(name: &str, what: impl Into<String>) -> Error {
        Error::Extern {
            name: name.into(),
            what: what.into(),
        }
    }
}
