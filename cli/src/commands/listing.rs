//! `probity trace -l` and `--info`: which probes there are, and what this kernel offers to scripts.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Result, bail};
use probity_script::{Functions, TracepointFormats, probes};

use crate::recording::Recording;
use crate::tracing::machine::{Machine, Tracefs};
use crate::{kernel, output};

/// Prints the probes that match, with their fields and arguments when `verbose`.
pub fn list(
    pattern: &str,
    machine: &Machine,
    recording: Option<&Path>,
    verbose: bool,
) -> Result<ExitCode> {
    let mut names = Vec::new();
    match recording {
        Some(path) => {
            let recording = Recording::open(path)?;
            names.extend(
                recording
                    .events
                    .iter()
                    .map(|e| format!("tracepoint:{}:{}", e.category, e.name)),
            );
        }
        None => {
            kernel::ensure_tracefs();
            let tracefs = Tracefs::new();
            if !tracefs.readable() && pattern.starts_with("tracepoint") {
                bail!("tracepoints can be listed by root only (tracefs is not readable)");
            }
            names = of_machine(pattern, machine, &tracefs);
        }
    }
    // A pattern without a kind is one for names.
    let pattern = if pattern.contains(':') || pattern.contains('*') {
        with_long_kind(pattern)
    } else {
        format!("*{pattern}*")
    };
    let mut found = 0;
    let types = if verbose { kernel::types(None)? } else { None };
    for name in names.iter().filter(|n| matches(&pattern, n)) {
        output::line(name)?;
        found += 1;
        if verbose {
            for line in details(name, types.as_deref()) {
                output::line(format_args!("    {line}"))?;
            }
        }
    }
    if found == 0 {
        bail!("no probe matches `{pattern}`");
    }
    Ok(ExitCode::SUCCESS)
}

/// Short names of kinds are written out: `t:sched:*`.
fn with_long_kind(pattern: &str) -> String {
    let Some((kind, rest)) = pattern.split_once(':') else {
        return pattern.to_string();
    };
    match probes::ROWS.iter().find(|r| r.names.contains(&kind)) {
        Some(row) => format!("{}:{rest}", row.names[0]),
        None => pattern.to_string(),
    }
}

fn of_machine(pattern: &str, machine: &Machine, tracefs: &Tracefs) -> Vec<String> {
    let pattern = with_long_kind(pattern);
    let (kind, rest) = pattern.split_once(':').unwrap_or(("*", ""));
    let asked = |name: &str| matches(kind, name);
    let mut names = Vec::new();
    if asked("tracepoint") {
        let all = tracefs.names().into_iter();
        names.extend(all.map(|(c, n)| format!("tracepoint:{c}:{n}")));
    }
    if asked("rawtracepoint") {
        let all = machine.raw_tracepoints().into_iter();
        names.extend(all.map(|n| format!("rawtracepoint:{n}")));
    }
    for kind in ["software", "hardware"] {
        if asked(kind) {
            let all = probes::event_names(kind).into_iter();
            names.extend(all.map(|n| format!("{kind}:{n}:")));
        }
    }
    for kind in ["interval", "profile"] {
        if asked(kind) {
            names.extend(["hz", "us", "ms", "s"].map(|unit| format!("{kind}:{unit}:")));
        }
    }
    let functions = ["kprobe", "kretprobe", "fentry", "fexit"];
    if functions.iter().any(|k| asked(k)) {
        let types = kernel::types(None).ok().flatten();
        for name in machine.kernel() {
            let typed = || types.as_ref().is_some_and(|t| t.find_func(&name).is_some());
            for kind in functions
                .iter()
                .filter(|k| asked(k) && (kind != "*" || **k == "kprobe"))
            {
                if kind.starts_with('k') || typed() {
                    names.push(format!("{kind}:{name}"));
                }
            }
        }
    }
    for kind in ["fentry", "fexit"] {
        if asked(kind) && rest.starts_with("bpf:") {
            let all = machine.programs().into_iter();
            names.extend(all.map(|(id, name)| format!("{kind}:bpf:{id}:{name}")));
        }
    }
    if let (true, Some((path, _))) = (kind.starts_with('u'), rest.rsplit_once(':'))
        && let Some(path) = machine.resolve(path.split(':').next().unwrap_or(path))
    {
        if kind == "usdt" {
            let all = machine.usdt(&path).into_iter();
            names.extend(all.map(|s| format!("usdt:{path}:{}:{}", s.provider, s.name)));
        } else {
            let all = machine.user(&path).into_iter();
            names.extend(all.map(|n| format!("{kind}:{path}:{n}")));
        }
    }
    names.dedup();
    names
}

/// The fields of a tracepoint, the arguments of a function.
fn details(name: &str, types: Option<&probity_btf::Btf>) -> Vec<String> {
    let parts: Vec<&str> = name.split(':').collect();
    match parts.as_slice() {
        ["tracepoint", category, name] => match Tracefs::new().format(category, name) {
            Some(format) => format
                .own_fields()
                .map(|f| format!("{} {}", f.type_text, f.name))
                .collect(),
            None => Vec::new(),
        },
        ["kprobe" | "fentry" | "fexit", function] => types
            .and_then(|t| prototype(t, t.find_func(function)?, 0))
            .unwrap_or_default(),
        ["rawtracepoint", event] => types
            .and_then(|t| prototype(t, t.find_func(&format!("__traceiter_{event}"))?, 1))
            .unwrap_or_default(),
        _ => Vec::new(),
    }
}

fn prototype(
    types: &probity_btf::Btf,
    function: probity_btf::TypeId,
    skip: usize,
) -> Option<Vec<String>> {
    let Some(probity_btf::Type::FuncProto { params, .. }) =
        types.proto(function).and_then(|p| types.ty(p))
    else {
        return None;
    };
    let one = |p: probity_btf::Param<'_>| format!("{} {}", types.type_name(p.ty), p.name);
    Some(params.iter().skip(skip).map(one).collect())
}

/// What this kernel offers to scripts.
pub fn info() -> Result<ExitCode> {
    let word = |yes: bool| if yes { "yes" } else { "no" };
    let tracefs = Tracefs::new();
    let functions = kernel::tracefs().is_some_and(|t| t.join("kprobe_events").exists());
    let types = kernel::types(None)?;
    let kfunc = |name: &str| types.as_ref().is_some_and(|t| t.find_func(name).is_some());
    let link = |name: &str| {
        types
            .as_ref()
            .is_some_and(|t| t.find_enum_value(name).is_some())
    };
    output::line("Kernel helpers")?;
    for helper in [
        "probe_read_kernel",
        "get_ktime_ns",
        "get_func_ip",
        "jiffies64",
        "lookup_percpu_elem",
        "send_signal",
    ] {
        output::line(format_args!("  {helper}: yes"))?;
    }
    output::line("Kernel features")?;
    output::line(format_args!("  btf: {}", word(types.is_some())))?;
    output::line("  Loop support: yes")?;
    output::line(format_args!("  tracepoints: {}", word(tracefs.readable())))?;
    output::line(format_args!(
        "  uprobe_multi: {}",
        word(link("BPF_TRACE_UPROBE_MULTI"))
    ))?;
    output::line("Probe types")?;
    output::line(format_args!("  kprobe: {}", word(functions)))?;
    output::line(format_args!(
        "  kprobe_multi: {}",
        word(functions && link("BPF_TRACE_KPROBE_MULTI"))
    ))?;
    output::line(format_args!(
        "  kprobe_session: {}",
        word(functions && link("BPF_TRACE_KPROBE_SESSION"))
    ))?;
    output::line(format_args!(
        "  fentry: {}",
        word(functions && kfunc("bpf_trampoline_link_prog"))
    ))?;
    output::line("Build")?;
    output::line("  blazesym (advanced symbolization): yes")?;
    Ok(ExitCode::SUCCESS)
}

/// `*` matches any run of characters. Linear in pattern times text.
fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or("");
    let Some(mut rest) = text.strip_prefix(first) else {
        return false;
    };
    let mut last = None;
    for part in parts {
        if let Some(previous) = last.replace(part) {
            match rest.find(previous) {
                Some(at) => rest = &rest[at + previous.len()..],
                None => return false,
            }
        }
    }
    match last {
        Some(end) => rest.ends_with(end),
        None => rest.is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn patterns() {
        for (pattern, text, fits) in [
            ("*", "anything", true),
            ("tracepoint:sched:*", "tracepoint:sched:sched_switch", true),
            ("tracepoint:sched:*", "tracepoint:irq:x", false),
            ("*open*", "kprobe:do_sys_openat2", true),
            ("a*b*c", "aXXbYYc", true),
            ("a*b*c", "aXXbYY", false),
            ("exact", "exact", true),
            ("exact", "exactly", false),
            ("a*a", "a", false),
        ] {
            assert_eq!(matches(pattern, text), fits, "{pattern} {text}");
        }
    }
}
