//! Every verdict, and which comes first.

use probity_bundle::{Entry, Judgement, Package, Time, Trust, Unsigned, Verdict, Versions};

use crate::{entry, key, ring, sealed, signed, trust, version};

const NOW: Time = Time(1_800_000_000);

#[track_caller]
fn judged(trust: &Trust, package: &Package, verdict: Verdict) -> Judgement {
    // As it arrives: by its bytes.
    let package = Package::open(&package.to_bytes()).unwrap();
    let j = trust.judge(&package, &Versions::default(), NOW);
    assert_eq!(j.verdict, verdict, "{}", j.why);
    assert!(!j.why.is_empty());
    let tainted = verdict == Verdict::Unsigned && trust.unsigned == Unsigned::Taint;
    assert_eq!(j.accepted, verdict == Verdict::Ok || tainted);
    assert_eq!(j.tainted, tainted);
    j
}

#[test]
fn ok() {
    let j = judged(&trust(), &signed(), Verdict::Ok);
    assert_eq!(j.signer.unwrap().name, "key-1");
}

#[test]
fn unsigned_is_refused_unless_the_policy_says_otherwise() {
    let package = sealed().unsigned();
    let mut trust = trust();
    judged(&trust, &package, Verdict::Unsigned);
    trust.unsigned = Unsigned::from_toml("unsigned = \"taint\"").unwrap();
    assert!(judged(&trust, &package, Verdict::Unsigned).tainted);
    // What is revoked is, signed or not.
    trust
        .revoked
        .add(&package.digest().to_string(), "bad")
        .unwrap();
    judged(&trust, &package, Verdict::Revoked);
    // A wrong signature is not none.
    trust.revoked = Default::default();
    judged(&trust, &sealed().sign(&key(2), None), Verdict::UnknownKey);
    assert!(Unsigned::from_toml("unsigned = \"accept\"").is_err());
    assert_eq!(Unsigned::from_toml("").unwrap(), Unsigned::Refuse);
}

#[test]
fn unknown_key() {
    judged(&trust(), &sealed().sign(&key(2), None), Verdict::UnknownKey);
    judged(&Trust::default(), &signed(), Verdict::UnknownKey);
}

/// The signature of one package on another; another signer's name on a signature; a longer time.
#[test]
fn bad_signature() {
    let other = version("9.9.9").sign(&key(1), None).to_bytes();
    let signature = &signed().to_bytes()[signed().to_bytes().len() - 104..];
    let mut swapped = other.clone();
    let at = swapped.len() - 104;
    swapped[at..].copy_from_slice(signature);
    judged(
        &trust(),
        &Package::open(&swapped).unwrap(),
        Verdict::BadSignature,
    );

    let mut by_two = sealed().sign(&key(2), None).to_bytes();
    by_two[at..at + 32].copy_from_slice(&key(1).public().0);
    judged(
        &trust(),
        &Package::open(&by_two).unwrap(),
        Verdict::BadSignature,
    );

    let mut longer = sealed().sign(&key(1), Some(Time(5))).to_bytes();
    longer[at + 32..at + 40].copy_from_slice(&0u64.to_le_bytes());
    judged(
        &trust(),
        &Package::open(&longer).unwrap(),
        Verdict::BadSignature,
    );
}

/// The order of the curve's group added to a signature's second half gives another that a lenient check takes.
#[test]
fn a_second_spelling_of_a_signature_is_bad() {
    const ORDER: [u8; 32] = [
        0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde,
        0x14, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
    ];
    let mut bytes = signed().to_bytes();
    let at = bytes.len() - 32;
    let mut carry = 0u16;
    for (byte, order) in bytes[at..].iter_mut().zip(ORDER) {
        carry += u16::from(*byte) + u16::from(order);
        *byte = carry as u8;
        carry >>= 8;
    }
    assert_eq!(carry, 0);
    judged(
        &trust(),
        &Package::open(&bytes).unwrap(),
        Verdict::BadSignature,
    );
}

#[test]
fn revoked_by_key_by_package_and_by_object() {
    let package = signed();
    let what = [
        key(1).public().to_string(),
        package.digest().to_string(),
        package.manifest().object.to_string(),
    ];
    for what in what {
        let mut trust = trust();
        trust.revoked.add(&what, "stolen  in March").unwrap();
        let j = judged(&trust, &package, Verdict::Revoked);
        assert!(j.why.contains("stolen in March"), "{}", j.why);
    }
    let mut trust = trust();
    trust.revoked.add(&key(2).public().to_string(), "").unwrap();
    judged(&trust, &package, Verdict::Ok);
}

#[test]
fn expired_signature_key_and_voucher() {
    let before = Time(NOW.0 - 1);
    for (time, verdict) in [
        (before, Verdict::Expired),
        (NOW, Verdict::Expired),
        (Time(NOW.0 + 1), Verdict::Ok),
    ] {
        judged(&trust(), &sealed().sign(&key(1), Some(time)), verdict);
        let until = |k: u8| Entry {
            until: Some(time),
            ..entry(&key(k))
        };
        let trust = Trust {
            builtin: ring(&[until(1)]),
            ..Trust::default()
        };
        judged(&trust, &signed(), verdict);
        let trust = Trust {
            builtin: ring(&[until(1)]),
            secondary: ring(&[key(1).endorse(&entry(&key(2)))]),
            ..Trust::default()
        };
        judged(&trust, &sealed().sign(&key(2), None), verdict);
    }
}

#[test]
fn a_secondary_key_counts_when_a_builtin_one_vouches_for_it() {
    let package = sealed().sign(&key(2), None);
    let with = |entry: Entry| Trust {
        secondary: ring(&[entry]),
        ..trust()
    };
    let endorsed = key(1).endorse(&entry(&key(2)));
    judged(&with(endorsed.clone()), &package, Verdict::Ok);
    judged(&with(entry(&key(2))), &package, Verdict::UnknownKey);
    // By a stranger, by itself.
    judged(
        &with(key(3).endorse(&entry(&key(2)))),
        &package,
        Verdict::UnknownKey,
    );
    judged(
        &with(key(2).endorse(&entry(&key(2)))),
        &package,
        Verdict::UnknownKey,
    );
    // With a name or a time that was not vouched for.
    for changed in [
        Entry {
            name: "another".into(),
            ..endorsed.clone()
        },
        Entry {
            until: Some(Time(2_000_000_000)),
            ..endorsed.clone()
        },
        Entry {
            key: key(3).public(),
            ..endorsed.clone()
        },
    ] {
        let package = sealed().sign(
            &if changed.key == key(3).public() {
                key(3)
            } else {
                key(2)
            },
            None,
        );
        judged(&with(changed), &package, Verdict::UnknownKey);
    }
    let mut trust = with(endorsed);
    trust.revoked.add(&key(1).public().to_string(), "").unwrap();
    judged(&trust, &package, Verdict::Revoked);
}

#[test]
fn rollback() {
    let mut versions = Versions::default();
    let judge = |versions: &Versions, v: &str, k: u8| {
        let trust = Trust {
            builtin: ring(&[entry(&key(1)), entry(&key(2))]),
            ..Trust::default()
        };
        trust
            .judge(&version(v).sign(&key(k), None), versions, NOW)
            .verdict
    };
    assert_eq!(judge(&versions, "1.0.0", 1), Verdict::Ok);
    assert!(versions.accept(&version("1.10.0").sign(&key(1), None)));
    assert!(!versions.accept(&version("1.9.0").sign(&key(1), None)));
    let versions = Versions::parse(&versions.to_string()).unwrap();
    assert_eq!(judge(&versions, "1.9.0", 1), Verdict::Rollback);
    assert_eq!(judge(&versions, "1.10.0-rc.1", 1), Verdict::Rollback);
    assert_eq!(judge(&versions, "1.10.0", 1), Verdict::Ok);
    assert_eq!(judge(&versions, "1.10.0+again", 1), Verdict::Ok);
    assert_eq!(judge(&versions, "1.11.0", 1), Verdict::Ok);
    // Another signer's numbers are its own.
    assert_eq!(judge(&versions, "1.0.0", 2), Verdict::Ok);
}

#[test]
fn each_verdict_has_a_status_of_its_own() {
    let mut all: Vec<u8> = Verdict::ALL.iter().map(|v| v.exit_status()).collect();
    assert_eq!(all[0], 0);
    all.sort();
    all.dedup();
    assert_eq!(all.len(), Verdict::ALL.len());
    assert!(!all.contains(&1) && !all.contains(&2));
}
