//! [`HostDescription`] → [`Platform`]: the in-process platform with the host's hooks as its only kinds of program.
//!
//! Rows live as long as the process: a description is made into rows once, when a host starts or a command looks at a file.

use std::sync::Arc;

use probity_objfile::ProgType;
use probity_platform::linux::OLDEST;
use probity_platform::{
    ArgKind, Context, Field, FieldKind, HelperSet, Kfunc, KfuncFlag, PacketArgs, Platform,
    ProgKind, Returns, Stores, Widths,
};
use probity_runtime::{Call, kfuncs};

use crate::context::Type;
use crate::description::{ContextDescription, HookDescription, HostDescription};
use crate::exports::Exported;

/// Hooks of a host are kinds of program from here on: Linux's are far below.
const FIRST_KIND: u32 = 0x1000;

/// Helpers that a hook offers when its host says nothing else.
pub const BASE_HELPERS: &[&str] = &[
    "map_lookup_elem",
    "map_update_elem",
    "map_delete_elem",
    "map_push_elem",
    "map_pop_elem",
    "map_peek_elem",
    "map_lookup_percpu_elem",
    "for_each_map_elem",
    "spin_lock",
    "spin_unlock",
    "loop",
    "get_prandom_u32",
    "get_smp_processor_id",
    "ktime_get_ns",
    "ktime_get_boot_ns",
    "ktime_get_coarse_ns",
    "ringbuf_output",
    "ringbuf_reserve",
    "ringbuf_submit",
    "ringbuf_discard",
    "ringbuf_query",
    "strtol",
    "strtoul",
    "strncmp",
    "snprintf",
];

/// The kind of program that a hook's extensions are.
pub fn prog_type(hook: usize) -> ProgType {
    ProgType(FIRST_KIND + hook as u32)
}

/// Whether hooks may offer the helper; says why not.
pub(crate) fn helper(name: &str) -> Result<(), String> {
    let platform = Platform::linux(probity_platform::NEWEST, None);
    let Some(row) = platform.helper_by_name(name).filter(|r| r.name == name) else {
        return Err(format!("there is no helper `{name}`"));
    };
    if probity_runtime::helpers::find(row.id).is_none() {
        return Err(format!("helper `{name}` does not exist in process"));
    }
    // These take the context for one of Linux's.
    let context = row.args.iter().any(|a| a.kind == ArgKind::Ctx);
    match context || !row.variants.is_empty() {
        true => Err(format!("helper `{name}` is about contexts of Linux")),
        false => Ok(()),
    }
}

impl HostDescription {
    /// What extensions of this host may do, for the verifier. The description was checked.
    pub fn platform(&self) -> Platform {
        self.platform_with(&[])
    }

    /// The same for an extension that calls functions of others.
    pub(crate) fn platform_with(&self, imports: &[Exported]) -> Platform {
        let mut stubs: Vec<kfuncs::Entry> = self.functions.iter().map(stub).collect();
        stubs.extend(imports.iter().map(Exported::entry));
        let base = probity_runtime::platform(Some(Arc::new(kfuncs::types_with(&stubs))));
        let own = base.kfuncs.iter().map(|k| Kfunc {
            flags: leak([k.flags, &[KfuncFlag::AnyLicense]].concat()),
            ..k.clone()
        });
        let mut rows: Vec<Kfunc> = own.collect();
        let own = &stubs[..self.functions.len()];
        rows.extend(own.iter().map(|e| self.function_row(e.name)));
        rows.extend(imports.iter().map(Exported::row));
        rows.sort_by_key(|k| k.name);
        let hooks = self.hooks.iter().enumerate();
        Platform {
            name: format!("host {}", self.name),
            prog_kinds: hooks.map(|(n, h)| kind(n, h)).collect(),
            kfuncs: rows.into(),
            projections: &[],
            // What the stack held before is the host's.
            uninit_stack: false,
            ..base
        }
    }

    fn function_row(&self, name: &'static str) -> Kfunc {
        let hooks = self.hooks.iter().enumerate();
        let offered = hooks.filter(|(_, h)| h.functions.iter().any(|f| f == name));
        let mut kinds: Vec<u32> = offered.map(|(n, _)| prog_type(n).0).collect();
        // An empty list would be everybody.
        if kinds.is_empty() {
            kinds.push(0);
        }
        Kfunc {
            name,
            flags: &[KfuncFlag::AnyLicense, KfuncFlag::OneWay],
            kinds: leak(kinds),
            later: &[],
            attached: None,
            since: OLDEST,
            special: None,
            under_lock: false,
            origin: "host",
        }
    }
}

/// A function without code, of which the types are made.
pub(crate) fn stub(f: &crate::FunctionDescription) -> kfuncs::Entry {
    unsafe extern "C" fn nothing(_: *mut Call<'_>, _: u64, _: u64, _: u64, _: u64, _: u64) -> u64 {
        0
    }
    kfuncs::Entry {
        name: text(&f.name),
        declaration: text(&f.declaration),
        function: nothing,
    }
}

fn kind(n: usize, h: &HookDescription) -> ProgKind {
    let kind = prog_type(n).0;
    let helpers: Vec<&'static str> = h.helpers.iter().map(|n| text(n)).collect();
    let has_packet = h
        .context
        .fields
        .iter()
        .any(|f| f.kind() == Ok(Type::Packet));
    ProgKind {
        kind,
        name: text(&h.name),
        context: Context::Struct {
            name: text(&h.context.name),
            size: h.context.size,
            fields: fields(&h.context).into(),
        },
        helpers: HelperSet {
            groups: leak(vec![leak(helpers)]),
            by_attach: &[],
            kind,
            later: &[],
        },
        returns: leak(vec![Returns {
            attach: &[],
            min: h.returns.0,
            max: h.returns.1,
        }]),
        sleepable: false,
        packet_loads: false,
        packet_write: has_packet && h.packet_write,
        packet_args: PacketArgs::Any,
        attach: &[],
        default_attach: None,
        spellings: &[],
        private_stack: None,
        since: OLDEST,
    }
}

fn fields(context: &ContextDescription) -> Vec<Field> {
    let mut out = Vec::new();
    for f in &context.fields {
        let Ok(ty) = f.kind() else { continue };
        let row = Field {
            name: text(&f.name),
            offset: f.offset,
            size: ty.size(),
            kind: FieldKind::Scalar,
            read: Widths(1 | 2 | 4 | 8),
            write: Widths::NONE,
            head: false,
            attach: &[],
            since: OLDEST,
            stores: Stores::Anything,
        };
        match ty {
            Type::Packet => {
                let word = |name: String, offset, kind| Field {
                    name: text(&name),
                    offset,
                    size: 4,
                    kind,
                    read: Widths(4),
                    head: true,
                    ..row
                };
                out.push(word(f.name.clone(), f.offset, FieldKind::PacketData));
                let end = format!("{}_end", f.name);
                out.push(word(end, f.offset + 4, FieldKind::PacketEnd));
            }
            _ if !f.write => out.push(row),
            Type::Bytes(_) => out.push(Field {
                write: Widths(1 | 2 | 4 | 8),
                stores: Stores::Numbers {
                    signed: false,
                    min: 0,
                    max: i128::from(u64::MAX),
                },
                ..row
            }),
            Type::Int { bytes, signed } => {
                let given = f.range.map(|(a, b)| (i128::from(a), i128::from(b)));
                let (min, max) = given.unwrap_or(ty.range());
                out.push(Field {
                    // Whole, so that its range is one of all its bytes.
                    write: Widths(bytes as u8),
                    stores: Stores::Numbers { signed, min, max },
                    ..row
                });
            }
        }
    }
    out
}

fn leak<T>(rows: Vec<T>) -> &'static [T] {
    Box::leak(rows.into_boxed_slice())
}

fn text(text: &str) -> &'static str {
    Box::leak(text.to_owned().into_boxed_str())
}
