//! Timers in map values → callbacks that are due: who started which, for when, and how a host fires them.
//!
//! Linux fires timers from its clock's interrupt. In process a host does: [`fire`] calls what is due on one thread, and says when
//! the next is; [`Driver`] is a thread that does nothing else. Times are those of the instance's [`crate::Env`], so with an
//! environment of fixed times timers fire when the host moves them.
//!
//! A timer lives in 16 bytes of a map's value that only helpers write: here its number, 0 before `timer_init`. An element that leaves
//! its map has its timer's number cleared, which ends the timer.
//!
//! **Invariant:** a callback is called only by the engine that gave the address, and while the timer's place still has its number.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::*};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use crate::{Clock, Context, Engine, Fault, Instance, arena};

/// The timers of an instance.
#[derive(Default)]
pub(crate) struct Timers {
    all: Mutex<All>,
}

#[derive(Default)]
struct All {
    by_id: BTreeMap<u64, Timer>,
    last: u64,
}

#[derive(Clone)]
struct Timer {
    /// Address of the map and of the timer in one of its values.
    map: u64,
    place: u64,
    clock: Clock,
    callback: Option<Callback>,
    /// In nanoseconds of its clock.
    deadline: Option<u64>,
    firing: bool,
}

/// A program's function that an engine was asked to call later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Callback {
    /// What `Imm64::Func` gave.
    pub(crate) func: u64,
    /// The engine that gave it: [`Instance::engine_id`].
    pub(crate) engine: u64,
}

/// A callback with its arguments, for the engine that it belongs to.
#[derive(Clone, Debug)]
pub struct Later {
    pub(crate) callback: Callback,
    pub(crate) args: [u64; 4],
    /// Of the key that `args[1]` points to.
    pub(crate) key_len: u64,
    pub(crate) timer: u64,
}

impl Later {
    /// The function and r1 to r4; `None` for an engine that did not give the function.
    pub fn of(&self, engine: u64) -> Option<(u64, [u64; 4])> {
        (self.callback.engine == engine).then_some((self.callback.func, self.args))
    }
}

/// Why a timer helper refuses: a positive error number.
type Refused = i32;

impl Timers {
    fn all(&self) -> MutexGuard<'_, All> {
        self.all.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// # Safety
    /// `place` is an aligned word of a live value.
    unsafe fn number(place: u64) -> &'static AtomicU64 {
        // SAFETY: by the contract; values live as long as the instance, and nobody keeps the reference.
        unsafe { AtomicU64::from_ptr(place as *mut u64) }
    }

    /// # Safety
    /// `place` is a timer in a value of the map at `map`.
    pub unsafe fn init(&self, map: u64, place: u64, clock: Clock) -> Result<(), Refused> {
        let mut all = self.all();
        // SAFETY: by the contract.
        let number = unsafe { Self::number(place) };
        if number.load(Acquire) != 0 {
            return Err(libc::EBUSY);
        }
        // What is left of elements that are gone.
        // SAFETY: their values are still memory of the instance.
        all.by_id
            .retain(|id, t| t.firing || unsafe { Self::number(t.place) }.load(Acquire) == *id);
        all.last += 1;
        let id = all.last;
        all.by_id.insert(
            id,
            Timer {
                map,
                place,
                clock,
                callback: None,
                deadline: None,
                firing: false,
            },
        );
        number.store(id, Release);
        Ok(())
    }

    /// The timer at a place.
    ///
    /// # Safety
    /// As for [`Timers::init`].
    unsafe fn with<R>(
        &self,
        place: u64,
        f: impl FnOnce(&mut Timer) -> Result<R, Refused>,
    ) -> Result<R, Refused> {
        let mut all = self.all();
        // SAFETY: by the contract.
        let id = unsafe { Self::number(place) }.load(Acquire);
        f(all.by_id.get_mut(&id).ok_or(libc::EINVAL)?)
    }

    /// # Safety
    /// As for [`Timers::init`].
    pub unsafe fn set_callback(&self, place: u64, callback: Callback) -> Result<(), Refused> {
        // SAFETY: by the contract.
        unsafe {
            self.with(place, |t| {
                t.callback = Some(callback);
                Ok(())
            })
        }
    }

    /// `now` gives a clock's time.
    ///
    /// # Safety
    /// As for [`Timers::init`].
    pub unsafe fn start(
        &self,
        place: u64,
        ns: u64,
        absolute: bool,
        now: impl FnOnce(Clock) -> u64,
    ) -> Result<(), Refused> {
        // SAFETY: by the contract.
        unsafe {
            self.with(place, |t| {
                if t.callback.is_none() {
                    return Err(libc::EINVAL);
                }
                t.deadline = Some(if absolute {
                    ns
                } else {
                    now(t.clock).saturating_add(ns)
                });
                Ok(())
            })
        }
    }

    /// Whether it was running.
    ///
    /// # Safety
    /// As for [`Timers::init`].
    pub unsafe fn cancel(&self, place: u64, own: bool) -> Result<bool, Refused> {
        // SAFETY: by the contract.
        unsafe {
            self.with(place, |t| {
                if t.firing && own {
                    // A callback cannot wait for itself.
                    return Err(libc::EDEADLK);
                }
                t.callback = None;
                Ok(t.deadline.take().is_some())
            })
        }
    }

    /// The timer that has been due for longest, taken out of the clock and marked as firing.
    fn due(&self, instance: &Instance, before: &BTreeMap<u64, ()>) -> Option<(u64, Timer)> {
        let mut all = self.all();
        let due = |t: &Timer| {
            t.deadline
                .filter(|d| !t.firing && *d <= instance.env().time(t.clock))
        };
        let candidates = all.by_id.iter().filter(|(id, _)| !before.contains_key(id));
        let (_, id) = candidates
            .filter_map(|(id, t)| Some((due(t)?, *id)))
            .min()?;
        let t = all.by_id.get_mut(&id)?;
        t.deadline = None;
        t.firing = true;
        Some((id, t.clone()))
    }

    fn fired(&self, id: u64) {
        if let Some(t) = self.all().by_id.get_mut(&id) {
            t.firing = false;
        }
    }

    /// Nanoseconds until the next is due; `None` when none is running.
    fn next(&self, instance: &Instance) -> Option<u64> {
        let all = self.all();
        let left = |t: &Timer| {
            let deadline = t.deadline?;
            Some(deadline.saturating_sub(instance.env().time(t.clock)))
        };
        all.by_id.values().filter_map(left).min()
    }
}

/// What [`fire`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fired {
    /// Callbacks that were called.
    pub called: usize,
    /// Nanoseconds until the next is due; `None` when no timer is running.
    pub next: Option<u64>,
}

/// Calls the callbacks of all timers of `engine`'s instance that are due, each at most once, as a call on CPU `cpu`.
pub fn fire(engine: &dyn Engine, instance: &Instance, cpu: usize) -> Result<Fired, Fault> {
    let mut done = BTreeMap::new();
    let mut called = 0;
    while let Some((id, timer)) = instance.timers().due(instance, &done) {
        done.insert(id, ());
        let ran = call(engine, instance, cpu, id, &timer);
        instance.timers().fired(id);
        called += usize::from(ran?);
    }
    Ok(Fired {
        called,
        next: instance.timers().next(instance),
    })
}

fn call(
    engine: &dyn Engine,
    instance: &Instance,
    cpu: usize,
    id: u64,
    timer: &Timer,
) -> Result<bool, Fault> {
    // SAFETY: a timer's place is a word of a value, which lives as long as the instance.
    let there = unsafe { Timers::number(timer.place) }.load(Acquire) == id;
    let (Some(callback), true) = (timer.callback, there) else {
        return Ok(false);
    };
    let element = instance.with_map_at(timer.map, |m| m.element(timer.place));
    let Some((key, span)) = element.flatten() else {
        return Ok(false);
    };
    // The key is lent to the callback, in words so that it is aligned.
    let mut words = vec![0u64; key.len().div_ceil(8)];
    // SAFETY: the words have room for the key.
    unsafe { arena::copy(words.as_mut_ptr().cast(), key.as_ptr(), key.len()) };
    let later = Later {
        callback,
        args: [timer.map, words.as_ptr() as u64, span.start, 0],
        key_len: key.len() as u64,
        timer: timer.place,
    };
    let mut ctx = Context::bytes(&[]).map_err(|_| Fault::new(0, 0, crate::FaultKind::Context))?;
    engine.call_later(&later, &mut ctx, cpu)?;
    Ok(true)
}

/// A thread that fires an instance's timers; dropping it ends the thread.
pub struct Driver {
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<Result<(), Fault>>>,
}

/// Longest time after which a timer started meanwhile is seen.
const LOOK: Duration = Duration::from_millis(1);

impl Driver {
    /// `engine` runs programs of `instance`.
    pub fn start(engine: Arc<dyn Engine>, instance: Arc<Instance>, cpu: usize) -> Driver {
        let stop = Arc::new(AtomicBool::new(false));
        let told = stop.clone();
        let thread = std::thread::spawn(move || {
            while !told.load(Acquire) {
                let fired = fire(&*engine, &instance, cpu)?;
                let wait = fired.next.map_or(LOOK, Duration::from_nanos).min(LOOK);
                std::thread::park_timeout(wait);
            }
            Ok(())
        });
        Driver {
            stop,
            thread: Some(thread),
        }
    }

    /// Ends the thread and tells whether a callback faulted.
    pub fn stop(mut self) -> Result<(), Fault> {
        self.end()
    }

    fn end(&mut self) -> Result<(), Fault> {
        self.stop.store(true, Release);
        let Some(thread) = self.thread.take() else {
            return Ok(());
        };
        thread.thread().unpark();
        thread.join().unwrap_or(Ok(()))
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        // The thread's fault was for who asked by `stop`.
        let _ = self.end();
    }
}
