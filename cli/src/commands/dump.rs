//! `probity dump --stage STAGE FILE`: what one stage hands to the next, as text.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Result, bail};
use clap::ValueEnum;
use probity_host::Host;
use probity_verifier::Verdict;

use super::{dis, verify};
use crate::{input, kernel, output};

/// Show what a stage makes of a file, as the tests see it
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  probity dump --stage object programs/exec-snoop/exec-snoop.o
  probity dump --stage states programs/tc-meter/tc-meter.o
  probity dump --stage clif programs/xdp-firewall/xdp-firewall.o --program xdp_firewall
  probity dump --stage facts --host programs/hosts/gateway/extensions/gateway.json \\
      programs/hosts/gateway/extensions/guard.o
  probity dump --stage ast programs/scripts/off-cpu.bt")]
pub struct Args {
    /// An object, an assembly file or (for ast) a script
    file: PathBuf,
    /// Which stage
    #[arg(short, long)]
    stage: Stage,
    /// Only this program
    #[arg(short, long, value_name = "NAME")]
    program: Option<String>,
    /// An extension of the host that this file describes
    #[arg(long, value_name = "FILE", conflicts_with_all = ["btf", "prog_type"])]
    host: Option<PathBuf>,
    #[command(flatten)]
    common: verify::Common,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Stage {
    /// The syntax tree of a script
    Ast,
    /// What the file holds: programs, maps, externs
    Object,
    /// Instructions after relocation against the kernel's types
    Relocated,
    /// The verifier's state before each instruction it visits
    States,
    /// What is proved about each instruction
    Facts,
    /// Cranelift's intermediate form
    Clif,
    /// The machine code
    Machine,
}

/// States shown at most; more is not for reading.
const MOST_STATES: usize = 20_000;

pub fn run(args: Args) -> Result<ExitCode> {
    if args.stage == Stage::Ast {
        let text = input::read_text(&args.file)?;
        match probity_script::parse(&text, &input::name(&args.file)) {
            Ok(ast) => output::line(ast)?,
            Err(diagnostics) => bail!("{diagnostics}"),
        }
        return Ok(ExitCode::SUCCESS);
    }
    let host = args.host.as_deref().map(super::hook::description);
    let host = host.transpose()?;
    let host = host.map(|host| Host::of(host).build()).transpose()?;
    let platform = match &host {
        Some(host) => host.platform().clone(),
        None => kernel::platform(kernel::types(args.common.btf.as_deref())?),
    };
    let mut object = input::object(&args.file, &platform)?;
    args.common.settings.apply(&mut object)?;
    if args.stage == Stage::Object {
        return print_object(&object);
    }
    let mut options = args.common.options(&platform)?;
    options.programs = args.program.clone().map(|name| vec![name]);
    if args.stage == Stage::States {
        options.log_states = MOST_STATES;
    }
    let policy = args.common.policy()?;
    let described = host.as_ref().map(Host::description);
    let report = verify::judge(&object, described, &platform, &policy, &options)?;
    let accepted = report
        .programs
        .iter()
        .all(|p| matches!(p.verdict, Verdict::Accept(_)));
    if matches!(args.stage, Stage::Clif | Stage::Machine) {
        let Ok(verified) = report.into_verified() else {
            bail!("not accepted: see probity verify")
        };
        let instance = Arc::new(probity_runtime::Instance::new(
            Arc::new(verified),
            host.map_or_else(Default::default, |host| host.options().clone()),
        )?);
        let jit = probity_jit::Jit::new(instance.clone())?;
        for index in 0..instance.programs().len() {
            output::line(if args.stage == Stage::Clif {
                jit.clif(index)?
            } else {
                jit.assembly(index)?
            })?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    for program in &report.programs {
        output::line(format_args!("{}  {}", program.name, program.section))?;
        match (args.stage, &program.verdict) {
            (Stage::States, _) => {
                for (pc, state) in &program.log {
                    output::line(format_args!("{pc:>5}: {state}"))?;
                }
            }
            (Stage::Relocated, _) => {
                let relocated = report.relocated();
                if let Some(p) = relocated.object.program(&program.name) {
                    dis::print(p, &relocated.object, &platform, false, Default::default())?;
                }
            }
            (_, Verdict::Accept(proof)) => {
                for (pc, (insn, fact)) in proof.insns().iter().zip(proof.facts()).enumerate() {
                    output::line(format_args!(
                        "{pc:>5}: {:<36} {}",
                        insn.to_string(),
                        fact_text(fact)
                    ))?;
                }
            }
            (_, Verdict::Reject(_)) => output::line("  not accepted: see probity verify")?,
        }
    }
    Ok(if accepted {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn fact_text(fact: &probity_verifier::Fact) -> String {
    if !fact.reached {
        return "never reached".into();
    }
    let mut parts = Vec::new();
    if let Some(access) = &fact.access {
        let at = access
            .offset
            .map_or("anywhere in bounds".to_string(), |o| format!("at {o}"));
        parts.push(format!("{:?} {at}", access.region));
    }
    parts.extend(fact.map.map(|m| format!("map {m}")));
    parts.extend(fact.decided.map(|taken| {
        if taken {
            "always taken".into()
        } else {
            "never taken".to_string()
        }
    }));
    parts.join(", ")
}

fn print_object(object: &probity_objfile::Object) -> Result<ExitCode> {
    output::line(format_args!(
        "object {}  license {}",
        object.name,
        object.license.as_deref().unwrap_or("none")
    ))?;
    for p in &object.programs {
        let functions: Vec<&str> = p.subprogs.iter().map(|s| s.name.as_str()).collect();
        output::line(format_args!(
            "program {}  section {}  {} slots  functions {}  {} lines  {} CO-RE relocations",
            p.name,
            p.hook,
            p.insns.len(),
            functions.join(" "),
            p.lines.len(),
            p.core_relocs.len(),
        ))?;
    }
    let platform = kernel::platform(None);
    for (n, m) in object.maps.iter().enumerate() {
        let kind = platform
            .map_kind(m.kind)
            .map_or_else(|| m.kind.to_string(), |k| k.name.to_string());
        output::line(format_args!(
            "map {n} {}  {kind}  key {}  value {}  entries {}  flags {:#x}",
            m.name, m.key_size, m.value_size, m.max_entries, m.flags
        ))?;
    }
    for e in &object.externs {
        output::line(format_args!(
            "extern {}  {:?}{}",
            e.name,
            e.kind,
            if e.weak { "  weak" } else { "" }
        ))?;
    }
    for s in &object.struct_ops {
        output::line(format_args!("struct_ops {}  {}", s.name, s.type_name))?;
    }
    Ok(ExitCode::SUCCESS)
}
