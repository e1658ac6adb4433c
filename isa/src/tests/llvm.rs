//! LLVM's assembler and disassembler as the second opinion, where they are installed.

use std::io::Write;
use std::process::{Command, Stdio};

use super::samples;
use crate::table::{Kind, Pseudo, TABLE};
use crate::*;

/// The output of a tool given `input`, or `None` if there is no such tool.
fn run(tool: &str, args: &[&str], input: &[u8]) -> Option<Vec<u8>> {
    let names = [format!("{tool}-22"), tool.to_owned()];
    let mut child = names.iter().find_map(|name| {
        let mut command = Command::new(name);
        command.args(args);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        command.stderr(Stdio::piped()).spawn().ok()
    });
    let Some(child) = child.as_mut() else {
        println!("skipped: no {tool}, which is to compare with");
        return None;
    };
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let writer = std::thread::spawn(move || stdin.write_all(&input));
    let mut out = Vec::new();
    let mut stderr = child.stderr.take().unwrap();
    let errors = std::thread::spawn(move || {
        let mut text = String::new();
        let _ = std::io::Read::read_to_string(&mut stderr, &mut text);
        text
    });
    std::io::Read::read_to_end(&mut child.stdout.take().unwrap(), &mut out).unwrap();
    let _ = writer.join().unwrap();
    let errors = errors.join().unwrap();
    assert!(child.wait().unwrap().success(), "{tool}: {errors}");
    Some(out)
}

/// Whether LLVM's syntax can say it.
fn llvm_can_say(kind: Kind, insn: Insn) -> bool {
    match kind {
        Kind::LoadImm64(pseudo) => pseudo == Pseudo::Value,
        Kind::CallSubprog | Kind::CallKfunc => false,
        Kind::LoadInd(_) => matches!(insn, Insn::LoadPacket { imm: 0, .. }),
        // Its parser takes 16 bits only.
        Kind::JumpLong => matches!(insn, Insn::Jump { rel, .. } if i16::try_from(rel).is_ok()),
        _ => true,
    }
}

/// Samples that LLVM can say: their instructions and slots.
fn cases() -> Vec<(Insn, Vec<RawInsn>)> {
    let mut cases = Vec::new();
    for row in &TABLE {
        let samples = samples::of(row);
        let step = samples.len() / 60 + 1;
        for raw in samples.into_iter().step_by(step) {
            let insn = decode(&raw).unwrap()[0];
            if llvm_can_say(row.kind, insn) {
                cases.push((insn, raw));
            }
        }
    }
    cases
}

#[test]
fn llvm_mc_encodes_our_text_as_we_do() {
    let cases = cases();
    let text: String = cases.iter().map(|(insn, _)| format!("{insn}\n")).collect();
    let args = ["-triple", "bpfel", "-mcpu=v4", "--show-encoding"];
    let Some(out) = run("llvm-mc", &args, text.as_bytes()) else {
        return;
    };
    let out = String::from_utf8(out).unwrap();
    let theirs: Vec<Vec<u8>> = out
        .lines()
        .filter_map(|line| line.split_once("# encoding: [")?.1.split_once(']'))
        .map(|(bytes, _)| {
            let byte = |b: &str| u8::from_str_radix(b.trim_start_matches("0x"), 16).unwrap();
            bytes.split(',').map(byte).collect()
        })
        .collect();
    assert_eq!(theirs.len(), cases.len());
    assert!(cases.len() > 3000);
    for ((insn, raw), theirs) in cases.iter().zip(theirs) {
        assert_eq!(to_bytes(raw), theirs, "{insn}");
    }
}

#[test]
fn we_read_what_llvm_objdump_prints() {
    let cases = cases();
    let mut text = String::from("start:\n");
    for (_, raw) in &cases {
        let bytes: Vec<String> = to_bytes(raw).iter().map(u8::to_string).collect();
        text += &format!(".byte {}\n", bytes.join(","));
    }
    let path = std::env::temp_dir().join(format!("probity-isa-{}.o", std::process::id()));
    let name = path.to_str().unwrap();
    let args = ["-triple", "bpfel", "-filetype=obj", "-o", name];
    let Some(_) = run("llvm-mc", &args, text.as_bytes()) else {
        return;
    };
    for cpu in ["--mcpu=v3", "--mcpu=v4"] {
        let args = ["-d", "--no-show-raw-insn", cpu, name];
        let Some(out) = run("llvm-objdump", &args, b"") else {
            break;
        };
        let out = String::from_utf8(out).unwrap();
        let lines: Vec<&str> = out
            .lines()
            .filter_map(|line| {
                let (pc, text) = line.split_once(":\t")?;
                pc.trim().parse::<u32>().ok()?;
                // The name of a jump's target follows in angle brackets.
                let target = text.rfind(" <").filter(|_| text.ends_with('>'));
                Some(text[..target.unwrap_or(text.len())].trim())
            })
            .filter(|line| !line.starts_with("..."))
            .collect();
        assert_eq!(lines.len(), cases.len());
        for ((insn, _), line) in cases.iter().zip(lines) {
            let parsed: Insn = line.parse().unwrap_or_else(|e| panic!("{line}: {e}"));
            assert_eq!(parsed, *insn, "{line}");
        }
    }
    std::fs::remove_file(path).unwrap();
}
