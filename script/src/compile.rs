//! A script's text or tree → [`Script`]: its object, what its programs are attached to, its printer.

use std::sync::Arc;

use probity_objfile::Object;

use crate::ast::Ast;
use crate::check;
use crate::codegen::{self, program_name};
use crate::diagnostics::{Diagnostics, Severity};
use crate::env::Environment;
use crate::hir::{ProgramDef, Stmt, StmtKind};
use crate::printer::{NoHost, Output, Printer};
use crate::probes::ProbeKind;
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
    /// Warnings; empty when there is nothing to say.
    pub warnings: Diagnostics,
}

/// One place a program of the script is attached to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    pub kind: ProbeKind,
    /// The program's name in [`Script::object`].
    pub program: String,
    /// Not written in the script: it notes the time of the start. It is not counted to people.
    pub implicit: bool,
}

impl Script {
    /// Names of the object's own maps.
    pub const EVENTS: &'static str = codegen::EVENTS;
    /// Losses and the start's time.
    pub const GLOBALS: &'static str = codegen::GLOBALS;

    /// Whether nothing happens after the `begin` probes: such a script ends by itself.
    pub fn only_begin_and_end(&self) -> bool {
        self.probes
            .iter()
            .all(|p| matches!(p.kind, ProbeKind::Begin | ProbeKind::End))
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
    let mut checked = check::check(ast, env)?;
    if checked.elapsed {
        note_start(&mut checked, env);
    }
    let (object, _) =
        codegen::generate(&checked, env, &ast.source).map_err(|errors| Diagnostics {
            source: ast.source.clone(),
            list: errors,
        })?;
    let probes = checked
        .hir
        .programs
        .iter()
        .enumerate()
        .map(|(n, def)| {
            let kind = checked.probes[def.probe].clone();
            Probe {
                program: program_name(n, &kind),
                implicit: checked.elapsed && n == 0,
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
    };
    let mut warnings = checked.warnings;
    warnings.list.retain(|d| d.severity == Severity::Warning);
    Ok(Script {
        object,
        probes,
        printer,
        warnings,
    })
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
