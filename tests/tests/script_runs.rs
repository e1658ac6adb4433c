//! Scripts compiled, verified for the in-process platform and run on the reference engine.

#[path = "script/case_files.rs"]
mod case_files;
#[path = "script/in_process.rs"]
mod in_process;

use in_process::{Run, compile, run, sample, switch};

fn out(script: &str) -> String {
    let Run { text, .. } = run(script, &[]).unwrap_or_else(|e| panic!("{script}\n{e}"));
    text
}

#[test]
fn numbers() {
    for (expression, value) in [
        ("1 + 2 * 3", "7"),
        ("(1 + 2) * 3", "9"),
        ("$a - 7", "-2"),
        ("$a * -3", "-15"),
        ("-$a / 2", "-2"),
        ("-$a % 3", "-2"),
        ("$a << 3", "40"),
        ("-$a >> 1", "-3"),
        ("$a & 4 | 2 ^ 1", "7"),
        ("~$a", "-6"),
        ("$a > 3 && $a < 6 ? 1 : 0", "1"),
        ("$a > 9 || $a == 4 ? 1 : 0", "0"),
        ("-$a < 3 ? 1 : 0", "1"),
        ("(uint8)($a + 300)", "49"),
        ("(int8)($a + 200)", "-51"),
        ("(uint32)(0 - $a)", "4294967291"),
        ("(int16)0x12345 ", "9029"),
        ("0x7fffffffffffffff", "9223372036854775807"),
        ("1_000 + 1e3 + 0x10 + 010", "2024"),
        ("$a ?: 7", "5"),
        ("($a - 5) ?: 7", "7"),
        ("{ let $q = 2; $q * $a }", "10"),
        ("if $a > 3 { 1 } else { 2 }", "1"),
        ("$a++", "5"),
        ("++$a", "6"),
        ("(1, $a, 3).1", "5"),
        ("(x=1, y=$a).y", "5"),
        ("bswap((uint16)0x1234)", "13330"),
        ("sizeof(uint32)", "4"),
        ("strlen(\"hello\")", "5"),
    ] {
        assert_eq!(
            out(&format!("begin {{ $a = 5; print({expression}); }}")),
            format!("{value}\n"),
            "{expression}"
        );
    }
}

#[test]
fn control_flow() {
    assert_eq!(
        out(
            "begin { $i = 0; while ($i < 4) { $i++; if ($i == 2) { continue; } if ($i == 4) { break; } print($i); } }"
        ),
        "1\n3\n"
    );
    assert_eq!(out("begin { for $i : 2..5 { print($i); } }"), "2\n3\n4\n");
    assert_eq!(
        out("begin { $n = 0; unroll(3) { $n += 2; } print($n); }"),
        "6\n"
    );
    assert_eq!(
        out(
            "begin { if (0) { print(1) } else if (1) { print(2) } else { print(3) } return; print(4) }"
        ),
        "2\n"
    );
    assert_eq!(
        out("begin /0/ { print(1); } begin / 1 / { print(2); }"),
        "2\n"
    );
    assert_eq!(out("begin { exit(); print(1); }"), "");
    assert_eq!(run("begin { exit(7); }", &[]).unwrap().status, Some(7));
}

#[test]
fn maps_and_keys() {
    assert_eq!(
        out("begin { @x = 5; @y[1, \"a\"] = 2; @y[1, \"a\"] += 3; @z[(2, 3)]++; @z[2, 3]++; }"),
        "@x: 5\n@y[1, a]: 5\n@z[2, 3]: 2\n"
    );
    assert_eq!(
        out("begin { @s[\"a\"] = \"long text here\"; @s[\"b\"] = \"x\"; print(@s[\"a\"]); }"),
        "long text here\n@s[a]: long text here\n@s[b]: x\n"
    );
    assert_eq!(
        out("begin { @a[\"hi\"] = 1; @a[\"a longer key than that\"] = 2; print(@a[\"hi\"]); }"),
        "1\n@a[hi]: 1\n@a[a longer key than that]: 2\n"
    );
    assert_eq!(
        out(
            "begin { @d[1] = 1; @d[2] = 2; if (delete(@d, 1)) { print(\"gone\"); } if (!delete(@d[5])) { print(\"none\"); } if (has_key(@d, 2)) { print(\"there\"); } }"
        ),
        "gone\nnone\nthere\n@d[2]: 2\n"
    );
    assert_eq!(
        out("begin { @t = (1, \"x\", (2, -3)); @u = @t; print(@u.2.1); }"),
        "-3\n@t: (1, x, (2, -3))\n@u: (1, x, (2, -3))\n"
    );
    assert_eq!(
        out("begin { @c[1] = count(); clear(@c); @k[1] = 4; zero(@k); }"),
        "@k[1]: 0\n"
    );
    assert_eq!(
        out("begin { @m[1] = 10; @m[2] = 30; @m[3] = 20; print(@m, 2, 10); clear(@m); }"),
        "@m[3]: 2\n@m[2]: 3\n"
    );
}

#[test]
fn aggregations() {
    assert_eq!(
        out(
            "begin { @c = count(); @c = count(); @s = sum(5); @s = sum(-7); @n = min(4); @n = min(-2); @x = max(4); @x = max(9); @a = avg(2); @a = avg(4); @t = stats(1); @t = stats(5); }"
        ),
        "@a: 3\n@c: 2\n@n: -2\n@s: -2\n@t: { .count = 2, .average = 3, .total = 6 }\n@x: 9\n"
    );
    let bar = |n: usize, of: usize| {
        format!(
            "{:<52}|",
            "@".repeat((n as f32 / of as f32 * 52.0) as usize)
        )
    };
    assert_eq!(
        out("begin { @ = hist(-1); @ = hist(0); @ = hist(1); @ = hist(5); @ = hist(7); @ = hist(1500); }").lines().collect::<Vec<_>>()[..6],
        [
            "@:".to_owned(),
            format!("(..., 0)               1 |{}", bar(1, 2)),
            format!("[0]                    1 |{}", bar(1, 2)),
            format!("[1]                    1 |{}", bar(1, 2)),
            format!("[2, 4)                 0 |{}", bar(0, 2)),
            format!("[4, 8)                 2 |{}", bar(2, 2)),
        ]
    );
    let l = out(
        "begin { @l[7] = lhist(5, 0, 10, 2); @l[7] = lhist(-1, 0, 10, 2); @l[7] = lhist(99, 0, 10, 2); }",
    );
    assert!(
        l.starts_with("@l[7]:\n(..., 0)               1 |")
            && l.contains("\n[4, 6)                 1 |")
            && l.contains("\n[10, ...)              1 |"),
        "{l}"
    );
    assert_eq!(
        out(
            "begin { @ = count(); @ = count(); if (@ == 2) { print(\"two\"); } @b[1] = sum(5); print(@b[1]); }"
        ),
        "two\n5\n@: 2\n@b[1]: 5\n"
    );
}

/// Every bucket of `hist(n, bits)` is the one that its bounds say.
#[test]
fn buckets_hold_what_they_say() {
    for bits in [0u32, 1, 3, 5] {
        for v in [
            0u64,
            1,
            2,
            3,
            4,
            5,
            7,
            8,
            15,
            16,
            31,
            33,
            100,
            1023,
            1024,
            65_535,
            1 << 32,
            u64::MAX / 2,
        ] {
            let text = out(&format!("begin {{ @ = hist({v}, {bits}); }}"));
            let row = text.lines().nth(1).unwrap_or_default();
            let inside = row.split(['[', ']', ')']).nth(1).unwrap_or_default();
            let number = |s: &str| -> u128 {
                let s = s.trim();
                let scale = |c| match c {
                    'K' => 10,
                    'M' => 20,
                    'G' => 30,
                    'T' => 40,
                    'P' => 50,
                    'E' => 60,
                    _ => 0,
                };
                let last = s.chars().last().unwrap_or('0');
                s.trim_end_matches(char::is_alphabetic)
                    .parse::<u128>()
                    .unwrap_or(0)
                    << scale(last)
            };
            let (low, high) = match inside.split_once(',') {
                Some((a, b)) => (number(a), number(b)),
                None => (number(inside), number(inside) + 1),
            };
            assert!(
                low <= u128::from(v) && u128::from(v) < high,
                "hist({v}, {bits}): {row}"
            );
        }
    }
}

#[test]
fn strings() {
    assert_eq!(
        out(
            "begin { $a = \"abc\"; $b = \"abd\"; print($a == $b); print($a == \"abc\"); print($a != $b); print(strncmp($a, $b, 2)); }"
        ),
        "false\ntrue\ntrue\n0\n"
    );
    assert_eq!(
        out(
            "begin { if (comm == \"worker\") { print(strcontains(comm, \"ork\")); print(strcontains(comm, \"xy\")); print(strlen(comm)); } }"
        ),
        "true\nfalse\n6\n"
    );
    assert_eq!(
        out(
            "begin { printf(\"%-6s|%6s|%.2s|%c|%5.1d|%04x|%rx\\n\", \"ab\", \"cd\", \"efg\", 65, 3, 255, buf(\"A\\n\", 2)); }"
        ),
        "ab    |    cd|ef|A|    3|00ff|\\x41\\x0a\n"
    );
    assert_eq!(
        out(
            "begin { $x = \"a\"; $x = \"much longer than before\"; print($x); $y = $x; print($y[5]); }"
        ),
        "much longer than before\n108\n"
    );
    assert_eq!(
        out(
            "begin { print(ntop(0x0100007f)); print(ntop(pton(\"::1\"))); print(strerror(2)); print(signal_name(9)); }"
        ),
        "127.0.0.1\n::1\nNo such file or directory\nKilled\n"
    );
}

#[test]
fn builtins_come_from_the_sample() {
    let script = "tracepoint:sched:sched_switch { printf(\"%d %d %s %d %s %d\\n\", pid, tid, comm, cpu, probe, nsecs); }";
    let r = run(script, &[(switch(), sample(7, 8, "bash"))]).unwrap();
    assert_eq!(r.text, "7 8 bash 0 tracepoint:sched:sched_switch 1000\n");
}

#[test]
fn tracepoint_fields() {
    let script = "t:sched:sched_switch / args.next_pid == 2 / { @[args->prev_comm, str(args.next_comm)] = count(); printf(\"%d %s\\n\", args.prev_prio, args.prev_comm); }";
    let r = run(
        script,
        &[
            (switch(), sample(7, 8, "bash")),
            (switch(), sample(7, 8, "bash")),
        ],
    )
    .unwrap();
    assert_eq!(r.text, "120 alpha\n120 alpha\n@[alpha, beta]: 2\n");
}

#[test]
fn located_strings() {
    let r = run(
        "tracepoint:sched:sched_process_exec { print(args.filename); @[args.filename] = count(); }",
        &[(in_process::exec("/bin/ls"), sample(1, 1, "a"))],
    )
    .unwrap();
    assert_eq!(r.text, "/bin/ls\n@[/bin/ls]: 1\n");
}

#[test]
fn elapsed_counts_from_the_start() {
    let r = run(
        "tracepoint:sched:sched_switch { print(elapsed); }",
        &[(switch(), sample(1, 1, "a"))],
    )
    .unwrap();
    assert_eq!(r.text, "500\n");
}

/// Losses are counted, and exact: a small ring buffer and many records.
#[test]
fn records_without_room_are_counted() {
    let script =
        "config = { perf_rb_pages = 1 } begin { for $i : 0..1000 { printf(\"%d\\n\", $i); } }";
    let r = run(script, &[]).unwrap();
    let printed = r.text.lines().count() as u64;
    assert!(r.losses.events > 0);
    assert_eq!(printed + r.losses.events, 1000);
}

#[test]
fn full_maps_are_counted() {
    let r = run("config = { max_map_keys = 2 } begin { @[1] = 1; @[2] = 1; @[3] = 1; @c[1] = count(); @c[2] = count(); @c[3] = count(); }", &[]).unwrap();
    assert_eq!(r.losses.map_updates, 2);
}

/// Every builtin's example that asks nothing of a machine compiles for this process and passes the verifier.
#[test]
fn examples_of_builtins_are_accepted() {
    let mut failed = Vec::new();
    for row in probity_script::builtins::ROWS {
        const OF_A_MACHINE: [&str; 22] = [
            "args",
            "ppid",
            "pcomm",
            "leader_comm",
            "leader_tid",
            "curtask",
            "dw_ustack",
            "signal",
            "signal_thread",
            "override",
            "write_user",
            "percpu_kaddr",
            "cpid",
            "cgroupid",
            "kaddr",
            "uaddr",
            "fail",
            "str",
            "socket_cookie",
            "path",
            "skboutput",
            "system",
        ];
        let elsewhere = row.example.contains("syscalls:");
        if elsewhere || OF_A_MACHINE.contains(&row.names[0]) {
            continue;
        }
        if let Err(e) = compile(row.example) {
            failed.push(format!("{}: {}\n{e}", row.names[0], row.example));
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

/// Measures how many of a folder of sample cases print what they should, when `PROBITY_SHARED` names one.
#[test]
fn sample_cases() {
    let Ok(shared) = std::env::var("PROBITY_SHARED") else {
        return;
    };
    let cases = case_files::read(
        std::path::Path::new(&shared)
            .join("data/script/runtime")
            .as_path(),
    );
    let (mut passed, mut refused, mut wrong) = (0, Vec::new(), Vec::new());
    for case in &cases {
        match run(&case.program, &[]) {
            Err(e) => refused.push(format!("{}\n{}\n{e}", case.name, case.program)),
            Ok(r) => {
                let missing: Vec<&String> = case
                    .expect
                    .iter()
                    .filter(|e| !r.text.contains(e.trim()))
                    .collect();
                if missing.is_empty() {
                    passed += 1;
                } else {
                    wrong.push(format!(
                        "{}\n{}\nexpected {missing:?}\ngot {}",
                        case.name, case.program, r.text
                    ));
                }
            }
        }
    }
    for r in refused.iter().chain(&wrong) {
        println!("---- {r}");
    }
    println!(
        "{} cases run in process: {passed} print what they should, {} refused, {} print something else",
        cases.len(),
        refused.len(),
        wrong.len()
    );
    assert!(passed * 2 > cases.len());
}

#[test]
fn loops_over_maps() {
    assert_eq!(
        out(
            "begin { @m[1] = 10; @m[2] = 20; $n = 0; for ($kv : @m) { $n += $kv.1; } print($n); clear(@m); }"
        ),
        "30\n"
    );
    assert_eq!(
        out(
            "begin { @m[1, \"ab\"] = 10; for ($kv : @m) { print($kv); print($kv.0.1); } clear(@m); }"
        ),
        "((1, ab), 10)\nab\n"
    );
    assert_eq!(
        out(
            "begin { @m[1] = count(); @m[1] = count(); for $kv : @m { print($kv.1); } clear(@m); }"
        ),
        "2\n"
    );
    assert_eq!(
        out(
            "begin { @m[1] = 1; @m[2] = 2; for ($kv : @m) { if ($kv.0 == 1) { print(\"one\"); return; } } print(\"end\"); } end { clear(@m); }"
        ),
        "one\n"
    );
    // A map's elements come in no order that a script could rely on.
    let nested = out(
        "begin { @m[1] = 1; @m[2] = 2; @n[1] = 5; for ($a : @m) { for ($b : @n) { print($a.1 * $b.1); } } print(len(@m)); clear(@m); clear(@n); }",
    );
    assert!(
        ["5\n10\n2\n", "10\n5\n2\n"].contains(&nested.as_str()),
        "{nested}"
    );
    assert_eq!(
        out(
            "begin { @m[1] = 1; @m[2] = 2; @m[3] = 3; for ($kv : @m) { if ($kv.0 == 9) { continue; } print(\"first\"); break; } clear(@m); }"
        ),
        "first\n"
    );
}

/// Each case: `# what`, the script, `--`, what it prints.
#[test]
fn cases() {
    let text = include_str!("script/cases/language.txt");
    let mut wrong = Vec::new();
    let mut count = 0;
    for case in format!("\n{text}").split("\n# ").skip(1) {
        let (what, rest) = case.split_once('\n').unwrap_or((case, ""));
        let (script, expected) = rest.split_once("\n--\n").unwrap_or((rest, ""));
        count += 1;
        match run(script, &[]) {
            Ok(r) if r.text.trim_end() == expected.trim_end() => {}
            Ok(r) => wrong.push(format!("{what}\n{script}\nprints\n{}", r.text)),
            Err(e) => wrong.push(format!("{what}\n{script}\n{e}")),
        }
    }
    assert!(count > 10, "the cases were not read");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn one_text_behind_the_other() {
    for (expression, text) in [
        ("str_concat(\"ab\", \"cd\")", "abcd"),
        ("str_concat($a, \"cd\")", "one textcd"),
        ("str_concat(\"ab\", $a)", "abone text"),
        ("str_concat($a, $a)", "one textone text"),
        ("str_concat($none, $a)", "one text"),
        ("str_concat($a, $none)", "one text"),
        ("str_concat(str_concat($a, \"/\"), comm)", "one text/worker"),
    ] {
        let script = format!(
            "begin {{ $a = \"one text\"; $none = \"\"; $x = {expression}; @s[$x] = 1; print($x); \
             print(strlen($x)); print(has_key(@s, \"{text}\")); clear(@s); }}"
        );
        let wanted = format!("{text}\n{}\ntrue\n", text.len());
        assert_eq!(out(&script), wanted, "{script}");
    }
    // A text that grows by itself stays within the room of texts.
    assert_eq!(
        out("begin { $x = \"a\"; for $i : 0..3 { $x = str_concat($x, \"bc\"); } print($x); }"),
        "abcbcbc\n"
    );
    assert_eq!(
        out(
            "config = { max_strlen = 16; str_trunc_trailer = \"\"; } begin { @x = \"a\"; \
             for $i : 0..20 { @x = str_concat(\"0123456\", @x); } print(strlen(@x)); }"
        ),
        "15\n@x: 012345601234560\n"
    );
}

#[test]
fn texts_that_fit_a_pattern() {
    for (text, pattern, fits) in [
        ("kworker/0:1", "kworker/[0-9]*", 1),
        ("kworker/u8:1", "kworker/[0-9]*", 0),
        ("kworker/u8:1", "kworker/[!0-9]*", 1),
        ("/usr/lib/libc.so.6", "*/lib*.so*", 1),
        ("/usr/lib/libc.a", "*/lib*.so*", 0),
        ("abc", "a?c", 1),
        ("ac", "a?c", 0),
        ("", "*", 1),
        ("", "?", 0),
        ("", "", 1),
        ("x", "", 0),
        ("aXbXc", "*X*X*", 1),
        ("aXbc", "*X*X*", 0),
        ("aaaaaaaaaaaaaaaaaaaaaaaaaaaab", "a*a*a*a*b", 1),
        ("aaaaaaaaaaaaaaaaaaaaaaaaaaaac", "a*a*a*a*b", 0),
    ] {
        let constant = format!("begin {{ print(globmatch(\"{text}\", \"{pattern}\") ? 1 : 0); }}");
        assert_eq!(out(&constant), format!("{fits}\n"), "{constant}");
        // The same where the text is known only as the program runs, alone and beside others.
        let stored = format!(
            "begin {{ $t = \"a longer text than many others\"; $t = \"{text}\"; \
             print(globmatch($t, \"{pattern}\") ? 1 : 0); print(globmatch($t, \"{text}\") ? 1 : 0); \
             print(globmatch($t, \"{pattern}\") && globmatch(comm, \"work*\") ? 1 : 0); }}"
        );
        assert_eq!(out(&stored), format!("{fits}\n1\n{fits}\n"), "{stored}");
    }
    let long = "b".repeat(64);
    let refused = run(
        &format!("begin {{ print(globmatch(comm, \"{long}\")); }}"),
        &[],
    );
    assert!(refused.is_err_and(|e| e.contains("at most 63 characters")));
}

#[test]
fn what_texts_are_told_of() {
    assert_eq!(
        out("config = { max_strlen = 99; } begin { assert_str(comm); print(default_str_length); }"),
        "99\n"
    );
    let refused = run("begin { assert_str(5); }", &[]);
    assert!(refused.is_err_and(|e| e.contains("a text is needed here")));
}
