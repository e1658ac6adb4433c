//! Values ⇄ the one sequence of bytes that stands for them, which is what is signed.
//!
//! - A number is 8 bytes, little-endian.
//! - Bytes and text (UTF-8) are their length, a number, and then themselves.
//! - A list is the number of its elements, and then those, in the order in which they are given;
//!   where order says nothing they ascend strictly by name, compared as bytes.
//! - What may be absent is a byte, 0 or 1, and after 1 the value.
//! - A structure is its fields, in one order, without anything between them.
//!
//! So no two values have the same bytes, and none is the beginning of another of the same shape.
//!
//! **Invariant:** reading allocates no more than the bytes it reads from; whoever reads a whole
//! value encodes it again and compares, so no value is read from two sequences of bytes.

use crate::Error;

#[derive(Default)]
pub(crate) struct Writer {
    pub bytes: Vec<u8>,
}

impl Writer {
    pub fn number(&mut self, n: u64) {
        self.bytes.extend_from_slice(&n.to_le_bytes());
    }

    pub fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.bytes.extend_from_slice(bytes);
    }

    pub fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    pub fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    pub fn optional(&mut self, n: Option<u64>) {
        self.bytes.push(n.is_some().into());
        if let Some(n) = n {
            self.number(n);
        }
    }

    pub fn list<T>(
        &mut self,
        items: impl ExactSizeIterator<Item = T>,
        mut one: impl FnMut(&mut Writer, T),
    ) {
        self.number(items.len() as u64);
        for item in items {
            one(self, item);
        }
    }

    pub fn texts(&mut self, texts: &[String]) {
        self.list(texts.iter(), |w, t| w.text(t));
    }
}

pub(crate) struct Reader<'a> {
    rest: &'a [u8],
    /// What is being read, for messages.
    pub place: &'static str,
}

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8], place: &'static str) -> Reader<'a> {
        Reader { rest: bytes, place }
    }

    pub fn error(&self, what: impl Into<String>) -> Error {
        Error::malformed(self.place, what)
    }

    pub fn raw(&mut self, len: usize) -> Result<&'a [u8], Error> {
        let Some((taken, rest)) = self.rest.split_at_checked(len) else {
            return Err(self.error("it ends too early"));
        };
        self.rest = rest;
        Ok(taken)
    }

    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let mut array = [0; N];
        array.copy_from_slice(self.raw(N)?);
        Ok(array)
    }

    pub fn number(&mut self) -> Result<u64, Error> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    pub fn small(&mut self) -> Result<u32, Error> {
        u32::try_from(self.number()?).map_err(|_| self.error("a number is too large"))
    }

    fn length(&mut self) -> Result<usize, Error> {
        let n = self.number()?;
        match usize::try_from(n) {
            Ok(n) if n <= self.rest.len() => Ok(n),
            _ => Err(self.error(format!(
                "a length of {n} where {} bytes are left",
                self.rest.len()
            ))),
        }
    }

    pub fn bytes(&mut self) -> Result<&'a [u8], Error> {
        let len = self.length()?;
        self.raw(len)
    }

    pub fn text(&mut self) -> Result<String, Error> {
        let bytes = self.bytes()?;
        match std::str::from_utf8(bytes) {
            Ok(text) => Ok(text.to_owned()),
            Err(_) => Err(self.error("a text is not UTF-8")),
        }
    }

    pub fn flag(&mut self) -> Result<bool, Error> {
        match self.raw(1)? {
            [0] => Ok(false),
            [1] => Ok(true),
            other => Err(self.error(format!("{other:?} instead of 0 or 1"))),
        }
    }

    pub fn optional(&mut self) -> Result<Option<u64>, Error> {
        Ok(match self.flag()? {
            true => Some(self.number()?),
            false => None,
        })
    }

    /// Each element has a byte at least.
    pub fn list<T>(
        &mut self,
        mut one: impl FnMut(&mut Reader<'a>) -> Result<T, Error>,
    ) -> Result<Vec<T>, Error> {
        let len = self.length()?;
        let mut items = Vec::new();
        for _ in 0..len {
            items.push(one(self)?);
        }
        Ok(items)
    }

    pub fn texts(&mut self) -> Result<Vec<String>, Error> {
        self.list(|r| r.text())
    }

    pub fn end(&self) -> Result<(), Error> {
        match self.rest {
            [] => Ok(()),
            rest => Err(self.error(format!("{} bytes too many", rest.len()))),
        }
    }
}
