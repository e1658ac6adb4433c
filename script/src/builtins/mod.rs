//! The language's values and functions: one [`Row`] each, one file a name (or a family of names).
//!
//! **Invariant:** a row makes typed expressions out of the general nodes of the typed form; nothing
//! outside of its file knows its name.

mod act;
mod aggregate;
mod arg;
mod assert;
mod clear;
mod comm;
mod container;
mod cpu;
mod delete;
mod exit;
mod find;
mod func;
mod getopt;
mod glob;
mod join;
mod len;
mod macaddr;
mod mode;
mod nsecs;
mod ntop;
mod path;
mod percpu;
mod pid;
mod print;
mod printf;
mod rand;
mod search;
mod size;
mod skboutput;
mod stack;
mod str;
mod strings;
mod sym;
mod syscalls;
mod task;
mod time;
mod tseries;
mod typeinfo;
mod uid;
mod unwatch;
mod words;

use crate::ast;
use crate::check::{Checked, Checker};
use crate::hir::Expr;
use crate::source::Span;

/// One builtin.
pub struct Row {
    /// The name, then older names of the same.
    pub names: &'static [&'static str],
    pub(crate) kind: Use,
    pub syntax: &'static str,
    pub doc: &'static str,
    /// A script that uses it.
    pub example: &'static str,
    pub(crate) lower: for<'a> fn(&mut Checker<'a>, &Call<'a>) -> Checked<Expr>,
}

/// How a builtin is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    /// By its name alone; `name()` is the same.
    Value,
    /// By its name alone, or with up to this many arguments.
    Both {
        max: usize,
    },
    Function {
        min: usize,
        max: usize,
    },
}

/// A builtin as a script uses it.
pub(crate) struct Call<'a> {
    pub name: &'a str,
    pub args: &'a [ast::Expr],
    pub span: Span,
}

/// Every builtin.
pub const ROWS: &[&Row] = &[
    &pid::PID,
    &pid::TID,
    &uid::UID,
    &uid::GID,
    &uid::USERNAME,
    &comm::ROW,
    &nsecs::NSECS,
    &nsecs::ELAPSED,
    &cpu::CPU,
    &cpu::NCPUS,
    &cpu::NUMAID,
    &arg::ARG,
    &arg::SARG,
    &arg::RETVAL,
    &arg::REG,
    &arg::CTX,
    &arg::ARGS,
    &func::FUNC,
    &func::PROBE,
    &func::PROBETYPE,
    &task::CURTASK,
    &task::LEADER_COMM,
    &task::LEADER_TID,
    &task::PPID,
    &task::PCOMM,
    &rand::RAND,
    &rand::JIFFIES,
    &rand::CGROUP,
    &rand::IN_CGROUP,
    &rand::CPID,
    &rand::HAS_CPID,
    &stack::KSTACK,
    &stack::USTACK,
    &stack::DW_USTACK,
    &printf::PRINTF,
    &printf::ERRORF,
    &printf::WARNF,
    &printf::CAT,
    &printf::SYSTEM,
    &print::ROW,
    &clear::CLEAR,
    &clear::ZERO,
    &delete::DELETE,
    &delete::HAS_KEY,
    &find::ROW,
    &container::CONTAINER_OF,
    &container::SOCKET_COOKIE,
    &container::KFUNC_EXIST,
    &container::KFUNC_ALLOWED,
    &container::STRCAP,
    &exit::ROW,
    &time::TIME,
    &time::STRFTIME,
    &str::STR,
    &str::BUF,
    &str::KPTR,
    &str::UPTR,
    &join::ROW,
    &path::ROW,
    &path::ABS_PATH,
    &path::CWD,
    &len::ROW,
    &sym::KSYM,
    &sym::USYM,
    &sym::KADDR,
    &sym::UADDR,
    &ntop::NTOP,
    &ntop::PTON,
    &ntop::BSWAP,
    &strings::STRNCMP,
    &strings::STRCONTAINS,
    &strings::STRLEN,
    &search::STRSTR,
    &search::MEMCMP,
    &strings::STR_CONCAT,
    &strings::ASSERT_STR,
    &strings::DEFAULT_STR_LENGTH,
    &glob::ROW,
    &macaddr::MACADDR,
    &mode::USERMODE,
    &mode::IS_ERR,
    &percpu::PERCPU_KADDR,
    &getopt::GETOPT,
    &getopt::CONFIG,
    &assert::ROW,
    &act::SIGNAL,
    &act::SIGNAL_THREAD,
    &act::OVERRIDE,
    &act::WRITE_USER,
    &act::DEBUGF,
    &skboutput::ROW,
    &unwatch::ROW,
    &size::SIZEOF,
    &typeinfo::TYPEINFO,
    &typeinfo::COMPTIME,
    &typeinfo::IS_STR,
    &typeinfo::IS_PTR,
    &typeinfo::IS_ARRAY,
    &typeinfo::IS_INTEGER,
    &typeinfo::IS_UNSIGNED_INTEGER,
    &typeinfo::IS_LITERAL,
    &size::CGROUPID,
    &size::CGROUP_PATH,
    &size::FAIL,
    &size::STATIC_ASSERT,
    &words::STRERROR,
    &words::SIGNAL_NAME,
    &syscalls::SYSCALL_NAME,
    &aggregate::COUNT,
    &aggregate::SUM,
    &aggregate::AVG,
    &aggregate::MIN,
    &aggregate::MAX,
    &aggregate::STATS,
    &aggregate::HIST,
    &aggregate::LHIST,
    &tseries::ROW,
];

pub(crate) use act::signal_number;
pub(crate) use nsecs::now;
pub(crate) use printf::runtime_message;

pub(crate) fn find(name: &str) -> Option<&'static Row> {
    ROWS.iter().copied().find(|r| r.names.contains(&name))
}
