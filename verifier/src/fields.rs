//! Accesses of structures by rows: the context's fields, and the fields of sockets.
//!
//! **Invariant:** a field that holds a pointer is only read whole.

use probity_isa::Reg;
use probity_platform::{Context, Field, FieldKind, Layout, Stores, field_access};

use crate::env::Env;
use crate::memory::{Kind, Place, describe};
use crate::reject::{Explain, Outcome, fail, unsupported};
use crate::report::{Region, Rule};
use crate::value::{Known, Pointer, Socket, Value};

pub(crate) fn context(
    env: &Env<'_>,
    p: &Pointer,
    reg: Reg,
    off: i64,
    size: usize,
    kind: Kind,
) -> Outcome<(FieldKind, Option<Box<Within>>)> {
    if p.constant_offset() != Some(0) {
        let known = format!(
            "{reg} is the context at offset {} + {}",
            p.off,
            Known(&p.var)
        );
        let e = fail(
            Rule::ContextAccess,
            "the context is accessed through its own address",
            &known,
        );
        return Err(e
            .about(reg)
            .hint("index it with constants only; copy the field before computing with it"));
    }
    let bad = |known: &str| {
        let must = format!(
            "`{}` programs may {} {size} bytes at offset {off} of their context",
            env.kind.name,
            if kind.writes() { "write" } else { "read" }
        );
        Err(fail(Rule::ContextAccess, &must, known).about(reg))
    };
    if kind == Kind::Atomic {
        return bad("contexts do not take atomic operations");
    }
    let len = size as i64;
    match &env.kind.context {
        Context::None => bad("it has no context"),
        Context::Typed => Err(unsupported("contexts typed by BTF").about(reg)),
        Context::Bytes {
            from, size: bytes, ..
        } => {
            if kind.writes() {
                return bad("it is read-only");
            }
            if off < i64::from(*from) || off + len > i64::from(*bytes) || off % len != 0 {
                return bad(&format!(
                    "readable are the bytes {from} to {bytes}, aligned"
                ));
            }
            Ok((FieldKind::Scalar, None))
        }
        Context::Words { count, widths, .. } => {
            if kind.writes() {
                return bad("it is read-only");
            }
            let width = widths.contains(size as u32);
            if off < 0 || off + len > i64::from(*count) * 8 || off % len != 0 || !width {
                return bad(&format!("readable are {count} words of 8 bytes"));
            }
            Ok((FieldKind::Scalar, None))
        }
        Context::Memory { .. } => bad("it is plain memory"),
        Context::Struct {
            name,
            fields,
            size: bytes,
        } => {
            let at = u32::try_from(off)
                .ok()
                .filter(|_| off + len <= i64::from(*bytes));
            let Some(at) = at else {
                return bad(&format!("`struct {name}` has {bytes} bytes"));
            };
            match env
                .kind
                .context_access(at, size as u32, kind.writes(), env.attach_type())
            {
                Some(f) if f.kind == FieldKind::Scalar || kind == Kind::Read => {
                    Ok((f.kind, Within::of(name, f).filter(|_| kind.writes())))
                }
                Some(f) => bad(&format!("`{name}.{}` holds a pointer", f.name)),
                None => match fields
                    .iter()
                    .find(|f| f.offset <= at && at < f.offset.saturating_add(f.size))
                {
                    None => bad(&format!("`struct {name}` has no field there")),
                    Some(f) => bad(&refused(name, f, kind)),
                },
            }
        }
    }
}

/// What a store to a field must be.
#[derive(Clone, Debug)]
pub(crate) struct Within {
    structure: &'static str,
    field: &'static str,
    signed: bool,
    min: i128,
    max: i128,
}

impl Within {
    fn of(structure: &'static str, f: &Field) -> Option<Box<Within>> {
        match f.stores {
            Stores::Anything => None,
            Stores::Numbers { signed, min, max } => Some(Box::new(Within {
                structure,
                field: f.name,
                signed,
                min,
                max,
            })),
        }
    }

    /// Checks the value of which the low `size` bytes are stored; `reg` is where it is told about.
    pub(crate) fn check(
        &self,
        env: &mut Env<'_>,
        value: &Value,
        size: usize,
        reg: Reg,
    ) -> Outcome<()> {
        let must = format!(
            "`{}.{}` is given numbers from {} to {}",
            self.structure, self.field, self.min, self.max
        );
        match value {
            Value::Number(n) => {
                env.origins.need(n.origin);
                let bits = size as u32 * 8;
                let (low, high) = match self.signed {
                    true => {
                        let set = n.set.sign_extend(bits);
                        (i128::from(set.smin()), i128::from(set.smax()))
                    }
                    false => {
                        let set = n.set.zero_extend(bits);
                        (i128::from(set.umin()), i128::from(set.umax()))
                    }
                };
                if self.min <= low && high <= self.max {
                    return Ok(());
                }
                let known = format!("stored is {}", Known(&n.set));
                let e = fail(Rule::ContextAccess, &must, &known).about(reg);
                Err(e.hint("compare it with these bounds before the store"))
            }
            Value::Pointer(p) => {
                let known = format!("{reg} is {}", describe(env, p));
                Err(fail(Rule::PointerLeak, &must, &known).about(reg))
            }
            Value::Uninit => {
                let known = format!("{reg} was never written on some path");
                Err(fail(Rule::Uninitialised, &must, &known).about(reg))
            }
        }
    }
}

fn refused(name: &str, f: &Field, kind: Kind) -> String {
    let widths = if kind.writes() { f.write } else { f.read };
    let list: Vec<String> = [1, 2, 4, 8]
        .into_iter()
        .filter(|n| widths.contains(*n))
        .map(|n| n.to_string())
        .collect();
    let what = match (list.is_empty(), kind.writes()) {
        (true, true) => "read-only".to_string(),
        (true, false) => "not readable".to_string(),
        _ if f.attach.is_empty() => format!("accessed by {} bytes, aligned", list.join(", ")),
        _ => format!(
            "accessed by {} bytes, aligned, and only at some attachments",
            list.join(", ")
        ),
    };
    format!(
        "`{name}.{}` ({} bytes at {}) is {what}",
        f.name, f.size, f.offset
    )
}

pub(crate) fn socket_field(
    env: &Env<'_>,
    p: &Pointer,
    socket: Socket,
    reg: Reg,
    off: i64,
    size: usize,
    kind: Kind,
) -> Outcome<(Place, Region, Option<i64>)> {
    let must = format!(
        "fields of `struct {}` are read whole, at constant offsets",
        socket.name()
    );
    let Some(at) = p.constant_offset().map(|o| o.saturating_add(off)) else {
        return Err(fail(Rule::OutOfBounds, &must, &describe(env, p)).about(reg));
    };
    let found = env
        .platform
        .structure(socket.name())
        .and_then(|s| match s.layout {
            Layout::Fields(fields) => {
                field_access(fields, u32::try_from(at).ok()?, size as u32, false, None)
            }
            Layout::Bytes => None,
        });
    match found {
        Some(f) if kind == Kind::Read || f.kind == FieldKind::Scalar => {
            Ok((Place::Field(f.kind), Region::Socket, Some(at)))
        }
        _ => {
            let known = format!("{size} bytes at offset {at} are none of them");
            Err(fail(Rule::OutOfBounds, &must, &known).about(reg))
        }
    }
}

pub(crate) fn struct_size(env: &Env<'_>, name: &str) -> i64 {
    env.platform
        .structure(name)
        .map_or(0, |s| i64::from(s.size))
}

impl Socket {
    fn name(self) -> &'static str {
        match self {
            Socket::Sock => "bpf_sock",
            Socket::SockCommon => "sock_common",
            Socket::TcpSock => "bpf_tcp_sock",
            Socket::XdpSock => "bpf_xdp_sock",
        }
    }
    /// The kernel's own structure.
    pub(crate) fn kernel_name(self) -> Option<&'static str> {
        match self {
            Socket::Sock => Some("sock"),
            Socket::SockCommon => Some("sock_common"),
            Socket::TcpSock => Some("tcp_sock"),
            Socket::XdpSock => None,
        }
    }
}
