//! A script's own object and the objects that it imports → one object, linked.

use probity_objfile::{Extern, GPL_COMPATIBLE, Initial, Map, Object, Program};

use crate::ast::{Ast, Item};
use crate::diagnostics::Diagnostic;

/// Under which scripts are compiled.
const OWN_LICENSE: &str = "GPL";
/// Helpers that write to programs' memory, change what a function returns, and send signals.
const UNSAFE: [u32; 4] = [36, 58, 109, 117];
/// Kernel functions that do, or end the kernel itself.
const UNSAFE_KFUNCS: [&str; 2] = ["bpf_send_signal_task", "crash_kexec"];
/// `BPF_JMP | BPF_CALL`.
const CALL: u8 = 0x85;

/// Links a script's object with those that it imports. Its programs stay; those of the others do not.
///
/// Functions of the others become the script's own: each is verified where it is called, with what it is called with.
pub(crate) fn link(mut own: Object, ast: &Ast, allow_unsafe: bool) -> Result<Object, Diagnostic> {
    let place = ast.items.iter().find_map(|item| match item {
        Item::Import { path, span } => {
            let is_object = ast.objects.iter().any(|o| o.wanted == *path);
            is_object.then_some(*span)
        }
        _ => None,
    });
    let wrong =
        |e: &dyn std::fmt::Display| Diagnostic::error(place.unwrap_or_default(), e.to_string());
    let imported: Vec<(&str, &[u8])> = ast
        .objects
        .iter()
        .filter_map(|o| Some((o.name.as_str(), &**o.bytes.as_ref().ok()?)))
        .collect();
    for (name, bytes) in &imported {
        let license = probity_objfile::open(name, bytes)
            .map_err(|e| wrong(&e))?
            .license;
        let free = |l: &Option<String>| l.as_deref().is_some_and(|l| GPL_COMPATIBLE.contains(&l));
        if own.license.as_deref() == Some(OWN_LICENSE) && free(&license) {
            own.license = license;
        }
    }
    let names: Vec<String> = own.programs.iter().map(|p| p.name.clone()).collect();
    let bytes = probity_objfile::write(&own).map_err(|e| wrong(&e))?;
    // Its own data first: whoever reads it knows its places.
    let mut inputs = vec![(own.name.as_str(), bytes.as_slice())];
    inputs.extend(imported);
    let linked = probity_objfile::link(&inputs).map_err(|e| wrong(&e))?;
    if let [name, ..] = &linked.unresolved[..] {
        let d = wrong(&format_args!(
            "`{name}`, which an imported object uses, is defined by none of them"
        ));
        return Err(d.hint("import the object that defines it too"));
    }
    let mut object = probity_objfile::open(&own.name, &linked.bytes).map_err(|e| wrong(&e))?;
    // A map that is a section of data is read back with the section's name.
    for map in &mut object.maps {
        let section = |m: &Map| m.data.as_ref().map(|d| d.section.clone());
        let own = own
            .maps
            .iter()
            .find(|o| section(map).is_some() && section(o) == section(map));
        if let Some(own) = own {
            map.name = own.name.clone();
        }
    }
    let started: Vec<String> = object
        .maps
        .iter()
        .flat_map(|m| &m.initial)
        .filter_map(|(_, initial)| match initial {
            Initial::Program(name) => Some(name.clone()),
            Initial::Map(_) => None,
        })
        .collect();
    object
        .programs
        .retain(|p| names.contains(&p.name) || started.contains(&p.name));
    for program in &mut object.programs {
        for function in program.subprogs.iter_mut().skip(1) {
            function.global = false;
        }
    }
    let externs = &object.externs;
    let acting = object.programs.iter().find_map(|p| acts(p, externs));
    if let Some(function) = acting.filter(|_| !allow_unsafe) {
        let d = wrong(&format_args!(
            "the imported function `{function}` is unsafe: it changes more than its own memory"
        ));
        return Err(d.hint("allow it with --unsafe"));
    }
    // The script's order.
    object
        .programs
        .sort_by_key(|p| names.iter().position(|n| *n == p.name));
    Ok(object)
}

/// The function of a program, other than its own, that calls what scripts need leave for.
fn acts<'a>(program: &'a Program, externs: &[Extern]) -> Option<&'a str> {
    let own = program.subprogs.first().map_or(0, |s| s.end);
    let helpers = program
        .insns
        .iter()
        .enumerate()
        .filter(|(_, i)| i.opcode == CALL && i.src == 0 && UNSAFE.contains(&(i.imm as u32)));
    let kfuncs = program.extern_refs.iter().filter(|r| {
        let named = externs.get(r.index).map(|e| e.name.as_str());
        named.is_some_and(|name| UNSAFE_KFUNCS.contains(&name))
    });
    let places = helpers.map(|(pc, _)| pc).chain(kfuncs.map(|r| r.pc));
    let pc = places.filter(|pc| *pc >= own).min()?;
    let function = program
        .subprogs
        .iter()
        .find(|s| s.start <= pc && pc < s.end)?;
    Some(&function.name)
}
