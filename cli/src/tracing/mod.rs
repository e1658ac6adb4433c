//! Scripts at work: in the running kernel ([`live`]) or over a recording ([`replay`]).

pub mod ahead;
pub mod bpftrace;
mod c_source;
mod captures;
pub mod container;
mod costs;
mod dwarf;
mod files;
pub mod filter;
pub mod gather;
pub mod host;
mod in_process;
pub mod live;
pub mod machine;
pub mod many;
mod places;
pub mod record;
pub mod replay;
mod sdt;
pub mod test;
mod unwind;
mod unwinding;

use std::io::Write;

use anyhow::Result;
use probity_script::{Action, MapReader, Printer};

use crate::output;
pub use captures::Captures;

/// Bytes that wait to be written at most.
const WRITE_AT: usize = 1 << 16;

/// Where a script's output goes, and what it may do.
pub struct Sink {
    pub out: Box<dyn Write>,
    /// Printed, and not written yet.
    pub pending: Vec<u8>,
    /// `system()` runs commands.
    pub allow_commands: bool,
    /// Without "Attached …" and the like.
    pub quiet: bool,
    pub json: bool,
    /// In the running kernel.
    pub live: bool,
    /// Addresses whose watchpoints are not wanted any more.
    pub unwatched: Vec<u64>,
    pub captures: Captures,
}

impl Sink {
    /// Prints one record; the exit status when the script asks to end.
    pub fn record(
        &mut self,
        printer: &mut Printer,
        bytes: &[u8],
        maps: &dyn MapReader,
    ) -> Result<Option<i32>> {
        let mut text = Vec::new();
        let action = printer.record(bytes, maps, &mut text);
        let mut status = None;
        match action {
            Action::Continue => {}
            Action::Exit(code) => status = Some(code),
            Action::Unwatch(address) => self.unwatched.push(address),
            Action::Packet(packet) => self.captures.write(&packet)?,
            Action::Cat(path) => match crate::input::read(path.as_ref()) {
                Ok(content) => printer.cat(&content, &mut text),
                Err(error) => output::warning(format_args!("cat: {error:#}")),
            },
            Action::System(command) if self.allow_commands => {
                // What was printed before must come before.
                self.write(&text)?;
                self.flush()?;
                text.clear();
                match std::process::Command::new("sh")
                    .arg("-c")
                    .arg(&command)
                    .output()
                {
                    Ok(done) => printer.system(&done.stdout, &mut text),
                    Err(error) => output::warning(format_args!("system: {error}")),
                }
            }
            Action::System(_) => output::warning("system() does nothing without --unsafe"),
        }
        self.write(&text)?;
        Ok(status)
    }

    /// Prints what is left at the end: maps, and what was lost.
    pub fn finish(&mut self, printer: &mut Printer, maps: &dyn MapReader) -> Result<()> {
        let mut text = Vec::new();
        // Ends the line that Ctrl-C or a `printf` began.
        if !self.json && self.live {
            text.push(b'\n');
        }
        printer.finish(maps, &mut text);
        self.captures.finish()?;
        self.write(&text)?;
        self.flush()?;
        let losses = printer.losses(maps);
        if losses.events > 0 {
            let mut text = Vec::new();
            printer.lost(losses.events, &mut text);
            self.remark(&text)?;
        }
        if losses.map_updates > 0 {
            output::warning(format_args!(
                "{} map updates failed: a map was full (config max_map_keys)",
                losses.map_updates
            ));
        }
        Ok(())
    }

    pub fn attached(&mut self, printer: &Printer, probes: usize) -> Result<()> {
        if self.quiet && !self.json {
            return Ok(());
        }
        let mut text = Vec::new();
        printer.attached(probes, &mut text);
        self.remark(&text)
    }

    /// Remarks are records in JSON; in text they are not part of the output.
    fn remark(&mut self, text: &[u8]) -> Result<()> {
        if self.json {
            self.write(text)?;
            return self.flush();
        }
        self.flush()?;
        std::io::stderr().write_all(text)?;
        Ok(())
    }

    fn write(&mut self, text: &[u8]) -> Result<()> {
        self.pending.extend_from_slice(text);
        if self.pending.len() >= WRITE_AT {
            self.flush()?;
        }
        Ok(())
    }

    /// Writes what was printed: after each look for records, not after each record.
    pub fn flush(&mut self) -> Result<()> {
        if !self.pending.is_empty() {
            self.out.write_all(&self.pending)?;
            self.pending.clear();
            self.out.flush()?;
        }
        Ok(())
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        // Errors that matter were seen where it was flushed in order.
        let _ = self.flush();
    }
}
