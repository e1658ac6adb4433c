//! `probity dis OBJECT`: the programs of an object as assembly text.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, bail};
use probity_isa::Dialect;
use probity_objfile::{Object, Program};

use crate::{input, kernel, output};

/// Disassemble the programs of an object, with their source lines
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  probity dis programs/exec-snoop/exec-snoop.o
  probity dis object.o --program xdp_firewall --no-source")]
pub struct Args {
    /// The object, or an assembly file
    object: PathBuf,
    /// Only this program
    #[arg(short, long, value_name = "NAME")]
    program: Option<String>,
    /// Without the lines of the source
    #[arg(long)]
    no_source: bool,
    /// Mnemonics, as GNU binutils and ubpf write them: `add %r1, 5`
    #[arg(long)]
    gnu: bool,
}

pub fn run(args: Args) -> Result<ExitCode> {
    let platform = kernel::platform(None);
    let object = input::object(&args.object, &platform)?;
    let programs = select(&object, args.program.as_deref())?;
    for (n, program) in programs.into_iter().enumerate() {
        if n > 0 {
            output::line("")?;
        }
        let (bold, dim) = (output::BOLD, output::DIM);
        output::line(format_args!(
            "{bold}{}{bold:#}  {dim}{}{dim:#}",
            program.name, program.hook
        ))?;
        let dialect = match args.gnu {
            true => Dialect::Gnu,
            false => Dialect::Llvm,
        };
        print(program, &object, &platform, !args.no_source, dialect)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// One program, an instruction a line.
pub fn print(
    program: &Program,
    object: &Object,
    platform: &probity_platform::Platform,
    source: bool,
    dialect: Dialect,
) -> Result<()> {
    let (bold, dim) = (output::BOLD, output::DIM);
    let insns = match probity_isa::decode(&program.insns) {
        Ok(insns) => insns,
        Err(e) => bail!("{}: {e}", program.name),
    };
    let mut last = None;
    for (pc, insn) in insns.iter().enumerate() {
        if let Some(sub) = program.subprogs.iter().find(|s| s.start == pc && pc > 0) {
            output::line(format_args!("{bold}{}:{bold:#}", sub.name))?;
        }
        let line = program.line_at(pc).filter(|l| l.pc == pc && source);
        if let Some(line) = line
            && last != Some((line.file.clone(), line.line))
        {
            output::line(format_args!(
                "{dim}      ; {}  {}:{}{dim:#}",
                line.text.trim(),
                line.file,
                line.line
            ))?;
            last = Some((line.file.clone(), line.line));
        }
        if !matches!(insn, probity_isa::Insn::Imm64High) {
            output::line(format_args!(
                "{pc:>5}: {}",
                annotate(insn, pc, program, object, platform, dialect)
            ))?;
        }
    }
    Ok(())
}

/// The program of that name, or all.
pub fn select<'a>(object: &'a Object, name: Option<&str>) -> Result<Vec<&'a Program>> {
    let Some(name) = name else {
        if object.programs.is_empty() {
            bail!("{} holds no programs", object.name);
        }
        return Ok(object.programs.iter().collect());
    };
    match object.program(name) {
        Some(program) => Ok(vec![program]),
        None => {
            let names: Vec<&str> = object.programs.iter().map(|p| p.name.as_str()).collect();
            bail!(
                "no program `{name}` in {}; there are: {}",
                object.name,
                names.join(", ")
            )
        }
    }
}

/// The instruction's text with what its numbers mean.
fn annotate(
    insn: &probity_isa::Insn,
    pc: usize,
    program: &Program,
    object: &Object,
    platform: &probity_platform::Platform,
    dialect: Dialect,
) -> String {
    use probity_isa::{CallTarget, Imm64, Insn};
    let meaning = match insn {
        Insn::Call(CallTarget::Helper(id)) => {
            platform.helper(*id).map(|h| format!("bpf_{}", h.name))
        }
        Insn::Call(CallTarget::Subprog { rel }) => function(program, pc as i64 + 1 + *rel as i64),
        Insn::LoadImm64 { imm, .. } => match imm {
            Imm64::MapIdx(n) => object
                .maps
                .get(*n as usize)
                .map(|m| format!("map {}", m.name)),
            Imm64::MapIdxValue { index, off } => object
                .maps
                .get(*index as usize)
                .map(|m| format!("map {} + {off}", m.name)),
            Imm64::Func { rel } => function(program, pc as i64 + 1 + *rel as i64),
            _ => None,
        },
        _ => None,
    };
    let external = program
        .extern_refs
        .iter()
        .find(|r| r.pc == pc)
        .and_then(|r| object.externs.get(r.index));
    let core = program.core_relocs.iter().find(|r| r.pc == pc);
    let text = insn.written(dialect);
    let mut notes: Vec<String> = meaning.into_iter().collect();
    notes.extend(external.map(|e| format!("extern {}", e.name)));
    notes.extend(core.map(|c| {
        let name = object
            .btf
            .as_ref()
            .map(|b| b.type_name(c.type_id))
            .unwrap_or_default();
        format!("CO-RE {name} {}", c.access)
    }));
    if notes.is_empty() {
        return text;
    }
    let dim = output::DIM;
    format!("{text:<40} {dim}; {}{dim:#}", notes.join(", "))
}

fn function(program: &Program, target: i64) -> Option<String> {
    program
        .subprogs
        .iter()
        .find(|s| s.start as i64 == target)
        .map(|s| s.name.clone())
}
