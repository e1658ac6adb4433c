//! Rows as people read them: `map_lookup_elem(map, key) -> map value or NULL   id 1, since 3.19`.

use std::fmt::{self, Display, Formatter};

use crate::{
    Arg, ArgKind, Callback, Context, DynptrArg, Field, FieldKind, Helper, MapKind, MemAccess,
    Platform, ProgKind, Prototype, Ret, Widths,
};

impl Display for Arg {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.kind {
            ArgKind::Anything => f.write_str("any"),
            ArgKind::Scalar => f.write_str("number"),
            ArgKind::Zero => f.write_str("0"),
            ArgKind::Map => f.write_str("map"),
            ArgKind::MapKey => f.write_str("key"),
            ArgKind::MapValue { init: true } => f.write_str("value"),
            ArgKind::MapValue { init: false } => f.write_str("out value"),
            ArgKind::Mem { access } => write!(f, "{access}mem"),
            ArgKind::MapMem { access } => write!(f, "{access}map mem"),
            ArgKind::FixedMem { access, bytes, .. } => write!(f, "{access}mem[{bytes}]"),
            ArgKind::Size { zero_ok: false } => f.write_str("size > 0"),
            ArgKind::Size { zero_ok: true } => f.write_str("size"),
            ArgKind::AllocSize => f.write_str("constant size"),
            ArgKind::Ctx => f.write_str("ctx"),
            ArgKind::RingbufMem { release } => write!(f, "{}ringbuf mem", released(release)),
            ArgKind::ConstStr => f.write_str("constant string"),
            ArgKind::Func(callback) => write!(f, "{callback}"),
            ArgKind::CallbackCtx => f.write_str("callback ctx"),
            ArgKind::SpinLock { .. } => f.write_str("spin lock"),
            ArgKind::Timer => f.write_str("timer"),
            ArgKind::Kptr => f.write_str("kptr field"),
            ArgKind::KptrNew => f.write_str("released kptr"),
            ArgKind::SockCommon { release, .. } => write!(f, "{}sock", released(release)),
            ArgKind::Socket { release } => write!(f, "{}full sock", released(release)),
            ArgKind::Btf { name, release } => write!(f, "{}struct {name} *", released(release)),
            ArgKind::PercpuBtf => f.write_str("per-CPU variable"),
            ArgKind::Dynptr { access } => f.write_str(match access {
                DynptrArg::Read => "dynptr",
                DynptrArg::Write => "written dynptr",
                DynptrArg::InitLocal => "out dynptr",
                DynptrArg::InitRingbuf => "out ringbuf dynptr",
                DynptrArg::ReleaseRingbuf => "released ringbuf dynptr",
            }),
        }?;
        if self.nullable {
            f.write_str(" or NULL")
        } else {
            Ok(())
        }
    }
}

fn released(release: bool) -> &'static str {
    if release { "released " } else { "" }
}

/// As a prefix; memory that is only read needs no word.
impl Display for MemAccess {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            MemAccess::Read => "",
            MemAccess::Write => "out ",
            MemAccess::ReadWrite => "inout ",
        })
    }
}

impl Display for Callback {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Callback::Loop => "fn(index, ctx)",
            Callback::MapElement => "fn(map, key, value, ctx)",
            Callback::Timer => "fn(map, key, value)",
            Callback::FindVma => "fn(task, vma, ctx)",
            Callback::Dynptr => "fn(dynptr, ctx)",
            Callback::WorkQueue => "fn(map, key, wq)",
            Callback::TaskWork => "fn(map, key, value)",
        })
    }
}

impl Display for Ret {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let acquired = |acquire: bool| if acquire { "acquired " } else { "" };
        match *self {
            Ret::Void => f.write_str("nothing"),
            Ret::INT => f.write_str("number"),
            Ret::Integer { min, max } => write!(f, "number from {min} to {max}"),
            Ret::SizeOrError => f.write_str("size or negative error"),
            Ret::MapValueOrNull => f.write_str("map value or NULL"),
            Ret::MapValue => f.write_str("map value"),
            Ret::RingbufMemOrNull => f.write_str("acquired ringbuf mem or NULL"),
            Ret::DynptrMemOrNull => f.write_str("dynptr mem or NULL"),
            Ret::SocketOrNull { acquire } => write!(f, "{}full sock or NULL", acquired(acquire)),
            Ret::TcpSockOrNull { acquire } => write!(f, "{}tcp sock or NULL", acquired(acquire)),
            Ret::SockCommonOrNull { acquire } => write!(f, "{}sock or NULL", acquired(acquire)),
            Ret::Btf {
                name,
                nullable,
                trusted,
                acquire,
            } => {
                let trusted = if trusted { "trusted " } else { "" };
                let null = if nullable { " or NULL" } else { "" };
                write!(f, "{}{trusted}struct {name} *{null}", acquired(acquire))
            }
            Ret::PercpuMem { nullable } => {
                write!(f, "per-CPU mem{}", if nullable { " or NULL" } else { "" })
            }
            Ret::KptrOrNull => f.write_str("acquired kptr or NULL"),
        }
    }
}

/// `(map, key) -> map value or NULL`.
impl Display for Prototype {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("(")?;
        for (i, arg) in self.args.iter().enumerate() {
            write!(f, "{}{arg}", if i == 0 { "" } else { ", " })?;
        }
        write!(f, ") -> {}", self.ret)
    }
}

/// `map_lookup_elem(map, key) -> map value or NULL   id 1, since 3.19`.
impl Display for Helper {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let common = Prototype {
            args: self.args,
            ret: self.ret,
            effects: self.effects,
        };
        write!(
            f,
            "{}{common}   id {}, since {}",
            self.name, self.id, self.since
        )?;
        let words = [
            (self.effects.gpl_only, "GPL only"),
            (self.effects.sleeps, "sleepable programs only"),
            (self.effects.changes_packet, "changes the packet"),
        ];
        for (_, word) in words.into_iter().filter(|(holds, _)| *holds) {
            write!(f, ", {word}")?;
        }
        Ok(())
    }
}

impl Platform {
    /// Program kinds that may call this helper under at least one attach type.
    pub fn callers<'a>(&'a self, helper: &'a str) -> impl Iterator<Item = &'a ProgKind> + 'a {
        self.prog_kinds
            .iter()
            .filter(move |k| k.helpers.contains(helper))
    }
}

/// `array   kind 2, since 3.19: map_lookup_elem, …`.
impl Display for MapKind {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}   kind {}, since {}",
            self.name, self.kind, self.since
        )?;
        let mut separator = ": ";
        for helper in self.helpers {
            write!(f, "{separator}{helper}")?;
            separator = ", ";
        }
        Ok(())
    }
}

/// `xdp   kind 6, since 4.8, context struct xdp_md`.
impl Display for ProgKind {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}   kind {}, since {}, context {}",
            self.name, self.kind, self.since, self.context
        )
    }
}

impl Display for Context {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Context::Struct { name, .. } => write!(f, "struct {name}"),
            Context::Bytes { name, .. } => f.write_str(name),
            Context::Words { name, count, .. } => write!(f, "{name}[{count}]"),
            Context::Typed => f.write_str("arguments of the target"),
            Context::Memory { .. } => f.write_str("memory of the caller"),
            Context::None => f.write_str("none"),
        }
    }
}

/// `data at 0, 4 bytes: packet; read 4`.
impl Display for Field {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} at {}, {} bytes: {}",
            self.name, self.offset, self.size, self.kind
        )?;
        for (widths, word) in [(self.read, "read"), (self.write, "write")] {
            if !widths.is_empty() {
                write!(f, "; {word} {widths}")?;
            }
        }
        Ok(())
    }
}

/// `1 2 4`.
impl Display for Widths {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for width in [1, 2, 4, 8].into_iter().filter(|w| self.contains(*w)) {
            write!(f, "{separator}{width}")?;
            separator = " ";
        }
        Ok(())
    }
}

impl Display for FieldKind {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let null = |nullable: bool| if nullable { " or NULL" } else { "" };
        match *self {
            FieldKind::Scalar => f.write_str("number"),
            FieldKind::PacketData => f.write_str("packet"),
            FieldKind::PacketMeta => f.write_str("packet metadata"),
            FieldKind::PacketEnd => f.write_str("packet end"),
            FieldKind::Socket { nullable } => write!(f, "full sock{}", null(nullable)),
            FieldKind::SockCommon { nullable } => write!(f, "sock{}", null(nullable)),
            FieldKind::FlowKeys => f.write_str("flow keys"),
            FieldKind::TracepointBuffer => f.write_str("tracepoint buffer"),
            FieldKind::SockoptStart => f.write_str("option value"),
            FieldKind::SockoptEnd => f.write_str("option value end"),
            FieldKind::Btf { name, nullable } => write!(f, "struct {name} *{}", null(nullable)),
        }
    }
}
