//! The objects in `programs/` run without a fault on contexts of zeros and of random bytes.

use std::path::Path;
use std::sync::Arc;

use probity_btf::Btf;
use probity_interp::Interp;
use probity_platform::Policy;
use probity_runtime::{Context, Error, Instance, Options, platform};

#[test]
fn objects_run_without_a_fault() {
    let types = std::fs::read("/sys/kernel/btf/vmlinux")
        .ok()
        .map(|b| Arc::new(Btf::parse(&b).expect("kernel BTF")));
    let platform = Arc::new(platform(types.clone()));
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../programs");
    let seed = std::env::var("TEST_SEED")
        .ok()
        .and_then(|s| s.parse().ok())
        .unwrap_or(1u64);
    println!("TEST_SEED={seed}");
    let mut state = seed;
    let mut next = || {
        state = state
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        (state >> 33) as u8
    };
    let mut runs = 0;
    for dir in std::fs::read_dir(root).expect("programs").flatten() {
        let name = dir.file_name().into_string().expect("a name");
        let Ok(bytes) = std::fs::read(dir.path().join(format!("{name}.o"))) else {
            continue;
        };
        let object = probity_objfile::open(&name, &bytes).expect("an object");
        let settings = probity_verifier::Options::default();
        let report =
            match probity_verifier::verify(&object, &platform, &Policy::default(), &settings) {
                Ok(report) => report,
                // CO-RE needs the kernel's types.
                Err(_) if types.is_none() => continue,
                Err(e) => panic!("{name}: {e}"),
            };
        let (verified, rest) = report.into_partial();
        for p in rest {
            println!("{name}: {} is not verified: {:?}", p.name, p.verdict.name());
        }
        let options = Options {
            cpus: 2,
            perf_bytes: 1 << 16,
            ..Options::default()
        };
        let instance = match Instance::new(Arc::new(verified), options) {
            Ok(instance) => Arc::new(instance),
            Err(Error::Unsupported { .. }) => continue,
            Err(e) => panic!("{name}: {e}"),
        };
        let interp = Interp::new(instance.clone()).with_limit(1_000_000);
        for (index, program) in instance.programs().iter().enumerate() {
            for round in 0..200 {
                let packet: Vec<u8> = (0..round)
                    .map(|_| if round % 2 == 0 { 0 } else { next() })
                    .collect();
                let ctx = match program.verified().prog_type().0 {
                    6 => Context::xdp(&packet),
                    1 | 3 | 4 | 8 => Context::skb(&packet),
                    _ => Context::bytes(
                        &(0..2048)
                            .map(|_| if round == 0 { 0 } else { next() })
                            .collect::<Vec<_>>(),
                    ),
                };
                let run =
                    interp.run_observed(index, &mut ctx.expect("a context"), round % 2, &mut ());
                if let Err(fault) = run.result {
                    panic!("{name}: {}: {fault}", program.name());
                }
                runs += 1;
            }
        }
    }
    println!("{runs} calls");
    assert!(runs >= 400, "only {runs} calls");
}
