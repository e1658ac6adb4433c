//! A script's life in process: begin probes, records, timers a few times, end probes, maps.

#[path = "files.rs"]
pub mod files;

use std::collections::HashMap;
use std::sync::Arc;

use probity_interp::Interp;
use probity_platform::Policy;
use probity_runtime::{Context, Engine, Instance, Options, Sample};
use probity_script::{
    Action, Environment, Format, FormatTable, Losses, MapReader, NoFunctions, ProbeKind, Script,
};
use probity_verifier::Verdict;

pub struct Run {
    pub text: String,
    pub status: Option<i32>,
    pub losses: Losses,
}

/// A tracepoint's record.
pub struct Record {
    pub category: &'static str,
    pub name: &'static str,
    pub bytes: Vec<u8>,
}

const SWITCH: &str = "name: sched_switch\nID: 1\nformat:\n\
    field:unsigned short common_type; offset:0; size:2; signed:0;\n\
    field:char prev_comm[16]; offset:8; size:16; signed:0;\n\
    field:pid_t prev_pid; offset:24; size:4; signed:1;\n\
    field:int prev_prio; offset:28; size:4; signed:1;\n\
    field:long prev_state; offset:32; size:8; signed:1;\n\
    field:char next_comm[16]; offset:40; size:16; signed:0;\n\
    field:pid_t next_pid; offset:56; size:4; signed:1;\n\
    field:int next_prio; offset:60; size:4; signed:1;\n";

const EXEC: &str = "name: sched_process_exec\nID: 2\nformat:\n\
    field:__data_loc char[] filename; offset:8; size:4; signed:0;\n\
    field:pid_t pid; offset:12; size:4; signed:1;\n\
    field:pid_t old_pid; offset:16; size:4; signed:1;\n";

pub fn formats() -> FormatTable {
    let mut t = FormatTable::new();
    for text in [SWITCH, EXEC] {
        t.insert("sched", Format::parse(text).expect("a format"));
    }
    t
}

pub fn switch() -> Record {
    let mut bytes = vec![0u8; 64];
    bytes[8..13].copy_from_slice(b"alpha");
    bytes[24..28].copy_from_slice(&1u32.to_le_bytes());
    bytes[28..32].copy_from_slice(&120u32.to_le_bytes());
    bytes[40..44].copy_from_slice(b"beta");
    bytes[56..60].copy_from_slice(&2u32.to_le_bytes());
    Record {
        category: "sched",
        name: "sched_switch",
        bytes,
    }
}

pub fn exec(file: &str) -> Record {
    let mut bytes = vec![0u8; 20];
    let word = 20 | (file.len() as u32 + 1) << 16;
    bytes[8..12].copy_from_slice(&word.to_le_bytes());
    bytes.extend(file.bytes());
    bytes.push(0);
    Record {
        category: "sched",
        name: "sched_process_exec",
        bytes,
    }
}

pub fn sample(pid: u64, tid: u64, comm: &str) -> Sample {
    let mut s = Sample {
        monotonic_ns: 1000,
        boot_ns: 1000,
        pid_tgid: pid << 32 | tid,
        ..Sample::default()
    };
    s.set_comm(comm.as_bytes());
    s
}

struct Maps<'a>(&'a Instance);

impl MapReader for Maps<'_> {
    fn entries(&self, map: &str) -> Vec<(Vec<u8>, Vec<Vec<u8>>)> {
        let Some(m) = self.0.map_by_name(map) else {
            return Vec::new();
        };
        m.keys()
            .into_iter()
            .filter_map(|k| {
                let cells = if m.is_percpu() {
                    m.lookup_percpu(&k)?
                } else {
                    vec![m.lookup(&k)?]
                };
                Some((k, cells))
            })
            .collect()
    }

    fn delete(&self, map: &str, key: &[u8]) {
        if let Some(m) = self.0.map_by_name(map) {
            let _ = m.delete(key);
        }
    }

    fn update(&self, map: &str, key: &[u8], cells: &[Vec<u8>]) {
        let Some(m) = self.0.map_by_name(map) else {
            return;
        };
        if m.is_percpu() {
            let cells: Vec<&[u8]> = cells.iter().map(Vec::as_slice).collect();
            let _ = m.update_percpu(key, &cells, 0);
        } else if let Some(c) = cells.first() {
            let _ = m.update(key, c, 0);
        }
    }
}

/// Compiles and verifies; the error says which did not work, and why.
pub fn compile(text: &str) -> Result<(Script, Arc<Instance>), String> {
    let formats = formats();
    let env = Environment::new(&formats, &NoFunctions);
    let script = files::compile(text, "stdin", &env).map_err(|e| e.to_string())?;
    let platform = Arc::new(probity_runtime::platform(None));
    let report = probity_verifier::verify(
        &script.object,
        &platform,
        &Policy::default(),
        &probity_verifier::Options::default(),
    )
    .map_err(|e| e.to_string())?;
    let verified = report.into_verified().map_err(|r| {
        let mut text = String::new();
        for p in &r.programs {
            if let Verdict::Reject(why) = &p.verdict {
                text.push_str(&format!("{}: {why}\n", p.name));
            }
        }
        text
    })?;
    let instance =
        Instance::new(Arc::new(verified), Options::default()).map_err(|e| e.to_string())?;
    Ok((script, Arc::new(instance)))
}

pub fn run(text: &str, records: &[(Record, Sample)]) -> Result<Run, String> {
    let (mut script, instance) = compile(text)?;
    let engine = Interp::new(instance.clone()).with_limit(10_000_000);
    let mut out = Vec::new();
    let mut status = None;
    let names: HashMap<String, usize> = instance
        .programs()
        .iter()
        .enumerate()
        .map(|(n, p)| (p.name().to_owned(), n))
        .collect();
    let probes = script.probes.clone();
    let mut call = |program: &str,
                    mut ctx: Context,
                    s: Sample,
                    out: &mut Vec<u8>|
     -> Result<Option<i32>, String> {
        ctx.set_env(Some(Arc::new(s)));
        let n = names.get(program).ok_or("no such program")?;
        engine
            .call(*n, &mut ctx, 0)
            .map_err(|f| format!("{program}: {f}"))?;
        let mut status = None;
        let mut pending = Vec::new();
        if let Some(ring) = instance.map_by_name(Script::EVENTS).and_then(|m| m.ring()) {
            ring.consume(|r| {
                pending.push(r.to_vec());
                true
            });
        }
        for r in pending {
            if status.is_some() {
                break;
            }
            if let Action::Exit(n) = script.printer.record(&r, &Maps(&instance), out) {
                status = Some(n);
            }
        }
        Ok(status)
    };
    let started = || Sample {
        boot_ns: 500,
        monotonic_ns: 500,
        ..sample(1, 1, "worker")
    };
    for p in probes.iter().filter(|p| p.kind == ProbeKind::Begin) {
        if status.is_none() {
            status = call(
                &p.program,
                Context::words(&[0; 12]).map_err(|e| e.to_string())?,
                started(),
                &mut out,
            )?;
        }
    }
    for _ in 0..10 {
        for p in probes
            .iter()
            .filter(|p| matches!(p.kind, ProbeKind::Interval(_)))
        {
            if status.is_none() {
                let ctx = Context::perf_event(&[0; 21], 0, 0).map_err(|e| e.to_string())?;
                status = call(&p.program, ctx, started(), &mut out)?;
            }
        }
    }
    for (r, s) in records {
        for p in &probes {
            let wanted = matches!(&p.kind, ProbeKind::Tracepoint { category, name } if category == r.category && name == r.name);
            if wanted && status.is_none() {
                let mut copy = Sample {
                    boot_ns: s.boot_ns,
                    monotonic_ns: s.monotonic_ns,
                    pid_tgid: s.pid_tgid,
                    comm: s.comm,
                    ..Sample::default()
                };
                copy.cpu = Some(0);
                let ctx = Context::tracepoint(&r.bytes).map_err(|e| e.to_string())?;
                status = call(&p.program, ctx, copy, &mut out)?;
            }
        }
    }
    for p in probes.iter().filter(|p| p.kind == ProbeKind::End) {
        let ended = call(
            &p.program,
            Context::words(&[0; 12]).map_err(|e| e.to_string())?,
            started(),
            &mut out,
        )?;
        status = status.or(ended);
    }
    let maps = Maps(&instance);
    script.printer.finish(&maps, &mut out);
    Ok(Run {
        text: String::from_utf8_lossy(&out).into_owned(),
        status,
        losses: script.printer.losses(&maps),
    })
}
