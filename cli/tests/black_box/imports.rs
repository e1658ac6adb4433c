//! Scripts that import objects: their functions are called as C has them, in process, over recordings and as objects
//! of their own; what does not fit is said at its place.

use std::path::PathBuf;

use crate::process::{Done, Scratch, probity, programs};

fn functions() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/objects/functions.o")
}

fn importing(scratch: &Scratch, script: &str) -> PathBuf {
    let import = format!("import \"{}\";\n", functions().display());
    scratch.file("importing.bt", import + script)
}

/// What a script is told whose body calls what is not there.
fn refused(scratch: &Scratch, body: &str) -> String {
    let script = importing(scratch, &format!("test:x {{ {body} }}"));
    let done = probity!["trace", "--test", &script].run();
    assert_eq!(done.code, 1, "{body}: {}", done.stdout);
    done.stderr
}

const TESTS: &str = "
struct own { u64 a; };
test:numbers { assert(minus(1, 3) == -2, \"\"); assert(minus(-5, -128) == 123, \"\"); assert(five(1, 2, 3, 4, 5) == 12355, \"\"); }
test:widths { assert(low(0x1ff) == 255, \"\"); assert(odd(7), \"\"); $n = 3; assert(!odd($n * 65536), \"\"); assert(minus(0, $n + 256) == -3, \"\"); }
test:enumerations { assert(next_color(RED) == GREEN, \"\"); assert(next_color(GREEN) == 0, \"\"); }
test:texts { assert(letters(\"abc\") == 3, \"\"); assert(letters(\"\") == 0, \"\"); $s = \"no\"; assert(letters($s) == 2, \"\"); }
test:data { count_call(); count_call(); assert(calls_so_far() == 102, \"\"); }
test:alone { assert(calls_so_far() == 100, \"data is each test's own\"); }
test:structures {
    $p = pair_of(5, -6);
    assert($p->first == 5 && $p.second == -6 && $p.narrow == 21 && $p.wide == 70000, \"\");
    assert($p.inner.low == -2 && $p.inner.text == \"hi\", \"\");
    assert(total_of($p) == (uint64)-1 && total_of(0) == 0, \"\");
    assert(sizeof(struct pair) == 32, \"\");
}
test:addresses { $n = 21; assert(twice(&$n) == 42 && $n == 42, \"\"); @x = 4; twice(&@x); assert(@x == 8, \"\"); }
test:loops { @m[1] = 10; @m[2] = 20; $s = (uint64)0; for ($kv : @m) { $s += five(0, 0, 0, 0, (uint64)$kv.1); } assert($s == 90, \"\"); }
test:counts { @c = count(); @c = count(); if low(2) == 2 { @h[\"a\", 1] = hist(low(300)); } assert((int64)@c == 2, \"\"); }
";

#[test]
fn functions_are_called_as_c_has_them() {
    let scratch = Scratch::new();
    let script = importing(&scratch, TESTS);
    for engine in ["jit", "interp"] {
        let done = probity!["trace", "--test", "--engine", engine, &script].run();
        assert_eq!(done.code, 0, "{}{}", done.stdout, done.stderr);
        assert!(
            done.stderr.contains("10 passed, 0 failed"),
            "{}",
            done.stderr
        );
    }
}

#[test]
fn what_a_function_does_not_take_is_said() {
    let scratch = Scratch::new();
    for (body, words) in [
        (
            "minus(1);",
            &["`minus()` takes 2 arguments, 1 given", "s32 minus(s32, s8)"][..],
        ),
        ("minus(1, 300);", &["300 does not fit in `int8` for `b`"]),
        (
            "minus(\"a\", 1);",
            &["`int32` is wanted for `a`, this is of type `string`"],
        ),
        (
            "letters(pair_of(1, 2));",
            &["a pointer to `int8` is wanted for `text`, this is of type `struct pair *`"],
        ),
        ("print(total_of(curtask));", &["struct pair"]),
        (
            "$n = 1; total_of(&$n);",
            &["a pointer to `struct pair` is wanted for `pair`"],
        ),
        ("$n = 1; narrow(&$n);", &["a script's numbers have 64 bits"]),
        (
            "count_calls();",
            &[
                "unknown function: `count_calls`",
                "did you mean `count_call`?",
            ],
        ),
        ("$x = count_call();", &["gives no value"]),
        (
            "interrupt();",
            &["the imported function `interrupt` is unsafe", "--unsafe"],
        ),
        (
            "interrupt_task();",
            &[
                "the imported function `interrupt_task` is unsafe",
                "--unsafe",
            ],
        ),
        (
            "by_value(1);",
            &["cannot be called: it takes a structure by value"],
        ),
    ] {
        let said = refused(&scratch, body);
        for word in words {
            assert!(said.contains(word), "{body}: {said}");
        }
    }
}

/// Linked into an object that any loader takes.
#[test]
fn a_script_with_an_import_becomes_one_object() {
    let scratch = Scratch::new();
    let script = importing(
        &scratch,
        "rawtracepoint:sys_enter { count_call(); @[low(arg1)] = count(); }",
    );
    let object = scratch.path("whole.o");
    probity!["trace", "--emit", &object, &script].run().ok();
    let bytes = std::fs::read(&object).unwrap();
    let has = |name: &str| bytes.windows(name.len()).any(|w| w == name.as_bytes());
    assert!(has("count_call") && has("started"));
    probity!["verify", &object].run().ok();
}

#[test]
fn an_import_that_is_none_is_named() {
    let scratch = Scratch::new();
    let broken = scratch.file("broken.o", "no object");
    let done = |path: &PathBuf| -> Done {
        let script = format!("import \"{}\"; begin {{ }}", path.display());
        probity!["trace", "--dry-run", "-e", script].run()
    };
    let said = done(&broken).stderr;
    assert!(said.contains("cannot be imported: not an ELF"), "{said}");
    let said = done(&programs("xdp-fragments/xdp-fragments.o")).stderr;
    assert!(said.contains("cannot find"), "{said}");
    let said = done(&programs("port-counter/port-counter.o")).stderr;
    assert!(
        said.contains("has no function that scripts could call"),
        "{said}"
    );
}

#[test]
fn c_is_compiled_where_there_is_a_compiler() {
    let scratch = Scratch::new();
    let source = scratch.file(
        "adds.bpf.c",
        "#include <vmlinux.h>\nint next(int a) { return a + (int)sizeof(struct task_struct) / 1000000 + 1; }",
    );
    scratch.file(
        "own.bpf.c",
        "#include <probity/bpf.h>\nu64 pid_of(void) { return get_current_pid_tgid() >> 32; }\nLICENSE(\"Dual BSD/GPL\");",
    );
    scratch.file("wrong.bpf.c", "int next(int a) { return b; }");
    let script = scratch.file(
        "s.bt",
        "import \"adds.bpf.c\";\nimport \"own.bpf.c\"; test:x { assert(next(2) == 3 && pid_of() == pid, \"\"); }",
    );
    let empty = scratch.path("nothing");
    let done = probity!["trace", "--test", &script]
        .path(empty.display().to_string())
        .run();
    assert_eq!(done.code, 1);
    let here = source.display().to_string();
    for word in [
        "takes clang, which is not on the PATH",
        "install the package clang",
        &here,
    ] {
        assert!(done.stderr.contains(word), "{}", done.stderr);
    }
    let done = probity!["trace", "--test", &script].run();
    if done.stderr.contains("not on the PATH") {
        println!("skipped: no clang");
        return;
    }
    assert!(
        done.stderr.contains("1 passed, 0 failed"),
        "{}",
        done.stderr
    );
    let script = scratch.file("w.bt", "import \"wrong.bpf.c\"; begin { next(1); }");
    let done = probity!["trace", "--test", &script].run();
    let said = done.stderr;
    assert!(
        said.contains("clang cannot compile") && said.contains("undeclared identifier 'b'"),
        "{said}"
    );
}
