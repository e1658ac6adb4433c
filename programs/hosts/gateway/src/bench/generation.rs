//! Extensions that tell in what they write which of eight generations they are of, to be replaced by one another under load.

/// The object of one generation.
///
/// Its program of `request` leaves the number in two fields. That of `response` answers with 200 where both are of its own
/// generation, and with 500 where they are not: then half of one was served, or none, or two. Both count what they see.
pub fn object(number: u32) -> Vec<u8> {
    sized(number, 1)
}

/// The same with a map of so many entries: where that is another number, the map is migrated.
pub fn sized(number: u32, entries: u32) -> Vec<u8> {
    let (upstream, mark) = (number % 8, 0x100 + number % 8);
    let text = format!(
        ".license \"Dual MIT/GPL\"
.map counts kind=array key=4 value=16 max_entries={entries}
.section \"hook/request@1\"
.globl first
first:
    *(u32 *)(r1 + 32) = {upstream}
    r6 = r1
    *(u32 *)(r10 - 4) = 0
    r1 = map counts ll
    r2 = r10
    r2 += -4
    call bpf_map_lookup_elem
    if r0 == 0 goto out
    r1 = 1
    lock *(u64 *)(r0 + 0) += r1
    *(u32 *)(r6 + 36) = {mark}
out:
    r0 = 0
    exit
.section \"hook/response@1\"
.globl second
second:
    r6 = r1
    *(u32 *)(r10 - 4) = 0
    r1 = map counts ll
    r2 = r10
    r2 += -4
    call bpf_map_lookup_elem
    if r0 == 0 goto half
    r1 = 1
    lock *(u64 *)(r0 + 8) += r1
    w2 = *(u32 *)(r6 + 16)
    w3 = *(u32 *)(r6 + 24)
    w2 += 256
    if w2 != w3 goto half
    if w3 != {mark} goto half
    r0 = 0
    exit
half:
    w2 = 500
    *(u16 *)(r6 + 28) = w2
    r0 = 0
    exit
"
    );
    // Numbers of helpers are the same everywhere.
    let object = probity_objfile::assemble("generation", &text, &|name| {
        name.ends_with("map_lookup_elem").then_some(1)
    });
    let written = object.map(|o| probity_objfile::write(&o));
    written.expect("it is assembled").expect("it is written")
}
