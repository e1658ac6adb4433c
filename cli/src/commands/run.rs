//! `probity run OBJECT`: a verified program in this process, on a context or on packets.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, Result, anyhow, bail};
use clap::ValueEnum;
use pcap_file::pcap::{PcapPacket, PcapReader, PcapWriter};
use probity_objfile::{Object, ProgType};
use probity_runtime::{Context, Engine, Instance};
use probity_verifier::Verdict;
use serde_json::{Value, json};

use super::verify;
use crate::{kernel, output, value};

/// Verify a program and run it in this process, without root and without a kernel
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  probity run programs/port-counter/port-counter.o --packets capture.pcap
  probity run programs/xdp-firewall/xdp-firewall.o --packets in.pcap --write-pcap out.pcap
  probity run programs/syscall-count/syscall-count.o --ctx 00000000000000003b00000000000000
  probity run program.s --ctx @context.bin --engine interp --repeat 1000000 --json

Prints the return value, the context where it changed, the maps, and nanoseconds a run.
With --packets: how many packets each return value got.")]
pub struct Args {
    /// The object, or an assembly file
    object: PathBuf,
    /// Which program [default: the only one]
    #[arg(short, long, value_name = "NAME")]
    program: Option<String>,
    /// The context: hex digits, or @FILE for a file's bytes [default: zeros]
    #[arg(long, value_name = "HEX|@FILE")]
    ctx: Option<String>,
    /// One packet: hex digits, or @FILE
    #[arg(long, value_name = "HEX|@FILE", conflicts_with = "packets")]
    packet: Option<String>,
    /// Run on every packet of a capture
    #[arg(long, value_name = "FILE.pcap", conflicts_with_all = ["ctx", "repeat"])]
    packets: Option<PathBuf>,
    /// Write the packets that the program let through
    #[arg(long, value_name = "FILE.pcap", requires = "packets")]
    write_pcap: Option<PathBuf>,
    /// Which engine
    #[arg(long, value_enum, default_value_t = EngineKind::Jit)]
    engine: EngineKind,
    /// Keep compiled code in this directory, and take it from there; it must be yours alone
    #[arg(long, value_name = "DIR", env = "PROBITY_CACHE")]
    cache: Option<PathBuf>,
    /// Write jit-PID.dump there, by which `perf inject --jit` names compiled programs and their lines
    #[arg(long, value_name = "DIR")]
    jitdump: Option<PathBuf>,
    /// How many times
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    repeat: u64,
    /// One JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    common: verify::Common,
}

/// Bytes of an Ethernet header.
const LINK_HEADER: usize = 14;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum EngineKind {
    /// Machine code, by Cranelift
    Jit,
    /// The reference: every access checked
    Interp,
}

impl EngineKind {
    pub fn make(self, instance: Arc<Instance>) -> Result<Box<dyn Engine>> {
        Ok(match self {
            EngineKind::Jit => Box::new(probity_jit::Jit::new(instance)?),
            EngineKind::Interp => Box::new(probity_interp::Interp::new(instance)),
        })
    }
}

/// What is to be done about a map whose size its loader would set.
fn with_sizes(error: probity_runtime::Error, object: &Object) -> anyhow::Error {
    let open = match &error {
        probity_runtime::Error::Map { map, .. } => {
            let mut maps = object.maps.iter();
            maps.find(|m| m.name == *map && m.max_entries == 0)
        }
        _ => None,
    };
    match open {
        Some(map) => anyhow!(
            "{error}; the object leaves it to its loader how many: give --entries {}=NUMBER",
            map.name
        ),
        None => error.into(),
    }
}

pub fn run(args: Args) -> Result<ExitCode> {
    let platform = kernel::platform(kernel::types(args.common.btf.as_deref())?);
    let policy = args.common.policy()?;
    let mut options = args.common.options(&platform)?;
    let mut object = crate::input::object(&args.object, &platform)?;
    args.common.settings.apply(&mut object)?;
    let chosen = choose(&object, args.program.as_deref(), &args.object)?;
    // Programs that it may tail call run too.
    options.programs = Some(reachable(&object, &chosen));
    let report = probity_verifier::verify(&object, &platform, &policy, &options)?;
    for program in report
        .programs
        .iter()
        .filter(|p| matches!(p.verdict, Verdict::Reject(_)))
    {
        verify::print_text(&args.object, program, false)?;
    }
    let Ok(verified) = report.into_verified() else {
        return Ok(ExitCode::FAILURE);
    };
    let verified = Arc::new(verified);
    let instance = Instance::new(verified.clone(), Default::default());
    let instance = Arc::new(instance.map_err(|e| with_sizes(e, &object))?);
    let dump = args.jitdump.as_ref();
    let dump = dump.map(probity_jit::JitDump::create).transpose()?;
    let mut from_cache = None;
    let engine: Box<dyn Engine> = match args.engine {
        EngineKind::Interp => args.engine.make(instance.clone())?,
        EngineKind::Jit => {
            let jit = match &args.cache {
                Some(directory) => {
                    let cache = probity_jit::Cache::open(directory)?;
                    let options = probity_jit::Options::default();
                    probity_jit::Jit::with_cache(instance.clone(), &options, &cache)?
                }
                None => probity_jit::Jit::new(instance.clone())?,
            };
            from_cache = args.cache.is_some().then(|| jit.from_cache());
            if let Some(dump) = &dump {
                dump.add(&jit)?;
            }
            Box::new(jit)
        }
    };
    let index = instance
        .program_index(&chosen)
        .context("the program is not in the instance")?;
    let kind = instance.programs()[index].verified().prog_type();
    let mut result = match &args.packets {
        Some(path) => packets(&*engine, index, kind, path, args.write_pcap.as_deref())?,
        None => once(&*engine, &instance, index, kind, &args)?,
    };
    let object = &verified.relocated().object;
    if args.json {
        let mut maps = serde_json::Map::new();
        for (map, entries) in contents(object, &instance) {
            maps.insert(map.name.clone(), value::map_json(object, map, &entries));
        }
        result["program"] = chosen.into();
        result["engine"] = engine.name().into();
        if let Some(cached) = from_cache {
            result["from_cache"] = cached.into();
        }
        result["maps"] = Value::Object(maps);
        output::json(&result)?;
    } else {
        print_result(&result)?;
        for (map, entries) in contents(object, &instance) {
            value::print_map(&mut output::stdout(), object, map, &entries)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn choose(object: &Object, name: Option<&str>, path: &Path) -> Result<String> {
    let names: Vec<&str> = object.programs.iter().map(|p| p.name.as_str()).collect();
    match (name, &names[..]) {
        (Some(name), _) if names.contains(&name) => Ok(name.to_string()),
        (Some(name), _) => bail!(
            "no program `{name}` in {}; there are: {}",
            path.display(),
            names.join(", ")
        ),
        (None, [only]) => Ok(only.to_string()),
        (None, []) => bail!("{} holds no programs", path.display()),
        (None, _) => bail!(
            "{} holds several programs; choose with --program: {}",
            path.display(),
            names.join(", ")
        ),
    }
}

fn reachable(object: &Object, chosen: &str) -> Vec<String> {
    let mut names = vec![chosen.to_string()];
    for (_, initial) in object.maps.iter().flat_map(|m| &m.initial) {
        if let probity_objfile::Initial::Program(name) = initial
            && !names.contains(name)
        {
            names.push(name.clone());
        }
    }
    names
}

/// Hex digits (blanks allowed, `0x` too), or `@FILE`.
fn bytes(text: &str) -> Result<Vec<u8>> {
    if let Some(path) = text.strip_prefix('@') {
        return crate::input::read(Path::new(path));
    }
    let digits: String = text
        .trim_start_matches("0x")
        .chars()
        .filter(|c| !c.is_whitespace() && *c != ':')
        .collect();
    if let Some(bad) = digits.chars().find(|c| !c.is_ascii_hexdigit()) {
        bail!("`{bad}` is not a hex digit (for a file's bytes write @FILE)");
    }
    if digits.len() % 2 == 1 {
        bail!("an odd number of hex digits");
    }
    (0..digits.len())
        .step_by(2)
        .map(|i| Ok(u8::from_str_radix(&digits[i..i + 2], 16)?))
        .collect()
}

fn is_packet_kind(kind: ProgType) -> bool {
    matches!(
        kind,
        ProgType::XDP
            | ProgType::SCHED_CLS
            | ProgType::SCHED_ACT
            | ProgType::SOCKET_FILTER
            | ProgType::CGROUP_SKB
    )
}

/// A context for an Ethernet frame.
fn packet_context(kind: ProgType, frame: &[u8]) -> Result<Context> {
    /// Offset of `protocol` in `struct __sk_buff`.
    const PROTOCOL: usize = 16;
    Ok(match kind {
        ProgType::XDP => Context::xdp(frame)?,
        // Programs of control groups see a packet from its network header on.
        ProgType::CGROUP_SKB if frame.len() >= LINK_HEADER => {
            let mut ctx = Context::skb(&frame[LINK_HEADER..])?;
            ctx.write(PROTOCOL, &[frame[12], frame[13], 0, 0])?;
            ctx
        }
        _ => Context::skb(frame)?,
    })
}

/// The part of a frame that programs of this kind see.
fn seen(kind: ProgType, frame: &[u8]) -> &[u8] {
    match kind {
        ProgType::CGROUP_SKB => frame.get(LINK_HEADER..).unwrap_or(frame),
        _ => frame,
    }
}

fn once(
    engine: &dyn Engine,
    instance: &Instance,
    index: usize,
    kind: ProgType,
    args: &Args,
) -> Result<Value> {
    let packet = args
        .packet
        .as_deref()
        .map(bytes)
        .transpose()
        .context("in --packet")?;
    let given = args
        .ctx
        .as_deref()
        .map(bytes)
        .transpose()
        .context("in --ctx")?;
    if packet.is_some() && !is_packet_kind(kind) {
        bail!("this kind of program sees no packets; give it a context (--ctx)");
    }
    let mut ctx = match (&packet, is_packet_kind(kind)) {
        (Some(packet), _) => packet_context(kind, packet)?,
        // A frame with nothing in it.
        (None, true) => packet_context(kind, &[0; 64])?,
        (None, false) => {
            let mut bytes = given.clone().unwrap_or_default();
            let least = instance.programs()[index].context_size();
            if given.is_some() && bytes.len() < least {
                bail!(
                    "the context has {} bytes; the program uses {least}",
                    bytes.len()
                );
            }
            bytes.resize(bytes.len().max(least), 0);
            Context::bytes(&bytes)?
        }
    };
    if let (Some(bytes), true) = (&given, is_packet_kind(kind)) {
        ctx.write(0, bytes)?;
    }
    let before = ctx.read();
    let start = Instant::now();
    let mut ret = 0;
    for _ in 0..args.repeat {
        ret = engine.call(index, &mut ctx, 0)?.ret;
    }
    let nanoseconds = start.elapsed().as_nanos() as f64 / args.repeat as f64;
    let after = ctx.read();
    let mut result = json!({ "return": ret, "runs": args.repeat, "ns_per_run": (nanoseconds * 10.0).round() / 10.0 });
    if after != before {
        result["context"] = value::hex(&after).into();
    }
    if let Some(changed) = ctx.packet().filter(|p| {
        packet
            .as_deref()
            .is_some_and(|given| seen(kind, given) != p)
    }) {
        result["packet"] = value::hex(&changed).into();
    }
    Ok(result)
}

fn packets(
    engine: &dyn Engine,
    index: usize,
    kind: ProgType,
    path: &Path,
    to: Option<&Path>,
) -> Result<Value> {
    if !is_packet_kind(kind) {
        bail!("this kind of program sees no packets");
    }
    let shown = path.display();
    let file = File::open(path).with_context(|| format!("cannot open {shown}"))?;
    let mut reader = PcapReader::new(BufReader::new(file))
        .with_context(|| format!("{shown} is not a pcap capture"))?;
    let mut writer = match to {
        None => None,
        Some(to) => {
            let file =
                File::create(to).with_context(|| format!("cannot write {}", to.display()))?;
            Some(PcapWriter::with_header(
                std::io::BufWriter::new(file),
                reader.header(),
            )?)
        }
    };
    let mut verdicts: BTreeMap<u64, (u64, u64)> = BTreeMap::new();
    let (mut count, mut passed) = (0u64, 0u64);
    let start = Instant::now();
    while let Some(packet) = reader.next_packet() {
        let packet = packet.with_context(|| format!("packet {} of {shown}", count + 1))?;
        let skip = match kind {
            ProgType::CGROUP_SKB => LINK_HEADER.min(packet.data.len()),
            _ => 0,
        };
        let mut ctx = packet_context(kind, &packet.data)?;
        let ret = engine.call(index, &mut ctx, 0)?.ret;
        count += 1;
        let row = verdicts.entry(ret & 0xffff_ffff).or_default();
        row.0 += 1;
        row.1 += packet.data.len() as u64;
        if lets_through(kind, ret)
            && let Some(writer) = &mut writer
        {
            let mut data = packet.data[..skip].to_vec();
            data.extend(ctx.packet().unwrap_or_default());
            let length = data.len() as u32;
            writer.write_packet(&PcapPacket::new_owned(
                packet.timestamp,
                length.max(packet.orig_len),
                data,
            ))?;
            passed += 1;
        }
    }
    let nanoseconds = if count == 0 {
        0.0
    } else {
        start.elapsed().as_nanos() as f64 / count as f64
    };
    if let Some(writer) = writer {
        std::io::Write::flush(&mut writer.into_writer())?;
    }
    let rows: Vec<Value> = verdicts
        .iter()
        .map(|(ret, (packets, bytes))| json!({ "return": ret, "name": verdict_name(kind, *ret), "packets": packets, "bytes": bytes }))
        .collect();
    let mut result = json!({ "packets": count, "verdicts": rows, "ns_per_run": (nanoseconds * 10.0).round() / 10.0 });
    if to.is_some() {
        result["written"] = passed.into();
    }
    Ok(result)
}

/// Would the packet go on its way? (A transmitted or redirected one does, elsewhere.)
fn lets_through(kind: ProgType, ret: u64) -> bool {
    match kind {
        ProgType::XDP => ret as u32 == 2,
        ProgType::SCHED_CLS | ProgType::SCHED_ACT => !matches!(ret as u32, 2 | 4 | 5),
        ProgType::CGROUP_SKB => ret & 1 == 1,
        _ => ret != 0,
    }
}

fn verdict_name(kind: ProgType, ret: u64) -> Option<&'static str> {
    let names: &[&str] = match kind {
        ProgType::XDP => &[
            "XDP_ABORTED",
            "XDP_DROP",
            "XDP_PASS",
            "XDP_TX",
            "XDP_REDIRECT",
        ],
        ProgType::SCHED_CLS | ProgType::SCHED_ACT => &[
            "TC_ACT_OK",
            "TC_ACT_RECLASSIFY",
            "TC_ACT_SHOT",
            "TC_ACT_PIPE",
        ],
        ProgType::CGROUP_SKB => &["drop", "pass"],
        _ => &[],
    };
    names.get(ret as usize).copied()
}

fn print_result(result: &Value) -> Result<()> {
    if let Some(rows) = result["verdicts"].as_array() {
        output::line(format_args!(
            "{} packets, {} ns each",
            result["packets"], result["ns_per_run"]
        ))?;
        for row in rows {
            let name = row["name"]
                .as_str()
                .map_or_else(|| row["return"].to_string(), str::to_string);
            output::line(format_args!(
                "  {name:<16} {:>8} packets {:>12} bytes",
                row["packets"].to_string(),
                row["bytes"].to_string()
            ))?;
        }
        if let Some(written) = result.get("written") {
            output::line(format_args!("  {written} packets written"))?;
        }
        return Ok(());
    }
    output::line(format_args!(
        "return {}  ({} ns a run, {} runs)",
        result["return"], result["ns_per_run"], result["runs"]
    ))?;
    for key in ["context", "packet"] {
        if let Some(bytes) = result.get(key).and_then(Value::as_str) {
            output::line(format_args!("{key} now {bytes}"))?;
        }
    }
    Ok(())
}

/// Every map of the object that has contents to show.
fn contents<'a>(
    object: &'a Object,
    instance: &Instance,
) -> Vec<(&'a probity_objfile::Map, value::Entries)> {
    let mut all = Vec::new();
    for (n, map) in object.maps.iter().enumerate() {
        let Some(there) = instance.map(n) else {
            continue;
        };
        if let Some(ring) = there.ring() {
            let mut records = Vec::new();
            ring.consume(|bytes| {
                records.push((
                    (records.len() as u32).to_le_bytes().to_vec(),
                    vec![bytes.to_vec()],
                ));
                true
            });
            all.push((map, records));
            continue;
        }
        let percpu = there.is_percpu();
        let entries = there.keys().into_iter().filter_map(|key| {
            let values = if percpu {
                there.lookup_percpu(&key)?
            } else {
                vec![there.lookup(&key)?]
            };
            Some((key, values))
        });
        all.push((map, entries.collect()));
    }
    all
}
