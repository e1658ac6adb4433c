//! Functions of the host that extensions call, and what they are given: [`Call`], [`Input`], [`Output`].
//!
//! **Invariant:** memory of an extension is copied, never lent as a slice: other threads may be writing it,
//! and two arguments may be the same bytes.
//!
//! **Invariant:** a function that panics gives `-EFAULT` to the extension; no panic crosses into compiled code.

use std::any::{Any, TypeId};
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};

use probity_runtime::{HelperFn, kfuncs, shared};

/// A host's function. `#[function]` implements it for a type with the function's name.
pub trait HostFunction {
    const NAME: &'static str;
    /// Result and parameters in C.
    const DECLARATION: &'static str;
    const DOC: &'static str;
    #[doc(hidden)]
    const SHIM: HelperFn;
}

/// A host's function as the runtime binds it.
pub(crate) fn entry<F: HostFunction>() -> kfuncs::Entry {
    kfuncs::Entry {
        name: F::NAME,
        declaration: F::DECLARATION,
        function: F::SHIM,
    }
}

/// The call of an extension that called a function.
pub struct Call<'a> {
    raw: *const probity_runtime::Call<'a>,
    borrowed: PhantomData<&'a mut ()>,
}

impl<'a> Call<'a> {
    #[inline]
    fn raw(&self) -> &probity_runtime::Call<'a> {
        // SAFETY: made by `guarded` of a call that waits for the function to return, and changes nothing until then.
        unsafe { &*self.raw }
    }

    /// What the host lent with [`crate::Caller::call_with`], if it is of this type.
    #[inline]
    pub fn data<D: Any>(&mut self) -> Option<&mut D> {
        let at = of::<D>(self.raw().lent_by_host().data)?;
        // SAFETY: `Caller::call_with` lends a value of the type that the id names for as long as the extension runs,
        // and holds the only other reference to it; this one ends with the borrow of `self`.
        Some(unsafe { &mut *at })
    }

    /// What the caller was made with ([`crate::Hook::caller_with`]), if it is of this type.
    #[inline]
    pub fn state<S: Any>(&mut self) -> Option<&mut S> {
        let at = of::<S>(self.raw().lent_by_host().state)?;
        // SAFETY: as for `data`: it is the caller's own, which waits for the extension.
        Some(unsafe { &mut *at })
    }

    /// [`Call::data`] and [`Call::state`] at once.
    #[inline]
    pub fn data_and_state<D: Any, S: Any>(&mut self) -> Option<(&mut D, &mut S)> {
        let lent = self.raw().lent_by_host();
        let (data, state) = (of::<D>(lent.data)?, of::<S>(lent.state)?);
        // SAFETY: as above; the caller had references to both, so they are not the same bytes.
        Some(unsafe { (&mut *data, &mut *state) })
    }

    /// A copy of the packet that the extension was called with; empty where there is none.
    pub fn packet(&self) -> Vec<u8> {
        self.raw().packet()
    }

    /// The number of the caller, by which maps of each CPU are told apart.
    pub fn cpu(&self) -> u64 {
        self.raw().cpu
    }
}

/// A lent value of this type.
#[inline]
fn of<T: Any>(lent: Option<(TypeId, *mut ())>) -> Option<*mut T> {
    let (id, at) = lent?;
    (id == TypeId::of::<T>()).then_some(at.cast())
}

/// Memory that an extension hands over to be read.
pub struct Input<'a> {
    address: u64,
    len: usize,
    borrowed: PhantomData<&'a [u8]>,
}

impl Input<'_> {
    /// # Safety
    /// The extension was proved to hand over `size` readable bytes at `address`.
    #[doc(hidden)]
    #[inline]
    pub unsafe fn new(address: u64, size: u64) -> Self {
        Input {
            address,
            len: size as u32 as usize,
            borrowed: PhantomData,
        }
    }

    /// Bytes.
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Copies as much as fits, and says how much.
    #[inline]
    pub fn read<'b>(&self, out: &'b mut [u8]) -> &'b [u8] {
        let n = self.len.min(out.len());
        let (out, _) = out.split_at_mut(n);
        // SAFETY: by the contract of `new`.
        unsafe { shared::read(self.address, out) };
        out
    }

    /// Whether it is these bytes now.
    #[inline]
    pub fn is(&self, bytes: &[u8]) -> bool {
        // SAFETY: by the contract of `new`; the length is the same.
        self.len == bytes.len() && unsafe { shared::same(self.address, bytes) }
    }

    pub fn to_vec(&self) -> Vec<u8> {
        let mut bytes = vec![0; self.len];
        self.read(&mut bytes);
        bytes
    }
}

/// Memory that an extension hands over to be written. What is not written is zero.
pub struct Output<'a> {
    address: u64,
    len: usize,
    written: usize,
    borrowed: PhantomData<&'a mut [u8]>,
}

impl Output<'_> {
    /// # Safety
    /// The extension was proved to hand over `size` writable bytes at `address`.
    #[doc(hidden)]
    #[inline]
    pub unsafe fn new(address: u64, size: u64) -> Self {
        Output {
            address,
            len: size as u32 as usize,
            written: 0,
            borrowed: PhantomData,
        }
    }

    /// Bytes that there is room for.
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Writes as much as fits behind what was written before, and says how much.
    #[inline]
    pub fn write(&mut self, bytes: &[u8]) -> usize {
        let n = bytes.len().min(self.len - self.written);
        let (bytes, _) = bytes.split_at(n);
        // SAFETY: by the contract of `new`; `written + n` is at most `len`.
        unsafe { shared::write(self.address.wrapping_add(self.written as u64), bytes) };
        self.written += n;
        n
    }
}

impl Drop for Output<'_> {
    /// The proof takes all of it for written.
    #[inline]
    fn drop(&mut self) {
        let rest = self.len - self.written;
        // SAFETY: as in `write`.
        unsafe { shared::zero(self.address.wrapping_add(self.written as u64), rest) };
    }
}

/// What an extension gets when a function panics: `-EFAULT`.
const PANICKED: u64 = -14i64 as u64;

/// Calls a function for a shim.
///
/// # Safety
/// `call` is what an engine gave to the shim.
#[doc(hidden)]
#[inline]
pub unsafe fn guarded(
    call: *mut probity_runtime::Call<'_>,
    function: impl FnOnce(&mut Call<'_>) -> u64,
) -> u64 {
    let mut call = Call {
        raw: call.cast(),
        borrowed: PhantomData,
    };
    catch_unwind(AssertUnwindSafe(|| function(&mut call))).unwrap_or(PANICKED)
}
