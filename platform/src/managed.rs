//! What the kernel manages inside of map values and allocated structures: locks, timers, kernel pointers, lists, trees.

use crate::Version;

/// A kind of managed field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Managed {
    SpinLock,
    ResSpinLock,
    Timer,
    WorkQueue,
    TaskWork,
    ListHead,
    ListNode,
    RbRoot,
    RbNode,
    Refcount,
    /// A pointer to a kernel structure that nothing keeps alive.
    KptrUntrusted,
    /// A pointer that owns what it points to.
    Kptr,
    /// The same, to memory of each CPU.
    PercpuKptr,
    /// A pointer to a page of the program's user.
    Uptr,
}

/// How a managed field is found, and where it may be.
#[derive(Clone, Debug)]
pub struct ManagedField {
    pub kind: Managed,
    /// Of the structure, or of the pointer's type tag.
    pub name: &'static str,
    /// Found by a type tag (`btf_type_tag`) on a pointer, not as a structure.
    pub tag: bool,
    /// Bytes.
    pub size: u32,
    pub align: u32,
    /// A value may have more than one of its own.
    pub many: bool,
    /// It may be an element of an array.
    pub array: bool,
    /// `enum bpf_map_type`s whose values may have it.
    pub maps: &'static [u32],
    /// Allocated structures may have it.
    pub allocated: bool,
    /// `enum bpf_prog_type`s that may not use a map with it.
    pub not_in: &'static [u32],
    pub since: Version,
}

/// A kernel structure that a [`Managed::Kptr`] may point to: one that the kernel knows how to release.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KptrType {
    pub name: &'static str,
    /// It outlives an RCU read section in which it was found.
    pub rcu: bool,
}

/// All that a platform manages inside of values.
#[derive(Clone, Copy, Debug)]
pub struct ManagedTypes {
    pub fields: &'static [ManagedField],
    pub kptrs: &'static [KptrType],
    /// Fields of one value or structure.
    pub most: usize,
    /// Structures that own structures that own structures …
    pub ownership: usize,
    /// Bytes of a structure that is allocated on each CPU.
    pub percpu_bytes: u32,
    /// Bytes that a [`Managed::Uptr`] may point to.
    pub page: u32,
}

impl ManagedTypes {
    /// The row of a structure with this name, or of a type tag.
    pub fn find(&self, name: &str, tag: bool) -> Option<&'static ManagedField> {
        self.fields.iter().find(|f| f.tag == tag && f.name == name)
    }

    pub fn kptr(&self, name: &str) -> Option<KptrType> {
        self.kptrs.iter().copied().find(|k| k.name == name)
    }
}
