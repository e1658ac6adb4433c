//! The `format` text of a tracepoint → its fields with their places in the record.
//!
//! The same text comes from tracefs and out of recordings. Source: `Documentation/trace/events.rst`.

use thiserror::Error;

/// A tracepoint's record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Format {
    pub name: String,
    /// The event's number on the machine the text comes from.
    pub id: Option<u64>,
    pub fields: Vec<FormatField>,
}

/// One field of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FormatField {
    pub name: String,
    /// As written, without the name: `const char *`, `char[16]`, `__data_loc char[]`.
    pub type_text: String,
    /// Bytes.
    pub offset: u32,
    /// Bytes.
    pub size: u32,
    pub signed: bool,
    pub place: FieldPlace,
    /// Elements, when it is an array inside the record.
    pub elements: Option<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldPlace {
    /// At its offset.
    Inline,
    /// A word at its offset holds place (low half, from the record's start) and length (high half).
    DataLoc,
    /// The same, but the place counts from behind the word.
    RelLoc,
}

#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum FormatError {
    #[error("the format has no `name:` line")]
    NoName,
    #[error("line {line} of the format is not a field: `{text}`")]
    Field { line: usize, text: String },
}

impl Format {
    /// # Errors
    /// When the text is not a tracepoint's format.
    pub fn parse(text: &str) -> Result<Format, FormatError> {
        let mut name = None;
        let mut id = None;
        let mut fields = Vec::new();
        for (n, line) in text.lines().enumerate() {
            let trimmed = line.trim();
            if let Some(rest) = trimmed.strip_prefix("name:") {
                name.get_or_insert_with(|| rest.trim().to_owned());
            } else if let Some(rest) = trimmed.strip_prefix("ID:") {
                id = rest.trim().parse().ok();
            } else if trimmed.starts_with("field:") {
                let field = field(trimmed).ok_or_else(|| FormatError::Field {
                    line: n + 1,
                    text: trimmed.chars().take(120).collect(),
                })?;
                fields.push(field);
            }
        }
        Ok(Format {
            name: name.ok_or(FormatError::NoName)?,
            id,
            fields,
        })
    }

    /// The record's fixed part in bytes.
    pub fn size(&self) -> u32 {
        self.fields
            .iter()
            .map(|f| f.offset.saturating_add(f.size))
            .max()
            .unwrap_or(0)
    }

    /// Fields of the event itself, without the common header that programs cannot read.
    pub fn own_fields(&self) -> impl Iterator<Item = &FormatField> {
        self.fields.iter().filter(|f| f.offset >= 8)
    }

    pub fn field(&self, name: &str) -> Option<&FormatField> {
        self.own_fields().find(|f| f.name == name)
    }
}

/// `field:TYPE NAME[N]; offset:O; size:S; signed:B;`
fn field(line: &str) -> Option<FormatField> {
    let mut declaration = "";
    let (mut offset, mut size, mut signed) = (None, None, false);
    for part in line.split(';') {
        let part = part.trim();
        if let Some(d) = part.strip_prefix("field:") {
            declaration = d.trim();
        } else if let Some(v) = part.strip_prefix("offset:") {
            offset = v.trim().parse().ok();
        } else if let Some(v) = part.strip_prefix("size:") {
            size = v.trim().parse().ok();
        } else if let Some(v) = part.strip_prefix("signed:") {
            signed = v.trim() == "1";
        }
    }
    let (declaration, count) = match declaration.split_once('[') {
        // `__data_loc char[] name` has its brackets before the name.
        Some((before, rest)) => {
            let (inside, after) = rest.split_once(']')?;
            if after.trim().is_empty() {
                (before.to_owned(), Some(inside.trim().to_owned()))
            } else {
                (
                    format!("{before} {}", after.trim()),
                    Some(inside.trim().to_owned()),
                )
            }
        }
        None => (declaration.to_owned(), None),
    };
    let at = declaration.rfind(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))?;
    let name = declaration[at + 1..].to_owned();
    if name.is_empty() {
        return None;
    }
    let mut type_text = declaration[..=at].trim().to_owned();
    let place = if type_text.starts_with("__data_loc") {
        FieldPlace::DataLoc
    } else if type_text.starts_with("__rel_loc") {
        FieldPlace::RelLoc
    } else {
        FieldPlace::Inline
    };
    let size: u32 = size?;
    let elements = match (&count, place) {
        (Some(n), FieldPlace::Inline) => Some(n.parse().unwrap_or({
            // `char comm[TASK_COMM_LEN]`: the count follows from the size of one.
            let one = match type_text.as_str() {
                "char" | "unsigned char" | "u8" | "__u8" => 1,
                t if t.contains("short") || t.ends_with("16") => 2,
                t if t.contains("long") || t.ends_with("64") || t.contains('*') => 8,
                _ => 4,
            };
            size / one
        })),
        _ => None,
    };
    if let Some(n) = count {
        type_text.push_str(&format!("[{n}]"));
    }
    Some(FormatField {
        name,
        type_text,
        offset: offset?,
        size,
        signed,
        place,
        elements,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SWITCH: &str = "name: sched_switch\nID: 316\nformat:\n\
        \tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;\n\n\
        \tfield:char prev_comm[16];\toffset:8;\tsize:16;\tsigned:0;\n\
        \tfield:pid_t prev_pid;\toffset:24;\tsize:4;\tsigned:1;\n\
        \tfield:const char * name;\toffset:32;\tsize:8;\tsigned:0;\n\
        \tfield:unsigned long args[6];\toffset:40;\tsize:48;\tsigned:0;\n\
        \tfield:__data_loc char[] filename;\toffset:88;\tsize:4;\tsigned:0;\n\
        \tfield:char comm[TASK_COMM_LEN];\toffset:92;\tsize:16;\tsigned:0;\n\n\
        print fmt: \"x\"\n";

    #[test]
    fn fields_of_a_format() {
        let f = Format::parse(SWITCH).unwrap();
        assert_eq!(
            (f.name.as_str(), f.id, f.size()),
            ("sched_switch", Some(316), 108)
        );
        assert_eq!(f.own_fields().count(), 6);
        let comm = f.field("prev_comm").unwrap();
        assert_eq!(
            (comm.type_text.as_str(), comm.elements, comm.offset),
            ("char[16]", Some(16), 8)
        );
        assert_eq!(f.field("name").unwrap().type_text, "const char *");
        assert_eq!(f.field("args").unwrap().elements, Some(6));
        assert_eq!(f.field("filename").unwrap().place, FieldPlace::DataLoc);
        assert_eq!(f.field("comm").unwrap().elements, Some(16));
        assert!(f.field("prev_pid").unwrap().signed);
        assert!(f.field("common_type").is_none());
    }

    #[test]
    fn garbage_is_an_error() {
        assert_eq!(Format::parse(""), Err(FormatError::NoName));
        assert!(Format::parse("name: x\nfield:;offset:1").is_err());
        assert!(Format::parse("name: x\nfield:int[ a; offset:1; size:4;").is_err());
    }
}
