use super::*;
use crate::{CallTarget, Imm64, encode};

fn helper(name: &str) -> Option<u32> {
    (name == "bpf_map_lookup_elem").then_some(1)
}

fn good(text: &str) -> Assembly {
    assemble(text, &helper).unwrap_or_else(|e| panic!("{e}\n{text}"))
}

fn fault(text: &str) -> String {
    match assemble(text, &helper) {
        Ok(assembly) => panic!("{assembly:#?}\n{text}"),
        Err(e) => e.to_string(),
    }
}

fn lines(section: &Section) -> Vec<String> {
    section.insns().iter().map(Insn::to_string).collect()
}

fn label<'a>(section: &'a Section, name: &str) -> &'a Label {
    let found = section.labels.iter().find(|l| l.name == name);
    found.unwrap_or_else(|| panic!("no {name} in {section:#?}"))
}

/// The example of the module's documentation, as it stands there.
#[test]
fn the_documented_example() {
    let text: String = include_str!("../asm.rs")
        .lines()
        .skip_while(|l| !l.starts_with("//! ```text"))
        .skip(1)
        .take_while(|l| !l.starts_with("//! ```"))
        .map(|l| format!("{}\n", l.trim_start_matches("//!")))
        .collect();
    let assembly = good(&text);
    let names: Vec<&str> = assembly.sections.iter().map(|s| s.name.as_str()).collect();
    assert_eq!(names, ["license", "xdp", ".rodata"]);
    let [map] = &assembly.maps[..] else {
        panic!("{:?}", assembly.maps)
    };
    assert_eq!((map.name.as_str(), map.kind.as_str()), ("counts", "hash"));
    assert_eq!((map.key_size, map.value_size, map.max_entries), (4, 8, 16));

    let xdp = &assembly.sections[1];
    assert_eq!(lines(xdp)[6], "if r0 == 0 goto +6");
    assert_eq!(lines(xdp)[5], "call 1");
    let refs: Vec<_> = xdp
        .refs
        .iter()
        .map(|r| (r.offset, r.kind, r.name.as_str(), r.addend))
        .collect();
    let expected = [
        (24, RefKind::Map, "counts", 0),
        (80, RefKind::Address, "step", 8),
        (96, RefKind::Call, "helper_of_ours", 0),
    ];
    assert_eq!(refs, expected);
    let count = label(xdp, "count");
    assert_eq!(
        (count.kind, count.binding),
        (LabelKind::Function, Binding::Global)
    );
    assert_eq!((count.offset, count.size), (0, 15 * 8));
    assert_eq!(label(xdp, "out").kind, LabelKind::Place);
    assert_eq!(lines(xdp)[13], "r0 = 2");

    let mut data = vec![0; 19];
    data[0] = 1;
    data[8] = 2;
    data[16..].copy_from_slice(&[1, 2, 3]);
    data.extend_from_slice(b"text\0");
    let rodata = assembly.section(".rodata").unwrap();
    assert_eq!(rodata.content, Content::Data(data));
    let step = label(rodata, "step");
    assert_eq!((step.kind, step.size), (LabelKind::Object, 24));
    let license = Content::Data(b"GPL\0".to_vec());
    assert_eq!(assembly.section("license").unwrap().content, license);
}

#[test]
fn labels_and_distances() {
    let assembly = good(
        "f: r1 = g ll
         1: if r1 == 0 goto 1f
         goto 1b
         1: call g; gotol f
         may_goto 1b
         exit
         g: r0 = 0; exit",
    );
    let text = &assembly.sections[0];
    let expected = [
        "r1 = subprog[+7] ll",
        "(second slot)",
        "if r1 == 0 goto +1",
        "goto -2",
        "call pc+3",
        "gotol -6",
        "may_goto -3",
        "exit",
        "r0 = 0",
        "exit",
    ];
    assert_eq!(lines(text), expected);
    assert!(text.refs.is_empty());
    let Content::Code { insns, lines } = &text.content else {
        panic!("{text:?}")
    };
    assert_eq!(lines, &[1, 1, 2, 3, 4, 4, 5, 6, 7, 7]);
    assert_eq!(insns[0].subprog_target(0), Some(8));
    assert_eq!(insns[4].subprog_target(4), Some(8));
    assert!(encode(insns).is_ok());
    let (f, g) = (label(text, "f"), label(text, "g"));
    assert_eq!((f.kind, f.size), (LabelKind::Function, 64));
    assert_eq!((g.kind, g.offset, g.size), (LabelKind::Function, 64, 16));
}

#[test]
fn a_label_hides_a_helper() {
    let assembly = good("call bpf_map_lookup_elem; exit; bpf_map_lookup_elem: r0 = 0; exit");
    let insns = assembly.sections[0].insns();
    assert_eq!(insns[0], Insn::Call(CallTarget::Subprog { rel: 1 }));
    let far = good(".section a; call bpf_map_lookup_elem; exit; .text; bpf_map_lookup_elem: exit");
    assert_eq!(far.section("a").unwrap().refs[0].kind, RefKind::Call);
}

#[test]
fn code_without_a_label_gets_one() {
    let assembly = good("r0 = 0\nexit\n.section xdp/drop\nr0 = 1\nexit\n");
    let name = |s: &str| assembly.section(s).unwrap().labels[0].name.clone();
    assert_eq!(name(".text"), "main");
    assert_eq!(name("xdp/drop"), "xdp_drop");
}

/// The shape of what `clang -S` writes.
#[test]
fn compiler_output() {
    let assembly = good(
        r#"
	.file	"c.c"
	.file	0 "/src" "c.c" md5 0x7bc17a556787586beb8767d0652d6c90
	.section	"kprobe/do_unlinkat","ax",@progbits
	.globl	prog                            # -- Begin function prog
	.p2align	3
	.type	prog,@function
prog:                                   # @prog
.Lfunc_begin0:
	.loc	0 9 0                           # c.c:9:0
	.cfi_sections .debug_frame
	.cfi_startproc
# %bb.0:
	#DEBUG_VALUE: prog:c <- $r1
	*(u32 *)(r10 - 4) = w1
.Ltmp5:
	r1 = counts ll
	call 1
	if r0 == 0 goto LBB0_2
	r1 = 1
	r1 = atomic_fetch_add((u64 *)(r0 + 0), r1)
LBB0_2:
	w1 = *(u32 *)(r6 + 12)
	call sub
	r1 = total ll
	r3 = JT ll
	gotox r3
	exit
.Lfunc_end0:
	.size	prog, .Lfunc_end0-prog
	.cfi_endproc
                                        # -- End function
	.text
	.p2align	3                               # -- Begin function sub
	.type	sub,@function
sub:                                    # @sub
	r2 = limit ll
	w0 = *(u32 *)(r2 + 0)
	exit
.Lfunc_end1:
	.size	sub, .Lfunc_end1-sub
	.type	limit,@object                   # @limit
	.section	.rodata,"a",@progbits
	.globl	limit
	.p2align	2, 0x0
limit:
	.size	limit, 4
	.long	3
	.section	.maps,"aw",@progbits
	.globl	counts
	.hidden	counts
	.p2align	3, 0x0
counts:
	.zero	32
	.size	counts, 32
	.section	.bss,"aw",@nobits
total:
	.long	0                               # 0x0
	.size	total, 4
	.comm	common,8,8
	.section	.jumptables,"",@progbits
JT:
	.quad	LBB0_2
	.quad	LBB0_2-prog
	.section	.debug_info,"",@progbits
	.uleb128 .Ltmp5-.Lfunc_begin0
	.long	.Lnowhere
	.addrsig
	.addrsig_sym prog
"#,
    );
    let prog = assembly.section("kprobe/do_unlinkat").unwrap();
    assert_eq!(prog.flags.as_deref(), Some("ax"));
    assert_eq!(label(prog, "prog").size, prog.insns().len() as u64 * 8);
    let names: Vec<_> = prog
        .refs
        .iter()
        .map(|r| (r.kind, r.name.as_str()))
        .collect();
    let expected = [
        (RefKind::Address, "counts"),
        (RefKind::Call, "sub"),
        (RefKind::Address, "total"),
        (RefKind::Address, "JT"),
    ];
    assert_eq!(names, expected);
    let maps = assembly.section(".maps").unwrap();
    assert!(label(maps, "counts").hidden);
    assert_eq!(maps.align, 8);
    let bss = assembly.section(".bss").unwrap();
    assert_eq!(bss.content, Content::Zeros(16));
    let common = label(bss, "common");
    assert_eq!(
        (common.offset, common.size, common.binding),
        (8, 8, Binding::Global)
    );
    let tables = assembly.section(".jumptables").unwrap();
    assert_eq!(tables.refs.len(), 1);
    assert_eq!(tables.refs[0].kind, RefKind::Data { size: 8 });
    let Content::Data(bytes) = &tables.content else {
        panic!("{tables:?}")
    };
    assert_eq!(bytes[8..], 56u64.to_le_bytes());
    assert!(assembly.section(".debug_info").is_none());
}

#[test]
fn faults() {
    for (text, message) in [
        ("r0 = 1\n  bogus r1\n", "2:3: `bogus` starts no instruction"),
        ("goto out", "1:6: there is no label `out`"),
        ("goto 1f\n2:", "1:6: there is no label `1`"),
        (
            "exit; .section a; x: exit; .text; goto x",
            "1:40: label `x` is in another section",
        ),
        ("a: exit\na: exit", "2:1: `a` is a label of line 1 already"),
        ("r1 = map m ll\nexit", "1:10: there is no map `m`"),
        ("R1 = 5", "1:1: `R1` starts no instruction"),
        ("r11 = 5", "1:1: `r11` starts no instruction"),
        ("r1: exit", "1:1: a register's name cannot be a label"),
        (".frob 1", "1:1: unknown directive `.frob`"),
        (
            "exit\n.byte 1",
            "2:7: data in section `.text`, which holds instructions",
        ),
        (
            ".byte 1\nexit",
            "2:1: an instruction in section `.text`, which holds data",
        ),
        (".byte 256", "1:7: 256 does not fit 8 bits"),
        (".zero 0xffffffff", "1:7: more than 64 MiB of data"),
        (
            ".p2align 40",
            "1:1: an alignment is a power of 2 up to 4096, not 1099511627776",
        ),
        (".map m key=4", "1:13: expected `kind=` and the kind of map"),
        (
            ".map m kind=hash key=x",
            "1:22: expected a number of 32 bits",
        ),
        (".map m kind=hash bogus", "1:23: expected `=`"),
        (".section", "1:9: expected a section's name"),
        (".asciz text", "1:8: expected a string"),
        (".equ A, b", "1:9: `b` is not a number"),
        (
            ".long a - b",
            "1:7: a difference needs two labels of the same section",
        ),
        (
            "call f(1)",
            "1:7: expected the end of the statement, found `(`",
        ),
        (
            "r0 = 1 ; set it",
            "1:10: `set` starts no instruction (`;` separates statements, `#` starts a comment)",
        ),
    ] {
        let fault = fault(text);
        assert_eq!(fault, message, "{text}");
    }
    let far = format!("goto out\n{}out: exit", "r0 = 0\n".repeat(40_000));
    assert_eq!(
        fault(&far),
        "1:6: label `out` is 40000 slots away, more than 16 bits"
    );
    let long = good(&far.replacen("goto", "gotol", 1));
    assert_eq!(
        long.sections[0].insns()[0],
        Insn::Jump {
            rel: 40_000,
            long: true
        }
    );
}

/// What a listing shows assembles to the same program.
#[test]
fn listings_assemble() {
    let text = "f: r6 = r1; if r6 > 3 goto 1f; call g; r1 = g ll; 1: r0 = 5 ll; exit; g: r0 = 1; goto 1f; 1: exit";
    let insns = good(text).sections[0].insns().to_vec();
    let listing = crate::Listing::new(&insns)
        .plain()
        .label_targets()
        .to_string();
    assert_eq!(good(&listing).sections[0].insns(), insns, "{listing}");
    let func = |i: &&Insn| {
        matches!(
            i,
            Insn::LoadImm64 {
                imm: Imm64::Func { .. },
                ..
            }
        )
    };
    assert_eq!(insns.iter().filter(func).count(), 1);
}
