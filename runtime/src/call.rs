//! The state of one call: what helpers and compiled code are handed a pointer to.
//!
//! # What engines and helpers agree on
//!
//! - A helper is a [`HelperFn`]; [`crate::Instance::helper`] binds a number to it once. It is
//!   called with the pointer to [`Call`] and r1 to r5 and gives r0.
//! - A helper with callbacks calls [`Call::reenter`] with the value that `Imm64::Func` gave the
//!   program, whatever the engine chose for it (a slot, an address).
//! - A successful `tail_call` sets [`Call::next`] to a program's index and returns 0; otherwise
//!   `next` is [`NO_PROGRAM`] and r0 an error. After each call of a helper whose row says
//!   `may_not_return`, an engine looks at `next`; when it is set, it puts [`NO_PROGRAM`] back and
//!   goes on with that program, r1 being [`Call::ctx`], in place of the function that was running
//!   (a subprogram's caller gets the program's r0).
//! - A kernel function that throws ([`crate::BoundKfunc::throws`]) sets [`Call::thrown`] and leaves the cookie. The
//!   engine gives up the functions of the program that is running, up to and with its main one, which gives what the
//!   program's exception callback ([`crate::Program::exception_callback`]) gives for the cookie, or else the cookie.
//!   Callbacks do not throw: that is proved.

use std::marker::PhantomData;
use std::mem::{MaybeUninit, offset_of};

use crate::timers::Later;
use crate::{Context, Env, Fault, FaultKind, Instance, Watch};

/// [`Call::next`] when no tail call is under way.
pub const NO_PROGRAM: u64 = u64::MAX;

/// Tail calls in one call, as in Linux.
pub const MAX_TAIL_CALLS: u64 = 33;

/// A helper. `call` is valid and unaliased for the duration; arguments are as the helper's row demands.
pub type HelperFn =
    unsafe extern "C" fn(call: *mut Call<'_>, r1: u64, r2: u64, r3: u64, r4: u64, r5: u64) -> u64;

/// Calls a subprogram of the running program on behalf of a helper.
pub type ReenterFn =
    unsafe extern "C" fn(call: *mut Call<'_>, func: u64, r1: u64, r2: u64, r3: u64, r4: u64) -> u64;

/// One call of a program. Its first fields have fixed offsets for compiled code.
#[repr(C)]
pub struct Call<'a> {
    /// Index into per-CPU maps; below the instance's number of CPUs.
    pub cpu: u64,
    /// Address of the context's first byte: r1.
    pub ctx: u64,
    /// Tail calls so far.
    pub tail_calls: u64,
    /// Program that a successful tail call goes on with, or [`NO_PROGRAM`].
    pub next: u64,
    /// 1 while an exception unwinds the program, otherwise 0.
    pub(crate) thrown: u64,
    /// What was thrown, while it is.
    pub(crate) cookie: MaybeUninit<u64>,
    /// How helpers call back; engines set it before programs with callbacks run.
    pub callback: Option<ReenterFn>,
    /// The engine's own, for `callback`.
    pub engine: *mut (),
    /// When it is to end by the clock.
    pub watch: Watch,
    /// Address and length of a key that a helper lends to its callback.
    pub(crate) lent: (u64, u64),
    /// `enum bpf_prog_type`.
    pub(crate) kind: u32,
    /// [`Instance::engine_id`] of the engine, which sets it where it sets `callback`: whose the functions are that programs hand to helpers.
    pub owner: u64,
    /// Address of the timer whose callback this is.
    pub(crate) timer: u64,
    instance: &'a Instance,
    /// What `ctx` points into; helpers ask it for what few of them need.
    context: *const Context,
    borrowed: PhantomData<&'a mut Context>,
}

/// What all calls of one program on one CPU have in common, checked once.
///
/// An engine keeps one where a program is called often: [`Prepared::call`] then only compares the
/// context's size, and fills in what differs from call to call.
#[derive(Clone, Copy)]
pub struct Prepared<'a> {
    instance: &'a Instance,
    cpu: u64,
    kind: u32,
    /// Bytes that a context must have at least.
    context_size: usize,
    callback: Option<ReenterFn>,
    owner: u64,
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
    pub fn call<'c>(&self, ctx: &'c mut Context) -> Option<Call<'c>>
    where
        'a: 'c,
    {
        if ctx.size() < self.context_size {
            return None;
        }
        ctx.prepare();
        Some(Call {
            cpu: self.cpu,
            ctx: ctx.address(),
            tail_calls: 0,
            next: NO_PROGRAM,
            thrown: 0,
            cookie: MaybeUninit::uninit(),
            callback: self.callback,
            engine: std::ptr::null_mut(),
            watch: Watch::default(),
            lent: (0, 0),
            kind: self.kind,
            owner: self.owner,
            timer: 0,
            instance: self.instance,
            context: std::ptr::from_ref(ctx),
            borrowed: PhantomData,
        })
    }
}

impl Call<'_> {
    pub const CPU: i32 = offset_of!(Call, cpu) as i32;
    pub const CTX: i32 = offset_of!(Call, ctx) as i32;
    pub const TAIL_CALLS: i32 = offset_of!(Call, tail_calls) as i32;
    pub const NEXT: i32 = offset_of!(Call, next) as i32;
    pub const DEADLINE: i32 = offset_of!(Call, watch.deadline) as i32;
    pub const HELD: i32 = offset_of!(Call, watch.held) as i32;
    pub const ENDED: i32 = offset_of!(Call, watch.ended) as i32;
    pub const THROWN: i32 = offset_of!(Call, thrown) as i32;
    pub const COOKIE: i32 = offset_of!(Call, cookie) as i32;
}

impl<'a> Call<'a> {
    /// Prepares a call of `program`.
    pub fn new(
        instance: &'a Instance,
        program: usize,
        ctx: &'a mut Context,
        cpu: usize,
    ) -> Result<Call<'a>, Fault> {
        let prepared = Prepared::new(instance, program, cpu, None)?;
        let call = prepared.call(ctx);
        call.ok_or(Fault::new(program, 0, FaultKind::Context))
    }

    fn context(&self) -> &Context {
        // SAFETY: the context is borrowed for as long as the call lives, and neither moved nor
        // changed meanwhile: programs and helpers write the memory that it owns, not itself.
        unsafe { &*self.context }
    }

    /// Byte offset of the context's field that holds the packet's length, where it has one.
    pub(crate) fn length_at(&self) -> Option<u64> {
        self.context().length_at().map(|n| n as u64)
    }

    pub(crate) fn ctx_size(&self) -> u64 {
        self.context().size() as u64
    }

    /// Prepares the call of a function that helpers were asked to call later; its context is not a program's.
    pub fn later(
        instance: &'a Instance,
        later: &Later,
        ctx: &'a mut Context,
        cpu: usize,
    ) -> Result<Call<'a>, Fault> {
        if cpu >= instance.cpus() {
            return Err(Fault::new(0, 0, FaultKind::NoCpu));
        }
        ctx.prepare();
        Ok(Call {
            cpu: cpu as u64,
            ctx: ctx.address(),
            tail_calls: 0,
            next: NO_PROGRAM,
            thrown: 0,
            cookie: MaybeUninit::uninit(),
            callback: None,
            engine: std::ptr::null_mut(),
            watch: Watch::default(),
            kind: 0,
            lent: (later.args[1], later.key_len),
            owner: later.callback.engine,
            timer: later.timer,
            instance,
            context: std::ptr::from_ref(ctx),
            borrowed: PhantomData,
        })
    }

    pub fn instance(&self) -> &'a Instance {
        self.instance
    }

    /// Surroundings: those of the context, or else of the instance.
    pub fn env(&self) -> &'a dyn Env {
        // SAFETY: as for `context`; the context is borrowed for 'a and owns its surroundings.
        let context: &'a Context = unsafe { &*self.context };
        context.env().unwrap_or_else(|| self.instance.env())
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
