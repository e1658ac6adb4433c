//! The files of `tests/engine/`: assembly with lines `# run [words=…] [packet=…] = r0`.

use std::path::Path;

use probity_jit::Lowerings;

use crate::harness::{Pair, assemble, context, in_process, prove};

struct Run {
    line: usize,
    words: Vec<u64>,
    packet: Vec<u8>,
    r0: u64,
}

#[test]
fn every_case_gives_what_it_says_on_both_engines() {
    let platform = in_process();
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("engine");
    let mut files: Vec<_> = std::fs::read_dir(dir)
        .expect("the cases")
        .map(|e| e.expect("an entry").path())
        .filter(|p| p.extension().is_some_and(|e| e == "s"))
        .collect();
    files.sort();
    let (mut runs, mut wrong) = (0, Vec::new());
    for file in &files {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        let text = std::fs::read_to_string(file).expect("a text");
        match case(&platform, &name, &text) {
            Ok(n) => runs += n,
            // A feature that the verifier does not model yet is no engine's fault.
            Err(e) if e.contains("unsupported: ") => println!("not run: {name}: {e}"),
            Err(e) => wrong.push(format!("{name}: {e}")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    println!("{runs} runs of {} cases", files.len());
    assert!(runs >= files.len(), "a case without a run");
}

fn case(
    platform: &std::sync::Arc<probity_platform::Platform>,
    name: &str,
    text: &str,
) -> Result<usize, String> {
    let runs = runs(text)?;
    if runs.is_empty() {
        return Err("no line `# run … = r0`".into());
    }
    let object = assemble(platform, name, text)?;
    let verified = prove(platform, &object)?;
    let kind = verified.programs()[0].prog_type().0;
    let verified = std::sync::Arc::new(verified);
    for lowerings in sets() {
        let pair = Pair::with(verified.clone(), lowerings).map_err(|e| e.to_string())?;
        for (map, slot, program) in slots(text)? {
            for instance in [pair.interp.instance(), pair.jit.instance()] {
                let index = instance.program_index(program).ok_or("no such program")?;
                let put = instance.insert_program(map, slot, index);
                put.map_err(|e| e.to_string())?;
            }
        }
        for run in &runs {
            let (i, j) = pair.call(0, &|| context(kind, &run.words, &run.packet), 0);
            if i != j {
                let what = format!("line {}, {lowerings}", run.line);
                return Err(format!("{what}: interp {i:x?}\njit {j:x?}"));
            }
            if i.result != Ok(run.r0) {
                return Err(format!(
                    "line {}: r0 is {:x?}, not {:#x}",
                    run.line, i.result, run.r0
                ));
            }
        }
    }
    Ok(runs.len())
}

/// All lowerings, none, each alone, and all but each.
fn sets() -> Vec<Lowerings> {
    let mut sets = vec![Lowerings::ALL, Lowerings::NONE];
    for (_, one) in Lowerings::NAMES {
        sets.extend([*one, Lowerings::ALL.without(*one)]);
    }
    sets
}

/// The lines `# slot MAP NUMBER PROGRAM`: what program arrays hold.
fn slots(text: &str) -> Result<Vec<(&str, u32, &str)>, String> {
    let lines = text.lines().filter_map(|l| l.strip_prefix("# slot "));
    lines
        .map(|l| match l.split_whitespace().collect::<Vec<_>>()[..] {
            [map, slot, program] => Ok((map, slot.parse().map_err(|_| l)?, program)),
            _ => Err(l.to_string()),
        })
        .collect()
}

fn runs(text: &str) -> Result<Vec<Run>, String> {
    let mut out = Vec::new();
    for (n, line) in text.lines().enumerate() {
        let Some(rest) = line.strip_prefix("# run") else {
            continue;
        };
        let bad = || format!("line {}: {line}", n + 1);
        let (inputs, r0) = rest.rsplit_once(" = ").ok_or_else(bad)?;
        let mut run = Run {
            line: n + 1,
            words: Vec::new(),
            packet: Vec::new(),
            r0: number(r0).ok_or_else(bad)?,
        };
        for input in inputs.split_whitespace() {
            if let Some(words) = input.strip_prefix("words=") {
                for w in words.split(',') {
                    run.words.push(number(w).ok_or_else(bad)?);
                }
            } else if let Some(hex) = input.strip_prefix("packet=") {
                for n in (0..hex.len()).step_by(2) {
                    let byte = hex.get(n..n + 2).ok_or_else(bad)?;
                    run.packet
                        .push(u8::from_str_radix(byte, 16).map_err(|_| bad())?);
                }
            } else {
                return Err(bad());
            }
        }
        out.push(run);
    }
    Ok(out)
}

fn number(s: &str) -> Option<u64> {
    let s = s.trim();
    if let Some(s) = s.strip_prefix('-') {
        return number(s).map(u64::wrapping_neg);
    }
    match s.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).ok(),
        None => s.parse().ok(),
    }
}
