//! Several loads of one program → the kernel's verdict, and what it says that it took.
//!
//! The figures are the kernel's own, from the end of its log. Its `verification time` ends before a program of one
//! function is compiled, but where there are several it compiles them first. Such a program, once accepted, is loaded
//! again with functions added that nothing calls: its instructions are verified as before, then the kernel finds that
//! calls nest too deeply, and stops. That time is without the compiler, and without the rewriting of instructions,
//! which the time of a program of one function includes.

use std::time::{Duration, Instant};

use probity_isa::RawInsn;

use super::load::{LOG_STATS, Load, is_no_verdict, telling, text};
use super::memory::Meter;
use super::types::FuncInfo;

/// The kernel's word on a program, and its figures.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Measured {
    /// `None`: it gave no verdict.
    pub accepted: Option<bool>,
    /// The line that tells why, where it did not accept.
    pub why: String,
    /// Microseconds of each load, and whether the machine was calm before and after.
    pub times_us: Vec<(u64, bool)>,
    /// Instructions visited.
    pub processed: Option<u64>,
    /// States stored in all, and held at most.
    pub states: Option<u64>,
    pub peak_states: Option<u64>,
    /// At most held of the kernel's memory during a load, without what was held before.
    pub memory_bytes: Option<u64>,
    /// The time includes the compiler's, of subprograms: it could not be measured without.
    pub compiled: bool,
}

/// Runs what takes as long as it says, once or again; was it calm at last?
pub type Calmly<'a> = dyn Fn(&mut dyn FnMut() -> Duration) -> bool + 'a;

impl Measured {
    pub fn none(why: impl Into<String>) -> Measured {
        Measured {
            why: why.into(),
            ..Measured::default()
        }
    }
}

impl Load<'_> {
    /// Loads the program up to `runs` times, and no more once that took `enough`. `calmly` runs a load, again where the
    /// machine was disturbed and there is time for it, and says whether it was calm at last.
    pub fn measured(
        &self,
        runs: usize,
        enough: Duration,
        meter: Option<&Meter>,
        calmly: &Calmly<'_>,
    ) -> Measured {
        let mut measured = Measured::default();
        let mut times = Vec::new();
        let start = Instant::now();
        for run in 0..runs.max(1) {
            if run > 0 && start.elapsed() > enough {
                break;
            }
            let before = meter.and_then(Meter::start);
            let (result, calm) = self.calm_attempt(calmly);
            if let (Some(meter), Some(before)) = (meter, before) {
                let peak = meter.peak(&before);
                measured.memory_bytes = measured.memory_bytes.max(peak);
            }
            let log = match result {
                Ok(log) => {
                    measured.accepted = Some(true);
                    log
                }
                Err((errno, log)) if is_no_verdict(errno, &log) => {
                    return Measured::none(text(errno));
                }
                Err((_, log)) if telling(&log).is_none() && !self.kind_exists() => {
                    let kind = self.kind.0;
                    return Measured::none(format!("the kernel takes no programs of kind {kind}"));
                }
                Err((errno, log)) => {
                    measured.accepted = Some(false);
                    measured.why = telling(&log).map_or_else(|| text(errno), str::to_owned);
                    log
                }
            };
            let figures = Figures::of(&log);
            times.extend(figures.time_us.map(|us| (us, calm)));
            measured.processed = figures.processed;
            measured.states = figures.states;
            measured.peak_states = figures.peak_states;
        }
        if measured.accepted == Some(true) && self.has_subprograms() && compiler_is_on() {
            match self.without_compiler(runs, enough, measured.processed, calmly) {
                Some(net) => times = net,
                None => measured.compiled = true,
            }
        }
        measured.times_us = times;
        measured
    }

    fn calm_attempt(&self, calmly: &Calmly<'_>) -> (Result<String, (i32, String)>, bool) {
        let mut result = Err((0, String::new()));
        let calm = calmly(&mut || {
            let start = Instant::now();
            result = self.attempt(LOG_STATS);
            start.elapsed()
        });
        (result, calm)
    }

    fn has_subprograms(&self) -> bool {
        let other = |i: &RawInsn| {
            (i.opcode == CALL && i.src == CALL_SUBPROGRAM)
                || (i.opcode == LOAD && i.src == FUNCTION)
        };
        self.insns.iter().any(other)
    }

    /// Times of loads that end where the compiler would begin. `None` where that does not come about, or the kernel
    /// visits so many more or fewer instructions that this is not the same work.
    fn without_compiler(
        &self,
        runs: usize,
        enough: Duration,
        processed: Option<u64>,
        calmly: &Calmly<'_>,
    ) -> Option<Vec<(u64, bool)>> {
        let processed = processed?;
        let (insns, funcs) = too_deep(self.insns, self.funcs, self.idle?)?;
        let load = Load {
            insns: &insns,
            funcs: &funcs,
            lines: &[],
            ..*self
        };
        let mut times = Vec::new();
        let start = Instant::now();
        while times.len() < runs.max(1) && (times.is_empty() || start.elapsed() < enough) {
            let (result, calm) = load.calm_attempt(calmly);
            let (_, log) = result.err()?;
            let figures = Figures::of(&log);
            let visited = figures.processed?;
            let slack = 1 + processed / SLACK;
            if visited.abs_diff(processed + 1) > slack {
                return None;
            }
            times.push((figures.time_us?, calm));
        }
        Some(times)
    }
}

const CALL: u8 = 0x85;
const EXIT: u8 = 0x95;
/// Of 64 bits that follow, in two slots.
const LOAD: u8 = 0x18;
/// Of a call: its source register says what is called. Of a load: what is loaded.
const CALL_SUBPROGRAM: u8 = 1;
const FUNCTION: u8 = 4;
/// One function more than may call one another.
const TOO_MANY: usize = 8;
/// One instruction more shifts where the kernel keeps states; the difference may be a part of the whole as large as that.
const SLACK: u64 = 50;

/// The program with a chain of functions behind it, each calling the next, and a pointer to the first loaded in front:
/// no branch, so that the verifier goes where it went.
fn too_deep(
    insns: &[RawInsn],
    funcs: &[FuncInfo],
    idle: u32,
) -> Option<(Vec<RawInsn>, Vec<FuncInfo>)> {
    const FRONT: usize = 2;
    if funcs.is_empty() {
        return None;
    }
    let of_function = |opcode: u8, src: u8, imm: i32| RawInsn {
        opcode,
        src,
        imm,
        ..RawInsn::default()
    };
    // Counted from the next slot.
    let first = i32::try_from(insns.len() + 1).ok()?;
    let mut longer = vec![of_function(LOAD, FUNCTION, first), RawInsn::default()];
    longer.extend_from_slice(insns);
    let mut all: Vec<FuncInfo> = funcs
        .iter()
        .map(|&[start, ty]| [if start == 0 { 0 } else { start + FRONT as u32 }, ty])
        .collect();
    for n in 0..TOO_MANY {
        all.push([u32::try_from(longer.len()).ok()?, idle]);
        if n + 1 < TOO_MANY {
            longer.push(of_function(CALL, CALL_SUBPROGRAM, 1));
        } else {
            longer.push(of_function(0xb7, 0, 0));
        }
        longer.push(of_function(EXIT, 0, 0));
    }
    Some((longer, all))
}

/// What ends a log that was asked for statistics.
#[derive(Debug, PartialEq, Eq)]
struct Figures {
    time_us: Option<u64>,
    processed: Option<u64>,
    states: Option<u64>,
    peak_states: Option<u64>,
}

impl Figures {
    fn of(log: &str) -> Figures {
        let line = |start: &str| log.lines().rev().find_map(|l| l.strip_prefix(start));
        let first = |rest: &str| rest.split_whitespace().next()?.parse().ok();
        let totals = line("processed ");
        let named = |name: &str| {
            let mut words = totals?.split_whitespace();
            words.find(|w| *w == name)?;
            words.next()?.parse().ok()
        };
        Figures {
            time_us: line("verification time ").and_then(first),
            processed: totals.and_then(first),
            states: named("total_states"),
            peak_states: named("peak_states"),
        }
    }
}

/// Does the kernel compile what it loads?
fn compiler_is_on() -> bool {
    std::fs::read_to_string("/proc/sys/net/core/bpf_jit_enable").map_or(true, |t| t.trim() != "0")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_of_a_log() {
        let log = "verification time 117 usec\nstack depth 8+0\nprocessed 43 insns (limit 1000000) \
                   max_states_per_insn 1 total_states 7 peak_states 6 mark_read 2\n";
        let figures = Figures::of(log);
        assert_eq!(
            figures,
            Figures {
                time_us: Some(117),
                processed: Some(43),
                states: Some(7),
                peak_states: Some(6)
            }
        );
        assert_eq!(Figures::of("").processed, None);
    }

    #[test]
    fn added_functions_call_one_another() {
        let exit = RawInsn {
            opcode: EXIT,
            ..RawInsn::default()
        };
        let program = [exit; 3];
        let (insns, funcs) = too_deep(&program, &[[0, 7], [2, 8]], 9).expect("functions");
        // The pointer is counted from the second slot's end, where the first added function is.
        let [first, second] = [insns[0], insns[1]];
        assert_eq!(
            (first.opcode, first.src, second),
            (LOAD, FUNCTION, RawInsn::default())
        );
        let at = first.imm as usize + 1;
        assert_eq!(at, 2 + program.len());
        assert_eq!(funcs[..3], [[0, 7], [4, 8], [at as u32, 9]]);
        assert_eq!(funcs.len(), 2 + TOO_MANY);
        for n in 0..TOO_MANY - 1 {
            let call = insns[at + 2 * n];
            let next = at + 2 * n + 1 + call.imm as usize;
            assert_eq!(
                (call.opcode, call.src, next),
                (CALL, CALL_SUBPROGRAM, at + 2 * n + 2)
            );
        }
        assert!(too_deep(&program, &[], 9).is_none());
    }
}
