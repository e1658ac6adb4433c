//! `probity verify OBJECT…`: is every program safe, and if not, why not.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use probity_host::HostDescription;
use probity_objfile::{Hook, Object, ProgType, Program, Target};
use probity_platform::{NEWEST, Platform, Policy, Version};
use probity_verifier::{ProgramReport, Report, Rule, Verdict};
use serde_json::json;

use crate::settings::Settings;
use crate::{input, kernel, output, parallel, render};

/// Prove that every program of an object is safe, or say which rule it breaks and where
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  probity verify programs/xdp-firewall/xdp-firewall.o
  probity verify --json programs/*/*.o
  probity verify --policy vendor.toml extension.o
  probity verify --kernel 6.1 --btf vmlinux-6.1 extension.o
  probity verify --prog-type xdp program.s
  probity verify --quiet --jobs 4 objects

One line a program. With --json one object a line, with the keys
  object program section prog_type verdict(accept|reject|unsupported) insns processed
  states peak_states stack_depth worst_case_insns time_us, for what is accepted without
  a bound worst_case_why, and for what is not accepted error{insn source kind message}.
worst_case_insns is what one run executes at most: loops by their laps, functions with
  what they call; null with worst_case_why(iterator|may_goto|callback|loop).
\"unsupported\" names what the verifier does not model yet; it is never an acceptance.
Exit status 0 when every program is accepted, 1 otherwise.")]
pub struct Args {
    /// Objects (ELF), assembly files (.s), or directories with objects below them
    #[arg(required = true, value_name = "OBJECT")]
    objects: Vec<PathBuf>,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    common: Common,
    /// What this version of Linux has: 6.1 to 6.18, or `running` [default: 6.18]
    ///
    /// Helpers, kernel functions, map and program kinds, attach types, context fields and instructions
    /// that it lacks are refused. The analysis itself stays the same: an older kernel may give up on
    /// loops or forget what is known of values where this one does not.
    #[arg(long, value_name = "VERSION", value_parser = kernel::version)]
    kernel: Option<Version>,
    /// Verify extensions of the host that this file describes, each against its hook
    #[arg(long, value_name = "FILE", conflicts_with_all = ["kernel", "prog_type", "btf"])]
    host: Option<PathBuf>,
    /// Only this program
    #[arg(short, long, value_name = "NAME")]
    program: Option<String>,
    /// Objects verified at the same time; each takes memory of its own [default: one a processor]
    #[arg(short, long, value_name = "N")]
    jobs: Option<NonZeroUsize>,
    /// Verdicts only, without the explanations
    #[arg(short, long, conflicts_with = "json")]
    quiet: bool,
    /// Functions open to error injection, which fmod_ret and sleepable programs may attach to
    /// [default: /sys/kernel/debug/error_injection/list, with the running kernel's types]
    #[arg(long, value_name = "FILE")]
    injectable: Option<PathBuf>,
}

/// What `verify`, `run` and `attach` share.
#[derive(clap::Args)]
pub struct Common {
    /// Types to relocate against: raw BTF or an ELF file with a .BTF section [default: the running kernel's]
    #[arg(long, value_name = "FILE")]
    pub btf: Option<PathBuf>,
    /// Configuration of the kernel, for `CONFIG_…` variables [default: the running kernel's, with its types]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// What is allowed of what the platform offers (TOML: helpers, map_kinds, prog_kinds, max_insns, …)
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,
    /// Verify as this kind of program, whatever the section says (xdp, socket_filter, kprobe, …, or a section's name: tc)
    #[arg(long, value_name = "KIND")]
    pub prog_type: Option<String>,
    #[command(flatten)]
    pub settings: Settings,
}

impl Common {
    pub fn policy(&self) -> Result<Policy> {
        let Some(path) = &self.policy else {
            return Ok(Policy::default());
        };
        let text = input::read_text(path)?;
        Policy::from_toml(&text).with_context(|| format!("in the policy {}", path.display()))
    }

    pub fn options(&self, platform: &Platform) -> Result<probity_verifier::Options> {
        let mut options = probity_verifier::Options {
            kconfig: kernel::configuration(self.config.as_deref(), self.btf.is_none())?,
            ..probity_verifier::Options::default()
        };
        if let Some(name) = &self.prog_type {
            let kind = platform.prog_kinds.iter().find(|k| k.name == *name);
            options.prog_type = kind
                .map(|k| ProgType(k.kind))
                .or_else(|| Hook::parse(name).prog_type);
            if options.prog_type.is_none() {
                let known: Vec<&str> = platform.prog_kinds.iter().map(|k| k.name).collect();
                bail!("no program kind `{name}`; there are: {}", known.join(", "));
            }
        }
        Ok(options)
    }
}

pub fn run(args: Args) -> Result<ExitCode> {
    let host = args.host.as_deref().map(super::hook::description);
    let host = host.transpose()?;
    let platform = Arc::new(match &host {
        Some(host) => host.platform(),
        None => linux(&args)?,
    });
    let policy = args.common.policy()?;
    let mut options = args.common.options(&platform)?;
    options.programs = args.program.map(|name| vec![name]);
    let objects = input::objects(&args.objects)?;
    let threads = parallel::threads(args.jobs);
    // Where there are fewer objects, programs of one are verified side by side.
    options.jobs = threads / objects.len().max(1);
    let mut ok = true;
    let progress = output::progress(objects.len());
    let verify = |path: &PathBuf| -> Result<(bool, String)> {
        progress.set_message(path.display().to_string());
        let object = read(path, &platform, &args.common.settings)?;
        let report = judge(&object, host.as_ref(), &platform, &policy, &options)?;
        let mut told = String::new();
        let mut ok = true;
        for program in &report.programs {
            ok &= matches!(program.verdict, Verdict::Accept(_));
            match args.json {
                true => told += &json(path, program)?,
                false => told += &text(path, program, args.quiet),
            }
        }
        Ok((ok, told))
    };
    let told = parallel::in_order(&objects, threads, verify, |_, verdicts| {
        match verdicts {
            Ok((accepted, told)) => {
                ok &= accepted;
                progress.suspend(|| output::text(&told))?;
            }
            // One bad file does not keep the others from being looked at.
            Err(error) => {
                ok = false;
                progress.suspend(|| output::error(&error));
            }
        }
        progress.inc(1);
        Ok(())
    });
    progress.finish_and_clear();
    told?;
    Ok(if ok {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Linux, as the arguments say.
fn linux(args: &Args) -> Result<Platform> {
    let types = kernel::types(args.common.btf.as_deref())?;
    let mut platform = Platform::linux(args.kernel.unwrap_or(NEWEST), types);
    let running = args.common.btf.is_none();
    platform.injectable = kernel::injectable(args.injectable.as_deref(), running)?;
    Ok(platform)
}

pub fn one(
    path: &Path,
    platform: &Arc<Platform>,
    policy: &Policy,
    options: &probity_verifier::Options,
    settings: &Settings,
) -> Result<Report> {
    let object = read(path, platform, settings)?;
    judge(&object, None, platform, policy, options)
}

/// An object that holds programs, as its loader would have it.
fn read(path: &Path, platform: &Platform, settings: &Settings) -> Result<Object> {
    let mut object = input::object(path, platform)?;
    settings.apply(&mut object)?;
    if object.programs.is_empty() {
        bail!("{} holds no programs", path.display());
    }
    Ok(object)
}

/// Verdicts on an object for Linux, or for the hooks of a host; `platform` is that one's.
pub fn judge(
    object: &Object,
    host: Option<&HostDescription>,
    platform: &Arc<Platform>,
    policy: &Policy,
    options: &probity_verifier::Options,
) -> Result<Report> {
    if let Some(host) = host {
        return Ok(host.verify(object, platform, policy, options)?);
    }
    let hosted = |p: &&Program| matches!(p.hook.target, Target::Host { .. });
    let hosted = object.programs.iter().find(hosted);
    if let Some(program) = hosted.filter(|_| options.prog_type.is_none()) {
        bail!(
            "`{}` of {} is for a hook of a host ({}): what that host offers is said with --host FILE, its description",
            program.name,
            object.name,
            program.hook.section
        );
    }
    Ok(probity_verifier::verify(object, platform, policy, options)?)
}

pub fn verdict(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Accept(_) => "accept",
        Verdict::Reject(r) if r.rule == Rule::Unsupported => "unsupported",
        Verdict::Reject(_) => "reject",
    }
}

pub fn print_text(path: &Path, p: &ProgramReport, quiet: bool) -> Result<()> {
    Ok(output::text(text(path, p, quiet))?)
}

/// A line, and for what is not accepted the explanation.
fn text(path: &Path, p: &ProgramReport, quiet: bool) -> String {
    let (style, word) = match &p.verdict {
        Verdict::Accept(_) => (output::GOOD, "accept"),
        other => (output::BAD, verdict(other)),
    };
    let s = &p.stats;
    let rule = match &p.verdict {
        Verdict::Reject(r) => format!(
            "  {}{}",
            r.rule.name(),
            render::place(r)
                .map(|p| format!(" at {p}"))
                .unwrap_or_default()
        ),
        Verdict::Accept(_) => String::new(),
    };
    let worst = match (s.worst_case_insns, s.worst_case_why) {
        (Some(n), _) => format!(", at most {n} executed"),
        (None, Some(why)) => format!(", no bound ({})", why.name()),
        (None, None) => String::new(),
    };
    let line = format!(
        "{style}{word:<11}{style:#} {}  {}  {}  {} insns, {} processed, {} states, stack {}{worst}, {:.2} ms{rule}\n",
        path.display(),
        p.name,
        if p.prog_type.is_empty() {
            "?"
        } else {
            &p.prog_type
        },
        p.insns,
        s.processed,
        s.states,
        s.stack_depth,
        s.time_ns as f64 / 1e6,
    );
    match &p.verdict {
        Verdict::Reject(r) if !quiet => {
            let why = render::rejection(&path.display().to_string(), &p.name, r);
            format!("{line}{why}\n\n")
        }
        _ => line,
    }
}

/// One JSON object on one line.
fn json(path: &Path, p: &ProgramReport) -> Result<String> {
    Ok(serde_json::to_string(&json_row(path, p))? + "\n")
}

/// The keys of `verify --json`.
pub fn json_row(path: &Path, p: &ProgramReport) -> serde_json::Value {
    let s = &p.stats;
    let mut row = json!({
        "object": path.display().to_string(),
        "program": p.name,
        "section": p.section,
        "prog_type": p.prog_type,
        "verdict": verdict(&p.verdict),
        "insns": p.insns,
        "processed": s.processed,
        "states": s.states,
        "peak_states": s.peak_states,
        "stack_depth": s.stack_depth,
        "worst_case_insns": s.worst_case_insns,
        "time_us": s.time_us(),
    });
    if let Some(why) = s.worst_case_why {
        row["worst_case_why"] = json!(why.name());
    }
    if let Verdict::Reject(r) = &p.verdict {
        row["error"] = json!({
            "insn": r.pc,
            "source": render::place(r),
            "kind": r.rule.name(),
            "message": render::message(r),
        });
    }
    row
}
