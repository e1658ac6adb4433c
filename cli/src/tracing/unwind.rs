//! The tables for exceptions (`.eh_frame`) of what a process runs → rows that say how its frames follow each
//! other, for `dw_ustack`.
//!
//! **Invariant:** whatever a file says, reading it ends, and what is not understood is unknown: a stack ends
//! there, it does not go astray.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use gimli::{
    BaseAddresses, CfaRule, CieOrFde, EhFrame, NativeEndian, RegisterRule, UnwindSection, X86_64,
};
use object::{Object as _, ObjectSection as _, ObjectSegment as _};
use probity_script::unwind::{self, Frame, Rule};

use crate::input;

type Slice<'a> = gimli::EndianSlice<'a, NativeEndian>;

const UNKNOWN: Rule = Rule {
    frame: Frame::Unknown,
    pointer: None,
};
/// Bits of an address within its page.
const PAGE: u64 = 0xfff;
/// Bytes of what the kernel lends every process.
const MOST_LENT: u64 = 1 << 20;

/// The rules of one file, by the addresses that it was linked for.
struct Rules {
    rows: Vec<(u64, Rule)>,
    /// Place in the file, bytes and address of what is run.
    segments: Vec<(u64, u64, u64)>,
}

/// A process is looked at again after this at the earliest.
const PAUSE: Duration = Duration::from_millis(50);

/// Tables of processes, and what was read for them.
#[derive(Default)]
pub struct Tables {
    /// When a process was looked at.
    looked: HashMap<u32, Instant>,
    /// By device, inode and time of the last change.
    files: HashMap<(u64, u64, i64), Option<Arc<Rules>>>,
    /// What a process had in memory when its table was made.
    made: HashMap<u32, String>,
}

impl Tables {
    /// The table of a process, when there is none yet or it runs other files than before; with it the lines of
    /// `/proc/PID/maps` that it is made from.
    pub fn table(&mut self, pid: u32) -> Option<(Vec<u8>, &str)> {
        let early = |at: &Instant| at.elapsed() < PAUSE;
        if self.looked.get(&pid).is_some_and(early) {
            return None;
        }
        self.looked.insert(pid, Instant::now());
        let maps = fs::read_to_string(format!("/proc/{pid}/maps")).ok()?;
        let run: Vec<Mapping<'_>> = maps.lines().filter_map(Mapping::parse).collect();
        // One that has ended runs nothing; what it ran is still wanted for its names.
        if run.is_empty() {
            return None;
        }
        let now: Vec<&str> = run.iter().map(|m| m.line).collect();
        let now = now.join("\n");
        if self.made.get(&pid) == Some(&now) {
            return None;
        }
        let mut rows: Vec<(u64, Rule)> = Vec::new();
        for mapping in &run {
            if let Some(rules) = self.rules(pid, mapping) {
                place(&rules, mapping, &mut rows);
            } else {
                rows.push((mapping.start, UNKNOWN));
            }
            rows.push((mapping.end, UNKNOWN));
        }
        // Of rows of one address, where a mapping ends and the next begins, the last counts; those that say what
        // the row before says are not needed.
        let mut kept: Vec<(u64, Rule)> = Vec::new();
        for row in rows {
            match kept.last_mut() {
                Some(last) if last.0 == row.0 => *last = row,
                Some(last) if last.1 == row.1 => {}
                _ => kept.push(row),
            }
        }
        self.made.insert(pid, now);
        Some((unwind::table(&kept), self.made.get(&pid)?))
    }

    fn rules(&mut self, pid: u32, mapping: &Mapping<'_>) -> Option<Arc<Rules>> {
        if mapping.path == "[vdso]" {
            let bytes = lent(pid, mapping)?;
            return rules(&bytes).map(Arc::new);
        }
        // As the process sees it, which may be in a container.
        let path = format!("/proc/{pid}/root{}", mapping.path);
        let about = fs::metadata(&path).ok()?;
        let id = (about.dev(), about.ino(), about.mtime());
        let read = || rules(&input::read(Path::new(&path)).ok()?).map(Arc::new);
        self.files.entry(id).or_insert_with(read).clone()
    }
}

/// A part of a process's memory that is run.
pub struct Mapping<'a> {
    line: &'a str,
    pub start: u64,
    pub end: u64,
    pub offset: u64,
    pub path: &'a str,
}

impl<'a> Mapping<'a> {
    /// `START-END PERMISSIONS OFFSET DEVICE INODE PATH`
    pub fn parse(line: &'a str) -> Option<Mapping<'a>> {
        let mut words = line.split_whitespace();
        let (start, end) = words.next()?.split_once('-')?;
        let permissions = words.next()?;
        let offset = words.next()?;
        let number = |text| u64::from_str_radix(text, 16).ok();
        let path = match line.find(['/', '[']) {
            Some(at) => &line[at..],
            None => "",
        };
        permissions.contains('x').then_some(Mapping {
            line,
            start: number(start)?,
            end: number(end)?,
            offset: number(offset)?,
            path: path.trim_end_matches(" (deleted)"),
        })
    }
}

/// What the kernel lends a process, out of its memory.
fn lent(pid: u32, mapping: &Mapping<'_>) -> Option<Vec<u8>> {
    let bytes = mapping.end.checked_sub(mapping.start)?;
    let mut image = vec![0; usize::try_from(bytes.min(MOST_LENT)).ok()?];
    let memory = fs::File::open(format!("/proc/{pid}/mem")).ok()?;
    memory.read_exact_at(&mut image, mapping.start).ok()?;
    Some(image)
}

/// Appends what of a file's rules lies in the mapping, at the process's addresses.
fn place(rules: &Rules, mapping: &Mapping<'_>, out: &mut Vec<(u64, Rule)>) {
    // The kernel maps whole pages: a segment may begin, or another end, within the first.
    let linked = rules.segments.iter().find_map(|(at, bytes, address)| {
        let inside = (at & !PAGE..at.saturating_add(*bytes)).contains(&mapping.offset);
        inside.then(|| address.wrapping_add(mapping.offset.wrapping_sub(*at)))
    });
    let Some(linked) = linked else {
        out.push((mapping.start, UNKNOWN));
        return;
    };
    let end = linked.saturating_add(mapping.end - mapping.start);
    let first = rules.rows.partition_point(|(at, _)| *at <= linked);
    let before = first.checked_sub(1).map_or(UNKNOWN, |n| rules.rows[n].1);
    out.push((mapping.start, before));
    let inside = rules.rows[first..].iter().take_while(|(at, _)| *at < end);
    out.extend(inside.map(|(at, rule)| (mapping.start + (at - linked), *rule)));
}

/// Reads a file's tables; `None` when it has none.
fn rules(bytes: &[u8]) -> Option<Rules> {
    let file = object::File::parse(bytes).ok()?;
    if file.architecture() != object::Architecture::X86_64 {
        return None;
    }
    let is_run = |s: &object::Segment<'_, '_>| match s.flags() {
        object::SegmentFlags::Elf { p_flags, .. } => {
            p_flags & object::elf::PF_X != object::elf::ProgramFlags(0)
        }
        _ => false,
    };
    let segments = file.segments().filter(is_run).map(|s| {
        let (at, bytes) = s.file_range();
        (at, bytes, s.address())
    });
    let segments = segments.collect();
    let section = file.section_by_name(".eh_frame")?;
    let data = section.data().ok()?;
    let address = |name: &str| file.section_by_name(name).map_or(0, |s| s.address());
    let bases = BaseAddresses::default()
        .set_eh_frame(section.address())
        .set_text(address(".text"))
        .set_got(address(".got"));
    let table = EhFrame::new(data, NativeEndian);
    let mut entries = table.entries(&bases);
    let mut ranges: Vec<(u64, u64, Vec<(u64, Rule)>)> = Vec::new();
    let mut context = gimli::UnwindContext::new();
    // What follows a damaged entry is not read.
    while let Ok(Some(entry)) = entries.next() {
        let CieOrFde::Fde(partial) = entry else {
            continue;
        };
        let parsed = partial.parse(|_, bases, offset| table.cie_from_offset(bases, offset));
        let Ok(entry) = parsed else { continue };
        let (start, bytes) = (entry.initial_address(), entry.len());
        let end = start.saturating_add(bytes);
        if start == 0 || end == start {
            continue;
        }
        let mut rows = Vec::new();
        if entry.is_signal_trampoline() {
            // Its entry begins one before its code, so that the address of a "call" is in it.
            rows.push((
                start,
                Rule {
                    frame: Frame::Signal,
                    pointer: None,
                },
            ));
        } else if let Ok(mut lines) = entry.rows(&table, &bases, &mut context) {
            while let Ok(Some(line)) = lines.next_row() {
                rows.push((line.start_address(), rule(&table, line)));
            }
        }
        ranges.push((start, end, rows));
    }
    crate::sorted::by(&mut ranges, |a, b| a.0.cmp(&b.0));
    let mut rows = Vec::new();
    let mut upto = 0;
    for (start, end, own) in ranges {
        if start < upto {
            continue;
        }
        if start > upto {
            rows.push((upto, UNKNOWN));
        }
        if own.first().is_none_or(|(at, _)| *at != start) {
            rows.push((start, UNKNOWN));
        }
        rows.extend(own.into_iter().filter(|(at, _)| (start..end).contains(at)));
        upto = end;
        if rows.len() > unwind::MOST {
            break;
        }
    }
    rows.push((upto, UNKNOWN));
    Some(Rules { rows, segments })
}

/// What one line of a table says.
fn rule(table: &EhFrame<Slice<'_>>, line: &gimli::UnwindTableRow<usize>) -> Rule {
    let frame = match line.register(X86_64::RA) {
        Some(RegisterRule::Undefined) => Frame::Outermost,
        Some(RegisterRule::Offset(-8)) => match line.cfa() {
            CfaRule::RegisterAndOffset { register, offset } => match i32::try_from(*offset) {
                Ok(n) if *register == X86_64::RSP => Frame::AboveStack(n),
                Ok(n) if *register == X86_64::RBP => Frame::AbovePointer(n),
                _ => Frame::Unknown,
            },
            CfaRule::Expression(expression) => expression
                .get(table)
                .ok()
                .and_then(|e| linkage(e.0.slice()))
                .map_or(Frame::Unknown, Frame::Linkage),
        },
        _ => Frame::Unknown,
    };
    match line.register(X86_64::RBP) {
        Some(RegisterRule::Offset(n)) => match i16::try_from(n) {
            Ok(n) => Rule {
                frame,
                pointer: Some(n),
            },
            Err(_) => UNKNOWN,
        },
        None | Some(RegisterRule::SameValue | RegisterRule::Undefined) => Rule {
            frame,
            pointer: None,
        },
        _ => UNKNOWN,
    }
}

/// The expression that linkers write for procedure linkage tables: `rsp + 8 + ((rip & 15) >= N) * 8`.
fn linkage(expression: &[u8]) -> Option<i32> {
    let &[
        0x77,
        8,
        0x80,
        0,
        0x3f,
        0x1a,
        literal @ 0x30..=0x3f,
        0x2a,
        0x33,
        0x24,
        0x22,
    ] = expression
    else {
        return None;
    };
    Some(i32::from(literal - 0x30))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(frame: Frame) -> Rule {
        Rule {
            frame,
            pointer: None,
        }
    }

    #[test]
    fn rules_are_placed_where_the_process_has_the_file() {
        // As lld lays files out: the segment begins within a page, which the one before it ends in.
        let rules = Rules {
            rows: vec![
                (0x2010, rule(Frame::AboveStack(8))),
                (0x2100, rule(Frame::AboveStack(16))),
                (0x9000, rule(Frame::Outermost)),
            ],
            segments: vec![(0x1010, 0x500, 0x2010)],
        };
        let line = "7000-8000 r-xp 00001000 08:01 7   /bin/x";
        let mapping = Mapping::parse(line).expect("a line of maps");
        let mut rows = Vec::new();
        place(&rules, &mapping, &mut rows);
        let wanted = [
            (0x7000, UNKNOWN),
            (0x7010, rule(Frame::AboveStack(8))),
            (0x7100, rule(Frame::AboveStack(16))),
        ];
        assert_eq!(rows, wanted);
        // Of a part that the file does not run nothing is known.
        let line = line.replace("00001000", "00009000");
        let mut rows = Vec::new();
        place(&rules, &Mapping::parse(&line).unwrap(), &mut rows);
        assert_eq!(rows, [(0x7000, UNKNOWN)]);
    }

    #[test]
    fn only_what_is_run_is_a_mapping() {
        assert!(Mapping::parse("7000-8000 r--p 00001000 08:01 7   /bin/x").is_none());
        assert!(
            Mapping::parse("7000-8000 r-xp 00000000 00:00 0").is_some_and(|m| m.path.is_empty())
        );
        assert!(Mapping::parse("no line").is_none() && Mapping::parse("").is_none());
    }

    #[test]
    fn damaged_files_end() {
        let own = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let whole = rules(&own).expect("this program has tables");
        assert!(whole.rows.is_sorted_by_key(|(at, _)| *at));
        assert!(
            whole
                .rows
                .iter()
                .any(|(_, r)| matches!(r.frame, Frame::AboveStack(n) if n > 8))
        );
        for cut in [0, 10, 64, 4096, own.len() / 2] {
            rules(&own[..cut]);
        }
        let file = object::File::parse(&*own).unwrap();
        let (at, bytes) = file
            .section_by_name(".eh_frame")
            .unwrap()
            .file_range()
            .unwrap();
        for step in 1..20 {
            let mut damaged = own.clone();
            let table = &mut damaged[at as usize..(at + bytes) as usize];
            for byte in table.iter_mut().step_by(step * 37) {
                *byte ^= 0xa5;
            }
            rules(&damaged);
        }
    }

    #[test]
    fn linkage_tables_are_known_by_their_expression() {
        let mut expression = [0x77, 8, 0x80, 0, 0x3f, 0x1a, 0x3b, 0x2a, 0x33, 0x24, 0x22];
        assert_eq!(linkage(&expression), Some(11));
        expression[6] = 0x39;
        assert_eq!(linkage(&expression), Some(9));
        expression[3] = 1;
        assert_eq!(linkage(&expression), None);
        assert_eq!(linkage(&expression[..10]), None);
    }
}
