//! Programs of one object verified side by side: the same report as one after the other.

use std::fmt::Write;
use std::sync::Arc;

use probity_platform::{NEWEST, Platform, Policy};
use probity_verifier::{Options, Report, Verdict, verify};

/// Programs of many sizes, the largest first, every third of them wrong.
fn text() -> String {
    let mut text =
        String::from(".license \"GPL\"\n.map counts kind=hash key=4 value=16 max_entries=4\n");
    for n in 0..40 {
        let _ = writeln!(text, ".section \"kprobe/f{n}\"\np{n}:");
        text += "\tr1 = 0\n\t*(u32 *)(r10 - 4) = r1\n\tr2 = r10\n\tr2 += -4\n\tr1 = map counts ll\n\tcall bpf_map_lookup_elem\n";
        if n % 3 != 0 {
            let _ = writeln!(text, "\tif r0 == 0 goto out{n}");
        }
        for i in 0..(40 - n) * 5 {
            let _ = writeln!(text, "\tr3 = *(u32 *)(r0 + {})", i % 4 * 4);
        }
        let _ = writeln!(text, "\tr0 = *(u32 *)(r0 + 0)\nout{n}:\n\tr0 = 2\n\texit");
    }
    text
}

fn shown(report: &Report) -> Vec<String> {
    let one = |p: &probity_verifier::ProgramReport| {
        let mut stats = p.stats;
        stats.time_ns = 0;
        let verdict = match &p.verdict {
            Verdict::Accept(v) => format!("{:?} {:?}", v.index(), v.facts()),
            Verdict::Reject(r) => r.to_string(),
        };
        format!("{} {} {stats:?} {verdict}", p.name, p.insns)
    };
    report.programs.iter().map(one).collect()
}

#[test]
fn the_same_on_any_number_of_threads() {
    let platform = Arc::new(Platform::linux(NEWEST, None));
    let helper = |name: &str| platform.helper_by_name(name).map(|h| h.id);
    let object = probity_objfile::assemble("jobs", &text(), &helper).unwrap();
    let report = |jobs| {
        let options = Options {
            jobs,
            ..Options::default()
        };
        shown(&verify(&object, &platform, &Policy::default(), &options).unwrap())
    };
    let one = report(1);
    assert_eq!(one.len(), 40);
    let wrong = one.iter().filter(|p| p.contains("null_dereference"));
    assert_eq!(wrong.count(), 14);
    for jobs in [0, 2, 8, 100] {
        assert_eq!(report(jobs), one, "{jobs} jobs");
    }
}
