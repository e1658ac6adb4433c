//! A program's debug information (DWARF) → the arguments of its functions with their types, and the
//! addresses of its source lines.
//!
//! **Invariant:** whatever a file says, reading it ends: types within types are followed to a depth, and
//! so many structures are read and no more.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use gimli::{
    AttributeValue, DebuggingInformationEntry, RunTimeEndian, UnitOffset, constants as dw,
};
use object::{Object as _, ObjectSection};
use probity_script::{UserField, UserFunction, UserStruct, UserType};

use crate::input;

type Slice<'a> = gimli::EndianSlice<'a, RunTimeEndian>;
type Entry<'a> = DebuggingInformationEntry<Slice<'a>>;

/// Structures that one function's arguments may lead to.
const MAX_STRUCTS: usize = 512;
/// Types within types.
const MAX_DEPTH: u32 = 24;
/// Elements of an array.
const MAX_ELEMENTS: u64 = 1 << 20;

/// The file that holds the debug information of a program apart from it: by the program's build id, below
/// these directories or where the system keeps it, or by its name in these directories.
pub fn apart(path: &Path, dirs: &[PathBuf]) -> Option<PathBuf> {
    let bytes = input::read(path).ok()?;
    let file = object::File::parse(&*bytes).ok()?;
    let mut places = Vec::new();
    if let Ok(Some(id)) = file.build_id() {
        let hex: String = id.iter().map(|b| format!("{b:02x}")).collect();
        if let Some((first, rest)) = hex.split_at_checked(2) {
            let name = format!(".build-id/{first}/{rest}.debug");
            let system = PathBuf::from("/usr/lib/debug");
            places.extend(dirs.iter().chain([&system]).map(|d| d.join(&name)));
        }
    }
    if let Ok(Some((name, _))) = file.gnu_debuglink() {
        let name = String::from_utf8_lossy(name).into_owned();
        places.extend(dirs.iter().map(|d| d.join(&name)));
    }
    places.into_iter().find(|p| p.is_file())
}

/// A file with debug information: a program itself, or the one that holds it apart.
pub struct Debug {
    bytes: Vec<u8>,
}

impl Debug {
    /// `dirs` are looked through before the system's own.
    pub fn open(path: &Path, dirs: &[PathBuf]) -> Option<Debug> {
        let bytes = input::read(path).ok()?;
        let file = object::File::parse(&*bytes).ok()?;
        if file.section_by_name(".debug_info").is_some() {
            return Some(Debug { bytes });
        }
        Some(Debug {
            bytes: input::read(&apart(path, dirs)?).ok()?,
        })
    }

    fn dwarf(&self) -> Option<gimli::Dwarf<Slice<'_>>> {
        let file = object::File::parse(&*self.bytes).ok()?;
        let endian = match file.is_little_endian() {
            true => RunTimeEndian::Little,
            false => RunTimeEndian::Big,
        };
        gimli::Dwarf::load(|id| {
            let data = file
                .section_by_name(id.name())
                .and_then(|s| s.data().ok())
                .unwrap_or(&[]);
            Ok::<_, gimli::Error>(Slice::new(data, endian))
        })
        .ok()
    }

    /// The arguments of a function by the name of its symbol.
    pub fn function(&self, symbol: &str) -> Option<UserFunction> {
        let dwarf = self.dwarf()?;
        let mut units = dwarf.units();
        while let Some(header) = units.next().ok()? {
            let Ok(unit) = dwarf.unit(header) else {
                continue;
            };
            let unit = Unit {
                dwarf: &dwarf,
                unit: &unit,
            };
            if let Some(found) = unit.function(symbol) {
                return Some(found);
            }
        }
        None
    }

    /// The first address of a source line in each part of the program that has it.
    pub fn line(&self, source: &str, line: u64) -> Option<Vec<u64>> {
        let dwarf = self.dwarf()?;
        let mut found = Vec::new();
        let mut units = dwarf.units();
        while let Some(header) = units.next().ok()? {
            let Ok(unit) = dwarf.unit(header) else {
                continue;
            };
            let Some(program) = unit.line_program.clone() else {
                continue;
            };
            let mut rows = program.rows();
            let mut first: Option<u64> = None;
            // Damage ends a unit's lines, not the search.
            while let Ok(Some((header, row))) = rows.next_row() {
                let here = row.is_stmt()
                    && !row.end_sequence()
                    && row.line().is_some_and(|l| l.get() == line)
                    && row.address() != 0;
                if !here || first.is_some_and(|f| f <= row.address()) {
                    continue;
                }
                let name = row.file(header).map(|f| f.path_name());
                let name = name.and_then(|n| dwarf.attr_string(&unit, n).ok());
                let ends = |name: Slice<'_>| {
                    Path::new(&*name.to_string_lossy()).ends_with(source)
                        || Path::new(source).ends_with(Path::new(&*name.to_string_lossy()))
                };
                if name.is_some_and(ends) {
                    first = Some(row.address());
                }
            }
            found.extend(first);
        }
        found.sort_unstable();
        found.dedup();
        Some(found)
    }
}

/// One unit of the debug information.
struct Unit<'a, 'b> {
    dwarf: &'b gimli::Dwarf<Slice<'a>>,
    unit: &'b gimli::Unit<Slice<'a>>,
}

impl<'a> Unit<'a, '_> {
    fn text(&self, entry: &Entry<'a>, name: gimli::DwAt) -> Option<String> {
        let value = entry.attr_value(name)?;
        let text = self.dwarf.attr_string(self.unit, value).ok()?;
        Some(text.to_string_lossy().into_owned())
    }

    /// An attribute, of the entry itself or of the one that it completes.
    fn inherited<T>(&self, entry: &Entry<'a>, get: impl Fn(&Entry<'a>) -> Option<T>) -> Option<T> {
        let mut found = get(entry);
        let mut entry = entry.clone();
        for _ in 0..4 {
            if found.is_some() {
                break;
            }
            let from = [dw::DW_AT_abstract_origin, dw::DW_AT_specification]
                .into_iter()
                .find_map(|at| entry.attr_value(at))?;
            let AttributeValue::UnitRef(offset) = from else {
                return None;
            };
            entry = self.unit.entry(offset).ok()?;
            found = get(&entry);
        }
        found
    }

    fn function(&self, symbol: &str) -> Option<UserFunction> {
        let mut cursor = self.unit.entries();
        // What is damaged is not found.
        while let Ok(Some(entry)) = cursor.next_dfs() {
            // One in several pieces has ranges in the place of an address.
            let has_code = [dw::DW_AT_low_pc, dw::DW_AT_ranges]
                .iter()
                .any(|at| entry.attr(*at).is_some());
            if entry.tag() != dw::DW_TAG_subprogram || !has_code {
                continue;
            }
            let is = |at| self.inherited(entry, |e| self.text(e, at)).as_deref() == Some(symbol);
            if is(dw::DW_AT_linkage_name) || is(dw::DW_AT_name) {
                let offset = entry.offset();
                return self.signature(offset);
            }
        }
        None
    }

    fn signature(&self, function: UnitOffset) -> Option<UserFunction> {
        let mut types = Types {
            unit: self,
            structs: Vec::new(),
            known: HashMap::new(),
        };
        let mut params = Vec::new();
        for entry in self.children(function) {
            if entry.tag() != dw::DW_TAG_formal_parameter {
                continue;
            }
            let name = self.inherited(&entry, |e| self.text(e, dw::DW_AT_name));
            let ty = self.inherited(&entry, type_of);
            let ty = ty.map_or(UserType::Void, |t| types.read(t, 0));
            params.push((name.unwrap_or_default(), ty));
        }
        Some(UserFunction {
            params,
            structs: types.structs,
        })
    }

    fn children(&self, of: UnitOffset) -> Vec<Entry<'a>> {
        let mut out = Vec::new();
        let Ok(mut tree) = self.unit.entries_tree(Some(of)) else {
            return out;
        };
        let Ok(root) = tree.root() else {
            return out;
        };
        let mut children = root.children();
        while let Ok(Some(child)) = children.next() {
            out.push(child.entry().clone());
        }
        out
    }
}

fn type_of(entry: &Entry<'_>) -> Option<UnitOffset> {
    match entry.attr_value(dw::DW_AT_type)? {
        AttributeValue::UnitRef(offset) => Some(offset),
        _ => None,
    }
}

fn number(entry: &Entry<'_>, name: gimli::DwAt) -> Option<u64> {
    entry.attr_value(name)?.udata_value()
}

/// Types on the way to their form in scripts.
struct Types<'a, 'b, 'c> {
    unit: &'c Unit<'a, 'b>,
    structs: Vec<UserStruct>,
    known: HashMap<UnitOffset, usize>,
}

impl Types<'_, '_, '_> {
    fn read(&mut self, at: UnitOffset, depth: u32) -> UserType {
        if depth > MAX_DEPTH {
            return UserType::Void;
        }
        let Ok(entry) = self.unit.unit.entry(at) else {
            return UserType::Void;
        };
        let inner = type_of(&entry);
        let bytes = number(&entry, dw::DW_AT_byte_size).unwrap_or(0);
        match entry.tag() {
            dw::DW_TAG_base_type => self.base(&entry, bytes),
            dw::DW_TAG_pointer_type
            | dw::DW_TAG_reference_type
            | dw::DW_TAG_rvalue_reference_type => {
                let to = inner.map_or(UserType::Void, |t| self.read(t, depth + 1));
                UserType::Pointer(Box::new(to))
            }
            dw::DW_TAG_typedef
            | dw::DW_TAG_const_type
            | dw::DW_TAG_volatile_type
            | dw::DW_TAG_restrict_type
            | dw::DW_TAG_atomic_type => inner.map_or(UserType::Void, |t| self.read(t, depth + 1)),
            dw::DW_TAG_structure_type | dw::DW_TAG_class_type | dw::DW_TAG_union_type => {
                self.structure(at, &entry, bytes, depth)
            }
            dw::DW_TAG_array_type => self.array(at, inner, depth),
            dw::DW_TAG_enumeration_type if bytes == 4 => UserType::Enum {
                name: self.unit.text(&entry, dw::DW_AT_name).unwrap_or_default(),
                values: self.enumerators(at),
            },
            dw::DW_TAG_enumeration_type => int(bytes, false),
            _ => UserType::Void,
        }
    }

    fn base(&self, entry: &DebuggingInformationEntry<Slice<'_>>, bytes: u64) -> UserType {
        let Some(AttributeValue::Encoding(encoding)) = entry.attr_value(dw::DW_AT_encoding) else {
            return UserType::Void;
        };
        match encoding {
            dw::DW_ATE_boolean => UserType::Bool,
            dw::DW_ATE_float | dw::DW_ATE_complex_float | dw::DW_ATE_decimal_float => {
                UserType::Float
            }
            // Text, whatever the sign of `char` is here.
            dw::DW_ATE_signed_char | dw::DW_ATE_unsigned_char
                if bytes == 1 && self.unit_text(entry).as_deref() == Some("char") =>
            {
                int(1, true)
            }
            dw::DW_ATE_signed | dw::DW_ATE_signed_char => int(bytes, true),
            _ => int(bytes, false),
        }
    }

    fn unit_text(&self, entry: &DebuggingInformationEntry<Slice<'_>>) -> Option<String> {
        let value = entry.attr_value(dw::DW_AT_name)?;
        let text = self.unit.dwarf.attr_string(self.unit.unit, value).ok()?;
        Some(text.to_string_lossy().into_owned())
    }

    fn structure(
        &mut self,
        at: UnitOffset,
        entry: &DebuggingInformationEntry<Slice<'_>>,
        bytes: u64,
        depth: u32,
    ) -> UserType {
        if let Some(n) = self.known.get(&at) {
            return UserType::Struct(*n);
        }
        if self.structs.len() >= MAX_STRUCTS {
            return UserType::Void;
        }
        let word = match entry.tag() {
            dw::DW_TAG_union_type => "union",
            _ => "struct",
        };
        let n = self.structs.len();
        self.known.insert(at, n);
        self.structs.push(UserStruct {
            name: self
                .unit_text(entry)
                .map_or(String::new(), |name| format!("{word} {name}")),
            bytes: u32::try_from(bytes).unwrap_or(0),
            fields: Vec::new(),
        });
        let mut fields = Vec::new();
        for member in self.unit.children(at) {
            let tag = member.tag();
            if tag != dw::DW_TAG_member && tag != dw::DW_TAG_inheritance {
                continue;
            }
            // A static member is somewhere else.
            if member.attr(dw::DW_AT_external).is_some() {
                continue;
            }
            let Some(ty) = type_of(&member) else { continue };
            let ty = self.read(ty, depth + 1);
            fields.extend(self.field(&member, ty));
        }
        self.structs[n].fields = fields;
        UserType::Struct(n)
    }

    fn field(
        &self,
        member: &DebuggingInformationEntry<Slice<'_>>,
        ty: UserType,
    ) -> Option<UserField> {
        let start = number(member, dw::DW_AT_data_member_location).unwrap_or(0);
        let mut offset = start;
        let mut bits = None;
        if let Some(width) = number(member, dw::DW_AT_bit_size) {
            let first = match number(member, dw::DW_AT_data_bit_offset) {
                Some(first) => first,
                None => {
                    // Before DWARF 4: from the highest bit of a unit of storage.
                    let unit = number(member, dw::DW_AT_byte_size)?.checked_mul(8)?;
                    let from = number(member, dw::DW_AT_bit_offset)?;
                    start
                        .checked_mul(8)?
                        .checked_add(unit)?
                        .checked_sub(from)?
                        .checked_sub(width)?
                }
            };
            offset = first / 8;
            bits = Some((
                (first % 8) as u32,
                u32::try_from(width).ok().filter(|w| *w <= 64)?,
            ));
        }
        Some(UserField {
            name: self.unit_text(member).unwrap_or_default(),
            ty,
            offset: u32::try_from(offset).ok()?,
            bits,
        })
    }

    fn array(&mut self, at: UnitOffset, elem: Option<UnitOffset>, depth: u32) -> UserType {
        let mut ty = elem.map_or(UserType::Void, |t| self.read(t, depth + 1));
        let counts: Vec<u64> = self
            .unit
            .children(at)
            .iter()
            .filter(|c| c.tag() == dw::DW_TAG_subrange_type)
            .map(|c| {
                let upper = || number(c, dw::DW_AT_upper_bound)?.checked_add(1);
                number(c, dw::DW_AT_count).or_else(upper).unwrap_or(0)
            })
            .collect();
        for count in counts.into_iter().rev() {
            ty = UserType::Array(Box::new(ty), count.min(MAX_ELEMENTS) as u32);
        }
        ty
    }

    fn enumerators(&self, at: UnitOffset) -> Vec<(String, i64)> {
        let children = self.unit.children(at);
        let values = children.iter().filter_map(|c| {
            let value = c.attr_value(dw::DW_AT_const_value)?.sdata_value()?;
            Some((self.unit_text(c)?, value))
        });
        values.collect()
    }
}

fn int(bytes: u64, signed: bool) -> UserType {
    match bytes {
        1 | 2 | 4 | 8 => UserType::Int {
            bytes: bytes as u8,
            signed,
        },
        _ => UserType::Wide(u32::try_from(bytes).unwrap_or(0)),
    }
}
