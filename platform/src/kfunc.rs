//! What the kernel's types do not say of the kernel functions that programs call.

use crate::Version;

/// One kernel function; its prototype is in [`crate::Platform::types`].
#[derive(Clone, Debug)]
pub struct Kfunc {
    pub name: &'static str,
    pub flags: &'static [KfuncFlag],
    /// `enum bpf_prog_type`s that may call it; empty: all.
    pub kinds: &'static [u32],
    /// Kinds that only newer versions let call it.
    pub later: &'static [u32],
    /// How programs must be attached that call it, where that matters.
    pub attached: Option<Attached>,
    pub since: Version,
    /// What it does that neither its prototype nor its flags say.
    pub special: Option<KfuncSpecial>,
    /// May be called while a lock is held.
    pub under_lock: bool,
    /// Kernel source file that registers it.
    pub origin: &'static str,
}

/// How programs must be attached that call a kernel function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attached {
    /// `enum bpf_attach_type`s.
    pub types: &'static [u32],
    /// Sleepable programs may call it wherever they are attached.
    pub or_sleepable: bool,
}

/// The kernel's `KF_` flags (Documentation/bpf/kfuncs.rst).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KfuncFlag {
    /// Gives a reference that the program must release.
    Acquire,
    /// Releases the reference it is given.
    Release,
    /// May give NULL.
    RetNull,
    /// Pointer arguments must be trusted or referenced.
    TrustedArgs,
    /// May sleep: only in sleepable programs.
    Sleepable,
    /// May take down the machine.
    Destructive,
    /// Pointer arguments must be trusted or under RCU protection.
    Rcu,
    /// Starts, steps and ends an iterator on the stack.
    IterNew,
    IterNext,
    IterDestroy,
    /// Only inside an RCU read section.
    RcuProtected,
    /// Programs of any licence may call it: it is a host's, not the kernel's.
    AnyLicense,
    /// Memory with a size is only read behind pointers to `const`, and only written behind others.
    OneWay,
    /// A function of another extension, verified with it: a call executes so many instructions at most. Memory that it is
    /// handed it may read and write.
    Executes(u64),
}

/// What a kernel function does that neither its prototype nor its flags say, as far as a verifier must know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KfuncSpecial {
    /// Memory of a structure of the program's own types, given by its type id; a per-CPU one.
    ObjNew,
    ObjDrop,
    PercpuObjNew,
    PercpuObjDrop,
    /// One more owner of an allocated structure with a `bpf_refcount`.
    RefcountAcquire,
    /// Nodes move between the program and a list or tree, under its lock.
    ListPush,
    ListPop,
    ListPeek,
    RbtreeAdd,
    RbtreeRemove,
    /// First, root, left or right: still owned by the tree.
    RbtreePeek,
    RcuLock,
    RcuUnlock,
    PreemptDisable,
    PreemptEnable,
    IrqSave,
    IrqRestore,
    ResSpinLock {
        irq: bool,
    },
    ResSpinUnlock {
        irq: bool,
    },
    /// Ends the program from anywhere in it.
    Throw,
    /// Any pointer or number as a pointer to a kernel structure that may be read only.
    RdonlyCast,
    /// The context as the structure that the kernel itself sees.
    CastToKernelContext,
    /// A dynptr of the packet; read-only where the program kind does not write packets.
    /// `moves`: a write through it may move the packet.
    DynptrFromPacket {
        moves: bool,
    },
    /// Memory of a constant size in a dynptr, or in the buffer given, or NULL.
    DynptrSlice {
        writable: bool,
    },
    DynptrClone,
    /// Calls a subprogram later, on its own: of a work queue, …
    AsyncCallback(crate::Callback),
    /// Gives a number that is an address in the program's arena.
    ArenaAlloc,
    /// Steps an iterator whose elements stay until it is destroyed, not until the next step.
    ElementsStay,
    /// Starts an iterator that gives at most so many elements.
    ElementsAtMost(u64),
    /// Starts an iterator over the numbers from its second argument up to its third, if there are at most so many.
    NumbersAtMost(u64),
    /// Packet pointers are invalid afterwards.
    ChangesPacket,
    /// Takes a lock that interrupts take too: only in sleepable programs, or where these kinds
    /// (`enum bpf_prog_type`) or attach types (`enum bpf_attach_type`) run.
    SleepableOr {
        kinds: &'static [u32],
        attach: &'static [u32],
    },
    /// The memory it gives may be written.
    WritableResult,
    /// Only programs that are bound to one network device may call it.
    DeviceBound,
}

impl Kfunc {
    pub fn has(&self, flag: KfuncFlag) -> bool {
        self.flags.contains(&flag)
    }

    /// May programs of this kind (`enum bpf_prog_type`) call it?
    pub fn allows(&self, prog_kind: u32) -> bool {
        !self.later.contains(&prog_kind)
            && (self.kinds.is_empty() || self.kinds.contains(&prog_kind))
    }

    /// May programs attached so call it?
    pub fn allows_attached(&self, attach: Option<u32>, sleepable: bool) -> bool {
        self.attached.is_none_or(|a| {
            a.or_sleepable && sleepable || attach.is_some_and(|t| a.types.contains(&t))
        })
    }
}
