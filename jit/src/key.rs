//! Everything that compiled code depends on → a digest, by which a cache finds it.
//!
//! The programs with the facts that their proof, made just now, has established; the maps as far
//! as they are constants; platform and policy; the processor; the options; this build.
//!
//! **Invariant:** what [`crate::compile`] reads is in here: two instances with the same digest
//! have the same code.

use std::hash::{Hash, Hasher};

use probity_isa::{CallTarget, Insn};
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
    for p in instance.programs() {
        p.exception_callback().hash(&mut h);
        let p = p.verified();
        p.name().hash(&mut h);
        p.prog_type().0.hash(&mut h);
        p.insns().hash(&mut h);
        p.facts().hash(&mut h);
        for s in p.subprogs() {
            (s.start, s.end).hash(&mut h);
        }
        // The numbers of kernel functions mean something with the platform's types only.
        for insn in p.insns() {
            if let Insn::Call(CallTarget::Kfunc { id, .. }) = insn {
                instance.kfunc(*id).map(|k| k.name).hash(&mut h);
            }
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::lowerings::Lowerings;
    use crate::tests::{instance, prove};

    fn of(text: &str, options: &Options) -> Key {
        let platform = Arc::new(probity_runtime::platform(None));
        let verified = prove(&platform, "key", text).expect("accepted");
        let target = Target::host(options).expect("a target");
        key(&instance(&verified), &target, options)
    }

    /// Read-only data is compiled in, maps by their layout, numbers as they are.
    #[test]
    fn whatever_code_depends_on_has_another_key() {
        let text = ".map m kind=array key=4 value=8 max_entries=4\n.section raw_tracepoint\n.globl main\nmain:\n\
            r1 = table ll\nr6 = *(u64 *)(r1 + 0)\n*(u32 *)(r10 - 4) = 3\nr1 = m ll\nr2 = r10\nr2 += -4\n\
            call bpf_map_lookup_elem\nr0 = r6\nexit\n.rodata table\n.quad 256\n";
        let all = Options::default();
        let first = of(text, &all);
        assert_eq!(first, of(text, &all), "the same of another instance");
        let changes = [
            (
                "data that is read-only",
                text.replace("quad 256", "quad 257"),
                all.clone(),
            ),
            (
                "entries",
                text.replace("max_entries=4", "max_entries=5"),
                all.clone(),
            ),
            (
                "bytes of a value",
                text.replace("value=8", "value=16"),
                all.clone(),
            ),
            ("a number", text.replace("= 3\n", "= 2\n"), all.clone()),
            (
                "the kind of program",
                text.replace("raw_tracepoint", "tracepoint"),
                all.clone(),
            ),
            (
                "a lowering",
                text.into(),
                Options {
                    lowerings: Lowerings::ALL.without(Lowerings::FROZEN),
                    ..all.clone()
                },
            ),
            (
                "optimisation",
                text.into(),
                Options {
                    optimise: false,
                    ..all.clone()
                },
            ),
        ];
        let mut seen = vec![first];
        for (what, text, options) in changes {
            let key = of(&text, &options);
            assert!(!seen.contains(&key), "{what} does not count");
            seen.push(key);
        }
    }
}
