//! Global functions run with memory that their proofs know nothing of: the caller's stack, map values, the packet.

use std::sync::Arc;

use probity_btf::{BtfBuilder, FuncLinkage, IntEncoding, TypeId};
use probity_objfile::Object;

use crate::harness::{Pair, assemble, context, in_process, prove};

/// Makes functions global: their parameters are pointers to so many bytes, `0` a number, `-1` the context.
fn declare(object: &mut Object, functions: &[(&str, &[i32])]) {
    let mut types = match &object.btf {
        Some(btf) => BtfBuilder::from_btf(btf),
        None => BtfBuilder::new(),
    };
    let int = types.int("int", 4, IntEncoding::SIGNED);
    for (name, params) in functions {
        let ty = |types: &mut BtfBuilder, p: &i32| -> TypeId {
            match *p {
                0 => int,
                -1 => {
                    let to = types.struct_("xdp_md", 24, &[]);
                    types.ptr(to)
                }
                n => {
                    let to = types.struct_("bytes", n.unsigned_abs(), &[]);
                    types.ptr(to)
                }
            }
        };
        let list: Vec<_> = params.iter().map(|p| ("p", ty(&mut types, p))).collect();
        let proto = types.func_proto(int, &list);
        let func = types.func(name, proto, FuncLinkage::Global);
        for (i, p) in params.iter().enumerate() {
            if *p > 0 {
                types.decl_tag("arg:nonnull", func, Some(i as u32));
            }
        }
        for s in object.programs.iter_mut().flat_map(|p| &mut p.subprogs) {
            if s.name == *name {
                s.func = Some(func);
                s.global = true;
            }
        }
    }
    object.btf = Some(Arc::new(types.build().expect("types")));
}

fn run(text: &str, functions: &[(&str, &[i32])], packet: &[u8]) -> u64 {
    let platform = in_process();
    let mut object = assemble(&platform, "globals", text).unwrap_or_else(|e| panic!("{e}"));
    declare(&mut object, functions);
    let verified = prove(&platform, &object).unwrap_or_else(|e| panic!("{e}"));
    let pair = Pair::new(verified).unwrap_or_else(|e| panic!("{e}"));
    let (interp, jit) = pair.call(0, &|| context(6, &[], packet), 0);
    assert_eq!(interp, jit);
    jit.result.expect("a result")
}

#[test]
fn the_callers_stack_is_read_and_written() {
    let text = r#"
.license "GPL"
.section xdp
.globl main
main:
    *(u64 *)(r10 - 8) = 5
    *(u64 *)(r10 - 16) = 7
    r1 = r10
    r1 += -8
    r2 = r10
    r2 += -16
    call sum
    r6 = r0
    r1 = *(u64 *)(r10 - 8)
    r1 *= 1000
    r0 = r6
    r0 += r1
    exit
.section .text
sum:
    r3 = *(u64 *)(r1 + 0)
    r4 = *(u64 *)(r2 + 0)
    r3 += r4
    *(u64 *)(r1 + 0) = r3
    *(u64 *)(r10 - 8) = r3
    r0 = *(u64 *)(r10 - 8)
    r0 += r4
    exit
"#;
    assert_eq!(run(text, &[("sum", &[8, 8])], &[]), 12 * 1000 + 12 + 7);
}

#[test]
fn two_pointers_may_be_the_same() {
    let text = r#"
.license "GPL"
.section xdp
.globl main
main:
    *(u64 *)(r10 - 8) = 5
    r1 = r10
    r1 += -8
    r2 = r1
    call twice
    exit
.section .text
twice:
    *(u64 *)(r1 + 0) = 1
    r3 = *(u64 *)(r2 + 0)
    *(u64 *)(r2 + 0) = 40
    r4 = *(u64 *)(r1 + 0)
    r0 = r3
    r0 += r4
    exit
"#;
    assert_eq!(run(text, &[("twice", &[8, 8])], &[]), 41);
}

#[test]
fn memory_may_be_the_packet_or_a_map_that_the_function_also_finds_itself() {
    let text = r#"
.license "GPL"
.data varying
.quad 3
.section xdp
.globl main
main:
    r6 = *(u32 *)(r1 + 0)
    r7 = *(u32 *)(r1 + 4)
    r2 = r6
    r2 += 8
    r0 = 0
    if r2 > r7 goto out
    r2 = r6
    r3 = varying ll
    call both
out:
    exit
.section .text
both:
    r6 = *(u32 *)(r1 + 0)
    r7 = *(u32 *)(r1 + 4)
    r4 = r6
    r4 += 8
    r0 = 1
    if r4 > r7 goto done
    r5 = varying ll
    *(u8 *)(r2 + 0) = 9
    r0 = *(u8 *)(r6 + 0)
    *(u8 *)(r6 + 0) = 20
    r8 = *(u8 *)(r2 + 0)
    r0 += r8
    *(u64 *)(r3 + 0) = 100
    r8 = *(u64 *)(r5 + 0)
    r0 += r8
    *(u64 *)(r5 + 0) = 1000
    r8 = *(u64 *)(r3 + 0)
    r0 += r8
done:
    exit
"#;
    let both: &[(&str, &[i32])] = &[("both", &[-1, 8, 8])];
    assert_eq!(run(text, both, &[1; 16]), 9 + 20 + 100 + 1000);
}
