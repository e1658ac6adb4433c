//! Other engines → their figures, each asked in a process of its own: a line of JSON there, a line back.
//!
//! A process that does not answer in time is killed and a new one takes its place.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use probity_loader::kernel;

use super::row::{Engine, Other};
use crate::settings::Settings;

/// What one program is asked about.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct Question {
    pub path: PathBuf,
    /// Index into the object's programs.
    pub index: usize,
    pub runs: usize,
    pub prog_type: Option<u32>,
    pub settings: Settings,
}

/// An engine in a process that answers.
pub struct Asked {
    engine: Engine,
    /// For one program.
    limit: Duration,
    group: Option<kernel::Group>,
    worker: Option<Worker>,
}

struct Worker {
    child: Child,
    to: ChildStdin,
    from: Receiver<String>,
}

impl Asked {
    /// An error says why it cannot be asked here at all.
    pub fn new(engine: Engine, limit: Duration) -> Result<Asked> {
        let mut group = None;
        match engine {
            Engine::Linux => {
                if let Err(why) = kernel::available() {
                    bail!("Linux cannot be asked here: {why}; it takes root");
                }
                match kernel::Group::make() {
                    Ok(made) => group = Some(made),
                    Err(why) => crate::output::warning(format_args!(
                        "what Linux takes of memory cannot be told: {why}"
                    )),
                }
            }
            Engine::Prevail if cfg!(feature = "prevail") => {}
            Engine::Prevail => bail!(
                "this probity was built without PREVAIL: cargo build --release -p probity-cli --features prevail"
            ),
        }
        Ok(Asked {
            engine,
            limit,
            group,
            worker: None,
        })
    }

    /// Its figures; a failure of its process is no verdict.
    pub fn ask(&mut self, question: &Question) -> Other {
        match self.answer(question) {
            Ok(other) => other,
            Err(error) => {
                self.end();
                Other {
                    why: format!("{error:#}"),
                    ..Other::default()
                }
            }
        }
    }

    fn answer(&mut self, question: &Question) -> Result<Other> {
        let worker = match &mut self.worker {
            Some(worker) => worker,
            none => none.insert(Worker::start(self.engine, self.group.as_ref())?),
        };
        let mut line = serde_json::to_string(question)?;
        line.push('\n');
        let sent = worker.to.write_all(line.as_bytes());
        sent.and_then(|()| worker.to.flush())
            .context("its process ended")?;
        match worker.from.recv_timeout(self.limit) {
            Ok(line) => serde_json::from_str(&line).context("its process answers nonsense"),
            Err(std::sync::mpsc::RecvTimeoutError::Timeout) => {
                bail!("no verdict in {} s", self.limit.as_secs_f64())
            }
            Err(_) => bail!("its process ended"),
        }
    }

    fn end(&mut self) {
        if let Some(mut worker) = self.worker.take() {
            let _ = worker.child.kill();
            let _ = worker.child.wait();
        }
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        self.end();
    }
}

impl Worker {
    fn start(engine: Engine, group: Option<&kernel::Group>) -> Result<Worker> {
        let program = std::env::current_exe().context("cannot find this program's file")?;
        let mut command = Command::new(program);
        command
            .args(["bench", "worker", engine.name()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        if let Some(group) = group {
            command.arg("--group").arg(group.path());
        }
        let mut child = command.spawn().context("cannot start a process for it")?;
        let (Some(to), Some(from)) = (child.stdin.take(), child.stdout.take()) else {
            bail!("a process without pipes");
        };
        let (send, receive) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(from).lines() {
                let Ok(line) = line else { break };
                if send.send(line).is_err() {
                    break;
                }
            }
        });
        Ok(Worker {
            child,
            to,
            from: receive,
        })
    }
}
