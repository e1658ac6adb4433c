//! `probity hook` and `probity verify --host`: a host that is not there, by its description.

use std::path::PathBuf;

use crate::{Scratch, probity, programs};

fn extension(name: &str) -> PathBuf {
    programs("../host/tests/extensions").join(name)
}

fn read(name: &str) -> String {
    std::fs::read_to_string(extension(name)).unwrap()
}

#[test]
fn the_header_and_the_list_are_of_the_description() {
    let host = extension("gateway.json");
    let header = probity!["hook", "header", &host].run().ok();
    assert_eq!(header.stdout, read("gateway.h"));
    let list = probity!["hook", "list", &host].run().ok();
    assert!(
        list.stdout.contains(
            "hook/request@1  struct request (40 bytes), returns 0 to 2, 5000 instructions at most\n"
        ),
        "{list}"
    );
    let json = probity!["hook", "list", "--json", &host].run().ok();
    assert_eq!(json.stdout, read("gateway.json"));
}

#[test]
fn extensions_are_verified_for_a_host_that_is_elsewhere() {
    let host = extension("gateway.json");
    let verdict = probity![
        "verify",
        "--host",
        &host,
        extension("limit.o"),
        extension("mask.o")
    ]
    .run()
    .ok();
    assert_eq!(verdict.stdout.matches("accept ").count(), 2, "{verdict}");
    // The same host, whose clients get other answers.
    let scratch = Scratch::new();
    let strict = read("gateway.json").replace("599", "428");
    let strict = scratch.file("strict.json", &strict);
    let verdict = probity!["verify", "--host", &strict, extension("limit.o")].run();
    assert_eq!(verdict.code, 1, "{verdict}");
    assert!(
        verdict
            .stdout
            .contains("`request.status` is given numbers from 100 to 428"),
        "{verdict}"
    );
    let breaking = probity!["hook", "diff", &host, &strict].run();
    assert_eq!(breaking.code, 1, "{breaking}");
    assert!(
        breaking
            .stdout
            .contains("less may be stored in field `status`: this needs another ABI version"),
        "{breaking}"
    );
    probity!["hook", "diff", &strict, &host].run().ok();
    // An object that is not for a host.
    let verdict = probity![
        "verify",
        "--host",
        &host,
        programs("xdp-firewall/xdp-firewall.o")
    ]
    .run();
    assert_eq!(verdict.code, 1, "{verdict}");
    assert!(
        verdict.stderr.contains("names no hook of a host"),
        "{verdict}"
    );
}

#[test]
fn descriptions_that_cannot_be_are_refused() {
    let scratch = Scratch::new();
    let whole = read("gateway.json");
    for (change, to) in [
        ("\"offset\": 4,", "\"offset\": 3,"),
        ("\"size\": 40,", "\"size\": 4,"),
        ("\"u16\"", "\"u17\""),
        ("\"client\"", "\"cli ent\""),
        ("map_lookup_elem", "map_lokup_elem"),
        (
            "const void *name, u32 name__sz, u32 value",
            "struct task_struct *t",
        ),
        ("\"abi\"", "\"abj\""),
    ] {
        assert!(whole.contains(change), "{change}");
        let wrong = scratch.file("wrong.json", whole.replacen(change, to, 1));
        let done = probity!["hook", "list", &wrong].run();
        assert_eq!(done.code, 1, "{to}: {done}");
        assert!(!done.stderr.contains("panicked"), "{done}");
    }
}

/// What a host says of itself on its control socket, and a package for it.
#[test]
fn a_package_is_made_for_the_hooks_of_a_host() {
    let host = extension("gateway.json");
    let scratch = Scratch::new();
    let manifest = scratch.file("extension.toml", "name = \"limit\"\nversion = \"1.0.0\"\n");
    let package = scratch.path("limit.pkg");
    let pack = |host: &PathBuf| {
        probity![
            "pack",
            extension("limit.o"),
            "--host",
            host,
            "-m",
            &manifest,
            "-o",
            &package
        ]
        .run()
    };
    pack(&host).ok();
    let told = probity!["inspect", &package].run();
    assert_eq!(told.code, 3, "nobody has signed it: {told}");
    assert!(told.stdout.contains("hook/request@1"), "{told}");
    // For a host that takes less of it there is no proof, and so no package.
    let strict = read("gateway.json").replace("599", "428");
    let strict = scratch.file("strict.json", &strict);
    std::fs::remove_file(&package).unwrap();
    let done = pack(&strict);
    assert_eq!(done.code, 1, "{done}");
    assert!(!package.exists());
    probity!["hook", "list", "--socket", scratch.path("nobody")]
        .run()
        .fails(&["the host at", "nobody"]);
    probity!["hook", "list"].run().misused(&["--socket"]);
}

#[test]
fn extensions_ask_for_their_host_and_every_stage_shows_them() {
    let guard = programs("hosts/gateway/extensions/guard.o");
    let host = programs("hosts/gateway/extensions/gateway.json");
    let verdict = probity!["verify", &guard].run();
    assert_eq!(verdict.code, 1, "{verdict}");
    let says = |what: &str| verdict.stderr.contains(what);
    assert!(says("hook/request@1") && says("--host"), "{verdict}");
    for (stage, shows) in [("facts", "Map"), ("clif", "function"), ("machine", "ret")] {
        let dump = probity!["dump", "--stage", stage, "--host", &host, &guard].run();
        assert!(dump.ok().stdout.contains(shows), "{stage}");
    }
}
