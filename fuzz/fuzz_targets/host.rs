//! Any bytes as a host's description, a policy, a request. `programs/hosts/*/extensions/*.json` make a good corpus.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    probity_host::fuzzing::check(bytes);
});
