//! What a program is called with: host memory of the kernel's user-visible layout, with a hidden header before it.
//!
//! r1 points at the context's first byte. The [`HEADER_BYTES`] bytes before it are 64-bit words
//! that no program can reach; [`hidden_word`] says which of them stands for a field that the
//! user-visible layout has only 32 bits for:
//!
//! | offset from r1 | word |
//! |---|---|
//! | [`DATA`] | address of the packet's first byte |
//! | [`DATA_END`] | address one past its last byte |
//! | [`DATA_META`] | address of the metadata before it |
//! | [`BUFFER`], [`BUFFER_END`] | bounds of the memory that the packet may grow into |
//! | [`NULL`] | 0: pointers that may be NULL and are, in process |
//! | [`REDIRECT`], [`REDIRECT_FLAGS`] | what `redirect` and `redirect_map` asked for |
//! | [`RETVAL`] | what `get_retval` gives: what the operation that a control group's program judges returns |
//!
//! **Invariant:** `BUFFER <= DATA_META <= DATA <= DATA_END <= BUFFER_END`, all inside of one
//! allocation that neither moves nor shrinks during a call.

use std::any::TypeId;
use std::hint::cold_path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use probity_platform::FieldKind;

use crate::arena::{self, Arena};
use crate::{Env, Error};

pub const HEADER_BYTES: i32 = 80;
pub const DATA: i32 = -8;
pub const DATA_END: i32 = -16;
pub const DATA_META: i32 = -24;
pub const BUFFER: i32 = -32;
pub const BUFFER_END: i32 = -40;
pub const NULL: i32 = -48;
pub const REDIRECT: i32 = -56;
pub const REDIRECT_FLAGS: i32 = -64;
pub const RETVAL: i32 = -72;

/// Bytes free before a packet, as XDP drivers leave them.
pub const HEADROOM: usize = 256;
/// Bytes after which a frame's memory ends: a page less what Linux keeps at its end.
pub const FRAME_BYTES: usize = 4096 - 320;
/// Bytes free after a packet that is longer than a page.
pub const TAILROOM: usize = 320;
/// Longest packet.
pub const MAX_PACKET: usize = 1 << 20;
/// Longest context.
pub const MAX_CONTEXT: usize = 1 << 20;

/// Offset from r1 of the hidden 64-bit word that a load of such a field reads instead;
/// `None` for fields that are what they seem ([`is_plain`]), and for pointers that have no meaning
/// in process ([`crate::Instance::new`] refuses programs that load them).
pub fn hidden_word(kind: FieldKind) -> Option<i32> {
    match kind {
        FieldKind::PacketData => Some(DATA),
        FieldKind::PacketEnd => Some(DATA_END),
        FieldKind::PacketMeta => Some(DATA_META),
        FieldKind::Socket { nullable: true } | FieldKind::SockCommon { nullable: true } => {
            Some(NULL)
        }
        _ => None,
    }
}

/// Whether a field is loaded as it stands: a number, or the address of a kernel structure, which
/// is wide enough in the layout and followed by checked reads only.
pub fn is_plain(kind: FieldKind) -> bool {
    matches!(kind, FieldKind::Scalar | FieldKind::Btf { .. })
}

/// A context, the packet it describes, and what surrounds the call.
pub struct Context {
    /// Header, then the context's bytes.
    memory: Arena,
    size: usize,
    packet: Option<Arena>,
    /// Byte offset of a 32-bit field that holds the packet's length, where the layout has one.
    length_at: Option<usize>,
    env: Option<Arc<dyn Env>>,
    lent: Lent,
}

/// Values of the host's for its functions, each with its type.
#[derive(Clone, Copy, Default)]
pub struct Lent {
    /// For one call.
    pub data: Option<(TypeId, *mut ())>,
    /// Whoever calls has it for all calls.
    pub state: Option<(TypeId, *mut ())>,
}

// SAFETY: the pointers are followed only by whoever lent them, for as long as they are lent ([`Context::lend`]).
unsafe impl Send for Lent {}
// SAFETY: as above.
unsafe impl Sync for Lent {}

/// What `redirect` or `redirect_map` asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Redirect {
    /// Interface index, or the value that the map holds.
    pub target: u32,
    pub flags: u64,
}

/// Offsets inside of `struct __sk_buff`, and its size.
mod skb {
    pub const LEN: usize = 0;
    pub const PROTOCOL: usize = 16;
    pub const SIZE: usize = 192;
}

/// What Linux takes a frame's protocol for: its type, or, where a length stands in its place, what follows.
fn protocol(frame: &[u8]) -> Option<[u8; 2]> {
    /// Types are no less.
    const ETH_P_802_3_MIN: u16 = 0x600;
    const ETH_P_802_3: [u8; 2] = [0, 1];
    const ETH_P_802_2: [u8; 2] = [0, 4];
    let ether_type: [u8; 2] = frame.get(12..14)?.try_into().ok()?;
    Some(match frame.get(14..16) {
        _ if u16::from_be_bytes(ether_type) >= ETH_P_802_3_MIN => ether_type,
        Some([0xff, 0xff]) => ETH_P_802_3,
        _ => ETH_P_802_2,
    })
}

/// Words of `struct pt_regs` of x86-64.
pub const PT_REGS: usize = 21;

/// `struct xdp_md`.
const XDP_MD: usize = 24;

impl Context {
    /// Any context as plain bytes (tracepoint records with their common fields, `pt_regs`, system call programs …).
    pub fn bytes(bytes: &[u8]) -> Result<Context, Error> {
        if bytes.len() > MAX_CONTEXT {
            return Err(Error::Context(format!(
                "{} bytes exceed the limit of {MAX_CONTEXT}",
                bytes.len()
            )));
        }
        let memory = Arena::new(HEADER_BYTES as usize + bytes.len().next_multiple_of(8))
            .ok_or_else(|| Error::Context("out of memory".into()))?;
        // SAFETY: the arena holds the header and that many bytes.
        unsafe {
            arena::copy(
                memory.at(HEADER_BYTES as usize),
                bytes.as_ptr(),
                bytes.len(),
            )
        };
        let mut ctx = Context {
            memory,
            size: bytes.len(),
            packet: None,
            length_at: None,
            env: None,
            lent: Lent::default(),
        };
        // An empty packet, so that the invariant holds.
        let here = ctx.address();
        for word in [DATA, DATA_END, DATA_META, BUFFER, BUFFER_END] {
            ctx.set_header(word, here);
        }
        Ok(ctx)
    }

    /// The arguments of a raw tracepoint or of a typed one.
    pub fn words(words: &[u64]) -> Result<Context, Error> {
        let bytes: Vec<u8> = words.iter().flat_map(|w| w.to_ne_bytes()).collect();
        Context::bytes(&bytes)
    }

    /// A tracepoint's record, with its common fields.
    pub fn tracepoint(record: &[u8]) -> Result<Context, Error> {
        Context::bytes(record)
    }

    /// The registers of a kprobe or uprobe, in the order of `struct pt_regs` of x86-64.
    pub fn probe(regs: &[u64; PT_REGS]) -> Result<Context, Error> {
        Context::words(regs)
    }

    /// A `struct bpf_perf_event_data`: registers, the sample's period, the address it is about.
    pub fn perf_event(regs: &[u64; PT_REGS], period: u64, address: u64) -> Result<Context, Error> {
        Context::words(&[&regs[..], &[period, address]].concat())
    }

    /// A `struct xdp_md` over a packet.
    pub fn xdp(packet: &[u8]) -> Result<Context, Error> {
        Context::bytes(&[0; XDP_MD])?.with_packet(packet)
    }

    /// A `struct __sk_buff` over a packet that starts at its Ethernet header.
    pub fn skb(packet: &[u8]) -> Result<Context, Error> {
        let mut bytes = [0u8; skb::SIZE];
        bytes[skb::LEN..][..4].copy_from_slice(&(packet.len() as u32).to_ne_bytes());
        if let Some(protocol) = protocol(packet) {
            bytes[skb::PROTOCOL..][..2].copy_from_slice(&protocol);
        }
        let mut ctx = Context::bytes(&bytes)?.with_packet(packet)?;
        ctx.length_at = Some(skb::LEN);
        Ok(ctx)
    }

    /// Gives the context a packet to describe.
    pub fn with_packet(mut self, packet: &[u8]) -> Result<Context, Error> {
        if packet.len() > MAX_PACKET {
            return Err(Error::Context(format!(
                "a packet of {} bytes exceeds the limit of {MAX_PACKET}",
                packet.len()
            )));
        }
        self.set_packet(packet)?;
        Ok(self)
    }

    /// Replaces the packet's bytes, keeping the memory where it is large enough. Metadata is forgotten.
    pub fn set_packet(&mut self, packet: &[u8]) -> Result<(), Error> {
        if packet.len() > MAX_PACKET {
            return Err(Error::Context(format!(
                "a packet of {} bytes exceeds the limit of {MAX_PACKET}",
                packet.len()
            )));
        }
        let need = match HEADROOM + packet.len() {
            n if n <= FRAME_BYTES => FRAME_BYTES,
            n => n + TAILROOM,
        };
        if self.packet.as_ref().is_none_or(|b| b.len() < need) {
            self.packet =
                Some(Arena::new(need).ok_or_else(|| Error::Context("out of memory".into()))?);
        }
        let Some(buffer) = &self.packet else {
            return Ok(());
        };
        // SAFETY: the buffer holds headroom, packet and tailroom.
        unsafe { arena::copy(buffer.at(HEADROOM), packet.as_ptr(), packet.len()) };
        let (start, end) = (buffer.address(), buffer.address() + need as u64);
        let data = start + HEADROOM as u64;
        self.set_header(BUFFER, start);
        self.set_header(BUFFER_END, end);
        self.set_header(DATA, data);
        self.set_header(DATA_META, data);
        self.set_header(DATA_END, data + packet.len() as u64);
        if let Some(at) = self.length_at {
            self.write(at, &(packet.len() as u32).to_ne_bytes())?;
        }
        Ok(())
    }

    /// Lets the context describe bytes of the host's as its packet, in place, until [`Context::take_packet`].
    /// False where they are more than [`MAX_PACKET`]: then nothing is lent.
    ///
    /// # Safety
    /// Until they are taken back the bytes are valid, and neither read nor written by others while a
    /// program runs; programs of kinds that write packets write them.
    #[inline]
    #[must_use]
    pub unsafe fn lend_packet(&mut self, start: *mut u8, len: usize) -> bool {
        if len > MAX_PACKET {
            return false;
        }
        self.describe(start as u64, len);
        true
    }

    /// Ends what [`Context::lend_packet`] began: the packet is empty.
    #[inline]
    pub fn take_packet(&mut self) {
        self.describe(self.address(), 0);
    }

    #[inline(always)]
    fn describe(&mut self, start: u64, len: usize) {
        let end = start.wrapping_add(len as u64);
        for word in [DATA, DATA_META, BUFFER] {
            self.set_header(word, start);
        }
        for word in [DATA_END, BUFFER_END] {
            self.set_header(word, end);
        }
    }

    /// Lends values of the host's to its own functions that programs call, in the place of those that were lent before.
    ///
    /// # Safety
    /// Whenever a program runs with this context, until others are lent, each pointer is to a live value of the type that its
    /// `TypeId` names, which is used by nobody else meanwhile; they are different values.
    #[inline]
    pub unsafe fn lend(&mut self, lent: Lent) {
        self.lent = lent;
    }

    #[inline]
    pub(crate) fn lent(&self) -> Lent {
        self.lent
    }

    /// Surroundings for calls with this context, instead of the instance's.
    pub fn with_env(mut self, env: Arc<dyn Env>) -> Context {
        self.env = Some(env);
        self
    }

    pub fn set_env(&mut self, env: Option<Arc<dyn Env>>) {
        self.env = env;
    }

    pub(crate) fn env(&self) -> Option<&dyn Env> {
        self.env.as_deref()
    }

    /// What r1 holds.
    #[inline]
    pub fn address(&self) -> u64 {
        self.memory.address() + HEADER_BYTES as u64
    }

    /// Bytes of the context itself.
    #[inline]
    pub fn size(&self) -> usize {
        self.size
    }

    /// The context's bytes, as they are now.
    pub fn read(&self) -> Vec<u8> {
        // SAFETY: the arena holds `size` bytes after the header.
        unsafe { arena::read_vec(self.memory.at(HEADER_BYTES as usize), self.size) }
    }

    /// Overwrites bytes of the context (fields of an `__sk_buff`, a new record of the same size …).
    pub fn write(&mut self, offset: usize, bytes: &[u8]) -> Result<(), Error> {
        if offset
            .checked_add(bytes.len())
            .is_none_or(|end| end > self.size)
        {
            return Err(Error::Context(format!(
                "{} bytes at {offset} do not fit a context of {}",
                bytes.len(),
                self.size
            )));
        }
        // SAFETY: just checked.
        unsafe {
            arena::copy(
                self.memory.at(HEADER_BYTES as usize + offset),
                bytes.as_ptr(),
                bytes.len(),
            )
        };
        Ok(())
    }

    /// The packet's bytes, as they are now.
    pub fn packet(&self) -> Option<Vec<u8>> {
        self.packet.as_ref()?;
        let (data, end) = (self.header(DATA), self.header(DATA_END));
        // SAFETY: the header's invariant: both lie in the packet's buffer, in this order.
        Some(unsafe { arena::read_vec(data as *const u8, (end - data) as usize) })
    }

    /// What stands in the metadata area before the packet.
    pub fn metadata(&self) -> Vec<u8> {
        let (meta, data) = (self.header(DATA_META), self.header(DATA));
        // SAFETY: the header's invariant.
        unsafe { arena::read_vec(meta as *const u8, (data - meta) as usize) }
    }

    /// What the last call asked for with `redirect` or `redirect_map`.
    pub fn redirect(&self) -> Option<Redirect> {
        let word = self.header(REDIRECT);
        (word >> 32 != 0).then_some(Redirect {
            target: word as u32,
            flags: self.header(REDIRECT_FLAGS),
        })
    }

    /// What the operation returns that a control group's program judges: 0, or what a program said last (`set_retval`).
    /// Programs that are called one after the other with this context see what those before them said, as in Linux.
    /// A context with a field of that name (`struct bpf_sockopt`) holds it there instead.
    pub fn retval(&self) -> i32 {
        self.header(RETVAL) as i32
    }

    /// Before a program is called: what the operation returns so far.
    pub fn set_retval(&mut self, retval: i32) {
        self.set_header(RETVAL, i64::from(retval) as u64);
    }

    #[inline]
    fn header(&self, word: i32) -> u64 {
        // SAFETY: `word` is one of this module's constants, inside of the header.
        unsafe { header(self.address(), word) }
    }

    #[inline]
    fn set_header(&mut self, word: i32, value: u64) {
        // SAFETY: as above.
        unsafe { set_header(self.address(), word, value) }
    }

    /// Forgets what the last call asked for. The flags count only with a target, and `NULL` stays 0.
    #[inline(always)]
    pub(crate) fn prepare(&mut self) {
        // Few calls ask for anything, and looking costs less than writing: processors load two words a cycle, and store one.
        if self.header(REDIRECT) != 0 {
            cold_path();
            self.set_header(REDIRECT, 0);
        }
    }

    pub(crate) fn length_at(&self) -> Option<usize> {
        self.length_at
    }
}

/// Reads a header word of the context at `ctx`.
///
/// # Safety
/// `ctx` is the address of a live [`Context`], `word` one of this module's offsets.
#[inline]
pub(crate) unsafe fn header(ctx: u64, word: i32) -> u64 {
    let at = ctx.wrapping_add_signed(i64::from(word));
    // SAFETY: by the contract; header words are 8-byte aligned.
    unsafe { AtomicU64::from_ptr(at as *mut u64) }.load(Relaxed)
}

/// # Safety
/// As for [`header`]; the value keeps the header's invariant.
#[inline]
pub(crate) unsafe fn set_header(ctx: u64, word: i32, value: u64) {
    let at = ctx.wrapping_add_signed(i64::from(word));
    // SAFETY: by the contract; header words are 8-byte aligned.
    unsafe { AtomicU64::from_ptr(at as *mut u64) }.store(value, Relaxed);
}
