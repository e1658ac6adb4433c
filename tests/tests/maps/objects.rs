//! Maps of which a part is the host's: timers that it fires, records that it sends, tasks and cgroups that it names.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use probity_interp::Interp;
use probity_jit::Jit;
use probity_objfile::Object;
use probity_platform::Policy;
use probity_runtime::maps::SendError;
use probity_runtime::timers::fire;
use probity_runtime::{Clock, Context, Engine, Env, Instance, Options, platform};
use probity_verifier::{Verified, verify};

/// A clock, a task and a cgroup that the test moves.
#[derive(Default)]
struct Surroundings {
    now: AtomicU64,
    task: AtomicU64,
    cgroup: AtomicU64,
}

impl Env for Surroundings {
    fn time(&self, _: Clock) -> u64 {
        self.now.load(Relaxed)
    }
    fn task(&self) -> u64 {
        self.task.load(Relaxed)
    }
    fn cgroup_id(&self) -> u64 {
        self.cgroup.load(Relaxed)
    }
    fn random(&self) -> u32 {
        4
    }
}

/// The programs of these names, or `None` where the kernel's types are needed and not there.
fn verified(names: &[&str]) -> Option<Arc<Verified>> {
    let types = std::fs::read("/sys/kernel/btf/vmlinux").ok();
    let types = types.and_then(|b| probity_btf::Btf::parse(&b).ok())?;
    let platform = Arc::new(platform(Some(Arc::new(types))));
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/maps/objects/host.o");
    let bytes = std::fs::read(path).expect("the object");
    let object: Object = probity_objfile::open("host", &bytes).expect("an object");
    let options = probity_verifier::Options::default();
    let report = verify(&object, &platform, &Policy::default(), &options).expect("a report");
    for p in &report.programs {
        if let probity_verifier::Verdict::Reject(why) = &p.verdict {
            panic!("{}: {why}", p.name);
        }
    }
    Some(Arc::new(report.into_verified_of(names).expect("proofs")))
}

/// Runs a test on both engines, each over an instance of its own.
fn on_both(names: &[&str], test: impl Fn(&dyn Engine, &Instance, &Surroundings)) {
    let Some(verified) = verified(names) else {
        return probity_tests::skip("the kernel's types are not there");
    };
    for compiled in [false, true] {
        let env = Arc::new(Surroundings::default());
        let options = Options {
            env: env.clone(),
            ..Options::default()
        };
        let instance = Arc::new(Instance::new(verified.clone(), options).expect("an instance"));
        let engine: Box<dyn Engine> = if compiled {
            Box::new(Jit::new(instance.clone()).expect("compiled"))
        } else {
            Box::new(Interp::new(instance.clone()))
        };
        test(&*engine, &instance, &env);
    }
}

fn call(engine: &dyn Engine, instance: &Instance, name: &str) -> i32 {
    let index = instance.program_index(name).expect("a program");
    let mut ctx = match name {
        "count" | "leave" | "inside" => Context::words(&[0; 8]),
        _ => Context::skb(&[0; 64]),
    };
    let ctx = ctx.as_mut().expect("a context");
    engine.call(index, ctx, 0).expect("a call").ret as i32
}

fn fired(instance: &Instance) -> Option<u64> {
    let value = instance
        .find_map("timers")
        .expect("a map")
        .lookup(&3u32.to_ne_bytes())?;
    Some(u64::from_ne_bytes(value[..8].try_into().expect("8 bytes")))
}

#[test]
fn timers_fire_when_the_host_says_that_it_is_time() {
    on_both(&["start", "cancel", "forget"], |engine, instance, env| {
        env.now.store(5000, Relaxed);
        assert_eq!(call(engine, instance, "start"), 0);
        let bss = instance.find_map(".bss").expect("results");
        let results = bss.lookup(&[0; 4]).expect("a value");
        let errors: Vec<i64> = results
            .chunks(8)
            .map(|b| i64::from_ne_bytes(b.try_into().expect("8 bytes")))
            .collect();
        let (inval, busy) = (-i64::from(libc::EINVAL), -i64::from(libc::EBUSY));
        let expected = [inval, inval, 0, busy, inval, 0, inval, 0];
        assert!(
            errors.windows(8).any(|w| w == expected),
            "{}: {errors:?}",
            engine.name()
        );
        let now = fire(engine, instance, 0).expect("no fault");
        assert_eq!((now.called, now.next), (0, Some(1000)));
        env.now.store(6000, Relaxed);
        let now = fire(engine, instance, 0).expect("no fault");
        assert_eq!(
            (now.called, now.next),
            (1, Some(500)),
            "it starts itself again"
        );
        assert_eq!(fired(instance), Some(4), "the key is 3");
        env.now.store(7000, Relaxed);
        assert_eq!(fire(engine, instance, 0).expect("no fault").called, 1);
        assert_eq!(call(engine, instance, "cancel"), 1);
        assert_eq!(call(engine, instance, "cancel"), 0);
        env.now.store(9000, Relaxed);
        assert_eq!(fire(engine, instance, 0).expect("no fault").called, 0);
        // An element takes its timer with it.
        assert_eq!(call(engine, instance, "forget"), 0);
        assert_eq!(call(engine, instance, "start"), 0);
        assert_eq!(call(engine, instance, "forget"), 0);
        env.now.store(20_000, Relaxed);
        assert_eq!(fire(engine, instance, 0).expect("no fault").called, 0);
        assert_eq!(fired(instance), None);
    });
}

#[test]
fn programs_drain_what_the_host_sends() {
    on_both(&["collect"], |engine, instance, _| {
        let records = instance.find_map("records").expect("a map");
        let ring = records.user_ring().expect("a ring");
        assert_eq!(call(engine, instance, "collect"), 0);
        for n in 1..=10u64 {
            ring.send(&n.to_ne_bytes()).expect("room");
        }
        ring.send(b"short").expect("room");
        assert_eq!(call(engine, instance, "collect"), 11);
        // 99 ends a round.
        for n in [99u64, 1] {
            ring.send(&n.to_ne_bytes()).expect("room");
        }
        assert_eq!(call(engine, instance, "collect"), 1);
        assert_eq!(ring.waiting(), 16);
        assert_eq!(call(engine, instance, "collect"), 1);
        let bss = instance.find_map(".bss").expect("results").lookup(&[0; 4]);
        let words: Vec<u64> = bss
            .expect("a value")
            .chunks(8)
            .map(|b| u64::from_ne_bytes(b.try_into().expect("8 bytes")))
            .collect();
        assert!(words.contains(&155) && words.contains(&1), "{words:?}");
        let mut sent = 0u64;
        while ring.send(&[0; 24]).is_ok() {
            sent += 1;
        }
        assert_eq!((sent, ring.send(&[0; 24])), (128, Err(SendError::Full)));
        assert_eq!(ring.send(&[0; 4096]), Err(SendError::TooLong(4096)));
        assert_eq!(call(engine, instance, "collect"), 128);
        assert_eq!(ring.waiting(), 0);
    });
}

#[test]
fn tasks_have_values_of_their_own() {
    on_both(&["count", "leave"], |engine, instance, env| {
        // Where no task is known, the thread counts as one.
        assert_eq!(call(engine, instance, "count"), 10);
        assert_eq!(call(engine, instance, "count"), 11);
        assert_eq!(call(engine, instance, "leave"), 0);
        assert_eq!(call(engine, instance, "leave"), -libc::ENOENT);
        for (task, expected) in [(0x1000, 10), (0x2000, 10), (0x1000, 11), (0x1000, 12)] {
            env.task.store(task, Relaxed);
            assert_eq!(call(engine, instance, "count"), expected, "{task:#x}");
        }
        let tasks = instance.find_map("tasks").expect("a map");
        let typed = tasks.typed::<u64, u64>().expect("addresses and values");
        let mut all: Vec<_> = typed.iter().collect();
        all.sort_unstable();
        assert_eq!(all, [(0x1000, 13), (0x2000, 11)]);
        assert_eq!(call(engine, instance, "leave"), 0);
        assert_eq!(call(engine, instance, "leave"), -libc::ENOENT);
        typed.remove(&0x2000).expect("it was there");
        env.task.store(0x2000, Relaxed);
        assert_eq!(call(engine, instance, "count"), 10);
    });
}

/// What is proved never to be NULL is not, though nobody said which task it is: a comparison is gone from compiled code.
#[test]
fn a_task_that_nobody_names_is_not_null() {
    let types = std::fs::read("/sys/kernel/btf/vmlinux").ok();
    let Some(types) = types.and_then(|b| probity_btf::Btf::parse(&b).ok()) else {
        return probity_tests::skip("the kernel's types are not there");
    };
    let platform = Arc::new(platform(Some(Arc::new(types))));
    let text = ".license \"GPL\"\n.section raw_tracepoint\n.globl main\nmain:\ncall bpf_get_current_task_btf\nif r0 == 0 goto null\n\
        r6 = *(u32 *)(r0 + 8)\nr1 = r0\ncall bpf_task_pt_regs\nif r0 == 0 goto null\n\
        r0 = *(u64 *)(r0 + 8)\nr0 |= r6\nexit\nnull:\nr0 = 100\nexit\n";
    let helper = |name: &str| {
        let name = name.strip_prefix("bpf_").unwrap_or(name);
        let row = platform.helpers.iter().find(|h| h.name == name);
        row.map(|h| h.id)
    };
    let object = probity_objfile::assemble("task", text, &helper).expect("an object");
    let options = probity_verifier::Options::default();
    let report = verify(&object, &platform, &Policy::default(), &options).expect("a report");
    if let probity_verifier::Verdict::Reject(why) = &report.programs[0].verdict {
        panic!("{why}");
    }
    let verified = Arc::new(report.into_verified().expect("a proof"));
    let instance = || {
        let made = Instance::new(verified.clone(), Options::default());
        Arc::new(made.expect("an instance"))
    };
    let engines: [Box<dyn Engine>; 2] = [
        Box::new(Jit::new(instance()).expect("compiled")),
        Box::new(Interp::new(instance())),
    ];
    for engine in engines {
        let mut ctx = Context::words(&[0; 8]).expect("a context");
        let done = engine.call(0, &mut ctx, 0).expect("a call");
        // Nothing is read there.
        assert_eq!(done.ret, 0, "{}", engine.name());
    }
}

#[test]
fn cgroups_are_those_that_the_host_names() {
    on_both(&["inside"], |engine, instance, env| {
        let errno = |n: i32| (-n & 0xff) as u32;
        let groups = instance.find_map("groups").expect("a map");
        env.cgroup.store(77, Relaxed);
        let none = errno(libc::EAGAIN) | errno(libc::EAGAIN) << 8 | errno(libc::E2BIG) << 16;
        assert_eq!(call(engine, instance, "inside") as u32, none);
        let groups = groups.typed::<u32, u32>().expect("indices and ids");
        groups.insert(&0, &77).expect("a slot");
        groups.insert(&1, &78).expect("a slot");
        assert_eq!(
            call(engine, instance, "inside") as u32,
            1 | errno(libc::E2BIG) << 16
        );
    });
}
