//! Objects → a row of figures a program, of ours and of the engines beside it, and what is made of the rows.
//!
//! `ours` measures in this process, `others` asks a process of its own for each other engine, so that one that hangs
//! or falls over takes nothing with it. A [`row::Row`] is all there is to a measurement: the tables, the plot and the
//! comparison of two runs are made of rows alone, and [`csv`] keeps them.

pub mod compare;
pub mod csv;
pub mod engines;
pub mod filter;
pub mod order;
pub mod others;
pub mod ours;
pub mod plot;
#[cfg(feature = "prevail")]
pub mod prevail;
pub mod report;
pub mod row;
pub mod summary;
pub mod table;

use std::time::Duration;

use probity_loader::kernel;
use probity_objfile::{Object, ProgType};

/// A program is measured no more often once that took so long.
pub const ENOUGH: Duration = Duration::from_secs(1);

/// Turns that Linux and ours take with a program. What slows a machine down for a while slows both then, and a ratio
/// of their times hardly knows.
pub const TURNS: usize = 3;

pub fn micros(time: Duration) -> f64 {
    time.as_nanos() as f64 / 1000.0
}

pub fn median(mut times: Vec<f64>) -> Option<f64> {
    times.sort_unstable_by(f64::total_cmp);
    let upper = times.get(times.len() / 2)?;
    Some(f64::midpoint(*upper, times[(times.len() - 1) / 2]))
}

/// Makes an object what every engine is asked about: with the kind of program asked for, and maps as small as the
/// kernel takes them where a loader would set their sizes.
pub fn complete(object: &mut Object, prog_type: Option<ProgType>) {
    for map in &mut object.maps {
        kernel::complete(map);
    }
    if prog_type.is_some() {
        for program in &mut object.programs {
            program.hook.prog_type = prog_type;
        }
    }
}
