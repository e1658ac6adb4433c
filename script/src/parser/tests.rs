use super::parse;

#[test]
fn prints_what_it_parsed_and_parses_what_it_printed() {
    let scripts = [
        "begin { printf(\"hi\\n\"); }",
        "tracepoint:syscalls:sys_enter_openat,t:syscalls:sys_exit_openat /pid == 1 && @x[tid]/ { @[comm] = count() }",
        "uprobe:/bin/bash:readline /arg0/ { $x = (uint32)arg0 / 2; @a[$x, \"b\"] += 1; delete(@a, ($x, \"b\")) }",
        "i:s:1{ if $x == 1 { $y = 2 } else if ($x > 2) { exit() } else { $z = 3; } }",
        "config = { max_strlen = 64; stack_mode=perf }\nstruct Foo { int a; char b[16]; struct { int c : 3; } d; }\nlet @m = hash(10);\nk:f* { @m[1]++; --$x; for ($i : 0..5) { print($i); } for $kv : @m { print($kv.0) } }",
        "END { $a = -1 + 2 * (3 - 4) % 5; $b = !$a ? 1 : ~2; $c = ((struct task_struct *)curtask)->pid; $t = (1, (2,3)).1; }",
        "macro inc($x, @m, e) { $x += 1; $x } begin { $v = inc($a); print({ let $q: int32 = 1; $q }); unroll(3) { @ = hist(1) } while ($i < 3) { $i++ } }",
        "$1 { print(sizeof(struct foo *)); print(offsetof(struct a, b.c)); $x = (a=1, b=(2,3)); print(if (1) { 2 } else { 3 }) }",
    ];
    for s in scripts {
        let first = parse(s, "t").unwrap_or_else(|e| panic!("{s}\n{e}"));
        let text = first.to_string();
        let again = parse(&text, "t").unwrap_or_else(|e| panic!("{text}\n{e}"));
        assert_eq!(again.to_string(), text);
    }
}

#[test]
fn errors_have_places() {
    for (text, place, message) in [
        ("begin { $x = ; }", "t:1:14-15", "unexpected `;`"),
        ("begin { print(1) ", "t:1:18-19", "the script ends"),
        ("begin {\n  $x + 1 = 2;\n}", "t:2:3-9", "cannot be assigned"),
        ("begin { \"abc }", "t:1:9-15", "never closed"),
        ("", "", ""),
    ] {
        match parse(text, "t") {
            Ok(_) => assert!(message.is_empty(), "{text}"),
            Err(d) => {
                let d = d.to_string();
                assert!(d.contains(place) && d.contains(message), "{text}: {d}");
            }
        }
    }
}

#[test]
fn several_errors_are_reported_at_once() {
    let e = parse("begin { $x = ; $y = ]; } end { $z = ) }", "t").unwrap_err();
    assert_eq!(e.list.len(), 3, "{e}");
}

#[test]
fn deep_nesting_is_an_error_not_a_crash() {
    for (open, close) in [
        ("(", ")"),
        ("{", "}"),
        ("-", ""),
        ("!", ""),
        ("1+(", ")"),
        ("@a[", "]"),
        ("f(", ")"),
        ("(int8)", ""),
    ] {
        for n in [60, 5_000, 200_000] {
            let text = format!("begin {{ $x = {}1{}; }}", open.repeat(n), close.repeat(n));
            let _ = parse(&text, "t");
        }
    }
    let _ = parse(&format!("begin {{ $x = 1{}; }}", "+1".repeat(100_000)), "t").unwrap_err();
    let _ = parse(&format!("begin {{ {} }}", "if (1) {".repeat(100_000)), "t").unwrap_err();
    let _ = parse(&format!("begin {{ $x{}; }}", ".a".repeat(100_000)), "t").unwrap_err();
}
