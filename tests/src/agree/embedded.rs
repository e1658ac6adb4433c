//! Bytes of any file → the extension objects in it: the file itself, or those that a program carries to load them.

const MAGIC: &[u8] = b"\x7fELF\x02\x01\x01";
const EM_BPF: u16 = 247;
/// A file holds no more than that many.
const MOST: usize = 1000;

/// Where objects begin and end.
pub fn objects(bytes: &[u8]) -> Vec<std::ops::Range<usize>> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(offset) = find(&bytes[at..]) {
        let start = at + offset;
        match length(&bytes[start..]) {
            Some(len) if len <= bytes.len() - start => {
                found.push(start..start + len);
                at = start + len;
            }
            _ => at = start + MAGIC.len(),
        }
        if found.len() == MOST {
            break;
        }
    }
    found
}

fn find(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        // The first byte is rare.
        at += bytes.get(at..)?.iter().position(|&b| b == MAGIC[0])?;
        if bytes[at..].starts_with(MAGIC) {
            return Some(at);
        }
        at += 1;
    }
}

/// Of an object for BPF: it ends with its section headers, as compilers and linkers write it.
fn length(elf: &[u8]) -> Option<usize> {
    let half = |at: usize| Some(u16::from_le_bytes(elf.get(at..at + 2)?.try_into().ok()?));
    if half(18)? != EM_BPF {
        return None;
    }
    let sections = u64::from_le_bytes(elf.get(40..48)?.try_into().ok()?);
    let end = usize::from(half(58)?) * usize::from(half(60)?);
    usize::try_from(sections).ok()?.checked_add(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_inside_of_a_program() {
        let path = crate::programs("", "o")
            .into_iter()
            .next()
            .expect("an object");
        let object = std::fs::read(path).unwrap();
        let mut program = b"\x7fELF\x02\x01\x01 a program".to_vec();
        program.extend(std::iter::repeat_n(0x7f, 100));
        let start = program.len();
        program.extend(&object);
        program.extend(b"\x7fELF\x02\x01\x01");
        let inside = start..start + object.len();
        assert_eq!(objects(&program), vec![inside]);
        let whole = 0..object.len();
        assert_eq!(objects(&object), vec![whole]);
        assert!(objects(&program[..start + 100]).is_empty());
    }
}
