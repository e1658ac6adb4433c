//! Stack traces: call chains by the number that `get_stackid` gave.

use std::sync::Mutex;

use crate::Error;
use crate::arena::{self, Arena};
use crate::maps::{Spec, Store, err};

/// `get_stackid`'s flags.
const REUSE_STACKID: u64 = 1 << 10;
const FAST_STACK_CMP: u64 = 1 << 9;

/// Frames of one stack at most (`sysctl kernel.perf_event_max_stack`).
const MAX_FRAMES: usize = 127;

/// A stack trace map.
pub(crate) struct Stacks {
    /// Slots of `value_size` bytes, which programs cannot reach.
    memory: Arena,
    /// Hash and number of frames of each slot; 0 frames when it is empty.
    slots: Mutex<Vec<(u32, u32)>>,
    value_size: usize,
}

pub(crate) fn stacks(spec: &Spec) -> Result<Box<dyn Store>, Error> {
    if spec.key_size != 4 {
        return Err(spec.error("keys must have 4 bytes"));
    }
    if spec.value_size < 8 || !spec.value_size.is_multiple_of(8) || spec.value_size / 8 > MAX_FRAMES
    {
        return Err(spec.error(format!("a value must hold 1 to {MAX_FRAMES} addresses")));
    }
    if spec.max_entries == 0 || spec.max_entries > 1 << 24 {
        return Err(spec.error("there must be 1 to 16777216 entries"));
    }
    let entries = spec.max_entries.next_power_of_two();
    let memory = entries
        .checked_mul(spec.value_size)
        .and_then(Arena::new)
        .ok_or_else(|| spec.no_memory())?;
    Ok(Box::new(Stacks {
        memory,
        slots: Mutex::new(vec![(0, 0); entries]),
        value_size: spec.value_size,
    }))
}

impl Stacks {
    /// The number of a stack, innermost frame first, or a negative error number.
    pub fn id(&self, frames: &[u64], flags: u64) -> i64 {
        let frames = &frames[..frames.len().min(self.value_size / 8)];
        if frames.is_empty() {
            return err(libc::EFAULT);
        }
        let hash = fnv(frames);
        let mut slots = self.slots.lock().unwrap_or_else(|e| e.into_inner());
        let id = hash as usize & (slots.len() - 1);
        let (old_hash, old_len) = slots[id];
        if old_len != 0 {
            let same = old_hash == hash
                && old_len as usize == frames.len()
                && (flags & FAST_STACK_CMP != 0 || self.frames(id, old_len as usize) == frames);
            if same {
                return id as i64;
            }
            if flags & REUSE_STACKID == 0 {
                return err(libc::EEXIST);
            }
        }
        slots[id] = (hash, frames.len() as u32);
        let bytes: Vec<u8> = frames.iter().flat_map(|f| f.to_ne_bytes()).collect();
        let to = self.memory.at(id * self.value_size);
        // SAFETY: a slot holds `value_size` bytes.
        unsafe {
            arena::zero(to, self.value_size);
            arena::copy(to, bytes.as_ptr(), bytes.len());
        }
        id as i64
    }

    fn frames(&self, id: usize, len: usize) -> Vec<u64> {
        let at = self.memory.at(id * self.value_size);
        // SAFETY: a slot holds `value_size` bytes, `len` frames at least.
        (0..len)
            .map(|n| unsafe { arena::load(at.add(n * 8), probity_isa::Size::DW) })
            .collect()
    }
}

impl Store for Stacks {
    fn stacks(&self) -> Option<&Stacks> {
        Some(self)
    }

    unsafe fn lookup(&self, _cpu: usize, key: *const u8) -> *mut u8 {
        // SAFETY: keys have 4 bytes.
        let id = unsafe { arena::load(key, probity_isa::Size::W) } as usize;
        let slots = self.slots.lock().unwrap_or_else(|e| e.into_inner());
        match slots.get(id) {
            Some((_, len)) if *len != 0 => self.memory.at(id * self.value_size),
            _ => std::ptr::null_mut(),
        }
    }

    unsafe fn delete(&self, key: *const u8) -> i64 {
        // SAFETY: keys have 4 bytes.
        let id = unsafe { arena::load(key, probity_isa::Size::W) } as usize;
        let mut slots = self.slots.lock().unwrap_or_else(|e| e.into_inner());
        match slots.get_mut(id) {
            None => err(libc::E2BIG),
            Some(slot) if slot.1 == 0 => err(libc::ENOENT),
            Some(slot) => {
                *slot = (0, 0);
                0
            }
        }
    }

    fn for_each(&self, _cpu: usize, f: &mut dyn FnMut(*const u8, *mut u8) -> bool) -> i64 {
        let used: Vec<usize> = {
            let slots = self.slots.lock().unwrap_or_else(|e| e.into_inner());
            slots
                .iter()
                .enumerate()
                .filter(|(_, s)| s.1 != 0)
                .map(|(n, _)| n)
                .collect()
        };
        for id in &used {
            let key = *id as u32;
            if !f(
                std::ptr::from_ref(&key).cast(),
                self.memory.at(id * self.value_size),
            ) {
                break;
            }
        }
        used.len() as i64
    }
}

fn fnv(frames: &[u64]) -> u32 {
    let h = frames.iter().fold(0xcbf2_9ce4_8422_2325u64, |h, f| {
        (h ^ f).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(23)
    });
    (h ^ (h >> 32)) as u32
}
