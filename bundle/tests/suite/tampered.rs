//! No changed byte is accepted, and no bytes make a panic.

use probity_bundle::{Package, Time, Unsigned, Versions, fuzzing};

use crate::{Rng, sealed, signed, trust};

const NOW: Time = Time(1_800_000_000);

#[test]
fn what_is_written_is_read() {
    for package in [signed(), sealed().unsigned()] {
        let bytes = package.to_bytes();
        assert_eq!(Package::open(&bytes).unwrap(), package);
        assert!(fuzzing::check(&bytes));
    }
}

/// Even where unsigned packages are taken: a flipped byte does not make a signed one unsigned.
#[test]
fn a_flipped_byte_anywhere_is_refused() {
    let bytes = signed().to_bytes();
    let mut trust = trust();
    trust.unsigned = Unsigned::Taint;
    let versions = Versions::default();
    assert!(
        trust
            .judge(&Package::open(&bytes).unwrap(), &versions, NOW)
            .accepted
    );
    let mut r = Rng::seeded();
    let mut read = 0;
    let signature = bytes.len() - 110;
    for at in 0..bytes.len() {
        // Each bit of what is short, one bit of each byte of the rest.
        let bits = match at {
            _ if at >= signature || at < 64 => 0..8,
            _ => {
                let bit = r.below(8);
                bit..bit + 1
            }
        };
        for bit in bits {
            let mut changed = bytes.clone();
            changed[at] ^= 1 << bit;
            let Ok(package) = Package::open(&changed) else {
                continue;
            };
            read += 1;
            let j = trust.judge(&package, &versions, NOW);
            assert!(!j.accepted, "byte {at}, bit {bit}: {}", j.verdict);
        }
    }
    // Not all for its shape alone.
    assert!(read > 500, "{read}");
}

#[test]
fn cut_short_or_longer_is_refused() {
    let bytes = signed().to_bytes();
    let mut r = Rng::seeded();
    for len in (0..200).chain((0..200).map(|_| r.below(bytes.len()))) {
        assert!(Package::open(&bytes[..len]).is_err(), "{len}");
    }
    assert!(Package::open(&bytes[..bytes.len() - 1]).is_err());
    let mut longer = bytes.clone();
    longer.push(0);
    assert!(Package::open(&longer).is_err());
    // Without its signature it is another package, and not trusted.
    let mut stripped = bytes[..bytes.len() - 105].to_vec();
    stripped.push(0);
    let package = Package::open(&stripped).unwrap();
    assert!(!trust().judge(&package, &Versions::default(), NOW).accepted);
}

/// The same manifest told in other bytes: lists out of order, a version with zeros.
#[test]
fn a_second_encoding_is_refused() {
    let bytes = sealed().unsigned().to_bytes();
    let text = |from: &str, to: &str| {
        let at = bytes
            .windows(from.len())
            .position(|w| w == from.as_bytes())
            .unwrap();
        let mut changed = bytes.clone();
        changed[at..at + from.len()].copy_from_slice(to.as_bytes());
        Package::open(&changed).unwrap_err().to_string()
    };
    // `>=1.0, <2` is written so; these mean the same.
    assert!(text(">=1.0, <2", ">=1.0 ,<2").contains("malformed"));
    assert!(text("1.2.0", "01.20").contains("malformed"));
    // Helpers ascend.
    let helper = "map_lookup_elem";
    assert!(text(helper, &helper.replace('m', "z")).contains("ascend"));
}

#[test]
fn random_bytes_do_no_harm() {
    let mut r = Rng::seeded();
    let seeds = [
        signed().to_bytes(),
        probity_bundle::oci::layout_tar(&signed()).unwrap(),
        format!("{}\n", crate::entry(&crate::key(1))).into_bytes(),
        crate::MANIFEST.as_bytes().to_vec(),
    ];
    for n in 0..2000 {
        let mut bytes = seeds[n % seeds.len()].clone();
        for _ in 0..=r.below(6) {
            let at = r.below(bytes.len());
            match r.below(5) {
                0 => bytes[at] = r.below(256) as u8,
                1 => bytes[at] ^= 1 << r.below(8),
                2 => bytes.truncate(at + 1),
                3 => {
                    let end = (at + 8).min(bytes.len());
                    bytes[at..end].fill([0, 0xff][r.below(2)]);
                }
                _ => bytes.insert(at, r.below(256) as u8),
            }
        }
        fuzzing::check(&bytes);
    }
}
