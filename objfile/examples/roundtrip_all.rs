//! Opens, writes and opens again every object file named; the second argument form `-o DIR` keeps
//! what was written.
use probity_objfile::{Object, open, write};

fn differs(a: &Object, b: &Object) -> Option<String> {
    if a.license != b.license || a.kernel_version != b.kernel_version {
        return Some("license".into());
    }
    if a.externs != b.externs {
        return Some(format!("externs {:?} {:?}", a.externs, b.externs));
    }
    if a.struct_ops != b.struct_ops {
        return Some(format!("struct_ops {:?} {:?}", a.struct_ops, b.struct_ops));
    }
    if a.programs.len() != b.programs.len() {
        return Some("number of programs".into());
    }
    for (x, y) in a.maps.iter().zip(&b.maps) {
        if x != y {
            return Some(format!("map {x:?} {y:?}"));
        }
    }
    if a.maps.len() != b.maps.len() {
        return Some("number of maps".into());
    }
    for x in &a.programs {
        let Some(y) = b.program(&x.name) else {
            return Some(format!("program {}", x.name));
        };
        if x.insns != y.insns {
            let n = x.insns.iter().zip(&y.insns).position(|(a, b)| a != b);
            return Some(format!(
                "{}: insns at {n:?}: {:?} {:?}",
                x.name,
                n.map(|n| x.insns[n]),
                n.map(|n| y.insns[n])
            ));
        }
        if x.subprogs != y.subprogs {
            return Some(format!(
                "{}: subprogs {:?} {:?}",
                x.name, x.subprogs, y.subprogs
            ));
        }
        if x != y {
            return Some(format!("{}: the rest", x.name));
        }
    }
    None
}

fn main() {
    let mut args = std::env::args().skip(1).peekable();
    let mut dir = None;
    if args.peek().is_some_and(|a| a == "-o") {
        args.next();
        dir = args.next();
    }
    let (mut ok, mut bad) = (0, 0);
    for path in args {
        let bytes = std::fs::read(&path).unwrap_or_default();
        let name = path.rsplit('/').next().unwrap_or("").to_owned();
        let Ok(first) = open(&name, &bytes) else {
            continue;
        };
        let result = write(&first)
            .map_err(|e| format!("write: {e}"))
            .and_then(|w| {
                if let Some(dir) = &dir {
                    std::fs::write(format!("{dir}/{name}"), &w).unwrap();
                }
                let second = open(&name, &w).map_err(|e| format!("open: {e}"))?;
                differs(&first, &second).map_or(Ok(()), Err)
            });
        match result {
            Ok(()) => ok += 1,
            Err(e) => {
                bad += 1;
                let e: String = e.chars().take(600).collect();
                println!("FAIL {name}: {e}");
            }
        }
    }
    println!("{ok} the same, {bad} not");
}
