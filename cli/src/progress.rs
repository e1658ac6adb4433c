//! A line on standard error that says how far work on many things is.

use std::io::{IsTerminal, Write, stderr};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

const WIDTH: u64 = 30;
/// What is written over it at most, message and all.
const COLUMNS: usize = 79;
const EVERY: Duration = Duration::from_millis(60);

/// It is drawn over itself; nothing where nobody watches.
pub struct Progress {
    total: u64,
    shown: bool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    done: u64,
    message: String,
    drawn: Option<Instant>,
}

impl Progress {
    pub fn new(total: usize) -> Progress {
        Progress {
            total: total as u64,
            shown: stderr().is_terminal(),
            state: Mutex::default(),
        }
    }

    pub fn hidden() -> Progress {
        Progress {
            shown: false,
            ..Progress::new(0)
        }
    }

    /// What is worked on.
    pub fn set_message(&self, text: String) {
        let mut state = self.state();
        state.message = text;
        self.draw(&mut state);
    }

    pub fn inc(&self, by: u64) {
        let mut state = self.state();
        state.done += by;
        self.draw(&mut state);
    }

    /// Lets something else be printed.
    pub fn suspend<T>(&self, print: impl FnOnce() -> T) -> T {
        let mut state = self.state();
        self.clear(&state);
        let printed = print();
        state.drawn = None;
        self.draw(&mut state);
        printed
    }

    pub fn finish_and_clear(&self) {
        self.clear(&self.state());
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|e| e.into_inner())
    }

    fn draw(&self, state: &mut State) {
        let recent = |at: Instant| at.elapsed() < EVERY;
        if !self.shown || state.drawn.is_some_and(recent) {
            return;
        }
        state.drawn = Some(Instant::now());
        let line = line(state.done, self.total, &state.message);
        let mut to = stderr().lock();
        // Whoever watched may have gone.
        let _ = write!(to, "\r{line}\x1b[K").and_then(|()| to.flush());
    }

    fn clear(&self, state: &State) {
        if self.shown && state.drawn.is_some() {
            let _ = write!(stderr(), "\r\x1b[K");
        }
    }
}

fn line(done: u64, total: u64, message: &str) -> String {
    let full = match total {
        0 => WIDTH,
        _ => (done.min(total) as u128 * u128::from(WIDTH) / u128::from(total)) as u64,
    };
    let bar = "█".repeat(full as usize) + &"░".repeat((WIDTH - full) as usize);
    let text = format!("{bar} {done}/{total} {message}");
    text.chars().take(COLUMNS).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_line_is_as_full_as_the_work() {
        let count = |done, total| super::line(done, total, "x").matches('█').count();
        assert_eq!(
            [
                count(0, 4),
                count(1, 4),
                count(4, 4),
                count(9, 4),
                count(0, 0)
            ],
            [0, 7, 30, 30, 30]
        );
        assert_eq!(super::line(1, 2, &"y".repeat(200)).chars().count(), 79);
    }
}
