//! C source → a function in a shared library of this process.

use std::ffi::{CString, c_void};
use std::hint::black_box;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

use crate::clock;
use crate::memory::Memory;
use crate::source::Shape;
use crate::{Answer, Function, Prepared, Subject, Tools};

/// `u64 name(u8 *data, u64 length)`.
type Entry = unsafe extern "C" fn(*mut u8, u64) -> u64;

pub fn prepare(subject: &Subject, tools: &Tools, shape: Shape) -> Prepared {
    let source = subject.source.as_ref().ok_or("it has no source in C")?;
    let (file, took) = tools.compile(source, shape)?;
    let library = Library::open(&file)?;
    let entry = library.find(&source.name)?;
    let native = Native {
        entry,
        memory: Memory::new(&subject.input),
        _library: library,
    };
    Ok((Box::new(native), took))
}

struct Native {
    entry: Entry,
    memory: Memory,
    _library: Library,
}

impl Native {
    fn call(&mut self) -> u64 {
        let (at, len) = (self.memory.address(), self.memory.len() as u64);
        // SAFETY: the function is one of `bench.h`, compiled from a source that is trusted as any code that a person
        // builds and runs; it touches what lies between `at` and `at + len`.
        unsafe { (self.entry)(black_box(at), black_box(len)) }
    }
}

impl Function for Native {
    fn once(&mut self) -> Result<Answer, String> {
        self.memory.reset();
        let ret = self.call() as u32;
        let memory = self.memory.bytes().to_vec();
        Ok(Answer { ret, memory })
    }

    fn batch(&mut self, runs: u64) -> Result<Duration, String> {
        Ok(clock::batch(runs, || {
            black_box(self.call());
        }))
    }
}

struct Library(*mut c_void);

impl Library {
    fn open(file: &Path) -> Result<Library, String> {
        let name = CString::new(file.as_os_str().as_bytes()).map_err(|e| e.to_string())?;
        // SAFETY: the name ends with a NUL; the library was just built and has no initialisers.
        let handle = unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
        match handle.is_null() {
            true => Err(format!("{} cannot be loaded", file.display())),
            false => Ok(Library(handle)),
        }
    }

    fn find(&self, function: &str) -> Result<Entry, String> {
        let name = CString::new(function).map_err(|e| e.to_string())?;
        // SAFETY: the handle is open and the name ends with a NUL.
        let address = unsafe { libc::dlsym(self.0, name.as_ptr()) };
        if address.is_null() {
            return Err(format!("there is no function `{function}`"));
        }
        // SAFETY: functions of `bench.h` have this signature.
        Ok(unsafe { std::mem::transmute::<*mut c_void, Entry>(address) })
    }
}

impl Drop for Library {
    fn drop(&mut self) {
        // SAFETY: the handle is open; whoever holds a function of it holds it too.
        unsafe { libc::dlclose(self.0) };
    }
}
