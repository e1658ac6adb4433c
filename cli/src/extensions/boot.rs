//! The enabled set of extensions → the running kernel, in the order of their dependencies, past those that cannot be loaded.

use std::collections::BTreeMap;

use serde::Serialize;

use super::kernel::Kernel;

/// What became of one extension.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Loaded,
    /// It was in the kernel already.
    There,
    /// It is installed, and not to be loaded.
    Disabled,
    Failed(String),
}

/// Loads all that is enabled; gives what became of each, in the order in which that was tried.
pub fn boot(kernel: &mut Kernel) -> Vec<(String, Outcome)> {
    let mut done = Vec::new();
    for name in order(kernel) {
        let record = &kernel.records[&name];
        let outcome = match record.enabled {
            false => Outcome::Disabled,
            true => match kernel.start(&name) {
                Ok(true) => Outcome::Loaded,
                Ok(false) => Outcome::There,
                Err(e) => Outcome::Failed(format!("{e:#}")),
            },
        };
        done.push((name, outcome));
    }
    for what in &kernel.bad {
        done.push((String::new(), Outcome::Failed(what.clone())));
    }
    done
}

/// The exit status of a start with this outcome: a failure of which systemd tells.
pub fn exit_status(done: &[(String, Outcome)]) -> u8 {
    let failed = done.iter().any(|(_, o)| matches!(o, Outcome::Failed(_)));
    if failed { 1 } else { 0 }
}

/// Names, each after all that it depends on; those in circles come last, and fail.
fn order(kernel: &Kernel) -> Vec<String> {
    let mut left: BTreeMap<&String, Vec<&String>> = kernel
        .records
        .values()
        .map(|r| {
            let known = r.dependencies.keys();
            let known = known.filter(|d| kernel.records.contains_key(*d));
            (&r.name, known.collect())
        })
        .collect();
    let mut order = Vec::new();
    while !left.is_empty() {
        let ready: Vec<&String> = left
            .iter()
            .filter(|(_, below)| below.iter().all(|d| !left.contains_key(d)))
            .map(|(name, _)| *name)
            .collect();
        let next = match ready.is_empty() {
            true => left.keys().copied().collect(),
            false => ready,
        };
        for name in next {
            left.remove(name);
            order.push(name.clone());
        }
    }
    order
}
