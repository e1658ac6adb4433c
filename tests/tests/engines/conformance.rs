//! The suite of `tests/conformance/`: each instruction with its corners, on both engines, on Linux and on rbpf.
//!
//! A file is a sequence of blocks. `op INSN`: lines `r1 r2 = r1 afterwards`. `jump INSN`: lines
//! `r1 r2 = whether it jumps`. `atomic INSN`: the 8 bytes at r10 - 8, r2 and r0 before = and after.
//! `case NAME [SECTION]`: a program, then lines `run [WORDS] [packet=HEX] = r0`; with `not on linux` at
//! the end, Linux is not asked; `fill MAP PROGRAM…` fills an array of programs. Instructions are in either dialect of the assembler.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use probity_isa::table::{Kind, Pseudo, TABLE};
use probity_isa::{AluOp, AtomicOp, Size, SwapOp, Width};
use probity_jit::Lowerings;
use probity_objfile::Object;
use probity_platform::Platform;

use crate::harness::{Pair, assemble, context, in_process, prove};
use crate::kernel;

/// What is run, and what must come out.
struct Run {
    line: usize,
    words: Vec<u64>,
    packet: Vec<u8>,
    r0: u64,
    linux: bool,
}

/// A program with its runs.
struct Case {
    /// File and line.
    place: String,
    text: String,
    runs: Vec<Run>,
    /// The fifth word asks for the upper half of the result.
    halves: bool,
    /// The instruction that the block is about.
    insn: Option<String>,
    /// Programs that go into the slots of a program array.
    fill: Option<(String, Vec<String>)>,
}

fn files() -> Vec<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("conformance");
    let mut files: Vec<_> = std::fs::read_dir(dir)
        .expect("the suite")
        .map(|e| e.expect("an entry").path())
        .filter(|p| p.extension().is_some_and(|e| e == "txt"))
        .collect();
    files.sort();
    files
}

fn cases() -> Vec<Case> {
    let mut all = Vec::new();
    for file in files() {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        let text = std::fs::read_to_string(&file).expect("a text");
        all.extend(blocks(&name, &text));
    }
    all
}

/// Before an instruction that works on r1 and r2, and after it.
const LOAD: &str = "r6 = *(u64 *)(r1 + 32)\nr2 = *(u64 *)(r1 + 8)\nr1 = *(u64 *)(r1 + 0)\n";
const END: &str = "if r6 == 0 goto low\nr0 >>= 32\nlow: exit\n";

/// Memory, r2 and r0; the fourth word says which of them is the result.
const LOAD_ATOMIC: &str = "r6 = *(u64 *)(r1 + 32)
r2 = *(u64 *)(r1 + 8)
r0 = *(u64 *)(r1 + 16)
r4 = *(u64 *)(r1 + 24)
r3 = *(u64 *)(r1 + 0)
*(u64 *)(r10 - 8) = r3\n";
const END_ATOMIC: &str = "r5 = *(u64 *)(r10 - 8)
if r4 == 2 goto chosen
if r4 == 1 goto second
r0 = r5
goto chosen
second: r0 = r2
chosen: if r6 == 0 goto low
r0 >>= 32
low: exit\n";

fn whole(section: &str, code: &str) -> String {
    let (maps, rest): (Vec<&str>, Vec<&str>) =
        code.lines().partition(|l| l.trim().starts_with(".map"));
    format!(
        ".license \"GPL\"\n{}\n.section {section}\n.globl main\nmain:\n{}\n",
        maps.join("\n"),
        rest.join("\n")
    )
}

fn blocks(file: &str, text: &str) -> Vec<Case> {
    let mut all: Vec<Case> = Vec::new();
    let mut kind = "";
    // Of `case`: its section, and the code so far.
    let (mut section, mut code) = (String::new(), String::new());
    for (n, line) in text.lines().enumerate() {
        let bad = || -> ! { panic!("{file}:{}: {line}", n + 1) };
        let start = ["op ", "jump ", "atomic ", "case "]
            .into_iter()
            .find_map(|k| Some((k, line.strip_prefix(k)?)));
        if let Some((k, rest)) = start {
            kind = k;
            let mut case = Case {
                place: format!("{file}:{}: {line}", n + 1),
                text: String::new(),
                runs: Vec::new(),
                halves: k != "case ",
                insn: (k != "case ").then(|| rest.to_string()),
                fill: None,
            };
            case.text = match k {
                "op " => whole("raw_tracepoint", &format!("{LOAD}{rest}\nr0 = r1\n{END}")),
                "jump " => {
                    let jump = match rest.starts_with("if") {
                        true => format!("{rest} goto taken"),
                        false => format!("{rest} taken"),
                    };
                    let code = format!("{LOAD}r0 = 1\n{jump}\nr0 = 0\ntaken: {END}");
                    whole("raw_tracepoint", &code)
                }
                "atomic " => {
                    let code = format!("{LOAD_ATOMIC}{rest}\n{END_ATOMIC}");
                    whole("raw_tracepoint", &code)
                }
                _ => {
                    let inside = rest.rsplit_once('[').map(|(_, s)| s.trim_end_matches(']'));
                    section = inside.unwrap_or("raw_tracepoint").to_string();
                    code.clear();
                    String::new()
                }
            };
            all.push(case);
            continue;
        }
        if let (Some(fill), Some(case)) = (line.strip_prefix("fill "), all.last_mut()) {
            let mut words = fill.split_whitespace().map(str::to_string);
            case.fill = words.next().map(|map| (map, words.collect()));
            continue;
        }
        let body = match kind {
            "case " => line.strip_prefix("run"),
            _ if line.trim().is_empty() || line.starts_with('#') => None,
            _ => Some(line),
        };
        let Some(body) = body else {
            if kind == "case " {
                code += line;
                code.push('\n');
            }
            continue;
        };
        let Some(case) = all.last_mut() else { bad() };
        if kind == "case " {
            case.text = whole(&section, &code);
        }
        let (body, linux) = match body.strip_suffix(" not on linux") {
            Some(body) => (body, false),
            None => (body, true),
        };
        let Some((before, after)) = body
            .split_once('=')
            .filter(|_| !body.contains("packet="))
            .or_else(|| body.rsplit_once('='))
        else {
            bad()
        };
        let mut run = Run {
            line: n + 1,
            words: Vec::new(),
            packet: Vec::new(),
            r0: 0,
            linux,
        };
        for word in before.split_whitespace() {
            match word.strip_prefix("packet=") {
                Some(hex) => run.packet = bytes(hex).unwrap_or_else(|| bad()),
                None => run.words.push(number(word).unwrap_or_else(|| bad())),
            }
        }
        let results: Option<Vec<u64>> = after.split_whitespace().map(number).collect();
        let Some(results) = results.filter(|r| !r.is_empty()) else {
            bad()
        };
        if kind != "atomic " {
            run.r0 = results[0];
            case.runs.push(run);
            continue;
        }
        for (which, r0) in results.iter().enumerate() {
            let mut words = run.words.clone();
            words.push(which as u64);
            case.runs.push(Run {
                words,
                packet: Vec::new(),
                r0: *r0,
                ..run
            });
        }
    }
    all
}

fn bytes(hex: &str) -> Option<Vec<u8>> {
    let byte = |n: usize| u8::from_str_radix(hex.get(n..n + 2)?, 16).ok();
    (0..hex.len()).step_by(2).map(byte).collect()
}

fn number(s: &str) -> Option<u64> {
    match (s.strip_prefix('-'), s.strip_prefix("0x")) {
        (Some(rest), _) => number(rest).map(u64::wrapping_neg),
        (_, Some(hex)) => u64::from_str_radix(hex, 16).ok(),
        _ => s.parse().ok(),
    }
}

fn object(platform: &Platform, case: &Case) -> Object {
    assemble(platform, "conformance", &case.text)
        .unwrap_or_else(|e| panic!("{}: {e}\n{}", case.place, case.text))
}

fn pair(platform: &Arc<Platform>, case: &Case, lowerings: Lowerings) -> Pair {
    let object = object(platform, case);
    let verified =
        prove(platform, &object).unwrap_or_else(|e| panic!("{}: {e}\n{}", case.place, case.text));
    let pair =
        Pair::with(Arc::new(verified), lowerings).unwrap_or_else(|e| panic!("{}: {e}", case.place));
    let (map, programs) = case.fill.clone().unwrap_or_default();
    for (slot, name) in programs.iter().enumerate() {
        for instance in [pair.interp.instance(), pair.jit.instance()] {
            let index = instance.program_index(name).expect("a program");
            let filled = instance.insert_program(&map, slot as u32, index);
            filled.unwrap_or_else(|e| panic!("{}: {e}", case.place));
        }
    }
    pair
}

#[test]
fn both_engines_give_what_the_suite_says() {
    let platform = in_process();
    let (mut runs, mut wrong) = (0, Vec::new());
    let cases = cases();
    let variations = cases
        .iter()
        .flat_map(|c| [Lowerings::ALL, Lowerings::NONE].map(|l| (c, l)));
    for (case, lowerings) in variations {
        assert!(!case.runs.is_empty(), "{}: no runs", case.place);
        for run in &case.runs {
            // Maps start anew.
            let fresh = pair_of(&platform, case, lowerings);
            let kind = fresh.jit.instance().programs()[0].verified().prog_type().0;
            let (i, j) = fresh.call(0, &|| context(kind, &run.words, &run.packet), 0);
            let fine = i == j && i.result == Ok(run.r0);
            if !fine {
                wrong.push(format!(
                    "{} (line {}, {lowerings}): {:#x} expected, interp {:x?}, jit {:x?}",
                    case.place, run.line, run.r0, i.result, j.result
                ));
            }
            runs += 1;
        }
    }
    println!("{runs} runs of {} cases on interp and jit", cases.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(runs > 3000, "the suite has shrunk");
}

/// The engines of a case: one pair for all runs where it has no maps.
fn pair_of(platform: &Arc<Platform>, case: &Case, lowerings: Lowerings) -> std::rc::Rc<Pair> {
    use std::cell::RefCell;
    use std::rc::Rc;
    thread_local! {
        static LAST: RefCell<Option<(String, Lowerings, Rc<Pair>)>> = const { RefCell::new(None) };
    }
    let known = LAST.with_borrow(|l| {
        let (place, with, pair) = l.as_ref()?;
        (*place == case.place && *with == lowerings).then(|| pair.clone())
    });
    let keeps = |p: &Pair| p.jit.instance().maps().next().is_none();
    if let Some(pair) = known.filter(|p| keeps(p)) {
        return pair;
    }
    let made = Rc::new(pair(platform, case, lowerings));
    LAST.with_borrow_mut(|l| *l = Some((case.place.clone(), lowerings, made.clone())));
    made
}

#[test]
fn linux_gives_what_the_suite_says() {
    if !probity_tests::linux::allowed() {
        return;
    }
    let platform = in_process();
    let (mut runs, mut refused, mut wrong) = (0, Vec::new(), Vec::new());
    for case in cases() {
        // Linux 6.18 can leave r0's upper half in place (tests/engine/cmpxchg-upper-half.s).
        let half = case
            .insn
            .as_deref()
            .is_some_and(|i| i.contains("cmpxchg32"));
        if case.fill.is_some() || half || case.runs.iter().all(|r| !r.linux) {
            continue;
        }
        let pair = pair(&platform, &case, Lowerings::ALL);
        let verified = pair.jit.instance().programs()[0].verified().clone();
        let loaded = match kernel::load(&pair, &verified) {
            Ok(loaded) => loaded,
            Err(e) => {
                refused.push(format!("{}: {e}", case.place));
                continue;
            }
        };
        for run in case.runs.iter().filter(|r| r.linux) {
            for upper in 0..1 + u64::from(case.halves) {
                let mut words = run.words.clone();
                words.resize(words.len().max(8), 0);
                if case.halves {
                    words[4] = upper;
                }
                let (ret, _) = loaded
                    .run(&words, &run.packet)
                    .unwrap_or_else(|e| panic!("{}: {e}", case.place));
                if ret != (run.r0 >> (32 * upper)) as u32 {
                    let (place, line, r0) = (&case.place, run.line, run.r0);
                    wrong.push(format!(
                        "{place} (line {line}): {r0:#x} expected, half {upper} is {ret:#x}"
                    ));
                }
            }
            runs += 1;
        }
    }
    println!("{runs} runs on Linux; it refused {}", refused.len());
    for r in &refused {
        println!("refused by Linux: {r}");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(runs > 2000);
}

/// What rbpf 0.4.1 executes as the standard says. Left out: signed division and sign-extending moves
/// (which it takes for others), `le16` and `le32`, 64-bit `neg` and `s>>=`, jumps by a signed immediate, atomics.
fn fine_in_rbpf(kind: Kind) -> bool {
    match kind {
        Kind::AluImm(op, w) | Kind::AluReg(op, w) => {
            let signed = matches!(op, AluOp::SDiv | AluOp::SMod);
            // By zero, it leaves the upper half of what 32 bits are taken of.
            let modulo = op == AluOp::Mod && w == Width::W32;
            !signed && !modulo && (op != AluOp::Arsh || w == Width::W32)
        }
        Kind::MovImm(_) | Kind::MovReg(_) | Kind::Neg(Width::W32) => true,
        Kind::Swap(op, bits) => op == SwapOp::ToBe || op == SwapOp::ToLe && bits == 64,
        Kind::JumpIfReg(..) => true,
        _ => false,
    }
}

#[test]
fn rbpf_gives_what_the_suite_says() {
    let platform = in_process();
    let (mut runs, mut wrong) = (0, Vec::new());
    for case in cases() {
        let Some(text) = &case.insn else { continue };
        let full = if text.starts_with("if") {
            format!("{text} goto +1")
        } else if case.place.contains(": jump ") {
            format!("{text} +1")
        } else {
            text.clone()
        };
        let insn: probity_isa::Insn = full.parse().unwrap_or_else(|e| panic!("{full}: {e}"));
        if !insn.kind().is_some_and(fine_in_rbpf) {
            continue;
        }
        let object = object(&platform, &case);
        let program = probity_isa::to_bytes(&object.programs[0].insns);
        let vm = rbpf::EbpfVmRaw::new(Some(&program)).expect("a program");
        for run in &case.runs {
            let mut words = run.words.clone();
            words.resize(8, 0);
            let mut memory: Vec<u8> = words.iter().flat_map(|w| w.to_le_bytes()).collect();
            let r0 = vm.execute_program(&mut memory).expect("a result");
            if r0 != run.r0 {
                let (place, line) = (&case.place, run.line);
                wrong.push(format!("{place} (line {line}): {:#x}, not {r0:#x}", run.r0));
            }
            runs += 1;
        }
    }
    println!("{runs} runs on rbpf");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(runs > 1000);
}

/// Instructions that no verified program in a process holds, and why.
fn left_out(kind: Kind) -> Option<&'static str> {
    Some(match kind {
        Kind::CallReg => "no Linux knows calls through a register",
        Kind::JumpReg => "no Linux up to 6.18 knows jumps through a register",
        Kind::AddrSpaceCast => "there are no arenas in process",
        Kind::LoadImm64(Pseudo::BtfId) => "there are no variables of a kernel in process",
        Kind::LoadImm64(Pseudo::MapFd | Pseudo::MapFdValue) => "files are for Linux",
        _ => return None,
    })
}

#[test]
fn every_instruction_is_in_the_suite() {
    let platform = in_process();
    let mut seen = BTreeSet::new();
    let mut note = |insn: &probity_isa::Insn| {
        if let Some(kind) = insn.kind() {
            seen.insert(format!("{kind:?}"));
        }
    };
    for case in cases() {
        for program in &object(&platform, &case).programs {
            let insns = probity_isa::decode(&program.insns).expect("instructions");
            insns.iter().for_each(&mut note);
        }
    }
    let missing: Vec<_> = TABLE
        .iter()
        .filter(|row| !seen.contains(&format!("{:?}", row.kind)))
        .filter(|row| left_out(row.kind).is_none())
        .map(|row| row.text)
        .collect();
    assert!(missing.is_empty(), "not in the suite: {missing:?}");
    let idle: Vec<_> = TABLE
        .iter()
        .filter(|row| seen.contains(&format!("{:?}", row.kind)))
        .filter_map(|row| left_out(row.kind))
        .collect();
    assert!(idle.is_empty(), "in the suite after all: {idle:?}");
    // The blocks of the generated kinds have many corners each.
    let atomic = Kind::Atomic(AtomicOp::Cmpxchg, Size::DW);
    assert!(seen.contains(&format!("{atomic:?}")));
}
