//! Asks the running kernel about the flags of each kernel function, as far as small programs can tell:
//! whether NULL, untrusted pointers and no RCU protection are refused, and what the result is.

mod kernel;

use std::collections::BTreeMap;

use kernel::{EXIT, Load, insn, load_verbose, mov};
use probity_btf::{Btf, Type, TypeId};
use probity_platform::{Kfunc, KfuncFlag, Platform, Version};

const SYSCALL: u32 = 31;
const TRACING: u32 = 26;
const TRACE_ITER: u32 = 28;
const GET_CURRENT_TASK_BTF: i32 = 158;

/// A parameter that takes a pointer which the kernel looks at.
struct Parameter {
    index: usize,
    /// The kernel structure, where it is one and nothing else is said of it.
    structure: Option<TypeId>,
    nullable: bool,
}

/// The first pointer among the parameters, behind numbers that may be 0.
fn first_pointer(types: &Btf, func: TypeId) -> Option<Parameter> {
    let Some(Type::FuncProto { params, .. }) = types.ty(types.proto(func)?) else {
        return None;
    };
    for (index, p) in params.iter().enumerate() {
        if p.name.ends_with("__ign") || p.name.ends_with("__prog") {
            continue;
        }
        let Some(to) = types.pointee(p.ty) else {
            continue;
        };
        let to = types.resolve(to);
        let managed = [
            "bpf_dynptr",
            "bpf_list",
            "bpf_rb",
            "bpf_wq",
            "bpf_res",
            "bpf_iter",
            "bpf_task_work",
        ];
        let plain = !p.name.contains("__")
            && matches!(types.ty(to), Some(Type::Struct(_)))
            && !managed.iter().any(|m| types.name(to).starts_with(m));
        return Some(Parameter {
            index,
            structure: plain.then_some(to),
            nullable: p.name.ends_with("__nullable"),
        });
    }
    None
}

/// A program of a kind that may call the function: a sleepable one where that is possible.
fn program(platform: &Platform, kfunc: &Kfunc, iterator: u32) -> Option<Load> {
    // The others are not on every kernel, or only with a target or a device.
    let kind = [SYSCALL, TRACING, 3, 6, 1, 5, 8, 9, 13, 18, 32]
        .into_iter()
        .find(|k| platform.prog_kind(*k).is_some() && kfunc.allows(*k))?;
    let row = platform.prog_kind(kind)?;
    let (attach, target) = match kind {
        TRACING => (TRACE_ITER, iterator),
        _ => (
            row.default_attach
                .or(row.attach.first().copied())
                .unwrap_or(0),
            0,
        ),
    };
    let on_device = kfunc.name.starts_with("bpf_xdp_metadata_");
    (!on_device).then(|| Load {
        kind,
        attach,
        target,
        sleepable: kind == SYSCALL,
        ..Load::default()
    })
}

fn call(func: TypeId) -> [u8; 8] {
    insn(0x85, 0, 2, 0, func.0 as i32)
}

#[test]
fn flags_are_those_of_the_kernel() {
    let Some(platform) = kernel::platform() else {
        return;
    };
    let Some(types) = kernel::kernel_types() else {
        println!("skipped: this kernel has no types of its own");
        return;
    };
    if platform.version < Version(6, 12) {
        println!("asked: nothing; older versions word their reasons differently");
        return;
    }
    let iterator = types.find_func("bpf_iter_task").map_or(0, |id| id.0);
    let cast = types.find_func("bpf_rdonly_cast");
    let mut wrong = Vec::new();
    let mut asked: BTreeMap<&str, usize> = BTreeMap::new();
    for kfunc in platform.kfuncs.iter() {
        let Some(func) = types.find_func(kfunc.name) else {
            continue;
        };
        let Some(base) = program(&platform, kfunc, iterator) else {
            continue;
        };
        let asks = |insns: Vec<[u8; 8]>| {
            load_verbose(&Load {
                insns,
                ..base.clone()
            })
            .log
        };
        let mut tell = |what: &'static str, ours: bool, theirs: bool| {
            *asked.entry(what).or_default() += 1;
            if ours != theirs {
                wrong.push(format!("{} {what}: the kernel says {theirs}", kfunc.name));
            }
        };
        let zeros = || (1..=5).map(|r| mov(r, 0)).collect::<Vec<_>>();
        let flag = |f| kfunc.has(f);
        let trusting = flag(KfuncFlag::TrustedArgs) || flag(KfuncFlag::Release);

        let mut insns = zeros();
        insns.extend([call(func), mov(0, 0), EXIT]);
        let log = asks(insns);
        if log.contains("calling kernel function") || log.contains("must be sleepable") {
            continue;
        }
        // NULL is refused before protection is asked for.
        if base.kind == SYSCALL && !log.contains("NULL pointer passed") {
            let demanded = log.contains("requires RCU critical section");
            tell(
                "wants RCU protection",
                flag(KfuncFlag::RcuProtected),
                demanded,
            );
        }
        let pointer = first_pointer(&types, func);
        if let Some(p) = &pointer
            && !p.nullable
        {
            let refused = log.contains(&format!("NULL pointer passed to trusted arg{}", p.index));
            tell("refuses NULL", trusting || flag(KfuncFlag::Rcu), refused);
        }
        if let (
            Some(Parameter {
                index,
                structure: Some(structure),
                ..
            }),
            Some(cast),
        ) = (&pointer, cast)
        {
            let mut insns = vec![mov(1, 0), mov(2, structure.0 as i32), call(cast)];
            insns.push(insn(0xbf, 6, 0, 0, 0));
            insns.extend(zeros());
            insns.push(insn(0xbf, *index as u8 + 1, 6, 0, 0));
            insns.extend([call(func), mov(0, 0), EXIT]);
            let log = asks(insns);
            // The context is told by its own words.
            if !log.contains("expected pointer to ctx") {
                let trusted = log.contains("must be referenced or trusted");
                tell(
                    "wants trusted pointers",
                    trusting && !flag(KfuncFlag::Rcu),
                    trusted,
                );
                tell(
                    "wants RCU pointers",
                    flag(KfuncFlag::Rcu),
                    log.contains("must be a rcu pointer"),
                );
            }
        }
        // What the kernel's verifier does by name is not told by flags.
        if kfunc.special.is_some() {
            continue;
        }
        let task = pointer.as_ref().and_then(|p| p.structure);
        let task = task.filter(|t| types.name(*t) == "task_struct");
        let mut insns = Vec::new();
        match (&pointer, task) {
            (None, _) => insns.extend(zeros()),
            (Some(p), Some(_)) => {
                insns.extend([
                    insn(0x85, 0, 0, 0, GET_CURRENT_TASK_BTF),
                    insn(0xbf, 6, 0, 0, 0),
                ]);
                insns.extend(zeros());
                insns.push(insn(0xbf, p.index as u8 + 1, 6, 0, 0));
            }
            _ => continue,
        }
        insns.extend([call(func), mov(1, 0), mov(0, 0), EXIT]);
        let log = asks(insns);
        let returns = types.proto(func).and_then(|p| match types.ty(p)? {
            Type::FuncProto { ret, .. } => types.pointee(ret),
            _ => None,
        });
        let held = log.contains("Unreleased reference");
        if log.contains("processed") && (held || !log.contains("R0=") || log.contains("exit")) {
            tell("gives a reference", flag(KfuncFlag::Acquire), held);
            if returns.is_some_and(|r| types.resolve(r) != TypeId(0)) {
                tell(
                    "may give NULL",
                    flag(KfuncFlag::RetNull),
                    log.contains("_or_null"),
                );
            }
        }
    }
    println!("asked: {asked:?}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(
        asked.get("refuses NULL").is_some_and(|n| *n > 50),
        "{asked:?}"
    );
}
