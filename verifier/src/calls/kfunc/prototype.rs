//! A kernel function's prototype in the kernel's types → what each parameter demands and what the call gives.
//!
//! **Invariant:** what is not understood is [`ParamKind::Unknown`], which no argument satisfies.
//!
//! Source: the kernel's Documentation/bpf/kfuncs.rst.

use probity_btf::{Btf, Type, TypeId};
use probity_platform::{Kfunc, KfuncFlag, KfuncSpecial};

/// What a call demands and gives.
#[derive(Clone, Debug)]
pub(crate) struct Prototype {
    pub params: Vec<Param>,
    pub ret: Returns,
}

#[derive(Clone, Debug)]
pub(crate) struct Param {
    pub kind: ParamKind,
    /// NULL is fine (`__nullable`).
    pub nullable: bool,
    /// Memory of no size is fine to be NULL (`__opt`).
    pub optional: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ParamKind {
    /// Any number.
    Scalar,
    /// A number known when the program is verified (`__k`).
    Constant,
    /// Bytes of the memory before it (`__sz`), `constant`: known when the program is verified (`__szk`).
    Size {
        constant: bool,
    },
    /// Bytes of the memory that the call gives (`rdonly_buf_size`, `rdwr_buf_size`), known.
    BufferSize {
        writable: bool,
    },
    /// The kernel fills it in (`__ign`, `__prog`).
    Ignored,
    /// The program's context.
    Context,
    /// A structure that the program allocated (`__alloc`).
    Allocated,
    /// The same, with a `bpf_refcount` (`__refcounted_kptr`).
    Refcounted,
    Dynptr {
        uninit: bool,
        /// What it is of is not written through it.
        constant: bool,
    },
    /// An open-coded iterator on the stack: the structure of its state.
    Iterator {
        type_id: TypeId,
    },
    ListHead,
    ListNode,
    TreeRoot,
    TreeNode,
    /// A string in read-only data (`__str`).
    String,
    /// A map (`__map`).
    Map,
    WorkQueue,
    TaskWork,
    Timer,
    ResilientLock,
    /// Interrupt flags on the stack (`__irq_flag`).
    IrqFlag,
    /// A subprogram.
    Callback,
    /// A kernel structure, or memory.
    Pointer(Pointee),
    /// What Linux does not take either.
    Unknown(String),
}

/// What a parameter points to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pointee {
    pub type_id: TypeId,
    /// A structure or union: it may be a kernel's.
    pub structure: bool,
    pub void: bool,
    /// The next parameter is its size.
    pub sized: bool,
    /// `const`: it is not written through.
    pub constant: bool,
}

impl Pointee {
    /// Its size, when it is a number or made of numbers only: it may be any memory.
    pub(crate) fn bytes(&self, types: &Btf) -> Option<u32> {
        let id = self.type_id;
        let plain = || match self.structure {
            true => only_numbers(types, id, 0, &mut 0),
            false => is_number(types, id),
        };
        types.size_of(id).filter(|_| plain())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Returns {
    Void,
    /// Registers come back with whatever is above the type's width.
    Number,
    /// `void *` says nothing: a number.
    VoidPointer,
    Structure(TypeId),
    /// Memory of the type's size, if it has one.
    Memory(Option<u32>),
    Unknown,
}

/// The prototype of the function whose `FUNC` is `func`.
pub(crate) fn prototype(
    types: &Btf,
    func: TypeId,
    row: &Kfunc,
    is_context: &dyn Fn(&str) -> bool,
) -> Option<Prototype> {
    let proto = types.proto(func)?;
    let Some(Type::FuncProto { ret, params }) = types.ty(proto) else {
        return None;
    };
    let all: Vec<_> = params.iter().collect();
    let mut out = Vec::new();
    for (i, p) in all.iter().enumerate() {
        let next = all.get(i + 1);
        let sized = next.is_some_and(|n| {
            is_number(types, n.ty) && (n.name.ends_with("__sz") || n.name.ends_with("__szk"))
        });
        out.push(Param {
            kind: kind(types, row, is_context, i, p.name, p.ty, sized),
            nullable: p.name.ends_with("__nullable"),
            optional: p.name.ends_with("__opt"),
        });
    }
    Some(Prototype {
        params: out,
        ret: returns(types, ret),
    })
}

fn kind(
    types: &Btf,
    row: &Kfunc,
    is_context: &dyn Fn(&str) -> bool,
    index: usize,
    name: &str,
    ty: TypeId,
    sized: bool,
) -> ParamKind {
    let tagged = |suffix: &str| name.ends_with(suffix);
    if tagged("__ign") || tagged("__prog") {
        return ParamKind::Ignored;
    }
    if is_number(types, ty) {
        return match name {
            "rdonly_buf_size" => ParamKind::BufferSize { writable: false },
            "rdwr_buf_size" => ParamKind::BufferSize { writable: true },
            _ if tagged("__k") => ParamKind::Constant,
            _ if tagged("__sz") => ParamKind::Size { constant: false },
            _ if tagged("__szk") => ParamKind::Size { constant: true },
            _ => ParamKind::Scalar,
        };
    }
    let Some(to) = types.pointee(ty) else {
        return ParamKind::Unknown(types.type_name(ty));
    };
    let pointee = types.resolve(to);
    let target = types.ty(pointee);
    let structure = matches!(target, Some(Type::Struct(_) | Type::Union(_)));
    let named = if structure { types.name(pointee) } else { "" };
    if row.special == Some(KfuncSpecial::CastToKernelContext) || structure && is_context(named) {
        return ParamKind::Context;
    }
    let iterates = [
        KfuncFlag::IterNew,
        KfuncFlag::IterNext,
        KfuncFlag::IterDestroy,
    ];
    if tagged("__alloc") {
        return ParamKind::Allocated;
    }
    if tagged("__refcounted_kptr") {
        return ParamKind::Refcounted;
    }
    match named {
        "bpf_dynptr" => {
            return ParamKind::Dynptr {
                uninit: tagged("__uninit"),
                constant: matches!(types.ty(to), Some(Type::Const(_))),
            };
        }
        _ if tagged("__iter") || index == 0 && iterates.iter().any(|f| row.has(*f)) => {
            return ParamKind::Iterator { type_id: pointee };
        }
        "bpf_list_head" => return ParamKind::ListHead,
        "bpf_list_node" => return ParamKind::ListNode,
        "bpf_rb_root" => return ParamKind::TreeRoot,
        "bpf_rb_node" => return ParamKind::TreeNode,
        _ => {}
    }
    if tagged("__str") {
        return ParamKind::String;
    }
    if tagged("__map") {
        return ParamKind::Map;
    }
    match named {
        "bpf_wq" => return ParamKind::WorkQueue,
        "bpf_timer" => return ParamKind::Timer,
        "bpf_task_work" => return ParamKind::TaskWork,
        "bpf_res_spin_lock" => return ParamKind::ResilientLock,
        _ => {}
    }
    if tagged("__irq_flag") {
        return ParamKind::IrqFlag;
    }
    if matches!(target, Some(Type::FuncProto { .. })) {
        return ParamKind::Callback;
    }
    ParamKind::Pointer(Pointee {
        type_id: pointee,
        structure,
        void: matches!(target, Some(Type::Void)),
        sized,
        constant: matches!(types.ty(to), Some(Type::Const(_))),
    })
}

fn returns(types: &Btf, ret: TypeId) -> Returns {
    match types.resolved(ret) {
        Some(Type::Void) => Returns::Void,
        Some(Type::Int { .. } | Type::Enum(_) | Type::Enum64(_)) => Returns::Number,
        Some(Type::Ptr(to)) => {
            let to = types.resolve(to);
            match types.ty(to) {
                Some(Type::Void) => Returns::VoidPointer,
                Some(Type::Struct(_) | Type::Union(_)) => Returns::Structure(to),
                Some(_) => Returns::Memory(types.size_of(to)),
                None => Returns::Unknown,
            }
        }
        _ => Returns::Unknown,
    }
}

fn is_number(types: &Btf, id: TypeId) -> bool {
    matches!(
        types.resolved(id),
        Some(Type::Int { .. } | Type::Enum(_) | Type::Enum64(_))
    )
}

/// Whether a structure holds numbers and arrays of them only, in at most four levels.
pub(crate) fn only_numbers(types: &Btf, id: TypeId, depth: u32, steps: &mut u32) -> bool {
    let id = types.resolve(id);
    if !matches!(types.ty(id), Some(Type::Struct(_) | Type::Union(_))) {
        return false;
    }
    for m in types.members(id).iter() {
        *steps += 1;
        if *steps > 10_000 {
            return false;
        }
        let fine = match types.resolved(m.ty) {
            Some(Type::Struct(_) | Type::Union(_)) => {
                depth < 3 && only_numbers(types, m.ty, depth + 1, steps)
            }
            Some(Type::Array { elem, len, .. }) => len > 0 && is_number(types, elem),
            _ => is_number(types, m.ty),
        };
        if !fine {
            return false;
        }
    }
    true
}
