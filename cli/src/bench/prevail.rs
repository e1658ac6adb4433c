//! An object's program → PREVAIL's opinion, and what it takes.

use std::path::Path;
use std::time::{Duration, Instant};

use prevail::crab::ebpf_domain::DomainContext;
use prevail::crab::var_registry::VariableRegistry;
use prevail::ir::program::Program;
use prevail::ir::unmarshal;
use prevail::linux::linux_platform::LinuxPlatform;
use prevail::spec::config::EbpfVerifierOptions;
use prevail::{elf_loader, fwd_analyzer};

use super::row::Other;
use crate::ALLOCATOR;

/// Its figures on the program of that section and name: the median of up to `runs` runs, of fewer once they took `enough`.
/// Termination is checked, as ours is. It counts neither instructions nor states. Memory is counted as ours is.
pub fn measure(
    path: &Path,
    section: &str,
    name: &str,
    runs: usize,
    enough: Duration,
) -> Result<Other, String> {
    let mut options = EbpfVerifierOptions::default();
    options.runtime.check_for_termination = true;
    let mut platform = LinuxPlatform::new();
    let path = path.to_string_lossy();
    let programs = elf_loader::read_elf_file(&path, section, "", &options, &mut platform)
        .map_err(|e| format!("{e:?}"))?;
    let raw = programs
        .into_iter()
        .find(|p| p.function_name == name)
        .ok_or_else(|| format!("it finds no program `{name}`"))?;
    platform.map_descriptors = raw.info.map_descriptors.clone();
    platform.set_program_type(&raw.info.program_type);
    let opinion = || {
        let mut info = raw.info.clone();
        let mut notes = Vec::new();
        let start = Instant::now();
        let insns = unmarshal::unmarshal(&raw.prog, &mut notes, &info, &platform, &options)
            .map_err(|e| format!("{e:?}"))?;
        let program = Program::from_sequence(&insns, &mut info, &platform, &options)
            .map_err(|e| format!("{e:?}"))?;
        let context = DomainContext {
            program_info: &info,
            program: &program,
            runtime: &options.runtime,
            options: &options,
            platform: &platform,
        };
        let mut registry = VariableRegistry::new();
        let failed = fwd_analyzer::analyze(&program, &context, &mut registry).failed;
        Ok::<_, String>((!failed, start.elapsed()))
    };
    let (first, memory) = ALLOCATOR.peak_of(opinion);
    let (accepts, took) = first?;
    let mut times = vec![took];
    let start = Instant::now();
    // The first run is counted only where there is time for no other.
    while times.len() <= runs && took + start.elapsed() < enough {
        times.push(opinion()?.1);
    }
    if times.len() > 1 {
        times.remove(0);
    }
    times.sort_unstable();
    let middle = (times[times.len() / 2] + times[(times.len() - 1) / 2]) / 2;
    Ok(Other {
        verdict: Some(if accepts { "accept" } else { "reject" }.into()),
        time_us: Some(super::micros(middle)),
        memory_bytes: Some(memory as u64),
        ..Other::default()
    })
}
