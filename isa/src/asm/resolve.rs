//! The second half of assembling: names become distances where the file tells them.

use std::collections::{BTreeSet, HashSet};

use super::{
    Assembler, Assembly, Attributes, Binding, Content, Draft, Label, LabelKind, NamedData, Place,
    RefKind, Reference, Section,
};
use crate::expr::Expr;
use crate::lex::error_at;
use crate::parse::{Symbol, SymbolUse};
use crate::{CallTarget, Error, Imm64, Insn, Pc};

pub(super) fn resolve(
    mut assembler: Assembler<'_>,
    helper: &dyn Fn(&str) -> Option<u32>,
) -> Result<Assembly, Error> {
    let drafts = std::mem::take(&mut assembler.sections);
    let mut functions = HashSet::new();
    let mut sections = Vec::new();
    for (index, mut draft) in drafts.into_iter().enumerate() {
        let mut resolver = Resolver {
            assembler: &assembler,
            helper,
            section: index,
            functions: &mut functions,
            refs: Vec::new(),
        };
        for (pc, symbol, at) in std::mem::take(&mut draft.symbols) {
            resolver.instruction(&mut draft, pc, symbol, at)?;
        }
        for data in std::mem::take(&mut draft.data) {
            resolver.data(&mut draft, data)?;
        }
        sections.push((draft, resolver.refs));
    }
    let mut labels = labels_by_section(&assembler, sections.len());
    let sections = sections
        .into_iter()
        .enumerate()
        .map(|(index, (draft, refs))| {
            let labels = std::mem::take(&mut labels[index]);
            section(&assembler, draft, labels, refs, &functions)
        })
        .filter(|s| !is_empty(s))
        .collect();
    Ok(Assembly {
        sections,
        maps: assembler.maps,
    })
}

fn is_empty(section: &Section) -> bool {
    let nothing = match &section.content {
        Content::Code { insns, .. } => insns.is_empty(),
        Content::Data(bytes) => bytes.is_empty(),
        Content::Zeros(n) => *n == 0,
    };
    nothing && section.labels.is_empty()
}

struct Resolver<'r, 'a> {
    assembler: &'r Assembler<'a>,
    helper: &'r dyn Fn(&str) -> Option<u32>,
    section: usize,
    /// Names that are called or have their address taken.
    functions: &'r mut HashSet<String>,
    refs: Vec<Reference>,
}

impl Resolver<'_, '_> {
    fn error(&self, at: usize, message: String) -> Error {
        error_at(self.assembler.source, at, message)
    }

    /// Distance in slots from after `pc` to a place of this section.
    fn distance(&self, place: Place, addend: i64, pc: Pc) -> Option<i64> {
        let target = i64::try_from(place.offset).ok()?.checked_add(addend)?;
        (target % 8 == 0).then(|| target / 8 - (pc as i64 + 1))
    }

    fn instruction(
        &mut self,
        draft: &mut Draft,
        pc: Pc,
        symbol: Symbol,
        at: usize,
    ) -> Result<(), Error> {
        let Symbol {
            name,
            usage,
            addend,
        } = symbol;
        let line = draft.lines.get(pc).copied().unwrap_or(0);
        let Some(insn) = draft.insns.get_mut(pc) else {
            return Ok(());
        };
        let place = self.assembler.labels.get(&name).copied();
        let here = place.filter(|p| p.section == self.section);
        let kind = match usage {
            SymbolUse::Jump => {
                let shown = name.split(':').next().unwrap_or(&name);
                let Some(place) = here else {
                    let message = match place {
                        Some(_) => format!("label `{shown}` is in another section"),
                        None => format!("there is no label `{shown}`"),
                    };
                    return Err(self.error(at, message));
                };
                let distance = self.distance(place, 0, pc).unwrap_or(i64::MAX);
                if let Err(width) = set_jump(insn, distance) {
                    let message =
                        format!("label `{shown}` is {distance} slots away, more than {width} bits");
                    return Err(self.error(at, message));
                }
                return Ok(());
            }
            SymbolUse::Call => {
                if let Some(place) = here {
                    let distance = self.distance(place, 0, pc);
                    let Some(rel) = distance.and_then(|d| i32::try_from(d).ok()) else {
                        return Err(self.error(at, format!("`{name}` is too far away")));
                    };
                    *insn = Insn::Call(CallTarget::Subprog { rel });
                    self.functions.insert(name);
                    return Ok(());
                }
                if place.is_none()
                    && let Some(id) = (self.helper)(&name)
                {
                    *insn = Insn::Call(CallTarget::Helper(id));
                    return Ok(());
                }
                self.functions.insert(name.clone());
                RefKind::Call
            }
            SymbolUse::Map | SymbolUse::Address => {
                let declared = self.assembler.map_names.contains(&name);
                if usage == SymbolUse::Map && !declared && place.is_none() {
                    return Err(self.error(at, format!("there is no map `{name}`")));
                }
                if declared && addend != 0 {
                    return Err(self.error(at, format!("`{name}` is a map: nothing can be added")));
                }
                if let Some(place) = here
                    && let Insn::LoadImm64 { imm, .. } = insn
                {
                    let distance = self.distance(place, addend, pc);
                    let Some(rel) = distance.and_then(|d| i32::try_from(d).ok()) else {
                        let message = format!("`{name} + {addend}` is not an instruction");
                        return Err(self.error(at, message));
                    };
                    *imm = Imm64::Func { rel };
                    if addend == 0 {
                        self.functions.insert(name);
                    }
                    return Ok(());
                }
                if declared || usage == SymbolUse::Map {
                    RefKind::Map
                } else {
                    RefKind::Address
                }
            }
        };
        self.refs.push(Reference {
            offset: pc as u64 * 8,
            kind,
            name,
            addend,
            line,
        });
        Ok(())
    }

    fn data(&mut self, draft: &mut Draft, data: NamedData) -> Result<(), Error> {
        let NamedData {
            offset,
            size,
            value,
            at,
            line,
        } = data;
        let number = self.assembler.evaluate(&value);
        let Expr { value, plus, minus } = value;
        if let Some(number) = number {
            let bits = u32::from(size) * 8;
            if !(-(1i128 << (bits - 1))..1i128 << bits).contains(&number) {
                return Err(self.error(at, format!("{number} does not fit {bits} bits")));
            }
            let start = offset as usize;
            if let Some(bytes) = draft.bytes.get_mut(start..start + usize::from(size)) {
                bytes.copy_from_slice(&(number as u64).to_le_bytes()[..size.into()]);
            }
            return Ok(());
        }
        match (plus, minus) {
            (Some(name), None) => {
                self.refs.push(Reference {
                    offset,
                    kind: RefKind::Data { size },
                    name,
                    addend: value as i64,
                    line,
                });
                Ok(())
            }
            _ => {
                let message = "a difference needs two labels of the same section";
                Err(self.error(at, message.to_owned()))
            }
        }
    }
}

impl Assembler<'_> {
    /// The number that an expression is, if it is one: its labels are of the same section.
    fn evaluate(&self, e: &Expr) -> Option<i128> {
        match (&e.plus, &e.minus) {
            (None, None) => Some(e.value),
            (Some(plus), Some(minus)) => {
                let (plus, minus) = (self.labels.get(plus)?, self.labels.get(minus)?);
                let distance = i128::from(plus.offset) - i128::from(minus.offset);
                if plus.section != minus.section {
                    return None;
                }
                e.value.checked_add(distance)
            }
            _ => None,
        }
    }
}

/// Puts the distance into a jump, or says how many bits it has for it.
fn set_jump(insn: &mut Insn, distance: i64) -> Result<(), u32> {
    match insn {
        Insn::Jump { rel, long: true } => *rel = i32::try_from(distance).map_err(|_| 32u32)?,
        Insn::Jump { rel, long: false } => {
            *rel = i16::try_from(distance).map_err(|_| 16u32)?.into();
        }
        Insn::JumpIf { rel, .. } | Insn::MayGoto { rel } => {
            *rel = i16::try_from(distance).map_err(|_| 16u32)?;
        }
        _ => {}
    }
    Ok(())
}

/// The named labels of each section, in order; numbered ones have done their work.
fn labels_by_section(assembler: &Assembler<'_>, count: usize) -> Vec<Vec<(String, Place)>> {
    let mut sections = vec![Vec::new(); count];
    for (name, place) in &assembler.labels {
        if !name.contains(':') {
            sections[place.section].push((name.clone(), *place));
        }
    }
    for labels in &mut sections {
        labels.sort_by(|(a, p), (b, q)| (p.offset, p.line, a).cmp(&(q.offset, q.line, b)));
    }
    sections
}

fn section(
    assembler: &Assembler<'_>,
    draft: Draft,
    names: Vec<(String, Place)>,
    refs: Vec<Reference>,
    functions: &HashSet<String>,
) -> Section {
    let end = draft.here();
    let is_code = !draft.insns.is_empty();
    let none = Attributes::default();
    let mut labels: Vec<Label> = Vec::new();
    for (name, place) in names {
        let attributes = assembler.attributes.get(&name).unwrap_or(&none);
        let function = attributes.binding != Binding::Local || functions.contains(&name);
        let local = name.starts_with(".L");
        let kind = match attributes.kind {
            Some(kind) => kind,
            None if is_code && function => LabelKind::Function,
            None if is_code || local => LabelKind::Place,
            None => LabelKind::Object,
        };
        labels.push(Label {
            name,
            offset: place.offset,
            size: 0,
            kind,
            binding: attributes.binding,
            hidden: attributes.hidden,
            line: place.line,
        });
    }
    if is_code {
        first_function(&draft, &mut labels);
    }
    set_sizes(assembler, &mut labels, end);
    let content = if is_code {
        Content::Code {
            insns: draft.insns,
            lines: draft.lines,
        }
    } else if draft.name.starts_with(".bss") && draft.bytes.iter().all(|b| *b == 0) {
        Content::Zeros(end)
    } else {
        Content::Data(draft.bytes)
    };
    Section {
        name: draft.name,
        align: if is_code { 8 } else { draft.align.max(1) },
        content,
        flags: draft.flags,
        labels,
        refs,
    }
}

/// Code that no function holds belongs to one of the first label there, or of the section's name.
fn first_function(draft: &Draft, labels: &mut Vec<Label>) {
    let at_start = |l: &&mut Label| l.offset == 0 && !l.name.starts_with(".L");
    if labels
        .iter()
        .any(|l| l.offset == 0 && l.kind == LabelKind::Function)
    {
        return;
    }
    if let Some(label) = labels.iter_mut().find(at_start) {
        label.kind = LabelKind::Function;
        return;
    }
    let name = match draft.name.as_str() {
        ".text" => "main".to_owned(),
        name => name.replace(|c: char| !c.is_ascii_alphanumeric() && c != '_', "_"),
    };
    labels.insert(
        0,
        Label {
            name,
            offset: 0,
            size: 0,
            kind: LabelKind::Function,
            binding: Binding::Global,
            hidden: false,
            line: draft.lines.first().copied().unwrap_or(0),
        },
    );
}

fn set_sizes(assembler: &Assembler<'_>, labels: &mut [Label], end: u64) {
    let starts: BTreeSet<u64> = labels
        .iter()
        .filter(|l| l.kind != LabelKind::Place)
        .map(|l| l.offset)
        .collect();
    for label in labels.iter_mut().filter(|l| l.kind != LabelKind::Place) {
        let room = end - label.offset;
        let given = assembler
            .attributes
            .get(&label.name)
            .and_then(|a| assembler.evaluate(a.size.as_ref()?))
            .and_then(|n| u64::try_from(n).ok())
            .filter(|n| *n <= room);
        let following = starts.range(label.offset + 1..).next().copied();
        label.size = given.unwrap_or(following.unwrap_or(end) - label.offset);
    }
}
