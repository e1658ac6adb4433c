//! What Linux found out about random programs, as a lower limit: here nothing less is known.

use crate::branch::Comparison;
use crate::scalar::Scalar;

const RECORD: &str = include_str!("data/linux-6.18.txt");

#[test]
fn no_less_is_known_than_by_linux() {
    let mut registers = [Scalar::unknown(); 10];
    let mut impossible = false;
    let (mut compared, mut tighter) = (0, 0);
    for line in RECORD.lines().filter(|line| !line.starts_with('#')) {
        let Some((insn, known)) = line.split_once(" =>") else {
            registers = [Scalar::unknown(); 10];
            impossible = false;
            continue;
        };
        if impossible {
            continue;
        }
        let (branch, insn) = match insn.strip_prefix("unless ") {
            Some(insn) => (true, insn),
            None => (false, insn),
        };
        let [name, dst, src] = insn.split(' ').collect::<Vec<_>>()[..] else {
            panic!("{line}")
        };
        let (a, b) = (registers[register(dst)], operand(src, &registers));
        if branch {
            let (op, wide) = comparison(name);
            let (decision, refined) = match wide {
                true => (op.decide64(&a, &b), op.refine64(false, &a, &b)),
                false => (op.decide32(&a, &b), op.refine32(false, &a, &b)),
            };
            assert!(
                known.trim() != "always" || decision == Some(true),
                "{line}: not decided of {a} and {b}"
            );
            match refined {
                Some((a, b)) => {
                    registers[register(dst)] = a;
                    if src.starts_with('r') {
                        registers[register(src)] = b;
                    }
                }
                // Linux walks on where nothing can be; there is nothing to compare.
                None => impossible = true,
            }
        } else {
            registers[register(dst)] = apply(name, &a, &b);
        }
        if impossible || known.trim() == "always" {
            continue;
        }
        for fact in known.split_whitespace() {
            let (name, text) = fact.split_once('=').expect("register=value");
            let linux: Scalar = text
                .parse()
                .unwrap_or_else(|error| panic!("{line}: {error}"));
            let ours = registers[register(name)];
            assert!(
                linux.includes(&ours),
                "{line}: of {a} and {b} only {ours} is known of {name}"
            );
            compared += 1;
            tighter += usize::from(ours != linux);
        }
    }
    println!("{compared} values, {tighter} of them known better");
    assert!(compared > 1_000);
}

fn register(name: &str) -> usize {
    name.strip_prefix('r')
        .and_then(|number| number.parse().ok())
        .expect("a register")
}

fn operand(text: &str, registers: &[Scalar]) -> Scalar {
    match text.starts_with('r') {
        true => registers[register(text)],
        false => text.parse().expect("a number"),
    }
}

fn comparison(name: &str) -> (Comparison, bool) {
    let (name, bits) = name.split_at(name.len() - 2);
    let op = Comparison::ALL
        .into_iter()
        .find(|op| format!("{op:?}").to_lowercase() == name);
    (op.expect("a comparison"), bits == "64")
}

fn apply(name: &str, a: &Scalar, b: &Scalar) -> Scalar {
    let bits = b.as_constant().map_or(64, |bits| bits as u32);
    match name {
        "mov64" => *b,
        "mov32" => b.mov32(),
        "movsx64" => a.movsx64(bits),
        "movsx32" => a.movsx32(bits),
        "le" => a.to_le(bits),
        "be" => a.to_be(bits),
        "bswap" => a.bswap(bits),
        "neg64" => a.neg64(),
        "neg32" => a.neg32(),
        _ => {
            let operations = super::random::operations::<64>();
            let found = operations
                .iter()
                .find(|(of, ..)| *of == name)
                .expect("an operation");
            (found.1)(a, b)
        }
    }
}
