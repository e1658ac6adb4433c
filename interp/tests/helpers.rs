//! Helpers give what Linux 6.18 gave for the same programs and packets, byte by byte.

use std::path::Path;
use std::sync::Arc;

use probity_interp::Interp;
use probity_platform::Policy;
use probity_runtime::{Context, Engine, Instance, Options, platform};

/// Runs `NAME.o` over `NAME.packet` and compares its `.bss` with `NAME.linux`.
fn compare(
    name: &str,
    context: fn(&[u8]) -> Result<Context, probity_runtime::Error>,
    expected: u64,
) {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/helpers");
    let read = |extension: &str| {
        std::fs::read(dir.join(name).with_extension(extension)).expect("test data")
    };
    let platform = Arc::new(platform(None));
    let object = probity_objfile::open(name, &read("o")).expect("an object");
    let settings = probity_verifier::Options::default();
    let report = probity_verifier::verify(&object, &platform, &Policy::default(), &settings)
        .expect("verification");
    for p in &report.programs {
        if let probity_verifier::Verdict::Reject(r) = &p.verdict {
            panic!("{}: {r}", p.name);
        }
    }
    let verified = Arc::new(report.into_verified().expect("all accepted"));
    let instance = Arc::new(Instance::new(verified, Options::default()).expect("an instance"));
    let mut ctx = context(&read("packet")).expect("a context");
    let ret = Interp::new(instance.clone())
        .call(0, &mut ctx, 0)
        .expect("no fault")
        .ret;
    assert_eq!(ret, expected);
    let bss = instance
        .map_by_name(".bss")
        .expect("results")
        .lookup(&[0; 4])
        .expect("a value");
    let linux = read("linux");
    assert_eq!(bss.len(), linux.len());
    for (n, (ours, theirs)) in bss.chunks(8).zip(linux.chunks(8)).enumerate() {
        assert_eq!(ours, theirs, "{name}: word {n} of the results");
    }
}

#[test]
fn helpers_of_xdp_programs() {
    compare("xdp", Context::xdp, 4);
}

#[test]
fn helpers_of_traffic_control_programs() {
    compare("tc", Context::skb, 0);
}
