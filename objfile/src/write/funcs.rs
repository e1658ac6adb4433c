//! Linked programs → functions to be written: each main function once, and each subprogram once
//! for all the programs in which it is the same.

use std::collections::HashMap;

use probity_btf::TypeId;
use probity_isa::{Pc, RawInsn};

use crate::link::{
    CALL, INSN_ARRAY, LD_IMM64, PSEUDO_CALL, PSEUDO_FUNC, PSEUDO_MAP_IDX, PSEUDO_MAP_IDX_VALUE,
};
use crate::{CoreReloc, Error, Line, Object, Program};

/// A function of the file to be.
pub(crate) struct Func<'a> {
    pub name: String,
    pub section: String,
    pub global: bool,
    pub ty: Option<TypeId>,
    /// With all that is to be relocated blanked.
    pub insns: Vec<RawInsn>,
    pub refs: Vec<(usize, Ref)>,
    pub lines: &'a [Line],
    pub core: &'a [CoreReloc],
    /// Where `lines` and `core` count from.
    pub base: Pc,
}

/// What the instruction at a slot of a function refers to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Ref {
    Map(usize),
    Value {
        map: usize,
        off: u32,
    },
    /// Index into the functions.
    Call(usize),
    FuncAddr(usize),
    Extern(usize),
    /// Targets in slots of this function.
    JumpTable {
        name: String,
        targets: Vec<usize>,
    },
}

/// The functions of all programs; calls in them are indices into the result. The first
/// `object.programs.len()` of them are the main functions.
pub(crate) fn functions(object: &Object) -> Result<Vec<Func<'_>>, Error> {
    let mut bodies = Vec::new();
    // Index of the first body of each program; bodies of one program stand together.
    let mut first = Vec::new();
    for program in &object.programs {
        first.push(bodies.len());
        for index in 0..program.subprogs.len() {
            let body = body(object, program, index)?;
            bodies.push(Body {
                first: bodies.len() - index,
                ..body
            });
        }
    }
    let class = classes(object, &bodies, &first);

    let mut mains: Vec<Func<'_>> = Vec::new();
    let mut subs: Vec<Func<'_>> = Vec::new();
    let mut place: HashMap<usize, usize> = HashMap::new();
    for (p, program) in object.programs.iter().enumerate() {
        for index in 0..program.subprogs.len() {
            let at = first[p] + index;
            if index == 0 {
                place.insert(class[at], mains.len());
                mains.push(func(program, index, &bodies[at], &program.hook.section));
            } else if let std::collections::hash_map::Entry::Vacant(e) = place.entry(class[at]) {
                e.insert(object.programs.len() + subs.len());
                subs.push(func(program, index, &bodies[at], ".text"));
            }
        }
    }
    let mut taken = HashMap::new();
    let mut out = Vec::with_capacity(mains.len() + subs.len());
    for (mut f, at) in mains.into_iter().chain(subs).zip(owners(&class, &place)) {
        let start = bodies[at].first;
        for (_, r) in &mut f.refs {
            if let Ref::Call(index) | Ref::FuncAddr(index) = r {
                *index = class
                    .get(start + *index)
                    .and_then(|c| place.get(c))
                    .copied()
                    .unwrap_or(0);
            }
        }
        // Different functions of one name happen where two objects' functions met.
        let count = taken.entry(f.name.clone()).or_insert(0u32);
        *count += 1;
        if *count > 1 {
            f.name = format!("{}.{count}", f.name);
        }
        out.push(f);
    }
    Ok(out)
}

/// A representative body of each function.
fn owners(class: &[usize], place: &HashMap<usize, usize>) -> Vec<usize> {
    let mut owner = vec![usize::MAX; place.len()];
    for (at, class) in class.iter().enumerate() {
        if let Some(slot) = place.get(class).and_then(|&f| owner.get_mut(f))
            && *slot == usize::MAX
        {
            *slot = at;
        }
    }
    owner
}

fn func<'a>(program: &'a Program, index: usize, body: &Body<'a>, section: &str) -> Func<'a> {
    let sub = &program.subprogs[index];
    Func {
        name: sub.name.clone(),
        section: section.to_owned(),
        global: index == 0 || sub.global,
        ty: sub.func,
        insns: body.insns.clone(),
        refs: body.refs.clone(),
        lines: body.lines,
        core: body.core,
        base: sub.start,
    }
}

struct Body<'a> {
    /// Index of the first body of its program.
    first: usize,
    insns: Vec<RawInsn>,
    /// Calls are indices into the program's subprograms.
    refs: Vec<(usize, Ref)>,
    lines: &'a [Line],
    core: &'a [CoreReloc],
}

fn body<'a>(object: &'a Object, program: &'a Program, index: usize) -> Result<Body<'a>, Error> {
    let sub = &program.subprogs[index];
    let error = |what: String| Error::program(&program.name, what);
    let first = if index == 0 {
        0
    } else {
        program.subprogs[index - 1].end
    };
    if sub.start != first || sub.start >= sub.end || sub.end > program.insns.len() {
        return Err(error(format!(
            "subprogram `{}` is not where it should be",
            sub.name
        )));
    }
    if index + 1 == program.subprogs.len() && sub.end != program.insns.len() {
        return Err(error(
            "there are instructions after the last subprogram".into(),
        ));
    }
    let mut insns = program.insns[sub.start..sub.end].to_vec();
    let mut refs = Vec::new();
    let mut at = 0;
    while at < insns.len() {
        let insn = insns[at];
        let pc = sub.start + at;
        let wide = insn.opcode == LD_IMM64;
        if wide && at + 1 >= insns.len() {
            return Err(error(format!("instruction {pc} is cut off")));
        }
        let ext = program.extern_refs.binary_search_by_key(&pc, |r| r.pc).ok();
        if let Some(i) = ext {
            refs.push((at, Ref::Extern(program.extern_refs[i].index)));
        } else if (insn.opcode == CALL && insn.src == PSEUDO_CALL)
            || (wide && insn.src == PSEUDO_FUNC)
        {
            let target = i64::try_from(pc).unwrap_or(i64::MAX) + 1 + i64::from(insn.imm);
            let callee = usize::try_from(target)
                .ok()
                .and_then(|t| program.subprogs.binary_search_by_key(&t, |s| s.start).ok())
                .ok_or_else(|| {
                    error(format!(
                        "instruction {pc} calls slot {target}, where no subprogram begins"
                    ))
                })?;
            insns[at].imm = 0;
            refs.push((
                at,
                if wide {
                    Ref::FuncAddr(callee)
                } else {
                    Ref::Call(callee)
                },
            ));
        } else if wide && matches!(insn.src, PSEUDO_MAP_IDX | PSEUDO_MAP_IDX_VALUE) {
            let (map, off) = (insn.imm as usize, insns[at + 1].imm as u32);
            let Some(m) = object.maps.get(map) else {
                return Err(error(format!(
                    "instruction {pc} refers to map {map}, which does not exist"
                )));
            };
            let r = match insn.src {
                PSEUDO_MAP_IDX => Ref::Map(map),
                _ if m.kind == INSN_ARRAY => {
                    let table = program.jump_tables.iter().find(|t| t.map == Some(map));
                    let targets = table
                        .map(|t| {
                            t.targets
                                .iter()
                                .map(|&t| t.checked_sub(sub.start))
                                .collect()
                        })
                        .and_then(|t: Option<Vec<usize>>| t)
                        .ok_or_else(|| {
                            error(format!(
                                "instruction {pc} refers to a jump table of another function"
                            ))
                        })?;
                    Ref::JumpTable {
                        name: m.name.clone(),
                        targets,
                    }
                }
                _ => Ref::Value { map, off },
            };
            insns[at].imm = 0;
            insns[at].src = 0;
            insns[at + 1].imm = 0;
            refs.push((at, r));
        }
        at += if wide { 2 } else { 1 };
    }
    let lines = within(&program.lines, sub.start, sub.end, |l| l.pc);
    let core = within(&program.core_relocs, sub.start, sub.end, |c| c.pc);
    Ok(Body {
        first: 0,
        insns,
        refs,
        lines,
        core,
    })
}

/// The part of an ascending list that lies in a range of slots.
fn within<T>(list: &[T], start: Pc, end: Pc, pc: impl Fn(&T) -> Pc) -> &[T] {
    let from = list.partition_point(|x| pc(x) < start);
    let to = list.partition_point(|x| pc(x) < end);
    list.get(from..to).unwrap_or(&[])
}

/// Equal functions get equal numbers: those of one name, body and type whose callees are equal.
/// Main functions are equal to nothing.
fn classes(object: &Object, bodies: &[Body<'_>], first: &[usize]) -> Vec<usize> {
    let owner = |at: usize| first.partition_point(|&f| f <= at) - 1;
    let calls = |at: usize| {
        bodies[at].refs.iter().filter_map(move |(_, r)| match r {
            Ref::Call(i) | Ref::FuncAddr(i) => Some(*i),
            _ => None,
        })
    };
    let mut class = vec![0; bodies.len()];
    let mut seen = HashMap::new();
    for (at, body) in bodies.iter().enumerate() {
        let p = owner(at);
        let sub = &object.programs[p].subprogs[at - first[p]];
        let main = (at == first[p]).then_some(p);
        let base = sub.start;
        let lines: Vec<_> = body
            .lines
            .iter()
            .map(|l| (l.pc - base, &l.file, l.line, l.column))
            .collect();
        let core: Vec<_> = body
            .core
            .iter()
            .map(|c| (c.pc - base, c.type_id, &c.access, c.kind))
            .collect();
        let refs: Vec<_> = body
            .refs
            .iter()
            .map(|(at, r)| match r {
                Ref::Call(_) => (*at, Ref::Call(0)),
                Ref::FuncAddr(_) => (*at, Ref::FuncAddr(0)),
                other => (*at, other.clone()),
            })
            .collect();
        let key = (
            main,
            &sub.name,
            sub.func,
            sub.global,
            &body.insns,
            refs,
            lines,
            core,
        );
        let next = seen.len();
        class[at] = *seen.entry(key).or_insert(next);
    }
    // Split by callees until nothing changes.
    let mut count = seen.len();
    loop {
        let mut seen: HashMap<(usize, Vec<usize>), usize> = HashMap::new();
        let mut refined = vec![0; bodies.len()];
        for at in 0..bodies.len() {
            let callees = calls(at).map(|i| class[first[owner(at)] + i]).collect();
            let next = seen.len();
            refined[at] = *seen.entry((class[at], callees)).or_insert(next);
        }
        let new = seen.len();
        class = refined;
        if new == count {
            return class;
        }
        count = new;
    }
}
