//! The block of memory that a program is given, as often as it is wanted unchanged.

/// Bytes at an address that is a multiple of eight and stays.
pub struct Memory {
    words: Box<[u64]>,
    input: Vec<u8>,
}

impl Memory {
    pub fn new(input: &[u8]) -> Memory {
        let mut memory = Memory {
            words: vec![0; input.len().div_ceil(8).max(1)].into_boxed_slice(),
            input: input.to_vec(),
        };
        memory.reset();
        memory
    }

    /// Makes it the input again.
    pub fn reset(&mut self) {
        // SAFETY: the words hold as many bytes as the input, and are not part of it.
        unsafe {
            std::ptr::copy_nonoverlapping(self.input.as_ptr(), self.address(), self.input.len());
        }
    }

    pub fn address(&mut self) -> *mut u8 {
        self.words.as_mut_ptr().cast()
    }

    pub fn len(&self) -> usize {
        self.input.len()
    }

    pub fn bytes(&self) -> &[u8] {
        // SAFETY: the words hold that many bytes, and any bytes are bytes.
        unsafe { std::slice::from_raw_parts(self.words.as_ptr().cast(), self.input.len()) }
    }
}
