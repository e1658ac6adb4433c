//! A `printf` format → its literal parts and conversions.

use crate::types::Ty;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Format {
    pub parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Text(Vec<u8>),
    Spec(Spec),
}

/// `%[flags][width][.precision][length]conversion`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Spec {
    pub left: bool,
    pub zero: bool,
    pub plus: bool,
    pub space: bool,
    pub alternate: bool,
    pub width: usize,
    pub precision: Option<usize>,
    /// Bytes of the number that are shown.
    pub bytes: u8,
    pub conversion: Conversion,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Conversion {
    #[default]
    Decimal,
    Unsigned,
    Hex {
        upper: bool,
    },
    Octal,
    Pointer,
    Char,
    Text,
    /// `%r`: bytes, unprintable ones as `\xNN`.
    Buffer,
    /// `%rx`: every byte as `\xNN`.
    BufferHex,
    /// `%rh`: every byte as two digits, blanks between.
    BufferDigits,
    /// `%gr`: flags of an allocation.
    Gfp,
}

impl Format {
    /// # Errors
    /// What is wrong with the format, in words.
    pub fn parse(text: &[u8]) -> Result<Format, String> {
        let mut parts = Vec::new();
        let mut literal = Vec::new();
        let mut i = 0;
        while i < text.len() {
            if text[i] != b'%' {
                literal.push(text[i]);
                i += 1;
                continue;
            }
            if text.get(i + 1) == Some(&b'%') {
                literal.push(b'%');
                i += 2;
                continue;
            }
            let (spec, end) = spec(text, i + 1)?;
            if !literal.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut literal)));
            }
            parts.push(Part::Spec(spec));
            i = end;
        }
        if !literal.is_empty() {
            parts.push(Part::Text(literal));
        }
        Ok(Format { parts })
    }

    pub fn specs(&self) -> impl Iterator<Item = &Spec> {
        self.parts.iter().filter_map(|p| match p {
            Part::Spec(s) => Some(s),
            Part::Text(_) => None,
        })
    }

    /// # Errors
    /// When the arguments are not what the format wants.
    pub fn check(&self, args: &[Ty]) -> Result<(), String> {
        let wanted = self.specs().count();
        if wanted != args.len() {
            return Err(format!(
                "the format has {wanted} conversion{}, but there {} {} argument{}",
                if wanted == 1 { "" } else { "s" },
                if args.len() == 1 { "is" } else { "are" },
                args.len(),
                if args.len() == 1 { "" } else { "s" }
            ));
        }
        for (n, (spec, ty)) in self.specs().zip(args).enumerate() {
            let fits = match spec.conversion {
                Conversion::Text => !matches!(ty, Ty::Int { .. } | Ty::Agg(_) | Ty::Void),
                Conversion::Buffer | Conversion::BufferHex | Conversion::BufferDigits => {
                    matches!(ty, Ty::Buf(_) | Ty::Str(_) | Ty::Unknown)
                }
                _ => {
                    ty.is_number() || matches!(ty, Ty::ProbeName | Ty::Timestamp(_) | Ty::Username)
                }
            };
            if !fits {
                return Err(format!(
                    "argument {} is of type `{ty}`, which {} cannot print",
                    n + 1,
                    spec.text()
                ));
            }
        }
        Ok(())
    }
}

impl Spec {
    fn text(&self) -> &'static str {
        match self.conversion {
            Conversion::Decimal => "%d",
            Conversion::Unsigned => "%u",
            Conversion::Hex { upper: false } => "%x",
            Conversion::Hex { upper: true } => "%X",
            Conversion::Octal => "%o",
            Conversion::Pointer => "%p",
            Conversion::Char => "%c",
            Conversion::Text => "%s",
            Conversion::Buffer => "%r",
            Conversion::BufferHex => "%rx",
            Conversion::BufferDigits => "%rh",
            Conversion::Gfp => "%gr",
        }
    }
}

fn spec(text: &[u8], start: usize) -> Result<(Spec, usize), String> {
    let mut s = Spec {
        bytes: 4,
        ..Spec::default()
    };
    let mut i = start;
    while let Some(c) = text.get(i) {
        match c {
            b'-' => s.left = true,
            b'0' => s.zero = true,
            b'+' => s.plus = true,
            b' ' => s.space = true,
            b'#' => s.alternate = true,
            _ => break,
        }
        i += 1;
    }
    let digits = |i: &mut usize| -> Result<usize, String> {
        let mut n = 0usize;
        while let Some(d @ b'0'..=b'9') = text.get(*i) {
            n = n * 10 + usize::from(d - b'0');
            if n > 4096 {
                return Err("a width above 4096".into());
            }
            *i += 1;
        }
        Ok(n)
    };
    s.width = digits(&mut i)?;
    if text.get(i) == Some(&b'.') {
        i += 1;
        s.precision = Some(digits(&mut i)?);
    }
    let length_at = i;
    while matches!(text.get(i), Some(b'h' | b'l' | b'j' | b'z' | b't' | b'q')) {
        i += 1;
    }
    s.bytes = match &text[length_at..i] {
        b"" => 4,
        b"hh" => 1,
        b"h" => 2,
        b"l" | b"ll" | b"j" | b"z" | b"t" | b"q" => 8,
        other => {
            return Err(format!(
                "unknown length `{}` in the format",
                String::from_utf8_lossy(other)
            ));
        }
    };
    let unknown = |c: &[u8]| {
        let shown = String::from_utf8_lossy(c).escape_debug().to_string();
        Err(format!("unknown conversion `%{shown}` in the format"))
    };
    let Some(&c) = text.get(i) else {
        return Err("the format ends inside of a conversion".into());
    };
    i += 1;
    s.conversion = match c {
        b'd' | b'i' => Conversion::Decimal,
        b'u' => Conversion::Unsigned,
        b'x' => Conversion::Hex { upper: false },
        b'X' => Conversion::Hex { upper: true },
        b'o' => Conversion::Octal,
        b'p' => Conversion::Pointer,
        b'c' => Conversion::Char,
        b's' => Conversion::Text,
        b'g' if text.get(i) == Some(&b'r') => {
            i += 1;
            Conversion::Gfp
        }
        b'r' => match text.get(i) {
            Some(b'x') => {
                i += 1;
                Conversion::BufferHex
            }
            Some(b'h') => {
                i += 1;
                Conversion::BufferDigits
            }
            _ => Conversion::Buffer,
        },
        // `%q` alone is a conversion that is not there, not a length of what follows.
        c => match &text[length_at..i - 1] {
            b"" => return unknown(&[c]),
            length => return unknown(length),
        },
    };
    Ok((s, i))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats() {
        let f = Format::parse(b"%-16s|%5d%%%04x %llu").unwrap();
        let specs: Vec<&Spec> = f.specs().collect();
        assert_eq!(specs.len(), 4);
        assert!(specs[0].left && specs[0].width == 16 && specs[2].zero && specs[3].bytes == 8);
        assert!(f.check(&[Ty::Str(5), Ty::I64, Ty::U64, Ty::U64]).is_ok());
        assert!(f.check(&[Ty::I64]).is_err());
        assert!(f.check(&[Ty::I64, Ty::I64, Ty::I64, Ty::I64]).is_err());
        for bad in ["%", "%y", "%-", "%99999d", "%hlld"] {
            assert!(Format::parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
