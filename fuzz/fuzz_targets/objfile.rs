//! Any bytes as an object file. The committed objects under `objfile/tests/data` make a good corpus.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    probity_objfile::fuzzing::check(bytes);
});
