//! Options that `trace` shares with bpftrace: laying scripts out, modes, headers, lists of functions, debug information.

use std::process::Command;

use crate::process::{Done, Scratch, command, programs};

fn trace(args: &[&str]) -> Done {
    let words = std::iter::once("trace").chain(args.iter().copied());
    command(words.map(Into::into)).run()
}

#[test]
fn scripts_are_laid_out_and_mean_the_same() {
    let scratch = Scratch::new();
    let all = std::fs::read_dir(programs("scripts")).expect("scripts");
    let scripts = all
        .filter_map(|e| e.ok().map(|e| e.path()))
        .filter(|p| p.extension().is_some_and(|x| x == "bt"));
    let mut count = 0;
    for script in scripts {
        let shown = script.display().to_string();
        // It compares what both say by itself.
        let once = trace(&["--fmt", &shown]).ok().stdout;
        let again = scratch.file("again.bt", &once).display().to_string();
        let twice = trace(&["--mode", "format", &again]).ok();
        assert_eq!(twice.stdout, once, "{shown}");
        let remarks = |text: &str| text.matches("//").count();
        let text = std::fs::read_to_string(&script).expect("a text");
        assert_eq!(remarks(&once), remarks(&text), "{shown}");
        count += 1;
    }
    assert!(count > 10);
}

#[test]
fn what_cannot_be_parsed_is_not_laid_out() {
    let scratch = Scratch::new();
    let file = |name: &str, text: &str| scratch.file(name, text).display().to_string();
    let bad = file("bad.bt", "begin { print(1; }");
    trace(&["--fmt", &bad]).fails(&["bad.bt:1:"]);
    // The file that it would be written to is left as it was.
    let kept = file("kept.bt", "kept");
    trace(&["--fmt", "-o", &kept, &bad]).fails(&["bad.bt:1:"]);
    assert_eq!(std::fs::read(&kept).expect("the file"), b"kept");
    let good = file("good.bt", "begin{print(1);}");
    trace(&["--fmt", "-o", &good, &good]).ok();
    let text = std::fs::read_to_string(&good).expect("a text");
    assert_eq!(text, "begin {\n    print(1);\n}\n");
}

#[test]
fn modes_and_features_have_names() {
    let test = "test:sum { assert(1 + 1 == 2, \"no\"); }";
    trace(&["--mode", "test", "-e", test])
        .ok()
        .prints(&["test sum ... ok"]);
    trace(&["--mode", "bench", "-e", "bench:nothing { }"])
        .ok()
        .prints(&["nothing"]);
    let misused = |option: &str, value: &str, what: &str| {
        trace(&[option, value, "-e", "begin { }"]).misused(&[what]);
    };
    misused(
        "--mode",
        "slow",
        "the modes are test, bench, format and codegen",
    );
    misused("--mode", "compiler-bench", "measures bpftrace's own");
    misused("--no-feature", "kprobe_multi,wings", "the features are");
    trace(&["--emit-llvm", "out", "-e", "begin { }"]).fails(&["not compiled by LLVM here"]);
}

#[test]
fn headers_may_come_before_a_script() {
    let scratch = Scratch::new();
    scratch.file(
        "pair.h",
        "struct pair { int a; long b; };\n#define SEVEN 7\n",
    );
    let script = "test:pair { assert(sizeof(struct pair) == 16 && SEVEN == 7, \"no\"); }";
    let directory = scratch.path("").display().to_string();
    trace(&[
        "--test",
        "-I",
        &directory,
        "--include",
        "pair.h",
        "--include",
        "linux/fs.h",
        "-e",
        script,
    ])
    .ok()
    .prints(&["test pair ... ok"]);
    trace(&["--test", "--include", "of/nobody.h", "-e", script])
        .fails(&["'of/nobody.h' file not found"]);
}

#[test]
fn wildcards_may_be_told_which_functions_there_are() {
    let scratch = Scratch::new();
    let list = scratch.file("functions", "vfs_read\nvfs_of_nobody [module]\nother\n");
    let list = list.display().to_string();
    let listed = trace(&["--traceable-functions", &list, "-l", "kprobe:vfs*"]).ok();
    assert_eq!(
        listed.stdout, "kprobe:vfs_of_nobody\nkprobe:vfs_read\n",
        "{listed}"
    );
    trace(&["--traceable-functions", "/no/list", "-l", "kprobe:vfs*"]).fails(&["/no/list"]);
}

#[test]
fn debug_information_may_be_apart() {
    let scratch = Scratch::new();
    let source = scratch.file(
        "add.c",
        "__attribute__((noinline)) int add(int left, int right) { return left + right; }\n\
         int main(int n, char **v) { (void)v; return add(n, 2) == 0; }\n",
    );
    let (program, apart) = (scratch.path("add"), scratch.path("apart"));
    let ran = |command: &mut Command| command.status().is_ok_and(|s| s.success());
    let built = ran(Command::new("cc")
        .args(["-g", "-O1", "-o"])
        .args([&program, &source]));
    if !built || !ran(Command::new("objcopy").arg("--version")) {
        println!("skipped: no cc or objcopy");
        return;
    }
    std::fs::create_dir(&apart).expect("a directory");
    let file = apart.join("add.debug");
    assert!(ran(Command::new("objcopy")
        .arg("--only-keep-debug")
        .args([&program, &file])));
    assert!(ran(Command::new("strip")
        .arg("--strip-debug")
        .arg(&program)));
    let link = format!("--add-gnu-debuglink={}", file.display());
    assert!(ran(Command::new("objcopy").arg(link).arg(&program)));
    let probe = format!("uprobe:{}:add", program.display());
    let script = format!("{probe} {{ printf(\"%d\\n\", args.right); }}");
    trace(&["--dry-run", "-e", &script]).fails(&["no debug information about add"]);
    let dirs = format!("/nowhere:{}", apart.display());
    trace(&["--dry-run", "--debuginfo", &dirs, "-e", &script]).ok();
}
