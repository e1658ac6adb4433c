//! Asks the running kernel, for each kind of program and each helper, whether the one may call the other.
//!
//! The arguments are all wrong: the kernel looks at the kind before it looks at them.

mod kernel;

use kernel::{EXIT, Load, call, differ, load, mov};
use probity_platform::{NEWEST, Platform};

/// Kinds, attach types and targets to ask about, and whether the program sleeps.
fn programs(platform: &Platform) -> Vec<(Load, Option<u32>)> {
    let mut all: Vec<(u32, Option<u32>, bool, Option<&str>)> = vec![
        (31, None, true, None),
        (26, Some(23), false, Some("btf_trace_sched_switch")),
        (26, Some(28), false, Some("bpf_iter_tcp")),
        (26, Some(28), true, Some("bpf_iter_tcp")),
    ];
    for kind in [
        1, 2, 3, 4, 5, 6, 7, 10, 11, 12, 13, 14, 15, 16, 17, 19, 22, 23, 24,
    ] {
        all.push((kind, None, false, None));
    }
    for (kind, attaches) in [
        (2u32, &[42u32, 48, 56, 57][..]),
        (6, &[33, 35, 37]),
        (8, &[0, 1]),
        (9, &[2, 12, 13, 34]),
        (13, &[3]),
        (15, &[6]),
        (16, &[7]),
        (17, &[23]),
        (14, &[4, 5, 38]),
        (22, &[17]),
        (23, &[18]),
        (3, &[46, 47, 54, 55]),
        (7, &[41]),
        (
            18,
            &[
                8, 9, 10, 11, 14, 15, 19, 20, 29, 30, 31, 32, 49, 50, 51, 52, 53,
            ],
        ),
        (21, &[39, 40]),
        (25, &[21, 22]),
        (30, &[36]),
        (32, &[45]),
    ] {
        all.extend(attaches.iter().map(|a| (kind, Some(*a), false, None)));
    }
    let types = kernel::kernel_types();
    all.into_iter()
        .filter(|(kind, attach, ..)| {
            platform.prog_kind(*kind).is_some()
                && attach.is_none_or(|a| platform.has_attach_type(a))
        })
        .filter_map(|(kind, attach, sleepable, target)| {
            let target = match target {
                None => 0,
                Some(name) => {
                    let types = types.as_ref()?;
                    types
                        .find_typedef(name)
                        .or_else(|| types.find_func(name))?
                        .0
                }
            };
            Some((
                Load {
                    kind,
                    attach: attach.unwrap_or(0),
                    sleepable,
                    target,
                    ..Load::default()
                },
                attach,
            ))
        })
        .collect()
}

#[test]
fn allowed_helpers_are_those_of_the_kernel() {
    let Some(platform) = kernel::platform() else {
        return;
    };
    // Withheld from this kernel by how it is built or locked down, not by the kind of program.
    let withheld = ["probe_write_user", "override_return"];
    let mut wrong = Vec::new();
    let mut asked = 0;
    for (program, attach) in programs(&platform) {
        let kind = platform.prog_kind(program.kind).unwrap();
        let result = kind.return_range(attach).map_or(0, |r| r.min);
        let with = |insns: Vec<[u8; 8]>| {
            load(
                &Load {
                    insns,
                    ..program.clone()
                },
                true,
            )
        };
        let trivial = with(vec![mov(0, result as i32), EXIT]);
        assert_eq!(
            trivial.error, 0,
            "{} {attach:?}: {}",
            kind.name, trivial.log
        );
        for helper in platform.helpers.iter() {
            let verdict = with(vec![call(helper.id), mov(0, result as i32), EXIT]);
            let refused = [
                "cannot use helper",
                "unknown func",
                "invalid func",
                "not supported for program type",
                "supported only for",
            ]
            .iter()
            .any(|m| verdict.log.contains(m));
            asked += 1;
            if differ(
                &platform,
                kind.helpers.allows(helper.name, attach),
                !refused,
            ) && !withheld.contains(&helper.name)
            {
                wrong.push(format!(
                    "{} {attach:?} {}: the kernel {}",
                    kind.name,
                    helper.name,
                    if refused { "refuses it" } else { "allows it" }
                ));
            }
        }
    }
    println!("{asked} pairs asked");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn ranges_of_results_are_those_of_the_kernel() {
    let Some(platform) = kernel::platform() else {
        return;
    };
    let mut wrong = Vec::new();
    for (program, attach) in programs(&platform) {
        let kind = platform.prog_kind(program.kind).unwrap();
        for result in [-4096, -1, 0, 1, 2, 3, 4] {
            let verdict = load(
                &Load {
                    insns: vec![mov(0, result), EXIT],
                    ..program.clone()
                },
                false,
            );
            let ours = kind
                .return_range(attach)
                .is_none_or(|r| (r.min..=r.max).contains(&result.into()));
            // Ranges widen: what newer versions refuse, older ones did not look at.
            if platform.version == NEWEST && ours != (verdict.error == 0)
                || ours && verdict.error != 0
            {
                wrong.push(format!(
                    "{} {attach:?} returns {result}: errno {}",
                    kind.name, verdict.error
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn sleepable_kinds_are_those_of_the_kernel() {
    let Some(platform) = kernel::platform() else {
        return;
    };
    for (program, attach) in programs(&platform) {
        let kind = platform.prog_kind(program.kind).unwrap();
        // Of tracing, only some targets may sleep.
        if kind.kind == 26 {
            continue;
        }
        let result = kind.return_range(attach).map_or(0, |r| r.min) as i32;
        let verdict = load(
            &Load {
                sleepable: true,
                insns: vec![mov(0, result), EXIT],
                ..program
            },
            true,
        );
        assert_eq!(
            verdict.error == 0,
            kind.sleepable,
            "{} {attach:?}: {}",
            kind.name,
            verdict.log
        );
    }
}
