//! `prevail` (polynomial-time abstract interpretation, its Rust port) as a further opinion on the objects of `programs/`.
//!
//! It knows less than Linux (ring buffer records as references, pointers by BTF) and is less precise, so the
//! opinions may differ; each difference stands in [`DIFFERENCES`] with its reason, and nothing else may differ.

use std::path::Path;
use std::sync::Arc;

use prevail::crab::ebpf_domain::DomainContext;
use prevail::crab::var_registry::VariableRegistry;
use prevail::ir::program::Program;
use prevail::ir::unmarshal;
use prevail::linux::linux_platform::LinuxPlatform;
use prevail::spec::config::EbpfVerifierOptions;
use prevail::{elf_loader, fwd_analyzer};
use probity_btf::Btf;
use probity_platform::{NEWEST, Platform, Policy};
use probity_tests::programs;
use probity_verifier::{Options, Verdict, verify};

/// Where it accepts and we do not, or the other way round: the file, whether we accept, and why.
const DIFFERENCES: &[(&str, bool, &str)] = &[
    (
        "exec-snoop.o",
        true,
        "it does not type a value that a subprogram stores (r1 at instruction 78)",
    ),
    (
        "malloc-sizes.o",
        true,
        "it does not type what instruction 5 compares, a number from the context",
    ),
    (
        "atomic-on-packet.o",
        false,
        "it allows atomic operations on packets",
    ),
    (
        "context-write.o",
        false,
        "it takes every field of the context for writable",
    ),
    ("record-leaked.o", false, "it does not count references"),
    (
        "record-used-after-submit.o",
        false,
        "it does not end a record's life",
    ),
    (
        "return-value.o",
        false,
        "it does not look at what a kind of program may return",
    ),
    (
        "tracepoint-common-fields.o",
        false,
        "it takes the whole record of a tracepoint for readable",
    ),
    (
        "write-to-rodata.o",
        false,
        "it does not know read-only maps",
    ),
];

/// Its opinion; an error is what it cannot take in.
fn opinion(path: &Path, section: &str, name: &str) -> Result<bool, String> {
    let mut options = EbpfVerifierOptions::default();
    options.runtime.check_for_termination = true;
    let mut platform = LinuxPlatform::new();
    let path = path.to_string_lossy();
    let mut programs = elf_loader::read_elf_file(&path, section, "", &options, &mut platform)
        .map_err(|e| format!("{e:?}"))?;
    let Some(raw) = programs.iter_mut().find(|p| p.function_name == name) else {
        return Err(format!("finds no program `{name}`"));
    };
    platform.map_descriptors = raw.info.map_descriptors.clone();
    platform.set_program_type(&raw.info.program_type);
    let mut notes = Vec::new();
    let insns = unmarshal::unmarshal(&raw.prog, &mut notes, &raw.info, &platform, &options)
        .map_err(|e| format!("{e:?}"))?;
    let program = Program::from_sequence(&insns, &mut raw.info, &platform, &options)
        .map_err(|e| format!("{e:?}"))?;
    let context = DomainContext {
        program_info: &raw.info,
        program: &program,
        runtime: &options.runtime,
        options: &options,
        platform: &platform,
    };
    let mut registry = VariableRegistry::new();
    Ok(!fwd_analyzer::analyze(&program, &context, &mut registry).failed)
}

#[test]
fn opinions_on_the_programs_differ_only_where_it_is_explained() {
    let types = std::fs::read("/sys/kernel/btf/vmlinux").ok();
    let types = types.map(|bytes| Arc::new(Btf::parse(&bytes).expect("the kernel's types")));
    let platform = Arc::new(Platform::linux(NEWEST, types));
    let (mut same, mut mute) = (0, Vec::new());
    let mut wrong = Vec::new();
    let mut met = Vec::new();
    // Of the programs in `bench` it takes many minutes for one.
    let ours = programs("", "o").into_iter();
    let ours = ours.filter(|path| !path.components().any(|c| c.as_os_str() == "bench"));
    for path in ours.chain(programs("unsafe", "o")) {
        let file = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let bytes = std::fs::read(&path).expect("an object");
        let object = probity_objfile::open(&file, &bytes).expect("it opens");
        let options = Options::default();
        let report = verify(&object, &platform, &Policy::default(), &options).expect("a report");
        for program in &report.programs {
            let ours = matches!(program.verdict, Verdict::Accept(_));
            let theirs = opinion(&path, &program.section, &program.name);
            match theirs {
                Err(why) => mute.push(format!("{file} {}: {why}", program.name)),
                Ok(theirs) if theirs == ours => same += 1,
                Ok(_) => {
                    let known = DIFFERENCES
                        .iter()
                        .find(|(f, o, _)| *f == file && *o == ours);
                    match known {
                        Some(row) => met.push(row),
                        None => wrong.push(format!(
                            "{file} {}: {}, prevail does not agree",
                            program.name,
                            if ours { "accepted" } else { "rejected" }
                        )),
                    }
                }
            }
        }
    }
    println!(
        "prevail: {same} agree, {} explained, {} without an opinion",
        met.len(),
        mute.len()
    );
    assert!(
        wrong.is_empty(),
        "{}\nno opinion: {}",
        wrong.join("\n"),
        mute.join("\n")
    );
    for row in DIFFERENCES {
        assert!(met.contains(&row), "no longer a difference: {row:?}");
    }
    assert!(
        same >= 20,
        "only {same} opinions to compare; none on {}",
        mute.join("\n")
    );
}
