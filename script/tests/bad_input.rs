//! Scripts of any kind give a result or diagnostics, never a panic; diagnostics say where and what.

use std::time::{Duration, Instant};

use probity_script::{Environment, Format, FormatTable, NoFunctions, Output, compile_text};

fn formats() -> FormatTable {
    let mut t = FormatTable::new();
    let text = "name: sys_enter_openat\nfield:int dfd; offset:16; size:8; signed:0;\nfield:const char * filename; offset:24; size:8; signed:0;\nfield:unsigned long args[6]; offset:32; size:48; signed:0;\n";
    t.insert("syscalls", Format::parse(text).unwrap());
    t
}

fn errors(script: &str) -> String {
    let t = formats();
    let env = Environment::new(&t, &NoFunctions);
    match compile_text(script, "t", &env) {
        Ok(_) => panic!("compiles: {script}"),
        Err(e) => {
            assert!(e.has_errors());
            e.to_string()
        }
    }
}

#[test]
fn what_needs_the_machine_or_a_compiler_is_named() {
    for (script, message) in [
        (
            "begin { @[dw_ustack] = 1; }",
            "no recording has what it reads",
        ),
        ("begin { print(comm(1)); }", "no recording has that"),
        ("import \"map.bc\"; begin { }", "`map.bc` is for LLVM"),
        ("import \"map.bpf.o\"; begin { }", "cannot find `map.bpf.o`"),
        ("usdt:*:name { }", "no program or library matches *"),
        (
            "uprobe:/lib/*:name { }",
            "no program or library matches /lib/*",
        ),
    ] {
        let said = errors(script);
        assert!(said.contains(message), "{script}: {said}");
    }
}

#[test]
fn messages_name_the_place_and_what_was_meant() {
    let mut wrong = Vec::new();
    for (script, place, message, hint) in [
        (
            "begin { pritnf(\"x\"); }",
            "t:1:9-20",
            "unknown function: `pritnf`",
            "`printf`",
        ),
        (
            "begin { print(nsec); }",
            "t:1:15-19",
            "unknown identifier: `nsec`",
            "`nsecs`",
        ),
        (
            "begin { @x[1] = 1; print(@y[1]); }",
            "t:1:26-31",
            "undefined map: @y",
            "`@x`",
        ),
        (
            "begin { $count = 1; print($cuont); }",
            "t:1:27-33",
            "$cuont",
            "`$count`",
        ),
        (
            "t:syscalls:sys_enter_opneat { }",
            "t:1:1-28",
            "No matches for tracepoint",
            "sys_enter_openat",
        ),
        (
            "t:syscalls:sys_enter_openat { print(args.filenme); }",
            "t:1:37-49",
            "no field `filenme`",
            "args.filename",
        ),
        (
            "tracepoint:sys_enter_openat { }",
            "t:1:1-28",
            "a category and a name must follow",
            "did you mean `tracepoint:syscalls:sys_enter_openat`?",
        ),
        (
            "begin { prinft(1); }",
            "t:1:9-18",
            "unknown function",
            "did you mean `printf`?",
        ),
        (
            "begin { print(1) print(2); }",
            "t:1:18-23",
            "unexpected `print`",
            "statements are separated by `;`",
        ),
        (
            "begin { if (pid = 5) { } }",
            "t:1:12-21",
            "a condition must be a number",
            "`==` compares",
        ),
        (
            "begin { } more",
            "t:1:",
            "the script ends where",
            "a probe is `PROBE { … }`",
        ),
        (
            "begin { printf(\"%q\\n\", 1); }",
            "t:1:16-22",
            "unknown conversion `%q` in",
            "",
        ),
        (
            "begin { let $n: uint8 = 3; $n = 256; }",
            "t:1:28-36",
            "the value does not fit `uint8`",
            "",
        ),
        (
            "begin { let $n: int8; $n = -129; }",
            "t:1:23-32",
            "the value does not fit `int8`",
            "",
        ),
        (
            "begin { print(kaddr(\"nothing\")); }",
            "t:1:21-30",
            "failed to resolve",
            "CONFIG_KALLSYMS_ALL",
        ),
        (
            "tracepont:a:b { }",
            "t:1:1-14",
            "unknown probe kind",
            "`tracepoint`",
        ),
        (
            "config = { max_strln = 64 } begin { }",
            "t:1:12-26",
            "not a known configuration option",
            "max_strlen",
        ),
        (
            "begin { @x = 1; @x = \"a\"; }",
            "t:1:17-25",
            "type mismatch",
            "",
        ),
        (
            "begin { @x[1] = 1; @x[\"a\"] = 1; }",
            "t:1:20-27",
            "type mismatch",
            "",
        ),
        (
            "begin { @x[1] = 1; print(@x[1, 2]); }",
            "t:1:26-34",
            "1 keys elsewhere, here 2",
            "",
        ),
        ("begin { printf(\"%d\"); }", "t:1:9-21", "1 conversion", ""),
        (
            "begin { printf(\"%d\", \"a\"); }",
            "t:1:9-26",
            "cannot print",
            "",
        ),
        (
            "begin { @x = hist(1); print(@x + 1); }",
            "t:1:29-31",
            "no single value",
            "print(@x)",
        ),
        (
            "begin { count(); }",
            "t:1:9-16",
            "must be assigned to a map",
            "@x = count",
        ),
        (
            "begin { print(retval); }",
            "t:1:15-21",
            "no meaning",
            "kretprobe",
        ),
        (
            "begin { unroll(101) { } }",
            "t:1:15-20",
            "unroll maximum value is 100",
            "",
        ),
        ("begin { break; }", "t:1:9-14", "inside of a loop", ""),
        (
            "begin { str(\"a\", 1) + 1; }",
            "t:1:9-20",
            "needs numbers",
            "",
        ),
        (
            "begin { print(strftime(1, 2)); }",
            "t:1:24-25",
            "text in quotes",
            "",
        ),
        ("begin { @ = lhist(1, 0, 10, 0); }", "t:1:29-30", "step", ""),
        (
            "begin { $x = ((struct nope *)0)->a; }",
            "t:1:16-29",
            "unknown type `struct nope`",
            "BTF",
        ),
        ("usdt:/bin/x:y { }", "t:1:1-14", "no static probe y", ""),
        (
            "import \"x.bt\"; begin { }",
            "t:1:1-15",
            "cannot find `x.bt`",
            "-I",
        ),
        (
            "begin { signal(9); }",
            "t:1:9-18",
            "unsafe function",
            "--unsafe",
        ),
    ] {
        let e = errors(script);
        if !(e.contains(place) && e.contains(message) && e.contains(hint)) {
            wrong.push(format!("{script}\n{e}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn an_error_does_not_cause_others() {
    let e = errors("begin { $x = nope; print($x); $y = $x + 1; print($y); }");
    assert_eq!(e.matches("ERROR").count(), 1, "{e}");
    for script in [
        "begin { print(1) ",
        "begin { print(\"a); }",
        "begin { print((1; }",
    ] {
        let e = errors(script);
        assert_eq!(e.matches("ERROR").count(), 1, "{e}");
    }
}

#[test]
fn a_macro_that_calls_itself_is_an_error() {
    assert!(errors("macro m(x) { m(x) + 1 } begin { print(m(1)); }").contains("without end"));
    assert!(errors("macro a() { b() } macro b() { a() } begin { a(); }").contains("without end"));
}

const SCRIPTS: [&str; 13] = [
    "begin { @x[comm, 1] = count(); @y = hist(nsecs / 1000, 2); @z[(1, \"a\")] = stats(-5); }",
    "t:syscalls:sys_enter_openat /pid > 1 && comm != \"a\"/ { printf(\"%-6d %s %x\\n\", pid, str(args.filename), args.args[1]); @[args->dfd]++; }",
    "config = { max_strlen = 64; on_stack_limit = 0 } i:ms:10 { $a = (1, \"abc\", (2, 3)); print($a.2.1); if ($a.0 == 1) { exit(2); } else { clear(@m); } @m[$a] = 1; }",
    "macro add($x, e) { $x += e; $x } begin { $v = 1; print(add($v, { let $q = 2; $q * 3 })); unroll(3) { $v <<= 1; } while ($v < 100) { $v++; if ($v == 50) { break; } } }",
    "struct S { int a; char b[16]; struct { unsigned c : 3; unsigned d : 5; } e; struct S *next; } begin { $s = (struct S *)0; print($s->next->e.d); print(str($s->b)); printf(\"%d\", sizeof(struct S)); }",
    "kprobe:vfs_read { @start[tid] = nsecs; @k[kstack(3), ustack] = sum(arg2); } kretprobe:vfs_read /@start[tid]/ { @us = lhist((nsecs - @start[tid]) / 1000, 0, 100, 10); delete(@start[tid]); }",
    "enum E { A, B = 7 }; begin { $e = B; printf(\"%d %s\\n\", $e, $e); print((enum E)0); print(strcontains(comm, \"sh\") ? \"y\" : \"n\"); join(0); time(\"%H\"); }",
    "#define N 5\n#ifndef BPFTRACE_HAVE_BTF\n#include <x.h>\n#endif\nuprobe:/bin/sh:main { for ($i : 0..N) { print((a=$i, b=reg(\"ip\"))); } print(buf(arg0, 8)); print(ntop(0x0100007f)); }",
    "#define T(x) ((x) * 2)\ntypedef struct { int a : 3; char n[8]; struct { short q; } in; } p_t;\nbegin { $p = (p_t *)0; $v = *$p; @m[$v] = $v; print($v.in.q); print(T(4)); }",
    "begin { $a = (int8[4])1; $i = 2; print($a[$i]); @s = tseries(1, 1s, 3, \"max\"); print(&$a); print(*(&$a)); delete(@h, 1); @h[1] = hist(2); }",
    "macro m($a, @b, c) { $a += c; @b[c] } begin { $x = 1; @y[2] = 3; print(m($x, @y, 2)); print(10 / $x); print(strstr(comm, str(0))); }",
    "#if defined(A) || KERNEL_VERSION(1, 2, 3) < LINUX_VERSION_CODE\nbegin { print(getopt(\"a\", 1)); debugf(\"%d\", 1); assert(0, \"x\"); }\n#endif",
    "watchpoint:0x10:4:rw { print(macaddr(0)); } self:signal:SIGUSR1 { print(memcmp(\"a\", \"b\", 1)); } test:x { print(config().max_strlen); }",
];

#[test]
fn the_scripts_compile() {
    let t = formats();
    let env = Environment::new(&t, &NoFunctions);
    for s in SCRIPTS {
        compile_text(s, "t", &env).unwrap_or_else(|e| panic!("{s}\n{e}"));
    }
}

/// A second of scripts with characters and pieces taken out, doubled, moved and replaced.
#[test]
fn mutated_scripts_never_panic() {
    let seed = std::env::var("TEST_SEED")
        .ok()
        .and_then(|s| s.parse().ok())
        .unwrap_or(20_240_611u64);
    println!("TEST_SEED={seed}");
    let mut state = seed | 1;
    let mut next = move |n: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        if n == 0 {
            0
        } else {
            (state % n as u64) as usize
        }
    };
    let t = formats();
    let env = Environment::new(&t, &NoFunctions);
    let pieces = [
        "(",
        ")",
        "{",
        "}",
        "[",
        "]",
        "@",
        "$x",
        "@x",
        "\"",
        "/",
        "*",
        "-",
        "++",
        "1",
        "0x",
        "-1",
        ".",
        "..",
        ",",
        ";",
        ":",
        "args",
        "str(",
        "(int8)",
        "count()",
        "hist(1)",
        "%s",
        "9223372036854775807",
        "18446744073709551615",
        "é",
        "\0",
        "\n",
        "#",
        "if",
        "==",
        "&&",
        "?",
        "<<",
        "*(uint64*)0",
        "@x[",
        "sizeof(",
        "(1,2)",
        "/*",
        "//",
        "kstack",
        "print(",
        "=",
        "+=",
    ];
    let end = Instant::now() + Duration::from_secs(1);
    let (mut tried, mut compiled) = (0, 0);
    while Instant::now() < end {
        let mut text: Vec<char> = SCRIPTS[next(SCRIPTS.len())].chars().collect();
        for _ in 0..=next(4) {
            let at = next(text.len() + 1);
            let to = (at + next(12)).min(text.len());
            match next(5) {
                0 => drop(text.drain(at..to)),
                1 => {
                    let copy: Vec<char> = text[at..to].to_vec();
                    text.splice(at..at, copy);
                }
                2 => {
                    let cut: Vec<char> = text.drain(at..to).collect();
                    let at = next(text.len() + 1);
                    text.splice(at..at, cut);
                }
                _ => {
                    let piece = pieces[next(pieces.len())];
                    text.splice(at..to.min(at + next(3)), piece.chars());
                }
            }
        }
        let text: String = text.into_iter().collect();
        tried += 1;
        match compile_text(&text, "t", &env) {
            Ok(mut s) => {
                compiled += 1;
                s.printer.set_output(Output::Json);
                let _ = format!("{:?}", s.object.programs.len());
            }
            Err(e) => assert!(!e.to_string().is_empty()),
        }
        if let Ok(ast) = probity_script::parse(&text, "t") {
            let _ = ast.to_string();
        }
    }
    println!("{tried} scripts, {compiled} of them compile");
    assert!(tried > 50);
}

#[test]
fn deep_scripts_compile_or_say_why() {
    let t = formats();
    let env = Environment::new(&t, &NoFunctions);
    for (open, close) in [
        ("(", ")"),
        ("-", ""),
        ("{", "}"),
        ("(int8)", ""),
        ("@a[", "]"),
        ("1+(", ")"),
        ("nsecs+(", ")"),
    ] {
        for n in [5, 20, 60, 1000] {
            let _ = compile_text(
                &format!("begin {{ $x = {}1{}; }}", open.repeat(n), close.repeat(n)),
                "t",
                &env,
            );
        }
    }
    for n in [50, 190] {
        let _ = compile_text(
            &format!("begin {{ $x = nsecs{}; }}", "+nsecs".repeat(n)),
            "t",
            &env,
        );
        let _ = compile_text(
            &format!("begin {{ $x = nsecs{}; }}", "?nsecs:nsecs".repeat(n)),
            "t",
            &env,
        );
    }
    let macros: String = (0..30)
        .map(|n| format!("macro m{}(x) {{ ((m{}(x))) }} ", n + 1, n))
        .collect();
    let _ = compile_text(
        &format!("macro m0(x) {{ x }} {macros} begin {{ print(m30(1)); }}"),
        "t",
        &env,
    );
}
