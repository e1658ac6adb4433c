//! Small programs, each about one rule or one known kind of verifier bug: `rules.txt`.

mod harness;

use std::sync::Arc;

use probity_platform::{NEWEST, Platform};

const HEAD: &str = "\
r6 = r1
*(u32 *)(r10 - 4) = 0
r2 = r10
r2 += -4
r1 = map counts ll
call bpf_map_lookup_elem
if r0 != 0 goto found
exit
found:
r7 = *(u64 *)(r0 + 0)
";

/// A dynptr of the 8 bytes of `counts` at fp-32; r6 points to these, r7 is an unknown number.
const DYNPTR: &str = "\
r6 = r0
r1 = r0
r2 = 8
r3 = 0
r4 = r10
r4 += -32
call bpf_dynptr_from_mem
";

/// A dynptr of a record of 8 bytes at fp-32.
const RINGPTR: &str = "\
r1 = map ring ll
r2 = 8
r3 = 0
r4 = r10
r4 += -32
call bpf_ringbuf_reserve_dynptr
";

const MAPS: &str = "\
.license \"GPL\"
.map counts kind=array key=4 value=8 max_entries=4
.map hashed kind=hash key=4 value=8 max_entries=4
.map ring kind=ringbuf max_entries=4096
.map inbox kind=user_ringbuf max_entries=4096
.map programs kind=prog_array key=4 value=4 max_entries=4
.map secret kind=array key=4 value=8 max_entries=1 flags=256
.rodata fixed
.quad 7
.data varying
.quad 7
";

#[test]
fn every_rule() {
    let platform = Arc::new(Platform::linux(NEWEST, None));
    let unprivileged = Arc::new(Platform {
        privileged: false,
        ..Platform::linux(NEWEST, None)
    });
    harness::judge(
        &harness::cases(include_str!("rules.txt")),
        |case| match case.words.iter().any(|w| w == "unprivileged") {
            true => unprivileged.clone(),
            false => platform.clone(),
        },
        |case, platform| {
            let text = case.text(MAPS, |line| match line {
                "HEAD" => HEAD.to_string(),
                "DYNPTR" => format!("{HEAD}{DYNPTR}"),
                "RINGPTR" => RINGPTR.to_string(),
                line => line.to_string(),
            });
            harness::assemble(platform, &text)
        },
    );
}
