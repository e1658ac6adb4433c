//! A host's side of a hook: [`Hook`] is what it is called through, a [`Caller`] is what one thread calls with,
//! [`At`] those calls of it that one generation answers.
//!
//! **Invariant:** a call takes no lock and allocates nothing; what it reads is one generation as a whole.

use std::any::{Any, TypeId};
use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::Instant;

use probity_runtime::{Context as Memory, Lent};

use crate::Context;
use crate::description::ChainRule;
use crate::host::Shared;
use crate::pins::Pinned;
use crate::stats::{PARTS, SAMPLED};
use crate::world::{Attached, Chain, Slot, World};

/// A hook that is called with a `T`.
pub struct Hook<T> {
    pub(crate) shared: Arc<Shared>,
    pub(crate) index: usize,
    pub(crate) types: PhantomData<fn(T)>,
}

/// Why a call gave no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CallError {
    /// No extension is there, and the hook says that this is an error.
    Absent,
    /// The extension that should be there was refused, and the hook says that this is an error.
    Refused,
    /// The extension was ended by the clock.
    Ended,
    /// The pinned generation is another host's.
    Foreign,
    /// The packet is too long, or extensions would write what is only lent to be read.
    Packet,
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            CallError::Absent => "no extension is there",
            CallError::Refused => "the extension was refused",
            CallError::Ended => "the extension was ended by the clock",
            CallError::Foreign => "the pinned generation is another host's",
            CallError::Packet => "the packet cannot be lent to extensions",
        })
    }
}

impl std::error::Error for CallError {}

/// What one thread calls a hook with: the context, and the thread's part of what callers would share otherwise.
///
/// It is the context too: `caller.path_len = 7; caller.call()?; caller.status`. With it goes a state of the host's, for its functions.
pub struct Caller<T, S = ()> {
    shared: Arc<Shared>,
    slot: Arc<Slot>,
    memory: Memory,
    hook: usize,
    who: Who,
    packet_write: bool,
    state: S,
    types: PhantomData<T>,
}

/// What a caller's calls are counted and told apart by.
struct Who {
    /// Its number among all callers; returned when it goes.
    number: usize,
    part: usize,
    cpu: usize,
    /// Calls until the next one that is timed.
    tick: u32,
}

impl<T: Context> Hook<T> {
    /// A caller for one thread, with a context to start from.
    pub fn caller(&self, context: T) -> Caller<T> {
        self.caller_with(context, ())
    }

    /// The same with a state, which functions that extensions call find behind [`crate::Call::state`].
    pub fn caller_with<S: Any>(&self, context: T, state: S) -> Caller<T, S> {
        let bytes = vec![0; size_of::<T>()];
        let memory = Memory::bytes(&bytes).expect("the description has a size that fits");
        // SAFETY: the memory has the size of a `T` and is aligned to 16 bytes, which the host has compared with `T`'s.
        unsafe { (memory.address() as *mut T).write(context) };
        let (number, slot) = self.shared.worlds.enlist();
        Caller {
            who: Who {
                number,
                part: number.min(PARTS - 1),
                cpu: number % self.shared.options.cpus,
                tick: SAMPLED,
            },
            packet_write: self.shared.description.hooks[self.index].packet_write,
            shared: self.shared.clone(),
            slot,
            memory,
            hook: self.index,
            state,
            types: PhantomData,
        }
    }
}

impl<T> Clone for Hook<T> {
    fn clone(&self) -> Self {
        Hook {
            shared: self.shared.clone(),
            index: self.index,
            types: PhantomData,
        }
    }
}

/// A caller's calls on one generation.
pub struct At<'a, T, S = ()> {
    world: &'a World,
    memory: &'a mut Memory,
    who: &'a mut Who,
    state: &'a mut S,
    hook: usize,
    packet_write: bool,
    types: PhantomData<T>,
}

impl<T: Context, S: Any> Caller<T, S> {
    /// Calls the hook's extensions, as its chain rule says, on the generation of this moment.
    #[inline]
    pub fn call(&mut self) -> Result<i64, CallError> {
        self.now(|mut at| at.call())
    }

    /// What it was made with.
    #[inline]
    pub fn state(&mut self) -> &mut S {
        &mut self.state
    }

    /// [`At::has_extensions`] of this moment.
    #[inline]
    pub fn has_extensions(&mut self) -> bool {
        self.now(|at| at.has_extensions())
    }

    /// [`At::call_with`] of this moment.
    #[inline]
    pub fn call_with<D: Any>(&mut self, data: &mut D) -> Result<i64, CallError> {
        self.now(|mut at| at.call_with(data))
    }

    /// [`At::call_packet`] of this moment.
    #[inline]
    pub fn call_packet(&mut self, packet: &mut [u8]) -> Result<i64, CallError> {
        self.now(|mut at| at.call_packet(packet))
    }

    /// [`At::call_packet_read`] of this moment.
    #[inline]
    pub fn call_packet_read(&mut self, packet: &[u8]) -> Result<i64, CallError> {
        self.now(|mut at| at.call_packet_read(packet))
    }

    /// [`At::call_packet_read_with`] of this moment.
    #[inline]
    pub fn call_packet_read_with<D: Any>(
        &mut self,
        packet: &[u8],
        data: &mut D,
    ) -> Result<i64, CallError> {
        self.now(|mut at| at.call_packet_read_with(packet, data))
    }

    /// [`At::call_packet_with`] of this moment.
    pub fn call_packet_with<D: Any>(
        &mut self,
        packet: &mut [u8],
        data: &mut D,
    ) -> Result<i64, CallError> {
        self.now(|mut at| at.call_packet_with(packet, data))
    }

    /// The calls of something that is longer than a call: all on the generation that was pinned when it began.
    #[inline]
    pub fn at<'a>(&'a mut self, pinned: &'a Pinned) -> Result<At<'a, T, S>, CallError> {
        match pinned.is_of(&self.shared) {
            true => Ok(At {
                world: pinned.world(),
                memory: &mut self.memory,
                who: &mut self.who,
                state: &mut self.state,
                hook: self.hook,
                packet_write: self.packet_write,
                types: PhantomData,
            }),
            false => Err(CallError::Foreign),
        }
    }

    #[inline(always)]
    fn now<R>(&mut self, call: impl FnOnce(At<'_, T, S>) -> R) -> R {
        let world = self.shared.worlds.enter(&self.slot);
        let result = call(At {
            world,
            memory: &mut self.memory,
            who: &mut self.who,
            state: &mut self.state,
            hook: self.hook,
            packet_write: self.packet_write,
            types: PhantomData,
        });
        self.slot.leave();
        result
    }
}

impl<T: Context, S: Any> At<'_, T, S> {
    /// Calls the hook's extensions, as its chain rule says.
    #[inline]
    pub fn call(&mut self) -> Result<i64, CallError> {
        self.call_lending(None)
    }

    /// What the caller was made with.
    #[inline]
    pub fn state(&mut self) -> &mut S {
        self.state
    }

    #[inline(always)]
    fn call_lending(&mut self, data: Option<(TypeId, *mut ())>) -> Result<i64, CallError> {
        let state = std::ptr::from_mut(&mut *self.state).cast::<()>();
        let state = Some((TypeId::of::<S>(), state));
        // SAFETY: both are borrowed until after the call, so they are not the same; before the next one others are lent.
        unsafe { self.memory.lend(Lent { data, state }) };
        match self.world.chains.get(self.hook) {
            Some(chain) => chain.call(self.memory, self.who),
            None => Err(CallError::Absent),
        }
    }

    /// Whether a call would ask an extension; where it would not, its result is what the hook says of itself,
    /// and preparing the context can be spared.
    #[inline]
    pub fn has_extensions(&self) -> bool {
        let there = self.world.chains.get(self.hook);
        there.is_some_and(|c| !c.programs.is_empty())
    }

    /// [`At::call`], with a value for the host's functions that extensions call ([`crate::Call::data`]).
    #[inline]
    pub fn call_with<D: Any>(&mut self, data: &mut D) -> Result<i64, CallError> {
        self.call_lending(Some((TypeId::of::<D>(), std::ptr::from_mut(data).cast())))
    }

    /// [`At::call`], with bytes of the host's in the place of the context's `Packet`.
    #[inline]
    pub fn call_packet(&mut self, packet: &mut [u8]) -> Result<i64, CallError> {
        // SAFETY: the bytes are borrowed, for writing too, until after the call.
        unsafe { self.call_lent(packet.as_mut_ptr(), packet.len(), Self::call) }
    }

    /// The same for bytes that extensions of this hook only read.
    #[inline]
    pub fn call_packet_read(&mut self, packet: &[u8]) -> Result<i64, CallError> {
        if self.packet_write {
            return Err(CallError::Packet);
        }
        // SAFETY: the bytes are borrowed until after the call, and programs of this hook are proved not to write them.
        unsafe { self.call_lent(packet.as_ptr().cast_mut(), packet.len(), Self::call) }
    }

    /// [`At::call_packet_read`] and [`At::call_with`] at once.
    #[inline]
    pub fn call_packet_read_with<D: Any>(
        &mut self,
        packet: &[u8],
        data: &mut D,
    ) -> Result<i64, CallError> {
        if self.packet_write {
            return Err(CallError::Packet);
        }
        let call = |at: &mut Self| at.call_with(data);
        // SAFETY: as in `call_packet_read`.
        unsafe { self.call_lent(packet.as_ptr().cast_mut(), packet.len(), call) }
    }

    /// [`At::call_packet`] and [`At::call_with`] at once.
    pub fn call_packet_with<D: Any>(
        &mut self,
        packet: &mut [u8],
        data: &mut D,
    ) -> Result<i64, CallError> {
        let call = |at: &mut Self| at.call_with(data);
        // SAFETY: as in `call_packet`.
        unsafe { self.call_lent(packet.as_mut_ptr(), packet.len(), call) }
    }

    /// # Safety
    /// The bytes are valid until this returns, and writable where the hook's extensions write packets.
    #[inline(always)]
    unsafe fn call_lent(
        &mut self,
        start: *mut u8,
        len: usize,
        call: impl FnOnce(&mut Self) -> Result<i64, CallError>,
    ) -> Result<i64, CallError> {
        // SAFETY: by the contract.
        if !unsafe { self.memory.lend_packet(start, len) } {
            return Err(CallError::Packet);
        }
        let result = call(self);
        self.memory.take_packet();
        result
    }
}

impl<T: Context, S> Deref for At<'_, T, S> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: it is the caller's memory; see there.
        unsafe { &*(self.memory.address() as *const T) }
    }
}

impl<T: Context, S> DerefMut for At<'_, T, S> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as above; the memory is borrowed as this is.
        unsafe { &mut *(self.memory.address() as *mut T) }
    }
}

impl<T: Context, S> Deref for Caller<T, S> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: a `T` was written there; extensions write fields only of which any bytes are a value; and none runs now.
        unsafe { &*(self.memory.address() as *const T) }
    }
}

impl<T: Context, S> DerefMut for Caller<T, S> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as above; the memory is this caller's alone.
        unsafe { &mut *(self.memory.address() as *mut T) }
    }
}

impl<T, S> Drop for Caller<T, S> {
    fn drop(&mut self) {
        self.shared.worlds.discharge(self.who.number);
        self.shared.worlds.collect();
    }
}

impl Chain {
    #[inline(always)]
    fn call(&self, memory: &mut Memory, who: &mut Who) -> Result<i64, CallError> {
        match &*self.programs {
            [] => self.empty,
            [one] => one.call(memory, who),
            all => self.call_all(all, memory, who),
        }
    }

    #[inline(never)]
    fn call_all(
        &self,
        all: &[Attached],
        memory: &mut Memory,
        who: &mut Who,
    ) -> Result<i64, CallError> {
        let mut result: Option<i64> = None;
        for p in all {
            let given = p.call(memory, who)?;
            result = Some(match (self.rule, result) {
                (ChainRule::FirstOther(pass), _) if given != pass => return Ok(given),
                (ChainRule::StopAt(end), _) if given == end => return Ok(given),
                (ChainRule::All(pass), Some(before)) if before != pass => before,
                (ChainRule::Greatest, Some(before)) => before.max(given),
                _ => given,
            });
        }
        result.map_or(self.empty, Ok)
    }
}

impl Attached {
    #[inline(always)]
    fn call(&self, memory: &mut Memory, who: &mut Who) -> Result<i64, CallError> {
        let Some(entry) = self.entries.get(who.cpu) else {
            return Err(CallError::Absent);
        };
        who.tick -= 1;
        if who.tick == 0 {
            return self.call_timed(memory, who);
        }
        let Ok(outcome) = entry.call(memory) else {
            return Err(CallError::Ended);
        };
        let verdict = outcome.ret as i64;
        self.stats.count(who.part, verdict);
        Ok(verdict)
    }

    #[cold]
    fn call_timed(&self, memory: &mut Memory, who: &mut Who) -> Result<i64, CallError> {
        who.tick = SAMPLED + 1;
        let start = Instant::now();
        let result = self.call(memory, who);
        let nanoseconds = u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.stats.time(who.part, nanoseconds);
        result
    }
}
