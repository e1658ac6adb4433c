//! The cases of `tests/engine/`, compiled for 64-bit Arm and run in a small C host under `qemu-aarch64`;
//! each result is held against the interpreter's.
//!
//! Skipped, which is said, where the emulator or the cross compiler is missing (`cargo xtask setup`
//! installs both). Of a case that needs a helper which the host lacks, that is said.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use probity_interp::Interp;
use probity_jit::{Foreign, Options, Referent};
use probity_platform::{Platform, Policy};
use probity_runtime::{Context, Engine, Instance, Slots, platform};
use probity_verifier::verify;

const EMULATOR: &str = "qemu-aarch64";
const COMPILER: &str = "aarch64-linux-gnu-gcc";
/// Helpers of host.c: lookup and update of arrays, the CPU, `bpf_loop`.
const HELPERS: &[u32] = &[1, 2, 8, 181];

/// A run of a case: words of the context, packet.
struct Run {
    words: Vec<u64>,
    packet: Vec<u8>,
}

#[test]
fn the_engine_suite_on_64_bit_arm() {
    for program in [EMULATOR, COMPILER] {
        if Command::new(program).arg("--version").output().is_err() {
            println!("skipped: {program} is missing; `cargo xtask setup` installs it");
            return;
        }
    }
    let scratch = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let host = scratch.join("host");
    let built = Command::new(COMPILER)
        .args(["-O1", "-static", "-w", "-o"])
        .arg(&host)
        .arg(here.join("tests/host.c"))
        .status()
        .expect("the cross compiler");
    assert!(built.success(), "the host does not compile");
    let platform = Arc::new(platform(None));
    let mut files: Vec<_> = std::fs::read_dir(here.join("../engine"))
        .expect("the cases")
        .map(|e| e.expect("an entry").path())
        .filter(|p| p.extension().is_some_and(|e| e == "s"))
        .collect();
    files.sort();
    let (mut cases, mut runs, mut left) = (0, 0, Vec::new());
    for file in &files {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        let text = std::fs::read_to_string(file).expect("a text");
        match case(&platform, &host, &scratch, &name, &text) {
            Ok(n) => {
                cases += 1;
                runs += n;
            }
            Err(why) => left.push(format!("{name}: {why}")),
        }
    }
    left.iter().for_each(|l| println!("not run: {l}"));
    println!("{runs} runs of {cases} cases agree with the interpreter");
    assert!(cases >= 14, "{cases} cases");
}

/// Runs a case on both; `Err` says why it cannot be run here. Panics where results differ.
fn case(
    platform: &Arc<Platform>,
    host: &Path,
    scratch: &Path,
    name: &str,
    text: &str,
) -> Result<usize, String> {
    let helper = |name: &str| {
        let name = name.strip_prefix("bpf_").unwrap_or(name);
        let row = platform.helpers.iter().find(|h| h.name == name);
        row.map(|h| h.id)
    };
    let object = probity_objfile::assemble(name, text, &helper).map_err(|e| e.to_string())?;
    let options = probity_verifier::Options::default();
    let report =
        verify(&object, platform, &Policy::default(), &options).map_err(|e| e.to_string())?;
    let (verified, _) = report.into_partial();
    let kind = match verified.programs() {
        [] => return Err("it is not accepted".into()),
        [first, ..] => first.prog_type().0,
    };
    let options = probity_runtime::Options {
        cpus: 2,
        ..Default::default()
    };
    let instance = Instance::new(Arc::new(verified), options).map_err(|e| e.to_string())?;
    let instance = Arc::new(instance);
    for line in text.lines().filter_map(|l| l.strip_prefix("# slot ")) {
        let [map, slot, program] = line.split_whitespace().collect::<Vec<_>>()[..] else {
            return Err(line.to_string());
        };
        let index = instance.program_index(program).ok_or("no such program")?;
        let slot = slot.parse().map_err(|_| line)?;
        let put = instance.insert_program(map, slot, index);
        put.map_err(|e| e.to_string())?;
    }
    let code =
        Foreign::aarch64(&instance, &Options::default()).unwrap_or_else(|e| panic!("{name}: {e}"));
    for r in code.references() {
        match r.to {
            Referent::Helper(id) if !HELPERS.contains(&id) => {
                return Err(format!("its helper {id} is not one of the host's"));
            }
            Referent::KernelRead
            | Referent::Kfunc(_)
            | Referent::Epoch
            | Referent::Arena(_)
            | Referent::ArenaHas => {
                return Err("it needs a function that the host lacks".into());
            }
            Referent::Map(n) | Referent::Values(n) => {
                let array = instance.map(n as usize).and_then(|m| m.array());
                array.ok_or("it has a map that is no array")?;
            }
            _ => {}
        }
    }
    let interp = Interp::new(instance.clone()).with_limit(100_000_000);
    let runs = runs(text)?;
    for (n, run) in runs.iter().enumerate() {
        for cpu in 0..2 {
            // The host starts with the maps as they are now.
            let input = input(&instance, &code, kind, run, cpu)?;
            let file = scratch.join(format!("{name}.{n}.{cpu}"));
            std::fs::write(&file, input).expect("written");
            let output = Command::new(EMULATOR).arg(host).arg(&file).output();
            let output = output.expect("the emulator");
            let theirs = String::from_utf8_lossy(&output.stdout);
            let mut ctx = context(kind, run);
            let ours = interp.call(0, &mut ctx, cpu).expect("a result").ret;
            assert_eq!(
                theirs.trim(),
                format!("{ours:x}"),
                "{name}, run {n}, CPU {cpu}: {:?} {}",
                output.status,
                String::from_utf8_lossy(&output.stderr)
            );
        }
    }
    Ok(runs.len())
}

fn context(kind: u32, run: &Run) -> Context {
    let ctx = match kind {
        6 => Context::xdp(&run.packet),
        1 | 3 | 4 | 8 => Context::skb(&run.packet),
        _ => {
            let mut words = run.words.clone();
            words.resize(words.len().max(64), 0);
            Context::words(&words)
        }
    };
    ctx.expect("a context")
}

/// The file that host.c reads.
fn input(
    instance: &Instance,
    code: &Foreign,
    kind: u32,
    run: &Run,
    cpu: usize,
) -> Result<Vec<u8>, String> {
    let mut out = Vec::new();
    let word = |out: &mut Vec<u8>, v: usize| out.extend_from_slice(&(v as u32).to_le_bytes());
    let object = &instance.verified().relocated().object;
    let arrays: Vec<_> = (0..object.maps.len())
        .filter_map(|n| {
            let map = instance.map(n)?;
            Some((n, map, map.array()?))
        })
        .collect();
    let slots: Vec<_> = (0..object.maps.len())
        .filter_map(|n| Some((n, instance.map(n)?, instance.map(n)?.slots()?)))
        .collect();
    word(&mut out, arrays.len() + slots.len());
    // Arrays of words that are programs' indices, or empty.
    for (n, map, s) in slots {
        for v in [n, 8, 8, s.entries, 0, 8 * s.entries] {
            word(&mut out, v);
        }
        let mut words = vec![Slots::EMPTY; s.entries];
        for (key, program) in map.program_slots() {
            words[key as usize] = program;
        }
        words
            .iter()
            .for_each(|w| out.extend_from_slice(&w.to_le_bytes()));
    }
    for (n, map, a) in arrays {
        let cpus = if a.cpu_stride == 0 {
            1
        } else {
            instance.cpus()
        };
        let mut values = vec![0; a.stride * a.entries * cpus];
        for index in 0..a.entries {
            let key = (index as u32).to_ne_bytes();
            let each = map.lookup_percpu(&key);
            let each = each.or_else(|| Some(vec![map.lookup(&key)?]));
            for (cpu, v) in each.into_iter().flatten().enumerate().take(cpus) {
                let at = cpu * a.cpu_stride + index * a.stride;
                values[at..at + v.len()].copy_from_slice(&v);
            }
        }
        for v in [n, map.value_size(), a.stride, a.entries, a.cpu_stride] {
            word(&mut out, v);
        }
        word(&mut out, values.len());
        out.extend_from_slice(&values);
    }
    word(&mut out, cpu);
    let ctx = context(kind, run).read();
    word(&mut out, ctx.len());
    out.extend_from_slice(&ctx);
    word(&mut out, run.packet.len());
    out.extend_from_slice(&run.packet);
    word(&mut out, code.entries() as usize);
    word(&mut out, code.mains().len());
    code.mains()
        .iter()
        .for_each(|m| word(&mut out, *m as usize));
    code.targets()
        .iter()
        .for_each(|m| word(&mut out, *m as usize));
    word(&mut out, code.references().count());
    for r in code.references() {
        let (kind, index) = match r.to {
            Referent::Helper(id) => (1, id),
            Referent::KernelRead => (2, 0),
            Referent::PacketLoad => (3, 0),
            Referent::Map(n) => (4, n),
            Referent::Values(n) | Referent::Slots(n) => (5, n),
            Referent::Kfunc(_) | Referent::Epoch | Referent::Arena(_) | Referent::ArenaHas => (0, 0),

        };
        for v in [r.at, kind, index] {
            word(&mut out, v as usize);
        }
        out.extend_from_slice(&r.addend.to_le_bytes());
    }
    word(&mut out, code.bytes().len());
    out.extend_from_slice(code.bytes());
    Ok(out)
}

/// The lines `# run [words=…] [packet=…] = r0` of a case.
fn runs(text: &str) -> Result<Vec<Run>, String> {
    let mut out = Vec::new();
    for line in text.lines() {
        let Some(rest) = line.strip_prefix("# run") else {
            continue;
        };
        let (inputs, _) = rest.rsplit_once(" = ").ok_or(line)?;
        let mut run = Run {
            words: Vec::new(),
            packet: Vec::new(),
        };
        for input in inputs.split_whitespace() {
            if let Some(words) = input.strip_prefix("words=") {
                let words: Option<Vec<u64>> = words.split(',').map(number).collect();
                run.words = words.ok_or(line)?;
            } else if let Some(hex) = input.strip_prefix("packet=") {
                let bytes: Option<Vec<u8>> = (0..hex.len())
                    .step_by(2)
                    .map(|n| u8::from_str_radix(hex.get(n..n + 2)?, 16).ok())
                    .collect();
                run.packet = bytes.ok_or(line)?;
            }
        }
        out.push(run);
    }
    Ok(out)
}

fn number(s: &str) -> Option<u64> {
    if let Some(s) = s.strip_prefix('-') {
        return number(s).map(u64::wrapping_neg);
    }
    match s.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).ok(),
        None => s.parse().ok(),
    }
}
