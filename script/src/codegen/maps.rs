//! Which maps the object has, and how a script's maps are laid out in them.

use probity_objfile::{DataKind, DataSection, Map};

use crate::check::Result_ as CheckedScript;
use crate::config::Config;
use crate::hir::{Glob, MapDef, MapKind};
use crate::types::{Agg, Ty};

use super::globals;
use super::unwind::{FRAMES, rows};

/// `enum bpf_map_type`.
const HASH: u32 = 1;
const ARRAY: u32 = 2;
const PERCPU_HASH: u32 = 5;
const PERCPU_ARRAY: u32 = 6;
const STACK_TRACE: u32 = 7;
const LRU_HASH: u32 = 9;
const LRU_PERCPU_HASH: u32 = 10;
const RINGBUF: u32 = 27;

pub(crate) const EVENTS: &str = "__events";
pub(crate) const GLOBALS: &str = ".bss";
/// By process: how frames follow each other, in an array of the process's own.
pub(crate) const UNWIND: &str = "__unwind";
/// Processes that run code of which their tables say nothing.
pub(crate) const UNWIND_WANTED: &str = "__unwind_wanted";
/// Stacks that were found by tables, by their hash.
pub(crate) const UNWOUND: &str = "__unwound";
const HASH_OF_MAPS: u32 = 13;
/// `BPF_F_NO_PREALLOC`, `BPF_F_INNER_MAP`: arrays of any length stand for each other.
const NO_PREALLOC: u32 = 1;
const INNER_MAP: u32 = 1 << 12;
const PROCESSES: u32 = 1024;
/// What patterns take, which nothing changes.
const PATTERNS: &str = ".rodata";
/// `BPF_F_RDONLY_PROG`.
const RDONLY_PROG: u32 = 1 << 7;
const SCRATCH: &str = "__scratch";
const STACK_ENTRIES: u32 = 16_384;

/// The object's maps, and where to find them.
#[derive(Debug)]
pub(crate) struct Layout {
    pub maps: Vec<Map>,
    pub events_index: u32,
    pub globals_index: u32,
    pub scratch_index: u32,
    /// By how many frames they keep.
    pub stacks: Vec<(u32, u32)>,
    pub patterns_index: u32,
    pub unwind_index: u32,
    pub unwound_index: u32,
    pub unwind_wanted_index: u32,
    /// The program being written.
    pub program: u32,
    /// The script's map `n` is the object's map `script_maps[n]`.
    pub script_maps: Vec<u32>,
}

/// A script's map in the object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// One value, addressed directly.
    Single,
    /// One cell a processor, key 0.
    PercpuSingle,
    /// One cell a processor for each bucket; the key is the bucket.
    PercpuBuckets,
    Hash,
    PercpuHash,
    /// The bucket is the last word of the key.
    PercpuHashBuckets,
}

pub(super) fn form(def: &MapDef) -> Form {
    let agg = match def.value {
        Ty::Agg(a) => Some(a),
        _ => None,
    };
    let buckets = agg.is_some_and(|a| a.buckets().is_some());
    match (def.keys.is_empty(), agg.is_some(), buckets) {
        (true, false, _) => Form::Single,
        (true, true, false) => Form::PercpuSingle,
        (true, true, true) => Form::PercpuBuckets,
        (false, false, _) => Form::Hash,
        (false, true, false) => Form::PercpuHash,
        (false, true, true) => Form::PercpuHashBuckets,
    }
}

/// The name of a script's map in the object: names of maps cannot begin with `@`.
/// The map of stacks of so many frames.
pub(crate) fn stacks_of(limit: u32) -> String {
    format!("__stacks_{limit}")
}

pub(crate) fn map_name(name: &str) -> String {
    format!("AT_{name}")
}

impl Layout {
    pub fn new(checked: &CheckedScript) -> Layout {
        let config = &checked.config;
        let mut maps = Vec::new();
        let mut script_maps = Vec::new();
        for def in &checked.hir.maps {
            script_maps.push(maps.len() as u32);
            maps.push(script_map(def, config));
        }
        let ring = (config.perf_rb_pages.next_power_of_two() * 4096).max(4096);
        let events_index = maps.len() as u32;
        maps.push(Map::new(EVENTS, RINGBUF, 0, 0, ring));
        let globals_index = maps.len() as u32;
        maps.push(global_data());
        // The kernel tells stacks apart by what is kept of them.
        let mut stacks = Vec::new();
        for limit in &checked.stacks {
            stacks.push((*limit, maps.len() as u32));
            let name = stacks_of(*limit);
            maps.push(Map::new(&name, STACK_TRACE, 4, limit * 8, STACK_ENTRIES));
        }
        let patterns_index = maps.len() as u32;
        if !checked.hir.patterns.is_empty() {
            maps.push(patterns(&checked.hir.patterns));
        }
        let unwind_index = maps.len() as u32;
        if checked.unwinds {
            maps.extend(unwinding());
        }
        Layout {
            scratch_index: maps.len() as u32,
            maps,
            events_index,
            globals_index,
            stacks,
            patterns_index,
            unwind_index,
            unwound_index: unwind_index + 1,
            unwind_wanted_index: unwind_index + 2,
            program: 0,
            script_maps,
        }
    }

    /// The map of stacks of so many frames.
    pub fn stacks(&self, limit: u32) -> u32 {
        let found = self.stacks.iter().find(|(l, _)| *l == limit);
        found.map_or(0, |(_, index)| *index)
    }

    /// A cell for each program: two programs never share one, however they interrupt each other.
    pub fn set_scratch(&mut self, bytes: u32, programs: u32) {
        if bytes > 0 {
            self.maps
                .push(Map::new(SCRATCH, PERCPU_ARRAY, 4, bytes, programs.max(1)));
        }
    }
}

/// Counters of the script itself, reached by address: a data section, as a compiler makes one.
fn global_data() -> Map {
    let mut map = Map::new(GLOBALS, ARRAY, 4, globals::BYTES, 1);
    map.data = Some(DataSection {
        kind: DataKind::Bss,
        section: GLOBALS.into(),
        bytes: vec![0; globals::BYTES as usize],
        datasec: None,
    });
    map
}

/// The tables of processes, and the stacks found by them.
fn unwinding() -> [Map; 3] {
    let mut rows = Map::new("rows", ARRAY, 4, rows::BYTES as u32, 1);
    rows.flags = INNER_MAP;
    let mut tables = Map::new(UNWIND, HASH_OF_MAPS, 4, 4, PROCESSES);
    tables.inner = Some(Box::new(rows));
    let mut stacks = Map::new(UNWOUND, HASH, 8, FRAMES * 8, STACK_ENTRIES);
    stacks.flags = NO_PREALLOC;
    let wanted = Map::new(UNWIND_WANTED, HASH, 4, 4, PROCESSES);
    [tables, stacks, wanted]
}

/// Where the table of a pattern begins in the data section of patterns.
pub(super) fn pattern_at(n: usize) -> u32 {
    n as u32 * 256 * 8
}

/// A table for each pattern: which of its items take a character.
fn patterns(all: &[Glob]) -> Map {
    let words = all.iter().flat_map(|g| g.takes.iter());
    let bytes: Vec<u8> = words.flat_map(|w| w.to_le_bytes()).collect();
    let mut map = Map::new(PATTERNS, ARRAY, 4, bytes.len() as u32, 1);
    map.flags = RDONLY_PROG;
    map.data = Some(DataSection {
        kind: DataKind::Rodata,
        section: PATTERNS.into(),
        bytes,
        datasec: None,
    });
    map
}

fn script_map(def: &MapDef, config: &Config) -> Map {
    let key: u32 = def.keys.iter().map(Ty::stored).sum();
    let value = def.value.stored().max(8);
    let name = map_name(&def.name);
    let entries = def.declared.map_or(config.max_map_keys, |(_, n)| n);
    let lru = matches!(
        def.declared,
        Some((MapKind::LruHash | MapKind::PercpuLruHash, _))
    );
    let hash = if lru { LRU_HASH } else { HASH };
    let percpu = if lru { LRU_PERCPU_HASH } else { PERCPU_HASH };
    let buckets = match def.value {
        Ty::Agg(a) => Agg::buckets(a).unwrap_or(1) as u32,
        _ => 1,
    };
    match form(def) {
        // Reached by address, so it is a data section, as compilers and libbpf have them.
        Form::Single => {
            let mut map = Map::new(&name, ARRAY, 4, value, 1);
            map.data = Some(DataSection {
                kind: DataKind::Data,
                section: format!(".data.{name}"),
                bytes: vec![0; value as usize],
                datasec: None,
            });
            map
        }
        Form::PercpuSingle => Map::new(&name, PERCPU_ARRAY, 4, value, 1),
        Form::PercpuBuckets => Map::new(&name, PERCPU_ARRAY, 4, value, buckets),
        Form::Hash => Map::new(&name, hash, key, value, entries),
        Form::PercpuHash => Map::new(&name, percpu, key, value, entries),
        Form::PercpuHashBuckets => Map::new(&name, percpu, key + 8, value, entries),
    }
}
