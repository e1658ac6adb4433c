//! The interpreter, which checks every access, and compiled code agree on extensions of a host.

mod common;

use std::any::TypeId;
use std::sync::Arc;

use common::*;
use probity_host::Load;
use probity_interp::Interp;
use probity_jit::Jit;
use probity_runtime::{Context, Engine, Instance, Lent};

/// Results, contexts and headers of some calls.
fn run(
    engine: &dyn Engine,
    bytes: usize,
    packets: bool,
) -> Vec<(u64, Vec<u8>, Vec<u8>, Vec<(String, String)>)> {
    let mut all = Vec::new();
    let mut seed = 1u64;
    for round in 0..200u64 {
        let mut memory = Vec::new();
        for _ in 0..bytes {
            seed = seed
                .wrapping_mul(6364136223846793005)
                .wrapping_add(1442695040888963407);
            memory.push((seed >> 33) as u8);
        }
        // Few clients, so that some meet their limit.
        if let Some(client) = memory.get_mut(..4) {
            client.copy_from_slice(&((round % 7) as u32).to_ne_bytes());
        }
        let mut headers = Headers::default();
        if round % 3 == 0 {
            headers.0.push((
                "x-internal".into(),
                ["yes", "no"][(round % 2) as usize].into(),
            ));
        }
        let mut packet = memory.clone();
        packet.truncate((round % 12) as usize);
        let mut ctx = Context::bytes(&memory).unwrap();
        // SAFETY: both outlive the call, and are used by nobody else until it is over.
        unsafe {
            ctx.lend(Lent {
                data: Some((
                    TypeId::of::<Headers>(),
                    std::ptr::from_mut(&mut headers).cast(),
                )),
                state: None,
            });
            if packets {
                assert!(ctx.lend_packet(packet.as_mut_ptr(), packet.len()));
            }
        }
        let ret = engine
            .call(0, &mut ctx, 0)
            .unwrap_or_else(|f| panic!("{f}"))
            .ret;
        all.push((ret, ctx.read(), packet, headers.0));
    }
    all
}

#[test]
fn engines_agree() {
    let host = host();
    for (name, bytes, packets) in [
        ("limit", 40, false),
        ("limit2", 40, false),
        ("mask", 12, true),
    ] {
        let object = probity_objfile::open(name, &object(name)).unwrap();
        let verified = Arc::new(host.verify(&object, &Load::default()).unwrap());
        let instance =
            || Arc::new(Instance::new(verified.clone(), host.options().clone()).unwrap());
        let compiled = run(&Jit::new(instance()).unwrap(), bytes, packets);
        let interpreted = run(&Interp::new(instance()), bytes, packets);
        assert_eq!(compiled, interpreted, "{name}");
        let kinds: std::collections::BTreeSet<u64> = compiled.iter().map(|c| c.0).collect();
        assert!(kinds.len() > 1, "{name} always gives {kinds:?}");
    }
}
