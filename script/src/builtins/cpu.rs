//! `cpu`, `ncpus`, `numaid`: which processor runs, how many there are, which node it is of.

use super::{Row, Use};
use crate::hir::Expr;
use crate::types::Ty;

/// `bpf_get_smp_processor_id`, `bpf_get_numa_node_id`.
const GET_SMP_PROCESSOR_ID: u32 = 8;
const GET_NUMA_NODE_ID: u32 = 42;

pub const CPU: Row = Row {
    names: &["cpu"],
    kind: Use::Value,
    syntax: "`cpu`",
    doc: "The number of the processor.",
    example: "begin { @[cpu] = count(); }",
    lower: |_, call| Ok(Expr::call0(GET_SMP_PROCESSOR_ID, Ty::U64, call.span).cast(4, false)),
};

pub const NCPUS: Row = Row {
    names: &["ncpus"],
    kind: Use::Value,
    syntax: "`ncpus`",
    doc: "How many processors there are.",
    example: "begin { printf(\"%d\\n\", ncpus); }",
    lower: |c, call| Ok(Expr::int(i64::from(c.env.cpus), Ty::U64, call.span)),
};

pub const NUMAID: Row = Row {
    names: &["numaid"],
    kind: Use::Value,
    syntax: "`numaid`",
    doc: "The memory node of the processor.",
    example: "begin { printf(\"%d\\n\", numaid); }",
    lower: |_, call| Ok(Expr::call0(GET_NUMA_NODE_ID, Ty::U64, call.span).cast(4, false)),
};
