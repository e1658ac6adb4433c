//! Extensions in the running kernel, as root: loaded, replaced and taken away by commands that end, or are killed at any instant.

mod common;

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use common::may_attach;
use serde_json::Value;

/// Directories of its own on disk and in bpffs.
struct Place {
    dir: PathBuf,
    pins: PathBuf,
}

impl Place {
    fn new(name: &str) -> Place {
        let unique = format!("probity-test-{name}-{}", std::process::id());
        let place = Place {
            dir: std::env::temp_dir().join(&unique),
            pins: Path::new("/sys/fs/bpf").join(&unique),
        };
        std::fs::create_dir_all(&place.dir).unwrap();
        place.ok(&[
            "key",
            "generate",
            "vendor",
            "-o",
            place.path("").to_str().unwrap(),
        ]);
        let (key, trust) = (place.path("vendor.pub"), place.path("trust"));
        place.ok(&[
            "key",
            "add",
            key.to_str().unwrap(),
            "--trust",
            trust.to_str().unwrap(),
        ]);
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_probity"));
        command
            .args(args)
            .current_dir(&self.dir)
            .env("PROBITY_TRUST", self.path("trust"))
            .env("PROBITY_STATE", self.path("state"))
            .env("PROBITY_BPFFS", &self.pins)
            .env_remove("PROBITY_SOCKET");
        command
    }

    fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    fn ok(&self, args: &[&str]) -> String {
        let done = self.run(args);
        let errors = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success(), "{args:?}: {errors}");
        String::from_utf8(done.stdout).unwrap()
    }

    fn status(&self, args: &[&str]) -> (i32, String) {
        let done = self.run(args);
        let errors = String::from_utf8_lossy(&done.stderr).into_owned();
        (done.status.code().unwrap_or(-1), errors)
    }

    fn json(&self, args: &[&str]) -> Value {
        serde_json::from_str(&self.ok(args)).unwrap()
    }

    /// A package of an object of `programs/`.
    fn pack(&self, name: &str, version: &str, object: &str, more: &str, signed: bool) -> String {
        let programs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../programs");
        std::fs::copy(programs.join(object), self.path("object.o")).unwrap();
        let manifest = format!("name = '{name}'\nversion = '{version}'\n{more}\n");
        std::fs::write(self.path("extension.toml"), manifest).unwrap();
        let file = format!("{name}-{version}.pkg");
        let mut args = vec!["pack", "object.o", "-o", &file];
        if signed {
            args.extend(["--key", "vendor.key"]);
        }
        self.ok(&args);
        file
    }
}

impl Place {
    /// A signed package of an assembled object.
    fn assemble(&self, name: &str, version: &str, text: &str) -> String {
        std::fs::write(self.path("object.s"), text).unwrap();
        self.ok(&["asm", "object.s", "-o", "object.o"]);
        let manifest = format!("name = '{name}'\nversion = '{version}'\n");
        std::fs::write(self.path("extension.toml"), manifest).unwrap();
        let file = format!("{name}-{version}.pkg");
        self.ok(&["pack", "object.o", "-o", &file, "--key", "vendor.key"]);
        file
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.pins);
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

/// An interface takes one XDP program.
static LOOPBACK: std::sync::Mutex<()> = std::sync::Mutex::new(());

const COUNT: &str = "syscall-count/syscall-count.o";
const FIREWALL: &str = "xdp-firewall/xdp-firewall.o";

fn programs_in(kernel: &Value, name: &str) -> Vec<Value> {
    let all = kernel["extensions"].as_array().unwrap();
    let found = all.iter().find(|e| e["name"] == name);
    found.map_or(Vec::new(), |e| e["programs"].as_array().unwrap().clone())
}

#[test]
fn an_extension_outlives_the_command_and_is_replaced_with_its_maps() {
    if !may_attach() {
        return;
    }
    let _alone = LOOPBACK.lock().unwrap_or_else(|e| e.into_inner());
    let place = Place::new("life");
    let one = place.pack("count", "1.0.0", COUNT, "license = 'GPL-2.0'", true);
    let two = place.pack("count", "1.1.0", COUNT, "", true);
    let user = place.pack(
        "user",
        "1.0.0",
        FIREWALL,
        "[dependencies]\ncount = '^1'",
        true,
    );
    // What it depends on is loaded first.
    place.ok(&["ext", "load", &user, "--interface", "lo"]);
    let list = place.json(&["ext", "list", "--json"]);
    assert_eq!(list["extensions"].as_array().unwrap().len(), 2);
    assert_eq!(
        list["extensions"][0]["version"], "1.1.0",
        "the highest that will do"
    );
    assert!(place.ok(&["ext", "deps", "user"]).contains("  count ^1"));
    let (status, why) = place.status(&["ext", "unload", "count"]);
    assert_eq!(status, 11, "{why}");
    place.ok(&["ext", "unload", "user"]);
    place.ok(&["ext", "unload", "count"]);
    assert_eq!(std::fs::read_dir(&place.pins).unwrap().count(), 0);
    // Its signer's newer version was seen.
    let (status, why) = place.status(&["ext", "load", &one]);
    assert_eq!(status, 8, "{why}");

    place.ok(&["ext", "load", &two]);
    let info = place.json(&["ext", "info", "count", "--json"]);
    assert!(info["programs"][0]["links"].as_u64().unwrap() > 0, "{info}");
    assert!(info["programs"][0]["worst_case_insns"].as_u64().is_some());
    assert_eq!(info["signer"], "vendor");
    let three = place.pack("count", "1.2.0", COUNT, "", true);
    let replaced = place.json(&["ext", "replace", "count", &three, "--json"]);
    assert_eq!(replaced["generation"], 2);
    assert!(
        !replaced["kept"].as_array().unwrap().is_empty(),
        "{replaced}"
    );
    let after = place.json(&["ext", "info", "count", "--json"]);
    assert_ne!(info["programs"][0]["id"], after["programs"][0]["id"]);
    place.ok(&["ext", "disable", "count"]);
    let off = place.json(&["ext", "info", "count", "--json"]);
    assert_eq!(off["programs"][0]["links"], 0);
    place.ok(&["ext", "enable", "count"]);
    assert!(
        place
            .ok(&["ext", "info", "count"])
            .lines()
            .any(|l| l.split_whitespace().eq(["signer", "vendor"]))
    );
    // As after a start: nothing is in the kernel.
    std::fs::remove_dir_all(&place.pins).unwrap();
    assert!(place.ok(&["ext", "list"]).contains("not loaded"));
    assert!(place.ok(&["boot"]).contains("count: loaded"));
    assert!(place.ok(&["boot"]).contains("count: there already"));
    assert!(place.ok(&["log", "verify"]).contains("whole"));
}

/// Counts system calls in a map of so many entries.
fn counting(entries: u32) -> String {
    format!(
        ".license \"GPL\"\n.map counts kind=hash key=4 value=8 max_entries={entries}\n\
         .map kept kind=array key=4 value=8 max_entries=1\n\
         .section \"raw_tracepoint/sys_enter\"\n.globl count\ncount:\n\
         *(u32 *)(r10 - 4) = 7\n*(u64 *)(r10 - 16) = 1\nr1 = counts ll\nr2 = r10\nr2 += -4\ncall bpf_map_lookup_elem\n\
         if r0 == 0 goto first\nr1 = 1\nlock *(u64 *)(r0 + 0) += r1\ngoto out\nfirst:\n\
         r1 = counts ll\nr2 = r10\nr2 += -4\nr3 = r10\nr3 += -16\nr4 = 0\ncall bpf_map_update_elem\nout:\n\
         *(u32 *)(r10 - 4) = 0\nr1 = kept ll\nr2 = r10\nr2 += -4\ncall bpf_map_lookup_elem\n\
         if r0 == 0 goto end\nr1 = 1\nlock *(u64 *)(r0 + 0) += r1\nend:\nr0 = 0\nexit\n"
    )
}

/// A map that has grown has what the old one held, and the others are the same; what cannot be moved is refused, and all stays as it was.
#[test]
fn maps_that_grow_are_migrated() {
    if !may_attach() {
        return;
    }
    let place = Place::new("migrated");
    let one = place.assemble("count", "1.0.0", &counting(4));
    let two = place.assemble("count", "1.1.0", &counting(64));
    let less = place.assemble("count", "1.2.0", &counting(8));
    place.ok(&["ext", "load", &one]);
    let count = || {
        let info = place.json(&["ext", "info", "count", "--json"]);
        let maps = info["maps"].as_array().unwrap();
        let of = |name: &str| {
            let map = maps.iter().find(|m| m["name"] == name).unwrap();
            let object = std::fs::read(place.path("object.o")).unwrap();
            let object = probity_objfile::open("object.o", &object).unwrap();
            let object = object.maps.iter().find(|m| m.name == name).unwrap();
            let map =
                probity_loader::pinned::map(Path::new(map["pinned"].as_str().unwrap()), object);
            let key = if name == "kept" { 0u32 } else { 7 };
            let values = map.unwrap().lookup(&key.to_ne_bytes()).unwrap().unwrap();
            u64::from_ne_bytes(values[0][..8].try_into().unwrap())
        };
        (of("counts"), of("kept"))
    };
    let before = count();
    assert!(before.0 > 0);
    let info = place.json(&["ext", "info", "count", "--count", "1", "--json"]);
    let p = &info["programs"][0];
    assert!(p["runs"].as_u64().unwrap() > 0, "{info}");
    assert!(p["nanoseconds"].as_u64().unwrap() > 0, "{info}");
    let replaced = place.json(&["ext", "replace", "count", &two, "--json"]);
    assert_eq!(replaced["migrated"], serde_json::json!(["counts"]));
    assert_eq!(replaced["kept"], serde_json::json!(["kept"]));
    let after = count();
    assert!(after.0 > before.0 && after.1 > before.1);
    // Both are counted by the same program, so nothing was counted in one and lost in the other, but for calls under way.
    let lost = (after.1 - after.0).abs_diff(before.1 - before.0);
    assert!(lost < 64, "{before:?} {after:?}");
    let (status, why) = place.status(&["ext", "replace", "count", &less]);
    assert_eq!(status, 1, "{why}");
    assert!(why.contains("room for 64 elements, now for 8"), "{why}");
    let info = place.json(&["ext", "info", "count", "--json"]);
    assert_eq!(info["version"], "1.1.0");
    assert_eq!(info["programs"][0]["links"], 1);
    // What was kept once is kept again.
    let third = place.json(&[
        "ext", "replace", "count", &less, "--fresh", "counts", "--json",
    ]);
    assert_eq!(third["kept"], serde_json::json!(["kept"]));
    assert!(count().1 > after.1);
}

/// An iterator stays, and whoever may read its link runs it.
#[test]
fn iterators_stay() {
    if !may_attach() {
        return;
    }
    let place = Place::new("iterator");
    let walk = ".license \"GPL\"\n.section \"iter/task\"\n.globl walk\nwalk:\nr0 = 0\nexit\n";
    let package = place.assemble("walk", "1.0.0", walk);
    place.ok(&["ext", "load", &package]);
    let link = place.pins.join("walk/1/links/walk/0");
    assert_eq!(std::fs::read(&link).unwrap(), b"");
    let info = place.json(&["ext", "info", "walk", "--json"]);
    assert_eq!(info["programs"][0]["links"], 1, "{info}");
    place.ok(&["ext", "unload", "walk"]);
    assert!(!link.exists());
    // What goes with its process is refused, and the answer says what stays.
    let socket = ".license \"GPL\"\n.section \"socket\"\n.globl all\nall:\nr0 = 0\nexit\n";
    let package = place.assemble("socket", "1.0.0", socket);
    let (status, why) = place.status(&["ext", "load", &package]);
    assert!(status != 0 && why.contains("does not outlive"), "{why}");
}

#[test]
fn starting_goes_on_past_a_bad_one() {
    if !may_attach() {
        return;
    }
    let place = Place::new("boot");
    let bad = place.pack("bad", "1.0.0", COUNT, "", true);
    let good = place.pack("good", "1.0.0", COUNT, "", true);
    let user = place.pack("user", "1.0.0", COUNT, "[dependencies]\nbad = '*'", true);
    place.ok(&["ext", "load", &bad]);
    place.ok(&["ext", "load", &good]);
    place.ok(&["ext", "load", &user]);
    std::fs::remove_dir_all(&place.pins).unwrap();
    let inspected = place.json(&["inspect", &bad, "--json"]);
    let digest = inspected["digest"].as_str().unwrap();
    std::fs::write(place.path("trust/revoked"), format!("{digest} stolen\n")).unwrap();
    let done = place.run(&["boot", "--json"]);
    assert_eq!(done.status.code(), Some(1));
    let told: Value = serde_json::from_slice(&done.stdout).unwrap();
    let outcome = |name: &str| {
        let all = told["extensions"].as_array().unwrap();
        all.iter().find(|e| e["name"] == name).unwrap()["outcome"].clone()
    };
    assert!(
        outcome("bad")["failed"]
            .as_str()
            .unwrap()
            .contains("REVOKED")
    );
    assert!(
        outcome("user")["failed"]
            .as_str()
            .unwrap()
            .contains("not in the kernel")
    );
    assert_eq!(outcome("good"), "loaded");
}

#[test]
fn each_refusal_has_its_exit_status() {
    if !may_attach() {
        return;
    }
    let place = Place::new("refusals");
    let good = place.pack("count", "1.0.0", COUNT, "", true);
    let mut bytes = std::fs::read(place.path(&good)).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(place.path("changed.pkg"), bytes).unwrap();
    let status = |file: &str| place.status(&["ext", "load", file]);
    assert_eq!(status("changed.pkg").0, 5);
    let unsigned = place.pack("free", "1.0.0", COUNT, "", false);
    assert_eq!(status(&unsigned).0, 3);
    std::fs::write(
        place.path("trust/grants.toml"),
        "[signer.vendor]\nmap_bytes = 1\n",
    )
    .unwrap();
    let (denied, why) = status(&good);
    assert_eq!(denied, 9, "{why}");
    std::fs::remove_file(place.path("trust/grants.toml")).unwrap();
    let needs = place.pack(
        "needs",
        "1.0.0",
        COUNT,
        "[dependencies]\nnobody = '1'",
        true,
    );
    assert_eq!(status(&needs).0, 11);
    let list = place.json(&["ext", "list", "--json"]);
    assert_eq!(list["extensions"].as_array().unwrap().len(), 0);
    assert_eq!(list["tainted"].as_array().unwrap().len(), 0);
    // Where the policy takes them, the machine says so.
    std::fs::write(place.path("trust/trust.toml"), "unsigned = 'taint'\n").unwrap();
    place.ok(&["ext", "load", &unsigned]);
    assert!(place.ok(&["ext", "list"]).contains("TAINTED by free"));
    assert!(place.ok(&["ext", "info", "free"]).contains("it taints"));
    let log = place.ok(&["log", "show"]);
    assert!(
        log.contains("UNSIGNED") && log.contains("(tainted)"),
        "{log}"
    );
    place.ok(&["log", "verify"]);
}

#[test]
fn another_user_can_do_nothing() {
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::process::CommandExt;
    if !may_attach() {
        return;
    }
    const NOBODY: u32 = 65534;
    let place = Place::new("nobody");
    let open = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(&place.dir, open.clone()).unwrap();
    let one = place.pack("count", "1.0.0", COUNT, "", true);
    let two = place.pack("count", "1.1.0", COUNT, "", true);
    place.ok(&["ext", "load", &one]);
    let before = place.ok(&["ext", "info", "count", "--json"]);
    // The command itself may be where only root gets.
    let program = place.path("probity");
    std::fs::copy(env!("CARGO_BIN_EXE_probity"), &program).unwrap();
    std::fs::set_permissions(&program, open).unwrap();
    let asked: &[&[&str]] = &[
        &["ext", "list"],
        &["ext", "info", "count"],
        &["ext", "load", &two],
        &["ext", "replace", "count", &two],
        &["ext", "unload", "count"],
        &["ext", "disable", "count"],
        &["boot"],
    ];
    for args in asked {
        let done = Command::new(&program)
            .args(*args)
            .current_dir(&place.dir)
            .env("PROBITY_TRUST", place.path("trust"))
            .env("PROBITY_STATE", place.path("state"))
            .env("PROBITY_BPFFS", &place.pins)
            .uid(NOBODY)
            .gid(NOBODY)
            .output()
            .unwrap();
        let errors = String::from_utf8_lossy(&done.stderr);
        assert_eq!(done.status.code(), Some(12), "{args:?}: {errors}");
        assert!(done.stdout.is_empty(), "{args:?} told something");
    }
    for hidden in ["state/extensions", "state/packages"] {
        let mode = std::fs::metadata(place.path(hidden))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o077, 0, "{hidden}");
    }
    assert_eq!(place.ok(&["ext", "info", "count", "--json"]), before);
}

/// Xorshift: it has to differ from run to run, and to be repeated.
struct Random(u64);

impl Random {
    fn next(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % below
    }
}

#[test]
fn killed_at_any_instant_the_next_start_repairs() {
    if !may_attach() {
        return;
    }
    let seed = std::env::var("TEST_SEED").ok().and_then(|s| s.parse().ok());
    let seed = seed.unwrap_or_else(|| {
        let since = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap();
        since.as_nanos() as u64 | 1
    });
    println!("TEST_SEED={seed}");
    let mut random = Random(seed | 1);
    let _alone = LOOPBACK.lock().unwrap_or_else(|e| e.into_inner());
    let place = Place::new("killed");
    let versions: Vec<String> = (0..3)
        .map(|n| place.pack("count", &format!("1.0.{n}"), COUNT, "", true))
        .collect();
    let walls: Vec<String> = (0..2)
        .map(|n| place.pack("wall", &format!("1.0.{n}"), FIREWALL, "", true))
        .collect();
    // So that older ones may follow: what rolls back is refused elsewhere.
    let forget = || drop(std::fs::remove_file(place.path("state/versions")));
    let start = Instant::now();
    place.ok(&["ext", "load", &versions[0]]);
    let took = start.elapsed().max(Duration::from_millis(5));
    let mut killed = 0;
    let mut tries = 0;
    while killed < 100 {
        tries += 1;
        assert!(tries < 2000, "commands end before they are killed");
        forget();
        let list = place.json(&["ext", "list", "--json"]);
        let there = |name: &str| !programs_in(&list, name).is_empty();
        let pick = random.next(versions.len() as u64) as usize;
        let version = &versions[pick];
        let wall = &walls[random.next(walls.len() as u64) as usize];
        let args: Vec<&str> = match random.next(8) {
            0 if there("count") => vec!["ext", "unload", "count"],
            1 if there("count") => vec!["ext", "disable", "count"],
            2 if there("count") => vec!["ext", "enable", "count"],
            3 if there("wall") => vec!["ext", "unload", "wall"],
            4 | 5 if there("wall") => vec!["ext", "replace", "wall", wall],
            4 | 5 => vec!["ext", "load", wall, "--interface", "lo"],
            _ if there("count") => vec!["ext", "replace", "count", version],
            _ => vec!["ext", "load", version],
        };
        let mut child = place
            .command(&args)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let nap = random.next(took.as_micros() as u64 * 5 / 4);
        std::thread::sleep(Duration::from_micros(nap));
        if child.try_wait().unwrap().is_none() {
            killed += 1;
        }
        let _ = child.kill();
        child.wait().unwrap();
        check(&place, &args);
    }
    println!("{killed} killed of {tries}");
}

/// What the next command finds is whole: the log, the records, and what the kernel has of them.
fn check(place: &Place, after: &[&str]) {
    let list = place.json(&["ext", "list", "--json"]);
    let log = place.status(&["log", "verify"]);
    assert_eq!(log.0, 0, "{after:?}: {}", log.1);
    let mut names = Vec::new();
    for e in list["extensions"].as_array().unwrap() {
        let name = e["name"].as_str().unwrap();
        names.push(name.to_owned());
        assert_eq!(e["loaded"], true, "{after:?}: {e}");
        let info = place.json(&["ext", "info", name, "--json"]);
        for p in info["programs"].as_array().unwrap() {
            let wanted = p["attach"].is_string() && e["enabled"] == true;
            let links = p["links"].as_u64().unwrap();
            assert_eq!(links > 0, wanted, "{after:?}: {p}");
            assert!(p["id"].is_u64(), "{after:?}: {p}");
        }
        // One generation, and nothing half made.
        let generations: Vec<_> = std::fs::read_dir(place.pins.join(name))
            .unwrap()
            .flatten()
            .map(|e| e.file_name().to_string_lossy().into_owned())
            .collect();
        assert_eq!(generations, [e["generation"].to_string()], "{after:?}");
    }
    let mut pinned: Vec<String> = std::fs::read_dir(&place.pins)
        .unwrap()
        .flatten()
        .map(|e| e.file_name().to_string_lossy().into_owned())
        .collect();
    pinned.sort();
    assert_eq!(pinned, names, "{after:?}");
    let packages = std::fs::read_dir(place.path("state/packages")).map_or(0, Iterator::count);
    assert_eq!(packages, names.len(), "{after:?}");
}
