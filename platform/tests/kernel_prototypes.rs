//! Holds the prototypes of helpers against the running kernel: for each kind of program and each helper that it may call,
//! a call that the prototype allows is accepted, and every argument in turn is replaced by each of a few values
//! that the prototype allows or forbids.
//!
//! Helpers whose arguments cannot be made in a line (typed pointers, callbacks, dynptrs, timers) are left out.

mod kernel;

use kernel::{
    EXIT, Load, Map, MapCreate, call, create_map, differ, insn, load, load_from, map_address,
    map_value, maps, mov, mov_reg,
};
use probity_platform::{
    Arg, ArgKind, Context, FieldKind, Helper, Lookup, MemAccess, Platform, ProgKind, Prototype,
    Ret, Values,
};

/// What a register is set to before the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Given {
    Number(i32),
    Ctx,
    /// 64 zeroed bytes of stack.
    Stack,
    /// A value that programs may read and write, or only read: 64 bytes.
    Value,
    ReadOnlyValue,
    /// The map that the call is about.
    Map,
    /// The socket that the context leads to, full or not.
    Sock {
        full: bool,
    },
}

const GIVEN: [Given; 7] = [
    Given::Number(0),
    Given::Number(8),
    Given::Ctx,
    Given::Stack,
    Given::Value,
    Given::ReadOnlyValue,
    Given::Map,
];

/// Where a context leads to a socket.
#[derive(Clone, Copy, Debug)]
struct Sock {
    offset: u32,
    nullable: bool,
    full: bool,
}

fn sock_of(kind: &ProgKind) -> Option<Sock> {
    let Context::Struct { fields, .. } = &kind.context else {
        return None;
    };
    fields.iter().find_map(|f| match f.kind {
        FieldKind::Socket { nullable } => Some(Sock {
            offset: f.offset,
            nullable,
            full: true,
        }),
        FieldKind::SockCommon { nullable } => Some(Sock {
            offset: f.offset,
            nullable,
            full: false,
        }),
        _ => None,
    })
}

/// The maps that calls are made with.
struct Maps {
    by_kind: Vec<(u32, Map)>,
    value: Map,
    read_only: Map,
}

impl Maps {
    fn new(platform: &Platform) -> Maps {
        let array = |map_flags| MapCreate {
            map_type: 2,
            key_size: 4,
            value_size: 64,
            max_entries: 1,
            map_flags,
            ..MapCreate::default()
        };
        let (value, read_only) = (
            create_map(&array(0)).unwrap(),
            create_map(&array(1 << 7)).unwrap(),
        );
        Maps {
            by_kind: maps(platform),
            value,
            read_only,
        }
    }
}

/// A value that satisfies the argument in an otherwise good call, if one is at hand.
fn good(arg: Arg, sock: Option<Sock>) -> Option<Given> {
    Some(match arg.kind {
        ArgKind::Anything | ArgKind::Scalar | ArgKind::Zero => Given::Number(0),
        ArgKind::Map => Given::Map,
        ArgKind::MapKey
        | ArgKind::MapValue { .. }
        | ArgKind::Mem { .. }
        | ArgKind::FixedMem { .. }
        | ArgKind::CallbackCtx => Given::Stack,
        ArgKind::Size { .. } | ArgKind::AllocSize => Given::Number(8),
        ArgKind::Ctx => Given::Ctx,
        ArgKind::SockCommon { release: false, .. } if sock.is_some() => {
            Given::Sock { full: sock?.full }
        }
        _ if arg.nullable => Given::Number(0),
        _ => return None,
    })
}

/// May the argument be this, in an otherwise good call?
fn allowed(arg: Arg, given: Given) -> bool {
    let memory = |access: MemAccess| match given {
        Given::Stack | Given::Value => true,
        Given::ReadOnlyValue => access == MemAccess::Read,
        _ => false,
    };
    match arg.kind {
        ArgKind::Anything => true,
        ArgKind::Scalar => matches!(given, Given::Number(_)),
        ArgKind::Zero => given == Given::Number(0),
        ArgKind::Map => given == Given::Map,
        // NULL memory goes with a size of zero, which is asked apart.
        ArgKind::Mem { access } => memory(access),
        ArgKind::FixedMem { access, .. } => {
            memory(access) || arg.nullable && given == Given::Number(0)
        }
        ArgKind::MapKey | ArgKind::MapValue { init: true } => {
            memory(MemAccess::Read) || arg.nullable && given == Given::Number(0)
        }
        ArgKind::MapValue { init: false } => memory(MemAccess::Write),
        ArgKind::Size { zero_ok } => matches!(given, Given::Number(n) if n > 0 || zero_ok),
        ArgKind::AllocSize => matches!(given, Given::Number(_)),
        ArgKind::Ctx => given == Given::Ctx || arg.nullable && given == Given::Number(0),
        ArgKind::CallbackCtx => given == Given::Stack || given == Given::Number(0),
        ArgKind::SockCommon { release: false, .. } if matches!(given, Given::Sock { .. }) => true,
        ArgKind::Socket { release: false } if given == (Given::Sock { full: true }) => true,
        _ => given == Given::Number(0) && arg.nullable,
    }
}

/// A program that makes one call and gives back what it got.
fn program(
    helper: &Helper,
    ret: Ret,
    given: &[Given],
    map: Option<&Map>,
    maps: &Maps,
    sock: Option<Sock>,
    result: i32,
) -> Vec<[u8; 8]> {
    let mut insns = vec![mov_reg(6, 1), mov(0, 0)];
    if let Some(sock) = sock {
        insns.push(load_from(7, 6, sock.offset, 8));
        if sock.nullable {
            insns.extend([insn(0x55, 7, 0, 2, 0), mov(0, result), EXIT]);
        }
    }
    insns.extend((1..=8).map(|slot| insn(0x7b, 10, 0, -8 * slot, 0)));
    for (given, reg) in given.iter().zip(1u8..) {
        match given {
            Given::Number(n) => insns.push(mov(reg, *n)),
            Given::Ctx => insns.push(mov_reg(reg, 6)),
            Given::Stack => insns.extend([mov_reg(reg, 10), insn(0x07, reg, 0, 0, -64)]),
            Given::Value => insns.extend(map_value(reg, &maps.value)),
            Given::ReadOnlyValue => insns.extend(map_value(reg, &maps.read_only)),
            Given::Sock { .. } => insns.push(mov_reg(reg, 7)),
            Given::Map => insns.extend(map_address(reg, map.unwrap_or(&maps.value))),
        }
    }
    insns.push(call(helper.id));
    let release = match ret {
        Ret::RingbufMemOrNull => Some(133),
        Ret::SocketOrNull { acquire: true } | Ret::SockCommonOrNull { acquire: true } => Some(86),
        Ret::MapValueOrNull
            if map.is_some_and(|m| maps.kind_of(m) == 15 || maps.kind_of(m) == 18) =>
        {
            Some(86)
        }
        _ => None,
    };
    if let Some(release) = release {
        insns.extend([
            insn(0x15, 0, 0, 3, 0),
            mov_reg(1, 0),
            mov(2, 0),
            call(release),
        ]);
    }
    insns.extend([mov(0, result), EXIT]);
    insns
}

impl Maps {
    fn kind_of(&self, map: &Map) -> u32 {
        self.by_kind
            .iter()
            .find(|(_, m)| m.0 == map.0)
            .map_or(2, |(kind, _)| *kind)
    }
}

/// Kinds to ask about: those that load without a target, and iterators, one of each layout.
fn kinds(platform: &Platform) -> Vec<(Load, Option<u32>)> {
    let mut all: Vec<(Load, Option<u32>)> = Vec::new();
    for kind in platform.prog_kinds.iter() {
        let attach = match kind.kind {
            // No infrared here; those behind a target are asked below or refused by this kernel.
            20 | 26 | 27 | 28 | 29 => continue,
            15 => Some(6),
            18 => Some(10),
            23 => Some(18),
            25 => Some(22),
            _ => kind.default_attach.or(kind.attach.first().copied()),
        };
        let sleepable = kind.kind == 31;
        all.push((
            Load {
                kind: kind.kind,
                attach: attach.unwrap_or(0),
                sleepable,
                ..Load::default()
            },
            attach,
        ));
    }
    if let Some(target) = kernel::kernel_types().and_then(|t| t.find_func("bpf_iter_task")) {
        for sleepable in [false, true] {
            all.push((
                Load {
                    kind: 26,
                    attach: 28,
                    target: target.0,
                    sleepable,
                    ..Load::default()
                },
                Some(28),
            ));
        }
    }
    all
}

/// Calls that this kernel withholds whatever the arguments.
const WITHHELD: [&str; 2] = ["probe_write_user", "override_return"];

/// Each call that can be made: kind, attach, helper, its prototype there, good arguments.
fn calls(
    platform: &Platform,
    mut visit: impl FnMut(&Load, &Maps, i32, &Helper, Prototype, &[Given]),
) {
    for (base, attach) in kinds(platform) {
        let kind = platform.prog_kind(base.kind).unwrap();
        let result = kind.return_range(attach).map_or(0, |r| r.min) as i32;
        // Some maps belong to the first kind of program that uses them.
        let maps = Maps::new(platform);
        for helper in platform.helpers.iter() {
            let prototype = helper.prototype(kind.kind);
            if !kind.helpers.allows(helper.name, attach) || WITHHELD.contains(&helper.name) {
                continue;
            }
            let Some(given) = prototype
                .args
                .iter()
                .map(|a| good(*a, sock_of(kind)))
                .collect::<Option<Vec<_>>>()
            else {
                continue;
            };
            visit(&base, &maps, result, helper, prototype, &given);
        }
    }
}

#[test]
fn prototypes_are_those_of_the_kernel() {
    let Some(platform) = kernel::platform() else {
        return;
    };
    let mut wrong = Vec::new();
    let mut asked = 0;
    calls(&platform, |base, maps, result, helper, prototype, good| {
        let kind = base.kind;
        let sock = sock_of(platform.prog_kind(kind).unwrap());
        let usable = |k: u32| {
            platform
                .map_kind(k)
                .is_some_and(|m| m.allows(helper.name, kind) && (m.sleepable || !base.sleepable))
        };
        let map = maps.by_kind.iter().find(|(k, _)| usable(*k));
        if good.contains(&Given::Map) && map.is_none() {
            return;
        }
        let map = map.map(|(_, m)| m);
        let mut ask = |given: &[Given], ours: bool, proprietary: bool| {
            let insns = program(helper, prototype.ret, given, map, maps, sock, result);
            let verdict = load(
                &Load {
                    insns,
                    proprietary,
                    ..base.clone()
                },
                true,
            );
            asked += 1;
            if differ(&platform, ours, verdict.error == 0) {
                let lines: Vec<&str> = verdict
                    .log
                    .lines()
                    .filter(|l| !l.starts_with("processed"))
                    .collect();
                let name = platform.prog_kind(kind).unwrap().name;
                wrong.push(format!(
                    "{name} sleepable={} {}{prototype} with {given:?}: errno {} {}",
                    base.sleepable,
                    helper.name,
                    verdict.error,
                    lines.last().unwrap_or(&"")
                ));
            }
            verdict.error == 0
        };
        let callable = !prototype.effects.sleeps || base.sleepable;
        if !ask(good, callable, false) {
            return;
        }
        ask(good, !prototype.effects.gpl_only, true);
        for (at, arg) in prototype.args.iter().enumerate() {
            for given in GIVEN
                .into_iter()
                .chain(sock.map(|s| Given::Sock { full: s.full }))
            {
                let mut changed = good.to_vec();
                changed[at] = given;
                if given == Given::Map && map.is_none() && arg.kind == ArgKind::Map {
                    continue;
                }
                ask(&changed, allowed(*arg, given), false);
            }
            if let (ArgKind::Mem { .. }, Some(ArgKind::Size { zero_ok })) =
                (arg.kind, prototype.args.get(at + 1).map(|a| a.kind))
            {
                let mut changed = good.to_vec();
                changed[at] = Given::Number(0);
                changed[at + 1] = Given::Number(0);
                ask(&changed, arg.nullable && zero_ok, false);
            }
        }
    });
    println!("{asked} calls asked");
    assert!(
        wrong.is_empty(),
        "{} differences\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

/// May it release a socket that a lookup gave?
fn may_release(kind: &ProgKind) -> bool {
    kind.helpers.contains("sk_release")
}

#[test]
fn map_kinds_take_the_helpers_that_the_kernel_says() {
    let Some(platform) = kernel::platform() else {
        return;
    };
    let mut wrong = Vec::new();
    let mut asked = 0;
    calls(&platform, |base, maps, result, helper, prototype, good| {
        if !good.contains(&Given::Map) || prototype.effects.sleeps && !base.sleepable {
            return;
        }
        for (number, map) in &maps.by_kind {
            let kind = platform.map_kind(*number).unwrap();
            let sockets =
                matches!(prototype.ret, Ret::MapValueOrNull) && kind.lookup == Lookup::Socket;
            if sockets && !may_release(platform.prog_kind(base.kind).unwrap()) {
                continue;
            }
            // What a map of sockets takes instead of memory cannot be made in a line.
            if kind.values == Values::Sockets && helper.name == "map_update_elem" {
                continue;
            }
            // Iterators may change maps of sockets; the tables do not tell iterators from other tracing programs.
            if kind.values == Values::Sockets && base.kind == 26 {
                continue;
            }
            let ours = kind.allows(helper.name, base.kind) && (!base.sleepable || kind.sleepable);
            let insns = program(
                helper,
                prototype.ret,
                good,
                Some(map),
                maps,
                sock_of(platform.prog_kind(base.kind).unwrap()),
                result,
            );
            let verdict = load(
                &Load {
                    insns,
                    ..base.clone()
                },
                true,
            );
            asked += 1;
            if differ(&platform, ours, verdict.error == 0) {
                let lines: Vec<&str> = verdict
                    .log
                    .lines()
                    .filter(|l| !l.starts_with("processed"))
                    .collect();
                let name = platform.prog_kind(base.kind).unwrap().name;
                wrong.push(format!(
                    "{name} sleepable={} {} {}: errno {} {}",
                    base.sleepable,
                    helper.name,
                    kind.name,
                    verdict.error,
                    lines.last().unwrap_or(&"")
                ));
            }
        }
    });
    println!("{asked} pairs asked");
    assert!(
        wrong.is_empty(),
        "{} differences\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}
