//! Packages are judged, held to what is granted, and depend on each other; extensions call what others export.

mod common;

use common::packages::*;
use common::*;
use probity_bundle::{Time, Vendor, seal};
use probity_host::{Error, GrantPolicy, Grants, Host, Load};

#[test]
fn each_refusal_has_its_exit_status_and_its_line_in_the_log() {
    let place = Place::new("refusals");
    let host = place.host();
    let good = pack("limit", "1.2.0", "r0 = 0\nexit");
    assert_eq!(load(&host, &good).unwrap(), "limit");
    assert!(place.log().contains("\"verdict\":\"OK\""));
    assert_eq!(
        host.extensions()[0].origin.as_ref().unwrap().signer(),
        Some("vendor")
    );
    assert!(host.tainted().is_empty());
    host.unload("limit").unwrap();

    let status = |host: &Host, bytes: &[u8]| {
        let e = host.load_package(bytes, &Load::default()).unwrap_err();
        assert!(host.extensions().is_empty(), "{e}");
        (e.exit_status(), e.to_string())
    };
    let object = shipped(&request("r0 = 0\nexit"));
    let seal = |m: &str| sealed(&common::host(), &object, m);
    // Every byte counts; a few stand for all, which the package's own tests change one by one.
    let bytes = good.to_bytes();
    for at in (0..bytes.len()).step_by(bytes.len() / 16) {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        let (status, why) = status(&host, &changed);
        assert!([4, 5].contains(&status), "{at}: {status} {why}");
    }
    let unsigned = seal(&manifest("limit", "1.2.0", "")).unsigned();
    assert_eq!(status(&host, &unsigned.to_bytes()).0, 3);
    let stranger = seal(&manifest("limit", "1.2.0", "")).sign(&key(2), None);
    assert_eq!(status(&host, &stranger.to_bytes()).0, 4);
    let expired = seal(&manifest("limit", "1.2.0", "")).sign(&key(1), Some(Time(1)));
    assert_eq!(status(&host, &expired.to_bytes()).0, 7);
    let older = pack("limit", "1.1.0", "r0 = 0\nexit");
    assert_eq!(status(&host, &older.to_bytes()).0, 8);
    // For another version of the hook.
    let newer = seal(&manifest("limit", "1.3.0", ""));
    let text = ".section \"hook/request\"\n.globl main\nmain:\nr0 = 0\nexit\n";
    let unversioned = shipped(&assemble(text));
    let other = sealed(
        &common::host(),
        &unversioned,
        &manifest("limit", "1.3.0", "[hooks]\n'hook/request' = 2"),
    );
    drop(newer);
    let (abi, why) = status(&host, &other.sign(&key(1), None).to_bytes());
    assert_eq!(abi, 10, "{why}");
    // It does not ask for what it uses: nothing can be sealed so; but the deployer can grant less.
    let policy = GrantPolicy::from_toml("[signer.vendor]\nworst_case_insns = 1\n").unwrap();
    let narrow = builder()
        .trust(place.store())
        .grants(policy)
        .build()
        .unwrap();
    let (denied, why) = status(&narrow, &good.to_bytes());
    assert_eq!(denied, 9, "{why}");
    assert!(
        why.contains("policy does not grant to signer `vendor`"),
        "{why}"
    );
    let ceiling = Grants {
        hooks: Some(vec!["body".into()]),
        ..Grants::default()
    };
    let low = builder()
        .trust(place.store())
        .ceiling(ceiling)
        .build()
        .unwrap();
    let (denied, why) = status(&low, &good.to_bytes());
    assert_eq!(denied, 9, "{why}");
    assert!(why.contains("the host's ceiling"), "{why}");
    // Revoked last, for it stays so.
    place.trust("revoked", &format!("{}\n", good.digest()));
    let (revoked, why) = status(&host, &good.to_bytes());
    assert_eq!(revoked, 6, "{why}");
    for verdict in [
        "UNSIGNED",
        "UNKNOWN_KEY",
        "EXPIRED",
        "ROLLBACK",
        "REVOKED",
        "refuse",
    ] {
        assert!(place.log().contains(verdict), "{verdict} is not in the log");
    }
}

#[test]
fn what_nobody_signed_taints() {
    let place = Place::new("taint");
    place.trust("trust.toml", "unsigned = 'taint'\n");
    let host = place.host();
    let object = shipped(&request("r0 = 0\nexit"));
    let package = sealed(&common::host(), &object, &manifest("free", "1.0.0", "")).unsigned();
    load(&host, &package).unwrap();
    assert_eq!(host.tainted(), ["free"]);
    assert!(host.extensions()[0].tainted);
    assert!(place.log().contains("\"tainted\":true"));
    // It stays, as what it did does.
    host.unload("free").unwrap();
    assert_eq!(host.tainted(), ["free"]);
}

#[test]
fn dependencies_are_there_in_a_version_that_will_do_and_stay() {
    let place = Place::new("dependencies");
    let host = place.host();
    let base = pack("base", "1.4.0", "r0 = 0\nexit");
    let object = shipped(&request("r0 = 0\nexit"));
    let needs = |range: &str| {
        let more = format!("[dependencies]\nbase = '{range}'");
        sealed(&common::host(), &object, &manifest("user", "1.0.0", &more)).sign(&key(1), None)
    };
    let e = load(&host, &needs("^1.2")).unwrap_err();
    assert_eq!(e.exit_status(), 11, "{e}");
    load(&host, &base).unwrap();
    let e = load(&host, &needs("^2")).unwrap_err();
    assert!(e.to_string().contains("1.4.0 is loaded"), "{e}");
    load(&host, &needs("^1.2")).unwrap();
    let e = host.unload("base").err().unwrap();
    assert_eq!(
        e,
        Error::InUse {
            name: "base".into(),
            by: vec!["user".into()]
        }
    );
    // A version that will not do for those that are there does not replace it.
    let two = pack("base", "2.0.0", "r0 = 0\nexit");
    let e = host
        .replace_package(&two.to_bytes(), &Load::default())
        .err()
        .unwrap();
    assert_eq!(e.exit_status(), 11, "{e}");
    let five = pack("base", "1.5.0", "r0 = 1\nexit");
    host.replace_package(&five.to_bytes(), &Load::default())
        .unwrap();
    host.unload("user").unwrap();
    host.unload("base").unwrap();
}

#[test]
fn an_extension_calls_what_another_exports() {
    let host = host();
    let how = Load::default();
    // Nobody exports it yet.
    let e = host.load("user", &object("user"), &how).unwrap_err();
    assert!(matches!(e, Error::Bind(_)), "{e}");
    host.load("shared", &object("shared"), &how).unwrap();
    host.load("user", &object("user"), &how).unwrap();
    let info = |name: &str| {
        let all = host.extensions();
        all.into_iter().find(|e| e.name == name).unwrap()
    };
    assert_eq!(info("shared").exports, ["int shared_note(u32 a1, u64 *a2)"]);
    assert_eq!(info("user").imports, ["shared"]);
    assert_eq!(info("shared").used_by, ["user"]);
    // What it executes is counted with what it calls.
    let bound = |name: &str| info(name).programs[0].worst_case_insns.unwrap();
    assert!(
        bound("user") > bound("shared"),
        "{} {}",
        bound("user"),
        bound("shared")
    );
    let mut caller = host
        .hook::<Request>("request")
        .unwrap()
        .caller(Request::default());
    caller.client = 7;
    let answers: Vec<i64> = (0..5).map(|_| caller.call().unwrap()).collect();
    assert_eq!(answers, [0, 0, 0, 1, 1]);
    // It is in the other's map.
    let seen = host.map("shared", "seen").unwrap();
    assert_eq!(seen.entries().len(), 1);

    assert!(matches!(host.unload("shared"), Err(Error::InUse { .. })));
    // A new generation of what is called: the caller is linked with it, and nothing is forgotten.
    let before = info("user").generation;
    host.replace("shared", &object("shared"), &how).unwrap();
    assert_eq!(info("user").generation, before + 1);
    assert_eq!(caller.call().unwrap(), 1);
    // One without the function leaves all as it was.
    let e = host
        .replace("shared", &object("limit"), &how)
        .err()
        .unwrap();
    assert_eq!(e.exit_status(), 11, "{e}");
    assert_eq!(caller.call().unwrap(), 1);
    // The code is kept for those that are in it, and gone with them.
    host.unload("user").unwrap();
    host.unload("shared").unwrap();
    assert_eq!(caller.call().unwrap(), 0);
}

/// What it would execute is in no proof, and there is no code of it.
#[test]
fn what_a_program_never_calls_is_no_export() {
    let e = host()
        .load("asleep", &object("asleep"), &Load::default())
        .unwrap_err();
    assert!(matches!(e, Error::Export(_)), "{e}");
    assert!(e.to_string().contains("`asleep_sum`"), "{e}");
}

#[test]
fn a_package_calls_exports_of_what_it_depends_on_and_of_nothing_else() {
    let place = Place::new("exports");
    let host = place.host();
    let description = common::host().description().clone();
    let open = |name: &str| probity_objfile::open(name, &object(name)).unwrap();
    let (shared, user) = (open("shared"), open("user"));
    let policy = Default::default();
    let base = sealed(&common::host(), &shared, &manifest("shared", "1.0.0", ""));
    load(&host, &base.sign(&key(1), None)).unwrap();
    let platform = description
        .platform_beside(&[(&shared, &[])], &policy)
        .unwrap();
    let report = description
        .verify(&user, &platform.into(), &policy, &Default::default())
        .unwrap();
    let verified = report
        .into_verified()
        .unwrap_or_else(|_| panic!("accepted"));
    let pack = |more: &str| {
        let vendor = Vendor::from_toml(&manifest("user", "1.0.0", more)).unwrap();
        let sealed = seal(&verified, &vendor, Default::default()).unwrap();
        sealed.sign(&key(1), None)
    };
    let e = load(&host, &pack("")).unwrap_err();
    assert!(matches!(e, Error::Bind(_)), "{e}");
    load(&host, &pack("[dependencies]\nshared = '1'")).unwrap();
}

#[test]
fn a_call_of_an_export_is_held_to_the_prototype_and_to_the_budget() {
    let host = host();
    host.load("shared", &object("shared"), &Load::default())
        .unwrap();
    // Another that exports the same is refused.
    let e = host
        .load("again", &object("shared"), &Load::default())
        .unwrap_err();
    assert!(matches!(e, Error::Export(_)), "{e}");
    // Over the budget only with what is called: the hook's is 5,000.
    let used = host.extensions()[0].programs[0].worst_case_insns.unwrap();
    let ceiling = Grants {
        worst_case_insns: Some(used + 2),
        ..Grants::default()
    };
    let low = builder().ceiling(ceiling).build().unwrap();
    low.load("shared", &object("shared"), &Load::default())
        .unwrap();
    let e = low
        .load("user", &object("user"), &Load::default())
        .unwrap_err();
    assert!(matches!(e, Error::Denied(_)), "{e}");
}

/// A structure of numbers and the hook's own context cross as they are; another structure of the same name does not.
#[test]
fn exports_take_structures_and_contexts() {
    let host = host();
    let how = Load::default();
    host.load("shapes", &object("shapes"), &how).unwrap();
    assert_eq!(
        host.extensions()[0].exports,
        [
            "int shape_area(struct shape{24|u32@0|u16@4|u16@6|u8x8@8|u64@16} *a1)",
            "int shape_refuse(struct request{@ctx} *a1, u32 a2)"
        ]
    );
    let e = host.load("misshaper", &object("misshaper"), &how);
    let e = e.unwrap_err();
    assert!(e.to_string().contains("another structure"), "{e}");
    host.load("shaper", &object("shaper"), &how).unwrap();
    let mut caller = host.hook("request").unwrap().caller(Request::default());
    caller.client = 6;
    assert_eq!(caller.call(), Ok(0));
    caller.client = 7;
    assert_eq!(caller.call(), Ok(1));
    assert_eq!(caller.status, 451);
}
