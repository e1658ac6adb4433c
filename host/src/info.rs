//! A loaded extension → what a person or a command is told of it.

use std::sync::Arc;

use crate::description::HostDescription;
use crate::host::Loaded;
use crate::origin::Origin;
use crate::stats::Counters;

/// A loaded extension.
#[derive(Clone, Debug)]
pub struct ExtensionInfo {
    pub name: String,
    /// Counts replacements, from 1.
    pub generation: u64,
    pub priority: i32,
    pub enabled: bool,
    /// The package that it was in.
    pub origin: Option<Arc<Origin>>,
    /// Nobody signed it.
    pub tainted: bool,
    /// Its code was compiled earlier, and in the image that the host started with.
    pub from_image: bool,
    /// Functions that others may call, as C declares them.
    pub exports: Vec<String>,
    /// Extensions whose functions it calls.
    pub imports: Vec<String>,
    /// Extensions that depend on it.
    pub used_by: Vec<String>,
    pub programs: Vec<ProgramInfo>,
    pub maps: Vec<MapInfo>,
}

/// One of its programs, on one hook.
#[derive(Clone, Debug)]
pub struct ProgramInfo {
    pub name: String,
    pub hook: String,
    /// Instructions.
    pub insns: usize,
    /// Most that one run executes, where that is known.
    pub worst_case_insns: Option<u64>,
    /// Bytes.
    pub stack: usize,
    /// Over all generations.
    pub counters: Counters,
}

#[derive(Clone, Debug)]
pub struct MapInfo {
    pub name: String,
    /// `enum bpf_map_type`.
    pub kind: u32,
    /// `lru_hash`.
    pub kind_name: String,
    pub max_entries: usize,
    /// Bytes that it takes at most.
    pub bytes: u64,
}

impl ExtensionInfo {
    pub(crate) fn of(
        description: &HostDescription,
        loaded: &Loaded,
        used_by: Vec<String>,
    ) -> ExtensionInfo {
        let extension = &loaded.extension;
        let instance = extension.instance();
        let mut programs = Vec::new();
        for (n, hook) in description.hooks.iter().enumerate() {
            for p in extension.programs(n) {
                let verified = instance.programs()[p].verified();
                let key = (n, verified.name().to_string());
                let stats = loaded.stats.get(&key);
                programs.push(ProgramInfo {
                    hook: hook.name.clone(),
                    insns: verified.insns().len(),
                    worst_case_insns: verified.worst_case_insns(),
                    stack: verified.stats().stack_depth,
                    counters: stats.map(|s| s.counters()).unwrap_or_default(),
                    name: key.1,
                });
            }
        }
        let platform = instance.verified().platform();
        let kind_name = |kind: u32| match platform.map_kind(kind) {
            Some(row) => row.name.to_string(),
            None => kind.to_string(),
        };
        let maps = instance.maps().map(|m| MapInfo {
            name: m.name().to_string(),
            kind: m.kind(),
            kind_name: kind_name(m.kind()),
            max_entries: m.max_entries(),
            bytes: m.bytes(),
        });
        ExtensionInfo {
            name: extension.name.clone(),
            generation: extension.generation,
            priority: extension.priority,
            enabled: loaded.enabled,
            origin: loaded.how.origin.clone(),
            tainted: loaded.how.tainted,
            from_image: extension.jit.from_cache(),
            exports: extension
                .exports
                .iter()
                .map(|e| e.declaration.replacen(" (", &format!(" {}(", e.name), 1))
                .collect(),
            imports: extension.imports.iter().map(|i| i.name.clone()).collect(),
            used_by,
            programs,
            maps: maps.collect(),
        }
    }
}
