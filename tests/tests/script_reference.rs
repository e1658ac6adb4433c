//! `docs/language.md` is what the language's rows say, and what it shows is true: every example compiles and
//! is accepted by the verifier, every form prints what stands below it.

#[path = "script/in_process.rs"]
#[allow(dead_code, reason = "the suite of runs looks at more of a run")]
mod in_process;

use std::path::Path;
use std::sync::Arc;

use probity_btf::Btf;
use probity_platform::{Platform, Policy, Version};
use probity_script::{Environment, Format, Functions, UsdtSite, builtins, probes};
use probity_verifier::Verdict;

/// A machine on which everything that the examples name is found.
struct Everything;

impl Functions for Everything {
    fn kernel(&self) -> Vec<String> {
        ["vfs_read", "tcp_sendmsg", "should_failslab"]
            .map(String::from)
            .to_vec()
    }
    fn raw_tracepoints(&self) -> Vec<String> {
        ["sched_switch", "netif_receive_skb"]
            .map(String::from)
            .to_vec()
    }
    fn user(&self, _: &str) -> Vec<String> {
        ["main", "malloc", "free"].map(String::from).to_vec()
    }
    fn resolve(&self, path: &str) -> Option<String> {
        Some(path.to_owned())
    }
    fn usdt(&self, _: &str) -> Vec<UsdtSite> {
        vec![UsdtSite {
            provider: "mysql".into(),
            name: "query__start".into(),
            offset: 0x1000,
            semaphore: None,
            args: "8@%rdi".into(),
        }]
    }
    fn kernel_address(&self, _: &str) -> Option<u64> {
        Some(0xffff_ffff_8100_0000)
    }
    fn user_address(&self, _: &str, _: &str) -> Option<u64> {
        Some(0x1000)
    }
    fn cgroup_id(&self, _: &str) -> Option<u64> {
        Some(1)
    }
}

const OPENAT: &str = "name: sys_enter_openat\nID: 3\nformat:\n\
    field:int __syscall_nr; offset:8; size:4; signed:1;\n\
    field:int dfd; offset:16; size:8; signed:0;\n\
    field:const char * filename; offset:24; size:8; signed:0;\n\
    field:int flags; offset:32; size:8; signed:0;\n";
const EXECVE: &str = "name: sys_enter_execve\nID: 4\nformat:\n\
    field:int __syscall_nr; offset:8; size:4; signed:1;\n\
    field:const char * filename; offset:16; size:8; signed:0;\n\
    field:const char *const * argv; offset:24; size:8; signed:0;\n";
const SYS_ENTER: &str = "name: sys_enter\nID: 5\nformat:\n\
    field:long id; offset:8; size:8; signed:1;\n\
    field:unsigned long args[6]; offset:16; size:48; signed:0;\n";
const SYS_EXIT: &str = "name: sys_exit_openat\nID: 6\nformat:\n\
    field:int __syscall_nr; offset:8; size:4; signed:1;\n\
    field:long ret; offset:16; size:8; signed:1;\n";

/// What is wrong with a script.
fn wrong(text: &str, types: Option<&Arc<Btf>>) -> Option<String> {
    let mut formats = in_process::formats();
    for (category, format) in [
        ("syscalls", OPENAT),
        ("syscalls", EXECVE),
        ("raw_syscalls", SYS_ENTER),
        ("syscalls", SYS_EXIT),
    ] {
        formats.insert(category, Format::parse(format).expect("a format"));
    }
    let mut env = Environment::new(&formats, &Everything);
    env.types = types.cloned();
    env.allow_unsafe = true;
    env.cpid = Some(1);
    env.live = true;
    env.pid_namespace = Some((4, 4026531836));
    env.cpus = 2;
    let script = match in_process::files::compile(text, "stdin", &env) {
        Ok(script) => script,
        Err(e) => return Some(e.to_string()),
    };
    let platform = Arc::new(Platform::linux(Version(6, 18), types.cloned()));
    let report = match probity_verifier::verify(
        &script.object,
        &platform,
        &Policy::default(),
        &probity_verifier::Options::default(),
    ) {
        Ok(report) => report,
        Err(e) => return Some(e.to_string()),
    };
    report.programs.iter().find_map(|p| match &p.verdict {
        Verdict::Reject(why) => Some(format!("{}: {why}", p.name)),
        _ => None,
    })
}

fn kernel_types() -> Option<Arc<Btf>> {
    let bytes = std::fs::read("/sys/kernel/btf/vmlinux").ok()?;
    Btf::parse(&bytes).ok().map(Arc::new)
}

fn page(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../docs")
        .join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

#[test]
fn the_page_is_what_the_rows_say() {
    assert!(
        page("language.md") == probity_script::reference(),
        "docs/language.md is out of date: cargo xtask reference"
    );
}

#[test]
fn every_row_has_an_example_that_is_accepted() {
    let types = kernel_types();
    let mut failed = Vec::new();
    let builtins = builtins::ROWS.iter().map(|r| (r.names[0], r.example));
    let probes = probes::ROWS.iter().map(|r| (r.names[0], r.example));
    for (name, example) in builtins.chain(probes) {
        if example.is_empty() {
            failed.push(format!("{name} has no example"));
            continue;
        }
        let why = wrong(example, types.as_ref());
        // Refusing the script is what `fail` is for.
        match (name, why) {
            ("fail", Some(why)) if why.contains("this script needs") => {}
            ("fail", why) => failed.push(format!("fail: {why:?}")),
            (_, None) => {}
            // Without the kernel's types its structures are unknown.
            (_, Some(why)) if types.is_none() && why.contains("struct") => {}
            (_, Some(why)) => failed.push(format!("{name}: {example}\n{why}")),
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[test]
fn forms_print_what_the_page_says() {
    for form in probity_script::FORMS {
        let run = in_process::run(form.example, &[])
            .unwrap_or_else(|e| panic!("{}: {}\n{e}", form.title, form.example));
        assert_eq!(run.text, form.prints, "{}: {}", form.title, form.example);
    }
}

/// Scripts in the pages, between "```bt" and "```".
#[test]
fn scripts_on_the_pages_are_accepted() {
    let types = kernel_types();
    for name in ["coming-from-bpftrace.md", "language.md"] {
        let page = page(name);
        let mut scripts = 0;
        for block in page.split("```bt\n").skip(1) {
            let text = block.split("```").next().unwrap_or("");
            scripts += 1;
            if let Some(why) = wrong(text, types.as_ref()) {
                let types_missing = types.is_none() && why.contains("struct");
                assert!(
                    types_missing || why.contains("this script needs"),
                    "{name}: {text}\n{why}"
                );
            }
        }
        assert!(scripts > 5, "{name}");
    }
}
