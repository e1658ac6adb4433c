//! `dw_ustack` at work: the tables of the processes that a script meets, written where its programs look.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use object::Object as _;
use probity_loader::{MapHandle, Session};
use probity_platform::Policy;
use probity_script::{Environment, NoFunctions, Script, unwind};

use super::host::LiveHost;
use super::places;
use super::unwind::Tables;
use crate::{input, kernel, output};

/// Bytes of all tables together, which the kernel keeps.
const MOST_BYTES: usize = 512 << 20;

/// The maps of a script that uses `dw_ustack`, and what goes into them.
pub struct Unwinding {
    tables: Tables,
    rows: MapHandle,
    wanted: MapHandle,
    host: Arc<LiveHost>,
    /// Bytes of the table of each process.
    sizes: BTreeMap<u32, usize>,
    /// Said once.
    refused: bool,
}

impl Unwinding {
    /// `None` when the script does not use it.
    pub fn of(session: &Session, host: &Arc<LiveHost>) -> Result<Option<Unwinding>> {
        if !session.maps().any(|m| m.name == Script::UNWIND) {
            return Ok(None);
        }
        Ok(Some(Unwinding {
            tables: Tables::default(),
            rows: session.map(Script::UNWIND)?,
            wanted: session.map(Script::UNWIND_WANTED)?,
            host: host.clone(),
            sizes: BTreeMap::new(),
            refused: false,
        }))
    }

    /// Writes the table of a process, when it is not there as it should be.
    pub fn write(&mut self, pid: u32) {
        let Some((table, maps)) = self.tables.table(pid) else {
            return;
        };
        self.host.remember(pid, maps);
        let kept = |sizes: &BTreeMap<u32, usize>| sizes.values().sum::<usize>();
        self.sizes.remove(&pid);
        if kept(&self.sizes) + table.len() > MOST_BYTES {
            self.forget_ended();
        }
        let room = kept(&self.sizes) + table.len() <= MOST_BYTES;
        let put = |rows: &MapHandle| rows.put_array(&pid.to_ne_bytes(), unwind::BYTES, &table);
        let done = match room {
            true => put(&self.rows).or_else(|_| {
                // There may be no entry left.
                self.forget_ended();
                put(&self.rows)
            }),
            false => Ok(()),
        };
        let why = match (room, done) {
            (true, Ok(())) => {
                self.sizes.insert(pid, table.len());
                return;
            }
            (true, Err(error)) => error.to_string(),
            (false, _) => {
                "the tables of so many processes take too much memory; trace fewer (-p)".into()
            }
        };
        if !std::mem::replace(&mut self.refused, true) {
            output::warning(format_args!("dw_ustack: {why}"));
        }
    }

    /// Processes that are gone need no table.
    fn forget_ended(&mut self) {
        let (rows, sizes) = (&self.rows, &mut self.sizes);
        sizes.retain(|pid, _| {
            let runs = Path::new(&format!("/proc/{pid}")).exists();
            if !runs {
                let _ = rows.delete(&pid.to_ne_bytes());
            }
            runs
        });
    }

    /// Does what programs asked for since the last time.
    pub fn serve(&mut self) {
        for key in self.wanted.keys().unwrap_or_default() {
            if let Ok(pid) = <[u8; 4]>::try_from(&key[..]).map(u32::from_ne_bytes) {
                self.write(pid);
            }
            let _ = self.wanted.delete(&key);
        }
    }
}

/// What stops a process when the program that it becomes begins to run: its libraries are in memory then.
/// `None` for what is no program of its own, such as a script.
pub fn stop_at_entry(program: &str, pid: u32) -> Result<Option<Session>> {
    let bytes = input::read(Path::new(program))?;
    let Ok(file) = object::File::parse(&*bytes) else {
        return Ok(None);
    };
    let text = format!("uprobe:{program}:{:#x} {{ signal(19) }}", file.entry());
    let tracefs = super::machine::Tracefs::new();
    let mut env = Environment::new(&tracefs, &NoFunctions);
    env.allow_unsafe = true;
    env.pid_filter = Some(pid);
    let script = probity_script::compile_text(&text, "entry", &env)
        .ok()
        .with_context(|| format!("{program} cannot be stopped where it begins"))?;
    let (policy, options) = (Policy::default(), Default::default());
    let report =
        probity_verifier::verify(&script.object, &kernel::platform(None), &policy, &options)?;
    let Ok(verified) = report.into_verified() else {
        bail!("{program} cannot be stopped where it begins");
    };
    let mut session = Session::load(&verified)?;
    for (program, place) in places::all(&script.probes, None)? {
        session.attach(&program, &place)?;
    }
    Ok(Some(session))
}
