//! Everything that compiled code depends on → a digest, by which a cache finds it.
//!
//! The programs with the facts that their proof, made just now, has established; the maps as far
//! as they are constants; platform and policy; the processor; the options; this build.
//!
//! **Invariant:** what [`crate::compile`] reads is in here: two instances with the same digest
//! have the same code.

use std::hash::{Hash, Hasher};

use probity_runtime::Instance;

use crate::options::Options;
use crate::target::Target;

/// Of the layout of cached files.
const FORMAT: u32 = 1;

pub(crate) type Key = [u8; 32];

/// Collects what is hashed: one long piece is digested faster than many short ones.
#[derive(Default)]
struct Bytes(Vec<u8>);

impl Hasher for Bytes {
    fn write(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// The digest is made from the bytes.
    fn finish(&self) -> u64 {
        self.0.len() as u64
    }
}

pub(crate) fn key(instance: &Instance, target: &Target, options: &Options) -> Key {
    let mut h = Bytes::default();
    FORMAT.hash(&mut h);
    env!("CARGO_PKG_VERSION").hash(&mut h);
    env!("PROBITY_JIT_BUILD").hash(&mut h);
    cranelift_codegen::VERSION.hash(&mut h);
    target.hash(&mut h);
    options.hash(&mut h);
    let verified = instance.verified();
    verified.platform().name.hash(&mut h);
    verified.policy().to_string().hash(&mut h);
    instance.cpus().hash(&mut h);
    let object = &verified.relocated().object;
    for p in instance.programs().iter().map(|p| p.verified()) {
        p.name().hash(&mut h);
        p.prog_type().0.hash(&mut h);
        p.insns().hash(&mut h);
        p.facts().hash(&mut h);
        for s in p.subprogs() {
            (s.start, s.end).hash(&mut h);
        }
        let tables = object.programs.get(p.index()).map(|o| &o.jump_tables);
        for t in tables.into_iter().flatten() {
            (t.map, &t.targets).hash(&mut h);
        }
    }
    for (n, def) in object.maps.iter().enumerate() {
        let Some(map) = instance.map(n) else {
            n.hash(&mut h);
            continue;
        };
        (def.kind, def.key_size, def.value_size, def.max_entries).hash(&mut h);
        (map.kind(), map.key_size(), map.value_size()).hash(&mut h);
        (map.max_entries(), map.flags(), map.frozen()).hash(&mut h);
        if let Some(a) = map.array() {
            (a.stride, a.cpu_stride, a.entries).hash(&mut h);
        }
        // What is frozen may be compiled in as constants.
        if let Some(data) = def.data.as_ref().filter(|_| map.frozen()) {
            data.bytes.hash(&mut h);
        }
    }
    *blake3::hash(&h.0).as_bytes()
}
