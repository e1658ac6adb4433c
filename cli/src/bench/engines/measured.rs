//! A program → its rows: every engine prepared, their answers compared, then all measured in turns.

use std::collections::BTreeMap;

use probity_peers::{Answer, AtMost, Engine, Ready, Settings, Subject, Times, Tools, agree, set};

use super::row::Row;
use super::subjects::Found;

/// What was found out on the way, besides the rows.
#[derive(Default)]
pub struct Remarks {
    /// Why an engine ran none of the programs that it was asked to.
    absent: BTreeMap<Engine, String>,
    ran: Vec<Engine>,
    /// Wrong answers and failures of others, in words.
    pub theirs: Vec<String>,
    /// The same of ours: a bug.
    pub ours: Vec<String>,
}

impl Remarks {
    /// Engines that are not there at all, by reason.
    pub fn absent(&self) -> Vec<(String, Vec<Engine>)> {
        let mut by_reason: BTreeMap<&str, Vec<Engine>> = BTreeMap::new();
        for (engine, why) in &self.absent {
            if !self.ran.contains(engine) {
                by_reason.entry(why).or_default().push(*engine);
            }
        }
        let by_reason = by_reason.into_iter();
        by_reason.map(|(why, e)| (why.to_string(), e)).collect()
    }

    fn wrong(&mut self, engine: Engine, program: &str, why: &str) {
        let text = format!("{engine}: {program}: {why}; it was not measured");
        match engine {
            Engine::Jit | Engine::Interp => self.ours.push(text),
            _ => self.theirs.push(text),
        }
    }
}

/// The rows of a program, in the order of engines. `empty` is the empty program.
pub fn rows(
    found: &Found,
    engines: &[Engine],
    empty: Option<&Subject>,
    tools: &Tools,
    settings: Settings,
    remarks: &mut Remarks,
) -> Vec<Row> {
    let subject = &found.subject;
    let mut ready: Vec<Ready> = Vec::new();
    let mut expected: Option<Answer> = None;
    for &engine in engines {
        if engine.wants_source() && subject.source.is_none() {
            continue;
        }
        let mut made = match probity_peers::prepare(engine, subject, tools) {
            Ok(made) => made,
            Err(why) => {
                // What another cannot run is known once it ran something else.
                remarks.absent.entry(engine).or_insert(why);
                continue;
            }
        };
        let answer = made.function.once();
        let right = answer.and_then(|answer| match &expected {
            Some(expected) => agree(expected, &answer),
            None => {
                expected = Some(answer);
                Ok(())
            }
        });
        match right {
            Ok(()) => ready.push(made),
            Err(why) => remarks.wrong(engine, &subject.name, &why),
        }
    }
    let measured = ready.len();
    let linux = ready.iter().find(|r| r.engine == Engine::Linux);
    if let (Some(linux), Some(empty)) = (linux, empty) {
        // What a batch costs as a whole weighs as much on both.
        let most = linux.function.most();
        let frame = [Engine::Linux, Engine::Jit].map(|e| probity_peers::prepare(e, empty, tools));
        if let [Ok(mut there), Ok(here)] = frame {
            there.function = Box::new(AtMost(there.function, most));
            ready.extend([there, here]);
        }
    }
    let mut times = probity_peers::measure(&mut ready, settings, &tools.gauge);
    let frame = match times.split_off(measured)[..] {
        [Ok(there), Ok(here)] => Some(there.over(here)),
        _ => None,
    };
    ready.truncate(measured);
    let mut rows = Vec::new();
    for (made, times) in ready.iter_mut().zip(&times) {
        let times = match times {
            Ok(times) => *times,
            Err(why) => {
                remarks.wrong(made.engine, &subject.name, why);
                continue;
            }
        };
        // The program is one of memory alone: it must still give the same.
        if let (true, Some(expected)) = (subject.source.is_some(), &expected) {
            let still = made.function.once().and_then(|a| agree(expected, &a));
            if let Err(why) = still {
                remarks.wrong(made.engine, &subject.name, &why);
                continue;
            }
        }
        remarks.ran.push(made.engine);
        rows.push(row(found, made, times, frame));
    }
    let ns = |rows: &[Row], engine| {
        let row = rows.iter().find(|r: &&Row| r.engine == engine);
        row.map(|r| r.ns).filter(|ns| *ns > 0.0)
    };
    let (native, scalar) = (ns(&rows, Engine::Native), ns(&rows, Engine::Scalar));
    for row in &mut rows {
        row.ratio_native = native.map(|n| row.ns / n);
        row.ratio_scalar = scalar.map(|n| row.ns / n);
    }
    rows
}

fn row(found: &Found, made: &Ready, times: Times, frame: Option<Times>) -> Row {
    let ours = matches!(made.engine, Engine::Jit | Engine::Interp);
    let is_linux = made.engine == Engine::Linux;
    let net = match frame.filter(|_| is_linux) {
        Some(frame) => times.over(frame),
        None => times,
    };
    Row {
        program: found.subject.name.clone(),
        engine: made.engine,
        ns: net.median,
        least_ns: net.least,
        gross_ns: is_linux.then_some(times.median),
        compile_us: made.compile_us,
        cached_us: made.cached_us,
        verify_us: ours.then_some(found.verify_us),
        ratio_native: None,
        ratio_scalar: None,
        operations: set::operations(&found.subject.name).filter(|_| found.shipped),
        insns: found.insns,
    }
}
