//! Structures of the host that extensions see: [`Context`] and the types of their fields.
//!
//! **Invariant:** only named fields of such types are readable: padding and hidden fields are not.

/// What a hook calls its extensions with. `#[derive(Context)]` implements it.
///
/// # Safety
/// The rows of [`Context::FIELDS`] are fields of the structure, which is `#[repr(C)]`; no two of them overlap.
pub unsafe trait Context: Copy + 'static {
    /// The structure's name in C.
    const NAME: &'static str;
    const DOC: &'static str;
    const FIELDS: &'static [FieldRow];
}

/// A field that extensions may read, and perhaps write.
#[derive(Clone, Copy, Debug)]
pub struct FieldRow {
    pub name: &'static str,
    pub ty: Type,
    /// Bytes from the structure's start.
    pub offset: usize,
    pub read: bool,
    pub write: bool,
    /// Numbers that extensions may store.
    pub range: Option<(i128, i128)>,
    pub doc: &'static str,
}

/// A field's type, as C has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Type {
    /// An integer of 1, 2, 4 or 8 bytes.
    Int { bytes: u32, signed: bool },
    /// So many bytes.
    Bytes(u32),
    /// Two words of 4 bytes that lead to the first byte of a packet and one past its last.
    Packet,
}

impl Type {
    /// Bytes that it takes in the structure.
    pub fn size(self) -> u32 {
        match self {
            Type::Int { bytes, .. } => bytes,
            Type::Bytes(n) => n,
            Type::Packet => 8,
        }
    }

    pub fn align(self) -> u32 {
        match self {
            Type::Int { bytes, .. } => bytes,
            Type::Bytes(_) => 1,
            Type::Packet => 4,
        }
    }

    /// The numbers that it holds.
    pub fn range(self) -> (i128, i128) {
        let (bits, signed) = match self {
            Type::Int { bytes, signed } => (bytes * 8, signed),
            Type::Bytes(_) | Type::Packet => (64, false),
        };
        match signed {
            true => (-(1 << (bits - 1)), (1 << (bits - 1)) - 1),
            false => (0, (1 << bits) - 1),
        }
    }
}

/// `u32`, `s64`, `u8[16]`, `packet`: what descriptions say.
impl std::fmt::Display for Type {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Type::Int { bytes, signed } => {
                write!(f, "{}{}", if *signed { 's' } else { 'u' }, bytes * 8)
            }
            Type::Bytes(n) => write!(f, "u8[{n}]"),
            Type::Packet => f.write_str("packet"),
        }
    }
}

impl std::str::FromStr for Type {
    type Err = String;

    fn from_str(text: &str) -> Result<Type, String> {
        let unknown = || format!("no such type of a field: {text}");
        if text == "packet" {
            return Ok(Type::Packet);
        }
        if let Some(n) = text.strip_prefix("u8[").and_then(|t| t.strip_suffix(']')) {
            return Ok(Type::Bytes(n.parse().map_err(|_| unknown())?));
        }
        let signed = text.starts_with('s');
        match text.strip_prefix(['u', 's']) {
            Some(bits @ ("8" | "16" | "32" | "64")) => {
                let bits: u32 = bits.parse().map_err(|_| unknown())?;
                Ok(Type::Int {
                    bytes: bits / 8,
                    signed,
                })
            }
            _ => Err(unknown()),
        }
    }
}

/// A type of which any bytes are a value, and that C has too.
///
/// # Safety
/// Any bytes of its size are a value of it; it has the size and alignment of [`FieldType::TYPE`], at least.
pub unsafe trait FieldType: Copy {
    const TYPE: Type;
}

macro_rules! integers {
    ($($ty:ty, $signed:literal);*) => {
        $(
            // SAFETY: integers hold any bytes.
            unsafe impl FieldType for $ty {
                const TYPE: Type = Type::Int { bytes: size_of::<$ty>() as u32, signed: $signed };
            }
        )*
    };
}
integers!(u8, false; u16, false; u32, false; u64, false; i8, true; i16, true; i32, true; i64, true);

// SAFETY: bytes hold any bytes.
unsafe impl<const N: usize> FieldType for [u8; N] {
    const TYPE: Type = Type::Bytes(N as u32);
}

/// Stands in a context for the bytes that [`crate::Caller::call_packet`] lends for a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Packet {
    /// What extensions load here is an address of 64 bits, which lies elsewhere.
    data: u32,
    data_end: u32,
}

// SAFETY: two words that hold any bytes.
unsafe impl FieldType for Packet {
    const TYPE: Type = Type::Packet;
}
