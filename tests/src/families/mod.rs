//! A name and a number → a program that is so large, or runs so long, and otherwise the same: what a verifier's cost follows.
//!
//! Each [`Family`] scales one thing. It says what grows with `n` ([`Scales`]), so what the cost of a verdict may
//! depend on, and how many instructions its longest run executes.
//!
//! The same programs are for tests (`tests/tests/families.rs`), for benches, and, written to files, for any tool.
//!
//! **Invariant:** a program is determined by its family and `n` alone.

mod calls;
pub mod clang;
mod ladders;
mod length;
mod loops;
pub mod measure;
mod packets;
mod strings;

use std::sync::Arc;

use probity_btf::{Btf, BtfBuilder, FuncLinkage, IntEncoding, MemberDef, TypeId};
use probity_objfile::Object;
use probity_platform::{Platform, Version};

/// What grows with `n`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scales {
    /// The program's size: a verdict may cost as much more as there is more to read.
    Size,
    /// How often a loop runs, and nothing else: a verdict need not cost more at all.
    Trips,
}

/// What a run is given so that it is the longest.
#[derive(Clone, Copy)]
pub enum Input {
    /// Every 64-bit word of the context.
    Words(fn(u64) -> u64),
    Packet(fn(u64) -> Vec<u8>),
}

/// How many instructions the longest run executes, with each call that is no subprogram for one.
#[derive(Clone, Copy)]
pub enum Longest {
    /// The run on [`Family::input`].
    Exact(fn(u64) -> u64),
    /// What that run does depends on its surroundings too.
    AtMost(fn(u64) -> u64),
}

pub struct Family {
    /// `group/name`.
    pub name: &'static str,
    pub what: &'static str,
    pub scales: Scales,
    /// Ascending.
    pub sizes: &'static [u64],
    /// Assembly, in which a line `kfunc NAME` calls a kernel function.
    pub text: fn(u64) -> String,
    pub input: Input,
    /// The byte that fills every map's first value before a run.
    pub fill: u8,
    pub longest: Longest,
}

impl Family {
    /// `None` where the platform has no types that name the kernel functions it calls.
    pub fn text(&self, n: u64, platform: &Platform) -> Option<String> {
        let text = (self.text)(n);
        if !text.contains("kfunc ") {
            return Some(text);
        }
        let types = platform.types.as_deref()?;
        let mut out = String::with_capacity(text.len());
        for line in text.lines() {
            match line.strip_prefix("kfunc ") {
                Some(name) => out += &format!("call kfunc[{}, 0]", types.find_func(name)?.0),
                None => out += line,
            }
            out.push('\n');
        }
        Some(out)
    }

    /// The program as an object with the one program `main`.
    pub fn object(&self, n: u64, platform: &Platform) -> Option<Object> {
        let text = self.text(n, platform)?;
        let helper = |name: &str| platform.helper_by_name(name).map(|h| h.id);
        let made = probity_objfile::assemble("family", &text, &helper);
        Some(made.unwrap_or_else(|e| panic!("{} of {n}: {e}", self.name)))
    }

    /// Instructions of the longest run.
    pub fn longest(&self, n: u64) -> u64 {
        match self.longest {
            Longest::Exact(f) | Longest::AtMost(f) => f(n),
        }
    }
}

/// All families, in groups.
pub fn all() -> impl Iterator<Item = &'static Family> {
    [
        length::FAMILIES,
        ladders::FAMILIES,
        loops::FAMILIES,
        loops::NESTS,
        loops::FORKS,
        strings::FAMILIES,
        calls::FAMILIES,
        packets::FAMILIES,
    ]
    .into_iter()
    .flatten()
}

pub fn find(name: &str) -> Option<&'static Family> {
    all().find(|f| f.name == name)
}

/// Linux 6.18 with the few types that families need, the same on every machine.
pub fn platform() -> Arc<Platform> {
    Arc::new(Platform::linux(Version(6, 18), Some(Arc::new(types()))))
}

/// `bpf_iter_num` and its functions, as the kernel declares them.
fn types() -> Btf {
    let mut b = BtfBuilder::new();
    let int = b.int("int", 4, IntEncoding::SIGNED);
    let words = b.int("unsigned long long", 8, IntEncoding::UNSIGNED);
    let iter = b.struct_("bpf_iter_num", 8, &[MemberDef::at("__opaque", words, 0)]);
    let (iter, pint) = (b.ptr(iter), b.ptr(int));
    let new = b.func_proto(int, &[("it", iter), ("start", int), ("end", int)]);
    let next = b.func_proto(pint, &[("it", iter)]);
    let destroy = b.func_proto(TypeId(0), &[("it", iter)]);
    b.func("bpf_iter_num_new", new, FuncLinkage::Static);
    b.func("bpf_iter_num_next", next, FuncLinkage::Static);
    b.func("bpf_iter_num_destroy", destroy, FuncLinkage::Static);
    b.build().expect("types of our own")
}

/// From 10 to 10,000.
const LENGTHS: &[u64] = &[10, 100, 1_000, 10_000];
/// What fits on the stack in slots of 8 bytes.
const SLOTS: &[u64] = &[4, 8, 16, 32, 56];

/// The context's words are ones, all of them.
const ONES: Input = Input::Words(|_| u64::MAX);

/// Most loops run over nothing but numbers: the text of a raw tracepoint's program.
fn program(body: &str) -> String {
    format!(".license \"GPL\"\n.section raw_tracepoint\n.globl main\nmain:\n{body}")
}

/// The same with a map `cells` of one value of `bytes` in r9, the context in r6 and an unknown number in r8.
/// [`HEAD`] instructions; the body may go to `out`, and falls into it: [`TAIL`] more.
fn with_cells(bytes: u64, body: &str) -> String {
    format!(
        ".license \"GPL\"\n.map cells kind=array key=4 value={bytes} max_entries=1\n\
        .section raw_tracepoint\n.globl main\nmain:\n\
        r6 = r1\nr8 = *(u64 *)(r1 + 0)\n*(u32 *)(r10 - 4) = 0\nr2 = r10\nr2 += -4\n\
        r1 = map cells ll\ncall bpf_map_lookup_elem\nif r0 != 0 goto found\nr0 = 0\nexit\nfound:\nr9 = r0\nr7 = 0\n\
        {body}out:\nr0 = 0\nexit\n"
    )
}

const HEAD: u64 = 10;
const TAIL: u64 = 2;

/// `body(i)` for each i below n.
fn each(n: u64, body: impl Fn(u64) -> String) -> String {
    (0..n).map(body).collect()
}
