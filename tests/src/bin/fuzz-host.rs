//! `fuzz-host host [--minutes N] [--seed N]`: descriptions of hosts, policies, and sessions of a control socket, damaged for as long as one likes.

use std::process::ExitCode;
use std::time::Instant;

use probity_host::fuzzing::{check, session};
use probity_host::{Context, HookBuilder, Host, Packet};
use probity_tests::fuzzing::{Args, mutations};
use probity_tests::root;

/// What extensions of the packet filter see, as far as the one that is loaded here looks.
#[derive(Context, Clone, Copy, Default)]
#[repr(C)]
struct Frame {
    #[context(read)]
    data: Packet,
}

fn main() -> ExitCode {
    let Some(args) = Args::given().filter(|a| a.what == "host") else {
        eprintln!("usage: fuzz host [--minutes N] [--seed N]");
        return ExitCode::from(2);
    };
    println!("--seed {}", args.seed);
    let hosts = root().join("programs/hosts");
    let read = |path: &str| std::fs::read(hosts.join(path)).unwrap_or_default();
    let description = read("packet-filter/extensions/packet-filter.json");
    let object = read("packet-filter/extensions/fragments.o");
    let hook = HookBuilder::new::<Frame>("packet").returns(0..=1);
    let host = match Host::builder("fuzz").hook(hook).build() {
        Ok(host) => host,
        Err(e) => {
            eprintln!("{e}");
            return ExitCode::FAILURE;
        }
    };
    let half = Instant::now() + args.time / 2;
    let descriptions = vec![description, read("gateway/extensions/gateway.json")];
    let done = mutations("host", descriptions, &args, half, |b| {
        check(b);
    });
    if done != ExitCode::SUCCESS {
        return done;
    }
    let mut good = b"{\"op\":\"describe\"}\n".to_vec();
    for op in ["load", "replace"] {
        let line = format!(
            "{{\"op\":\"{op}\",\"name\":\"e\",\"bytes\":{}}}\n",
            object.len()
        );
        good.extend(line.into_bytes());
        good.extend(&object);
        good.extend(b"{\"op\":\"info\",\"name\":\"e\"}\n{\"op\":\"list\"}\n");
    }
    good.extend(b"{\"op\":\"unload\",\"name\":\"e\",\"wait\":true}\n");
    let host = std::panic::AssertUnwindSafe(&host);
    mutations("host", vec![good], &args, half + args.time / 2, move |b| {
        session(&host, b);
    })
}
