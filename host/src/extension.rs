//! An object bound to a host → an [`Extension`]: verified, its maps made or taken over, compiled.
//!
//! **Invariant:** nothing is published here: whatever fails leaves the host as it was.

use std::sync::Arc;

use probity_jit::{Entry, Jit, Prelinked};
use probity_objfile::Object;
use probity_platform::{Platform, Policy};
use probity_runtime::{Instance, Options};
use probity_verifier::{ProgramReport, Rejection, Report, Rule, Verdict, Verified, verify};

use crate::HostDescription;
use crate::bind::bind;
use crate::error::{Error, Refusal};
use crate::exports::Exported;
use crate::rows::prog_type;

/// A verified, compiled object of which programs are, or were, on hooks.
pub(crate) struct Extension {
    pub name: String,
    pub priority: i32,
    /// Counts replacements, from 1.
    pub generation: u64,
    pub jit: Arc<Jit>,
    pub exports: Vec<Exported>,
    /// Whose functions it calls.
    pub imports: Vec<Arc<Extension>>,
}

impl Extension {
    pub fn instance(&self) -> &Arc<Instance> {
        self.jit.instance()
    }

    /// Extensions that call each other's functions in a row, up to this one.
    pub fn depth(&self) -> usize {
        let below = self.imports.iter().map(|i| i.depth()).max();
        below.map_or(1, |n| n + 1)
    }

    /// Programs of the hook of that number, by index.
    pub fn programs(&self, hook: usize) -> impl Iterator<Item = usize> {
        let kind = prog_type(hook);
        let programs = self.instance().programs().iter().enumerate();
        programs
            .filter(move |(_, p)| p.verified().prog_type() == kind)
            .map(|(n, _)| n)
    }

    /// A program's entries, one a CPU.
    ///
    /// They are said to live for ever, as [`crate::world::Attached`] holds them beside the extension that they borrow of.
    pub fn entries(&self, program: usize) -> Result<Arc<[Entry<'static>]>, Error> {
        let cpus = self.instance().cpus();
        let entry = |cpu| {
            let entry = self
                .jit
                .entry(program, cpu)
                .map_err(|e| Error::Engine(e.to_string()))?;
            // SAFETY: what it borrows is behind `self.jit`, an `Arc` that is neither changed nor dropped before
            // the extension is, which whoever has the entries keeps.
            Ok(unsafe { std::mem::transmute::<Entry<'_>, Entry<'static>>(entry) })
        };
        (0..cpus).map(entry).collect()
    }
}

impl HostDescription {
    /// Verdicts on an object's programs, each against its hook and held to its budget: what a host does when it loads,
    /// for whoever has its description only. `platform` is [`HostDescription::platform`].
    pub fn verify(
        &self,
        object: &Object,
        platform: &Arc<Platform>,
        policy: &Policy,
        options: &probity_verifier::Options,
    ) -> Result<Report, Error> {
        let mut object = object.clone();
        let types = platform.types.as_deref();
        bind(&mut object, self, types.unwrap_or(&Default::default()))?;
        let options = probity_verifier::Options {
            allow_uninit_stack: false,
            ..options.clone()
        };
        let mut report = verify(&object, platform, policy, &options)
            .map_err(|e| Error::Object(e.to_string()))?;
        for p in &mut report.programs {
            let budget = self.hook(&p.prog_type).and_then(|(_, h)| h.budget);
            if let (Verdict::Accept(v), Some(most)) = (&p.verdict, budget)
                && v.worst_case_insns().is_none_or(|n| n > most)
            {
                p.verdict =
                    Verdict::Reject(Box::new(over(&p.prog_type, most, v.worst_case_insns())));
            }
        }
        Ok(report)
    }
}

fn over(hook: &str, most: u64, worst: Option<u64>) -> Rejection {
    Rejection {
        pc: None,
        insn: None,
        line: None,
        rule: Rule::Policy,
        must: format!("one run for hook `{hook}` executes {most} instructions at most"),
        known: match worst {
            Some(n) => format!("this one executes up to {n}"),
            None => "nobody knows how many this one executes".into(),
        },
        trail: Vec::new(),
        hint: None,
    }
}

/// A proof for every program of an object, or why there is none.
pub(crate) fn prove(
    host: &HostDescription,
    object: &Object,
    platform: &Arc<Platform>,
    policy: &Policy,
) -> Result<Verified, Error> {
    let report = host.verify(object, platform, policy, &Default::default())?;
    let refused = |p: &ProgramReport| match &p.verdict {
        Verdict::Accept(_) => None,
        Verdict::Reject(r) => Some(Refusal {
            program: p.name.clone(),
            section: p.section.clone(),
            rejection: r.clone(),
        }),
    };
    report
        .into_verified()
        .map_err(|r| Error::Refused(r.programs.iter().filter_map(refused).collect()))
}

/// Compiles what was proved, with maps that are taken over; what is compiled already need not be.
pub(crate) fn compile(
    verified: Verified,
    options: Options,
    code: Option<&Prelinked>,
) -> Result<Arc<Jit>, Error> {
    let instance =
        Instance::new(Arc::new(verified), options).map_err(|e| Error::Instance(e.to_string()))?;
    let instance = Arc::new(instance);
    let jit = match code {
        Some(code) => Jit::with_prelinked(instance, &Default::default(), code),
        None => Jit::new(instance),
    };
    Ok(Arc::new(jit.map_err(|e| Error::Engine(e.to_string()))?))
}
