//! Symbols without a type, which a proof leaves open → their addresses in the running kernel, in a program's instructions.
//!
//! **Invariant:** what is proved of such a program holds for any number in the place of the address.

use std::collections::HashMap;
use std::io::{BufRead, BufReader};

use probity_isa::RawInsn;
use probity_objfile::Symbol;
use probity_verifier::{Verified, VerifiedProgram};

use crate::Error;

const SYMBOLS: &str = "/proc/kallsyms";

/// What a program leaves open.
fn open<'v>(verified: &'v Verified, program: &VerifiedProgram) -> &'v [Symbol] {
    let all = &verified.relocated().symbols;
    all.get(program.index()).map_or(&[], |s| &s[..])
}

/// Whether a program has addresses of symbols that only the running kernel knows.
pub(crate) fn are_open(verified: &Verified, program: &VerifiedProgram) -> bool {
    !open(verified, program).is_empty()
}

/// The program's instructions with the addresses; `None` where nothing is left open.
pub(crate) fn filled(
    verified: &Verified,
    program: &VerifiedProgram,
) -> Result<Option<Vec<RawInsn>>, Error> {
    let open = open(verified, program);
    if open.is_empty() {
        return Ok(None);
    }
    let source = std::fs::File::open(SYMBOLS).map_err(|source| Error::Io {
        what: "cannot read the kernel's symbols",
        source,
    })?;
    let known = addresses(BufReader::new(source), open).map_err(|source| Error::Io {
        what: "cannot read the kernel's symbols",
        source,
    })?;
    let wrong = |why: String| Error::Unsupported {
        program: program.name().into(),
        why,
    };
    let mut raw = program.raw().to_vec();
    for symbol in open {
        let address = match known.get(&*symbol.name) {
            // A symbol is never there; the kernel shows zeros to whom it hides them from.
            Some(0) => {
                let why = format!(
                    "the kernel hides the address of `{}` (see kernel.kptr_restrict)",
                    symbol.name
                );
                return Err(wrong(why));
            }
            Some(address) => *address,
            None if symbol.weak => 0,
            None => {
                return Err(wrong(format!(
                    "the running kernel has no symbol `{}`",
                    symbol.name
                )));
            }
        };
        let Some([low, high]) = raw.get_mut(symbol.pc..).and_then(|r| r.get_mut(..2)) else {
            return Err(wrong(format!("it does not name `{}`", symbol.name)));
        };
        // From the address of an unknown symbol to a number.
        low.src = 0;
        low.imm = address as i32;
        high.imm = (address >> 32) as i32;
    }
    Ok(Some(raw))
}

/// Of several symbols of one name, the first: the kernel's own stand before its modules'.
fn addresses(text: impl BufRead, wanted: &[Symbol]) -> std::io::Result<HashMap<&str, u64>> {
    let mut found = HashMap::new();
    for line in text.split(b'\n') {
        let line = line?;
        let mut words = line
            .split(|b| b.is_ascii_whitespace())
            .filter(|w| !w.is_empty());
        let (Some(address), Some(_), Some(name)) = (words.next(), words.next(), words.next())
        else {
            continue;
        };
        let Some(symbol) = wanted.iter().find(|s| s.name.as_bytes() == name) else {
            continue;
        };
        let address = str::from_utf8(address).ok();
        if let Some(address) = address.and_then(|a| u64::from_str_radix(a, 16).ok()) {
            found.entry(&*symbol.name).or_insert(address);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_a_name_counts() {
        let wanted = |name: &str| Symbol {
            pc: 0,
            name: name.into(),
            weak: false,
        };
        let text = "ffffffff81000000 T _stext\nffffffffa0000000 d twice\t[a]\nffffffffa0000008 d twice\t[b]\n\nbad line\nxyz T odd\n";
        let wanted = [
            wanted("twice"),
            wanted("_stext"),
            wanted("odd"),
            wanted("none"),
        ];
        let found = addresses(text.as_bytes(), &wanted).unwrap();
        assert_eq!(found.get("twice"), Some(&0xffff_ffff_a000_0000));
        assert_eq!(found.get("_stext"), Some(&0xffff_ffff_8100_0000));
        assert_eq!(found.len(), 2);
    }
}
