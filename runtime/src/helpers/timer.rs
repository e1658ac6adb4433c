//! Helpers on timers in map values; [`crate::timers`] has the clock.

use super::{Entry, entry, env, err};
use crate::timers::Callback;
use crate::{Call, Clock};

pub(super) const ENTRIES: &[Entry] = &[
    entry(169, "timer_init", timer_init),
    entry(170, "timer_set_callback", timer_set_callback),
    entry(171, "timer_start", timer_start),
    entry(172, "timer_cancel", timer_cancel),
];

fn result(r: Result<(), i32>) -> u64 {
    match r {
        Ok(()) => 0,
        Err(errno) => err(errno),
    }
}

unsafe extern "C" fn timer_init(
    call: *mut Call<'_>,
    timer: u64,
    m: u64,
    flags: u64,
    _: u64,
    _: u64,
) -> u64 {
    let clock = match flags {
        0 => Clock::Real,
        1 => Clock::Monotonic,
        7 => Clock::Boot,
        _ => return err(libc::EINVAL),
    };
    // SAFETY: `call` is valid; the row promises a timer in a value of this map.
    result(unsafe { (*call).instance().timers().init(m, timer, clock) })
}

unsafe extern "C" fn timer_set_callback(
    call: *mut Call<'_>,
    timer: u64,
    func: u64,
    _: u64,
    _: u64,
    _: u64,
) -> u64 {
    // SAFETY: `call` is valid; the row promises a timer and a callback.
    unsafe {
        let callback = Callback {
            func,
            engine: (*call).owner(),
        };
        result((*call).instance().timers().set_callback(timer, callback))
    }
}

unsafe extern "C" fn timer_start(
    call: *mut Call<'_>,
    timer: u64,
    ns: u64,
    flags: u64,
    _: u64,
    _: u64,
) -> u64 {
    const ABSOLUTE: u64 = 1;
    const CPU_PIN: u64 = 2;
    if flags & !(ABSOLUTE | CPU_PIN) != 0 {
        return err(libc::EINVAL);
    }
    // SAFETY: `call` is valid; the row promises a timer.
    unsafe {
        let now = |clock| env(call).time(clock);
        let timers = (*call).instance().timers();
        result(timers.start(timer, ns, flags & ABSOLUTE != 0, now))
    }
}

unsafe extern "C" fn timer_cancel(
    call: *mut Call<'_>,
    timer: u64,
    _: u64,
    _: u64,
    _: u64,
    _: u64,
) -> u64 {
    // SAFETY: `call` is valid; the row promises a timer.
    unsafe {
        let own = (*call).timer() == timer;
        match (*call).instance().timers().cancel(timer, own) {
            Ok(was) => u64::from(was),
            Err(errno) => err(errno),
        }
    }
}
