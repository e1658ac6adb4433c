//! Functions → nanoseconds a run: batches in turns, and the median of the calm batches of each.

use std::time::Duration;

use crate::{Gauge, Ready, Settled, Taken};

#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Batches of each function.
    pub rounds: u32,
    /// How long a batch shall take.
    pub batch: Duration,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            rounds: 15,
            batch: Duration::from_millis(1),
        }
    }
}

/// Nanoseconds a run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Times {
    pub median: f64,
    /// Of the fastest batch.
    pub least: f64,
}

impl Times {
    /// How much more than those.
    pub fn over(self, other: Times) -> Times {
        Times {
            median: (self.median - other.median).max(0.0),
            least: (self.least - other.least).max(0.0),
        }
    }
}

/// Times every function. Each round runs a batch of each, beginning with another one each time, so that what disturbs
/// the machine for a while disturbs all of them.
pub fn measure(
    functions: &mut [Ready],
    settings: Settings,
    gauge: &Gauge,
) -> Vec<Result<Times, String>> {
    let mut runs = Vec::new();
    for f in &mut *functions {
        runs.push(calibrate(f, settings.batch));
    }
    let mut batches: Vec<Vec<Taken>> = vec![Vec::new(); functions.len()];
    for round in 0..settings.rounds as usize {
        for n in 0..functions.len() {
            let n = (n + round) % functions.len();
            let Ok(count) = runs[n] else {
                continue;
            };
            match gauge.calmly(|| functions[n].function.batch(count)) {
                Ok(taken) => batches[n].push(taken),
                Err(why) => runs[n] = Err(why),
            }
        }
    }
    let figures = runs.into_iter().zip(batches);
    figures
        .map(|(count, batches)| {
            let count = count?;
            let settled = Settled::of(&batches).ok_or("no rounds")?;
            let ns = |took: Duration| took.as_secs_f64() * 1e9 / count as f64;
            Ok(Times {
                median: ns(settled.median),
                least: ns(settled.least),
            })
        })
        .collect()
}

/// How many runs take about that long; they also warm caches and predictors.
fn calibrate(ready: &mut Ready, batch: Duration) -> Result<u64, String> {
    let most = ready.function.most();
    let mut runs = 1;
    loop {
        let took = ready.function.batch(runs)?;
        if took >= batch || runs >= most {
            return Ok(runs);
        }
        let wanted = batch.as_secs_f64() / took.as_secs_f64().max(1e-9) * 1.1;
        runs = ((runs as f64 * wanted.clamp(2.0, 100.0)) as u64).min(most);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Answer, Engine, Function, Patience};

    /// Takes a microsecond a run, and ten every third batch.
    struct Disturbed(u32);

    impl Function for Disturbed {
        fn once(&mut self) -> Result<Answer, String> {
            Err("not called".into())
        }
        fn batch(&mut self, runs: u64) -> Result<Duration, String> {
            self.0 += 1;
            let us = if self.0.is_multiple_of(3) { 10 } else { 1 };
            Ok(Duration::from_micros(us * runs))
        }
        fn most(&self) -> u64 {
            100
        }
    }

    #[test]
    fn what_disturbs_some_batches_is_not_in_the_median() {
        let mut ready = [Ready {
            engine: Engine::Jit,
            function: Box::new(Disturbed(0)),
            compile_us: 0.0,
            cached_us: None,
        }];
        let times = measure(
            &mut ready,
            Settings::default(),
            &Gauge::new(Patience::SHORT),
        );
        let Ok(times) = &times[0] else {
            panic!("not measured");
        };
        assert!((times.median - 1000.0).abs() < 1e-6, "{times:?}");
    }
}
