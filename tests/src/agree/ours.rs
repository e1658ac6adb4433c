//! Our verdicts on an object's programs, in a thread that is left behind when it takes too long.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use probity_objfile::Object;
use probity_platform::{Platform, Policy};
use probity_verifier::{Options, Verdict, verify};

/// What we say of a program.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Ours {
    /// `accept`, `reject`, `unsupported`; `slow` and `panic` are failures of ours.
    pub verdict: &'static str,
    /// What must hold and does not, or which feature is missing.
    pub must: String,
    /// The whole rejection.
    pub text: String,
    pub rule: String,
    pub processed: u64,
    pub time_us: u64,
    /// Per slot, for accepted programs.
    #[serde(skip)]
    pub reached: Vec<bool>,
}

impl Ours {
    fn failure(verdict: &'static str, text: &str) -> Ours {
        Ours {
            verdict,
            must: text.to_string(),
            text: text.to_string(),
            rule: verdict.to_string(),
            processed: 0,
            time_us: 0,
            reached: Vec::new(),
        }
    }
}

#[derive(Clone)]
pub struct Settings {
    pub platform: Arc<Platform>,
    pub kconfig: Option<BTreeMap<String, String>>,
    /// For one program.
    pub limit: Duration,
    pub strict_alignment: bool,
    /// [`Options::summaries`] and [`Options::joins`].
    pub summaries: bool,
    pub joins: bool,
}

/// Verdicts by program, all that `only` lets through.
pub fn verdicts(
    object: &Arc<Object>,
    settings: &Settings,
    only: Option<&str>,
) -> BTreeMap<String, Ours> {
    let names: Vec<String> = object
        .programs
        .iter()
        .map(|p| p.name.clone())
        .filter(|n| only.is_none_or(|o| o == n))
        .collect();
    if names.is_empty() {
        return BTreeMap::new();
    }
    if let Some(all) = within(object, settings, &names) {
        return all;
    }
    // One of them is slow, or makes the verifier fall over: which?
    let mut found = BTreeMap::new();
    for name in names {
        let one = within(object, settings, std::slice::from_ref(&name));
        match one.and_then(|mut m| m.remove(&name)) {
            Some(ours) => found.insert(name, ours),
            None => {
                let ms = settings.limit.as_millis();
                found.insert(
                    name,
                    Ours::failure("slow", &format!("no verdict in {ms} ms")),
                )
            }
        };
    }
    found
}

/// `None` when there was no answer in time, or a panic that concerns one program of several.
fn within(
    object: &Arc<Object>,
    settings: &Settings,
    names: &[String],
) -> Option<BTreeMap<String, Ours>> {
    let (send, receive) = channel();
    let (object, settings_, names_) = (object.clone(), settings.clone(), names.to_vec());
    let thread = std::thread::Builder::new().stack_size(64 << 20);
    let started = thread.spawn(move || {
        let result = catch_unwind(AssertUnwindSafe(|| all(&object, &settings_, &names_)));
        let _ = send.send(result.map_err(|panic| message(panic.as_ref())));
    });
    if let Err(e) = started {
        let failed = |n: &String| (n.clone(), Ours::failure("panic", &e.to_string()));
        return Some(names.iter().map(failed).collect());
    }
    let limit = settings.limit.saturating_mul(names.len().min(8) as u32);
    match receive.recv_timeout(limit) {
        Ok(Ok(found)) => Some(found),
        Ok(Err(panic)) if names.len() == 1 => Some(BTreeMap::from([(
            names[0].clone(),
            Ours::failure("panic", &panic),
        )])),
        _ => None,
    }
}

fn message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("a panic").to_string()
}

fn all(object: &Object, settings: &Settings, names: &[String]) -> BTreeMap<String, Ours> {
    let options = Options {
        programs: Some(names.to_vec()),
        kconfig: settings.kconfig.clone(),
        strict_alignment: settings.strict_alignment,
        summaries: settings.summaries,
        joins: settings.joins,
        ..Options::default()
    };
    let report = match verify(object, &settings.platform, &Policy::default(), &options) {
        Ok(report) => report,
        Err(e) => {
            let failed = |n: &String| (n.clone(), Ours::failure("reject", &e.to_string()));
            return names.iter().map(failed).collect();
        }
    };
    report
        .programs
        .iter()
        .map(|p| {
            let mut ours = Ours::failure(p.verdict.name(), "");
            ours.processed = p.stats.processed as u64;
            ours.time_us = p.stats.time_us();
            match &p.verdict {
                Verdict::Accept(v) => ours.reached = v.facts().iter().map(|f| f.reached).collect(),
                Verdict::Reject(r) => {
                    ours.must = r.must.clone();
                    ours.text = r.to_string();
                    ours.rule = r.rule.name().to_string();
                }
            }
            (p.name.clone(), ours)
        })
        .collect()
}
