//! A package → a proof made here that it may run: its signer judged, its dependencies there, its programs verified, what it uses granted.

use anyhow::Result;
use probity_bundle::{Judgement, Package};
use probity_host::{Grants, Uses, status};
use probity_objfile::{Object, Target};
use probity_verifier::{Verdict, Verified};
use serde_json::json;

use super::Kernel;
use crate::extensions::Refused;
use crate::{kernel, output, render};

impl Kernel {
    /// Judges a package, and writes that down. Gives the signer's name.
    pub(super) fn judge(&self, event: &str, package: &Package) -> Result<Judgement> {
        let judgement = self.store.judge(package)?;
        self.store.record(&self.lock, event, package, &judgement)?;
        let title = package.manifest().title();
        let (verdict, why) = (judgement.verdict, &judgement.why);
        if !judgement.accepted {
            return Err(Refused::error(
                format_args!("{verdict}: {title}: {why}"),
                verdict.exit_status(),
            ));
        }
        if judgement.tainted {
            output::warning(format_args!("{title}: {verdict}: {why}"));
        }
        Ok(judgement)
    }

    /// All that has to hold of a package on this machine besides its signature: a proof made here, and what it may use.
    pub(super) fn admit(&self, package: &Package, judgement: &Judgement) -> Result<Verified> {
        let m = package.manifest();
        let mut missing = Vec::new();
        for (name, range) in &m.dependencies {
            match self.records.get(name) {
                None => missing.push(format!(
                    "it depends on `{name}` {range}, which is not loaded"
                )),
                Some(r) if !range.matches(&r.version) => missing.push(format!(
                    "it depends on `{name}` {range}, and {} is loaded",
                    r.version
                )),
                Some(r) if !self.pins.is_loaded(r) => missing.push(format!(
                    "it depends on `{name}` {range}, which is installed and not in the kernel"
                )),
                Some(_) => {}
            }
        }
        if !missing.is_empty() {
            let why = format!("{}: {}", m.title(), missing.join("; "));
            return Err(Refused::error(why, status::DEPENDENCIES));
        }
        let object = package.object()?;
        for p in &object.programs {
            if let Target::Host { name, .. } = &p.hook.target {
                let why = format!(
                    "{}: program `{}` is for hook `{name}` of a host, and this is Linux: give the host's --socket",
                    m.title(),
                    p.name
                );
                return Err(Refused::error(why, status::ABI));
            }
        }
        let verified = verified(&object, &m.title())?;
        let uses = Uses::of(&verified);
        let g = &m.grants;
        let asks = Grants {
            hooks: Some(m.hooks.iter().map(|h| h.section.clone()).collect()),
            helpers: Some(g.helpers.clone()),
            functions: Some(g.kfuncs.clone()),
            map_kinds: Some(g.map_kinds.clone()),
            map_bytes: Some(g.map_bytes),
            worst_case_insns: g.worst_case_insns,
        };
        let signer = judgement.signer.as_ref().map(|s| s.name.as_str());
        let policy = self.grants.as_ref();
        let denied = probity_host::check(&uses, Some(&asks), signer, policy, &Grants::default());
        if !denied.is_empty() {
            let why: Vec<String> = denied.iter().map(ToString::to_string).collect();
            let why = format!("{}: {}", m.title(), why.join("; "));
            return Err(Refused::error(why, status::DENIED));
        }
        Ok(verified)
    }

    /// Writes a refusal to the log, and passes it on.
    pub(super) fn refused<T>(&self, event: &str, package: &Package, done: Result<T>) -> Result<T> {
        if let Err(e) = &done {
            let m = package.manifest();
            let details = json!({
                "name": m.name,
                "version": m.version,
                "digest": package.digest(),
                "for": event,
                "why": format!("{e:#}"),
            });
            self.store.note(&self.lock, "refuse", details)?;
        }
        done
    }
}

/// A proof of all programs for the running kernel.
fn verified(object: &Object, title: &str) -> Result<Verified> {
    let platform = kernel::platform(kernel::types(None)?);
    let options = probity_verifier::Options {
        kconfig: kernel::configuration(None, true)?,
        ..probity_verifier::Options::default()
    };
    let report = probity_verifier::verify(object, &platform, &Default::default(), &options)?;
    report.into_verified().map_err(|report| {
        for p in &report.programs {
            if let Verdict::Reject(r) = &p.verdict {
                output::note(render::rejection(title, &p.name, r));
            }
        }
        anyhow::anyhow!("{title}: it is not proved safe for this machine")
    })
}
