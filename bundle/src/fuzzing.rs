//! What must hold for any bytes at all; tests run it for a second, the fuzzer all night.

use crate::log::Log;
use crate::{Keyring, Package, Revoked, Time, Trust, Unsigned, Vendor, Verdict, Versions, oci};

/// Reads the bytes as everything that this crate reads. Errors are fine, panics are not; what is read as a package
/// must be written as the same bytes, and must not be trusted by those who know no key.
/// Answers whether the bytes were a package.
pub fn check(bytes: &[u8]) -> bool {
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = Vendor::from_toml(text);
        let _ = Unsigned::from_toml(text);
        if let Ok(ring) = Keyring::parse(text) {
            let written: String = ring.entries().iter().map(|e| format!("{e}\n")).collect();
            assert_eq!(Keyring::parse(&written).as_ref(), Ok(&ring));
        }
        if let Ok(revoked) = Revoked::parse(text) {
            assert_eq!(Revoked::parse(&revoked.to_string()), Ok(revoked));
        }
        if let Ok(versions) = Versions::parse(text) {
            assert_eq!(Versions::parse(&versions.to_string()), Ok(versions));
        }
    }
    let log = Log::read(bytes);
    if let Ok(append) = log.append(Time(0), "fuzz", serde_json::Map::new()) {
        let mut after = bytes[..append.keep as usize].to_vec();
        after.extend(&append.bytes);
        let after = Log::read(&after);
        assert!(after.broken.is_none() && after.torn.is_none());
        assert_eq!(after.head(), Some(append.head));
    }
    let opened = Package::open(bytes);
    if let Ok(package) = &opened {
        assert_eq!(package.to_bytes(), bytes);
    }
    let Ok(package) = opened.or_else(|_| oci::open_tar(bytes)) else {
        return false;
    };
    let verdict = Trust::default().judge(&package, &Versions::default(), Time(0));
    assert!(!verdict.accepted && verdict.verdict != Verdict::Ok);
    let again = oci::layout_tar(&package).expect("a package has a layout");
    assert_eq!(oci::open_tar(&again), Ok(package));
    true
}
