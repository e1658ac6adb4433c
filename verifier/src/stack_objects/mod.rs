//! Objects that kernel and program share on the stack: dynptrs, iterators, saved interrupt flags.

pub(crate) mod dynptr;
pub(crate) mod irq;
pub(crate) mod iter;
pub(crate) mod object;
