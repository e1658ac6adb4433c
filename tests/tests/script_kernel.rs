//! The running kernel's verdict on compiled scripts beside ours: both must accept each program.

#[path = "script/case_files.rs"]
mod case_files;

#[path = "script/files.rs"]
mod files;

use std::path::Path;
use std::sync::Arc;

use probity_btf::Btf;
use probity_platform::{Platform, Policy, Version};
use probity_script::{Environment, Format, FormatTable, NoFunctions};
use probity_tests::kernel;
use probity_verifier::Verdict;

/// Formats of the tracepoints that scripts here use, from tracefs.
fn formats() -> FormatTable {
    let mut table = FormatTable::new();
    for root in [
        "/sys/kernel/tracing/events",
        "/sys/kernel/debug/tracing/events",
    ] {
        for category in [
            "syscalls",
            "raw_syscalls",
            "sched",
            "irq",
            "napi",
            "workqueue",
            "block",
            "sock",
            "exceptions",
            "signal",
            "kmem",
        ] {
            let Ok(events) = std::fs::read_dir(Path::new(root).join(category)) else {
                continue;
            };
            for event in events.flatten() {
                if let Ok(text) = std::fs::read_to_string(event.path().join("format"))
                    && let Ok(f) = Format::parse(&text)
                {
                    table.insert(category, f);
                }
            }
        }
        if !table.is_empty() {
            break;
        }
    }
    table
}

fn kernel_types() -> Option<Arc<Btf>> {
    let bytes = std::fs::read("/sys/kernel/btf/vmlinux").ok()?;
    Btf::parse(&bytes).ok().map(Arc::new)
}

struct Judge {
    formats: FormatTable,
    types: Option<Arc<Btf>>,
    platform: Arc<Platform>,
}

impl Judge {
    fn new() -> Judge {
        let types = kernel_types();
        Judge {
            formats: formats(),
            platform: Arc::new(Platform::linux(Version(6, 18), types.clone())),
            types,
        }
    }

    /// What each program of a script is refused for; `Err` when it does not compile.
    fn refusals(&self, text: &str) -> Result<Vec<String>, String> {
        let mut env = Environment::new(&self.formats, &NoFunctions);
        env.types = self.types.clone();
        // Compiled and loaded, and never run.
        env.allow_unsafe = true;
        env.live = true;
        env.cpus = 2;
        let script = files::compile(text, "stdin", &env).map_err(|e| e.to_string())?;
        let mut out = Vec::new();
        let report = probity_verifier::verify(
            &script.object,
            &self.platform,
            &Policy::default(),
            &probity_verifier::Options::default(),
        )
        .map_err(|e| e.to_string())?;
        for p in &report.programs {
            if let Verdict::Reject(why) = &p.verdict {
                out.push(format!("ours, {}: {why}", p.name));
            }
        }
        if kernel::available().is_ok() {
            for p in &script.object.programs {
                let Some(kind) = p.prog_type() else { continue };
                // Callbacks need the types of functions, which this bare load does not hand over.
                if p.subprogs.len() > 1 {
                    continue;
                }
                match kernel::verdict(&script.object, p, kind) {
                    kernel::Verdict::Accept => {}
                    kernel::Verdict::Reject { log } => {
                        let tail: Vec<&str> = log.lines().rev().take(6).collect();
                        let tail: Vec<&str> = tail.into_iter().rev().collect();
                        out.push(format!("Linux, {}: {}", p.name, tail.join("\n")));
                    }
                    kernel::Verdict::NoVerdict(why) => {
                        out.push(format!("Linux, {}: {why}", p.name))
                    }
                }
            }
        }
        Ok(out)
    }
}

fn judge(judge: &Judge, scripts: &[(String, String)]) -> (usize, Vec<String>, Vec<String>) {
    let (mut accepted, mut refused, mut uncompiled) = (0, Vec::new(), Vec::new());
    for (name, text) in scripts {
        match judge.refusals(text) {
            Ok(r) if r.is_empty() => accepted += 1,
            Ok(r) => refused.push(format!("{name}\n{text}\n{}", r.join("\n"))),
            Err(e) => uncompiled.push(format!("{name}\n{text}\n{e}")),
        }
    }
    (accepted, refused, uncompiled)
}

#[test]
fn scripts_of_the_repository_are_accepted() {
    let j = Judge::new();
    let mut scripts = Vec::new();
    for path in probity_tests::programs("scripts", "bt") {
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        // Without tracefs the tracepoints are not known.
        if j.formats.is_empty() && text.contains("tracepoint:") {
            continue;
        }
        scripts.push((path.display().to_string(), text));
    }
    let (accepted, refused, uncompiled) = judge(&j, &scripts);
    assert!(
        refused.is_empty() && uncompiled.is_empty(),
        "{}\n{}",
        refused.join("\n"),
        uncompiled.join("\n")
    );
    assert_eq!(accepted, scripts.len());
}

#[test]
fn examples_of_builtins_are_accepted() {
    let j = Judge::new();
    let scripts: Vec<(String, String)> = probity_script::builtins::ROWS
        .iter()
        // These change the machine, or name what not every machine has.
        .filter(|r| {
            ![
                "signal",
                "signal_thread",
                "override",
                "write_user",
                "percpu_kaddr",
                "cpid",
                "cgroupid",
                "in_cgroup",
                "kaddr",
                "uaddr",
                "fail",
            ]
            .contains(&r.names[0])
        })
        // Not every kernel has trampolines; guests that do run these (tests/vm/script-probes.sh).
        .filter(|r| !r.example.starts_with("fentry:"))
        .filter(|r| !j.formats.is_empty() || !r.example.contains("tracepoint:"))
        .filter(|r| {
            j.types.is_some()
                || ![
                    "ppid",
                    "pcomm",
                    "leader_comm",
                    "leader_tid",
                    "skboutput",
                    "dw_ustack",
                ]
                .contains(&r.names[0])
        })
        .map(|r| (r.names[0].to_owned(), r.example.to_owned()))
        .collect();
    let (_, refused, uncompiled) = judge(&j, &scripts);
    assert!(
        refused.is_empty() && uncompiled.is_empty(),
        "{}\n{}",
        refused.join("\n"),
        uncompiled.join("\n")
    );
}

/// Measures over a folder of sample cases, when `PROBITY_SHARED` names one.
#[test]
fn sample_cases() {
    let Ok(shared) = std::env::var("PROBITY_SHARED") else {
        return;
    };
    let j = Judge::new();
    let cases = case_files::read(Path::new(&shared).join("data/script/runtime").as_path());
    let scripts: Vec<(String, String)> = cases.into_iter().map(|c| (c.name, c.program)).collect();
    let (accepted, refused, uncompiled) = judge(&j, &scripts);
    for r in &refused {
        println!("---- {r}");
    }
    println!(
        "{} sample programs: {accepted} accepted by both verifiers, {} refused by one, {} do not compile yet",
        scripts.len(),
        refused.len(),
        uncompiled.len()
    );
    assert!(refused.len() * 10 <= scripts.len());
}

/// Measures over a folder of `.bt` files, when `PROBITY_TOOLS` names one.
#[test]
fn tools() {
    let Ok(folder) = std::env::var("PROBITY_TOOLS") else {
        return;
    };
    println!("kernel: {:?}", kernel::available());
    let j = Judge::new();
    let mut scripts = Vec::new();
    for e in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if e.path().extension().is_some_and(|x| x == "bt") {
            scripts.push((
                e.path().display().to_string(),
                std::fs::read_to_string(e.path()).unwrap_or_default(),
            ));
        }
    }
    let (accepted, refused, uncompiled) = judge(&j, &scripts);
    for r in refused.iter().chain(&uncompiled) {
        println!("---- {r}");
    }
    println!("{} tools: {accepted} accepted by both", scripts.len());
}
