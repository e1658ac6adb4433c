//! Fields and objects that the kernel manages: locks, timers, kernel pointers, allocated structures, lists and trees.

pub(crate) mod alloc;
pub(crate) mod graph;
pub(crate) mod kptr;
pub(crate) mod lock;
pub(crate) mod managed;
pub(crate) mod special;
pub(crate) mod timer;
