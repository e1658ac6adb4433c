//! Random programs of random features: what the verifier accepts stays inside of what it recorded when it runs.
#![no_main]

use libfuzzer_sys::fuzz_target;
use probity_tests::containment::{Setting, check_seed};
use probity_tests::generate::Features;

fuzz_target!(|input: (u64, u32)| {
    let (seed, features) = input;
    if let Err(broken) = check_seed(&Setting::new(4), seed, Features(features & Features::ALL.0)) {
        panic!("{broken}");
    }
});
