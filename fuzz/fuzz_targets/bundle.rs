//! Any bytes as a package, an image, a manifest, a keyring, a log. Packages that `probity pack` writes make a good corpus.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    probity_bundle::fuzzing::check(bytes);
});
