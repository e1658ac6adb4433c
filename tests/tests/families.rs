//! Generated families: what a verdict costs follows the size of the program and nothing else, or the family is in
//! `tests/families/known.toml` with how far it comes; and what is accepted runs as long as its family says.
//!
//! Costs are counted in processed instructions, which are the same on every machine; no time is measured here.

use std::path::PathBuf;

use probity_tests::families::measure::{self, BEYOND, Known};
use probity_tests::families::{self, Longest, Scales, clang};

fn known() -> std::collections::BTreeMap<String, Known> {
    let path: PathBuf = probity_tests::root().join("tests/families/known.toml");
    measure::known(&path).expect("the table")
}

#[test]
fn the_cost_of_a_verdict_follows_the_size_of_the_program() {
    let platform = families::platform();
    let known = known();
    let (mut good, mut wrong) = (0, Vec::new());
    for family in families::all() {
        let name = family.name;
        let members = measure::members(family, &platform);
        let (points, all) = measure::within_target(family, &members, &platform);
        let verdicts = |points: &[measure::Point]| {
            let show = |p: &measure::Point| format!("{}: {} after {}", p.n, p.verdict, p.processed);
            points.iter().map(show).collect::<Vec<_>>().join(", ")
        };
        let Some(limit) = known.get(name) else {
            match all {
                true => good += 1,
                false => wrong.push(format!("{name}: {}", verdicts(&points))),
            }
            continue;
        };
        if all {
            println!("{name}: all that is wanted; its row in known.toml can go");
            good += 1;
            continue;
        }
        let (points, now) = measure::falls_short(family, &members, &platform);
        if now.accepted < limit.accepted {
            wrong.push(format!(
                "{name}: up to {} within {BEYOND}, it was {}: {}",
                now.accepted,
                limit.accepted,
                verdicts(&points)
            ));
        }
        if let (Some(e), Some(was)) = (now.exponent, limit.exponent)
            && e > was + 0.15
            && now.accepted <= limit.accepted
        {
            wrong.push(format!(
                "{name}: grows as n^{e}, it was n^{was}: {}",
                verdicts(&points)
            ));
        }
        if now.accepted > limit.accepted {
            println!("{name}: now up to {}: known.toml can say so", now.accepted);
        }
    }
    println!("{good} as wanted, {} known to fall short", known.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The same of what clang makes of such programs in C.
#[test]
fn the_cost_follows_the_size_of_what_clang_makes_too() {
    let platform = families::platform();
    let known = known();
    let object = clang::object();
    let groups = clang::groups(&object);
    assert!(groups.len() >= 9, "families in C are missing");
    let mut wrong = Vec::new();
    for group in groups {
        assert!(group.members.len() >= 2, "{}: one size", group.name);
        let (points, all) = group.within_target(&object, &platform);
        let show = |p: &measure::Point| format!("{}: {} after {}", p.n, p.verdict, p.processed);
        let mut text = points.iter().map(show).collect::<Vec<_>>().join(", ");
        let limit = known.get(&group.name);
        let good = all
            || limit.is_some_and(|limit| {
                let (points, accepted) = group.falls_short(&object, &platform);
                text = points.iter().map(show).collect::<Vec<_>>().join(", ");
                accepted >= limit.accepted
            });
        if !good {
            wrong.push(format!("{}: {text}", group.name));
        } else if all && limit.is_some() {
            println!("{}: its row in known.toml can go", group.name);
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_table_of_what_falls_short_names_families() {
    let groups = clang::groups(&clang::object());
    for (name, k) in known() {
        let found = families::find(&name).map(|f| f.sizes.to_vec());
        let in_c = || {
            let group = groups.iter().find(|g| g.name == name)?;
            Some(group.members.iter().map(|m| m.0).collect())
        };
        let sizes = found
            .or_else(in_c)
            .unwrap_or_else(|| panic!("no family {name}"));
        assert!(["walks", "paths", "refused"].contains(&k.limit.as_str()));
        assert!(k.accepted == 0 || sizes.contains(&k.accepted), "{name}");
    }
    let mut names: Vec<&str> = families::all().map(|f| f.name).collect();
    names.sort_unstable();
    assert!(
        names.windows(2).all(|w| w[0] != w[1]),
        "a name is given twice"
    );
}

/// Runs that end and are as long as their family says are what a proved worst case is held against.
#[test]
fn accepted_members_run_as_long_as_their_family_says() {
    const LONGEST: u64 = 10_000;
    let platform = std::sync::Arc::new(probity_runtime::platform(
        families::platform().types.clone(),
    ));
    let known = known();
    let (mut ran, mut wrong) = (0, Vec::new());
    let (mut exact, mut looser) = (0, Vec::new());
    for family in families::all() {
        let mut some = false;
        for &n in family
            .sizes
            .iter()
            .filter(|n| family.longest(**n) <= LONGEST)
        {
            let name = format!("{} of {n}", family.name);
            let result = match measure::run(family, n, &platform, 4 * LONGEST) {
                Ok(result) => result,
                // There are no kernel functions in process.
                Err(_) if family.name.starts_with("iterator/") => {
                    some = true;
                    continue;
                }
                // Refused as too complex where the other test knows of it.
                Err(why) if why.starts_with("too_complex") && known.contains_key(family.name) => {
                    continue;
                }
                Err(why) => {
                    wrong.push(format!("{name}: {why}"));
                    continue;
                }
            };
            let executed = result.run.executed;
            if let Err(fault) = &result.run.result {
                wrong.push(format!("{name}: {fault}"));
            }
            let as_long = match family.longest {
                Longest::Exact(f) => executed == f(n),
                Longest::AtMost(f) => executed <= f(n),
            };
            if !as_long {
                let says = family.longest(n);
                wrong.push(format!(
                    "{name}: executed {executed}, its family says {says}"
                ));
            }
            match measure::worst_case(&result.report) {
                Some(most) if executed > most => wrong.push(format!(
                    "{name}: executed {executed}, proved at most {most}"
                )),
                Some(most) if executed < most => {
                    looser.push(format!("{name}: {executed} of {most}"))
                }
                Some(_) => exact += 1,
                None => wrong.push(format!("{name}: no bound is proved")),
            }
            ran += 1;
            some = true;
        }
        // The smallest loops run everywhere; programs too long to be run are long in themselves.
        if !some && family.scales == Scales::Trips {
            wrong.push(format!("{}: none was run", family.name));
        }
    }
    println!("{ran} members ran, {exact} of them as long as was proved");
    println!("{}", looser.join("\n"));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
