//! What a program asks of the printer: each record in the ring buffer begins with an event's number.

use crate::spec::Format;
use crate::types::Ty;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MessageKind {
    Error,
    Warning,
    /// Said once for each place in the script.
    Runtime,
    /// A helper failed.
    Helper,
}

/// One kind of record. Its place in the list is its number; its arguments follow the number in the
/// record, each as long as [`Ty::stored`] says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    Printf {
        format: Format,
        args: Vec<Ty>,
    },
    /// `errorf`, `warnf`, and what goes wrong while a script runs.
    Message {
        kind: MessageKind,
        format: Format,
        args: Vec<Ty>,
        place: String,
        json: (String, u32, u32),
        excerpt: String,
    },
    Cat {
        format: Format,
        args: Vec<Ty>,
    },
    System {
        format: Format,
        args: Vec<Ty>,
    },
    Print(Ty),
    /// The last `top` of the map, values divided by `div`.
    PrintMap {
        map: usize,
        top: Option<u64>,
        div: u64,
    },
    /// One entry of a map that collects; its arguments are the key.
    PrintEntry {
        map: usize,
        key: Vec<Ty>,
    },
    Clear {
        map: usize,
    },
    Zero {
        map: usize,
    },
    Time(String),
    /// Number of strings, each of `bytes`; joined by `separator`.
    Join {
        count: u32,
        bytes: u32,
        separator: String,
    },
    /// One argument: the status.
    Exit,
    /// One argument: the address whose watchpoints are detached.
    Unwatch,
    /// Time since boot, length of the whole packet, bytes of it.
    Packet {
        path: String,
    },
    /// While recording: an event, of which so many bytes are sent, and which stacks.
    Sample {
        bytes: u32,
        stacks: [bool; 2],
    },
    /// While recording: what a read gave; processor, address and value.
    Read {
        ty: Ty,
        bytes: u32,
    },
}
