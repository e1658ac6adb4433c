//! A seed and features → random programs that are mostly right: branches, loops, spills, maps, packets, calls.
//!
//! Registers have kinds, and a line picks registers of the kinds it needs; with [`Features::MISTAKES`] now and then
//! just any. What a program contains is switched by [`Features`]; without any of them it is straight-line arithmetic
//! in 64 bits with immediates and plain accesses to the stack and a map value.
//!
//! The same programs are for the containment oracle, for the engines against each other, and for Linux.

mod arena;
mod body;
mod calls;
mod control;
mod memory;
mod strings;
mod structures;

use std::fmt;

use probity_btf::{BtfBuilder, FuncLinkage, TypeId};
use probity_isa::{CallTarget, Imm64, Insn, Listing, Pc, Reg};
use probity_objfile::{Extern, ExternKind, ExternRef, Map, Object, ObjectBuilder, ProgramDef};
use probity_platform::Platform;
use probity_runtime::Instance;

/// A small generator of numbers (splitmix64).
#[derive(Clone, Debug)]
pub struct Rng(pub u64);

impl Rng {
    /// From `TEST_SEED`, or of this run; prints it.
    pub fn seeded(test: &str) -> Rng {
        let given = std::env::var("TEST_SEED").ok().and_then(|s| s.parse().ok());
        let seed = given.unwrap_or_else(|| {
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
            now.map_or(1, |d| d.as_nanos() as u64)
        });
        println!("{test}: TEST_SEED={seed}");
        Rng(seed)
    }

    #[expect(clippy::should_implement_trait, reason = "numbers do not end")]
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    pub fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len() as u64) as usize]
    }

    pub fn once_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    /// Numbers at which arithmetic and bounds go wrong.
    pub fn word(&mut self) -> u64 {
        let base = self.of(&[
            0u64,
            1,
            2,
            7,
            8,
            15,
            16,
            0x7f,
            0xff,
            0x7fff,
            0xffff,
            0x7fff_ffff,
            0x8000_0000,
            0xffff_ffff,
            1 << 32,
            1 << 63,
        ]);
        let base = match self.below(5) {
            0 => base.wrapping_neg(),
            1 => self.next() >> self.below(64),
            2 => base | base << 32,
            _ => base,
        };
        base.wrapping_add(self.below(3)).wrapping_sub(1)
    }

    pub fn number(&mut self) -> i32 {
        self.word() as i32
    }
}

/// What programs may contain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Features(pub u32);

macro_rules! features {
    ($($name:ident = $bit:literal),* $(,)?) => {
        impl Features {
            $(pub const $name: Features = Features(1 << $bit);)*
            /// Each with its name in lower case.
            pub const NAMED: &[(&str, Features)] = &[$((stringify!($name), Features::$name)),*];
        }
    };
}

// `pub const ALU32: Features = Features(1 << 0);` and so on, and the list of all.
features! {
    ALU32 = 0,
    DIVISION = 1,
    SHIFT_BY_REGISTER = 2,
    SIGN_EXTENSION = 3,
    BYTE_SWAP = 4,
    BRANCH = 5,
    LOOP = 6,
    SPILL = 7,
    VARIABLE_STACK = 8,
    LOOKUP = 9,
    INDEX = 10,
    PACKET = 11,
    LEGACY_PACKET = 12,
    CONTEXT = 13,
    HELPER = 14,
    RECORD = 15,
    SUBPROGRAM = 16,
    CALLBACK = 17,
    ATOMIC = 18,
    MAY_GOTO = 19,
    LINK = 20,
    TAIL_CALL = 21,
    ACQUIRE_RELEASE = 22,
    MISTAKES = 23,
    SAME_OPERAND = 24,
    STRUCTURE = 25,
    ARENA = 26,
    TEXT = 27,
}

impl Features {
    pub const NONE: Features = Features(0);
    pub const ALL: Features = Features((1 << Features::NAMED.len()) - 1);

    pub fn has(self, other: Features) -> bool {
        self.0 & other.0 != 0
    }

    pub fn with(self, other: Features) -> Features {
        Features(self.0 | other.0)
    }

    pub fn without(self, other: Features) -> Features {
        Features(self.0 & !other.0)
    }
}

impl fmt::Display for Features {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<String> = Features::NAMED
            .iter()
            .filter(|(_, x)| self.has(*x))
            .map(|(name, _)| name.to_lowercase())
            .collect();
        f.write_str(&names.join(" "))
    }
}

/// A kind of program as the generator sees it.
#[derive(Clone, Copy, Debug)]
pub struct Kind {
    pub section: &'static str,
    /// Offsets of the packet's bounds in the context.
    pub packet: Option<(i16, i16)>,
    pub legacy: bool,
    pub tracing: bool,
    /// Spin locks may be taken, and with them lists and trees be used.
    pub locks: bool,
}

pub const KINDS: &[Kind] = &[
    kind("socket", None, true, false),
    with_locks(kind("xdp", Some((0, 4)), false, false)),
    with_locks(kind("tc", Some((76, 80)), true, false)),
    with_locks(kind("cgroup_skb/egress", Some((76, 80)), false, false)),
    kind("kprobe/x", None, false, true),
    kind("tp/a/b", None, false, true),
    kind("raw_tp/x", None, false, true),
    kind("perf_event", None, false, true),
];

const fn kind(
    section: &'static str,
    packet: Option<(i16, i16)>,
    legacy: bool,
    tracing: bool,
) -> Kind {
    Kind {
        section,
        packet,
        legacy,
        tracing,
        locks: false,
    }
}

const fn with_locks(kind: Kind) -> Kind {
    Kind {
        locks: true,
        ..kind
    }
}

/// A program over the maps of [`maps`].
#[derive(Clone, Debug)]
pub struct Program {
    pub section: &'static str,
    pub code: Vec<Insn>,
    /// After the main function: name and first slot.
    pub subprogs: Vec<(String, Pc)>,
}

/// Maps by index.
pub(crate) const ARRAY: u32 = 0;
pub(crate) const HASH: u32 = 1;
pub(crate) const RING: u32 = 2;
pub(crate) const PROGRAMS: u32 = 3;
pub(crate) const EVENTS: u32 = 4;
pub(crate) const CELLS: u32 = 5;
/// Of programs that use it, and of those that have the next two.
pub(crate) const ARENA: u32 = 6;
/// Of programs that allocate structures only: an array of two and a hash of four values that own some.
pub(crate) const SHELVES: u32 = 7;
pub(crate) const STORE: u32 = 8;

/// The maps of every generated object: 16-byte values in an array of one, a hash and an array of four; a ring
/// buffer, an array of programs, perf events.
pub fn maps() -> Vec<Map> {
    vec![
        map("array", 2, 4, 16, 1),
        map("hash", 1, 4, 16, 4),
        map("ring", 27, 0, 0, 4096),
        map("programs", 3, 4, 4, 4),
        map("events", 4, 4, 4, 1),
        map("cells", 2, 4, 16, 4),
    ]
}

fn map(name: &str, kind: u32, key_size: u32, value_size: u32, max_entries: u32) -> Map {
    Map {
        name: name.to_string(),
        kind,
        key_size,
        value_size,
        max_entries,
        flags: 0,
        map_extra: 0,
        numa_node: None,
        pinned: false,
        key_type: None,
        value_type: None,
        data: None,
        inner: None,
        initial: Vec::new(),
    }
}

/// The maps of programs that allocate structures, after the others.
fn shelves(value: Option<TypeId>) -> [Map; 2] {
    [("shelves", 2, 2), ("store", 1, 4)].map(|(name, kind, max_entries)| Map {
        value_type: value,
        ..map(name, kind, 4, structures::SHELF_SIZE, max_entries)
    })
}

/// The arena of programs that have one, after the others.
fn arena_map() -> Map {
    const MMAPABLE: u32 = 1 << 10;
    Map {
        flags: MMAPABLE,
        ..map("arena", 33, 0, 0, arena::PAGES)
    }
}

/// Makes some pages of the arena be there, and says where they are.
pub fn arena_pages(instance: &Instance) -> Vec<u64> {
    let arena = instance.map_by_name("arena");
    let Some((map, start)) = arena.and_then(|m| Some((m, m.arena()?.address()))) else {
        return Vec::new();
    };
    let pages = arena::THERE.map(|n| start + u64::from(n) * 4096);
    for at in pages {
        // A byte that is read makes its page.
        map.read_arena(at, &mut [0]).expect("a page of the arena");
    }
    pages.into()
}

/// A random program of a kind.
pub fn program(r: &mut Rng, kind: Kind, features: Features) -> Program {
    let mut g = body::Generator::new(r, kind, features);
    g.entry();
    g.first_structures();
    g.first_arena();
    let lines = g.r.of(&[6, 12, 25, 40]);
    g.lines(lines, 3);
    g.end();
    let mut subprogs = Vec::new();
    let mut n = 0;
    // Subprograms may ask for further ones.
    while let Some(sub) = g.subs.get(n).copied() {
        let start = g.code.len();
        subprogs.push((format!("sub{n}"), start));
        g.subprogram(n, sub);
        n += 1;
    }
    for (at, n) in std::mem::take(&mut g.calls) {
        let rel = subprogs[n].1 as i32 - at as i32 - 1;
        match &mut g.code[at] {
            Insn::LoadImm64 { imm, .. } => *imm = Imm64::Func { rel },
            call => *call = Insn::Call(CallTarget::Subprog { rel }),
        }
    }
    Program {
        section: kind.section,
        code: g.code,
        subprogs,
    }
}

impl Program {
    /// `None` when it does not encode (jumps that are too far).
    pub fn object(&self) -> Option<Object> {
        let mut def = ProgramDef::new("main", self.section, &self.code).ok()?;
        def.subprogs = self.subprogs.clone();
        let mut builder = ObjectBuilder::new("random");
        builder.license("GPL");
        let types = structures::needed(&self.code).then(|| structures::Types::new(builder.types()));
        for map in maps() {
            builder.add_map(map);
        }
        if types.is_some() || arena::needed(&self.code) {
            builder.add_map(arena_map());
        }
        for map in types.iter().flat_map(|t| shelves(Some(t.shelf))) {
            builder.add_map(map);
        }
        builder.add_program(def).ok()?;
        let externs = types.map(|t| self.externs(builder.types(), &t));
        let mut object = builder.build().ok()?;
        if let Some((externs, refs)) = externs {
            object.externs = externs;
            object.programs[0].extern_refs = refs;
        }
        Some(object)
    }

    /// Kernel functions, and where they are called.
    fn externs(
        &self,
        b: &mut BtfBuilder,
        types: &structures::Types,
    ) -> (Vec<Extern>, Vec<ExternRef>) {
        let named = structures::KFUNCS.iter().zip(types.protos);
        let externs = named.map(|(name, proto)| Extern {
            name: (*name).to_string(),
            kind: ExternKind::Kfunc,
            weak: false,
            type_id: Some(b.func(name, proto, FuncLinkage::Extern)),
        });
        let externs = externs.collect();
        let called = self.code.iter().enumerate().filter_map(|(pc, i)| match i {
            Insn::Call(CallTarget::Kfunc { id, .. }) => Some(ExternRef {
                pc,
                index: *id as usize,
            }),
            _ => None,
        });
        (externs, called.collect())
    }

    /// Assembly that makes the same object, but for the types of values and kernel functions.
    pub fn text(&self, platform: &Platform) -> String {
        let mut names = maps();
        let structures = structures::needed(&self.code);
        if structures || arena::needed(&self.code) {
            names.push(arena_map());
        }
        if structures {
            names.extend(shelves(None));
        }
        let mut out = String::from(".license \"GPL\"\n");
        for m in &names {
            let kind = match m.kind {
                1 => "hash",
                3 => "prog_array",
                4 => "perf_event_array",
                27 => "ringbuf",
                33 => "arena",
                _ => "array",
            };
            out += &format!(".map {} kind={kind}", m.name);
            if m.key_size > 0 {
                out += &format!(" key={} value={}", m.key_size, m.value_size);
            }
            if m.flags > 0 {
                out += &format!(" flags={}", m.flags);
            }
            out += &format!(" max_entries={}\n", m.max_entries);
        }
        out += &format!(".section \"{}\"\n.globl main\n", self.section);
        let helper = |id: u32| platform.helper(id).map(|h| format!("bpf_{}", h.name));
        let mut listing = Listing::new(&self.code)
            .plain()
            .helpers(&helper)
            .label(0, "main");
        for (name, start) in &self.subprogs {
            listing = listing.label(*start, name.clone());
        }
        let mut text = listing.label_targets().to_string();
        if let Some((first, _)) = self.subprogs.first() {
            text = text.replace(&format!("{first}:\n"), &format!(".text\n{first}:\n"));
        }
        for (i, m) in names.iter().enumerate() {
            text = text.replace(&format!("map[idx:{i}]"), &format!("map {}", m.name));
        }
        for (i, name) in structures::KFUNCS.iter().enumerate() {
            text = text.replace(&format!("call kfunc[{i}, 0]"), &format!("call {name}"));
        }
        out + &text
    }
}

pub(crate) fn reg(n: usize) -> Reg {
    Reg::new(n as u8).expect("a register")
}
