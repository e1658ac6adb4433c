//! `probity plugin [MEMORY]`: one program from standard input, run on some memory: the plugin protocol of bpf_conformance.
//!
//! The program is verified as any other. What calls it is three lines of the plugin's own before its first
//! instruction: r1 is the memory (the value of an array), r2 its length, all other registers are 0.
//!
//! **Invariant:** a program that is not proved safe does not run: it is refused on standard error.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use clap::ValueEnum;
use probity_isa::{AluOp, CallTarget, CpuVersion, Imm64, Insn, Pc, RawInsn, Reg, Src, Width};
use probity_objfile::{self as objfile, Hook, Object, Program, Subprog};
use probity_platform::Policy;
use probity_runtime::{Context, Instance, Options};
use probity_verifier::Verdict;

use super::run::EngineKind;
use crate::output;

/// Run one program, hex on standard input, and print its result: a bpf_conformance plugin
#[derive(clap::Args)]
#[command(
    override_usage = "probity plugin [OPTIONS] [MEMORY]",
    after_help = "\
Options, in any order, before or after MEMORY:
  --engine jit|interp   which engine [default: jit]
  --cpu v1|v2|v3|v4     refuse instructions that came later [default: v4]
  --elf                 standard input is an ELF object, in hex
  --debug               say on standard error what is run

MEMORY is hex bytes, with or without spaces; none when it is empty. The program gets its
address in r1 and its length in r2; the result is r0 in hex. A program that is no valid one,
or cannot be proved safe, is refused on standard error, with exit status 1.

Examples:
  echo b700000005000000 9500000000000000 | probity plugin
  bpf_conformance_runner --test_file_directory tests --plugin_path probity-plugin.sh"
)]
pub struct Args {
    #[arg(
        value_name = "WORDS",
        allow_hyphen_values = true,
        trailing_var_arg = true
    )]
    words: Vec<String>,
}

/// What the arguments ask for.
#[derive(Debug, PartialEq, Eq)]
struct Asked {
    memory: Vec<u8>,
    engine: EngineKind,
    cpu: CpuVersion,
    elf: bool,
    debug: bool,
}

pub fn run(args: Args) -> Result<ExitCode> {
    let asked = asked(&args.words)?;
    let text = std::io::read_to_string(std::io::stdin()).context("cannot read the program")?;
    let bytes = hex(&text).context("the program")?;
    let result = execute(&asked, &bytes)?;
    output::line(format_args!("{result:x}"))?;
    Ok(ExitCode::SUCCESS)
}

/// Runners hand on several options in one argument, and an empty one for none.
fn asked(words: &[String]) -> Result<Asked> {
    let mut asked = Asked {
        memory: Vec::new(),
        engine: EngineKind::Jit,
        cpu: CpuVersion::V4,
        elf: false,
        debug: false,
    };
    let mut digits = String::new();
    let mut words = words.iter().flat_map(|w| w.split_whitespace());
    while let Some(word) = words.next() {
        let (name, value) = match word.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (word, None),
        };
        let mut value = || value.or_else(|| words.next()).unwrap_or_default();
        match name {
            "--elf" => asked.elf = true,
            "--debug" => asked.debug = true,
            "--engine" => {
                let name = value();
                asked.engine = EngineKind::from_str(name, false)
                    .map_err(|_| anyhow::anyhow!("--engine is jit or interp, not `{name}`"))?;
            }
            "--cpu" | "--cpu-version" | "--cpu_version" => {
                asked.cpu = match value() {
                    "v1" => CpuVersion::V1,
                    "v2" => CpuVersion::V2,
                    "v3" => CpuVersion::V3,
                    "v4" => CpuVersion::V4,
                    other => bail!("--cpu is v1, v2, v3 or v4, not `{other}`"),
                }
            }
            _ if name.starts_with('-') => bail!("there is no option {name}"),
            _ => digits += word,
        }
    }
    asked.memory = hex(&digits).context("the memory")?;
    Ok(asked)
}

/// Bytes from hex digits, with white space anywhere between them.
fn hex(text: &str) -> Result<Vec<u8>> {
    let digits: Option<Vec<u8>> = text
        .chars()
        .filter(|c| !c.is_whitespace())
        .map(|c| c.to_digit(16).map(|d| d as u8))
        .collect();
    let digits = digits.context("has something else than hex digits")?;
    if !digits.len().is_multiple_of(2) {
        bail!("has half a byte");
    }
    Ok(digits.chunks(2).map(|d| d[0] << 4 | d[1]).collect())
}

fn execute(asked: &Asked, bytes: &[u8]) -> Result<u64> {
    let mut object = match asked.elf {
        true => from_elf(bytes)?,
        false => {
            let raw = probity_isa::from_bytes(bytes)?;
            let whole = without_dead(decoded(&raw, asked.cpu)?);
            from_insns(probity_isa::encode(&whole)?)?
        }
    };
    let memory = (!asked.memory.is_empty()).then(|| {
        let size = asked.memory.len() as u32;
        object
            .maps
            .push(objfile::Map::new("memory", ARRAY, 4, size, 1));
        object.maps.len() - 1
    });
    let program = object.programs.first_mut().context("no program")?;
    let insns = decoded(&program.insns, asked.cpu)?;
    if asked.debug {
        let listing = probity_isa::Listing::new(&insns).label_targets();
        output::note(format_args!(
            "{} bytes of memory\n{listing}",
            asked.memory.len()
        ));
    }
    let mut before = call_of(memory, asked.memory.len());
    let shift = before.len();
    before.extend(insns);
    program.insns = probity_isa::encode(&before)?;
    moved(program, shift);
    let platform = Arc::new(probity_runtime::platform(None));
    let settings = probity_verifier::Options::default();
    let report = probity_verifier::verify(&object, &platform, &Policy::default(), &settings)?;
    let rejected = report.programs.iter().find_map(|p| match &p.verdict {
        Verdict::Reject(r) => Some(r.clone()),
        _ => None,
    });
    if let Some(mut r) = rejected {
        r.pc = r.pc.map(|pc| pc.saturating_sub(shift));
        bail!("Failed to load program: {r}");
    }
    let Ok(verified) = report.into_verified() else {
        bail!("Failed to load program");
    };
    let instance = Arc::new(Instance::new(Arc::new(verified), Options::default())?);
    if let Some(map) = memory.and_then(|n| instance.map(n)) {
        map.update(&[0; 4], &asked.memory, 0)?;
    }
    let engine = asked.engine.make(instance)?;
    let mut context = Context::words(&[0; 8])?;
    Ok(engine.call(0, &mut context, 0)?.ret)
}

/// `BPF_MAP_TYPE_ARRAY`.
const ARRAY: u32 = 2;

/// Where a program of no particular hook runs.
const SECTION: &str = "raw_tracepoint";

/// What is decoded, as Linux would take it: calls through a register that holds a known number are calls of
/// that helper, and constants that Linux refuses are others of the same meaning.
fn decoded(raw: &[RawInsn], cpu: CpuVersion) -> Result<Vec<Insn>> {
    let mut insns = probity_isa::decode(raw)?;
    for (pc, insn) in insns.iter().enumerate() {
        if let Some(since) = insn.since()
            && since.cpu > cpu
        {
            bail!("instruction {pc}: `{insn}` is newer than this processor version");
        }
    }
    let targets: Vec<i64> = insns
        .iter()
        .enumerate()
        .filter_map(|(pc, i)| i.jump_target(pc).or(i.subprog_target(pc)))
        .collect();
    for pc in 0..insns.len() {
        if let Insn::Call(CallTarget::Reg(r)) = insns[pc]
            && let Some(id) = known_number(&insns, &targets, pc, r)
        {
            insns[pc] = Insn::Call(CallTarget::Helper(id));
        }
        insns[pc] = plain(insns[pc]);
    }
    Ok(insns)
}

/// An instruction that does the same, where Linux refuses this one: shifts by more bits than there are,
/// division by a constant 0.
fn plain(insn: Insn) -> Insn {
    let Insn::Alu {
        op,
        width,
        dst,
        src: Src::Imm(n),
    } = insn
    else {
        return insn;
    };
    let bits = match width {
        Width::W32 => 31,
        Width::W64 => 63,
    };
    match op {
        AluOp::Lsh | AluOp::Rsh | AluOp::Arsh => Insn::Alu {
            op,
            width,
            dst,
            src: Src::Imm(n & bits),
        },
        AluOp::Div | AluOp::SDiv if n == 0 => Insn::Mov {
            width,
            dst,
            src: Src::Imm(0),
        },
        AluOp::Mod | AluOp::SMod if n == 0 => Insn::Mov {
            width,
            dst,
            src: Src::Reg(dst),
        },
        _ => insn,
    }
}

/// Slots that some way leads to, from the start and from every function that such a way calls.
fn live(insns: &[Insn]) -> Vec<bool> {
    let mut live = vec![false; insns.len()];
    let mut work = vec![0];
    while let Some(pc) = work.pop() {
        let (Some(insn), Some(seen)) = (insns.get(pc), live.get_mut(pc)) else {
            continue;
        };
        if std::mem::replace(seen, true) {
            continue;
        }
        let next = (insn.falls_through() && !matches!(insn, Insn::Imm64High))
            .then_some((pc + insn.slots()) as i64);
        let ways = [insn.jump_target(pc), insn.subprog_target(pc), next];
        work.extend(
            ways.iter()
                .flatten()
                .filter_map(|to| usize::try_from(*to).ok()),
        );
        if insn.slots() == 2
            && let Some(second) = live.get_mut(pc + 1)
        {
            *second = true;
        }
    }
    live
}

/// Linux refuses what no way leads to; it is left out here, so that the rest runs. Programs with tables
/// of places stay as they are.
fn without_dead(insns: Vec<Insn>) -> Vec<Insn> {
    let live = live(&insns);
    if live.iter().all(|l| *l) || insns.iter().any(|i| matches!(i, Insn::JumpReg { .. })) {
        return insns;
    }
    // The new slot of each old one.
    let mut new = Vec::with_capacity(insns.len());
    let mut n = 0i64;
    for l in &live {
        new.push(n);
        n += i64::from(*l);
    }
    let place = |target: Option<i64>| {
        let old = usize::try_from(target?).ok()?;
        new.get(old).copied()
    };
    let mut out = Vec::new();
    for (pc, insn) in insns.iter().enumerate().filter(|(pc, _)| live[*pc]) {
        let far = |target| place(target).map(|to| to - new[pc] - 1);
        let near = |target| far(target).and_then(|d| i16::try_from(d).ok());
        let wide = |target| far(target).and_then(|d| i32::try_from(d).ok());
        let mut insn = *insn;
        let (jump, function) = (insn.jump_target(pc), insn.subprog_target(pc));
        match &mut insn {
            Insn::Jump { rel, .. } => *rel = wide(jump).unwrap_or(*rel),
            Insn::JumpIf { rel, .. } | Insn::MayGoto { rel } => *rel = near(jump).unwrap_or(*rel),
            Insn::Call(CallTarget::Subprog { rel })
            | Insn::LoadImm64 {
                imm: Imm64::Func { rel },
                ..
            } => *rel = wide(function).unwrap_or(*rel),
            _ => {}
        }
        out.push(insn);
    }
    out
}

/// The number that a register was set to just before, in straight code.
fn known_number(insns: &[Insn], targets: &[i64], pc: Pc, reg: Reg) -> Option<u32> {
    for at in (0..pc).rev() {
        if targets.contains(&(at as i64 + 1)) || !insns[at].falls_through() {
            return None;
        }
        if insns[at].defs().contains(reg) {
            return match insns[at] {
                Insn::Mov {
                    src: Src::Imm(n), ..
                } => u32::try_from(n).ok(),
                _ => None,
            };
        }
    }
    None
}

/// Memory in r1, its length in r2, 0 everywhere else.
fn call_of(memory: Option<usize>, len: usize) -> Vec<Insn> {
    let number = |dst, n| Insn::Mov {
        width: Width::W64,
        dst,
        src: Src::Imm(n),
    };
    let mut insns = Vec::new();
    match memory {
        Some(index) => {
            insns.push(Insn::LoadImm64 {
                dst: Reg::R1,
                imm: Imm64::MapIdxValue {
                    index: index as u32,
                    off: 0,
                },
            });
            insns.push(Insn::Imm64High);
        }
        None => insns.push(number(Reg::R1, 0)),
    }
    insns.push(number(Reg::R2, len as i32));
    for r in Reg::all().filter(|r| ![Reg::R1, Reg::R2, Reg::R10].contains(r)) {
        insns.push(number(r, 0));
    }
    insns
}

/// The places in a program, after so many slots were put before it.
fn moved(program: &mut Program, by: Pc) {
    for (n, s) in program.subprogs.iter_mut().enumerate() {
        s.start += if n == 0 { 0 } else { by };
        s.end += by;
    }
    program.lines.iter_mut().for_each(|l| l.pc += by);
    program.core_relocs.iter_mut().for_each(|r| r.pc += by);
    program.extern_refs.iter_mut().for_each(|r| r.pc += by);
    for table in &mut program.jump_tables {
        table.targets.iter_mut().for_each(|t| *t += by);
    }
}

/// An object of one program, whose functions start where its calls lead.
fn from_insns(insns: Vec<RawInsn>) -> Result<Object> {
    let decoded = probity_isa::decode(&insns)?;
    let len = insns.len();
    let called = decoded.iter().enumerate();
    let called = called.filter_map(|(pc, i)| usize::try_from(i.subprog_target(pc)?).ok());
    let mut starts: Vec<Pc> = called.filter(|pc| (1..len).contains(pc)).collect();
    starts.push(0);
    starts.sort_unstable();
    starts.dedup();
    let ends = starts.iter().skip(1).copied().chain([len]);
    let subprogs = starts.iter().zip(ends).map(|(&start, end)| Subprog {
        name: if start == 0 {
            "main".into()
        } else {
            format!("sub_{start}")
        },
        start,
        end,
        func: None,
        global: false,
    });
    let program = Program {
        name: "main".into(),
        hook: Hook::parse(SECTION),
        insns,
        subprogs: subprogs.collect(),
        lines: Vec::new(),
        core_relocs: Vec::new(),
        extern_refs: Vec::new(),
        jump_tables: Vec::new(),
        exception_cb: None,
    };
    Ok(Object {
        name: "plugin".into(),
        elf: Arc::from(&[][..]),
        license: Some("GPL".into()),
        kernel_version: None,
        programs: vec![program],
        maps: Vec::new(),
        btf: None,
        externs: Vec::new(),
        struct_ops: Vec::new(),
    })
}

/// The first program of an object; where there is none, the code of its `.text`.
fn from_elf(bytes: &[u8]) -> Result<Object> {
    use object::{Object as _, ObjectSection as _};
    let mut object = objfile::open("plugin", bytes)?;
    if object.programs.is_empty() {
        let file = object::File::parse(bytes)?;
        let text = file
            .section_by_name(".text")
            .context("no program in the object")?;
        let mut alone = from_insns(probity_isa::from_bytes(text.data()?)?)?;
        object.programs.append(&mut alone.programs);
    }
    object.programs.truncate(1);
    object.license = Some("GPL".into());
    for program in &mut object.programs {
        program.hook = Hook::parse(SECTION);
        if let Some(main) = program.subprogs.first_mut() {
            // The caller is this plugin, whatever the function's type says.
            main.func = None;
            main.global = false;
        }
    }
    Ok(object)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[&str]) -> Result<Asked> {
        asked(&words.iter().map(|w| w.to_string()).collect::<Vec<_>>())
    }

    /// What a text of assembly gives on both engines.
    fn gives(text: &str, memory: &[u8]) -> Result<u64> {
        let assembly = probity_isa::assemble(text, &|_| None)?;
        let raw = probity_isa::encode(assembly.sections[0].insns())?;
        let run = |engine| {
            let asked = Asked {
                memory: memory.to_vec(),
                engine,
                cpu: CpuVersion::V4,
                elf: false,
                debug: false,
            };
            execute(&asked, &probity_isa::to_bytes(&raw))
        };
        let (interp, jit) = (run(EngineKind::Interp), run(EngineKind::Jit));
        assert_eq!(
            interp.as_ref().map_err(|e| e.to_string()),
            jit.as_ref().map_err(|e| e.to_string())
        );
        jit
    }

    #[test]
    fn arguments_in_any_order() {
        let some = words(&[
            "aa bb  0C ",
            "--elf --debug",
            "--engine",
            "interp",
            "--cpu=v3",
        ]);
        let expected = Asked {
            memory: vec![0xaa, 0xbb, 0x0c],
            engine: EngineKind::Interp,
            cpu: CpuVersion::V3,
            elf: true,
            debug: true,
        };
        assert_eq!(some.expect("arguments"), expected);
        assert!(words(&["", ""]).expect("arguments").memory.is_empty());
        for bad in [
            &["abc"][..],
            &["xy"],
            &["--engine", "ubpf"],
            &["--fast"],
            &["--cpu"],
        ] {
            assert!(words(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn programs_get_memory_and_its_length() {
        let sum = "mov r0, 0\nagain: jeq r2, 0, out\nldxb r3, [r1]\nadd r0, r3\nadd r1, 1\nsub r2, 1\nja again\nout: exit";
        assert_eq!(gives(sum, &[1, 2, 3, 250]).expect("a sum"), 256);
        assert_eq!(
            gives("mov r0, r1\nadd r0, r2\nexit", &[]).expect("no memory"),
            0
        );
        assert_eq!(
            gives("stxb [r1+1], r2\nldxh r0, [r1]\nexit", &[7, 0]).expect("a store"),
            0x207
        );
        assert_eq!(
            gives("mov r0, r1\nsub r0, r1\nexit", &[1]).expect("a difference"),
            0
        );
        assert_eq!(
            gives("ldxw r0, [r10-4]\nexit", &[]).expect("unwritten stack"),
            0
        );
    }

    #[test]
    fn calls() {
        let local =
            "mov r1, 5\ncall local twice\nadd r0, 1\nexit\ntwice: mov r0, r1\nadd r0, r1\nexit";
        assert_eq!(gives(local, &[]).expect("a call"), 11);
        assert_eq!(gives("call 5\nmov r0, 2\nexit", &[]).expect("helper 5"), 2);
        assert_eq!(
            gives("mov r2, 5\ncallx r2\nmov r0, 2\nexit", &[]).expect("callx"),
            2
        );
    }

    #[test]
    fn what_only_linux_refuses_runs() {
        let runs = |text: &str| gives(text, &[]).unwrap_or_else(|e| panic!("{text}: {e}"));
        assert_eq!(runs("mov r0, 7\ndiv r0, 0\nexit"), 0);
        assert_eq!(runs("mov r0, 7\nmod r0, 0\nexit"), 7);
        assert_eq!(runs("lddw r0, 0x100000007\nmod32 r0, 0\nexit"), 7);
        assert_eq!(runs("mov r0, 1\nlsh r0, 65\nexit"), 2);
        assert_eq!(runs("mov r0, 1\nlsh32 r0, 33\nexit"), 2);
        let dead = "mov r0, 3\nja over\nlddw r0, 1\ndead: mov r0, 4\nexit\nover: jeq r1, 5, dead2\n\
            call local f\nexit\nja dead\ndead2: mov r0, 9\nexit\nmov r0, 8\nf: mov r0, 6\nexit";
        assert_eq!(runs(dead), 6);
    }

    #[test]
    fn what_is_not_safe_or_not_valid_is_refused() {
        let refused = |text: &str, memory: &[u8]| gives(text, memory).expect_err(text).to_string();
        assert!(refused("ldxb r0, [r1+2]\nexit", &[1, 2]).contains("Failed to load"));
        assert!(refused("ldxb r0, [r1]\nexit", &[]).contains("Failed to load"));
        assert!(refused("stdw [r10-4], 1\nmov r0, 0\nexit", &[]).contains("Failed to load"));
        assert!(refused("mov r2, r1\ncallx r2\nexit", &[]).contains("callx"));
        let run = |hex_text: &str, cpu| {
            let asked = Asked {
                cpu,
                ..words(&[]).expect("nothing")
            };
            execute(&asked, &hex(hex_text).expect("hex"))
        };
        // A source register where none is used; an offset; a register 11; half an instruction.
        for bad in [
            "b710000005000000 9500000000000000",
            "b700010005000000 9500000000000000",
            "b70b000005000000 9500000000000000",
            "9500000001000000",
            "b700000005000000 95000000",
            "",
        ] {
            assert!(run(bad, CpuVersion::V4).is_err(), "{bad}");
        }
        // A 32-bit jump came with version 3.
        let jump = "b700000005000000 1600000005000000 9500000000000000";
        assert_eq!(run(jump, CpuVersion::V3).expect("a jump"), 5);
        assert!(run(jump, CpuVersion::V2).is_err());
    }
}
