//! Helpers that send records and stacks to the host.

use super::map::map;
use super::{Entry, bytes, entry, env, err, write};
use crate::context::{self, DATA, DATA_END};
use crate::{Call, Space};

pub(super) const ENTRIES: &[Entry] = &[
    entry(25, "perf_event_output", perf_event_output),
    entry(27, "get_stackid", get_stackid),
    entry(67, "get_stack", get_stack),
    entry(141, "get_task_stack", get_task_stack),
];

const CURRENT_CPU: u64 = 0xffff_ffff;
/// Bytes of the packet to be appended, in bits 32 to 51 of the flags.
const CTX_LEN: u64 = 0xf_ffff << 32;

const SKIP_FRAMES: u64 = 0xff;
const USER_STACK: u64 = 1 << 8;
const STACKID_FLAGS: u64 = SKIP_FRAMES | USER_STACK | 1 << 9 | 1 << 10;
const STACK_FLAGS: u64 = SKIP_FRAMES | USER_STACK;

unsafe extern "C" fn perf_event_output(
    call: *mut Call<'_>,
    ctx: u64,
    m: u64,
    flags: u64,
    data: u64,
    size: u64,
) -> u64 {
    // SAFETY: `call` is valid; the row promises a map, the context and `size` readable bytes.
    unsafe {
        let Some(perf) = map(m).perf() else {
            return err(libc::EINVAL);
        };
        if flags & !(CURRENT_CPU | CTX_LEN) != 0 {
            return err(libc::EINVAL);
        }
        let mut record = bytes(data, size);
        let extra = (flags & CTX_LEN) >> 32;
        if extra != 0 {
            let (start, end) = (context::header(ctx, DATA), context::header(ctx, DATA_END));
            if extra > end - start {
                return err(libc::EFAULT);
            }
            record.extend(bytes(start, extra));
        }
        let index = match flags & CURRENT_CPU {
            CURRENT_CPU => (*call).cpu,
            n => n,
        };
        perf.output(index as usize, record) as u64
    }
}

/// The frames that flags ask for; `None` when the surroundings know no stack.
///
/// # Safety
/// `call` is valid.
unsafe fn frames<'a>(call: *mut Call<'a>, flags: u64) -> Option<&'a [u64]> {
    let space = if flags & USER_STACK != 0 {
        Space::User
    } else {
        Space::Kernel
    };
    // SAFETY: by the contract.
    let all = unsafe { env(call) }.stack(space)?;
    all.get((flags & SKIP_FRAMES) as usize..)
}

unsafe extern "C" fn get_stackid(
    call: *mut Call<'_>,
    _ctx: u64,
    m: u64,
    flags: u64,
    _: u64,
    _: u64,
) -> u64 {
    // SAFETY: `call` is valid; the row promises a map.
    unsafe {
        let Some(stacks) = map(m).store().stacks() else {
            return err(libc::EINVAL);
        };
        if flags & !STACKID_FLAGS != 0 {
            return err(libc::EINVAL);
        }
        match frames(call, flags) {
            Some(frames) => stacks.id(frames, flags) as u64,
            None => err(libc::EFAULT),
        }
    }
}

unsafe extern "C" fn get_stack(
    call: *mut Call<'_>,
    _ctx: u64,
    to: u64,
    size: u64,
    flags: u64,
    _: u64,
) -> u64 {
    // SAFETY: `call` is valid; the row promises `size` writable bytes.
    unsafe {
        let size = size as u32 as usize;
        let mut out = vec![0u8; size];
        let result = match frames(call, flags) {
            _ if flags & !STACK_FLAGS != 0 || !size.is_multiple_of(8) => err(libc::EINVAL),
            None => err(libc::EFAULT),
            Some(frames) => {
                let n = frames.len().min(size / 8);
                for (slot, frame) in out.chunks_exact_mut(8).zip(frames) {
                    slot.copy_from_slice(&frame.to_ne_bytes());
                }
                n as u64 * 8
            }
        };
        write(to, &out);
        result
    }
}

/// Of the task that is running, the only one whose stack the environment knows.
unsafe extern "C" fn get_task_stack(
    call: *mut Call<'_>,
    task: u64,
    to: u64,
    size: u64,
    flags: u64,
    _: u64,
) -> u64 {
    // SAFETY: `call` is valid; the row promises `size` writable bytes.
    unsafe {
        if task != super::task::task(env(call)) {
            write(to, &vec![0; size as u32 as usize]);
            return err(libc::EFAULT);
        }
        get_stack(call, 0, to, size, flags, 0)
    }
}
