//! A script's text or tree → [`Script`]: its object, what its programs are attached to, its printer.

use std::sync::Arc;

use probity_objfile::Object;

use crate::ast::Ast;
use crate::check;
use crate::codegen;
use crate::diagnostics::{Diagnostics, Severity};
use crate::env::Environment;
use crate::hir::{ProgramDef, Stmt, StmtKind};
use crate::imports;
use crate::printer::{NoHost, Output, Printer};
use crate::probes::ProbeKind;
use crate::recording::{self, Need};
use crate::source::Span;

/// A compiled script.
#[derive(Debug)]
pub struct Script {
    /// Programs and maps; nothing in it is specific to this process.
    pub object: Object,
    /// In the script's order: `begin` probes are run in this order before anything is attached,
    /// `end` probes in this order after everything is detached.
    pub probes: Vec<Probe>,
    pub printer: Printer,
    /// What it asks that is in no event.
    pub needs: Vec<Need>,
    /// Warnings; empty when there is nothing to say.
    pub warnings: Diagnostics,
}

/// One place a program of the script is attached to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    pub kind: ProbeKind,
    /// The program's name in [`Script::object`]; others may have the same.
    pub program: String,
    /// Not written in the script: it notes the time of the start (`begin`), or ends the work of the programs
    /// of many tracepoints at once (`end`). It is not counted to people.
    pub implicit: bool,
    /// Attached in one call with all others of its program; it gets this as its cookie.
    pub multi: Option<u64>,
}

impl Script {
    /// Names of the object's own maps.
    pub const EVENTS: &'static str = codegen::EVENTS;
    /// Losses and the start's time.
    pub const GLOBALS: &'static str = codegen::GLOBALS;
    /// Where `dw_ustack` looks how frames follow each other: a table of [`crate::unwind`] by process.
    pub const UNWIND: &'static str = codegen::UNWIND;

    /// Processes, as keys, that run code of which their tables say nothing; whoever writes these takes them out.
    pub const UNWIND_WANTED: &'static str = codegen::UNWIND_WANTED;

    /// The program that is run before everything is detached: those of the tracepoints do nothing after it.
    pub fn gate(probes: &[Probe]) -> Option<&Probe> {
        probes
            .iter()
            .find(|p| p.implicit && p.kind == ProbeKind::End)
    }

    /// Whether nothing happens after the `begin` probes and walks that nobody else asks for: such a
    /// script ends by itself.
    pub fn ends_by_itself(&self) -> bool {
        self.probes.iter().all(|p| {
            matches!(
                p.kind,
                ProbeKind::Begin | ProbeKind::End | ProbeKind::Iter { pin: None, .. }
            )
        })
    }
}

/// Parses and compiles.
///
/// # Errors
/// Everything found wrong, each with its place.
pub fn compile_text(text: &str, name: &str, env: &Environment<'_>) -> Result<Script, Diagnostics> {
    compile(&crate::parse(text, name)?, env)
}

/// Compiles a parsed script for what is known of a machine.
///
/// # Errors
/// Everything found wrong, each with its place.
pub fn compile(ast: &Ast, env: &Environment<'_>) -> Result<Script, Diagnostics> {
    if env.sharing.kernel_multi || env.sharing.user_multi {
        // Where a program serves several places `func` is an address with a name: what needs its
        // text is compiled for each place.
        let shared = compile_once(ast, env, env.sharing);
        if shared.is_ok() {
            return shared;
        }
    }
    let apart = crate::env::Sharing {
        kernel_multi: false,
        user_multi: false,
        ..env.sharing
    };
    compile_once(ast, env, apart)
}

fn compile_once(
    ast: &Ast,
    env: &Environment<'_>,
    sharing: crate::env::Sharing,
) -> Result<Script, Diagnostics> {
    let mut checked = check::check(ast, env, sharing)?;
    let needs = recording::needs(&mut checked, &ast.source);
    if let Some(own) = env.record {
        recording::instrument(&mut checked, env, &ast.source, &needs, own)?;
    }
    close_gate(&mut checked, env);
    if checked.elapsed {
        note_start(&mut checked, env);
    }
    let (object, programs) =
        codegen::generate(&checked, env, &ast.source).map_err(|errors| Diagnostics {
            source: ast.source.clone(),
            list: errors,
        })?;
    let object = match ast.objects.is_empty() {
        true => object,
        false => imports::link(object, ast, env.allow_unsafe).map_err(|error| Diagnostics {
            source: ast.source.clone(),
            list: vec![error],
        })?,
    };
    let probes = checked
        .hir
        .programs
        .iter()
        .zip(programs)
        .enumerate()
        .map(|(n, (def, program))| {
            let kind = checked.probes[def.probe].clone();
            Probe {
                program,
                implicit: checked.elapsed && n == 0
                    || checked.gate && n == checked.hir.programs.len() - 1,
                multi: checked
                    .multi
                    .get(def.probe)
                    .is_some_and(|m| *m)
                    .then_some(def.probe as u64),
                kind,
            }
        })
        .collect();
    let printer = Printer {
        events: checked.events,
        maps: checked.hir.maps,
        probes: checked.probes.iter().map(ToString::to_string).collect(),
        output: Output::Text,
        print_maps_on_exit: checked.config.print_maps_on_exit,
        max_strlen: checked.config.max_strlen,
        trailer: checked.config.str_trunc_trailer,
        host: Arc::new(NoHost),
        clock_start: 0,
        said: Default::default(),
        errors: 0,
    };
    let mut warnings = checked.warnings;
    warnings.list.retain(|d| d.severity == Severity::Warning);
    Ok(Script {
        object,
        probes,
        printer,
        needs,
        warnings,
    })
}

/// Puts a program behind the others that closes the gate of a script with many tracepoints.
fn close_gate(checked: &mut check::Result_, env: &Environment<'_>) {
    let many = checked
        .probes
        .iter()
        .filter(|p| matches!(p, ProbeKind::Tracepoint { .. }))
        .count();
    if env.gate_from.is_none_or(|from| many < from) {
        return;
    }
    checked.gate = true;
    checked.probes.push(ProbeKind::End);
    let span = Span::default();
    checked.hir.programs.push(ProgramDef {
        probe: checked.probes.len() - 1,
        vars: Vec::new(),
        body: vec![Stmt {
            kind: StmtKind::StoreEnded,
            span,
        }],
        span,
    });
}

/// Puts a program in front that keeps the time.
fn note_start(checked: &mut check::Result_, env: &Environment<'_>) {
    let span = Span::default();
    let now = crate::builtins::now(env.clock, span);
    checked.probes.push(ProbeKind::Begin);
    checked.hir.programs.insert(
        0,
        ProgramDef {
            probe: checked.probes.len() - 1,
            vars: Vec::new(),
            body: vec![Stmt {
                kind: StmtKind::StoreStart(now),
                span,
            }],
            span,
        },
    );
}
