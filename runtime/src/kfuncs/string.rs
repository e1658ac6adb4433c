//! Strings at any address: `bpf_strcmp`, `bpf_strlen`, `bpf_strchr`, `bpf_strspn`, `bpf_strstr` and their kin.
//!
//! Their pointers are nothing to the proof: each byte is read where the call or its environment has it, as Linux reads
//! the kernel's memory. What cannot be an address is `-ERANGE`, what cannot be read `-EFAULT`, and what has not ended
//! after [`LONGEST`] bytes `-E2BIG`.

use std::ffi::c_int;

use super::{Entry, entry};
use crate::helpers::err;
use crate::helpers::probe::no_kernel_address;
use crate::memory::Reader;
use crate::{Call, HelperFn};

const fn two(name: &'static str, function: HelperFn) -> Entry {
    entry(
        name,
        "int (const char *s1__ign, const char *s2__ign)",
        function,
    )
}

const fn one(name: &'static str, function: HelperFn) -> Entry {
    entry(name, "int (const char *s__ign, char c)", function)
}

pub(super) const ENTRIES: &[Entry] = &[
    two("bpf_strcmp", strcmp),
    two("bpf_strcasecmp", strcasecmp),
    two("bpf_strstr", strstr),
    one("bpf_strchr", strchr),
    one("bpf_strchrnul", strchrnul),
    entry(
        "bpf_strnchr",
        "int (const char *s__ign, size_t count, char c)",
        strnchr,
    ),
    entry("bpf_strrchr", "int (const char *s__ign, int c)", strrchr),
    entry("bpf_strlen", "int (const char *s__ign)", strlen),
    entry(
        "bpf_strnlen",
        "int (const char *s__ign, size_t count)",
        strnlen,
    ),
    entry(
        "bpf_strspn",
        "int (const char *s__ign, const char *accept__ign)",
        strspn,
    ),
    entry(
        "bpf_strcspn",
        "int (const char *s__ign, const char *reject__ign)",
        strcspn,
    ),
    entry(
        "bpf_strnstr",
        "int (const char *s1__ign, const char *s2__ign, size_t len)",
        strnstr,
    ),
];

/// `XATTR_SIZE_MAX`: bytes that are looked at.
const LONGEST: usize = 65536;

/// A number of bytes or a place, as the `int` that it is there; or an error number.
type Answer = Result<c_int, c_int>;

fn answer(given: Answer) -> u64 {
    match given {
        Ok(n) => i64::from(n) as u64,
        Err(errno) => err(errno),
    }
}

/// What stands at an address, byte by byte.
struct Text<'a> {
    reader: Reader<'a>,
    at: u64,
}

impl<'a> Text<'a> {
    fn new(call: &'a Call<'a>, at: u64) -> Result<Text<'a>, c_int> {
        if no_kernel_address(at) == libc::ERANGE {
            return Err(libc::ERANGE);
        }
        let reader = Reader::new(call);
        Ok(Text { reader, at })
    }

    fn byte(&mut self, n: usize) -> Result<u8, c_int> {
        let byte = self.reader.byte(self.at.wrapping_add(n as u64));
        byte.ok_or(libc::EFAULT)
    }

    /// Where `found` first says so, of as many bytes as `count` says at most: its answer, by the place and the byte there.
    fn find(
        &mut self,
        count: u64,
        mut found: impl FnMut(usize, u8) -> Option<Answer>,
        otherwise: impl FnOnce(usize) -> Answer,
    ) -> Answer {
        let most = usize::try_from(count).unwrap_or(LONGEST).min(LONGEST);
        for n in 0..most {
            if let Some(answer) = found(n, self.byte(n)?) {
                return answer;
            }
        }
        match most {
            LONGEST => Err(libc::E2BIG),
            n => otherwise(n),
        }
    }
}

fn place(n: usize) -> Option<Answer> {
    Some(Ok(n as c_int))
}

fn absent(_: usize) -> Answer {
    Err(libc::ENOENT)
}

/// Letters of ISO 8859-1 are one in either case, as the kernel's `tolower` has it.
fn lower(c: u8) -> u8 {
    match c {
        b'A'..=b'Z' | 0xc0..=0xd6 | 0xd8..=0xde => c + 32,
        _ => c,
    }
}

/// The kernel's `char`s have no sign.
fn compare(call: &Call<'_>, s1: u64, s2: u64, as_is: impl Fn(u8) -> u8) -> Answer {
    let (mut s1, mut s2) = (Text::new(call, s1)?, Text::new(call, s2)?);
    for n in 0..LONGEST {
        let (a, b) = (as_is(s1.byte(n)?), as_is(s2.byte(n)?));
        if a != b {
            return Ok(if a < b { -1 } else { 1 });
        }
        if a == 0 {
            return Ok(0);
        }
    }
    Err(libc::E2BIG)
}

fn position(call: &Call<'_>, s: u64, count: u64, c: u8) -> Answer {
    let at = |n, b| match b {
        b if b == c => place(n),
        0 => Some(absent(n)),
        _ => None,
    };
    Text::new(call, s)?.find(count, at, absent)
}

fn length(call: &Call<'_>, s: u64, count: u64) -> Answer {
    let end = |n, b| if b == 0 { place(n) } else { None };
    Text::new(call, s)?.find(count, end, |n| Ok(n as c_int))
}

/// The bytes of a set, read as far as they are asked for.
struct Set<'a> {
    text: Text<'a>,
    has: [bool; 256],
    read: usize,
    ended: bool,
}

impl Set<'_> {
    fn contains(&mut self, c: u8) -> Result<bool, c_int> {
        while !self.has[usize::from(c)] && !self.ended {
            if self.read == LONGEST {
                return Err(libc::E2BIG);
            }
            let b = self.text.byte(self.read)?;
            self.read += 1;
            match b {
                0 => self.ended = true,
                b => self.has[usize::from(b)] = true,
            }
        }
        Ok(self.has[usize::from(c)])
    }
}

/// How many bytes of `s` are in the set from its start on, or are not.
fn span(call: &Call<'_>, s: u64, set: u64, within: bool) -> Answer {
    let mut s = Text::new(call, s)?;
    let mut set = Set {
        text: Text::new(call, set)?,
        has: [false; 256],
        read: 0,
        ended: false,
    };
    for n in 0..LONGEST {
        let c = s.byte(n)?;
        if c == 0 || set.contains(c)? != within {
            return Ok(n as c_int);
        }
    }
    Err(libc::E2BIG)
}

/// Where `s2` starts in the first `len` bytes of `s1`.
fn search(call: &Call<'_>, s1: u64, s2: u64, len: u64) -> Answer {
    let len = usize::try_from(len).unwrap_or(usize::MAX);
    let (mut s1, mut s2) = (Text::new(call, s1)?, Text::new(call, s2)?);
    for from in 0..LONGEST {
        let mut n = 0;
        // One byte more of `s2` than fits is looked at: it may end there.
        while from + n <= len && n < LONGEST {
            let c = s2.byte(n)?;
            if c == 0 {
                return Ok(from as c_int);
            }
            if from + n == len {
                break;
            }
            match s1.byte(from + n)? {
                0 => return Err(libc::ENOENT),
                b if b != c => break,
                _ => n += 1,
            }
        }
        if n == LONGEST {
            return Err(libc::E2BIG);
        }
        if from + n == len {
            return Err(libc::ENOENT);
        }
    }
    Err(libc::E2BIG)
}

unsafe extern "C" fn strcmp(call: *mut Call<'_>, a: u64, b: u64, _: u64, _: u64, _: u64) -> u64 {
    // SAFETY: `call` is valid.
    answer(compare(unsafe { &*call }, a, b, |c| c))
}

unsafe extern "C" fn strcasecmp(
    call: *mut Call<'_>,
    a: u64,
    b: u64,
    _: u64,
    _: u64,
    _: u64,
) -> u64 {
    // SAFETY: `call` is valid.
    answer(compare(unsafe { &*call }, a, b, lower))
}

unsafe extern "C" fn strstr(call: *mut Call<'_>, a: u64, b: u64, _: u64, _: u64, _: u64) -> u64 {
    // SAFETY: `call` is valid.
    answer(search(unsafe { &*call }, a, b, LONGEST as u64))
}

unsafe extern "C" fn strnstr(call: *mut Call<'_>, a: u64, b: u64, len: u64, _: u64, _: u64) -> u64 {
    // SAFETY: `call` is valid.
    answer(search(unsafe { &*call }, a, b, len))
}

unsafe extern "C" fn strchr(call: *mut Call<'_>, s: u64, c: u64, _: u64, _: u64, _: u64) -> u64 {
    // SAFETY: `call` is valid.
    answer(position(unsafe { &*call }, s, LONGEST as u64, c as u8))
}

unsafe extern "C" fn strnchr(
    call: *mut Call<'_>,
    s: u64,
    count: u64,
    c: u64,
    _: u64,
    _: u64,
) -> u64 {
    // SAFETY: `call` is valid.
    answer(position(unsafe { &*call }, s, count, c as u8))
}

unsafe extern "C" fn strchrnul(call: *mut Call<'_>, s: u64, c: u64, _: u64, _: u64, _: u64) -> u64 {
    // SAFETY: `call` is valid.
    let text = Text::new(unsafe { &*call }, s);
    let at = |n, b| {
        if b == 0 || b == c as u8 {
            place(n)
        } else {
            None
        }
    };
    answer(text.and_then(|mut t| t.find(LONGEST as u64, at, absent)))
}

unsafe extern "C" fn strrchr(call: *mut Call<'_>, s: u64, c: u64, _: u64, _: u64, _: u64) -> u64 {
    let mut last = Err(libc::ENOENT);
    let at = |n, b: u8| {
        // It is handed an `int`, all of which counts.
        if c_int::from(b) == c as c_int {
            last = Ok(n as c_int);
        }
        (b == 0).then_some(last)
    };
    // SAFETY: `call` is valid.
    let text = Text::new(unsafe { &*call }, s);
    answer(text.and_then(|mut t| t.find(LONGEST as u64, at, absent)))
}

unsafe extern "C" fn strlen(call: *mut Call<'_>, s: u64, _: u64, _: u64, _: u64, _: u64) -> u64 {
    // SAFETY: `call` is valid.
    answer(length(unsafe { &*call }, s, LONGEST as u64))
}

unsafe extern "C" fn strnlen(
    call: *mut Call<'_>,
    s: u64,
    count: u64,
    _: u64,
    _: u64,
    _: u64,
) -> u64 {
    // SAFETY: `call` is valid.
    answer(length(unsafe { &*call }, s, count))
}

unsafe extern "C" fn strspn(call: *mut Call<'_>, s: u64, set: u64, _: u64, _: u64, _: u64) -> u64 {
    // SAFETY: `call` is valid.
    answer(span(unsafe { &*call }, s, set, true))
}

unsafe extern "C" fn strcspn(call: *mut Call<'_>, s: u64, set: u64, _: u64, _: u64, _: u64) -> u64 {
    // SAFETY: `call` is valid.
    answer(span(unsafe { &*call }, s, set, false))
}
