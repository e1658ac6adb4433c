//! An image of packages is taken as it was made, for what it was made, by whoever made it; otherwise it is refused or compiled anew.

mod common;

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use common::packages::*;
use common::*;
use probity_bundle::Time;
use probity_host::{Code, Error, Host, Started};

/// The image of two packages, in a file of this user's.
fn image(place: &Place) -> PathBuf {
    let packages = [
        (pack("limit", "1.0.0", "r0 = 1\nexit"), 0),
        (pack("other", "1.0.0", "r0 = 0\nexit"), 0),
    ];
    let image = place.host().prelink(&packages).unwrap();
    let path = place.0.join("image");
    probity_store::replace(&path, &image, 0o600).unwrap();
    path
}

fn outcomes(started: Vec<Started>) -> Vec<(String, Result<Code, String>)> {
    let told = |s: Started| (s.name, s.outcome.map_err(|e| e.to_string()));
    started.into_iter().map(told).collect()
}

fn refused(host: &Host, path: &std::path::Path, why: &str) {
    let e = host.start(path).unwrap_err();
    assert!(matches!(e, Error::Image { .. }), "{e}");
    assert!(e.to_string().contains(why), "{e}");
    assert_eq!(e.exit_status(), 5);
    assert!(host.extensions().is_empty(), "nothing of it is loaded");
}

#[test]
fn a_host_starts_with_the_code_of_an_image() {
    let place = Place::new("image");
    let path = image(&place);
    let host = place.host();
    let started = outcomes(host.start(&path).unwrap());
    let mapped = |name: &str| (name.to_string(), Ok(Code::Mapped));
    assert_eq!(started, [mapped("limit"), mapped("other")]);
    let mut caller = host.hook("request").unwrap().caller(Request::default());
    assert_eq!(caller.call(), Ok(1));
    assert_eq!(
        host.extensions()[0].origin.as_ref().unwrap().signer(),
        Some("vendor")
    );
    for event in ["prelink", "start"] {
        let line = format!("\"event\":\"{event}\"");
        assert_eq!(place.log().matches(&line).count(), 2, "{}", place.log());
    }
    // What is loaded later is compiled, as ever.
    let more = pack("more", "1.0.0", "r0 = 2\nexit");
    load(&host, &more).unwrap();
    // A second start with the same extensions there is told, one by one.
    let again = outcomes(host.start(&path).unwrap());
    assert!(
        again
            .iter()
            .all(|(_, o)| o.as_ref().is_err_and(|e| e.contains("loaded already")))
    );
}

/// The order in which extensions are asked is not that in which they are loaded, where they have priorities.
#[test]
fn an_image_carries_the_priorities_of_its_packages() {
    let place = Place::new("image-priorities");
    let asked_first = |priorities: [i32; 2]| {
        let packages = [
            (pack("one", "1.0.0", "r0 = 1\nexit"), priorities[0]),
            (pack("two", "1.0.0", "r0 = 2\nexit"), priorities[1]),
        ];
        let image = place.host().prelink(&packages).unwrap();
        let path = place.0.join("image");
        probity_store::replace(&path, &image, 0o600).unwrap();
        let host = place.host();
        for (name, outcome) in outcomes(host.start(&path).unwrap()) {
            assert_eq!(outcome, Ok(Code::Mapped), "{name}");
        }
        let shown = host.extensions();
        let of = |name: &str| shown.iter().find(|e| e.name == name).unwrap().priority;
        assert_eq!([of("one"), of("two")], priorities);
        // The rule of the hook: who says something first is heard.
        let mut caller = host.hook("request").unwrap().caller(Request::default());
        caller.call().unwrap()
    };
    assert_eq!(asked_first([0, 0]), 1);
    assert_eq!(asked_first([5, -5]), 2);
    assert_eq!(asked_first([i32::MIN, i32::MAX]), 1);
}

#[test]
fn a_changed_byte_or_a_foreign_image_is_refused_whole() {
    let place = Place::new("image-changed");
    let path = image(&place);
    let whole = std::fs::read(&path).unwrap();
    let host = place.host();
    let step = whole.len() / 60;
    for at in (0..48).chain((48..whole.len()).step_by(step)) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x10;
        probity_store::replace(&path, &bytes, 0o600).unwrap();
        refused(&host, &path, "cannot be used");
    }
    for len in [0, 7, 40, whole.len() - 1] {
        probity_store::replace(&path, &whole[..len], 0o600).unwrap();
        refused(&host, &path, "");
    }
    // Whoever else may write it could have made it.
    probity_store::replace(&path, &whole, 0o600).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o620)).unwrap();
    refused(&host, &path, "could have written it");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    // Sealed with another directory's key.
    let elsewhere = Place::new("image-elsewhere");
    refused(&elsewhere.host(), &path, "another key");
    refused(&host, &place.0.join("missing"), "No such file");
    assert_eq!(host.start(&path).unwrap().len(), 2);
    // Without a directory of state there is no key.
    let e = common::host().start(&path).unwrap_err();
    assert!(e.to_string().contains("directory of state"), "{e}");
}

#[test]
fn what_was_compiled_for_another_host_is_compiled_anew_and_told() {
    let place = Place::new("image-other");
    let path = image(&place);
    let cpus = builder().trust(place.store()).cpus(7).build().unwrap();
    for (name, outcome) in outcomes(cpus.start(&path).unwrap()) {
        let Ok(Code::Compiled(why)) = outcome else {
            panic!("{name}: {outcome:?}");
        };
        assert!(why.contains("number of CPUs"), "{why}");
    }
    let mut caller = cpus.hook("request").unwrap().caller(Request::default());
    assert_eq!(caller.call(), Ok(1));
}

/// What was true when the image was made is asked again.
#[test]
fn packages_of_an_image_are_judged_again() {
    let place = Place::new("image-judged");
    let object = shipped(&request("r0 = 0\nexit"));
    let sealed = |name| sealed(&common::host(), &object, &manifest(name, "1.0.0", ""));
    let soon = probity_store::now().0 + 2;
    let packages = [
        sealed("brief").sign(&key(1), Some(Time(soon))),
        sealed("revoked").sign(&key(1), None),
        sealed("good").sign(&key(1), None),
    ];
    let path = place.0.join("image");
    let revoked = packages[1].digest();
    let image = place.host().prelink(&packages.map(|p| (p, 0))).unwrap();
    probity_store::replace(&path, &image, 0o600).unwrap();
    place.trust("revoked", &format!("{revoked}\n"));
    while probity_store::now().0 <= soon {
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    let host = place.host();
    let [brief, revoked, good] = &outcomes(host.start(&path).unwrap())[..] else {
        panic!("three");
    };
    assert!(
        brief.1.as_ref().is_err_and(|e| e.contains("EXPIRED")),
        "{brief:?}"
    );
    assert!(
        revoked.1.as_ref().is_err_and(|e| e.contains("REVOKED")),
        "{revoked:?}"
    );
    assert_eq!(good.1, Ok(Code::Mapped));
    assert_eq!(host.extensions().len(), 1);
    // An image is of what was loaded: a stranger's package makes none.
    let stranger = sealed("stranger").sign(&key(2), None);
    let e = place.host().prelink(&[(stranger, 0)]).unwrap_err();
    assert_eq!(e.exit_status(), 4, "{e}");
}
