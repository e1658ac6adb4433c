//! A section that names many places, by a pattern → those that this machine has.

use anyhow::{Context, Result, bail};
use probity_loader::{Attach, UserPlace};
use probity_objfile::{AttachType, Hook, Target};
use probity_script::{Functions, probes};

use super::machine::Machine;

const KPROBE_MULTI: AttachType = AttachType(42);
const UPROBE_MULTI: AttachType = AttachType(48);

/// The places of a program that wants many at once.
pub fn places(hook: &Hook) -> Result<Option<Attach>> {
    let pattern = |wanted: &str, known: Vec<String>| -> Result<Vec<String>> {
        let found: Vec<String> = known
            .into_iter()
            .filter(|n| probes::matches(wanted, n))
            .collect();
        if found.is_empty() {
            bail!("no function matches {wanted}");
        }
        Ok(found)
    };
    Ok(Some(match &hook.target {
        Target::FunctionPattern {
            pattern: wanted,
            ret,
        } if hook.attach_type == Some(KPROBE_MULTI) => {
            let functions = pattern(wanted, Machine::default().kernel())?;
            Attach::KernelMulti {
                functions: functions.into_iter().map(|n| (n, 0)).collect(),
                ret: *ret,
            }
        }
        Target::User {
            path,
            function,
            offset,
            ret,
            multi: true,
        } if hook.attach_type == Some(UPROBE_MULTI) => {
            let path = Machine::default()
                .resolve(path)
                .with_context(|| format!("no program or library `{path}` on this machine"))?;
            let functions = pattern(function, Machine::default().user(&path))?;
            let place = |symbol| UserPlace {
                symbol: Some(symbol),
                offset: *offset,
                semaphore: 0,
                cookie: 0,
            };
            Attach::UserMulti {
                places: functions.into_iter().map(place).collect(),
                path,
                ret: *ret,
                pid: None,
            }
        }
        _ => return Ok(None),
    }))
}
