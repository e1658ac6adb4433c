//! [`Ast`] × [`Environment`] → typed programs and the printer's events.
//!
//! The types of maps and variables follow from how they are used, anywhere in the script: the whole
//! script is walked again until no walk learns a new type, and what the last walk gives is the result.

mod access;
mod args;
mod constants;
mod convert;
mod expr;
mod filters;
mod imported;
mod known;
mod macros;
mod mem;
mod named;
mod operators;
mod stmt;
mod user;

use std::collections::HashMap;

use crate::ast::{self, Ast, Item};
use crate::builtins;
use crate::config::{Config, MissingProbes};
use crate::diagnostics::{Diagnostic, Diagnostics};
use crate::env::Environment;
use crate::event::Event;
use crate::hir::{Hir, MapDef, MapKind, ProgramDef};
use crate::probes::{self, ProbeKind};
use crate::source::Span;
use crate::types::{Space, Ty};

pub(crate) use args::ctx_word;
pub(crate) use expr::literal;
pub use filters::{CgroupFilter, NamespaceFilter};
pub(crate) use known::{known, literal_type};
pub(crate) use named::Declared;

pub(crate) type Checked<T> = Result<T, Diagnostic>;

/// Walks over the script before types must have settled.
const MAX_WALKS: usize = 12;

/// What the checker gives.
#[derive(Debug)]
pub(crate) struct Result_ {
    pub hir: Hir,
    pub probes: Vec<ProbeKind>,
    pub events: Vec<Event>,
    pub config: Config,
    pub stacks: Vec<u32>,
    pub unwinds: bool,
    /// Whether the start's time is needed.
    pub elapsed: bool,
    /// Programs of tracepoints leave at once when the script has ended.
    pub gate: bool,
    /// By probe: attached with others in one call.
    pub multi: Vec<bool>,
    pub warnings: Diagnostics,
}

pub(crate) struct Checker<'a> {
    pub env: &'a Environment<'a>,
    pub ast: &'a Ast,
    pub config: Config,
    pub found: Diagnostics,
    pub maps: Vec<MapDef>,
    pub events: Vec<Event>,
    pub probes: Vec<ProbeKind>,
    pub stacks: Vec<u32>,
    pub unwinds: bool,
    pub elapsed: bool,
    pub patterns: Vec<crate::hir::Glob>,
    /// Functions of imported objects.
    imported: imported::Imported,
    /// Those that are called.
    called: Vec<String>,
    pub declared: Declared,
    multi: Vec<bool>,
    /// Functions whose debug information was read: file and symbol.
    user_functions: HashMap<(String, String), std::sync::Arc<[user::Param]>>,
    macros: HashMap<&'a str, &'a ast::Macro>,
    /// Types learnt of variables: by program and number.
    var_types: HashMap<(usize, usize), Ty>,
    /// Integers that variables were declared as.
    declared_vars: HashMap<(usize, usize), Ty>,
    changed: bool,
    // The program being checked.
    program: usize,
    vars: Vec<Ty>,
    scopes: Vec<Scope<'a>>,
    /// Variables of blocks that have ended: older scripts read them afterwards.
    ended: HashMap<String, usize>,
    loops: u32,
    macro_depth: u32,
    /// Calls of the macros being checked, the outermost first.
    pub macro_calls: Vec<Span>,
    /// What `getopt` asks for: name, and its default and meaning as told to people.
    pub options: Vec<(String, String)>,
    depth: u32,
}

/// The names of a block.
#[derive(Default)]
struct Scope<'a> {
    vars: HashMap<String, usize>,
    /// A macro's body does not see the caller's variables.
    barrier: bool,
    maps: HashMap<&'a str, String>,
    exprs: HashMap<&'a str, Argument<'a>>,
}

/// A macro's argument with where its names are looked up.
#[derive(Clone, Copy)]
struct Argument<'a> {
    expr: &'a ast::Expr,
    /// How many scopes were open at the call.
    depth: usize,
}

/// Checks a script.
pub(crate) fn check<'a>(
    ast: &'a Ast,
    env: &'a Environment<'a>,
    sharing: crate::env::Sharing,
) -> Result<Result_, Diagnostics> {
    let mut c = Checker {
        env,
        ast,
        config: Config::default(),
        found: Diagnostics::new(ast.source.clone()),
        maps: Vec::new(),
        events: Vec::new(),
        probes: Vec::new(),
        stacks: Vec::new(),
        unwinds: false,
        elapsed: false,
        patterns: Vec::new(),
        imported: imported::Imported::default(),
        called: Vec::new(),
        declared: Declared::default(),
        multi: Vec::new(),
        user_functions: HashMap::new(),
        macros: HashMap::new(),
        var_types: HashMap::new(),
        declared_vars: HashMap::new(),
        changed: false,
        program: 0,
        vars: Vec::new(),
        scopes: Vec::new(),
        ended: HashMap::new(),
        loops: 0,
        macro_depth: 0,
        macro_calls: Vec::new(),
        options: Vec::new(),
        depth: 0,
    };
    c.items();
    let points = c.attach_points();
    if c.found.has_errors() {
        return Err(c.found);
    }
    let places: Vec<(usize, &ProbeKind)> = points
        .iter()
        .map(|(probe, kind)| (std::ptr::from_ref(*probe) as usize, kind))
        .collect();
    c.multi = crate::codegen::sharing::multi(&places, sharing);
    let before = c.found.clone();
    let mut programs = Vec::new();
    for _ in 0..MAX_WALKS {
        c.changed = false;
        c.found = before.clone();
        c.events.clear();
        c.stacks.clear();
        c.unwinds = false;
        c.elapsed = false;
        programs = points
            .iter()
            .enumerate()
            .map(|(n, (probe, kind))| c.program(n, probe, kind.clone()))
            .collect();
        if !c.changed {
            break;
        }
    }
    c.unassigned_maps();
    c.unknown_options();
    if c.found.has_errors() {
        return Err(c.found);
    }
    Ok(Result_ {
        hir: Hir {
            maps: c.maps,
            patterns: c.patterns,
            functions: c.called,
            programs,
        },
        probes: points.into_iter().map(|(_, k)| k).collect(),
        events: c.events,
        config: c.config,
        stacks: c.stacks,
        unwinds: c.unwinds,
        elapsed: c.elapsed,
        gate: false,
        multi: c.multi,
        warnings: c.found,
    })
}

impl<'a> Checker<'a> {
    fn items(&mut self) {
        let ast = self.ast;
        let mut imports = Vec::new();
        for item in &ast.items {
            match item {
                Item::Config(entries) => {
                    for d in self.config.set_all(entries) {
                        self.found.push(d);
                    }
                }
                Item::Type(decl) => {
                    if let Err(d) = self.declare_type(decl) {
                        self.found.push(d);
                    }
                }
                Item::Macro(m) => {
                    if self.macros.insert(&m.name, m).is_some() {
                        self.found.push(Diagnostic::error(
                            m.span,
                            format!("the macro `{}` is defined twice", m.name),
                        ));
                    }
                }
                Item::Import { path, span } => {
                    // The standard library is built in; files were read with the script.
                    if path.ends_with(".bc") && !path.starts_with("stdlib") {
                        self.found.push(
                            Diagnostic::error(
                                *span,
                                format!("`{path}` is for LLVM: scripts import scripts, headers, C and objects"),
                            )
                            .hint("compile the C to an object: `clang --target=bpf -g -O2 -c FILE.bpf.c`"),
                        );
                    } else if let Some(object) = ast.objects.iter().find(|o| o.wanted == *path) {
                        imports.push((object, *span));
                    } else if !path.starts_with("stdlib") && !ast.imported.iter().any(|p| p == path)
                    {
                        self.found.push(
                            Diagnostic::error(*span, format!("cannot find `{path}`"))
                                .hint("it is looked for beside the script and where -I says"),
                        );
                    }
                }
                Item::Map(m) => self.declare_map(m),
                Item::Probe(_) => {}
            }
        }
        // Behind all declarations: what the script declares itself is what it means.
        for (object, span) in imports {
            self.import(object, span);
        }
        for (key, value) in &self.env.config {
            if let Err(d) = self.config.set(key, value, Span::default()) {
                self.found.push(d);
            }
        }
        if !ast.items.iter().any(|i| matches!(i, Item::Probe(_))) {
            self.found.push(
                Diagnostic::error(Span::default(), "the script has no probe")
                    .hint("try `begin { printf(\"hi\\n\"); }`"),
            );
        }
    }

    fn declare_map(&mut self, m: &ast::MapDecl) {
        let kind = match m.kind.as_str() {
            "hash" => MapKind::Hash,
            "lruhash" => MapKind::LruHash,
            "percpuhash" => MapKind::PercpuHash,
            "percpulruhash" => MapKind::PercpuLruHash,
            other => {
                self.found.push(
                    Diagnostic::error(m.span, format!("unknown kind of map `{other}`"))
                        .suggest(other, ["hash", "lruhash", "percpuhash", "percpulruhash"]),
                );
                return;
            }
        };
        let Ok(entries @ 1..) = u32::try_from(m.entries) else {
            self.found.push(Diagnostic::error(
                m.span,
                "a map needs room for 1 to 4294967295 entries",
            ));
            return;
        };
        self.maps.push(MapDef {
            name: m.name.clone(),
            keys: Vec::new(),
            value: Ty::Unknown,
            declared: Some((kind, entries)),
            span: m.span,
        });
    }

    /// Every probe with each place it is attached to.
    fn attach_points(&mut self) -> Vec<(&'a ast::Probe, ProbeKind)> {
        let mut out = Vec::new();
        let ast = self.ast;
        for item in &ast.items {
            let Item::Probe(probe) = item else { continue };
            let (before, mut missing) = (out.len(), Vec::new());
            for point in &probe.attach {
                let text = self.with_positionals(&point.text);
                if self.env.by_hand_only && !probes::by_hand(&text) {
                    continue;
                }
                match probes::expand(&text, point.span, self.env) {
                    Ok(kinds) => out.extend(kinds.into_iter().map(|k| (probe, k))),
                    // Functions come and go with kernels and libraries: scripts list the names of several. So do
                    // events with what was recorded.
                    Err(mut d)
                        if !self.config.missing_probes_set
                            && probe.attach.len() > 1
                            && (self.env.recorded || probes::names_function(&text)) =>
                    {
                        d.severity = crate::Severity::Warning;
                        missing.push(d);
                    }
                    Err(mut d) => match self.config.missing_probes {
                        MissingProbes::Error => self.found.push(d),
                        MissingProbes::Warn => {
                            d.severity = crate::Severity::Warning;
                            self.found.push(d);
                        }
                        MissingProbes::Ignore => {}
                    },
                }
            }
            for mut d in missing {
                if out.len() == before {
                    d.severity = crate::Severity::Error;
                }
                self.found.push(d);
            }
        }
        if let Some(wanted) = &self.env.wanted {
            out.retain(|(_, k)| {
                matches!(k, ProbeKind::Begin | ProbeKind::End) || wanted(&k.to_string())
            });
            if out.is_empty() {
                self.found.push(Diagnostic::error(
                    Span::default(),
                    "no probe fits the filter",
                ));
            }
        }
        let limit = self.config.max_probes as usize;
        if out.len() > limit {
            self.found.push(
                Diagnostic::error(
                    Span::default(),
                    format!(
                        "the script attaches to {} places, more than {limit}",
                        out.len()
                    ),
                )
                .hint("raise the config variable `max_probes`"),
            );
        }
        out
    }

    /// `$1` in an attach point.
    fn with_positionals(&self, text: &str) -> String {
        let mut out = String::new();
        let mut rest = text;
        while let Some(at) = rest.find('$') {
            out.push_str(&rest[..at]);
            let digits = rest[at + 1..]
                .bytes()
                .take_while(u8::is_ascii_digit)
                .count();
            let number = &rest[at + 1..at + 1 + digits];
            match number.parse::<usize>().ok().and_then(|n| n.checked_sub(1)) {
                Some(n) => out.push_str(self.env.positional.get(n).map_or("", String::as_str)),
                None => out.push('$'),
            }
            rest = &rest[at + 1 + digits..];
        }
        out.push_str(rest);
        out
    }

    fn program(&mut self, number: usize, probe: &'a ast::Probe, kind: ProbeKind) -> ProgramDef {
        self.program = number;
        if self.probes.len() <= number {
            self.probes.push(kind);
        }
        self.vars.clear();
        self.ended.clear();
        self.scopes = vec![Scope::default()];
        self.loops = 0;
        let body = self.probe_body(probe);
        self.scopes.clear();
        ProgramDef {
            probe: number,
            vars: std::mem::take(&mut self.vars),
            body,
            span: probe.span,
        }
    }

    pub fn probe(&self) -> &ProbeKind {
        &self.probes[self.program]
    }

    /// Declarations are read before there is any.
    fn probe_if_any(&self) -> Option<&ProbeKind> {
        self.probes.get(self.program)
    }

    /// Where addresses that events hand over point to.
    pub fn space(&self) -> Space {
        match self.probe() {
            ProbeKind::Uprobe { .. } | ProbeKind::Usdt { .. } => Space::User,
            ProbeKind::Tracepoint { category, .. } if category == "syscalls" => Space::User,
            _ => Space::Kernel,
        }
    }

    /// Whether one program serves this and other places, which only its cookie tells apart.
    pub fn is_multi(&self) -> bool {
        self.multi.get(self.program) == Some(&true)
    }

    pub fn probe_index(&self) -> usize {
        self.program
    }

    pub fn event(&mut self, event: Event) -> usize {
        if let Some(n) = self.events.iter().position(|e| *e == event) {
            return n;
        }
        self.events.push(event);
        self.events.len() - 1
    }

    /// A variable of the current block, with the type that earlier walks learnt.
    fn new_var(&mut self, name: &str, ty: &Ty, span: Span) -> Checked<usize> {
        let id = self.vars.len();
        if id >= 256 {
            return Err(Diagnostic::error(
                span,
                "more than 256 variables in one probe",
            ));
        }
        self.vars.push(Ty::Unknown);
        if let Some(scope) = self.scopes.last_mut() {
            scope.vars.insert(name.to_owned(), id);
        }
        self.refine_var(id, name, ty, span)?;
        Ok(id)
    }

    /// A variable without a name.
    pub fn temp(&mut self, ty: &Ty, span: Span) -> Checked<usize> {
        self.new_var("", ty, span)
    }

    fn refine_var(&mut self, id: usize, name: &str, ty: &Ty, span: Span) -> Checked<()> {
        let at = (self.program, id);
        let known = self.var_types.get(&at).cloned().unwrap_or(Ty::Unknown);
        let merged = known.unify(ty).ok_or_else(|| {
            Diagnostic::error(
                span,
                format!("type mismatch: `${name}` holds a value of type `{known}`, this is of type `{ty}`"),
            )
            .hint("use another variable, or a cast")
        })?;
        if merged != known {
            self.changed = true;
            self.var_types.insert(at, merged.clone());
        }
        self.vars[id] = merged;
        Ok(())
    }

    fn find_var(&self, name: &str) -> Option<usize> {
        for scope in self.scopes.iter().rev() {
            if let Some(id) = scope.vars.get(name) {
                return Some(*id);
            }
            if scope.barrier {
                return None;
            }
        }
        None
    }

    /// The map that a name means here: a macro's parameter or itself.
    fn map_name(&self, name: &str) -> String {
        for scope in self.scopes.iter().rev() {
            if let Some(n) = scope.maps.get(name) {
                return n.clone();
            }
            if scope.barrier {
                break;
            }
        }
        name.to_owned()
    }

    fn map_index(&mut self, name: &str, span: Span) -> usize {
        let name = self.map_name(name);
        if let Some(n) = self.maps.iter().position(|m| m.name == name) {
            return n;
        }
        self.maps.push(MapDef {
            name,
            keys: Vec::new(),
            value: Ty::Unknown,
            declared: None,
            span,
        });
        self.changed = true;
        self.maps.len() - 1
    }

    /// A map by name alone, as `print(@x)` and `clear(@x)` take it.
    pub fn whole_map(&mut self, e: &'a ast::Expr) -> Option<usize> {
        match &e.kind {
            ast::ExprKind::Map { name, keys } if keys.is_empty() => {
                Some(self.map_index(&name.clone(), e.span))
            }
            ast::ExprKind::Ident(name) => {
                let arg = self.macro_argument(name)?;
                self.whole_map(arg.expr)
            }
            _ => None,
        }
    }

    /// A map of histograms, statistics or series, which have no single number.
    pub fn collecting_map(&self, name: &str) -> Option<usize> {
        let name = self.map_name(name);
        self.maps.iter().position(|m| {
            m.name == name
                && matches!(m.value, Ty::Agg(a) if a.buckets().is_some() || a.name() == "stats")
        })
    }

    fn refine_keys(&mut self, map: usize, keys: &[Ty], span: Span) -> Checked<()> {
        let known = self.maps[map].keys.clone();
        let name = self.maps[map].name.clone();
        let unset = known.is_empty() && self.maps[map].value == Ty::Unknown;
        if known.len() != keys.len() && !unset {
            return Err(Diagnostic::error(
                span,
                match (known.len(), keys.len()) {
                    (0, _) => format!("`@{name}` is used without keys elsewhere"),
                    (n, 0) => format!("`@{name}` needs {n} key{}", if n == 1 { "" } else { "s" }),
                    (n, m) => format!("`@{name}` has {n} keys elsewhere, here {m}"),
                },
            ));
        }
        let merged = if unset {
            keys.to_vec()
        } else {
            let mut merged = Vec::new();
            for (a, b) in known.iter().zip(keys) {
                merged.push(a.unify(b).ok_or_else(|| {
                    Diagnostic::error(
                        span,
                        format!("type mismatch: a key of `@{name}` is of type `{a}` elsewhere, here `{b}`"),
                    )
                    .hint("all keys of a map have the same types; use another map")
                })?);
            }
            merged
        };
        if merged != known {
            self.maps[map].keys = merged;
            self.changed = true;
        }
        Ok(())
    }

    fn refine_value(&mut self, map: usize, ty: &Ty, span: Span) -> Checked<()> {
        let known = self.maps[map].value.clone();
        let name = &self.maps[map].name;
        let wrong = || {
            Diagnostic::error(
                span,
                format!(
                    "type mismatch: `@{name}` holds values of type `{known}`, this is of type `{ty}`"
                ),
            )
            .hint("all values of a map have one type; use another map")
        };
        if let (Ty::Agg(a), Ty::Agg(b)) = (&known, ty)
            && a.buckets().is_some()
            && a != b
            && a.name() == b.name()
        {
            return Err(wrong().hint("a histogram has the same buckets everywhere"));
        }
        let merged = known.unify(ty).ok_or_else(wrong)?;
        if merged != known {
            self.maps[map].value = merged;
            self.changed = true;
        }
        Ok(())
    }

    /// Options given to the script that no `getopt` asks for.
    fn unknown_options(&mut self) {
        for (name, _) in &self.env.named {
            if self.options.iter().any(|(known, _)| known == name) {
                continue;
            }
            let mut lines: Vec<String> = self
                .options
                .iter()
                .map(|(known, meaning)| match meaning.as_str() {
                    "" => format!("--{known}"),
                    meaning => format!("--{known}: {meaning}"),
                })
                .collect();
            lines.sort();
            let d = Diagnostic::error(
                Span::default(),
                format!("unexpected program option: --{name}"),
            );
            self.found.push(if lines.is_empty() {
                d.hint("the script takes no options")
            } else {
                d.hint(format!("expected program options:\n{}", lines.join("\n")))
            });
        }
    }

    fn unassigned_maps(&mut self) {
        let missing: Vec<(String, Span)> = self
            .maps
            .iter()
            .filter(|m| m.value == Ty::Unknown)
            .map(|m| (m.name.clone(), m.span))
            .collect();
        for (name, span) in missing {
            let known: Vec<&str> = self
                .maps
                .iter()
                .filter(|m| m.value != Ty::Unknown)
                .map(|m| m.name.as_str())
                .collect();
            let d = Diagnostic::error(span, format!("undefined map: @{name}"));
            let d = match crate::diagnostics::nearest(&name, known) {
                Some(near) => d.hint(format!("did you mean `@{near}`?")),
                None => d.hint("nothing is ever assigned to it"),
            };
            self.found.push(d);
        }
    }

    /// Names that calls and values can have.
    fn known_names(&self) -> Vec<&'a str> {
        let mut names: Vec<&str> = builtins::ROWS
            .iter()
            .flat_map(|r| r.names.iter().copied())
            .collect();
        names.extend(self.macros.keys().copied());
        names
    }

    /// Names that calls alone can have beside those.
    fn imported_names(&self) -> impl Iterator<Item = &str> {
        self.imported.functions.keys().map(String::as_str)
    }
}
