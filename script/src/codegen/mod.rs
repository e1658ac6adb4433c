//! Typed programs → an extension object: one program an attach point, and the maps they share.
//!
//! Registers: r6 holds the context, r7 the program's cell of per-CPU scratch memory when it needs
//! one, r8 and r9 hold intermediate numbers across calls; everything else that has to last is on the
//! stack. A number is worked out into r0, a larger value straight into the memory it is wanted in.

mod access;
mod aggregate;
mod callback;
mod maps;
mod mem;
mod memory;
mod scalar;
mod series;
pub(crate) mod sharing;
mod stmt;
mod strings;
pub(crate) mod unwind;

use std::sync::Arc;

use probity_isa::{Reg, Size};
use probity_objfile::{Line, Object, ObjectBuilder};

use crate::check::Result_ as CheckedScript;
use crate::diagnostics::Diagnostic;
use crate::emit::{Asm, Label};
use crate::env::Environment;
use crate::hir::{Hir, ProgramDef};
use crate::probes::ProbeKind;
use crate::source::{Source, Span};
use crate::types::Ty;

pub(crate) use maps::{
    EVENTS, GLOBALS, Layout, UNWIND, UNWIND_WANTED, UNWOUND, map_name, stacks_of,
};

/// Offsets in the single value of the map `.bss`.
pub(crate) mod globals {
    /// Records that found no room in the ring buffer.
    pub const LOST: u32 = 0;
    /// Updates that a map refused, most often because it was full.
    pub const FAILED_UPDATES: u32 = 8;
    /// When the script began.
    pub const START: u32 = 16;
    /// Not 0 when the programs behind the gate do nothing any more.
    pub const ENDED: u32 = 24;
    pub const BYTES: u32 = 64;
}

/// Bytes of stack for values and intermediates, of 512.
/// A callback's own frame, which counts 32 bytes, must still fit beside it.
const STACK_BYTES: i32 = 440;
/// Of a script that calls functions of imported objects: half of the stack is theirs.
const STACK_BYTES_BESIDE: i32 = 216;
/// Largest scratch cell: offsets in it must fit a load's 16 bits.
const SCRATCH_BYTES: u32 = 32_000;

pub(super) type Generated<T> = Result<T, Diagnostic>;

/// Where a stored value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// From r10.
    Stack(i32),
    /// From r7.
    Scratch(i32),
}

impl Place {
    fn off(self) -> i32 {
        match self {
            Place::Stack(o) | Place::Scratch(o) => o,
        }
    }

    fn plus(self, n: u32) -> Place {
        match self {
            Place::Stack(o) => Place::Stack(o + n as i32),
            Place::Scratch(o) => Place::Scratch(o + n as i32),
        }
    }
}

/// Where an intermediate number waits.
#[derive(Clone, Copy, Debug)]
pub(super) enum Held {
    Reg(Reg),
    Stack(i32),
}

/// Where jumps out of a loop go.
#[derive(Clone, Copy, Debug)]
struct Loop {
    out: Label,
    again: Label,
}

/// One program being written.
pub(super) struct Gen<'a> {
    asm: Asm,
    hir: &'a Hir,
    layout: &'a Layout,
    cpus: u32,
    on_stack_limit: u32,
    timed_draining: bool,
    /// Leaves at once when the script has ended.
    gated: bool,
    probe: &'a ProbeKind,
    vars: Vec<Place>,
    var_types: &'a [Ty],
    /// Lowest byte in use, from r10.
    stack: i32,
    scratch: u32,
    scratch_most: u32,
    held: u8,
    loops: Vec<Loop>,
    done: Label,
    /// Whether r7 is set up.
    has_scratch: bool,
    /// The main function's frame: r10 in it, r9 in callbacks.
    fp: Reg,
    /// Bodies of loops over maps, to be written behind the main function.
    callbacks: Vec<callback::Pending<'a>>,
    /// Walks over user stacks, to be written behind those.
    walks: Vec<unwind::Walk>,
}

pub(super) const R0: Reg = Reg::R0;
pub(super) const R1: Reg = Reg::R1;
pub(super) const R2: Reg = Reg::R2;
pub(super) const R3: Reg = Reg::R3;
pub(super) const R4: Reg = Reg::R4;
pub(super) const R5: Reg = Reg::R5;
pub(super) const R6: Reg = Reg::R6;
pub(super) const R7: Reg = Reg::R7;
pub(super) const R8: Reg = Reg::R8;
pub(super) const R9: Reg = Reg::R9;
pub(super) const R10: Reg = Reg::R10;

/// `bpf_map_lookup_elem`.
pub(super) const MAP_LOOKUP_ELEM: u32 = 1;

/// Compiles every program of a checked script; gives the name of each definition's program too.
///
/// # Errors
/// What does not fit a program's limits, with its place.
pub(crate) fn generate(
    checked: &CheckedScript,
    env: &Environment<'_>,
    source: &Arc<Source>,
) -> Result<(Object, Vec<String>), Vec<Diagnostic>> {
    let mut layout = Layout::new(checked);
    let mut errors = Vec::new();
    let mut programs: Vec<probity_objfile::ProgramDef> = Vec::new();
    let mut program_of = Vec::new();
    let mut shared = sharing::Shared::default();
    let mut scratch_most = 0;
    for (n, def) in checked.hir.programs.iter().enumerate() {
        let kind = &checked.probes[def.probe];
        let multi = checked.multi.get(def.probe) == Some(&true);
        // As the first program, so that programs that mean the same are the same.
        layout.program = 0;
        let mut written = write_whole(def, kind, checked, &layout, env);
        let sharing = match &written {
            Ok(w) if env.sharing.programs => sharing::key(def, kind, multi, &w.code.insns),
            _ => None,
        };
        if let Some(place) = sharing.as_ref().and_then(|s| shared.find(s)) {
            let name: String = programs[place].name.clone();
            program_of.push(name);
            continue;
        }
        let place = programs.len();
        if place > 0 && written.is_ok() {
            layout.program = place as u32;
            written = write_whole(def, kind, checked, &layout, env);
        }
        match written {
            Ok(w) => {
                scratch_most = scratch_most.max(w.scratch);
                let mut program = finish(w, n, kind, source);
                if multi && let Some(section) = sharing::section(kind) {
                    program.section = section;
                }
                program_of.push(program.name.clone());
                programs.push(program);
                if let Some(key) = sharing {
                    shared.add(key, place);
                }
            }
            Err(d) => errors.push(d),
        }
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    layout.set_scratch(scratch_most, programs.len() as u32);
    let mut builder = ObjectBuilder::new(&source.name);
    builder.license(&checked.config.license);
    for map in &layout.maps {
        builder.add_map(map.clone());
    }
    for function in &checked.hir.functions {
        builder.add_function(function);
    }
    let wrong = |e: probity_objfile::Error| vec![Diagnostic::error(Span::default(), e.to_string())];
    for program in programs {
        builder.add_program(program).map_err(wrong)?;
    }
    let object = builder.build().map_err(wrong)?;
    Ok((object, program_of))
}

/// Whether scratch memory is needed shows only while writing; then it is written again with it.
fn write_whole(
    def: &ProgramDef,
    kind: &ProbeKind,
    checked: &CheckedScript,
    layout: &Layout,
    env: &Environment<'_>,
) -> Generated<Written> {
    let written = write(def, kind, checked, layout, env, false);
    match &written {
        Ok(w) if w.scratch > 0 => write(def, kind, checked, layout, env, true),
        _ => written,
    }
}

struct Written {
    code: crate::emit::Code,
    scratch: u32,
}

fn write(
    def: &ProgramDef,
    kind: &ProbeKind,
    checked: &CheckedScript,
    layout: &Layout,
    env: &Environment<'_>,
    has_scratch: bool,
) -> Generated<Written> {
    let mut asm = Asm::new();
    asm.at(def.span);
    let done = asm.label();
    let mut g = Gen {
        asm,
        hir: &checked.hir,
        layout,
        cpus: env.cpus.max(1),
        on_stack_limit: checked.config.on_stack_limit,
        timed_draining: env.timed_draining,
        gated: checked.gate && matches!(kind, ProbeKind::Tracepoint { .. }),
        probe: kind,
        vars: Vec::new(),
        var_types: &def.vars,
        stack: 0,
        scratch: 0,
        scratch_most: 0,
        held: 0,
        loops: Vec::new(),
        done,
        has_scratch,
        fp: R10,
        callbacks: Vec::new(),
        walks: Vec::new(),
    };
    g.program(def)?;
    let scratch = g.scratch_most;
    let code = g
        .asm
        .finish()
        .map_err(|span| Diagnostic::error(span, "the program is too long for its jumps"))?;
    Ok(Written { code, scratch })
}

fn finish(
    mut w: Written,
    n: usize,
    kind: &ProbeKind,
    source: &Arc<Source>,
) -> probity_objfile::ProgramDef {
    let mut texts: Vec<((Arc<str>, u32), Arc<str>)> = Vec::new();
    let lines = w
        .code
        .places
        .iter()
        .map(|(pc, span)| {
            let at = source.position(span.start);
            let place = (source.file(span.start), at.line);
            let text = match texts.iter().find(|(p, _)| *p == place) {
                Some((_, t)) => t.clone(),
                None => {
                    let t: Arc<str> = source.line_at(span.start).into();
                    texts.push((place.clone(), t.clone()));
                    t
                }
            };
            Line {
                pc: *pc,
                file: place.0,
                line: at.line,
                column: at.column,
                text,
            }
        })
        .collect();
    probity_objfile::ProgramDef {
        name: program_name(n, kind),
        section: kind.section(),
        calls: w.code.outside(),
        insns: w.code.insns,
        subprogs: w.code.subprogs,
        lines,
    }
}

/// A program's name: its probe as far as C's names allow it, and its number.
pub(crate) fn program_name(n: usize, kind: &ProbeKind) -> String {
    let text: String = kind
        .to_string()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
        .take(64)
        .collect();
    format!("{text}_{}", n + 1)
}

impl<'a> Gen<'a> {
    fn program(&mut self, def: &'a ProgramDef) -> Generated<()> {
        self.asm.mov(R6, R1);
        if self.gated {
            let done = self.done;
            self.asm
                .map_value(R1, self.layout.globals_index, globals::ENDED);
            self.asm.load(Size::DW, R0, R1, 0);
            self.asm.jump_if(probity_isa::JmpOp::Ne, R0, 0, done);
        }
        if self.has_scratch {
            self.scratch_pointer();
        }
        for ty in &def.vars {
            let place = match ty {
                t if t.stored() <= 8 => self.small(def.span)?,
                t => self.room(t.stored().max(8), def.span)?,
            };
            self.vars.push(place);
        }
        // Every variable has a value on every path; a string is empty with its first word.
        for (n, ty) in def.vars.iter().enumerate() {
            let place = self.vars[n];
            let words = match (ty, place) {
                (Ty::Str(_), Place::Scratch(_)) => 1,
                _ => ty.stored().max(8) / 8,
            };
            for w in 0..words {
                self.store_imm(place.plus(w * 8), 0);
            }
        }
        self.stmts(&def.body)?;
        let done = self.done;
        self.asm.bind(done);
        self.asm.at(def.span);
        self.asm.mov(R0, self.probe.returns());
        self.asm.exit();
        self.write_callbacks()?;
        self.write_walks();
        if self.asm.len() > 900_000 {
            return Err(Diagnostic::error(def.span, "the program is too long"));
        }
        Ok(())
    }

    /// r7 = this program's cell of scratch memory; a program without one ends.
    fn scratch_pointer(&mut self) {
        let key = -8;
        self.asm
            .store(Size::DW, R10, key as i16, self.layout.program as i32);
        self.asm.map(R1, self.layout.scratch_index);
        self.asm.lea(R2, R10, key);
        self.asm.call(MAP_LOOKUP_ELEM);
        let done = self.done;
        self.asm.jump_if(probity_isa::JmpOp::Eq, R0, 0, done);
        self.asm.mov(R7, R0);
    }

    /// Bytes of stack for values and intermediates.
    fn stack_bytes(&self) -> i32 {
        match self.hir.functions.is_empty() {
            true => STACK_BYTES,
            false => STACK_BYTES_BESIDE,
        }
    }

    /// Memory for a value: on the stack when it is small and there is room, otherwise scratch.
    fn room(&mut self, bytes: u32, span: Span) -> Generated<Place> {
        let bytes = bytes.next_multiple_of(8).max(8);
        let limit = if self.on_stack_limit == 0 {
            0
        } else {
            self.on_stack_limit.max(64)
        };
        if bytes <= limit && self.stack - bytes as i32 >= -(self.stack_bytes() - 96) {
            self.stack -= bytes as i32;
            return Ok(Place::Stack(self.stack));
        }
        self.scratch_room(bytes, span)
    }

    /// A word: on the stack while there is room.
    fn small(&mut self, span: Span) -> Generated<Place> {
        if self.stack - 8 >= -(self.stack_bytes() - 160) {
            self.stack -= 8;
            return Ok(Place::Stack(self.stack));
        }
        self.scratch_room(8, span)
    }

    fn scratch_room(&mut self, bytes: u32, span: Span) -> Generated<Place> {
        let at = self.scratch;
        let end = at
            .checked_add(bytes)
            .filter(|e| *e <= SCRATCH_BYTES)
            .ok_or_else(|| {
                Diagnostic::error(
                    span,
                    format!("the values in use here take more than {SCRATCH_BYTES} bytes"),
                )
                .hint("lower the config variable `max_strlen`")
            })?;
        self.scratch = end;
        self.scratch_most = self.scratch_most.max(end);
        Ok(Place::Scratch(at as i32))
    }

    /// Frees what was taken inside of `f`.
    fn scoped<T>(&mut self, f: impl FnOnce(&mut Self) -> Generated<T>) -> Generated<T> {
        let (stack, scratch) = (self.stack, self.scratch);
        let r = f(self);
        self.stack = stack;
        self.scratch = scratch;
        r
    }

    /// Keeps r0 across what `f` works out; `f` is told where it waits.
    fn holding<T>(
        &mut self,
        span: Span,
        f: impl FnOnce(&mut Self, Held) -> Generated<T>,
    ) -> Generated<T> {
        let free = if self.fp == R10 { 2 } else { 1 };
        if self.held < free {
            let reg = if self.held == 0 { R8 } else { R9 };
            self.asm.mov(reg, R0);
            self.held += 1;
            let r = f(self, Held::Reg(reg));
            self.held -= 1;
            return r;
        }
        self.scoped(|g| {
            if g.stack - 8 < -g.stack_bytes() {
                return Err(Diagnostic::error(
                    span,
                    "this is too complicated for 512 bytes of stack",
                )
                .hint("give a part of it a name with `$x = …`"));
            }
            g.stack -= 8;
            let at = g.stack;
            g.asm.store(Size::DW, g.fp, at as i16, R0);
            f(g, Held::Stack(at))
        })
    }

    fn fetch(&mut self, held: Held, dst: Reg) {
        match held {
            Held::Reg(r) => self.asm.mov(dst, r),
            Held::Stack(at) => self.asm.load(Size::DW, dst, self.fp, at as i16),
        }
    }

    /// The register that a place counts from.
    fn base(&self, place: Place) -> Reg {
        match place {
            Place::Stack(_) => self.fp,
            Place::Scratch(_) => R7,
        }
    }

    fn address(&mut self, dst: Reg, place: Place) {
        let base = self.base(place);
        self.asm.lea(dst, base, place.off());
    }

    fn store_imm(&mut self, place: Place, value: i32) {
        self.asm
            .store(Size::DW, self.base(place), place.off() as i16, value);
    }

    fn store_reg(&mut self, place: Place, reg: Reg) {
        self.asm
            .store(Size::DW, self.base(place), place.off() as i16, reg);
    }

    fn load_word(&mut self, dst: Reg, place: Place) {
        self.asm
            .load(Size::DW, dst, self.base(place), place.off() as i16);
    }
}
