//! Checked access to the memory that a call may touch, for engines that trust no proof.
//!
//! **Invariant:** every address is compared with the live regions (stack frames, context, packet,
//! ring buffer records, keys and values of maps) before it is used; what does not lie wholly in
//! one region is refused.

use probity_isa::{AtomicOp, Size};
use probity_platform::{Arg, ArgKind, MemAccess, Ret};
use probity_verifier::Access;

use crate::arena::{self, Arena};
use crate::context::{self, DATA, DATA_END, DATA_META};
use crate::instance::Bound;
use crate::{Call, FaultKind, Space};

/// Bytes of one stack frame.
pub const FRAME: usize = 512;

/// The stack of one call, and the ring buffer records that the call holds.
pub struct Memory {
    stack: Arena,
    /// Bytes of the stack in use, from its top.
    depth: usize,
    records: Vec<(u64, u64)>,
}

impl Memory {
    /// A stack of `frames` frames; `None` without memory for it.
    pub fn new(frames: usize) -> Option<Memory> {
        Some(Memory {
            stack: Arena::new(frames.checked_mul(FRAME)?)?,
            depth: 0,
            records: Vec::new(),
        })
    }

    /// Forgets everything, for the next call.
    pub fn reset(&mut self) {
        self.depth = 0;
        self.records.clear();
    }

    /// Ring buffer records that the call holds: where they start, and their sizes.
    pub fn records(&self) -> &[(u64, u64)] {
        &self.records
    }

    /// Enters a frame of zeros and gives its frame pointer; `None` when the stack is used up.
    pub fn push_frame(&mut self) -> Option<u64> {
        if self.depth + FRAME > self.stack.len() {
            return None;
        }
        let top = self.stack.len() - self.depth;
        self.depth += FRAME;
        // SAFETY: just checked: the frame lies in the stack.
        unsafe { arena::zero(self.stack.at(top - FRAME), FRAME) };
        Some(self.stack.address() + top as u64)
    }

    pub fn pop_frame(&mut self) {
        self.depth = self.depth.saturating_sub(FRAME);
    }

    /// The bounds of the stack frame that an address lies in.
    pub fn frame_at(&self, address: u64) -> Option<(u64, u64)> {
        let top = self.stack.address() + self.stack.len() as u64;
        let below = top
            .checked_sub(address)
            .filter(|n| (1..=self.depth as u64).contains(n))?;
        let end = top - (below - 1) / FRAME as u64 * FRAME as u64;
        Some((end - FRAME as u64, end))
    }

    /// Whether the call may read (or write) all `len` bytes at `address`.
    pub fn allows(&self, call: &Call<'_>, address: u64, len: u64, write: bool) -> bool {
        let inside = |start: u64, end: u64| {
            address >= start && address.checked_add(len).is_some_and(|e| e <= end)
        };
        let top = self.stack.address() + self.stack.len() as u64;
        if inside(top - self.depth as u64, top) || inside(call.ctx, call.ctx + call.ctx_size()) {
            return true;
        }
        // SAFETY: the call borrows its context.
        let (meta, end) = unsafe {
            (
                context::header(call.ctx, DATA_META),
                context::header(call.ctx, DATA_END),
            )
        };
        if inside(meta, end)
            || self
                .records
                .iter()
                .any(|(start, size)| inside(*start, start + size))
        {
            return true;
        }
        let (lent, len) = call.lent();
        if !write && inside(lent, lent + len) {
            return true;
        }
        call.instance()
            .span(address)
            .is_some_and(|s| (s.writable || !write) && inside(s.start, s.end))
    }

    /// A load, zero-extended.
    pub fn load(&self, call: &Call<'_>, address: u64, size: Size) -> Option<u64> {
        if !self.allows(call, address, size.bytes() as u64, false) {
            return None;
        }
        // SAFETY: the bytes lie in a live region.
        Some(unsafe { arena::load(address as *const u8, size) })
    }

    #[must_use]
    pub fn store(&self, call: &Call<'_>, address: u64, size: Size, value: u64) -> bool {
        if !self.allows(call, address, size.bytes() as u64, true) {
            return false;
        }
        // SAFETY: the bytes lie in a live, writable region.
        unsafe { arena::store(address as *mut u8, size, value) };
        true
    }

    /// A load with acquire order; `None` also where it is misaligned.
    pub fn load_acquire(&self, call: &Call<'_>, address: u64, size: Size) -> Option<u64> {
        if !address.is_multiple_of(size.bytes() as u64) {
            return None;
        }
        let v = self.load(call, address, size)?;
        std::sync::atomic::fence(std::sync::atomic::Ordering::Acquire);
        Some(v)
    }

    #[must_use]
    pub fn store_release(&self, call: &Call<'_>, address: u64, size: Size, value: u64) -> bool {
        if !address.is_multiple_of(size.bytes() as u64) {
            return false;
        }
        std::sync::atomic::fence(std::sync::atomic::Ordering::Release);
        self.store(call, address, size, value)
    }

    /// A read-modify-write; gives the old value, zero-extended. `expected` is r0, for `Cmpxchg`.
    /// `None` for memory that is not the call's, misaligned, or of another size than 4 or 8.
    pub fn atomic(
        &self,
        call: &Call<'_>,
        op: AtomicOp,
        size: Size,
        address: u64,
        operand: u64,
        expected: u64,
    ) -> Option<u64> {
        if !address.is_multiple_of(size.bytes() as u64)
            || !self.allows(call, address, size.bytes() as u64, true)
        {
            return None;
        }
        // SAFETY: aligned, and in a live, writable region.
        unsafe { arena::atomic(address as *mut u8, op, size, operand, expected) }
    }

    /// The hidden word of the context that stands for a field ([`crate::hidden_word`]).
    pub fn hidden(&self, call: &Call<'_>, word: i32) -> Option<u64> {
        if !(-context::HEADER_BYTES..0).contains(&word) || word % 8 != 0 {
            return None;
        }
        // SAFETY: the call borrows its context; the word lies in its header.
        Some(unsafe { context::header(call.ctx, word) })
    }
}

/// An engine, seen from a helper that calls back.
pub trait Reenter {
    fn memory(&mut self) -> &mut Memory;
    /// Calls the subprogram that `Imm64::Func` gave `func` for. After a fault it gives 1, and keeps the fault to itself.
    fn enter(&mut self, call: &mut Call<'_>, func: u64, args: [u64; 4]) -> u64;
}

/// An argument that breaks the helper's row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadArgument {
    /// 1 to 5.
    pub register: u8,
    pub value: u64,
    pub size: u64,
}

impl BadArgument {
    pub fn kind(&self) -> FaultKind {
        FaultKind::Argument(self.register)
    }
}

/// Calls a helper after comparing its arguments with its row and the call's memory.
pub fn call_helper<R: Reenter>(
    engine: &mut R,
    call: &mut Call<'_>,
    helper: &Bound,
    args: [u64; 5],
) -> Result<u64, BadArgument> {
    check(engine.memory(), call, helper.args, &args)?;
    let (callback, outer) = (call.callback, call.engine);
    call.callback = Some(enter::<R>);
    call.engine.write(std::ptr::from_mut(engine).cast());
    // SAFETY: the arguments are what the row demands, as just checked; `enter::<R>` finds an R behind `engine`.
    let r0 = unsafe { (helper.function)(call, args[0], args[1], args[2], args[3], args[4]) };
    call.callback = callback;
    call.engine = outer;
    let memory = engine.memory();
    for (arg, value) in helper.args.iter().zip(args) {
        if matches!(arg.kind, ArgKind::RingbufMem { release: true }) {
            memory.records.retain(|r| r.0 != value);
        }
        if matches!(helper.ret, Ret::RingbufMemOrNull)
            && matches!(arg.kind, ArgKind::AllocSize)
            && r0 != 0
        {
            memory.records.push((r0, value));
        }
    }
    Ok(r0)
}

/// The [`crate::ReenterFn`] for a safe engine.
pub(crate) unsafe extern "C" fn enter<R: Reenter>(
    call: *mut Call<'_>,
    func: u64,
    r1: u64,
    r2: u64,
    r3: u64,
    r4: u64,
) -> u64 {
    // SAFETY: a helper passes on the call it was given, which it does not use meanwhile.
    let call = unsafe { &mut *call };
    // SAFETY: set in `call_helper`, whose own borrow of the engine rests until the helper returns.
    let engine = unsafe { &mut *call.engine.assume_init().cast::<R>() };
    engine.enter(call, func, [r1, r2, r3, r4])
}

fn check(
    memory: &Memory,
    call: &Call<'_>,
    rows: &[Arg],
    args: &[u64; 5],
) -> Result<(), BadArgument> {
    let mut map = (0, 0);
    for (n, (arg, &value)) in rows.iter().zip(args).enumerate() {
        let bad = |size: u64| BadArgument {
            register: n as u8 + 1,
            value,
            size,
        };
        if arg.nullable && value == 0 {
            continue;
        }
        let range = |size: u64, access: MemAccess| {
            if size == 0 || memory.allows(call, value, size, access != MemAccess::Read) {
                Ok(())
            } else {
                Err(bad(size))
            }
        };
        match arg.kind {
            ArgKind::Map => {
                let sizes = call
                    .instance()
                    .with_map_at(value, |m| (m.key_size() as u64, m.value_size() as u64));
                map = sizes.ok_or_else(|| bad(0))?;
            }
            ArgKind::MapKey => range(map.0, MemAccess::Read)?,
            ArgKind::MapValue { init } => range(
                map.1,
                if init {
                    MemAccess::Read
                } else {
                    MemAccess::Write
                },
            )?,
            ArgKind::Mem { access } => range(args.get(n + 1).copied().unwrap_or(0), access)?,
            ArgKind::FixedMem { access, bytes, .. } => range(u64::from(bytes), access)?,
            ArgKind::Ctx if value != call.ctx => return Err(bad(0)),
            ArgKind::RingbufMem { .. } if !memory.records.iter().any(|r| r.0 == value) => {
                return Err(bad(0));
            }
            ArgKind::SpinLock { .. } => range(4, MemAccess::ReadWrite)?,
            ArgKind::Timer => range(16, MemAccess::ReadWrite)?,
            ArgKind::Kptr => range(8, MemAccess::ReadWrite)?,
            ArgKind::KptrNew if value != 0 && !call.instance().objects().is_object(value) => {
                return Err(bad(0));
            }
            ArgKind::PercpuBtf if !call.instance().objects().is_object(value) => {
                return Err(bad(0));
            }
            ArgKind::ConstStr => {
                let mut at = value;
                while memory.load(call, at, Size::B).ok_or_else(|| bad(1))? != 0 {
                    at = at.checked_add(1).ok_or_else(|| bad(1))?;
                }
            }
            // Numbers, callbacks (checked where they are entered), kernel pointers that no helper here follows.
            _ => {}
        }
    }
    Ok(())
}

/// Reads what the call itself owns as the kernel's memory: its context, its packet, map values.
pub(crate) fn own_memory(call: &Call<'_>, address: u64, out: &mut [u8]) -> bool {
    let end = address.checked_add(out.len() as u64);
    let owned = own_end(call, address).is_some_and(|own| end.is_some_and(|end| end <= own));
    if owned {
        // SAFETY: the bytes lie in a live region.
        unsafe { arena::read_into(address as *const u8, out) };
    }
    owned
}

/// The end of the region that `address` lies in, of those that [`own_memory`] reads.
pub(crate) fn own_end(call: &Call<'_>, address: u64) -> Option<u64> {
    let inside = |start: u64, end: u64| (start..end).contains(&address).then_some(end);
    // SAFETY: the call borrows its context.
    let (meta, end) = unsafe {
        (
            context::header(call.ctx, DATA_META),
            context::header(call.ctx, DATA_END),
        )
    };
    inside(call.ctx, call.ctx + call.ctx_size())
        .or_else(|| inside(meta, end))
        .or_else(|| {
            let span = call.instance().span(address)?;
            inside(span.start, span.end)
        })
}

/// Reads memory as the kernel's: what the call itself owns, with its stack where the engine names it, or else what the environment has.
pub(crate) fn read_any(call: &Call<'_>, address: u64, out: &mut [u8]) -> bool {
    let own = own_end(call, address).or_else(|| call.frame_end(address));
    match (own, address.checked_add(out.len() as u64)) {
        (Some(own), Some(end)) if end <= own => {
            // SAFETY: the bytes lie in a live region.
            unsafe { arena::read_into(address as *const u8, out) };
            true
        }
        _ => call.env().read(Space::Kernel, address, out),
    }
}

/// Single bytes, as [`read_any`] reads them: where the last one lay is not asked for again.
pub(crate) struct Reader<'a> {
    call: &'a Call<'a>,
    own: (u64, u64),
}

impl<'a> Reader<'a> {
    pub fn new(call: &'a Call<'a>) -> Reader<'a> {
        Reader { call, own: (0, 0) }
    }

    pub fn byte(&mut self, address: u64) -> Option<u8> {
        if !(self.own.0..self.own.1).contains(&address) {
            let end = own_end(self.call, address).or_else(|| self.call.frame_end(address));
            let Some(end) = end else {
                let mut byte = [0];
                let there = self.call.env().read(Space::Kernel, address, &mut byte);
                return there.then_some(byte[0]);
            };
            self.own = (address, end);
        }
        // SAFETY: the byte lies in a live region.
        Some(unsafe { arena::load(address as *const u8, Size::B) } as u8)
    }
}

/// Where structures lie that the surroundings do not have, though the kernel promises them: no processor can address that,
/// so that what is read there is 0.
pub(crate) const NOWHERE: u64 = 1 << 62;

/// What such a load gives in the place of NULL, if what it loads is promised not to be: comparisons with NULL are gone
/// from compiled code. Members, and arguments, at different offsets are at different addresses.
pub fn absent(access: &Access) -> Option<u64> {
    let at = access.offset.unwrap_or_default() as u64 & 0xffff;
    access.promised.then_some(NOWHERE + (at << 32))
}

/// A read through a kernel pointer: 0 where the surroundings have no such memory.
///
/// A structure that programs allocated is the kernel's too where nothing keeps it alive.
pub fn kernel_read(call: &Call<'_>, address: u64, size: Size) -> u64 {
    let mut b = [0u8; 8];
    if let Some(span) = call.instance().objects().span(address) {
        if span.end - address < size.bytes() as u64 {
            return 0;
        }
        // SAFETY: memory of structures lives as long as the instance.
        return unsafe { arena::load(address as *const u8, size) };
    }
    let ok = b
        .get_mut(..size.bytes())
        .is_some_and(|b| call.env().read(Space::Kernel, address, b));
    if ok { u64::from_le_bytes(b) } else { 0 }
}

/// [`kernel_read`] for compiled code; `size` is 1, 2, 4 or 8.
///
/// # Safety
/// `call` is valid.
pub unsafe extern "C" fn kernel_read_fn(call: *const Call<'_>, address: u64, size: u64) -> u64 {
    // SAFETY: by the contract.
    let call = unsafe { &*call };
    Size::from_bytes(size as usize).map_or(0, |size| kernel_read(call, address, size))
}

/// Offsets of legacy packet loads from here are relative to the network header,
const NET_OFF: i64 = -0x10_0000;
/// and from here to the link-layer header.
const LL_OFF: i64 = -0x20_0000;
const ETHERNET_HEADER: i64 = 14;

/// A legacy packet load (`ld_abs`, `ld_ind`), in host order; `None` outside of the packet, where the program ends with 0.
/// `offset` is the sum of immediate and index as a 32-bit number.
pub fn packet_load(call: &Call<'_>, offset: i32, size: Size) -> Option<u64> {
    let offset = match i64::from(offset) {
        n if n >= 0 => n,
        n if n >= NET_OFF => n - NET_OFF + ETHERNET_HEADER,
        n if n >= LL_OFF => n - LL_OFF,
        _ => return None,
    };
    // SAFETY: the call borrows its context.
    let (data, end) = unsafe {
        (
            context::header(call.ctx, DATA),
            context::header(call.ctx, DATA_END),
        )
    };
    let n = size.bytes();
    if offset as u64 + n as u64 > end - data {
        return None;
    }
    let mut b = [0u8; 8];
    // SAFETY: just checked to lie in the packet.
    unsafe { arena::read_into((data + offset as u64) as *const u8, &mut b[8 - n..]) };
    Some(u64::from_be_bytes(b))
}

/// [`packet_load`] for compiled code: at most 4 bytes; `u64::MAX` stands for `None`.
///
/// # Safety
/// `call` is valid.
pub unsafe extern "C" fn packet_load_fn(call: *const Call<'_>, offset: u64, size: u64) -> u64 {
    // SAFETY: by the contract.
    let call = unsafe { &*call };
    let size = Size::from_bytes(size as usize).filter(|s| *s != Size::DW);
    size.and_then(|size| packet_load(call, offset as i32, size))
        .unwrap_or(u64::MAX)
}
