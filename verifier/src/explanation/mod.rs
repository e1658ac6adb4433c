//! What a person is told of a failure.

pub(crate) mod explain;
pub(crate) mod reject;
pub(crate) mod trail;
