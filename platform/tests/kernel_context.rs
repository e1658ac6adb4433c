//! Asks the running kernel, for every offset and width of every kind's context and of the socket structures,
//! whether a program may read and write there, and what the loaded value is.

mod kernel;

use kernel::{EXIT, Load, call, differ, insn, load, load_from, mov, mov_reg, store_to};
use probity_platform::{Context, Field, FieldKind, Layout, Platform, field_access};

/// Attach types to ask about, by kind; `None` states none.
fn attaches(kind: u32) -> &'static [Option<u32>] {
    match kind {
        6 => &[None, Some(33), Some(35), Some(37)],
        9 => &[None, Some(2), Some(12), Some(13), Some(34)],
        18 => &[
            Some(8),
            Some(9),
            Some(10),
            Some(11),
            Some(14),
            Some(15),
            Some(19),
            Some(20),
            Some(29),
            Some(30),
            Some(31),
            Some(32),
            Some(49),
            Some(50),
            Some(51),
            Some(52),
            Some(53),
        ],
        21 => &[None, Some(39), Some(40)],
        25 => &[Some(21), Some(22)],
        30 => &[Some(36)],
        32 => &[Some(45)],
        _ => &[None],
    }
}

/// Kinds with a context that is plain fields, words or bytes, which this kernel can load (it has no infrared support).
fn asked(platform: &Platform) -> impl Iterator<Item = (&probity_platform::ProgKind, Option<u32>)> {
    platform
        .prog_kinds
        .iter()
        .filter(|k| {
            matches!(
                k.context,
                Context::Struct { .. } | Context::Words { .. } | Context::Bytes { .. }
            ) && k.kind != 20
        })
        .flat_map(|k| attaches(k.kind).iter().map(move |a| (k, *a)))
        .filter(|(_, a)| a.is_none_or(|a| platform.has_attach_type(a)))
}

#[test]
fn accesses_of_contexts_are_those_of_the_kernel() {
    let Some(platform) = kernel::platform() else {
        return;
    };
    let mut wrong = Vec::new();
    let mut count = 0;
    for (kind, attach) in asked(&platform) {
        let result = kind.return_range(attach).map_or(0, |r| r.min) as i32;
        let size = match kind.context {
            Context::Struct { size, .. } => size,
            Context::Words { count, .. } => count * 8,
            _ => 64,
        };
        for offset in 0..size + 8 {
            for bytes in [1, 2, 4, 8] {
                for write in [false, true] {
                    let ours = match kind.context {
                        Context::Struct { .. } => {
                            kind.context_access(offset, bytes, write, attach).is_some()
                        }
                        Context::Words { count, widths, .. } => {
                            !write
                                && widths.contains(bytes)
                                && offset % bytes == 0
                                && offset + bytes <= count * 8
                        }
                        Context::Bytes { from, size, .. } => {
                            !write
                                && offset % bytes == 0
                                && offset >= from
                                && offset + bytes <= size
                        }
                        _ => continue,
                    };
                    let insns = if write {
                        vec![mov(0, result), store_to(1, 0, offset, bytes), EXIT]
                    } else {
                        vec![load_from(0, 1, offset, bytes), mov(0, result), EXIT]
                    };
                    let program = Load {
                        kind: kind.kind,
                        attach: attach.unwrap_or(0),
                        insns,
                        ..Load::default()
                    };
                    let theirs = load(&program, false).error == 0;
                    count += 1;
                    if differ(&platform, ours, theirs) {
                        let what = if write { "write" } else { "read" };
                        let says = if theirs { "allows" } else { "refuses" };
                        wrong.push(format!(
                            "{} {attach:?}: the kernel {says} a {what} of {bytes} at {offset}",
                            kind.name
                        ));
                    }
                }
            }
        }
    }
    println!("{count} accesses asked");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The kernel's name of a register that holds what such a field gives.
fn register_type(kind: FieldKind) -> &'static str {
    match kind {
        FieldKind::Scalar => "scalar(",
        FieldKind::PacketData | FieldKind::SockoptStart => "pkt(",
        FieldKind::PacketMeta => "pkt_meta(",
        FieldKind::PacketEnd | FieldKind::SockoptEnd => "pkt_end(",
        FieldKind::Socket { nullable: true } => "sock_or_null(",
        FieldKind::Socket { nullable: false } => "sock(",
        FieldKind::SockCommon { nullable: true } => "sock_common_or_null(",
        FieldKind::SockCommon { nullable: false } => "sock_common(",
        FieldKind::FlowKeys => "flow_keys(",
        FieldKind::TracepointBuffer => "tp_buffer(",
        FieldKind::Btf { .. } => "trusted_ptr_",
    }
}

#[test]
fn kinds_of_fields_are_those_of_the_kernel() {
    let Some(platform) = kernel::platform() else {
        return;
    };
    let mut wrong = Vec::new();
    for (kind, attach) in asked(&platform) {
        let Context::Struct { fields, .. } = &kind.context else {
            continue;
        };
        let result = kind.return_range(attach).map_or(0, |r| r.min) as i32;
        for field in fields.iter() {
            let Some(bytes) = [8, 4, 2, 1]
                .into_iter()
                .find(|b| field.permits(field.offset, *b, false, attach.or(kind.default_attach)))
            else {
                continue;
            };
            let program = Load {
                kind: kind.kind,
                attach: attach.unwrap_or(0),
                insns: vec![load_from(2, 1, field.offset, bytes), mov(0, result), EXIT],
                ..Load::default()
            };
            let verdict = kernel::load_verbose(&program);
            let shown = verdict
                .log
                .split("R2")
                .nth(1)
                .and_then(|t| t.split_once('='))
                .map_or("", |t| t.1);
            if !shown.starts_with(register_type(field.kind)) {
                wrong.push(format!(
                    "{} {attach:?} {}: {:?} but {shown:.40}",
                    kind.name, field.name, field.kind
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn accesses_of_socket_structures_are_those_of_the_kernel() {
    let Some(platform) = kernel::platform() else {
        return;
    };
    let null_check = |reg: u8| [insn(0x55, reg, 0, 2, 0), mov(0, 0), EXIT];
    // r6 holds the structure after each of these.
    let mut common = vec![load_from(6, 1, 168, 8)];
    common.extend(null_check(6));
    let mut tcp = common.clone();
    tcp.extend([mov_reg(1, 6), call(96), mov_reg(6, 0)]);
    tcp.extend(null_check(6));
    let cases = [
        ("bpf_sock", 18, 8, vec![load_from(6, 1, 64, 8)], 1),
        ("sock_common", 3, 0, common, 0),
        ("bpf_tcp_sock", 3, 0, tcp, 0),
        ("bpf_flow_keys", 22, 0, vec![load_from(6, 1, 144, 8)], 0),
    ];
    let mut wrong = Vec::new();
    for (name, kind, attach, before, result) in cases {
        let structure = platform.structure(name).unwrap();
        let permits = |offset, bytes, write| match structure.layout {
            Layout::Fields(fields) => field_access(fields, offset, bytes, write, None).is_some(),
            Layout::Bytes => offset + bytes <= structure.size,
        };
        for offset in 0..structure.size + 8 {
            for bytes in [1, 2, 4, 8] {
                for write in [false, true] {
                    let mut insns = before.clone();
                    if write {
                        insns.extend([mov(0, 0), store_to(6, 0, offset, bytes)]);
                    } else {
                        insns.push(load_from(0, 6, offset, bytes));
                    }
                    insns.extend([mov(0, result), EXIT]);
                    let theirs = load(
                        &Load {
                            kind,
                            attach,
                            insns,
                            ..Load::default()
                        },
                        false,
                    )
                    .error
                        == 0;
                    if theirs != permits(offset, bytes, write) {
                        let what = if write { "write" } else { "read" };
                        let says = if theirs { "allows" } else { "refuses" };
                        wrong.push(format!(
                            "{name}: the kernel {says} a {what} of {bytes} at {offset}"
                        ));
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A field that gives the packet's start and the one that gives its end.
fn packet_fields(fields: &[Field]) -> Option<(&Field, &Field)> {
    let find = |kinds: [FieldKind; 2]| fields.iter().find(|f| kinds.contains(&f.kind));
    Some((
        find([FieldKind::PacketData, FieldKind::SockoptStart])?,
        find([FieldKind::PacketEnd, FieldKind::SockoptEnd])?,
    ))
}

#[test]
fn packet_writes_and_loads_are_those_of_the_kernel() {
    let Some(platform) = kernel::platform() else {
        return;
    };
    let mut wrong = Vec::new();
    for (kind, attach) in asked(&platform) {
        let result = kind.return_range(attach).map_or(0, |r| r.min) as i32;
        let with = |insns: Vec<[u8; 8]>| {
            load(
                &Load {
                    kind: kind.kind,
                    attach: attach.unwrap_or(0),
                    insns,
                    ..Load::default()
                },
                true,
            )
        };
        let Context::Struct { fields, .. } = &kind.context else {
            continue;
        };
        // LD_ABS: r6 is the context, r0 becomes the byte.
        let loads = with(vec![
            mov_reg(6, 1),
            insn(0x30, 0, 0, 0, 0),
            mov(0, result),
            EXIT,
        ])
        .error
            == 0;
        if loads != kind.packet_loads {
            wrong.push(format!(
                "{}: packet loads are {loads} in the kernel",
                kind.name
            ));
        }
        let Some((start, end)) = packet_fields(fields) else {
            continue;
        };
        let access = |write: bool| {
            with(vec![
                load_from(2, 1, start.offset, start.size),
                load_from(3, 1, end.offset, end.size),
                mov_reg(4, 2),
                insn(0x07, 4, 0, 0, 8),
                insn(0x2d, 4, 3, 1, 0),
                if write {
                    insn(0x72, 2, 0, 0, 0)
                } else {
                    load_from(0, 2, 0, 1)
                },
                mov(0, result),
                EXIT,
            ])
        };
        let read = access(false);
        assert_eq!(read.error, 0, "{}: {}", kind.name, read.log);
        if (access(true).error == 0) != kind.packet_write {
            wrong.push(format!(
                "{}: packet writes are {} in the kernel",
                kind.name, !kind.packet_write
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn long_contexts_end_where_the_kernel_ends_them() {
    let Some(platform) = kernel::platform() else {
        return;
    };
    for kind in platform.prog_kinds.iter() {
        let (size, sleepable) = match kind.context {
            Context::Bytes { size, .. } => (size, false),
            // Offsets of instructions end at half of it.
            Context::Memory { size } => (size.min(1 << 15), true),
            _ => continue,
        };
        for bytes in [1, 2, 4, 8] {
            for offset in size - 16..(size + 16).min(1 << 15) {
                let insns = vec![load_from(0, 1, offset, bytes), mov(0, 0), EXIT];
                let theirs = load(
                    &Load {
                        kind: kind.kind,
                        sleepable,
                        insns,
                        ..Load::default()
                    },
                    false,
                )
                .error
                    == 0;
                let ours = offset % bytes == 0 && offset + bytes <= size;
                assert_eq!(ours, theirs, "{}: {bytes} bytes at {offset}", kind.name);
            }
        }
    }
}
