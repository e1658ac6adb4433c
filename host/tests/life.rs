//! From an object to a verdict, a replacement and an end; and what is refused on the way.

mod common;

use std::time::Duration;

use common::*;
use probity_host::{
    BindError, CallError, ChainRule, Error, Fresh, GrantPolicy, Grants, HookBuilder, Host,
    HostDescription, Load,
};
use probity_verifier::Rule;

const NOW: Duration = Duration::from_secs(10);

#[test]
fn the_header_and_the_description_are_the_committed_ones() {
    let host = host();
    let files = [
        ("gateway.h", host.description().c_header()),
        ("gateway.json", host.description().to_json()),
    ];
    for (name, text) in files {
        let path = format!("{}/tests/extensions/{name}", env!("CARGO_MANIFEST_DIR"));
        if std::env::var_os("WRITE_EXPECTED").is_some() {
            std::fs::write(&path, &text).unwrap();
        }
        assert_eq!(std::fs::read_to_string(path).unwrap(), text);
    }
}

#[test]
fn a_description_reads_as_it_was_written() {
    let ours = host().description().clone();
    assert_eq!(
        HostDescription::from_json(&ours.to_json()),
        Ok(ours.clone())
    );
    assert!(HostDescription::from_json("{\"name\": 1}").is_err());
    assert!(ours.breaking(&ours).is_empty());
}

/// What one call lends is another's no more; a caller's state goes on.
#[test]
fn functions_find_the_state_of_the_caller() {
    let host = host();
    host.load("limit", &object("limit"), &Load::default())
        .unwrap();
    let hook = host.hook::<Request>("request").unwrap();
    let mut stateful = hook.caller_with(Request::default(), Asked::default());
    let mut other = hook.caller(Request::default());
    let mut headers = Headers(vec![("x-internal".into(), "yes".into())]);
    assert_eq!(stateful.call_with(&mut headers), Ok(0));
    assert_eq!(other.call_with(&mut headers), Ok(0));
    assert_eq!(stateful.call(), Ok(0), "nothing is lent");
    assert_eq!(stateful.call_with(&mut headers), Ok(0));
    assert_eq!(stateful.state().0, ["x-internal", "x-internal"]);
    let pins = host.pins();
    let pinned = pins.pin().unwrap();
    let mut at = stateful.at(&pinned).unwrap();
    assert_eq!(at.call_with(&mut headers), Ok(0));
    assert_eq!(at.state().0.len(), 3);
}

#[test]
fn an_extension_in_c_is_loaded_called_replaced_and_unloaded() {
    let host = host();
    let mut request = host.hook::<Request>("request").unwrap().caller(Request {
        client: 7,
        ..Request::default()
    });
    assert_eq!(request.call(), Ok(0), "open without an extension");
    assert!(!request.has_extensions());
    host.load("limit", &object("limit"), &Load::default())
        .unwrap();

    let mut headers = Headers::default();
    let verdicts: Vec<_> = (0..7)
        .map(|_| request.call_with(&mut headers).unwrap())
        .collect();
    assert_eq!(verdicts, [0, 0, 0, 0, 0, 1, 1]);
    assert_eq!(request.status, 429);
    // The host's function is asked, with what this call lends.
    headers.0.push(("x-internal".into(), "yes".into()));
    assert_eq!(request.call_with(&mut headers), Ok(0));
    let info = host.extensions().remove(0);
    let counters = &info.programs[0].counters;
    assert_eq!(
        (counters.calls, &counters.verdicts[..]),
        (8, &[(0, 6), (1, 2)][..])
    );
    assert_eq!((info.name.as_str(), info.generation), ("limit", 1));

    // The same again: its maps go on.
    let again = host
        .replace("limit", &object("limit"), &Load::default())
        .unwrap();
    let mut kept = again.kept.clone();
    kept.sort();
    assert_eq!(kept, [".bss", "clients"], "{:?}", again.migrated);
    assert!(again.retirement.wait(NOW));
    assert_eq!(request.call(), Ok(1));

    // Another version with more in its values: elements and variables are moved.
    let next = host
        .replace("limit", &object("limit2"), &Load::default())
        .unwrap();
    let mut migrated = next.migrated.clone();
    migrated.sort();
    assert_eq!(migrated, [".bss", "clients"]);
    assert!(next.retirement.wait(NOW));
    let clients = host.map("limit", "clients").unwrap();
    let value = clients.lookup(&7u32.to_ne_bytes()).unwrap();
    assert_eq!(value, [8u64.to_ne_bytes(), 0u64.to_ne_bytes()].concat());
    let bss = host.map("limit", ".bss").unwrap().lookup(&[0; 4]).unwrap();
    assert!(bss.chunks(8).any(|v| v == 3u64.to_ne_bytes()), "{bss:?}");
    let mut headers = Headers::default();
    assert_eq!(request.call_with(&mut headers), Ok(1));
    assert_eq!(headers.0, [("x-refused".to_string(), "1".to_string())]);
    let info = host.extensions().remove(0);
    assert_eq!((info.generation, info.programs[0].counters.calls), (3, 10));

    // Back: less room than the elements had.
    let back = host.replace("limit", &object("limit"), &Load::default());
    assert!(
        matches!(&back, Err(Error::Maps(c)) if c[0].map == "clients"),
        "{:?}",
        back.err()
    );
    assert_eq!(request.call_with(&mut headers), Ok(1), "as it was");
    let how = Load {
        fresh: Fresh::Named(vec!["clients".into()]),
        ..Load::default()
    };
    host.replace("limit", &object("limit"), &how).unwrap();
    assert_eq!(request.call(), Ok(0), "a fresh map");

    assert!(host.unload("limit").unwrap().wait(NOW));
    assert_eq!(request.call(), Ok(0));
    assert_eq!(
        host.unload("limit").err(),
        Some(Error::NotLoaded("limit".into()))
    );
}

#[test]
fn packets_are_lent_in_place() {
    let host = host();
    let mut body = host.hook::<Body>("body").unwrap().caller(Body::default());
    assert_eq!(
        body.call_packet(b"abcd".to_vec().as_mut()),
        Err(CallError::Absent)
    );
    host.load("mask", &object("mask"), &Load::default())
        .unwrap();
    body.rest = 9;
    let mut bytes = *b"abcdef";
    assert_eq!(body.call_packet(&mut bytes), Ok(0));
    assert_eq!(&bytes, b" bc\x09ef");
    let mut bytes = [0; 4];
    assert_eq!(body.call_packet(&mut bytes), Ok(1));
    assert_eq!(body.call_packet(&mut [1, 2, 3]), Ok(0), "too short");
    assert_eq!(body.call(), Ok(0), "nothing is lent");
    assert_eq!(body.call_packet_read(&[1; 4]), Err(CallError::Packet));
}

fn refusal(object: &probity_objfile::Object) -> Error {
    let host = host();
    host.load_object("bad", object, &Load::default())
        .unwrap_err()
}

fn rule(code: &str) -> Rule {
    match refusal(&request(code)) {
        Error::Refused(all) => all[0].rejection.rule,
        e => panic!("{e}"),
    }
}

#[test]
fn what_the_context_does_not_allow_is_refused() {
    // Ranges, hidden fields, padding, read-only ones, parts of ranged ones.
    assert_eq!(
        rule("r2 = 99\n*(u16 *)(r1 + 4) = r2\nr0 = 0\nexit"),
        Rule::ContextAccess
    );
    assert_eq!(
        rule("r2 = *(u32 *)(r1 + 0)\n*(u16 *)(r1 + 4) = r2\nr0 = 0\nexit"),
        Rule::ContextAccess
    );
    assert_eq!(
        rule("r0 = *(u8 *)(r1 + 7)\nr0 = 0\nexit"),
        Rule::ContextAccess
    );
    assert_eq!(
        rule("r0 = *(u32 *)(r1 + 28)\nr0 = 0\nexit"),
        Rule::ContextAccess
    );
    assert_eq!(
        rule("*(u32 *)(r1 + 0) = 1\nr0 = 0\nexit"),
        Rule::ContextAccess
    );
    assert_eq!(
        rule("*(u8 *)(r1 + 4) = 1\nr0 = 0\nexit"),
        Rule::ContextAccess
    );
    assert_eq!(
        rule("*(u32 *)(r1 + 24) = -6\nr0 = 0\nexit"),
        Rule::ContextAccess
    );
    assert_eq!(
        rule("*(u64 *)(r1 + 8) = r10\nr0 = 0\nexit"),
        Rule::PointerLeak
    );
    assert_eq!(rule("r0 = 3\nexit"), Rule::ReturnValue);
    // What was never written on the stack is the host's.
    assert_eq!(
        rule("r0 = *(u64 *)(r10 - 8)\nr0 = 0\nexit"),
        Rule::Uninitialised
    );
    let host = host();
    let fine = "*(u32 *)(r1 + 24) = -5\nr2 = 599\n*(u16 *)(r1 + 4) = r2\nr3 = *(u64 *)(r1 + 32)\n\
        *(u64 *)(r1 + 8) = r3\nr0 = *(u8 *)(r1 + 6)\nr0 = 2\nexit";
    host.load_object("fine", &request(fine), &Load::default())
        .unwrap();
    let mut caller = host
        .hook::<Request>("request")
        .unwrap()
        .caller(Request::default());
    caller.time = 0x0807_0605_0403_0201;
    assert_eq!(caller.call(), Ok(2));
    assert_eq!(
        (caller.weight, caller.status, caller.notes[7]),
        (-5, 599, 8)
    );
}

#[test]
fn what_is_not_for_this_host_is_told_so() {
    let at = |section: &str| {
        let text = format!(".section \"{section}\"\n.globl main\nmain:\nr0 = 0\nexit\n");
        refusal(&assemble(&text)).to_string()
    };
    assert_eq!(
        at("hook/requets"),
        "program `main`: the host has no hook `requets` (did you mean `request`?); it has request, body"
    );
    assert_eq!(
        at("hook/request@2"),
        "program `main` is for version 2 of hook `request`; the host has version 1"
    );
    assert!(at("xdp").contains("names no hook of a host"));
    // 6,000 instructions are more than its budget.
    let long = "r2 = 0\nagain:\nr2 += 1\nif r2 < 3000 goto again\nr0 = 0\nexit";
    match refusal(&request(long)) {
        Error::Refused(all) => {
            assert_eq!(all[0].rejection.rule, Rule::Policy);
            assert!(
                all[0]
                    .to_string()
                    .contains("executes 5000 instructions at most"),
                "{}",
                all[0]
            );
        }
        e => panic!("{e}"),
    }
    let helper = "call bpf_get_current_task\nr0 = 0\nexit";
    let text = format!(".section \"hook/request\"\n.globl main\nmain:\n{helper}\n");
    assert!(matches!(refusal(&assemble(&text)), Error::Refused(_)));
}

#[test]
fn a_hook_says_what_holds_without_an_extension_and_with_a_refused_one() {
    let host = host();
    let mut request = host
        .hook::<Request>("request")
        .unwrap()
        .caller(Request::default());
    assert_eq!(request.call(), Ok(0));
    assert!(
        host.load_object("bad", &common::request("r0 = 9\nexit"), &Load::default())
            .is_err()
    );
    assert_eq!(request.call(), Ok(2), "closed with a refused one");
    host.load_object("good", &common::request("r0 = 1\nexit"), &Load::default())
        .unwrap();
    assert_eq!(request.call(), Ok(1), "another one answers");
    host.unload("good").unwrap();
    host.unload("bad").unwrap();
    assert_eq!(request.call(), Ok(0));
    let bad = ".section \"hook/body\"\n.globl main\nmain:\nr0 = 9\nexit\n";
    assert!(
        host.load_object("bad", &assemble(bad), &Load::default())
            .is_err()
    );
    let mut body = host.hook::<Body>("body").unwrap().caller(Body::default());
    assert_eq!(body.call(), Err(CallError::Refused));
}

#[test]
fn chains_follow_their_rule() {
    let give = |n: i64| common::request(&format!("r0 = {n}\nexit"));
    let of = |rule: ChainRule, given: &[i64]| {
        let host = Host::builder("chains")
            .hook(
                HookBuilder::new::<Request>("request")
                    .returns(0..=9)
                    .rule(rule),
            )
            .build()
            .unwrap();
        for (n, value) in given.iter().enumerate() {
            let how = Load {
                // Against the order of loading.
                priority: -(n as i32),
                ..Load::default()
            };
            host.load_object(&format!("e{n}"), &give(*value), &how)
                .unwrap();
        }
        let mut caller = host
            .hook::<Request>("request")
            .unwrap()
            .caller(Request::default());
        let result = caller.call().unwrap();
        let calls = |i: &probity_host::ExtensionInfo| i.programs[0].counters.calls;
        (
            result,
            host.extensions().iter().map(calls).collect::<Vec<_>>(),
        )
    };
    // The last loaded is called first.
    assert_eq!(
        of(ChainRule::FirstOther(0), &[5, 0, 3, 0]),
        (3, vec![0, 0, 1, 1])
    );
    assert_eq!(of(ChainRule::All(0), &[5, 0, 3, 0]), (3, vec![1, 1, 1, 1]));
    assert_eq!(of(ChainRule::Last, &[5, 0, 3, 0]), (5, vec![1, 1, 1, 1]));
    assert_eq!(of(ChainRule::StopAt(0), &[5, 0, 3]), (0, vec![0, 1, 1]));
    assert_eq!(of(ChainRule::Greatest, &[5, 7, 3]), (7, vec![1, 1, 1]));
    assert_eq!(of(ChainRule::All(0), &[]), (0, vec![]));
}

#[test]
fn a_field_at_the_end_keeps_older_extensions_and_nothing_else_does() {
    let old = host().description().clone();
    let of = |change: &dyn Fn(&mut HostDescription)| {
        let mut new = old.clone();
        change(&mut new);
        let found = old.breaking(&new);
        found.iter().map(|b| b.to_string()).collect::<Vec<_>>()
    };
    let end = |d: &mut HostDescription| {
        let c = &mut d.hooks[0].context;
        let mut field = c.fields[0].clone();
        (field.name, field.offset) = ("more".into(), c.size);
        c.size += 8;
        c.fields.push(field);
    };
    assert_eq!(of(&end), [""; 0]);
    assert_eq!(
        of(&|d| d.hooks[0].context.fields[0].ty = "s32".into()),
        [
            "hook `request`: field `client` is s32 at 0 now, not u32 at 0: this needs another ABI version"
        ]
    );
    assert_eq!(
        of(&|d| {
            d.hooks[0].returns = (0, 1);
            d.hooks[0].abi = 2
        }),
        ["hook `request`: fewer numbers may be returned"]
    );
    assert_eq!(
        of(&|d| {
            d.hooks[0].context.fields.remove(1);
        })
        .len(),
        1
    );
    assert_eq!(
        of(&|d| d.hooks[0].context.fields[1].range = Some((100, 499))).len(),
        1
    );
    assert_eq!(
        of(&|d| d.hooks[0].context.fields[1].range = Some((0, 999))).len(),
        0
    );
    assert_eq!(
        of(&|d| d.functions[0].declaration = "int (u32 a)".into()).len(),
        1
    );
    assert_eq!(
        of(&|d| {
            d.hooks.remove(1);
        })
        .len(),
        1
    );
}

#[test]
fn the_object_says_what_it_takes_a_structure_for() {
    // The same gateway, with its fields elsewhere; the functions of another type.
    let mut moved = host().description().clone();
    moved.hooks[0].context.fields[0].offset = 36;
    let moved_field = moved.hooks[0].context.fields.remove(0);
    moved.hooks[0].context.fields.push(moved_field);
    assert_eq!(moved.check(), Err("hook `request`: `struct request`: field `client`: it overlaps the one before, or stands before it".into()));
    let other = Host::builder("other")
        .hook(HookBuilder::new::<Body>("request").function::<gw_header>())
        .build()
        .unwrap();
    let e = other
        .load("limit", &object("limit"), &Load::default())
        .unwrap_err();
    assert!(
        matches!(&e, Error::Bind(BindError::Context { structure, .. }) if structure == "request"),
        "{e}"
    );
    let none = Host::builder("none")
        .hook(HookBuilder::new::<Request>("request"))
        .build()
        .unwrap();
    let e = none
        .load("limit", &object("limit"), &Load::default())
        .unwrap_err();
    assert_eq!(e.to_string(), "the host has no function `gw_header`");
}

#[test]
fn a_function_that_panics_gives_an_error_to_the_extension() {
    let host = host();
    host.load("panics", &object("panics"), &Load::default())
        .unwrap();
    let mut request = host
        .hook::<Request>("request")
        .unwrap()
        .caller(Request::default());
    assert_eq!(request.call(), Ok(1));
    assert_eq!(request.call(), Ok(1));
}

/// Each of the three alone says no, by its name.
#[test]
fn grants_are_the_intersection_of_three() {
    let only = |functions: &[&str]| Grants {
        functions: Some(functions.iter().map(|f| f.to_string()).collect()),
        ..Grants::default()
    };
    let policy = |text: &str| GrantPolicy::from_toml(text).unwrap();
    let load = |ceiling: Grants, granted: Option<GrantPolicy>, how: Load| {
        let mut builder = builder().ceiling(ceiling);
        if let Some(granted) = granted {
            builder = builder.grants(granted);
        }
        let host = builder.build().unwrap();
        match host.load("limit", &object("limit"), &how) {
            Ok(()) => Vec::new(),
            Err(Error::Denied(all)) => all.iter().map(|d| d.to_string()).collect(),
            Err(e) => panic!("{e}"),
        }
    };
    let by = |signer: Option<&str>, manifest: Option<Grants>| Load {
        signer: signer.map(str::to_string),
        manifest,
        ..Load::default()
    };
    assert_eq!(load(Grants::default(), None, by(None, None)), [""; 0]);
    assert_eq!(
        load(
            only(&["gw_header"]),
            None,
            by(None, Some(only(&["gw_header"])))
        ),
        [""; 0]
    );
    assert_eq!(
        load(Grants::default(), None, by(None, Some(only(&[])))),
        ["the manifest does not ask for function `gw_header`"]
    );
    assert_eq!(
        load(only(&["gw_add"]), None, by(None, None)),
        ["the host's ceiling does not allow function `gw_header`"]
    );
    let file = "[unsigned]\nhooks = ['body']\n[signer.acme]\nmap_bytes = 10\nworst_case_insns = 3\n[signer.good]\n";
    assert_eq!(
        load(Grants::default(), Some(policy(file)), by(None, None)),
        ["the policy does not grant to unsigned extensions hook `request`"]
    );
    let acme = load(
        Grants::default(),
        Some(policy(file)),
        by(Some("acme"), None),
    );
    assert_eq!(acme.len(), 2, "{acme:?}");
    assert!(
        acme[0].starts_with("the policy does not grant to signer `acme` "),
        "{acme:?}"
    );
    assert!(
        acme[0].ends_with("bytes of maps, only 10") && acme[1].ends_with("in one run, only 3"),
        "{acme:?}"
    );
    assert_eq!(
        load(
            Grants::default(),
            Some(policy(file)),
            by(Some("mallory"), None)
        ),
        ["the policy does not grant to signer `mallory` anything"]
    );
    assert_eq!(
        load(
            Grants::default(),
            Some(policy(file)),
            by(Some("good"), None)
        ),
        [""; 0]
    );
    assert_eq!(
        load(Grants::default(), Some(policy("")), by(None, None)),
        ["the policy does not grant to unsigned extensions anything"]
    );
    let kinds = Grants {
        map_kinds: Some(vec!["array".into()]),
        helpers: Some(vec!["map_lookup_elem".into()]),
        ..Grants::default()
    };
    assert_eq!(
        load(kinds, None, by(None, None)),
        [
            "the host's ceiling does not allow helper `map_update_elem`",
            "the host's ceiling does not allow maps of kind `hash`",
        ]
    );
    assert!(GrantPolicy::from_toml("[unsigned]\nhoks = []").is_err());
}
