//! Timers and counters: perf events.

use aya::programs::perf_event::{
    HardwareEvent, PerfEventConfig, PerfEventScope, SamplePolicy, SoftwareEvent,
};
use aya::programs::{PerfEvent, Program};
use aya::util::online_cpus;

use super::{Event, Link, text, typed};

pub(super) fn attach(
    program: &mut Program,
    event: Event,
    cpu: Option<u32>,
) -> Result<Vec<Link>, String> {
    let p: &mut PerfEvent = typed(program)?;
    let cpus = match cpu {
        Some(cpu) => vec![cpu],
        None => online_cpus().map_err(|(what, e)| format!("{what}: {e}"))?,
    };
    let mut links: Vec<Link> = Vec::new();
    for cpu in cpus {
        let (config, policy) = match event {
            Event::Hertz(n) => (
                PerfEventConfig::Software(SoftwareEvent::CpuClock),
                SamplePolicy::Frequency(n),
            ),
            Event::Nanoseconds(n) => (
                PerfEventConfig::Software(SoftwareEvent::CpuClock),
                SamplePolicy::Period(n),
            ),
            Event::Software { config, period } => (
                PerfEventConfig::Software(software(config)?),
                SamplePolicy::Period(period),
            ),
            Event::Hardware { config, period } => (
                PerfEventConfig::Hardware(hardware(config)?),
                SamplePolicy::Period(period),
            ),
        };
        let id = p
            .attach(
                config,
                PerfEventScope::AllProcessesOneCpu { cpu },
                policy,
                false,
            )
            .map_err(text)?;
        links.push(Box::new(p.take_link(id).map_err(text)?));
    }
    Ok(links)
}

fn software(config: u64) -> Result<SoftwareEvent, String> {
    use SoftwareEvent::*;
    [
        CpuClock,
        TaskClock,
        PageFaults,
        ContextSwitches,
        CpuMigrations,
        PageFaultsMin,
        PageFaultsMaj,
        AlignmentFaults,
        EmulationFaults,
        Dummy,
    ]
    .into_iter()
    .find(|&e| e as u64 == config)
    .ok_or_else(|| format!("no software event {config}"))
}

fn hardware(config: u64) -> Result<HardwareEvent, String> {
    use HardwareEvent::*;
    [
        CpuCycles,
        Instructions,
        CacheReferences,
        CacheMisses,
        BranchInstructions,
        BranchMisses,
        BusCycles,
        StalledCyclesFrontend,
        StalledCyclesBackend,
        RefCpuCycles,
    ]
    .into_iter()
    .find(|&e| e as u64 == config)
    .ok_or_else(|| format!("no hardware event {config}"))
}
