//! What a manifest says, and what sealing refuses to say.

use std::collections::BTreeMap;

use probity_bundle::{Error, Vendor, seal};

use crate::{MANIFEST, meter, sealed, verified};

fn refused(text: &str) -> String {
    seal(&meter(), &Vendor::from_toml(text).unwrap(), BTreeMap::new())
        .unwrap_err()
        .to_string()
}

#[test]
fn what_is_proved_is_in_it() {
    let sealed = sealed();
    let m = sealed.package().manifest();
    assert_eq!(m.title(), "meter 1.2.0");
    let [hook] = &m.hooks[..] else {
        panic!("{:?}", m.hooks)
    };
    assert_eq!(
        (hook.section.as_str(), hook.kind.as_str(), hook.abi),
        ("tc", "sched_cls", 2)
    );
    assert_eq!(
        hook.worst_case_insns,
        meter().programs()[0].worst_case_insns()
    );
    assert!(hook.worst_case_insns.is_some());
    assert_eq!(m.grants.worst_case_insns, hook.worst_case_insns);
    assert!(
        m.grants.helpers.contains(&"map_lookup_elem".to_owned()),
        "{:?}",
        m.grants
    );
    // `.rodata` is an array.
    assert_eq!(m.grants.map_kinds, ["array", "lru_hash"]);
    let flows = m.maps.iter().find(|m| m.name == "flows").unwrap();
    assert!(flows.key.starts_with("struct "), "{}", flows.key);
    assert!(flows.key.contains("u16 "), "{}", flows.key);
    assert_eq!(m.data["table"].size, 9);
    assert!(m.platform.contains("6.18"), "{}", m.platform);
}

#[test]
fn asking_for_less_than_is_used_is_a_contradiction() {
    let with = |grants: &str| format!("{MANIFEST}\n[grants]\n{grants}");
    let says = |grants: &str, words: &[&str]| {
        let error = refused(&with(grants));
        assert!(words.iter().all(|w| error.contains(w)), "{error}");
    };
    says(
        "helpers = [\"ktime_get_ns\"]",
        &["grants.helpers", "map_lookup_elem"],
    );
    says("map_kinds = [\"array\"]", &["grants.map_kinds", "lru_hash"]);
    says("map_bytes = 7", &["grants.map_bytes", "7"]);
    says("worst_case_insns = 3", &["grants.worst_case_insns"]);
    // More, and with the prefix of the C headers.
    let text = with(
        "map_bytes = 1000000000\nworst_case_insns = 100000\nmap_kinds = [\"lru_hash\", \"hash\", \"array\"]\n\
         data = [\"geo\"]",
    );
    let sealed = seal(
        &meter(),
        &Vendor::from_toml(&text).unwrap(),
        BTreeMap::new(),
    )
    .unwrap();
    let grants = &sealed.package().manifest().grants;
    assert_eq!(grants.map_bytes, 1_000_000_000);
    assert_eq!(grants.map_kinds, ["array", "hash", "lru_hash"]);
    assert_eq!(grants.data, ["geo"]);
    // Sealed again from what it says, it is the same.
    let again = Vendor::of(sealed.package().manifest());
    let again = seal(&meter(), &again, BTreeMap::new()).unwrap();
    assert_eq!(again.package(), sealed.package());
}

#[test]
fn hooks_and_exports_that_are_not_there() {
    let error = refused(&MANIFEST.replace("tc = 2", "xdp = 1"));
    assert!(
        error.contains("`xdp`") && error.contains("there are: tc"),
        "{error}"
    );
    let error = refused(&MANIFEST.replace("[hooks]", "exports = [\"nothing\"]\n[hooks]"));
    assert!(error.contains("`nothing` cannot be exported"), "{error}");
}

/// Unpacked, it would take the object's place.
#[test]
fn data_do_not_pass_for_the_object() {
    let data = BTreeMap::from([("meter.o".to_owned(), b"another".to_vec())]);
    let vendor = Vendor::from_toml(MANIFEST).unwrap();
    let error = seal(&meter(), &vendor, data).unwrap_err().to_string();
    assert!(error.contains("`meter.o`"), "{error}");
}

#[test]
fn slips_of_the_pen_are_errors() {
    for (from, to, word) in [
        ("version = \"1.2.0\"", "version = \"1.2\"", "version"),
        ("license", "licence", "licence"),
        ("name = \"meter\"", "name = \"../meter\"", "no name"),
        ("name = \"meter\"", "name = \"\"", "no name"),
        ("base = \">=1.0, <2\"", "base = \"new\"", "base"),
        ("[data]", "[grants]\nhelper = []\n[data]", "helper"),
    ] {
        let error = Vendor::from_toml(&MANIFEST.replace(from, to))
            .unwrap_err()
            .to_string();
        assert!(error.contains(word), "{error}");
    }
}

#[test]
fn what_is_proved_in_part_is_not_sealed() {
    let object = verified("tc-meter/tc-meter.o").relocated().object.clone();
    let platform = std::sync::Arc::new(probity_platform::Platform::linux(
        probity_platform::NEWEST,
        None,
    ));
    let options = probity_verifier::Options {
        programs: Some(Vec::new()),
        ..probity_verifier::Options::default()
    };
    let report =
        probity_verifier::verify(&object, &platform, &Default::default(), &options).unwrap();
    let (none, _) = report.into_partial();
    let vendor = Vendor::from_toml(MANIFEST).unwrap();
    let error = seal(&none, &vendor, BTreeMap::new()).unwrap_err();
    assert!(matches!(error, Error::Unverified(_)), "{error}");
}
