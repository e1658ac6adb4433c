//! What a program's debug information says of its functions, handed over by whoever reads it.

/// The arguments of a function.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserFunction {
    pub params: Vec<(String, UserType)>,
    /// What [`UserType::Struct`] counts.
    pub structs: Vec<UserStruct>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UserType {
    /// Nothing, or of a kind that scripts do not read.
    Void,
    Bool,
    /// Of 1, 2, 4 or 8 bytes.
    Int {
        bytes: u8,
        signed: bool,
    },
    /// An integer of any other number of bytes.
    Wide(u32),
    Float,
    /// Of 4 bytes.
    Enum {
        name: String,
        values: Vec<(String, i64)>,
    },
    Pointer(Box<UserType>),
    Array(Box<UserType>, u32),
    Struct(usize),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserStruct {
    /// With `struct ` or `union ` in front; empty when it has none.
    pub name: String,
    pub bytes: u32,
    pub fields: Vec<UserField>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserField {
    /// Empty: its own fields are the structure's.
    pub name: String,
    pub ty: UserType,
    pub offset: u32,
    /// First bit from `offset` on, and width.
    pub bits: Option<(u32, u32)>,
}
