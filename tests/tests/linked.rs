//! Objects that we link are taken by Linux as by us, and do there what they do as libbpf links them.
//!
//! Ours always, as root and with bpftool; those of the kernel's selftests where `PROBITY_SELFTESTS` names a directory of built ones.
//! Their programs run in the kernel on words of our choice; then all their variables and maps are compared.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use object::{Object as _, ObjectSymbol};
use probity_btf::{Btf, Type};
use probity_loader::Session;
use probity_objfile::{DataKind, Object, ProgType};
use probity_platform::{NEWEST, Platform, Policy};
use probity_tests::linux::allowed;
use probity_verifier::{Options, Verified, verify};

/// What is seen of an object from outside: bytes of variables and of elements, by name and key.
type Seen = BTreeMap<(String, Vec<u8>), Vec<u8>>;

/// Linked by libbpf; `None` without bpftool.
fn by_libbpf(parts: &[PathBuf]) -> Option<Vec<u8>> {
    let to = std::env::temp_dir().join(format!("linked-{}.o", std::process::id()));
    let mut bpftool = Command::new("bpftool");
    let done = bpftool
        .args(["gen", "object"])
        .arg(&to)
        .args(parts)
        .output()
        .ok()?;
    assert!(
        done.status.success(),
        "{}",
        String::from_utf8_lossy(&done.stderr)
    );
    let bytes = std::fs::read(&to).expect("what it wrote");
    let _ = std::fs::remove_file(to);
    Some(bytes)
}

fn by_us(parts: &[PathBuf]) -> Vec<u8> {
    let files: Vec<(String, Vec<u8>)> = parts
        .iter()
        .map(|p| (p.display().to_string(), std::fs::read(p).expect("a part")))
        .collect();
    let files: Vec<(&str, &[u8])> = files.iter().map(|(n, b)| (&**n, &**b)).collect();
    let linked = probity_objfile::link(&files).unwrap_or_else(|e| panic!("{parts:?}: {e}"));
    assert_eq!(linked.unresolved, Vec::<String>::new(), "{parts:?}");
    linked.bytes
}

/// A proof for the kernel that runs.
fn proved(bytes: &[u8], kind: Option<ProgType>) -> Verified {
    let types = std::fs::read("/sys/kernel/btf/vmlinux").ok();
    let types = types.map(|b| Arc::new(Btf::parse(&b).expect("the kernel's types")));
    let platform = Arc::new(Platform::linux(NEWEST, types));
    let mut object = probity_objfile::open("linked", bytes).expect("an object");
    for index in 0..object.maps.len() {
        let variables = variables(&object, &object.maps[index]);
        if let Some(data) = &mut object.maps[index].data {
            set(&variables, &mut data.bytes);
        }
    }
    let options = Options {
        kconfig: Some(BTreeMap::from([("CONFIG_BPF_SYSCALL".into(), "y".into())])),
        prog_type: kind,
        ..Options::default()
    };
    let report = verify(&object, &platform, &Policy::default(), &options).expect("a report");
    report.into_verified().unwrap_or_else(|r| {
        panic!(
            "not accepted here: {:?}",
            r.programs.iter().map(|p| &p.verdict).collect::<Vec<_>>()
        )
    })
}

/// Variables of a data section: name, offset and bytes.
fn variables(object: &Object, map: &probity_objfile::Map) -> Vec<(String, usize, usize)> {
    let (Some(btf), Some(data)) = (object.btf.as_deref(), &map.data) else {
        return Vec::new();
    };
    let Some(Type::DataSec { vars, .. }) = data.datasec.and_then(|d| btf.ty(d)) else {
        return Vec::new();
    };
    vars.iter()
        .map(|v| {
            (
                btf.name(v.var).to_string(),
                v.offset as usize,
                v.size as usize,
            )
        })
        .collect()
}

/// Variables that are elsewhere than the types say: some versions of libbpf leave the place of a weak one that another replaced.
fn misplaced(bytes: &[u8], opened: &Object) -> BTreeSet<String> {
    let file = object::File::parse(bytes).expect("an object");
    let places: BTreeMap<&str, u64> = file
        .symbols()
        .filter(|s| s.is_global())
        .filter_map(|s| Some((s.name().ok()?, s.address())))
        .collect();
    let variables = opened.maps.iter().flat_map(|map| variables(opened, map));
    let elsewhere = variables.filter(|(name, offset, _)| {
        let place = places.get(name.as_str());
        place.is_some_and(|place| *place != *offset as u64)
    });
    elsewhere.map(|(name, ..)| name).collect()
}

fn seen(session: &Session, object: &Object) -> Seen {
    let mut all = Seen::new();
    for map in &object.maps {
        let Ok(handle) = session.map(&map.name) else {
            continue;
        };
        let entries = handle.entries().expect("its elements");
        let variables = variables(object, map);
        for (key, values) in entries {
            let value = values.concat();
            if variables.is_empty() {
                all.insert((map.name.clone(), key), value);
                continue;
            }
            for (name, offset, size) in &variables {
                let bytes = value[*offset..offset + size].to_vec();
                all.insert((name.clone(), Vec::new()), bytes);
            }
        }
    }
    all
}

/// Programs of selftests act for one thread, and one system call, only: ours.
fn set(variables: &[(String, usize, usize)], bytes: &mut [u8]) {
    // SAFETY: it has no preconditions.
    let own = unsafe { libc::syscall(libc::SYS_gettid) } as u32;
    for (name, offset, size) in variables {
        let number = match name.as_str() {
            "my_tid" | "my_pid" => u64::from(own),
            "syscall_id" => CALL,
            _ => continue,
        };
        if let Some(place) = bytes.get_mut(*offset..offset + size) {
            place.copy_from_slice(&number.to_ne_bytes()[..*size]);
        }
    }
}

/// The number of a system call.
const CALL: u64 = 39;

/// Loads into Linux, runs every program that can be run by itself, twice; gives what is seen before and after.
fn run(verified: &Verified) -> Result<(Seen, Seen, usize), probity_loader::Error> {
    let object = &verified.relocated().object;
    let mut session = Session::load(verified)?;
    for map in &object.maps {
        let writable =
            |d: &probity_objfile::DataSection| matches!(d.kind, DataKind::Data | DataKind::Bss);
        if !map.data.as_ref().is_some_and(writable) {
            continue;
        }
        let Ok(handle) = session.map(&map.name) else {
            continue;
        };
        let key = [0; 4];
        let mut value = handle
            .lookup(&key)
            .expect("readable")
            .expect("there")
            .concat();
        set(&variables(object, map), &mut value);
        handle.update(&key, &value).expect("writable");
    }
    let before = seen(&session, object);
    let mut ran = 0;
    for _ in 0..2 {
        for p in verified.programs() {
            if p.prog_type() == ProgType::RAW_TRACEPOINT {
                let words = [0, CALL];
                session
                    .run_raw_tracepoint(p.name(), &words)
                    .expect("it runs");
                ran += 1;
            }
        }
    }
    Ok((before, seen(&session, object), ran))
}

/// Linux takes the object from libbpf, which knows where the kernel's variables without types are.
fn taken_from_libbpf(bytes: &[u8]) {
    let name = format!("probity-linked-{}", std::process::id());
    let file = std::env::temp_dir().join(format!("{name}.o"));
    let pins = Path::new("/sys/fs/bpf").join(&name);
    std::fs::write(&file, bytes).expect("written");
    let done = Command::new("bpftool")
        .args(["prog", "loadall"])
        .args([&file, &pins])
        .output();
    let _ = std::fs::remove_dir_all(&pins);
    let _ = std::fs::remove_file(&file);
    let Ok(done) = done else {
        println!("not loaded: no bpftool");
        return;
    };
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{said}");
}

/// Gives how many programs ran. `kind` is in the place of what sections say.
fn alike(parts: &[PathBuf], kind: Option<ProgType>) -> usize {
    let bytes = by_us(parts);
    let verified = proved(&bytes, kind);
    assert!(verified.programs().len() >= 2, "{parts:?}");
    let (before, ours, ran) = match run(&verified) {
        Ok(done) => done,
        Err(e) => {
            println!("{parts:?}: loaded by libbpf, and not run, as our loader does not: {e}");
            taken_from_libbpf(&bytes);
            return 0;
        }
    };
    assert!(
        ran == 0 || before != ours,
        "{parts:?}: its programs do nothing"
    );
    let Some(theirs) = by_libbpf(parts) else {
        println!("not compared with libbpf: no bpftool");
        return ran;
    };
    let ours_misplaced = misplaced(&bytes, &proved(&bytes, kind).relocated().object);
    assert!(ours_misplaced.is_empty(), "{parts:?}: {ours_misplaced:?}");
    let verified = proved(&theirs, kind);
    let elsewhere = misplaced(&theirs, &verified.relocated().object);
    let (mut first, mut theirs, _) = run(&verified).expect("Linux takes it");
    let (mut before, mut ours) = (before, ours);
    for all in [&mut before, &mut ours, &mut first, &mut theirs] {
        all.retain(|(name, _), _| !elsewhere.contains(name));
    }
    assert_eq!(before, first, "{parts:?}: what they start with");
    assert_eq!(ours, theirs, "{parts:?}: what they did");
    ran
}

#[test]
fn ours_are_taken_and_behave_as_libbpf_links_them() {
    if !allowed() {
        return;
    }
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../objfile/tests/data/link");
    let parts = ["first", "second"].map(|n| data.join(format!("{n}.bpf.o")));
    // Linux runs raw tracepoints by themselves, and no others of those that the programs could be.
    assert!(alike(&parts, Some(ProgType::RAW_TRACEPOINT)) >= 2);
}

#[test]
fn selftests_are_taken_and_behave_as_libbpf_links_them() {
    let Some(dir) = std::env::var_os("PROBITY_SELFTESTS").map(PathBuf::from) else {
        println!("skipped: PROBITY_SELFTESTS names no directory of built selftests");
        return;
    };
    if !allowed() {
        return;
    }
    let sets: &[&[&str]] = &[
        &["linked_funcs1", "linked_funcs2"],
        &["linked_maps1", "linked_maps2"],
        &["linked_vars1", "linked_vars2"],
        &["test_static_linked1", "test_static_linked2"],
        &[
            "test_subskeleton_lib2",
            "test_subskeleton_lib",
            "test_subskeleton",
        ],
        &["test_usdt", "test_usdt_multispec"],
    ];
    let mut ran = 0;
    for set in sets {
        let parts: Vec<PathBuf> = set.iter().map(|n| dir.join(format!("{n}.bpf.o"))).collect();
        if !parts.iter().all(|p| p.exists()) {
            println!("not there: {}", set.join(", "));
            continue;
        }
        let n = alike(&parts, None);
        println!("{}: {n} runs", set.join(", "));
        ran += n;
    }
    assert!(ran > 0, "none of them is in {}", dir.display());
}
