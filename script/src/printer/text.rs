//! `printf`.

use super::value::{Value, escaped};
use crate::spec::{Conversion, Format, Part, Spec};

pub(super) fn format(format: &Format, values: &[Value]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut next = values.iter();
    for part in &format.parts {
        match part {
            Part::Text(t) => out.extend_from_slice(t),
            Part::Spec(s) => {
                if let Some(v) = next.next() {
                    conversion(s, v, &mut out);
                }
            }
        }
    }
    out
}

fn conversion(spec: &Spec, value: &Value, out: &mut Vec<u8>) {
    let number = value.number().unwrap_or(0);
    let bits = u32::from(spec.bytes) * 8;
    let unsigned = if bits == 64 {
        number as u64
    } else {
        number as u64 & ((1 << bits) - 1)
    };
    let digits = |s: String, prefix: &str, out: &mut Vec<u8>| {
        let mut digits = s;
        if let Some(p) = spec.precision {
            while digits.len() < p {
                digits.insert(0, '0');
            }
        }
        let used = prefix.len() + digits.len();
        if spec.zero && !spec.left && spec.precision.is_none() && used < spec.width {
            digits.insert_str(0, &"0".repeat(spec.width - used));
        }
        pad(spec, format!("{prefix}{digits}").into_bytes(), out);
    };
    match spec.conversion {
        Conversion::Decimal => {
            let v = if bits == 64 {
                number
            } else {
                (number << (64 - bits)) >> (64 - bits)
            };
            let prefix = match v {
                i64::MIN..=-1 => "-",
                _ if spec.plus => "+",
                _ if spec.space => " ",
                _ => "",
            };
            digits(v.unsigned_abs().to_string(), prefix, out);
        }
        Conversion::Unsigned => digits(unsigned.to_string(), "", out),
        Conversion::Hex { upper } => {
            let prefix = match (spec.alternate && unsigned != 0, upper) {
                (false, _) => "",
                (true, false) => "0x",
                (true, true) => "0X",
            };
            let text = if upper {
                format!("{unsigned:X}")
            } else {
                format!("{unsigned:x}")
            };
            digits(text, prefix, out);
        }
        Conversion::Octal => digits(
            format!("{unsigned:o}"),
            if spec.alternate { "0" } else { "" },
            out,
        ),
        Conversion::Pointer => digits(format!("{:x}", number as u64), "0x", out),
        Conversion::Char => pad(spec, vec![number as u8], out),
        Conversion::Gfp => pad(spec, crate::gfp::names(number as u64).into_bytes(), out),
        Conversion::Text => {
            let mut text = value.text();
            if let Some(p) = spec.precision {
                text.truncate(p);
            }
            pad(spec, text, out);
        }
        Conversion::Buffer => pad(spec, escaped(bytes_of(value)).into_bytes(), out),
        Conversion::BufferHex => {
            let text: String = bytes_of(value)
                .iter()
                .map(|b| format!("\\x{b:02x}"))
                .collect();
            pad(spec, text.into_bytes(), out);
        }
        Conversion::BufferDigits => {
            let parts: Vec<String> = bytes_of(value).iter().map(|b| format!("{b:02x}")).collect();
            pad(spec, parts.join(" ").into_bytes(), out);
        }
    }
}

fn bytes_of(value: &Value) -> &[u8] {
    match value {
        Value::Buf(b) | Value::Str(b) => b,
        _ => &[],
    }
}

fn pad(spec: &Spec, text: Vec<u8>, out: &mut Vec<u8>) {
    let fill = spec.width.saturating_sub(text.len());
    if !spec.left {
        out.extend(std::iter::repeat_n(b' ', fill));
    }
    out.extend(text);
    if spec.left {
        out.extend(std::iter::repeat_n(b' ', fill));
    }
}
