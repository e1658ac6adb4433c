//! `watchpoint:ADDRESS:LENGTH:MODE`: accesses to memory.

use super::{ProbeKind, Row, number};

pub const ROW: Row = Row {
    names: &["watchpoint", "w", "asyncwatchpoint", "aw"],
    syntax: "`watchpoint:0xADDRESS:LENGTH:rw` (length 1, 2, 4 or 8; `r`, `w`, `x`)",
    doc: "Runs when an address is read, written or executed.",
    example: "watchpoint:0x10000000:8:w { printf(\"%s wrote\\n\", comm); }",
    expand: |p, _| {
        let [address, len, mode] = p.parts.as_slice() else {
            return Err(p.wrong("an address, a length and a mode must follow"));
        };
        if address.contains("+arg") {
            return Err(p
                .wrong("an argument's address cannot be watched, as in bpftrace since 0.25")
                .hint("print it first: `uprobe:FILE:FUNCTION { printf(\"%p\\n\", arg0); exit(); }`, then watch that address with -p"));
        }
        let address = number(address)
            .filter(|a| *a > 0)
            .ok_or_else(|| p.wrong(format_args!("`{address}` is not an address")))?;
        let len = number(len)
            .filter(|n| matches!(n, 1 | 2 | 4 | 8))
            .ok_or_else(|| p.wrong(format_args!("`{len}` is not a length")))?;
        let (mut bits, mut known) = (0, !mode.is_empty());
        for c in mode.chars() {
            // `HW_BREAKPOINT_R`, `_W`, `_X`.
            bits |= match c {
                'r' => 1,
                'w' => 2,
                'x' => 4,
                _ => {
                    known = false;
                    0
                }
            };
        }
        if !known || (bits & 4 != 0 && bits != 4) {
            return Err(p.wrong(format_args!("`{mode}` is not a mode")));
        }
        Ok(vec![ProbeKind::Watchpoint {
            address,
            len: len as u32,
            mode: bits,
        }])
    },
};
