//! The ring's protocol under a model checker: two producers and a consumer, in every order.

use loom::sync::Arc;
use loom::sync::atomic::Ordering::{self, *};
use loom::sync::atomic::{AtomicU32, AtomicU64};
use loom::thread;

use super::protocol::{self, Next, Ring, finished};

/// A ring of four words: a record's header, its value, and so on.
struct Small {
    lock: AtomicU32,
    produced: AtomicU64,
    consumed: AtomicU64,
    room: AtomicU64,
    heads: [AtomicU32; 4],
    values: [AtomicU64; 4],
}

impl Small {
    fn new() -> Small {
        Small {
            lock: AtomicU32::new(0),
            produced: AtomicU64::new(0),
            consumed: AtomicU64::new(0),
            room: AtomicU64::new(32),
            heads: [0; 4].map(AtomicU32::new),
            values: [0; 4].map(AtomicU64::new),
        }
    }

    fn send(&self, value: u64, discard: bool) -> bool {
        let Some(at) = protocol::reserve(self, 8) else {
            return false;
        };
        self.values[(at / 8 + 1) as usize % 4].store(value, Relaxed);
        let head = self.header(at, Relaxed);
        self.set_header(at, finished(head, discard), Release);
        true
    }

    fn read(&self, out: &mut Vec<u64>) {
        let mut seen = 0;
        while let Next::Record { at, len, discarded } = protocol::next(self, &mut seen) {
            assert_eq!(len, 8, "a header that nobody wrote");
            if !discarded {
                out.push(self.values[(at / 8 + 1) as usize % 4].load(Relaxed));
            }
            protocol::consumed(self, len);
        }
    }
}

impl Ring for Small {
    fn size(&self) -> u64 {
        32
    }
    fn lock(&self) {
        while self.lock.compare_exchange(0, 1, Acquire, Relaxed).is_err() {
            thread::yield_now();
        }
    }
    fn unlock(&self) {
        self.lock.store(0, Release);
    }
    fn produced(&self, order: Ordering) -> u64 {
        self.produced.load(order)
    }
    fn set_produced(&self, position: u64, order: Ordering) {
        self.produced.store(position, order);
    }
    fn consumed(&self, order: Ordering) -> u64 {
        self.consumed.load(order)
    }
    fn set_consumed(&self, position: u64, order: Ordering) {
        self.consumed.store(position, order);
    }
    fn room(&self) -> u64 {
        self.room.load(Relaxed)
    }
    fn set_room(&self, position: u64) {
        self.room.store(position, Relaxed);
    }
    fn header(&self, at: u64, order: Ordering) -> u32 {
        self.heads[(at / 8) as usize].load(order)
    }
    fn set_header(&self, at: u64, head: u32, order: Ordering) {
        self.heads[(at / 8) as usize].store(head, order);
    }
}

#[test]
fn records_arrive_whole_in_order_and_once() {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(|| {
        let ring = Arc::new(Small::new());
        let (a, b) = (ring.clone(), ring.clone());
        // The second record of the first finds room only behind what was read.
        let first = thread::spawn(move || [a.send(11, false), a.send(12, false)]);
        let second = thread::spawn(move || b.send(21, true));
        let mut got = Vec::new();
        ring.read(&mut got);
        let sent = first.join().expect("it ends");
        second.join().expect("it ends");
        ring.read(&mut got);
        let mut expected = Vec::new();
        expected.extend(sent[0].then_some(11));
        expected.extend(sent[1].then_some(12));
        assert_eq!(got, expected, "in order, none lost, none discarded");
    });
}
