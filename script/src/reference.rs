//! The rows of probes, builtins and settings → the pages of `docs/language.md`.
//!
//! Whatever is said of the language outside of its rows is said here, with an example and what it prints:
//! tests run them all.

use std::fmt::Write;

use crate::builtins::{self, Use};
use crate::{config, probes};

/// A form of statement or expression.
pub struct Form {
    pub title: &'static str,
    pub doc: &'static str,
    pub example: &'static str,
    pub prints: &'static str,
}

/// What a script is made of besides probes and builtins.
pub const FORMS: &[Form] = &[
    Form {
        title: "Variables",
        doc: "`$x` lives in its block; its type is that of its first value.\n`let` declares it without one, or with a type; `string[N]` is a text with room for so many characters, its NUL counted.",
        example: "begin { $x = 5; let $y: uint64; $y = $x * 2; print($y); }",
        prints: "10\n",
    },
    Form {
        title: "Maps",
        doc: "`@x` is one value, `@x[KEY]` one a key, and all probes share them.\nWhat is in them at the end is printed.",
        example: "begin { @calls[\"read\", 3] = 7; @total = 9; }",
        prints: "@calls[read, 3]: 7\n@total: 9\n",
    },
    Form {
        title: "Declared maps",
        doc: "`let @x = KIND(ENTRIES)` chooses a kind (`hash`, `lruhash`, `percpuhash`, `percpulruhash`) and how many entries there is room for.",
        example: "let @last = lruhash(100); begin { @last[1] = 2; }",
        prints: "@last[1]: 2\n",
    },
    Form {
        title: "Predicates",
        doc: "A probe with `/CONDITION/` runs where that holds.",
        example: "begin /1 < 2/ { print(\"yes\"); } begin /1 > 2/ { print(\"no\"); }",
        prints: "yes\n",
    },
    Form {
        title: "Conditions",
        doc: "Parentheses are optional.\n`c ? a : b` and `a ?: b` are expressions.",
        example: "begin { $n = 3; if $n > 2 { print(\"more\"); } else { print(\"less\"); } print($n == 3 ? 1 : 0); }",
        prints: "more\n1\n",
    },
    Form {
        title: "Ranges",
        doc: "`for $i : a..b` counts from `a` up to, and without, `b`; `break` and `continue` work in it.",
        example: "begin { for $i : 0..5 { if $i == 3 { break; } print($i); } }",
        prints: "0\n1\n2\n",
    },
    Form {
        title: "Entries of a map",
        doc: "`for $kv : @x` takes each entry: `$kv.0` is the key, `$kv.1` the value.",
        example: "begin { @x[7] = 70; for $kv : @x { printf(\"%d %d\\n\", $kv.0, $kv.1); } clear(@x); }",
        prints: "7 70\n",
    },
    Form {
        title: "Other loops",
        doc: "`while (CONDITION) { … }`, bounded by the kernel's limits; `unroll(N) { … }` writes the body N times.",
        example: "begin { $i = 0; while ($i < 2) { $i++; } unroll(2) { $i += 10; } print($i); }",
        prints: "22\n",
    },
    Form {
        title: "Integers",
        doc: "`int8` to `int64`, `uint8` to `uint64`, `bool`.\nLiterals may have `_`, `e`, `0x`, `0`, and units of time (`5ms` counts nanoseconds).\nA cast is `(TYPE)VALUE`.",
        example: "begin { print(1_000 + 1e3 + 0x10); print((uint8)300); print(2ms); }",
        prints: "2016\n44\n2000000\n",
    },
    Form {
        title: "Strings",
        doc: "Compared with `==` and `!=`, kept in maps and variables up to the setting `max_strlen`.",
        example: "begin { $s = \"abc\"; if $s == \"abc\" { printf(\"%s has %d\\n\", $s, strlen($s)); } }",
        prints: "abc has 3\n",
    },
    Form {
        title: "Tuples and records",
        doc: "`(a, b)` with parts `.0` and `.1`; `(x=a, y=b)` with parts `.x` and `.y`.",
        example: "begin { $t = (1, \"two\"); print($t.1); $r = (x=3, y=4); print($r.y); }",
        prints: "two\n4\n",
    },
    Form {
        title: "Structures",
        doc: "C's `struct`, `union` and `enum`, from the script, the kernel's types or a tracepoint's fields.\n`.` and `->` both follow pointers; reading memory that is not there gives 0.",
        example: "struct pair { int a; int b; }; begin { print(sizeof(struct pair)); $p = (struct pair *)0; print($p->b); }",
        prints: "8\n0\n",
    },
    Form {
        title: "Macros",
        doc: "`macro NAME($variable, expression, @map) { … }` is written out where it is used; its own variables are its own.",
        example: "macro twice(e) { e + e } begin { print(twice(21)); }",
        prints: "42\n",
    },
    Form {
        title: "Blocks as values",
        doc: "A block's last expression is its value.",
        example: "begin { $x = { let $y = 4; $y * $y }; print($x); }",
        prints: "16\n",
    },
    Form {
        title: "Functions in C",
        doc: "`import \"FILE.o\"` brings in an object's global functions: they are called by name, with arguments and results of the types that C gives them, and the object's maps and variables come along.\nNumbers become as wide as C has them; `&$x`, `&@m[1]`, texts and what an event or the kernel points to are handed over by address.\n`import \"FILE.bpf.c\"` compiles first, with the machine's `clang`; `vmlinux.h`, or `probity/bpf.h` for those who do without, need not be installed.\nEach call is verified with what it is called with, so a text must be as long as the function reads; one that sends signals, writes to a process or changes what a kernel function returns needs `--unsafe`.",
        example: "import \"limit.o\";\nbegin { for ($i : 0..5) { if may_tell(7, nsecs, 2) { print($i); } } print(bucket_of(7)->refused); }",
        prints: "0\n1\n3\n",
    },
    Form {
        title: "Parameters",
        doc: "`$1`, `$2` … are the words behind the script, 0 or empty where there are fewer; `$#` is their number; `getopt()` reads `--name=value` after `--`.",
        example: "begin { print($#); print(str($1)); }",
        prints: "0\n\n",
    },
    Form {
        title: "Preprocessing",
        doc: "`#define`, `#ifdef`, `#ifndef`, `#else`, `#endif`; `#include` and `import \"FILE\"` bring in scripts and declarations, looked for beside the script and where `-I` says.",
        example: "#define LIMIT 3\nbegin { print(LIMIT); }",
        prints: "3\n",
    },
];

/// The whole page.
pub fn reference() -> String {
    let mut out = String::from(
        "# The tracing language\n\n\
         This page is made from the language's own tables by `cargo xtask reference`; tests compile, verify and run its examples.\n\
         Who knows bpftrace reads [Coming from bpftrace](coming-from-bpftrace.md).\n\n\
         A script is probes with what is done there: `PROBE /CONDITION/ { STATEMENTS }`.\n\
         Several probes with one body are separated by commas; `*` and `?` in a probe's name stand for anything and any one character.\n\n\
         ```bt\ntracepoint:raw_syscalls:sys_enter /comm == \"sh\"/ { @[args.id] = count(); }\n```\n",
    );
    out.push_str("\n## Probes\n");
    for row in probes::ROWS {
        entry(&mut out, row.names, row.syntax, row.doc, row.example);
    }
    out.push_str("\n## Statements and expressions\n");
    for form in FORMS {
        let _ = write!(
            out,
            "\n### {}\n\n{}\n\n```bt\n{}\n```\n\n```text\n{}```\n",
            form.title, form.doc, form.example, form.prints
        );
    }
    let sections: [(&str, fn(&builtins::Row) -> bool); 3] = [
        ("Values", |r| is_value(r)),
        ("Functions", |r| !is_value(r) && !collects(r)),
        ("What maps collect", |r| collects(r)),
    ];
    for (title, belongs) in sections {
        let _ = write!(out, "\n## {title}\n");
        let mut rows: Vec<_> = builtins::ROWS.iter().filter(|r| belongs(r)).collect();
        rows.sort_by_key(|r| r.names[0]);
        for row in rows {
            entry(&mut out, row.names, row.syntax, row.doc, row.example);
        }
    }
    out.push_str(
        "\n## Settings\n\n\
         Set by `config = { NAME = VALUE; }` at the script's head, or by the variable `BPFTRACE_NAME` of the environment.\n\n\
         | setting | takes |\n|---|---|\n",
    );
    for (key, takes) in config::keys() {
        let _ = writeln!(out, "| `{key}` | {takes} |");
    }
    out
}

fn is_value(row: &builtins::Row) -> bool {
    matches!(row.kind, Use::Value | Use::Both { .. }) && !collects(row)
}

fn collects(row: &builtins::Row) -> bool {
    row.syntax.starts_with("`@")
}

fn entry(out: &mut String, names: &[&str], syntax: &str, doc: &str, example: &str) {
    let _ = write!(out, "\n### {}\n\n{syntax}\n\n{doc}\n", names[0]);
    if names.len() > 1 {
        let others: Vec<String> = names[1..].iter().map(|n| format!("`{n}`")).collect();
        let _ = writeln!(out, "Also written {}.", others.join(", "));
    }
    if !example.is_empty() {
        let _ = write!(out, "\n```bt\n{example}\n```\n");
    }
}
