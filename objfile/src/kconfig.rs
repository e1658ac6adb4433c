//! Values of `__kconfig` variables: text of a kernel configuration → bytes of the `.kconfig` map.

use std::collections::BTreeMap;

use probity_btf::{Btf, Type, TypeId};

/// Name → value as written (`y`, `m`, `"text"`, `0x10`), from the text of `/boot/config-…` or
/// of `/proc/config.gz` unpacked. Lines that set nothing are skipped.
pub fn parse_kconfig(text: &str) -> BTreeMap<String, String> {
    text.lines()
        .filter(|line| line.starts_with("CONFIG_"))
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.trim_end().to_owned()))
        .collect()
}

/// What a variable's type lets it hold.
enum Form {
    Bool,
    Tristate,
    Char,
    CharArray,
    Int { signed: bool },
}

fn form(btf: &Btf, ty: TypeId) -> Option<Form> {
    Some(match btf.resolved(ty)? {
        Type::Int { encoding, .. } if encoding.bool => Form::Bool,
        Type::Int { size: 1, .. } => Form::Char,
        Type::Int { encoding, .. } => Form::Int {
            signed: encoding.signed,
        },
        Type::Enum(_) | Type::Enum64(_) => Form::Tristate,
        Type::Array { .. } => Form::CharArray,
        _ => return None,
    })
}

/// The bytes of a variable of `size` bytes for a value of the configuration.
pub(crate) fn value_bytes(
    btf: &Btf,
    ty: TypeId,
    size: u32,
    value: &str,
) -> Result<Vec<u8>, String> {
    let form = form(btf, ty).ok_or("its type holds no configuration value")?;
    let size = size as usize;
    match (value, form) {
        ("y" | "n" | "m", Form::Char) => Ok(fit(u64::from(value.as_bytes()[0]), size)),
        // TRI_NO, TRI_YES, TRI_MODULE.
        ("n", Form::Tristate) => Ok(fit(0, size)),
        ("y", Form::Tristate) => Ok(fit(1, size)),
        ("m", Form::Tristate) => Ok(fit(2, size)),
        ("n", Form::Bool) => Ok(fit(0, size)),
        ("y", Form::Bool) => Ok(fit(1, size)),
        ("y" | "n" | "m", _) => Err(format!(
            "value `{value}` wants a `bool`, a `char` or a tristate"
        )),
        (text, form) if text.starts_with('"') => {
            if !matches!(form, Form::CharArray) {
                return Err(format!("value {text} wants an array of `char`"));
            }
            let text = text[1..]
                .strip_suffix('"')
                .ok_or_else(|| format!("value {text} has no closing quote"))?;
            let mut bytes = text.as_bytes().to_vec();
            bytes.truncate(size.saturating_sub(1));
            bytes.resize(size, 0);
            Ok(bytes)
        }
        (number, Form::Int { .. } | Form::Char) => {
            number_bytes(btf, ty, size as u32, parse(number)?)
        }
        (number, _) => Err(format!("value `{number}` wants an integer")),
    }
}

/// The same for a number that does not come from the configuration.
pub(crate) fn number_bytes(
    btf: &Btf,
    ty: TypeId,
    size: u32,
    value: u64,
) -> Result<Vec<u8>, String> {
    let bits = size.saturating_mul(8);
    let fits = match form(btf, ty) {
        Some(Form::Bool) => value <= 1,
        Some(Form::Char | Form::Int { signed: false }) if bits < 64 => value >> bits == 0,
        Some(Form::Int { signed: true }) if bits < 64 => {
            let half = 1i64 << (bits - 1);
            (-half..half).contains(&(value as i64))
        }
        Some(Form::Char | Form::Int { .. }) => true,
        _ => return Err(format!("value {value} wants an integer")),
    };
    match fits {
        true => Ok(fit(value, size as usize)),
        false => Err(format!("value {value:#x} does not fit {size} bytes")),
    }
}

fn fit(value: u64, size: usize) -> Vec<u8> {
    let mut bytes = value.to_le_bytes().to_vec();
    bytes.resize(size, 0);
    bytes
}

/// As C's `strtoull`: a sign, decimal, hexadecimal or octal.
fn parse(text: &str) -> Result<u64, String> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let hex = digits
        .strip_prefix("0x")
        .or_else(|| digits.strip_prefix("0X"));
    let number = match (hex, digits.strip_prefix('0')) {
        (Some(hex), _) => u64::from_str_radix(hex, 16),
        (None, Some(octal)) if !octal.is_empty() => u64::from_str_radix(octal, 8),
        _ => digits.parse(),
    };
    let number = number.map_err(|_| format!("value `{text}` is not a number"))?;
    Ok(if negative {
        number.wrapping_neg()
    } else {
        number
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use probity_btf::{BtfBuilder, IntEncoding};

    #[test]
    fn values_of_all_forms() {
        let mut b = BtfBuilder::new();
        let int = b.int("int", 4, IntEncoding::SIGNED);
        let ushort = b.int("unsigned short", 2, IntEncoding::UNSIGNED);
        let char = b.int("char", 1, IntEncoding::SIGNED);
        let bool = b.int("_Bool", 1, IntEncoding::BOOL);
        let tri = b.enum_(
            "libbpf_tristate",
            4,
            false,
            &[("TRI_NO", 0), ("TRI_YES", 1), ("TRI_MODULE", 2)],
        );
        let text = b.array(char, int, 8);
        let btf = b.build().unwrap();
        let value = |ty, value| value_bytes(&btf, ty, btf.size_of(ty).unwrap(), value);
        assert_eq!(value(int, "1000"), Ok(vec![0xe8, 3, 0, 0]));
        assert_eq!(
            value(int, "0xdeadbeef"),
            Err("value 0xdeadbeef does not fit 4 bytes".into())
        );
        assert_eq!(value(int, "-1"), Ok(vec![0xff; 4]));
        assert_eq!(value(ushort, "65535"), Ok(vec![0xff, 0xff]));
        assert!(value(ushort, "65536").is_err());
        assert_eq!(value(char, "m"), Ok(vec![b'm']));
        assert_eq!(value(bool, "y"), Ok(vec![1]));
        assert!(value(bool, "m").is_err());
        assert!(value(bool, "1").is_err());
        assert_eq!(value(tri, "m"), Ok(vec![2, 0, 0, 0]));
        assert_eq!(value(text, "\"abc\""), Ok(b"abc\0\0\0\0\0".to_vec()));
        assert_eq!(value(text, "\"abcdefghij\""), Ok(b"abcdefg\0".to_vec()));
        assert!(value(text, "y").is_err());
        assert!(value(int, "12abc").is_err());
    }

    #[test]
    fn text() {
        let config =
            parse_kconfig("# comment\nCONFIG_A=y\n# CONFIG_B is not set\nCONFIG_C=\"a=b\"\n");
        assert_eq!(config.len(), 2);
        assert_eq!(config["CONFIG_C"], "\"a=b\"");
    }
}
