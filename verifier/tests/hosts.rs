//! Small programs of a hook of a host, whose context takes some numbers only: `hosts.txt`.

mod harness;

use std::sync::Arc;

use probity_objfile::ProgType;
use probity_platform::{
    Context, Field, FieldKind, NEWEST, Platform, Policy, Stores, Version, Widths,
};
use probity_verifier::{Options, Verdict, verify};

const KIND: u32 = 0x1000;

fn platform() -> Platform {
    let linux = Platform::linux(NEWEST, None);
    let mut kind = linux.prog_kind_by_name("socket_filter").unwrap().clone();
    let field = |name, offset, size, write, stores| Field {
        name,
        offset,
        size,
        kind: FieldKind::Scalar,
        read: Widths(1 | 2 | 4 | 8),
        write: Widths(write),
        head: false,
        attach: &[],
        since: Version(0, 0),
        stores,
    };
    let numbers = |signed, min, max| Stores::Numbers { signed, min, max };
    let any = numbers(false, 0, i128::from(u64::MAX));
    kind.kind = KIND;
    kind.name = "hook";
    kind.context = Context::Struct {
        name: "request",
        size: 40,
        fields: vec![
            field("mode", 0, 4, 0, Stores::Anything),
            field("status", 4, 2, 2, numbers(false, 100, 599)),
            field("weight", 8, 4, 4, numbers(true, -5, 5)),
            field("note", 16, 8, 8, any),
            field("tag", 24, 16, 1 | 2 | 4 | 8, any),
        ]
        .into(),
    };
    Platform {
        prog_kinds: [kind].into(),
        ..linux
    }
}

#[test]
fn stores_to_fields_are_within_their_ranges() {
    let platform = Arc::new(platform());
    let cases = harness::cases(include_str!("hosts.txt"));
    assert!(cases.len() > 30);
    for case in &cases {
        let text = case.text("", str::to_string);
        let object = harness::assemble(&platform, &text).expect("assembles");
        for (store_often, joins) in [(false, true), (true, true), (true, false), (false, false)] {
            let options = Options {
                prog_type: Some(ProgType(KIND)),
                store_often,
                joins,
                ..Options::default()
            };
            let report = verify(&object, &platform, &Policy::default(), &options).unwrap();
            let (got, why) = match &report.programs[0].verdict {
                Verdict::Accept(_) => ("accept", String::new()),
                Verdict::Reject(r) => (r.rule.name(), r.to_string()),
            };
            assert_eq!(got, case.expected, "{}\n{why}", case.name);
        }
    }
}
