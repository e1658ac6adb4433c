//! What must hold for any bytes at all; tests run it for a second, the fuzzer all night.

use crate::{RelocTarget, link, open, relocate, write};

/// Links the bytes with themselves and opens them; what opens is written, opened again and relocated. Errors are fine, panics are not.
/// Answers whether the bytes opened.
pub fn check(bytes: &[u8]) -> bool {
    for objects in [&[("a", bytes)][..], &[("a", bytes), ("b", bytes)]] {
        if let Ok(linked) = link(objects) {
            let _ = open("linked", &linked.bytes);
        }
    }
    let Ok(object) = open("fuzz", bytes) else {
        return false;
    };
    for program in &object.programs {
        assert!(
            !program.subprogs.is_empty(),
            "`{}` has no function",
            program.name
        );
        assert!(
            program
                .subprogs
                .iter()
                .all(|s| s.start < s.end && s.end <= program.insns.len())
        );
        assert!(program.lines.is_sorted_by_key(|l| l.pc));
        assert!(program.lines.iter().all(|l| l.pc < program.insns.len()));
        assert!(
            program
                .extern_refs
                .iter()
                .all(|r| r.index < object.externs.len())
        );
    }
    if let Ok(written) = write(&object) {
        let _ = open("fuzz", &written);
    }
    let target = RelocTarget {
        types: object.btf.as_deref(),
        kernel_version: 6 << 16,
        ..RelocTarget::default()
    };
    if let Ok(relocated) = relocate(&object, &target) {
        assert_eq!(relocated.failed.len(), relocated.object.programs.len());
        let _ = write(&relocated.object);
    }
    true
}
