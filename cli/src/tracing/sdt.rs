//! The static probes (USDT) of an ELF file, from its `.note.stapsdt`.
//!
//! Source: SystemTap's `sys/sdt.h`: a note holds three addresses (the probe, `.stapsdt.base` as it
//! was linked, the semaphore) and three strings (provider, name, arguments).

use object::{Object as _, ObjectSection as _, ObjectSegment as _};
use probity_script::UsdtSite;

const NOTE_TYPE: u32 = 3;
const OWNER: &[u8] = b"stapsdt\0";

/// Every site; nothing when the file has none or is damaged.
pub fn sites(bytes: &[u8]) -> Vec<UsdtSite> {
    let Ok(file) = object::File::parse(bytes) else {
        return Vec::new();
    };
    let section = |name: &str| file.section_by_name(name);
    let Some(notes) = section(".note.stapsdt").and_then(|s| s.data().ok()) else {
        return Vec::new();
    };
    let base = section(".stapsdt.base").map_or(0, |s| s.address());
    // Where an address is in the file.
    let offset = |address: u64| {
        file.segments().find_map(|s| {
            let (start, size) = s.file_range();
            let from = address.checked_sub(s.address())?;
            (from < s.size().max(size)).then(|| start.checked_add(from))?
        })
    };
    let mut out = Vec::new();
    let mut rest = notes;
    while let Some((note, after)) = note(rest) {
        rest = after;
        let Some(note) = note else { continue };
        // The file may have been moved after it was linked (prelink).
        let moved = |a: u64| a.wrapping_add(base.wrapping_sub(note.base));
        let known = note.base != 0 && base != 0;
        let place = |a: u64| offset(if known { moved(a) } else { a });
        let Some(at) = place(note.address) else {
            continue;
        };
        let semaphore = match note.semaphore {
            0 => None,
            a => place(a),
        };
        out.push(UsdtSite {
            provider: note.provider,
            name: note.name,
            offset: at,
            semaphore,
            args: note.args,
        });
    }
    out
}

struct Note {
    address: u64,
    base: u64,
    semaphore: u64,
    provider: String,
    name: String,
    args: String,
}

/// The first note and what follows it; the note is `None` when it is another one's.
fn note(bytes: &[u8]) -> Option<(Option<Note>, &[u8])> {
    let word = |at: usize| {
        let w: [u8; 4] = bytes.get(at..at + 4)?.try_into().ok()?;
        Some(u32::from_le_bytes(w))
    };
    let (name_len, len, kind) = (word(0)? as usize, word(4)? as usize, word(8)?);
    let name_end = 12usize.checked_add(name_len)?;
    let start = name_end.checked_next_multiple_of(4)?;
    let end = start.checked_add(len)?;
    let (owner, content) = (bytes.get(12..name_end)?, bytes.get(start..end)?);
    let after = bytes.get(end.checked_next_multiple_of(4)?..).unwrap_or(&[]);
    if kind != NOTE_TYPE || owner != OWNER {
        return Some((None, after));
    }
    Some((content_of(content), after))
}

fn content_of(content: &[u8]) -> Option<Note> {
    let address = |n: usize| {
        let w: [u8; 8] = content.get(n * 8..n * 8 + 8)?.try_into().ok()?;
        Some(u64::from_le_bytes(w))
    };
    let mut texts = content
        .get(24..)?
        .split(|b| *b == 0)
        .map(|t| String::from_utf8_lossy(t).into_owned());
    Some(Note {
        address: address(0)?,
        base: address(1)?,
        semaphore: address(2)?,
        provider: texts.next()?,
        name: texts.next()?,
        args: texts.next().unwrap_or_default(),
    })
}
