//! What a loader would set in an object before it is loaded: variables' values and maps' sizes.

use anyhow::{Result, bail};
use probity_btf::Type;
use probity_objfile::Object;

use crate::value::word;

#[derive(clap::Args, Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
pub struct Settings {
    /// Give a global variable another initial value; may be given more than once
    #[arg(long = "set", value_name = "VARIABLE=NUMBER")]
    pub variables: Vec<String>,
    /// Give a map another number of entries, as a program's loader does; may be given more than once
    #[arg(long = "entries", value_name = "MAP=NUMBER")]
    pub entries: Vec<String>,
}

impl Settings {
    pub fn is_empty(&self) -> bool {
        self.variables.is_empty() && self.entries.is_empty()
    }

    pub fn apply(&self, object: &mut Object) -> Result<()> {
        for setting in &self.variables {
            let (name, number) = split(setting, "VARIABLE=NUMBER")?;
            set_variable(object, name, number)?;
        }
        for setting in &self.entries {
            let (name, number) = split(setting, "MAP=NUMBER")?;
            set_entries(object, name, number)?;
        }
        Ok(())
    }
}

/// `name=number`, of which `form` is the general form.
fn split<'a>(setting: &'a str, form: &str) -> Result<(&'a str, u64)> {
    let Some((name, number)) = setting.split_once('=') else {
        bail!("`{setting}` is not {form}");
    };
    let digits = number.trim_start_matches("0x");
    let parsed = match digits.len() < number.len() {
        true => u64::from_str_radix(digits, 16).ok(),
        false => number
            .parse::<u64>()
            .ok()
            .or(number.parse::<i64>().ok().map(|n| n as u64)),
    };
    match parsed {
        Some(parsed) => Ok((name, parsed)),
        None => bail!("`{number}` is not a number"),
    }
}

/// Gives an integer variable of a data section another initial value.
fn set_variable(object: &mut Object, name: &str, number: u64) -> Result<()> {
    let Some(btf) = object.btf.clone() else {
        bail!("the object has no types, so no variable `{name}` is known")
    };
    let mut names = Vec::new();
    for map in &mut object.maps {
        let Some(data) = &mut map.data else { continue };
        let Some(Type::DataSec { vars, .. }) = data.datasec.and_then(|id| btf.ty(id)) else {
            continue;
        };
        for v in vars.iter() {
            let Some(Type::Var { ty, .. }) = btf.ty(v.var) else {
                continue;
            };
            let whole = matches!(
                btf.resolved(ty),
                Some(Type::Int { .. } | Type::Enum(_) | Type::Enum64(_))
            );
            if btf.name(v.var) != name {
                names.extend(whole.then(|| btf.name(v.var).to_string()));
                continue;
            }
            let size = v.size as usize;
            let place = (v.offset as usize)..(v.offset as usize).saturating_add(size);
            let bytes = number.to_le_bytes();
            let (true, Some(slot), Some(low)) =
                (whole, data.bytes.get_mut(place), bytes.get(..size))
            else {
                bail!("`{name}` is not a number");
            };
            if word(low) != number
                && size < 8
                && (number as i64) << (64 - 8 * size) >> (64 - 8 * size) != number as i64
            {
                bail!("{number} does not fit the {size} bytes of `{name}`");
            }
            slot.copy_from_slice(low);
            return Ok(());
        }
    }
    bail!(
        "no variable `{name}` in the object; there are: {}",
        names.join(", ")
    )
}

/// Makes a map of that many entries.
fn set_entries(object: &mut Object, name: &str, number: u64) -> Result<()> {
    let Ok(entries) = u32::try_from(number) else {
        bail!("{number} entries are more than a map has");
    };
    let named = object.maps.iter_mut().find(|m| m.name == name);
    let Some(map) = named else {
        let names = object.maps.iter().filter(|m| m.data.is_none());
        let names: Vec<&str> = names.map(|m| m.name.as_str()).collect();
        bail!(
            "no map `{name}` in the object; there are: {}",
            names.join(", ")
        );
    };
    if map.data.is_some() {
        bail!("`{name}` holds the object's variables: its size is theirs");
    }
    map.set_max_entries(entries);
    Ok(())
}
