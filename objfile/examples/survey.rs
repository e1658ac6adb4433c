//! Opens object files, writes them and opens them again; with `--types FILE` relocates them for
//! the types in that file (`/sys/kernel/btf/vmlinux`), with `--kconfig FILE` for that
//! configuration; `--dump` prints every program's instructions, `--write DIR` keeps what was
//! written, `--write-relocated DIR` what could be relocated of it.

use std::error::Error;
use std::path::{Path, PathBuf};

use probity_btf::Btf;
use probity_objfile::{RelocTarget, open, parse_kconfig, relocate, write};

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let mut files = Vec::new();
    let (mut types, mut config, mut dir, mut after, mut dump) = (None, None, None, None, false);
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or("an option has no value");
        match arg.as_str() {
            "--types" => types = Some(Btf::parse(&std::fs::read(value()?)?)?),
            "--kconfig" => config = Some(parse_kconfig(&std::fs::read_to_string(value()?)?)),
            "--write" => dir = Some(PathBuf::from(value()?)),
            "--write-relocated" => after = Some(PathBuf::from(value()?)),
            "--dump" => dump = true,
            _ => files.push(arg),
        }
    }
    let target = RelocTarget {
        types: types.as_ref(),
        kernel_version: 6 << 16 | 18 << 8,
        kconfig: config.as_ref(),
        ksyms: None,
    };
    let (mut opened, mut same, mut programs, mut relocated) = (0, 0, 0, 0);
    for file in &files {
        let name = Path::new(file)
            .file_name()
            .unwrap_or_default()
            .to_string_lossy();
        let object = match open(&name, &std::fs::read(file)?) {
            Ok(object) => object,
            Err(e) => {
                println!("{name}: {e}");
                continue;
            }
        };
        opened += 1;
        match write(&object) {
            Ok(bytes) => {
                if let Some(dir) = &dir {
                    std::fs::write(dir.join(&*name), &bytes)?;
                }
                match open(&name, &bytes) {
                    Ok(again) if again == object => same += 1,
                    Ok(_) => println!("{name}: differs when written and opened again"),
                    Err(e) => println!("{name}: not opened again: {e}"),
                }
            }
            Err(e) => println!("{name}: not written: {e}"),
        }
        if target.types.is_some() {
            let result = relocate(&object, &target)?;
            if let Some(dir) = &after {
                let part = result.object.subset(|i, _| result.failed[i].is_none());
                match write(&part) {
                    Ok(bytes) => std::fs::write(dir.join(&*name), bytes)?,
                    Err(e) => println!("{name}: not written after relocation: {e}"),
                }
            }
            if dump {
                println!("ok {name}");
                for m in &object.maps {
                    println!(
                        " map {} type {} key {} value {} max {} flags {} extra {} ktype {} vtype {} numa {}",
                        m.name,
                        m.kind,
                        m.key_size,
                        m.value_size,
                        m.max_entries,
                        m.flags,
                        m.map_extra,
                        m.key_type.map_or(0, |t| t.0),
                        m.value_type.map_or(0, |t| t.0),
                        m.numa_node.unwrap_or(0)
                    );
                }
            }
            for (program, failed) in result.object.programs.iter().zip(&result.failed) {
                programs += 1;
                relocated += usize::from(failed.is_none());
                match failed {
                    Some(e) => println!(" prog {} failed: {e}", program.name),
                    None if dump => {
                        let bytes = program.insns.iter().flat_map(|i| i.to_bytes());
                        let hex: String = bytes.map(|b| format!("{b:02x}")).collect();
                        println!(
                            " prog {} type {} attach {} insns {} {hex}",
                            program.name,
                            program.hook.prog_type.map_or(0, |t| t.0),
                            program.hook.attach_type.map_or(0, |t| t.0),
                            program.insns.len()
                        );
                    }
                    None => {}
                }
            }
        }
    }
    println!(
        "{} files: {opened} opened, {same} the same when written and opened again",
        files.len()
    );
    if target.types.is_some() {
        println!("{programs} programs: {relocated} relocated");
    }
    Ok(())
}
