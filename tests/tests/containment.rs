//! Generated programs that the verifier accepts stay inside of what it recorded when they run.
//!
//! `TEST_SEED=N` repeats a run, `TEST_PROGRAMS=N` says how many programs for each row of features,
//! `TEST_FEATURES=name` runs one row only.

use probity_tests::containment::{Setting, Tally, check_seed, settings};
use probity_tests::generate::Rng;

#[test]
fn runs_stay_inside_of_what_was_proved() {
    let number = |name: &str| std::env::var(name).ok().and_then(|s| s.parse::<u64>().ok());
    let programs = number("TEST_PROGRAMS").unwrap_or(12);
    let only = std::env::var("TEST_FEATURES").ok();
    let setting = Setting::new(8);
    let mut r = Rng::seeded("containment");
    let mut whole = Tally::default();
    for (name, features) in settings() {
        if only.as_ref().is_some_and(|o| *o != name) {
            continue;
        }
        let mut tally = Tally::default();
        // Of what has everything in it less is accepted.
        let more = if features.0.count_ones() > 1 { 4 } else { 1 };
        for _ in 0..more * programs {
            match check_seed(&setting, r.next(), features) {
                Ok(checked) => tally.add(&checked),
                Err(broken) => panic!("{broken}"),
            }
        }
        println!("{name:<22}{tally}");
        // A row of a few programs may have bad luck; the whole may not.
        assert!(tally.accepted > 0, "no program of `{name}` is accepted");
        whole.programs += tally.programs;
        whole.accepted += tally.accepted;
        whole.steps += tally.steps;
    }
    println!(
        "{} of {} accepted ({}%), {} instructions compared",
        whole.accepted,
        whole.programs,
        whole.rate(),
        whole.steps
    );
    assert!(
        whole.rate() >= 60 || only.is_some(),
        "too few programs are accepted to prove anything"
    );
}
