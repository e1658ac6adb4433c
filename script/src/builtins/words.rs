//! `strerror`, `signal_name`: numbers that have a name.
//!
//! A table's last row, of the least number, stands for all that are not in it.

use super::{Row, Use};
use crate::hir::Expr;
use crate::types::Ty;

/// The kernel's numbers of errors with the C library's words for them.
const ERRORS: &[(i64, &str)] = &[
    (0, "Success"),
    (1, "Operation not permitted"),
    (2, "No such file or directory"),
    (3, "No such process"),
    (4, "Interrupted system call"),
    (5, "Input/output error"),
    (6, "No such device or address"),
    (7, "Argument list too long"),
    (8, "Exec format error"),
    (9, "Bad file descriptor"),
    (10, "No child processes"),
    (11, "Resource temporarily unavailable"),
    (12, "Cannot allocate memory"),
    (13, "Permission denied"),
    (14, "Bad address"),
    (15, "Block device required"),
    (16, "Device or resource busy"),
    (17, "File exists"),
    (18, "Invalid cross-device link"),
    (19, "No such device"),
    (20, "Not a directory"),
    (21, "Is a directory"),
    (22, "Invalid argument"),
    (23, "Too many open files in system"),
    (24, "Too many open files"),
    (25, "Inappropriate ioctl for device"),
    (26, "Text file busy"),
    (27, "File too large"),
    (28, "No space left on device"),
    (29, "Illegal seek"),
    (30, "Read-only file system"),
    (31, "Too many links"),
    (32, "Broken pipe"),
    (33, "Numerical argument out of domain"),
    (34, "Numerical result out of range"),
    (35, "Resource deadlock avoided"),
    (36, "File name too long"),
    (37, "No locks available"),
    (38, "Function not implemented"),
    (39, "Directory not empty"),
    (40, "Too many levels of symbolic links"),
    (61, "No data available"),
    (62, "Timer expired"),
    (71, "Protocol error"),
    (75, "Value too large for defined data type"),
    (88, "Socket operation on non-socket"),
    (90, "Message too long"),
    (92, "Protocol not available"),
    (93, "Protocol not supported"),
    (95, "Operation not supported"),
    (97, "Address family not supported by protocol"),
    (98, "Address already in use"),
    (99, "Cannot assign requested address"),
    (100, "Network is down"),
    (101, "Network is unreachable"),
    (103, "Software caused connection abort"),
    (104, "Connection reset by peer"),
    (105, "No buffer space available"),
    (106, "Transport endpoint is already connected"),
    (107, "Transport endpoint is not connected"),
    (110, "Connection timed out"),
    (111, "Connection refused"),
    (112, "Host is down"),
    (113, "No route to host"),
    (114, "Operation already in progress"),
    (115, "Operation now in progress"),
    (125, "Operation canceled"),
    (i64::MIN, "Unknown error"),
];

/// The C library's words for signals.
const SIGNALS: &[(i64, &str)] = &[
    (0, "Unknown signal 0"),
    (1, "Hangup"),
    (2, "Interrupt"),
    (3, "Quit"),
    (4, "Illegal instruction"),
    (5, "Trace/breakpoint trap"),
    (6, "Aborted"),
    (7, "Bus error"),
    (8, "Floating point exception"),
    (9, "Killed"),
    (10, "User defined signal 1"),
    (11, "Segmentation fault"),
    (12, "User defined signal 2"),
    (13, "Broken pipe"),
    (14, "Alarm clock"),
    (15, "Terminated"),
    (16, "Stack fault"),
    (17, "Child exited"),
    (18, "Continued"),
    (19, "Stopped (signal)"),
    (20, "Stopped"),
    (21, "Stopped (tty input)"),
    (22, "Stopped (tty output)"),
    (23, "Urgent I/O condition"),
    (24, "CPU time limit exceeded"),
    (25, "File size limit exceeded"),
    (26, "Virtual timer expired"),
    (27, "Profiling timer expired"),
    (28, "Window changed"),
    (29, "I/O possible"),
    (30, "Power failure"),
    (31, "Bad system call"),
    (i64::MIN, "N/A"),
];

pub const STRERROR: Row = Row {
    names: &["strerror"],
    kind: Use::Function { min: 1, max: 1 },
    syntax: "`strerror(NUMBER)`",
    doc: "The words for the number of an error.",
    example: "begin { printf(\"%s\\n\", strerror(2)); }",
    lower: |c, call| {
        let v = c.number(&call.args[0])?;
        Ok(Expr {
            ty: Ty::Word(ERRORS),
            ..v
        })
    },
};

pub const SIGNAL_NAME: Row = Row {
    names: &["signal_name"],
    kind: Use::Function { min: 1, max: 1 },
    syntax: "`signal_name(NUMBER)`",
    doc: "The words for a signal.",
    example: "begin { printf(\"%s\\n\", signal_name(9)); }",
    lower: |c, call| {
        let v = c.number(&call.args[0])?;
        Ok(Expr {
            ty: Ty::Word(SIGNALS),
            ..v
        })
    },
};
