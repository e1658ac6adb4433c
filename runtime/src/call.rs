//! The state of one call: what helpers and compiled code are handed a pointer to.
//!
//! # What engines and helpers agree on
//!
//! - A helper is a [`HelperFn`]; [`crate::Instance::helper`] binds a number to it once. It is
//!   called with the pointer to [`Call`] and r1 to r5 and gives r0.
//! - A helper with callbacks calls [`Call::reenter`] with the value that `Imm64::Func` gave the
//!   program, whatever the engine chose for it (a slot, an address).
//! - A successful `tail_call` sets [`Call::next`] to a program's index and returns 0; otherwise r0 is
//!   an error. After each call of a helper whose row says `may_not_return`, an engine looks at r0; when it
//!   is 0, it goes on with that program, r1 being [`Call::ctx`], in place of the function that was running
//!   (a subprogram's caller gets the program's r0).
//! - A kernel function that reads at any address ([`crate::KfuncArg::Address`]) finds what functions have on their
//!   stacks by [`Call::FRAMES`], which an engine sets before it calls one.
//! - A kernel function that throws ([`crate::BoundKfunc::throws`]) sets [`Call::thrown`] and leaves the cookie. The
//!   engine gives up the functions of the program that is running, up to and with its main one, which gives what the
//!   program's exception callback ([`crate::Program::exception_callback`]) gives for the cookie, or else the cookie.
//!   Callbacks do not throw: that is proved.

use std::marker::PhantomData;
use std::mem::{MaybeUninit, offset_of};

use crate::arena;
use crate::context::{DATA, DATA_END, Lent, header};
use crate::timers::Later;
use crate::{Context, Env, Fault, FaultKind, Instance, Watch};

/// Tail calls in one call, as in Linux.
pub const MAX_TAIL_CALLS: u32 = 33;

/// Answers that a call keeps.
const ANSWERS: usize = 8;

/// An answer that does not change during a call: its surroundings are asked for it once.
///
/// Compiled code looks for it at [`Answer::bit`] of the word at [`Call::ANSWERED`], and finds it at [`Answer::offset`];
/// where the bit is not set it calls the helper, which sets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer(u8);

impl Answer {
    pub const CPU: Answer = Answer(0);
    pub const TASK_ID: Answer = Answer(1);
    pub const USER_ID: Answer = Answer(2);
    pub const NUMA_NODE: Answer = Answer(3);
    pub const CGROUP: Answer = Answer(4);
    pub const TASK: Answer = Answer(5);
    pub const COOKIE: Answer = Answer(6);
    pub const FUNCTION: Answer = Answer(7);

    pub fn bit(self) -> u32 {
        1 << self.0
    }

    pub fn offset(self) -> i32 {
        (offset_of!(Call, answers) + 8 * usize::from(self.0)) as i32
    }
}

/// Stack memory of one function that is running, for kernel functions that read at any address ([`crate::KfuncArg::Address`]).
///
/// Where a program calls one, the engine has [`Call::FRAMES`] lead to those of all its functions that are running.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Frames {
    /// Address of the caller's, or 0.
    pub outer: u64,
    /// Its first byte, and one past its last; all of it is initialised.
    pub start: u64,
    pub end: u64,
}

impl Frames {
    pub const OUTER: i32 = offset_of!(Frames, outer) as i32;
    pub const START: i32 = offset_of!(Frames, start) as i32;
    pub const END: i32 = offset_of!(Frames, end) as i32;
}

/// A helper. `call` is valid and unaliased for the duration; arguments are as the helper's row demands.
pub type HelperFn =
    unsafe extern "C" fn(call: *mut Call<'_>, r1: u64, r2: u64, r3: u64, r4: u64, r5: u64) -> u64;

/// Calls a subprogram of the running program on behalf of a helper.
pub type ReenterFn =
    unsafe extern "C" fn(call: *mut Call<'_>, func: u64, r1: u64, r2: u64, r3: u64, r4: u64) -> u64;

/// One call of a program. Its first fields have fixed offsets for compiled code.
///
/// It is written anew for every call, so what it holds is little: what calls have in common is
/// behind `prepared`, and what few calls need is left unwritten until they do.
#[repr(C)]
pub struct Call<'a> {
    /// Index into per-CPU maps; below the instance's number of CPUs.
    pub cpu: u64,
    /// Address of the context's first byte: r1.
    pub ctx: u64,
    /// Tail calls so far.
    pub(crate) tail_calls: u32,
    /// Which of `answers` are written, a bit each.
    answered: u32,
    /// 1 while an exception unwinds the program, otherwise 0.
    pub(crate) thrown: u32,
    /// Length of a key that a helper lends to its callback, otherwise 0.
    lent_len: u32,
    /// Address of the innermost [`Frames`], where the engine says which there are; otherwise 0.
    pub(crate) frames: u64,
    /// The key's address, when there is one.
    lent_at: MaybeUninit<u64>,
    /// Program that a successful tail call goes on with; written by what succeeds.
    next: MaybeUninit<u64>,
    /// How helpers call back; engines set it before programs with callbacks run.
    pub(crate) callback: Option<ReenterFn>,
    prepared: &'a Prepared<'a>,
    /// What `ctx` points into; helpers ask it for what few of them need.
    context: *const Context,
    /// What was thrown, while it is.
    pub(crate) cookie: MaybeUninit<u64>,
    /// What does not change during a call, and was asked for.
    answers: [MaybeUninit<u64>; ANSWERS],
    /// The engine's own, for `callback`; written by the engine that reads it.
    pub(crate) engine: MaybeUninit<*mut ()>,
    /// When it is to end by the clock; written and read in watched calls.
    pub(crate) watch: MaybeUninit<Watch>,
    borrowed: PhantomData<&'a mut Context>,
}

/// What all calls of one program on one CPU have in common, checked once.
///
/// An engine keeps one where a program is called often: [`Prepared::call`] then only compares the
/// context's size, and fills in what differs from call to call; the call refers to it for the rest.
#[derive(Clone, Copy)]
pub struct Prepared<'a> {
    instance: &'a Instance,
    cpu: u64,
    kind: u32,
    /// Bytes that a context must have at least.
    context_size: usize,
    callback: Option<ReenterFn>,
    /// [`Instance::engine_id`] of the engine: whose the functions are that programs hand to helpers.
    owner: u64,
    /// Address of the timer whose callback is called.
    timer: u64,
    lent: (u64, u64),
    /// Calls are watched ([`Watch`]).
    watched: bool,
}

impl<'a> Prepared<'a> {
    /// Prepares calls of `program` on `cpu`; helpers call back through `callback`.
    pub fn new(
        instance: &'a Instance,
        program: usize,
        cpu: usize,
        callback: Option<ReenterFn>,
    ) -> Result<Prepared<'a>, Fault> {
        let Some(p) = instance.programs().get(program) else {
            return Err(Fault::new(program, 0, FaultKind::NoProgram));
        };
        if cpu >= instance.cpus() {
            return Err(Fault::new(program, 0, FaultKind::NoCpu));
        }
        Ok(Prepared {
            instance,
            cpu: cpu as u64,
            kind: p.verified().prog_type().0,
            context_size: p.context_size(),
            callback,
            owner: 0,
            timer: 0,
            lent: (0, 0),
            watched: instance.is_watched(),
        })
    }

    /// Prepares the call of a function that helpers were asked to call later; its context is not a program's.
    pub fn later(
        instance: &'a Instance,
        later: &Later,
        cpu: usize,
        callback: Option<ReenterFn>,
    ) -> Result<Prepared<'a>, Fault> {
        if cpu >= instance.cpus() {
            return Err(Fault::new(0, 0, FaultKind::NoCpu));
        }
        Ok(Prepared {
            instance,
            cpu: cpu as u64,
            kind: 0,
            context_size: 0,
            callback,
            owner: later.callback.engine,
            timer: later.timer,
            lent: (later.args[1], later.key_len),
            watched: instance.is_watched(),
        })
    }

    /// For an engine whose functions helpers may call later: [`Instance::engine_id`].
    pub fn owned_by(mut self, engine: u64) -> Prepared<'a> {
        self.owner = engine;
        self
    }

    pub fn instance(&self) -> &'a Instance {
        self.instance
    }

    /// The state of one call; `None` for a context that is too short for the program.
    #[inline(always)]
    pub fn call<'c>(&'c self, ctx: &'c mut Context) -> Option<Call<'c>>
    where
        'a: 'c,
    {
        if ctx.size() < self.context_size {
            return None;
        }
        Some(self.begin(ctx))
    }

    /// r1 of one call of a program that needs no state; `None` as for [`Prepared::call`].
    #[inline(always)]
    pub fn context(&self, ctx: &mut Context) -> Option<u64> {
        if ctx.size() < self.context_size {
            return None;
        }
        ctx.prepare();
        Some(ctx.address())
    }

    /// The state of a call of what [`Prepared::later`] prepared.
    pub fn call_later<'c>(&'c self, ctx: &'c mut Context) -> Call<'c>
    where
        'a: 'c,
    {
        let mut call = self.begin(ctx);
        call.lend(self.lent);
        call
    }

    #[inline(always)]
    fn begin<'c>(&'c self, ctx: &'c mut Context) -> Call<'c>
    where
        'a: 'c,
    {
        ctx.prepare();
        Call {
            cpu: self.cpu,
            ctx: ctx.address(),
            tail_calls: 0,
            answered: 0,
            thrown: 0,
            lent_len: 0,
            frames: 0,
            lent_at: MaybeUninit::uninit(),
            next: MaybeUninit::uninit(),
            callback: self.callback,
            prepared: self,
            context: std::ptr::from_ref(ctx),
            cookie: MaybeUninit::uninit(),
            answers: [const { MaybeUninit::uninit() }; ANSWERS],
            engine: MaybeUninit::uninit(),
            // Nothing here takes the call's address, so that it is written where it stays.
            watch: match self.watched {
                true => MaybeUninit::new(Watch::new(self.instance)),
                false => MaybeUninit::uninit(),
            },
            borrowed: PhantomData,
        }
    }

    /// The policy demands that calls end by the clock.
    #[inline]
    pub fn is_watched(&self) -> bool {
        self.watched
    }
}

impl Call<'_> {
    pub const CPU: i32 = offset_of!(Call, cpu) as i32;
    pub const CTX: i32 = offset_of!(Call, ctx) as i32;
    pub const TAIL_CALLS: i32 = offset_of!(Call, tail_calls) as i32;
    /// What a tail call gives that does not succeed.
    pub const NO_TAIL_CALL: u64 = -(libc::ENOENT as i64) as u64;
    pub const ANSWERED: i32 = offset_of!(Call, answered) as i32;
    pub const NEXT: i32 = offset_of!(Call, next) as i32;
    pub const DEADLINE: i32 = (offset_of!(Call, watch) + offset_of!(Watch, deadline)) as i32;
    pub const HELD: i32 = (offset_of!(Call, watch) + offset_of!(Watch, held)) as i32;
    pub const ENDED: i32 = (offset_of!(Call, watch) + offset_of!(Watch, ended)) as i32;
    pub const THROWN: i32 = offset_of!(Call, thrown) as i32;
    pub const COOKIE: i32 = offset_of!(Call, cookie) as i32;
    pub const FRAMES: i32 = offset_of!(Call, frames) as i32;
}

impl<'a> Call<'a> {
    #[inline]
    fn context(&self) -> &Context {
        // SAFETY: the context is borrowed for as long as the call lives, and neither moved nor
        // changed meanwhile: programs and helpers write the memory that it owns, not itself.
        unsafe { &*self.context }
    }

    /// Program that the last tail call that succeeded goes on with.
    pub fn next(&self) -> Option<u64> {
        // SAFETY: what counts a tail call has written it.
        (self.tail_calls > 0).then(|| unsafe { self.next.assume_init() })
    }

    /// A tail call succeeds.
    pub(crate) fn go_on_with(&mut self, program: u64) {
        self.next.write(program);
        self.tail_calls += 1;
    }

    /// Address and length of the key that a helper lends to the callback that is running; no key has length 0.
    pub(crate) fn lent(&self) -> (u64, u64) {
        match self.lent_len {
            0 => (0, 0),
            // SAFETY: it is written together with its length.
            n => (unsafe { self.lent_at.assume_init() }, u64::from(n)),
        }
    }

    pub(crate) fn lend(&mut self, (at, len): (u64, u64)) {
        self.lent_at.write(at);
        // Keys are no longer than that.
        self.lent_len = len as u32;
    }

    /// What does not change during the call, asked for when it is first wanted.
    #[inline]
    pub(crate) fn once(&mut self, answer: Answer, ask: impl FnOnce(&Self) -> u64) -> u64 {
        let n = usize::from(answer.0);
        if self.answered & answer.bit() != 0 {
            // SAFETY: the bit is set when it is written.
            return unsafe { self.answers[n].assume_init() };
        }
        let given = ask(self);
        self.answers[n].write(given);
        self.answered |= answer.bit();
        given
    }

    /// Where the frame ends that an address lies in, of those that the engine names.
    pub(crate) fn frame_end(&self, address: u64) -> Option<u64> {
        let mut at = self.frames;
        while at != 0 {
            // SAFETY: by the engine's contract, a live one.
            let frames = unsafe { *(at as *const Frames) };
            if (frames.start..frames.end).contains(&address) {
                return Some(frames.end);
            }
            at = frames.outer;
        }
        None
    }

    /// What the host lent to its functions ([`Context::lend`]).
    #[inline]
    pub fn lent_by_host(&self) -> Lent {
        self.context().lent()
    }

    /// The packet's bytes, as they are now.
    pub fn packet(&self) -> Vec<u8> {
        // SAFETY: the context is a live one, and its packet lies between the two addresses, in this order.
        unsafe {
            let (data, end) = (header(self.ctx, DATA), header(self.ctx, DATA_END));
            arena::read_vec(data as *const u8, end.wrapping_sub(data) as usize)
        }
    }

    /// Byte offset of the context's field that holds the packet's length, where it has one.
    pub(crate) fn length_at(&self) -> Option<u64> {
        self.context().length_at().map(|n| n as u64)
    }

    pub(crate) fn ctx_size(&self) -> u64 {
        self.context().size() as u64
    }

    pub fn instance(&self) -> &'a Instance {
        self.prepared.instance
    }

    pub(crate) fn is_watched(&self) -> bool {
        self.prepared.watched
    }

    /// `enum bpf_prog_type`.
    pub(crate) fn kind(&self) -> u32 {
        self.prepared.kind
    }

    pub(crate) fn owner(&self) -> u64 {
        self.prepared.owner
    }

    /// Address of the timer whose callback this is.
    pub(crate) fn timer(&self) -> u64 {
        self.prepared.timer
    }

    /// Surroundings: those of the context, or else of the instance.
    pub fn env(&self) -> &'a dyn Env {
        // SAFETY: as for `context`; the context is borrowed for 'a and owns its surroundings.
        let context: &'a Context = unsafe { &*self.context };
        context.env().unwrap_or_else(|| self.instance().env())
    }

    /// The cookie of the exception that was just thrown, which is over then.
    pub fn take_thrown(&mut self) -> Option<u64> {
        // SAFETY: whatever throws writes the cookie.
        (std::mem::take(&mut self.thrown) != 0).then(|| unsafe { self.cookie.assume_init() })
    }

    /// Calls the subprogram `func` and gives its r0; without an engine that can, 1, which ends every iteration.
    ///
    /// # Safety
    /// `func` is a value that this engine gave for `Imm64::Func`, and the arguments are what
    /// the callback was verified with.
    pub unsafe fn reenter(&mut self, func: u64, args: [u64; 4]) -> u64 {
        match self.callback {
            // SAFETY: `self` is valid and unaliased; the rest by this function's contract.
            Some(f) => unsafe { f(self, func, args[0], args[1], args[2], args[3]) },
            None => 1,
        }
    }
}
