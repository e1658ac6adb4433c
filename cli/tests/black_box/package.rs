//! `probity pack`, `sign`, `inspect`, `unpack`, `key`, `log`: a vendor, a deployer, and those who tamper.

use std::path::{Path, PathBuf};

use crate::process::Done;
use crate::{Scratch, probity, programs};

const MANIFEST: &str =
    "name = \"meter\"\nversion = \"1.2.0\"\nlicense = \"MIT\"\n[data]\ntable = \"table.bin\"\n";

/// A vendor with a key, a deployer who trusts it.
struct Place(Scratch);

impl Place {
    fn new() -> Place {
        let place = Place(Scratch::new());
        place.0.file("extension.toml", MANIFEST);
        place.0.file("table.bin", "some data");
        std::fs::copy(programs("tc-meter/tc-meter.o"), place.path("meter.o")).unwrap();
        place.key("vendor");
        place.add("vendor");
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path(name)
    }

    fn key(&self, name: &str) {
        probity!["key", "generate", name, "-o", self.path("")]
            .run()
            .ok();
    }

    fn add(&self, name: &str) {
        let file = self.path(&format!("{name}.pub"));
        probity!["key", "add", file, "--trust", self.path("trust")]
            .run()
            .ok();
    }

    /// Packs version `version` as `to`, signed by `key`.
    fn pack(&self, version: &str, key: Option<&str>, to: &str) -> PathBuf {
        self.0
            .file("extension.toml", MANIFEST.replace("1.2.0", version));
        let to = self.path(to);
        let done = match key {
            Some(key) => {
                let key = self.path(&format!("{key}.key"));
                probity!["pack", self.path("meter.o"), "-o", &to, "--key", key].run()
            }
            None => probity!["pack", self.path("meter.o"), "-o", &to].run(),
        };
        done.ok().says(&["meter", version, "sha256:"]);
        to
    }

    fn judge(&self, command: &str, package: &Path) -> Done {
        let (trust, state) = (self.path("trust"), self.path("state"));
        let args = probity![command, package, "--trust", trust, "--state", state];
        match command {
            "unpack" => {
                let (trust, state) = (self.path("trust"), self.path("state"));
                let out = self.path("out");
                probity![
                    "unpack", package, "-o", out, "--trust", trust, "--state", state
                ]
                .run()
            }
            _ => args.run(),
        }
    }

    /// `inspect` and `unpack` say the verdict and exit with its status.
    #[track_caller]
    fn verdict(&self, package: &Path, status: i32, verdict: &str) {
        let inspected = self.judge("inspect", package);
        assert_eq!(inspected.code, status, "{inspected}");
        let _ = inspected.prints(&[verdict, "meter"]);
        let unpacked = self.judge("unpack", package);
        assert_eq!(unpacked.code, status, "{unpacked}");
        if status != 0 {
            let _ = unpacked.says(&[verdict]);
        }
    }

    fn log(&self, what: &str) -> probity_log::Run {
        probity_log::Run(what.into(), self.path("state"))
    }
}

mod probity_log {
    use super::*;

    pub struct Run(pub String, pub PathBuf);

    impl Run {
        pub fn run(self) -> Done {
            probity!["log", self.0, "--json", "--state", self.1].run()
        }
    }
}

#[test]
fn every_form_is_written_and_read() {
    let place = Place::new();
    for to in ["meter", "meter.tar", "meter.pkg"] {
        let package = place.pack("1.2.0", Some("vendor"), to);
        place.verdict(&package, 0, "OK");
        let out = place.path("out");
        let object = std::fs::read(out.join("meter.o")).unwrap();
        assert_eq!(object, std::fs::read(place.path("meter.o")).unwrap());
        assert_eq!(std::fs::read(out.join("table")).unwrap(), b"some data");
        std::fs::remove_dir_all(out).unwrap();
    }
    assert!(place.path("meter/oci-layout").exists());
    // Signing again in place, in each form.
    place.key("other");
    place.add("other");
    for to in ["meter", "meter.tar", "meter.pkg"] {
        let package = place.path(to);
        probity!["sign", &package, "--key", place.path("other.key")]
            .run()
            .ok();
        let done = place.judge("inspect", &package).ok();
        let _ = done.prints(&["signed by other"]);
    }
    let left: Vec<_> = std::fs::read_dir(place.path(""))
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .filter(|n| n.contains(".old-") || n.contains(".new-") || n.starts_with('.'))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn each_verdict_has_its_status() {
    let place = Place::new();
    let good = place.pack("1.2.0", Some("vendor"), "good.pkg");
    let bytes = std::fs::read(&good).unwrap();

    let unsigned = place.pack("1.2.0", None, "unsigned.pkg");
    place.verdict(&unsigned, 3, "UNSIGNED");

    place.key("stranger");
    let unknown = place.pack("1.2.0", Some("stranger"), "unknown.tar");
    place.verdict(&unknown, 4, "UNKNOWN_KEY");

    let mut changed = bytes.clone();
    *changed.last_mut().unwrap() ^= 1;
    place.verdict(&place.0.file("changed.pkg", changed), 5, "BAD_SIGNATURE");

    let expired = place.path("expired.pkg");
    let (key, object) = (place.path("vendor.key"), place.path("meter.o"));
    probity![
        "pack",
        object,
        "--key",
        key,
        "-o",
        &expired,
        "--expires",
        "2020-01-01"
    ]
    .run()
    .ok();
    place.verdict(&expired, 7, "EXPIRED");

    place.verdict(&good, 0, "OK");
    let older = place.pack("1.1.9", Some("vendor"), "older");
    place.verdict(&older, 8, "ROLLBACK");
    place.verdict(&place.pack("1.3.0", Some("vendor"), "newer"), 0, "OK");
    place.verdict(&good, 8, "ROLLBACK");

    probity![
        "key",
        "revoke",
        "vendor",
        "--reason",
        "it was stolen",
        "--trust",
        place.path("trust")
    ]
    .run()
    .ok();
    place.verdict(&place.path("newer"), 6, "REVOKED");
    let _ = place.judge("inspect", &good).prints(&["it was stolen"]);

    // Every `unpack` is in the log, and the log is whole.
    let lines = place.log("show").run().ok().json_lines();
    let verdicts: Vec<_> = lines
        .iter()
        .map(|l| l["verdict"].as_str().unwrap())
        .collect();
    let expected = "UNSIGNED UNKNOWN_KEY BAD_SIGNATURE EXPIRED OK ROLLBACK OK ROLLBACK REVOKED";
    assert_eq!(verdicts.join(" "), expected);
    let whole = &place.log("verify").run().ok().json_lines()[0];
    assert_eq!(whole["lines"], 9);
    assert!(whole["broken"].is_null() && whole["torn"].is_null());
}

#[test]
fn a_digest_is_revoked_and_a_secondary_key_vouched_for() {
    let place = Place::new();
    let trust = place.path("trust");
    place.key("other");
    let file = place.path("other.pub");
    probity![
        "key",
        "add",
        &file,
        "--ring",
        "secondary",
        "--trust",
        &trust
    ]
    .run()
    .misused(&["--by"]);
    let (by, wrong) = (place.path("vendor.key"), place.path("other.key"));
    probity![
        "key",
        "add",
        &file,
        "--ring",
        "secondary",
        "--by",
        wrong,
        "--trust",
        &trust
    ]
    .run()
    .fails(&["counts for nothing"]);
    probity![
        "key",
        "add",
        &file,
        "--ring",
        "secondary",
        "--by",
        by,
        "--trust",
        &trust
    ]
    .run()
    .ok();
    let package = place.pack("1.0.0", Some("other"), "meter.tar");
    place.verdict(&package, 0, "OK");
    let done = probity!["key", "list", "--json", "--trust", &trust]
        .run()
        .ok();
    let keys = done.json_lines();
    assert_eq!((keys.len(), &keys[1]["ring"]), (2, &"secondary".into()));
    assert_eq!(keys[1]["by"], keys[0]["key"]);

    // A name that somebody else's word is not about.
    let ring = trust.join("secondary.keys");
    let text = std::fs::read_to_string(&ring).unwrap();
    std::fs::write(&ring, text.replace("other ", "trusted ")).unwrap();
    place.verdict(&package, 4, "UNKNOWN_KEY");
    std::fs::write(&ring, text).unwrap();

    let shown = probity![
        "inspect",
        "--json",
        &package,
        "--trust",
        &trust,
        "--state",
        place.path("state")
    ]
    .run()
    .ok();
    let object = shown.json_lines()[0]["manifest"]["object"]
        .as_str()
        .unwrap()
        .to_owned();
    probity!["key", "revoke", object, "--trust", &trust]
        .run()
        .ok();
    place.verdict(&package, 6, "REVOKED");
}

#[test]
fn what_cannot_be_trusted_is_said() {
    let place = Place::new();
    let package = place.pack("1.2.0", None, "meter.pkg");
    // Unsigned, where the policy takes it: with a warning.
    std::fs::write(place.path("trust/trust.toml"), "unsigned = \"taint\"\n").unwrap();
    place
        .judge("unpack", &package)
        .ok()
        .says(&["UNSIGNED", "tainted"]);
    let lines = place.log("show").run().ok().json_lines();
    assert_eq!(lines[0]["tainted"], true);
    std::fs::write(place.path("trust/trust.toml"), "unsinged = \"taint\"\n").unwrap();
    place
        .judge("unpack", &package)
        .fails(&["trust.toml", "unsinged"]);
    std::fs::write(place.path("trust/trust.toml"), "").unwrap();

    let ring = place.path("trust/builtin.keys");
    let mode = |mode| {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(&ring, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    mode(0o666);
    place
        .judge("inspect", &package)
        .fails(&["builtin.keys", "chmod o-w"]);
    mode(0o644);
    std::fs::write(&ring, "vendor ed25519:12\n").unwrap();
    place
        .judge("inspect", &package)
        .fails(&["builtin.keys", "line 1"]);
    let key = std::fs::metadata(place.path("vendor.key")).unwrap();
    assert_eq!(std::os::unix::fs::MetadataExt::mode(&key) & 0o777, 0o600);
    probity!["key", "generate", "vendor", "-o", place.path("")]
        .run()
        .fails(&["never overwritten"]);
    let public = place.path("vendor.pub");
    probity!["sign", &package, "--key", public]
        .run()
        .fails(&["public key"]);
}

#[test]
fn only_what_is_safe_is_packed_and_signed() {
    let place = Place::new();
    let object = place.path("meter.o");
    std::fs::copy(programs("unsafe/packet-no-check.o"), &object).unwrap();
    probity!["pack", &object, "-o", place.path("bad.tar")]
        .run()
        .fails(&["out_of_bounds"]);
    assert!(!place.path("bad.tar").exists());
    probity!["inspect", &object].run().fails(&["probity pack"]);
    probity!["inspect", place.path("table.bin")]
        .run()
        .fails(&["cannot open"]);
    place.0.file(
        "extension.toml",
        "name = \"x\"\nversion = \"1.0.0\"\n[hooks]\nxpd = 2\n",
    );
    std::fs::copy(programs("tc-meter/tc-meter.o"), &object).unwrap();
    probity!["pack", &object, "-o", place.path("bad.tar")]
        .run()
        .fails(&["`xpd`", "there are: tc"]);
    // Assembly is packed as the object it becomes.
    place.0.file(
        "extension.toml",
        "name = \"fragments\"\nversion = \"1.0.0\"\n",
    );
    let source = programs("xdp-fragments/xdp-fragments.s");
    let manifest = place.path("extension.toml");
    probity!["pack", source, "-m", manifest, "-o", place.path("f.pkg")]
        .run()
        .ok();
    let done = place.judge("inspect", &place.path("f.pkg"));
    assert_eq!(done.code, 3, "{done}");
}

/// The log after a kill in the middle of a line, after a change, and after its end was cut off.
#[test]
fn the_log_is_repaired_or_reported() {
    let place = Place::new();
    let package = place.pack("1.2.0", Some("vendor"), "meter.pkg");
    for _ in 0..3 {
        place.judge("unpack", &package).ok();
    }
    let path = place.path("state/log");
    let whole = std::fs::read(&path).unwrap();
    let lines = || place.log("show").run().json_lines();

    // Torn: told by `verify`, gone on after by the next decision.
    let mut torn = whole.clone();
    torn.extend(&whole[..40]);
    std::fs::write(&path, &torn).unwrap();
    let done = place.log("verify").run().ok();
    assert_eq!(done.json_lines()[0]["torn"], 40);
    place.judge("unpack", &package).ok();
    let events: Vec<_> = lines()
        .iter()
        .map(|l| l["event"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(
        events,
        ["unpack", "unpack", "unpack", "torn_line", "unpack"]
    );
    place.log("verify").run().ok();

    // Cut off: the head remembers.
    let kept = std::fs::read(&path).unwrap();
    std::fs::write(&path, &whole).unwrap();
    let broken = place.log("verify").run();
    assert_eq!(
        (broken.code, &broken.json_lines()[0]["broken"]["line"]),
        (1, &5.into())
    );
    place
        .judge("unpack", &package)
        .fails(&["ends at line 3", "probity log verify"]);

    // Changed.
    let text = String::from_utf8(kept).unwrap();
    std::fs::write(
        &path,
        text.replacen("\"accepted\":true", "\"accepted\":false", 1),
    )
    .unwrap();
    let broken = place.log("verify").run();
    assert_eq!(
        (broken.code, &broken.json_lines()[0]["broken"]["line"]),
        (1, &1.into())
    );
    probity!["log", "verify", "--state", place.path("state")]
        .run()
        .fails(&["line 1", "changed"]);
}

/// Killed at any instant, what is on disk is whole, or is told and repaired.
#[test]
fn killed_while_it_decides() {
    let place = Place::new();
    let package = place.pack("1.2.0", Some("vendor"), "meter.pkg");
    place.judge("unpack", &package).ok();
    for n in 0..30u64 {
        let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_probity"))
            .args(["unpack", "--trust"])
            .arg(place.path("trust"))
            .arg("--state")
            .arg(place.path("state"))
            .arg("-o")
            .arg(place.path("out"))
            .arg(&package)
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(std::time::Duration::from_micros(n * 400));
        let _ = child.kill();
        let _ = child.wait();
        // What is there is always the whole object.
        let object = std::fs::read(place.path("out/meter.o")).unwrap();
        assert_eq!(object, std::fs::read(place.path("meter.o")).unwrap());
    }
    place.judge("unpack", &package).ok();
    let done = place.log("verify").run().ok();
    assert!(done.json_lines()[0]["torn"].is_null());
}
