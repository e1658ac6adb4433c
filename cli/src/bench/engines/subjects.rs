//! Objects on the command line, or the shipped ones → programs to measure.

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use probity_objfile::Object;
use probity_peers::{Gauge, Settled, Source, Subject, cpu_time, set};
use probity_platform::{Platform, Policy};
use probity_verifier::{Options, Prepared, Verdict};

use crate::bench::filter::Filter;
use crate::input;
use crate::settings::Settings;

/// Verifications of a program, of which the median counts, and how long they may take.
const VERIFICATIONS: usize = 21;
const ENOUGH: Duration = Duration::from_millis(300);
/// What a program gets that comes without an input: a frame with nothing in it.
const NOTHING: [u8; 64] = [0; 64];

/// A program, and what verifying it takes.
pub struct Found {
    pub subject: Subject,
    pub verify_us: f64,
    pub insns: usize,
    /// Is one of the shipped set: nothing in it may be left out.
    pub shipped: bool,
}

/// An object that has been read, with what stands beside it.
struct Opened {
    object: Object,
    input: Vec<u8>,
    source: Option<String>,
    shown: String,
    shipped: bool,
}

/// All programs of the objects that the filter lets through, proved.
pub fn find(
    paths: &[PathBuf],
    filter: &Filter,
    platform: &Arc<Platform>,
    policy: &Policy,
    options: &Options,
    gauge: &Gauge,
    settings: &Settings,
) -> Result<Vec<Found>> {
    let mut opened = Vec::new();
    if paths.is_empty() {
        for shipped in set::ALL {
            opened.push(Opened {
                object: probity_objfile::open(shipped.name, shipped.object)?,
                input: shipped.input.to_vec(),
                source: Some(shipped.source.to_string()),
                shown: shipped.name.to_string(),
                shipped: true,
            });
        }
    }
    for path in input::objects(paths)? {
        let mut object = open(&path, platform)?;
        settings.apply(&mut object.object)?;
        opened.push(object);
    }
    let mut found = Vec::new();
    for mut opened in opened {
        crate::bench::complete(&mut opened.object, options.prog_type);
        let whole = format!("in {}", opened.shown);
        found.extend(proved(&opened, filter, platform, policy, options, gauge).context(whole)?);
    }
    if found.is_empty() {
        bail!("no program there that is measured");
    }
    Ok(found)
}

fn open(path: &Path, platform: &Platform) -> Result<Opened> {
    let beside = |extension: &str| {
        let file = path.with_extension(extension);
        file.exists().then_some(file)
    };
    let input = beside("in").map(|f| input::read(&f)).transpose()?;
    let source = beside("bpf.c").map(|f| input::read_text(&f)).transpose()?;
    Ok(Opened {
        object: input::object(path, platform)?,
        input: input.unwrap_or_else(|| NOTHING.to_vec()),
        source,
        shown: path.display().to_string(),
        shipped: false,
    })
}

fn proved(
    opened: &Opened,
    filter: &Filter,
    platform: &Arc<Platform>,
    policy: &Policy,
    options: &Options,
    gauge: &Gauge,
) -> Result<Vec<Found>> {
    let object = &opened.object;
    let wanted = |name: &str| !set::is_part(name) && filter.names(&opened.shown, name);
    if !object.programs.iter().any(|p| wanted(&p.name)) {
        return Ok(Vec::new());
    }
    let report = probity_verifier::verify(object, platform, policy, options)?;
    for program in &report.programs {
        if !matches!(program.verdict, Verdict::Accept { .. }) {
            bail!(
                "{} is not accepted: `probity verify` says why",
                program.name
            );
        }
    }
    let Ok(verified) = report.into_verified() else {
        bail!("it is not accepted");
    };
    let verified = Arc::new(verified);
    let prepared = Prepared::new(object, platform, policy, options)?;
    let index_of = |name: &str| {
        let mut programs = verified.programs().iter();
        programs.position(|p| p.name() == name)
    };
    let mut found = Vec::new();
    for (n, program) in object.programs.iter().enumerate() {
        let name = &program.name;
        let (true, Some(index)) = (wanted(name), index_of(name)) else {
            continue;
        };
        let text = opened.source.as_deref();
        let source = text.and_then(|text| Source::of(name, text));
        found.push(Found {
            subject: Subject {
                name: name.clone(),
                verified: verified.clone(),
                index,
                input: opened.input.clone(),
                source,
                setup: index_of(&format!("{name}_setup")),
            },
            verify_us: verify_us(&prepared, n, gauge),
            insns: program.insns.len(),
            shipped: opened.shipped,
        });
    }
    Ok(found)
}

/// The median of some verifications, in CPU time; fewer where they take long.
fn verify_us(prepared: &Prepared, program: usize, gauge: &Gauge) -> f64 {
    let mut times = Vec::new();
    let mut all = Duration::ZERO;
    while times.len() < VERIFICATIONS && all < ENOUGH {
        let Ok(taken) = gauge.calmly(|| {
            let start = cpu_time();
            std::hint::black_box(prepared.verify(program));
            Ok::<_, Infallible>(cpu_time().saturating_sub(start))
        });
        all += taken.took;
        times.push(taken);
    }
    Settled::of(&times).map_or(0.0, |s| s.median.as_secs_f64() * 1e6)
}
