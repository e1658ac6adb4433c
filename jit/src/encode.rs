//! [`Code`] ⇄ bytes of a cached file.
//!
//! **Invariant:** any bytes are decoded or refused, without a panic and without more memory than
//! they account for; what is decoded can be linked without leaving its own bytes.

use crate::code::{Code, Fixup, Place, Placed};
use crate::symbol::Symbol;
use crate::target::Arch;

pub(crate) fn encode(code: &Code) -> Vec<u8> {
    let mut out = Vec::with_capacity(code.bytes.len() + 64 * code.functions.len() + 1024);
    let mut word = |v: u32| out.extend_from_slice(&v.to_le_bytes());
    word(match code.arch {
        Arch::X86_64 => 62,
        Arch::Aarch64 => 183,
    });
    word(code.entries);
    word(code.mains.len() as u32);
    code.mains.iter().for_each(|m| word(*m));
    code.targets.iter().for_each(|m| word(*m));
    word(code.functions.len() as u32);
    for f in &code.functions {
        for v in [f.program, f.function, f.start, f.len] {
            word(v);
        }
        word(f.stateless.into());
        word(f.lines.len() as u32);
        for (at, pc) in &f.lines {
            word(*at);
            word(*pc);
        }
    }
    word(code.fixups.len() as u32);
    for f in &code.fixups {
        let (space, index) = f.symbol.numbers();
        let place = match f.place {
            Place::Address => 0,
            Place::Call => 1,
        };
        for v in [f.at, place, space, index] {
            word(v);
        }
        word(f.addend as u32);
        word((f.addend >> 32) as u32);
    }
    word(code.bytes.len() as u32);
    out.extend_from_slice(&code.bytes);
    out
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(n)?;
        self.0 = rest;
        Some(head)
    }

    fn word(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(self.take(4)?.try_into().ok()?))
    }

    /// A count of things of at least so many bytes each.
    fn count(&mut self, each: usize) -> Option<usize> {
        let n = self.word()? as usize;
        (n.checked_mul(each)? <= self.0.len()).then_some(n)
    }
}

pub(crate) fn decode(bytes: &[u8]) -> Option<Code> {
    let mut r = Reader(bytes);
    let arch = match r.word()? {
        62 => Arch::X86_64,
        183 => Arch::Aarch64,
        _ => return None,
    };
    let entries = r.word()?;
    let mut mains = Vec::new();
    let programs = r.count(8)?;
    for _ in 0..programs {
        mains.push(r.word()?);
    }
    let mut targets = Vec::new();
    for _ in 0..programs {
        targets.push(r.word()?);
    }
    let mut functions = Vec::new();
    for _ in 0..r.count(24)? {
        let (program, function) = (r.word()?, r.word()?);
        let (start, len) = (r.word()?, r.word()?);
        let stateless = match r.word()? {
            0 => false,
            1 => true,
            _ => return None,
        };
        let mut lines = Vec::new();
        for _ in 0..r.count(8)? {
            lines.push((r.word()?, r.word()?));
        }
        functions.push(Placed {
            program,
            function,
            start,
            len,
            stateless,
            lines,
        });
    }
    let mut fixups = Vec::new();
    for _ in 0..r.count(24)? {
        let at = r.word()?;
        let place = match r.word()? {
            0 => Place::Address,
            1 => Place::Call,
            _ => return None,
        };
        let symbol = Symbol::of_numbers(r.word()?, r.word()?)?;
        let (low, high) = (r.word()?, r.word()?);
        fixups.push(Fixup {
            at,
            place,
            symbol,
            addend: (u64::from(high) << 32 | u64::from(low)) as i64,
        });
    }
    let n = r.count(1)?;
    let code = Code {
        arch,
        bytes: r.take(n)?.to_vec(),
        functions,
        fixups,
        entries,
        mains,
        targets,
    };
    (r.0.is_empty() && fits(&code)).then_some(code)
}

/// Whether every offset lies in the code.
fn fits(code: &Code) -> bool {
    let len = code.bytes.len() as u64;
    let inside = |at: u32, n: u64| u64::from(at) + n <= len;
    len <= crate::pages::MAX_BYTES as u64
        && inside(code.entries, 8 * code.mains.len() as u64)
        && code.mains.iter().all(|m| inside(*m, 1))
        && code.targets.iter().all(|m| inside(*m, 1))
        && code.functions.iter().all(|f| inside(f.start, f.len.into()))
        && code.fixups.iter().all(|f| match f.place {
            Place::Address => inside(f.at, 8),
            Place::Call => inside(f.at, 4),
        })
        && code.fixups.iter().all(|f| !f.symbol.is_inside())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compile;
    use crate::options::Options;
    use crate::target::Target;
    use crate::tests::{instance, suite};

    #[test]
    fn what_is_encoded_is_decoded() {
        let target = Target::host(&Options::default()).expect("a target");
        for (name, verified) in suite() {
            let code = compile::compile(&instance(&verified), &target).expect("code");
            assert_eq!(decode(&encode(&code)).as_ref(), Some(&code), "{name}");
        }
    }

    /// Changed bytes are refused, or give code that stays inside of itself when it is linked.
    #[test]
    fn any_bytes_are_decoded_or_refused() {
        let seed = std::env::var("TEST_SEED").ok().and_then(|s| s.parse().ok());
        let seed: u64 = seed.unwrap_or(1);
        println!("TEST_SEED={seed}");
        let mut state = seed | 1;
        let mut random = move |below: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state % below.max(1) as u64) as usize
        };
        let target = Target::host(&Options::default()).expect("a target");
        let (mut decoded, mut refused) = (0, 0);
        for (_, verified) in suite() {
            let instance = instance(&verified);
            let whole = encode(&compile::compile(&instance, &target).expect("code"));
            for _ in 0..500 {
                let mut bytes = whole.clone();
                // Most of the structure stands before the code.
                let head = bytes.len().min(400);
                for _ in 0..=random(4) {
                    match random(5) {
                        0 => bytes.truncate(random(bytes.len())),
                        1 => bytes.push(random(256) as u8),
                        2 => {
                            let at = random(head.min(bytes.len()) / 4) * 4;
                            let v = [0, 1, u32::MAX, 1 << 31, bytes.len() as u32][random(5)];
                            if let Some(place) = bytes.get_mut(at..at + 4) {
                                place.copy_from_slice(&v.to_le_bytes());
                            }
                        }
                        _ => {
                            let at = random(bytes.len());
                            if let Some(b) = bytes.get_mut(at) {
                                *b = random(256) as u8;
                            }
                        }
                    }
                }
                match decode(&bytes) {
                    None => refused += 1,
                    Some(code) => {
                        decoded += 1;
                        let mut memory = code.bytes.clone();
                        // An error is an answer too: a symbol may be missing.
                        let _ = crate::link::patch(&code, &instance, 1 << 32, &mut memory);
                    }
                }
            }
        }
        println!("{decoded} decoded, {refused} refused");
        assert!(decoded > 100 && refused > 100);
    }
}
