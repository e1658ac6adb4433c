//! What a host offers, as data: [`HostDescription`], from which everything is derived that an author, a verifier
//! elsewhere, or a deployer has to know.
//!
//! **Invariant:** a description that [`HostDescription::check`] lets pass makes rows without overlap, of the layout that C gives.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::context::Type;

/// A host: its hooks and functions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HostDescription {
    pub name: String,
    #[serde(default)]
    pub hooks: Vec<HookDescription>,
    #[serde(default)]
    pub functions: Vec<FunctionDescription>,
}

/// A place where extensions are called.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HookDescription {
    pub name: String,
    /// Another number for every change that is not a field at the end.
    pub abi: u32,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub doc: String,
    /// Least and greatest number that an extension may return.
    pub returns: (i64, i64),
    /// Instructions that one run may execute at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<u64>,
    pub rule: ChainRule,
    /// Without an extension.
    pub absent: Fallback,
    /// With one that was refused.
    pub refused: Fallback,
    /// Extensions may write the packet.
    #[serde(default)]
    pub packet_write: bool,
    /// Names of helpers, without `bpf_`.
    pub helpers: Vec<String>,
    /// Names of the host's functions.
    #[serde(default)]
    pub functions: Vec<String>,
    pub context: ContextDescription,
}

/// A structure of the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ContextDescription {
    pub name: String,
    /// Bytes.
    pub size: u32,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub doc: String,
    #[serde(default)]
    pub fields: Vec<FieldDescription>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FieldDescription {
    pub name: String,
    /// `u8` to `u64`, `s8` to `s64`, `u8[N]`, `packet`.
    #[serde(rename = "type")]
    pub ty: String,
    /// Bytes from the structure's start.
    pub offset: u32,
    #[serde(default)]
    pub write: bool,
    /// Least and greatest number that may be stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub range: Option<(i64, u64)>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub doc: String,
}

/// A function of the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FunctionDescription {
    pub name: String,
    /// Result and parameters in C: `s64 (const void *name, u32 name__sz)`.
    pub declaration: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub doc: String,
}

/// What several extensions on one hook give together. They are called in the order of their priorities.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChainRule {
    /// The first result other than this one, which ends the chain; or else this one.
    FirstOther(i64),
    /// All are called; the first result other than this one, or else this one.
    All(i64),
    /// All are called; the last result.
    Last,
    /// The first that gives this ends the chain; the last result.
    StopAt(i64),
    /// All are called; the greatest result.
    Greatest,
}

/// What a call gives when there is no extension to ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fallback {
    /// This result, which lets things go on.
    Open(i64),
    /// This result, which keeps them from it.
    Closed(i64),
    /// An error.
    Error,
}

/// Longest context, in bytes.
const MAX_CONTEXT: u32 = 1 << 16;
/// Most hooks, fields, functions.
const MAX_ROWS: usize = 1024;

impl HostDescription {
    pub fn from_json(text: &str) -> Result<HostDescription, String> {
        let description: HostDescription = serde_json::from_str(text).map_err(|e| e.to_string())?;
        description.check()?;
        Ok(description)
    }

    pub fn to_json(&self) -> String {
        // Strings, numbers and lists of them: nothing of this can fail.
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }

    pub fn from_toml(text: &str) -> Result<HostDescription, String> {
        let description: HostDescription = toml::from_str(text).map_err(|e| e.to_string())?;
        description.check()?;
        Ok(description)
    }

    pub fn hook(&self, name: &str) -> Option<(usize, &HookDescription)> {
        self.hooks.iter().enumerate().find(|(_, h)| h.name == name)
    }

    /// Whether all of it can be told to C and made rows of; says what cannot.
    pub fn check(&self) -> Result<(), String> {
        if self.hooks.len() > MAX_ROWS || self.functions.len() > MAX_ROWS {
            return Err(format!("a host has at most {MAX_ROWS} hooks and functions"));
        }
        unique("hook", self.hooks.iter().map(|h| &h.name))?;
        unique("function", self.functions.iter().map(|f| &f.name))?;
        for f in &self.functions {
            if !is_identifier(&f.name) {
                return Err(format!("function `{}`: that is no name in C", f.name));
            }
            if probity_runtime::kfuncs::find(&f.name).is_some() {
                return Err(format!(
                    "function `{}`: the runtime has one of that name",
                    f.name
                ));
            }
            if !probity_runtime::kfuncs::is_declaration(&f.declaration) {
                return Err(format!(
                    "function `{}`: `{}` is no declaration of numbers and sized memory, five at most",
                    f.name, f.declaration
                ));
            }
        }
        for h in &self.hooks {
            h.check(self)
                .map_err(|e| format!("hook `{}`: {e}", h.name))?;
        }
        Ok(())
    }
}

impl HookDescription {
    /// The context's size and what is writable in it, for [`HostDescription::check`].
    fn check(&self, host: &HostDescription) -> Result<(), String> {
        let name_fine = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
        if self.name.is_empty() || !self.name.chars().all(name_fine) {
            return Err("its name is letters, digits and `_-.`".into());
        }
        let (min, max) = self.returns;
        if min > max {
            return Err(format!("no number is from {min} to {max}"));
        }
        for (what, fallback) in [("absent", self.absent), ("refused", self.refused)] {
            if let Fallback::Open(v) | Fallback::Closed(v) = fallback
                && !(min..=max).contains(&v)
            {
                return Err(format!("{what}: {v} is not from {min} to {max}"));
            }
        }
        unique("function", self.functions.iter())?;
        unique("helper", self.helpers.iter())?;
        let known = |f: &&String| !host.functions.iter().any(|d| d.name == **f);
        if let Some(f) = self.functions.iter().find(known) {
            return Err(format!("the host has no function `{f}`"));
        }
        for helper in &self.helpers {
            crate::rows::helper(helper)?;
        }
        self.context
            .check()
            .map_err(|e| format!("`struct {}`: {e}", self.context.name))
    }
}

impl ContextDescription {
    fn check(&self) -> Result<(), String> {
        if !is_identifier(&self.name) {
            return Err("that is no name in C".into());
        }
        if self.size > MAX_CONTEXT {
            return Err(format!("a context has at most {MAX_CONTEXT} bytes"));
        }
        if self.fields.len() > MAX_ROWS {
            return Err(format!("a context has at most {MAX_ROWS} fields"));
        }
        unique("field", self.fields.iter().map(|f| &f.name))?;
        let (mut end, mut packets, mut align) = (0, 0, 1);
        for f in &self.fields {
            let wrong = |what: &str| Err(format!("field `{}`: {what}", f.name));
            let ty = f.kind().map_err(|e| format!("field `{}`: {e}", f.name))?;
            if !is_identifier(&f.name) {
                return wrong("that is no name in C");
            }
            if ty.size() == 0 {
                return wrong("it has no bytes");
            }
            if f.offset < end {
                return wrong("it overlaps the one before, or stands before it");
            }
            if !f.offset.is_multiple_of(ty.align()) {
                return wrong("C would not place it there");
            }
            match f.offset.checked_add(ty.size()) {
                Some(e) if e <= self.size => end = e,
                _ => return wrong("it ends behind the structure"),
            }
            if let Some((min, max)) = f.range {
                let (least, greatest) = ty.range();
                let (min, max) = (i128::from(min), i128::from(max));
                let number = matches!(ty, Type::Int { .. });
                if !number || !f.write || min > max || min < least || max > greatest {
                    return wrong("its range is not one of numbers that may be stored in it");
                }
            }
            align = align.max(ty.align());
            if ty == Type::Packet {
                packets += 1;
                if f.write || packets > 1 {
                    return wrong("a context leads to one packet, and does not move it");
                }
            }
        }
        match self.size.is_multiple_of(align) {
            true => Ok(()),
            false => Err(format!("C would not give it {} bytes", self.size)),
        }
    }
}

impl FieldDescription {
    pub fn kind(&self) -> Result<Type, String> {
        self.ty.parse()
    }

    /// One past its last byte.
    pub fn end(&self) -> u32 {
        let size = self.kind().map_or(0, Type::size);
        self.offset.saturating_add(size)
    }
}

fn unique<'a>(what: &str, names: impl Iterator<Item = &'a String>) -> Result<(), String> {
    let mut seen = BTreeSet::new();
    for name in names {
        if !seen.insert(name) {
            return Err(format!("{what} `{name}` is there twice"));
        }
    }
    Ok(())
}

fn is_identifier(name: &str) -> bool {
    let fine = |c: char| c.is_ascii_alphanumeric() || c == '_';
    !name.is_empty()
        && name.len() <= 128
        && name.chars().all(fine)
        && !name.starts_with(|c: char| c.is_ascii_digit())
}
