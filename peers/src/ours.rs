//! A verified program → the compiler's and the interpreter's function.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use probity_interp::Interp;
use probity_jit::{Cache, Jit};
use probity_objfile::ProgType;
use probity_runtime::{Context, Engine as _, Instance};

use crate::{Answer, Function, Prepared, Subject, Tools, clock, timed};

/// Compilations, of which the median counts.
const COMPILATIONS: usize = 15;
/// Runs of a batch that fills a ring buffer, which is emptied between batches.
const WITH_RING: u64 = 256;

pub fn jit(subject: &Subject, tools: &Tools) -> Prepared {
    let instance = instance(subject)?;
    let (jit, took) = timed(COMPILATIONS, &tools.gauge, || {
        Jit::new(instance.clone()).map_err(|e| e.to_string())
    })?;
    Ok((Box::new(Ours::new(jit, instance, subject)?), took))
}

/// What it takes when the code is in the cache.
pub fn second_start(subject: &Subject, tools: &Tools) -> Result<Duration, String> {
    let cache = Cache::open(tools.directory().join("cache")).map_err(|e| e.to_string())?;
    let instance = instance(subject)?;
    let options = probity_jit::Options::default();
    let start = || {
        let jit = Jit::with_cache(instance.clone(), &options, &cache);
        jit.map_err(|e| e.to_string())
    };
    start()?;
    let (jit, took) = timed(COMPILATIONS, &tools.gauge, start)?;
    match jit.from_cache() {
        true => Ok(took),
        false => Err("its code is not found in the cache".into()),
    }
}

pub fn interp(subject: &Subject, tools: &Tools) -> Prepared {
    let instance = instance(subject)?;
    let (interp, took) = timed(COMPILATIONS, &tools.gauge, || {
        Ok(Interp::new(instance.clone()))
    })?;
    Ok((Box::new(Ours::new(interp, instance, subject)?), took))
}

fn instance(subject: &Subject) -> Result<Arc<Instance>, String> {
    Instance::new(subject.verified.clone(), Default::default())
        .map(Arc::new)
        .map_err(|e| e.to_string())
}

/// What a program of that kind is called with.
fn context(kind: ProgType, input: &[u8], least: usize) -> Result<Context, String> {
    let made = match kind {
        ProgType::XDP => Context::xdp(input),
        ProgType::SCHED_CLS
        | ProgType::SCHED_ACT
        | ProgType::SOCKET_FILTER
        | ProgType::CGROUP_SKB => Context::skb(input),
        _ => {
            let mut bytes = input.to_vec();
            bytes.resize(bytes.len().max(least), 0);
            Context::bytes(&bytes)
        }
    };
    made.map_err(|e| e.to_string())
}

/// How an engine is entered, again and again.
trait Enter {
    fn once(&self, program: usize, context: &mut Context) -> Result<u64, String>;
    fn batch(&self, program: usize, context: &mut Context, runs: u64) -> Result<Duration, String>;
}

impl Enter for Interp {
    fn once(&self, program: usize, context: &mut Context) -> Result<u64, String> {
        let called = self.call(program, context, 0);
        called.map(|o| o.ret).map_err(|e| e.to_string())
    }

    fn batch(&self, program: usize, context: &mut Context, runs: u64) -> Result<Duration, String> {
        timed_calls(runs, || self.call(program, context, 0).is_ok())
    }
}

impl Enter for Jit {
    fn once(&self, program: usize, context: &mut Context) -> Result<u64, String> {
        let entry = self.entry(program, 0).map_err(|e| e.to_string())?;
        let called = entry.call(context);
        called.map(|o| o.ret).map_err(|e| e.to_string())
    }

    /// Through the handle that a host holds which calls often.
    fn batch(&self, program: usize, context: &mut Context, runs: u64) -> Result<Duration, String> {
        let entry = self.entry(program, 0).map_err(|e| e.to_string())?;
        timed_calls(runs, || match entry.call(black_box(context)) {
            Ok(outcome) => {
                black_box(outcome.ret);
                true
            }
            Err(_) => false,
        })
    }
}

#[inline(always)]
fn timed_calls(runs: u64, mut call: impl FnMut() -> bool) -> Result<Duration, String> {
    let mut good = true;
    let took = clock::batch(runs, || good &= call());
    match good {
        true => Ok(took),
        false => Err("a call failed".into()),
    }
}

struct Ours<E> {
    engine: E,
    instance: Arc<Instance>,
    program: usize,
    input: Vec<u8>,
    context: Context,
    rings: bool,
}

impl<E: Enter> Ours<E> {
    fn new(engine: E, instance: Arc<Instance>, subject: &Subject) -> Result<Ours<E>, String> {
        let program = &instance.programs()[subject.index];
        let kind = program.verified().prog_type();
        let context = context(kind, &subject.input, program.context_size())?;
        let used = |n: &usize| crate::uses_map(program.verified(), *n);
        let mut rings = (0..instance.maps().count()).filter(used);
        let is_ring = |n| instance.map(n).is_some_and(|m| m.ring().is_some());
        let rings = rings.any(is_ring);
        let mut ours = Ours {
            engine,
            instance,
            program: subject.index,
            input: subject.input.clone(),
            context,
            rings,
        };
        if let Some(setup) = subject.setup {
            ours.engine.once(setup, &mut ours.context)?;
        }
        Ok(ours)
    }

    fn empty_rings(&self) {
        for map in self.instance.maps() {
            if let Some(ring) = map.ring() {
                ring.consume(|_| true);
            }
        }
    }
}

impl<E: Enter> Function for Ours<E> {
    fn once(&mut self) -> Result<Answer, String> {
        match self.context.packet() {
            Some(_) => self.context.set_packet(&self.input),
            None => self.context.write(0, &self.input),
        }
        .map_err(|e| e.to_string())?;
        let ret = self.engine.once(self.program, &mut self.context)? as u32;
        self.empty_rings();
        let memory = self.context.packet().unwrap_or_else(|| self.context.read());
        Ok(Answer { ret, memory })
    }

    fn batch(&mut self, runs: u64) -> Result<Duration, String> {
        let took = self.engine.batch(self.program, &mut self.context, runs);
        if self.rings {
            self.empty_rings();
        }
        took
    }

    fn most(&self) -> u64 {
        if self.rings { WITH_RING } else { 1 << 30 }
    }
}
