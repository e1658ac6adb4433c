//! What a helper demands of its arguments and what it returns, as data.

use crate::Version;

/// One helper function.
#[derive(Clone, Debug)]
pub struct Helper {
    /// `enum bpf_func_id`.
    pub id: u32,
    /// Without `bpf_`.
    pub name: &'static str,
    /// Up to five; the rest are unused.
    pub args: &'static [Arg],
    pub ret: Ret,
    pub effects: Effects,
    pub since: Version,
    /// Kernel source file that declares the prototype.
    pub origin: &'static str,
    /// Other prototypes of the same number in some program kinds.
    pub variants: &'static [Variant],
}

/// Another prototype of a helper in some program kinds.
#[derive(Clone, Copy, Debug)]
pub struct Variant {
    /// `enum bpf_prog_type`.
    pub kinds: &'static [u32],
    pub args: &'static [Arg],
    pub ret: Ret,
    pub effects: Effects,
}

/// What a call of a helper demands and gives in one program kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prototype {
    pub args: &'static [Arg],
    pub ret: Ret,
    pub effects: Effects,
}

impl Helper {
    /// The prototype that programs of this kind (`enum bpf_prog_type`) see.
    pub fn prototype(&self, prog_kind: u32) -> Prototype {
        match self.variants.iter().find(|v| v.kinds.contains(&prog_kind)) {
            Some(v) => Prototype {
                args: v.args,
                ret: v.ret,
                effects: v.effects,
            },
            None => Prototype {
                args: self.args,
                ret: self.ret,
                effects: self.effects,
            },
        }
    }
}

/// One argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arg {
    pub kind: ArgKind,
    /// NULL is fine.
    pub nullable: bool,
}

/// What an argument must be (`enum bpf_arg_type` names the same things).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArgKind {
    /// Any initialised value; pointers too, as far as privilege allows leaking them.
    Anything,
    /// A scalar whose value is known to the verifier or not.
    Scalar,
    /// The constant 0.
    Zero,
    /// A map.
    Map,
    /// Memory of the map's key size, initialised.
    MapKey,
    /// Memory of the map's value size; `init: false` is written by the helper.
    MapValue {
        init: bool,
    },
    /// Memory whose size is the next argument (`Size`).
    Mem {
        access: MemAccess,
    },
    /// Memory inside a map's value, whose size is the next argument (`Size`): what a dynptr may be made of.
    MapMem {
        access: MemAccess,
    },
    /// Memory of a fixed number of bytes, aligned to `align`.
    FixedMem {
        access: MemAccess,
        bytes: u32,
        align: u32,
    },
    /// Size in bytes of the memory argument before it.
    Size {
        zero_ok: bool,
    },
    /// A known constant number of bytes: the size of the memory returned (ringbuf_reserve).
    AllocSize,
    /// The program's context.
    Ctx,
    /// Memory of ringbuf_reserve; the call ends its life when `release`.
    RingbufMem {
        release: bool,
    },
    /// NUL-terminated constant string in a read-only map.
    ConstStr,
    /// A subprogram: the callback, called with the arguments that `Callback` says.
    Func(Callback),
    /// A pointer into the stack that is handed to the callback.
    CallbackCtx,
    /// A spin lock in a map value or an allocated structure, to be taken or left.
    SpinLock {
        leave: bool,
    },
    Timer,
    /// A kptr field in a map value: where kptr_xchg stores.
    Kptr,
    /// The new pointer of kptr_xchg, of the field's type; its reference ends.
    KptrNew,
    /// `struct bpf_sock` in any of its forms (common, full, TCP, XDP);
    /// with `btf` also a trusted kernel pointer to a socket. `release` ends its reference.
    SockCommon {
        btf: bool,
        release: bool,
    },
    /// A full socket. `release` ends its reference.
    Socket {
        release: bool,
    },
    /// A pointer to this kernel structure, trusted.
    Btf {
        name: &'static str,
        release: bool,
    },
    /// A per-CPU kernel variable.
    PercpuBtf,
    Dynptr {
        access: DynptrArg,
    },
}

/// What a helper does to the memory it is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemAccess {
    /// Must be initialised; not written.
    Read,
    /// Need not be initialised; the helper writes all of it.
    Write,
    /// Must be initialised and may be changed.
    ReadWrite,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DynptrArg {
    /// Any initialised one, read.
    Read,
    /// Any initialised one, written: a packet behind it may move.
    Write,
    /// Uninitialised stack slot that becomes one.
    InitLocal,
    InitRingbuf,
    /// Ends its reference.
    ReleaseRingbuf,
}

/// How a helper calls the subprogram it is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Callback {
    /// bpf_loop: (u32 index, void *ctx), 0 or 1.
    Loop,
    /// for_each_map_elem: (map, key, value, ctx), 0 or 1.
    MapElement,
    /// timer: (map, key, value), 0.
    Timer,
    /// find_vma: (task, vma, ctx), 0 or 1.
    FindVma,
    /// user_ringbuf_drain: (dynptr, ctx), 0 or 1.
    Dynptr,
    /// wq_set_callback: (map, key, value), 0; like a timer's, but it may sleep.
    WorkQueue,
    /// task_work_schedule: (map, key, value), any number; in the task, where it may sleep.
    TaskWork,
}

/// How often a helper calls the subprogram before it returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MostCalls {
    Number(u64),
    /// As its first argument says, and not at all where that is more than `most`.
    FirstArgument {
        most: u64,
    },
    /// Once for each element of the map.
    Elements,
    Unknown,
}

impl Callback {
    pub fn most_calls(self) -> MostCalls {
        match self {
            // `BPF_MAX_LOOPS`.
            Callback::Loop => MostCalls::FirstArgument {
                most: 8 * 1024 * 1024,
            },
            Callback::MapElement => MostCalls::Elements,
            Callback::FindVma => MostCalls::Number(1),
            // `BPF_MAX_USER_RINGBUF_SAMPLES`.
            Callback::Dynptr => MostCalls::Number(128 * 1024),
            Callback::Timer | Callback::WorkQueue | Callback::TaskWork => MostCalls::Unknown,
        }
    }

    /// What the subprogram may return.
    pub fn returns(self) -> (i64, i64) {
        match self {
            Callback::Timer | Callback::WorkQueue => (0, 0),
            Callback::TaskWork => (i32::MIN.into(), i32::MAX.into()),
            _ => (0, 1),
        }
    }

    /// Called on its own, when the program that gave it may have ended.
    pub fn later(self) -> bool {
        matches!(
            self,
            Callback::Timer | Callback::WorkQueue | Callback::TaskWork
        )
    }

    /// Called where sleeping is allowed, whatever program gave it.
    pub fn may_sleep(self) -> bool {
        matches!(self, Callback::WorkQueue | Callback::TaskWork)
    }

    /// The kernel structure that it is given beside those that the helper got.
    pub fn structure(self) -> Option<&'static str> {
        (self == Callback::FindVma).then_some("vm_area_struct")
    }
}

/// What r0 is after the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ret {
    Void,
    /// A number; the range, where one is promised, is `[min, max]`.
    Integer {
        min: i64,
        max: i64,
    },
    /// A negative error of at least -4095, or a count up to the greatest value of the `Size` argument.
    SizeOrError,
    /// The value of the map argument, or NULL.
    MapValueOrNull,
    /// The value of the map argument, certain.
    MapValue,
    /// Memory as large as the `AllocSize` argument, or NULL, to be released.
    RingbufMemOrNull,
    /// Memory of `Size`'s constant (dynptr_data), or NULL.
    DynptrMemOrNull,
    /// Sockets, or NULL; `acquire` makes a reference.
    SocketOrNull {
        acquire: bool,
    },
    TcpSockOrNull {
        acquire: bool,
    },
    SockCommonOrNull {
        acquire: bool,
    },
    /// A kernel structure by BTF.
    Btf {
        name: &'static str,
        nullable: bool,
        trusted: bool,
        acquire: bool,
    },
    /// Type and size of the per-CPU variable argument.
    PercpuMem {
        nullable: bool,
    },
    /// kptr_xchg: the old pointer.
    KptrOrNull,
}

/// What a call does beside its result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Effects {
    /// Only for GPL-compatible programs.
    pub gpl_only: bool,
    /// Packet pointers are invalid afterwards.
    pub changes_packet: bool,
    /// Memory arguments may be packet memory.
    pub packet_access: bool,
    /// May sleep: only in sleepable programs.
    pub sleeps: bool,
    /// Does not return (tail_call succeeds).
    pub may_not_return: bool,
    /// May be called while a lock is held.
    pub under_lock: bool,
    /// The result is the first argument under another type and shares its reference.
    pub casts: bool,
}

impl Ret {
    /// Any number.
    pub const INT: Ret = Ret::Integer {
        min: i64::MIN,
        max: i64::MAX,
    };
}
