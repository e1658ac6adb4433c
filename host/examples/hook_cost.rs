//! What a call of a hook adds to the compiled program: `hook_cost [entry|hook|packet] [CALLS]`, for callgrind, or for the clock.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use probity_host::{Context, HookBuilder, Host, Load};

#[derive(Context, Clone, Copy, Default)]
#[repr(C)]
struct Request {
    #[context(read)]
    client: u32,
    #[context(write)]
    status: u32,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let what = args.next().unwrap_or_else(|| "both".into());
    let calls: u64 = args.next().map_or(Ok(20_000_000), |n| n.parse())?;
    let host = Host::builder("cost")
        .hook(HookBuilder::new::<Request>("request"))
        .build()?;
    let text =
        ".section \"hook/request\"\n.globl main\nmain:\nr0 = *(u32 *)(r1 + 0)\nr0 &= 1\nexit\n";
    let object = probity_objfile::assemble("cost", text, &|_| None)?;
    host.load_object("cost", &object, &Load::default())?;
    let mut caller = host.hook::<Request>("request")?.caller(Request::default());

    let verified = host.verify(&object, &Load::default())?;
    let instance = probity_runtime::Instance::new(Arc::new(verified), host.options().clone())?;
    let jit = probity_jit::Jit::new(Arc::new(instance))?;
    let entry = jit.entry(0, 0)?;
    let mut memory = probity_runtime::Context::bytes(&[0; 8])?;

    let mut times = Vec::new();
    if what != "hook" {
        let start = Instant::now();
        for _ in 0..calls {
            black_box(entry.call(black_box(&mut memory))?);
        }
        times.push(("entry", start.elapsed()));
    }
    if what != "entry" {
        let start = Instant::now();
        for _ in 0..calls {
            black_box(black_box(&mut caller).call()?);
        }
        times.push(("hook", start.elapsed()));
    }
    for (name, time) in times {
        println!(
            "{name}: {:.2} ns a call",
            time.as_nanos() as f64 / calls as f64
        );
    }
    Ok(())
}
