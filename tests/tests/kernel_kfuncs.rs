//! Random programs that call kernel functions, given to our verifier and to the running kernel: what we accept it
//! accepts too.
//!
//! The programs are mostly right: registers 6 to 9 have kinds, uses of what may be NULL are guarded, references are
//! given back at the end, but for every so often.
//!
//! `TEST_SEED=N` runs others than the usual ones, `TEST_PROGRAMS=N` says how many, `TEST_LIST` shows what only the
//! kernel accepts.

use std::sync::Arc;

use probity_btf::Btf;
use probity_objfile::assemble;
use probity_platform::{Platform, Policy, Version};
use probity_tests::{kernel, skip};
use probity_verifier::{Options, Verdict, verify};

struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len() as u64) as usize]
    }

    fn once_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

/// What a register most likely holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Is {
    Number,
    Task,
    Mask,
    Group,
    /// Whatever a member leads to.
    Other,
}

#[derive(Clone, Copy)]
struct Held {
    is: Is,
    null: bool,
    /// It must be given back.
    owned: bool,
}

const NOTHING: Held = Held {
    is: Is::Number,
    null: false,
    owned: false,
};

struct Program<'a> {
    r: &'a mut Rng,
    types: &'a Btf,
    sleepable: bool,
    text: String,
    held: [Held; 4],
    labels: u32,
    rcu: u32,
    preempt: u32,
}

/// Members of a task that lead somewhere, and to what.
const MEMBERS: &[(&str, Is)] = &[
    ("group_leader", Is::Task),
    ("real_parent", Is::Task),
    ("last_wakee", Is::Task),
    ("cpus_ptr", Is::Mask),
    ("cgroups", Is::Other),
    ("mm", Is::Other),
    ("nsproxy", Is::Other),
    ("user_cpus_ptr", Is::Mask),
];

impl Program<'_> {
    fn line(&mut self, line: &str) {
        let kfunc = line
            .strip_prefix("call ")
            .and_then(|name| self.types.find_func(name))
            .filter(|_| !line.contains("bpf_get_current") && !line.contains("bpf_copy_from_user"));
        match kfunc {
            Some(id) => self.text.push_str(&format!("call kfunc[{}, 0]\n", id.0)),
            None => self.text.push_str(&format!("{line}\n")),
        }
    }

    /// A register of this kind, mostly.
    fn pick(&mut self, is: Is) -> Option<usize> {
        if self.r.once_in(40) {
            return Some(self.r.below(4) as usize);
        }
        let fit: Vec<usize> = (0..4).filter(|i| self.held[*i].is == is).collect();
        (!fit.is_empty()).then(|| self.r.of(&fit))
    }

    /// A register that may be overwritten, mostly.
    fn free(&mut self) -> Option<usize> {
        let fit: Vec<usize> = (0..4).filter(|i| !self.held[*i].owned).collect();
        (!fit.is_empty()).then(|| self.r.of(&fit))
    }

    /// `body`, where the register is not NULL.
    fn guarded(&mut self, reg: usize, body: &[String]) {
        let guard = self.held[reg].null && !self.r.once_in(12);
        let label = self.labels;
        self.labels += 1;
        if guard {
            self.line(&format!("if r{} == 0 goto skip{label}", reg + 6));
        }
        for l in body {
            self.line(l);
        }
        if guard {
            self.line(&format!("skip{label}:"));
        }
    }

    fn acquire(&mut self) {
        let Some(to) = self.free() else { return };
        let (is, call, from) = match self.r.below(8) {
            0 | 1 => (Is::Task, "bpf_task_from_pid", None),
            2 | 3 => (Is::Task, "bpf_task_acquire", Some(Is::Task)),
            4 => (Is::Mask, "bpf_cpumask_create", None),
            5 => (Is::Mask, "bpf_cpumask_acquire", Some(Is::Mask)),
            6 => (Is::Group, "bpf_cgroup_from_id", None),
            _ => (Is::Group, "bpf_cgroup_acquire", Some(Is::Group)),
        };
        self.line(&format!("r{} = 0", to + 6));
        self.held[to] = NOTHING;
        match from {
            None => {
                self.line("r1 = 1");
                self.line(&format!("call {call}"));
                self.line(&format!("r{} = r0", to + 6));
            }
            Some(from) => {
                let Some(from) = self.pick(from) else { return };
                let body = [
                    format!("r1 = r{}", from + 6),
                    format!("call {call}"),
                    format!("r{} = r0", to + 6),
                ];
                self.guarded(from, &body);
            }
        }
        self.held[to] = Held {
            is,
            null: true,
            owned: true,
        };
    }

    fn release(&mut self, reg: usize) {
        let call = match self.held[reg].is {
            Is::Task => "bpf_task_release",
            Is::Mask => "bpf_cpumask_release",
            _ => "bpf_cgroup_release",
        };
        let mut body = vec![format!("r1 = r{}", reg + 6), format!("call {call}")];
        if self.r.once_in(20) {
            body.insert(1, "r1 += 8".into());
        }
        self.guarded(reg, &body);
        if !self.r.once_in(15) {
            self.line(&format!("r{} = 0", reg + 6));
            self.held[reg] = NOTHING;
        }
    }

    fn member(&mut self) {
        let Some(from) = self.pick(Is::Task) else {
            return;
        };
        let Some(to) = self.free() else { return };
        let (name, is) = self.r.of(MEMBERS);
        let task = self.types.find_struct("task_struct");
        let Some(at) = task.and_then(|t| self.types.member_offset(t, name).ok()) else {
            return;
        };
        if to != from {
            self.line(&format!("r{} = 0", to + 6));
        }
        let load = format!(
            "r{} = *(u64 *)(r{} + {})",
            to + 6,
            from + 6,
            at.byte_offset()
        );
        self.guarded(from, &[load]);
        let null = self.held[from].null || self.r.once_in(2);
        self.held[to] = Held {
            is,
            null,
            owned: false,
        };
    }

    fn used(&mut self) {
        let (is, body): (Is, &[&str]) = match self.r.below(9) {
            0 => (Is::Mask, &["r2 = R", "r1 = 0", "call bpf_cpumask_test_cpu"]),
            1 => (Is::Mask, &["r2 = R", "r1 = 0", "call bpf_cpumask_set_cpu"]),
            2 => (Is::Mask, &["r1 = R", "call bpf_cpumask_first"]),
            3 => (
                Is::Task,
                &[
                    "r2 = R",
                    "r1 = 0",
                    "r2 += CPUS",
                    "call bpf_cpumask_test_cpu",
                ],
            ),
            4 => (
                Is::Task,
                &[
                    "r1 = R",
                    "r2 = 0",
                    "r3 = 0",
                    "r4 = 0",
                    "call bpf_send_signal_task",
                ],
            ),
            5 => (Is::Task, &["r1 = R", "call bpf_task_pt_regs"]),
            6 => (Is::Task, &["r1 = *(u32 *)(R + 0)"]),
            7 => (
                Is::Group,
                &["r1 = R", "r2 = 0", "call bpf_cgroup_read_xattr"],
            ),
            _ => (Is::Other, &["r1 = *(u64 *)(R + 0)"]),
        };
        let Some(reg) = self.pick(is) else { return };
        let task = self.types.find_struct("task_struct");
        let cpus = task
            .and_then(|t| self.types.member_offset(t, "cpus_mask").ok())
            .map_or(0, |f| f.byte_offset());
        let body: Vec<String> = body
            .iter()
            .map(|l| {
                l.replace('R', &format!("r{}", reg + 6))
                    .replace("CPUS", &cpus.to_string())
            })
            .collect();
        self.guarded(reg, &body);
    }

    fn section(&mut self) {
        match self.r.below(6) {
            0 | 1 => {
                self.line("call bpf_rcu_read_lock");
                self.rcu += 1;
            }
            2 | 3 if self.rcu > 0 || self.r.once_in(20) => {
                self.line("call bpf_rcu_read_unlock");
                self.rcu = self.rcu.saturating_sub(1);
            }
            4 => {
                self.line("call bpf_preempt_disable");
                self.preempt += 1;
            }
            5 if self.preempt > 0 => {
                self.line("call bpf_preempt_enable");
                self.preempt -= 1;
            }
            _ => {}
        }
    }

    fn step(&mut self) {
        match self.r.below(14) {
            0..3 => self.acquire(),
            3..6 => self.member(),
            6..9 => self.used(),
            9 => self.section(),
            10 => {
                let owned: Vec<usize> = (0..4).filter(|i| self.held[*i].owned).collect();
                if !owned.is_empty() {
                    let reg = self.r.of(&owned);
                    self.release(reg);
                }
            }
            11 => {
                if let Some(to) = self.free() {
                    self.line("call bpf_get_current_task_btf");
                    self.line(&format!("r{} = r0", to + 6));
                    self.held[to] = Held {
                        is: Is::Task,
                        null: false,
                        owned: false,
                    };
                }
            }
            12 => {
                // Through the stack and back.
                let reg = self.r.below(4) + 6;
                self.line(&format!("*(u64 *)(r10 - 8) = r{reg}"));
                self.section();
                self.line(&format!("r{reg} = *(u64 *)(r10 - 8)"));
            }
            _ if self.sleepable && (self.rcu == 0 && self.preempt == 0 || self.r.once_in(10)) => {
                for l in [
                    "r1 = r10",
                    "r1 += -16",
                    "r2 = 8",
                    "r3 = 0",
                    "call bpf_copy_from_user",
                ] {
                    self.line(l);
                }
            }
            _ => {}
        }
    }

    fn end(&mut self) {
        for reg in 0..4 {
            if self.held[reg].owned && !self.r.once_in(25) {
                self.release(reg);
            }
        }
        for _ in 0..self.rcu {
            self.line("call bpf_rcu_read_unlock");
        }
        for _ in 0..self.preempt {
            self.line("call bpf_preempt_enable");
        }
        self.line("r0 = 0");
        self.line("exit");
    }
}

fn program(r: &mut Rng, types: &Btf, sleepable: bool) -> String {
    let mut p = Program {
        r,
        types,
        sleepable,
        text: String::new(),
        held: [NOTHING; 4],
        labels: 0,
        rcu: 0,
        preempt: 0,
    };
    for reg in 6..10 {
        p.line(&format!("r{reg} = 0"));
    }
    if !sleepable {
        p.line("r9 = *(u64 *)(r1 + 0)");
        p.held[3].is = Is::Task;
    }
    p.line("*(u64 *)(r10 - 8) = 0");
    p.line("*(u64 *)(r10 - 16) = 0");
    for _ in 0..4 + p.r.below(10) {
        p.step();
    }
    p.end();
    p.text
}

#[test]
fn linux_accepts_what_we_accept() {
    if let Err(why) = kernel::available() {
        return skip(&format!("the kernel does not take programs from us: {why}"));
    }
    let Ok(bytes) = std::fs::read("/sys/kernel/btf/vmlinux") else {
        return skip("this kernel has no types of its own");
    };
    let types = Arc::new(Btf::parse(&bytes).expect("the kernel's own types parse"));
    let number = |name: &str| std::env::var(name).ok().and_then(|s| s.parse::<u64>().ok());
    let seed = number("TEST_SEED").unwrap_or(3);
    let programs = number("TEST_PROGRAMS").unwrap_or(1000);
    println!("TEST_SEED={seed}");
    let platform = Arc::new(Platform::linux(Version(6, 18), Some(types.clone())));
    let helper = |name: &str| platform.helper_by_name(name).map(|h| h.id);
    let mut r = Rng(seed);
    let (mut both, mut neither, mut theirs) = (0, 0, 0);
    let mut wrong = Vec::new();
    for n in 0..programs {
        let (section, sleepable) = r.of(&[("syscall", true), ("tp_btf/task_newtask", false)]);
        let code = program(&mut r, &types, sleepable);
        let text = format!(".license \"GPL\"\n.section \"{section}\"\nmain:\n{code}");
        let object = assemble("random", &text, &helper).expect("assembles");
        let report =
            verify(&object, &platform, &Policy::default(), &Options::default()).expect("a report");
        let object = &report.relocated().object;
        let main = &object.programs[0];
        let kind = main.prog_type().expect("a known section");
        let mine = &report.programs[0].verdict;
        let linux = match kernel::target(object, main, Some(&types)) {
            Ok(target) => kernel::Load {
                insns: &main.insns,
                kind,
                attach: main.hook.attach_type.map_or(0, |a| a.0),
                license: "GPL",
                sleepable: main.hook.sleepable,
                target,
                ..kernel::Load::default()
            }
            .verdict(),
            Err(why) => panic!("no target: {why}"),
        };
        match (mine, linux) {
            (Verdict::Accept(_), kernel::Verdict::Accept) => both += 1,
            (Verdict::Reject(_), kernel::Verdict::Reject { .. }) => neither += 1,
            (Verdict::Reject(why), kernel::Verdict::Accept) => {
                theirs += 1;
                if std::env::var_os("TEST_LIST").is_some() {
                    println!("program {n} [{section}]: only Linux accepts: {why}\n{code}");
                }
            }
            (Verdict::Accept(_), kernel::Verdict::Reject { log }) => {
                let end: Vec<&str> = log.lines().rev().take(8).collect();
                let end: Vec<&str> = end.into_iter().rev().collect();
                wrong.push(format!(
                    "program {n} [{section}]:\n{code}\n{}",
                    end.join("\n")
                ));
            }
            (_, kernel::Verdict::NoVerdict(why)) => panic!("no verdict from Linux: {why}"),
        }
    }
    println!(
        "{programs} programs: accepted by both {both}, by neither {neither}, by Linux only {theirs}"
    );
    assert!(
        both * 10 > programs,
        "too few are accepted to prove anything: {both} of {programs}"
    );
    let count = wrong.len();
    assert!(
        wrong.is_empty(),
        "TEST_SEED={seed}, {count} programs:\n{}",
        wrong.join("\n\n")
    );
}
