//! C source → bytecode of memory and length → rbpf's compilers.

use std::hint::black_box;
use std::time::Duration;

use rbpf::EbpfVmMbuff;

use crate::memory::Memory;
use crate::source::{Shape, bytecode};
use crate::{Answer, Function, Prepared, Subject, Tools, clock, timed};

const COMPILATIONS: usize = 5;

pub fn jit(subject: &Subject, tools: &Tools) -> Prepared {
    prepare(subject, tools, false)
}

pub fn cranelift(subject: &Subject, tools: &Tools) -> Prepared {
    prepare(subject, tools, true)
}

fn prepare(subject: &Subject, tools: &Tools, cranelift: bool) -> Prepared {
    let code = bytecode(subject, tools, Shape::Memory)?;
    // Its machines borrow their programs, and this one lives as long as the measurement: to the end.
    let code: &'static [u8] = code.leak();
    let (vm, took) = timed(COMPILATIONS, &tools.gauge, || {
        let mut vm = EbpfVmMbuff::new(Some(code)).map_err(|e| e.to_string())?;
        match cranelift {
            true => vm.cranelift_compile(),
            false => vm.jit_compile(),
        }
        .map_err(|e| e.to_string())?;
        Ok(vm)
    })?;
    let memory = Memory::new(&subject.input);
    let function = Rbpf {
        vm,
        memory,
        cranelift,
    };
    Ok((Box::new(function), took))
}

struct Rbpf {
    vm: EbpfVmMbuff<'static>,
    memory: Memory,
    cranelift: bool,
}

impl Rbpf {
    /// The memory goes as the buffer of a packet's metadata: of that both compilers hand on address and length, of a packet
    /// one of them the address only.
    #[inline(always)]
    fn call(&mut self, cranelift: bool) -> Result<u64, String> {
        let (at, len) = (self.memory.address(), self.memory.len());
        // SAFETY: the memory is there as long as `self`, and the machine keeps no reference once a call is over.
        let memory: &'static mut [u8] = unsafe { std::slice::from_raw_parts_mut(at, len) };
        let called = match cranelift {
            true => self.vm.execute_program_cranelift(&mut [], memory),
            // SAFETY: the program is one of `bench.h`, which our verifier accepts in its shape for packets.
            false => unsafe { self.vm.execute_program_jit(&mut [], memory) },
        };
        called.map_err(|e| e.to_string())
    }
}

impl Function for Rbpf {
    fn once(&mut self) -> Result<Answer, String> {
        self.memory.reset();
        let ret = self.call(self.cranelift)? as u32;
        let memory = self.memory.bytes().to_vec();
        Ok(Answer { ret, memory })
    }

    fn batch(&mut self, runs: u64) -> Result<Duration, String> {
        let mut failed = false;
        let took = match self.cranelift {
            true => clock::batch(runs, || failed |= black_box(self.call(true)).is_err()),
            false => clock::batch(runs, || failed |= black_box(self.call(false)).is_err()),
        };
        match failed {
            true => Err("a call failed".into()),
            false => Ok(took),
        }
    }
}
