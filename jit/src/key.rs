//! Everything that compiled code depends on → a digest, by which a cache finds it.
//!
//! The programs with the facts that their proof, made just now, has established; the maps as far
//! as they are constants; platform, with its types, and policy; the processor; the options; this build.
//!
//! **Invariant:** what [`crate::compile`] reads is in here: two instances with the same digest
//! have the same code.

use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use probity_btf::Btf;
use probity_isa::{CallTarget, Insn};
use probity_runtime::Instance;

use crate::options::Options;
use crate::target::Target;

/// Of the layout of cached files.
const FORMAT: u32 = 3;

pub(crate) type Key = [u8; 32];

/// What is hashed of an instance without instructions, and of an instruction with its fact, is about as long.
const BYTES: usize = 2048;
const EACH: usize = 24;

/// Collects what is hashed: one long piece is digested faster than many short ones, and a short one faster than a long
/// one. So numbers, most of which are small (derived implementations write one of 64 bits for each variant of an
/// `enum`), take seven bits a byte.
///
/// **Invariant:** different values are different bytes: no number's bytes begin another's, and what a value writes
/// next is said by what it has written.
struct Bytes(Vec<u8>);

impl Bytes {
    #[inline]
    fn number(&mut self, mut n: u64) {
        while n >= 0x80 {
            self.0.push(n as u8 | 0x80);
            n >>= 7;
        }
        self.0.push(n as u8);
    }

    /// Numbers near 0 are short, whatever their sign.
    #[inline]
    fn signed(&mut self, n: i64) {
        self.number((n << 1 ^ n >> 63) as u64);
    }
}

impl Hasher for Bytes {
    fn write(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    #[inline]
    fn write_u8(&mut self, n: u8) {
        self.0.push(n);
    }
    #[inline]
    fn write_u16(&mut self, n: u16) {
        self.number(n.into());
    }
    #[inline]
    fn write_u32(&mut self, n: u32) {
        self.number(n.into());
    }
    #[inline]
    fn write_u64(&mut self, n: u64) {
        self.number(n);
    }
    #[inline]
    fn write_usize(&mut self, n: usize) {
        self.number(n as u64);
    }
    #[inline]
    fn write_i16(&mut self, n: i16) {
        self.signed(n.into());
    }
    #[inline]
    fn write_i32(&mut self, n: i32) {
        self.signed(n.into());
    }
    #[inline]
    fn write_i64(&mut self, n: i64) {
        self.signed(n);
    }
    #[inline]
    fn write_isize(&mut self, n: isize) {
        self.signed(n as i64);
    }

    /// The digest is made from the bytes.
    fn finish(&self) -> u64 {
        self.0.len() as u64
    }
}

/// Digests of sets of types. A kernel's are millions of bytes, so each set is digested once.
#[derive(Default)]
pub(crate) struct Digests(Mutex<Vec<(Weak<Btf>, Key)>>);

impl Digests {
    pub fn of(&self, types: &Arc<Btf>) -> Key {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // While there is a weak reference, nothing else has that address.
        known.retain(|(of, _)| of.strong_count() != 0);
        if let Some((_, digest)) = known
            .iter()
            .find(|(of, _)| of.as_ptr() == Arc::as_ptr(types))
        {
            return *digest;
        }
        let mut hasher = blake3::Hasher::new();
        let mut next = Some(types);
        while let Some(set) = next {
            let bytes = set.to_bytes();
            hasher.update(&(bytes.len() as u64).to_le_bytes());
            hasher.update(&bytes);
            next = set.base();
        }
        let digest = *hasher.finalize().as_bytes();
        known.push((Arc::downgrade(types), digest));
        digest
    }
}

pub(crate) fn key(
    instance: &Instance,
    target: &Target,
    options: &Options,
    digests: &Digests,
) -> Key {
    let insns = instance
        .programs()
        .iter()
        .map(|p| p.verified().insns().len());
    let mut h = Bytes(Vec::with_capacity(BYTES + EACH * insns.sum::<usize>()));
    FORMAT.hash(&mut h);
    env!("CARGO_PKG_VERSION").hash(&mut h);
    env!("PROBITY_JIT_BUILD").hash(&mut h);
    cranelift_codegen::VERSION.hash(&mut h);
    target.hash(&mut h);
    options.hash(&mut h);
    let verified = instance.verified();
    let platform = verified.platform();
    platform.name.hash(&mut h);
    platform.types.as_ref().map(|t| digests.of(t)).hash(&mut h);
    verified.policy().to_string().hash(&mut h);
    instance.cpus().hash(&mut h);
    instance.exports().hash(&mut h);
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
                let kfunc = instance.kfunc(*id);
                let of = |k: &probity_runtime::BoundKfunc| {
                    (k.name, format!("{:?}", k.args), k.pointer, k.throws)
                };
                kfunc.as_ref().map(of).hash(&mut h);
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
        map.slots().map(|s| (s.entries, s.programs)).hash(&mut h);
        // What is frozen may be compiled in as constants.
        if let Some(data) = def.data.as_ref().filter(|_| map.frozen()) {
            data.bytes.hash(&mut h);
        }
    }
    *blake3::hash(&h.0).as_bytes()
}

#[cfg(test)]
mod tests {
    use probity_btf::BtfBuilder;
    use probity_platform::Platform;

    use super::*;
    use crate::lowerings::Lowerings;
    use crate::tests::{instance, prove};

    fn of(text: &str, options: &Options) -> Key {
        on(probity_runtime::platform(None), text, options)
    }

    fn on(platform: Platform, text: &str, options: &Options) -> Key {
        let verified = prove(&Arc::new(platform), "key", text).expect("accepted");
        let target = Target::host(options).expect("a target");
        let digests = Digests::default();
        key(&instance(&verified), &target, options, &digests)
    }

    /// Types of a host, with a structure of that many bytes.
    fn types(bytes: u32) -> Arc<Btf> {
        let mut b = BtfBuilder::new();
        b.struct_("host", bytes, &[]);
        Arc::new(b.build().expect("types"))
    }

    #[test]
    fn other_types_of_the_platform_have_another_key() {
        let text = ".section raw_tracepoint\n.globl main\nmain:\nr0 = 0\nexit\n";
        let key = |types| {
            let platform = Platform {
                types,
                ..probity_runtime::platform(None)
            };
            on(platform, text, &Options::default())
        };
        let keys = [key(Some(types(8))), key(Some(types(16))), key(None)];
        assert_eq!(keys[0], key(Some(types(8))), "equal types");
        assert!(keys[0] != keys[1] && keys[0] != keys[2]);
    }

    #[test]
    fn types_are_digested_once_and_forgotten_with_their_last_user() {
        let digests = Digests::default();
        let (a, b) = (types(8), types(16));
        assert_eq!(digests.of(&a), digests.of(&a));
        assert_ne!(digests.of(&a), digests.of(&b));
        let known = || digests.0.lock().expect("a lock").len();
        assert_eq!(known(), 2);
        drop(a);
        digests.of(&b);
        assert_eq!(known(), 1);
    }

    /// Neighbouring numbers of any size are told apart from others that have the same bits, one after another.
    #[test]
    fn different_numbers_are_different_bytes() {
        let bytes = |numbers: &[u64]| {
            let mut h = Bytes(Vec::new());
            for n in numbers {
                n.hash(&mut h);
            }
            h.0
        };
        let edges = (0..64).flat_map(|b| [(1u64 << b) - 1, 1 << b, !(1 << b)]);
        let mut edges: Vec<u64> = edges.chain([u64::MAX]).collect();
        edges.sort_unstable();
        edges.dedup();
        let mut seen = std::collections::BTreeSet::new();
        for a in &edges {
            for b in &edges {
                assert!(seen.insert(bytes(&[*a, *b])), "{a:#x}, {b:#x}");
            }
        }
        let signed = |n: i64| {
            let mut h = Bytes(Vec::new());
            n.hash(&mut h);
            h.0
        };
        let all = edges.iter().map(|n| signed(*n as i64));
        assert_eq!(
            all.collect::<std::collections::BTreeSet<_>>().len(),
            edges.len()
        );
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
