//! Helpers that format: `snprintf`, `trace_printk`, `trace_vprintk`.

use super::probe::{read, read_string};
use super::{Entry, bytes, c_string, entry, env, err, write};
use crate::{Call, Space};

pub(super) const ENTRIES: &[Entry] = &[
    entry(6, "trace_printk", trace_printk),
    entry(165, "snprintf", snprintf),
    entry(177, "trace_vprintk", trace_vprintk),
];

/// Longest text, as in Linux.
const MAX_TEXT: usize = 1024;
/// Longest string of `%s`.
const MAX_STRING: usize = 512;
const MAX_ARGS: usize = 12;

unsafe extern "C" fn trace_printk(
    call: *mut Call<'_>,
    fmt: u64,
    size: u64,
    r3: u64,
    r4: u64,
    r5: u64,
) -> u64 {
    // SAFETY: `call` is valid; the row promises `size` readable bytes.
    unsafe { trace(call, &bytes(fmt, size as u32 as u64), &[r3, r4, r5]) }
}

unsafe extern "C" fn trace_vprintk(
    call: *mut Call<'_>,
    fmt: u64,
    size: u64,
    data: u64,
    len: u64,
    _: u64,
) -> u64 {
    // SAFETY: `call` is valid; the row promises `size` and `len` readable bytes.
    unsafe {
        match words(data, len) {
            Some(args) => trace(call, &bytes(fmt, size as u32 as u64), &args),
            None => err(libc::EINVAL),
        }
    }
}

unsafe extern "C" fn snprintf(
    call: *mut Call<'_>,
    to: u64,
    size: u64,
    fmt: u64,
    data: u64,
    len: u64,
) -> u64 {
    // SAFETY: `call` is valid; the row promises room, a constant string and readable bytes.
    unsafe {
        let Some(args) = words(data, len) else {
            return err(libc::EINVAL);
        };
        let text = match format(&*call, c_string(fmt), &args) {
            Ok(text) => text,
            Err(errno) => return err(errno),
        };
        let size = size as u32 as usize;
        if size > 0 && to != 0 {
            let n = text.len().min(size - 1);
            write(to, &text[..n]);
            write(to + n as u64, &[0]);
        }
        text.len() as u64 + 1
    }
}

/// # Safety
/// `data` is readable for `len` bytes.
unsafe fn words(data: u64, len: u64) -> Option<Vec<u64>> {
    let len = u64::from(len as u32);
    if !len.is_multiple_of(8) || len as usize > MAX_ARGS * 8 || (len != 0 && data == 0) {
        return None;
    }
    // SAFETY: by the contract.
    let raw = unsafe { bytes(data, len) };
    Some(
        raw.chunks_exact(8)
            .map(|c| u64::from_ne_bytes(c.try_into().unwrap_or_default()))
            .collect(),
    )
}

/// # Safety
/// `call` is valid.
unsafe fn trace(call: *mut Call<'_>, fmt: &[u8], args: &[u64]) -> u64 {
    let Some(end) = fmt.iter().position(|b| *b == 0) else {
        return err(libc::EINVAL);
    };
    // SAFETY: by the contract.
    unsafe {
        match format(&*call, &fmt[..end], args) {
            Ok(mut text) => {
                text.truncate(MAX_TEXT - 1);
                let len = text.len() as u64;
                while text.last() == Some(&b'\n') {
                    text.pop();
                }
                env(call).trace(&text);
                len
            }
            Err(errno) => err(errno),
        }
    }
}

/// One conversion of a format.
#[derive(Default)]
struct Conversion {
    left: bool,
    zero: bool,
    width: usize,
    /// `l`, `ll`, `z`, `j` or `t`: 64 bits; otherwise 32.
    long: bool,
    /// `h` and `hh`: 16 and 8 bits.
    short: u32,
    alternate: bool,
}

/// The text of a format with its arguments, as Linux's `bstr_printf` makes it, or an error number.
fn format(call: &Call<'_>, fmt: &[u8], args: &[u64]) -> Result<Vec<u8>, i32> {
    let mut out = Vec::new();
    let mut args = args.iter().copied();
    let mut it = fmt.iter().copied().peekable();
    while let Some(c) = it.next() {
        if !c.is_ascii() {
            return Err(libc::EINVAL);
        }
        if c != b'%' {
            out.push(c);
            continue;
        }
        if it.peek() == Some(&b'%') {
            it.next();
            out.push(b'%');
            continue;
        }
        let mut conv = Conversion::default();
        while let Some(flag) = it.next_if(|c| matches!(c, b'0' | b'+' | b'-' | b' ' | b'#')) {
            match flag {
                b'-' => conv.left = true,
                b'0' => conv.zero = true,
                b'#' => conv.alternate = true,
                _ => {}
            }
        }
        while let Some(d) = it.next_if(u8::is_ascii_digit) {
            conv.width = (conv.width * 10 + usize::from(d - b'0')).min(MAX_TEXT);
        }
        while let Some(l) = it.next_if(|c| matches!(c, b'l' | b'h' | b'z' | b'j' | b't')) {
            if l == b'h' {
                conv.short += 1
            } else {
                conv.long = true
            }
        }
        let Some(kind) = it.next() else {
            return Err(libc::EINVAL);
        };
        let mut take = || args.next().ok_or(libc::EINVAL);
        let text = match kind {
            b'd' | b'i' => {
                let v = sized(&conv, take()?, true) as i64;
                pad_number(&conv, v < 0, v.unsigned_abs().to_string())
            }
            b'u' => pad_number(&conv, false, sized(&conv, take()?, false).to_string()),
            b'x' | b'X' => {
                let v = sized(&conv, take()?, false);
                let digits = if kind == b'x' {
                    format!("{v:x}")
                } else {
                    format!("{v:X}")
                };
                pad_number(
                    &conv,
                    false,
                    if conv.alternate {
                        format!("0{}{digits}", kind as char)
                    } else {
                        digits
                    },
                )
            }
            b'c' => pad(&conv, vec![take()? as u8]),
            b's' => pad(&conv, string(call, Space::Kernel, take()?)),
            b'p' => {
                let rest = (it.peek().copied(), take()?);
                pointer(call, &conv, rest.0, rest.1, &mut it)?
            }
            _ => return Err(libc::EINVAL),
        };
        out.extend(text);
        if out.len() > 4 * MAX_TEXT {
            return Err(libc::ENOSPC);
        }
    }
    Ok(out)
}

fn sized(conv: &Conversion, v: u64, signed: bool) -> u64 {
    match (conv.long, conv.short, signed) {
        (true, _, _) => v,
        (false, 0, true) => v as i32 as u64,
        (false, 0, false) => u64::from(v as u32),
        (false, 1, true) => v as i16 as u64,
        (false, 1, false) => u64::from(v as u16),
        (false, _, true) => v as i8 as u64,
        (false, _, false) => u64::from(v as u8),
    }
}

fn pad_number(conv: &Conversion, negative: bool, digits: String) -> Vec<u8> {
    let sign = if negative { "-" } else { "" };
    if conv.zero && !conv.left {
        let width = conv.width.saturating_sub(sign.len());
        return format!("{sign}{digits:0>width$}").into_bytes();
    }
    pad(conv, format!("{sign}{digits}").into_bytes())
}

fn pad(conv: &Conversion, mut text: Vec<u8>) -> Vec<u8> {
    let missing = conv.width.saturating_sub(text.len());
    if conv.left {
        text.extend(std::iter::repeat_n(b' ', missing));
        text
    } else {
        std::iter::repeat_n(b' ', missing).chain(text).collect()
    }
}

fn string(call: &Call<'_>, space: Space, address: u64) -> Vec<u8> {
    // What cannot be read is empty, as in Linux.
    read_string(call, space, address, MAX_STRING)
        .map(|s| s.0)
        .unwrap_or_default()
}

/// `%p` and what may follow it.
fn pointer(
    call: &Call<'_>,
    conv: &Conversion,
    next: Option<u8>,
    v: u64,
    it: &mut std::iter::Peekable<impl Iterator<Item = u8>>,
) -> Result<Vec<u8>, i32> {
    match next {
        // Strings of the kernel and of the user (`%pks`, `%pus`), addresses as symbols (no symbols here), raw ones.
        Some(space @ (b'k' | b'u')) => {
            it.next();
            if it.next_if_eq(&b's').is_none() {
                return Err(libc::EINVAL);
            }
            Ok(pad(
                conv,
                string(
                    call,
                    if space == b'k' {
                        Space::Kernel
                    } else {
                        Space::User
                    },
                    v,
                ),
            ))
        }
        Some(b'i' | b'I') => {
            let padded = it.next() == Some(b'i');
            let family = it.next();
            let mut a = [0u8; 16];
            let len = match family {
                Some(b'4') => 4,
                Some(b'6') => 16,
                _ => return Err(libc::EINVAL),
            };
            if !read(call, Space::Kernel, v, &mut a[..len]) {
                a = [0; 16];
            }
            let text = match (len, padded) {
                (4, false) => format!("{}.{}.{}.{}", a[0], a[1], a[2], a[3]),
                (4, true) => format!("{:03}.{:03}.{:03}.{:03}", a[0], a[1], a[2], a[3]),
                (_, true) => a.iter().map(|b| format!("{b:02x}")).collect(),
                (_, false) => a
                    .chunks_exact(2)
                    .map(|c| format!("{:02x}{:02x}", c[0], c[1]))
                    .collect::<Vec<_>>()
                    .join(":"),
            };
            Ok(pad(conv, text.into_bytes()))
        }
        Some(b's' | b'S' | b'B') => {
            it.next();
            Ok(pad(conv, format!("0x{v:x}").into_bytes()))
        }
        Some(b'x' | b'K') => {
            it.next();
            Ok(pad(conv, format!("{v:016x}").into_bytes()))
        }
        Some(c) if c.is_ascii_alphanumeric() => Err(libc::EINVAL),
        _ => Ok(pad(conv, format!("{v:016x}").into_bytes())),
    }
}
