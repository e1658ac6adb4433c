//! Asks the running kernel, for each kind of program and each kernel function, whether the one may call the other,
//! and which functions only sleepable programs may call.

mod kernel;

use kernel::{EXIT, Load, differ, insn, load, mov};
use probity_platform::KfuncFlag;

#[test]
fn callers_and_sleepers_are_those_of_the_kernel() {
    let Some(platform) = kernel::platform() else {
        return;
    };
    let Some(types) = kernel::kernel_types() else {
        println!("skipped: this kernel has no types of its own");
        return;
    };
    let iterator = types.find_func("bpf_iter_task").map_or(0, |id| id.0);
    let mut wrong = Vec::new();
    let mut asked = 0;
    for kind in platform.prog_kinds.iter() {
        let (attach, target) = match kind.kind {
            // Not on this kernel, or only with a target that it refuses; session functions have their own hook.
            2 | 20 | 27 | 28 | 29 => continue,
            26 => (28, iterator),
            _ => (
                kind.default_attach
                    .or(kind.attach.first().copied())
                    .unwrap_or(0),
                0,
            ),
        };
        let sleepable = kind.kind == 31;
        for kfunc in platform.kfuncs.iter() {
            // Only for programs bound to one device.
            if kfunc.name.starts_with("bpf_xdp_metadata_") {
                continue;
            }
            let Some(id) = types.find_func(kfunc.name) else {
                continue;
            };
            let insns = vec![insn(0x85, 0, 2, 0, id.0 as i32), mov(0, 0), EXIT];
            let program = Load {
                kind: kind.kind,
                attach,
                target,
                sleepable,
                insns,
                ..Load::default()
            };
            let verdict = load(&program, true);
            asked += 1;
            let refused = verdict.log.contains("calling kernel function")
                && verdict.log.contains("is not allowed");
            if differ(&platform, kfunc.allows(kind.kind), !refused) {
                wrong.push(format!(
                    "{} {}: the kernel says {}",
                    kind.name, kfunc.name, !refused
                ));
            }
            let sleeps = verdict.log.contains("must be sleepable");
            if !refused
                && !sleepable
                && differ(&platform, !kfunc.has(KfuncFlag::Sleepable), !sleeps)
            {
                wrong.push(format!("{} sleeps: the kernel says {sleeps}", kfunc.name));
            }
        }
    }
    println!("{asked} pairs asked");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
