//! [`Instance`] → the reference engine: the executable meaning of the bytecode, every access checked.
//!
//! **Invariant:** nothing that a program does is trusted: a mistake of the verifier becomes a
//! [`Fault`], never undefined behaviour. There is no `unsafe` here.
//!
//! **Invariant:** maps, helpers and memory are those of `runtime`, so that the engines differ
//! only in how instructions execute.

#![forbid(unsafe_code)]

mod alu;
mod code;
mod machine;

use std::sync::{Arc, Mutex};

use probity_isa::Pc;
use probity_runtime::{Call, Context, Engine, Fault, FaultKind, Instance, Memory, Outcome};

use code::Code;
use machine::{MAX_FRAMES, Machine};

/// The interpreter of one instance.
pub struct Interp {
    instance: Arc<Instance>,
    code: Vec<Code>,
    limit: u64,
    /// Memories of calls that have ended.
    memories: Mutex<Vec<Memory>>,
}

/// Sees each instruction before it executes.
pub trait Observer {
    /// `regs` are r0 to r10.
    fn step(&mut self, program: usize, pc: Pc, regs: &[u64; 11]);
}

/// Sees nothing, at no cost.
impl Observer for () {
    #[inline]
    fn step(&mut self, _program: usize, _pc: Pc, _regs: &[u64; 11]) {}
}

impl<F: FnMut(usize, Pc, &[u64; 11])> Observer for F {
    fn step(&mut self, program: usize, pc: Pc, regs: &[u64; 11]) {
        self(program, pc, regs);
    }
}

/// A call with the number of instructions it executed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    pub result: Result<Outcome, Fault>,
    pub executed: u64,
}

impl Interp {
    pub fn new(instance: Arc<Instance>) -> Interp {
        let programs = instance.programs().iter().enumerate();
        let code = programs
            .map(|(n, p)| Code::new(&instance, n, p.verified()))
            .collect();
        Interp {
            code,
            instance,
            limit: u64::MAX,
            memories: Mutex::default(),
        }
    }

    /// Ends every call with [`FaultKind::Budget`] after so many instructions.
    pub fn with_limit(mut self, instructions: u64) -> Interp {
        self.limit = instructions;
        self
    }

    pub fn instance(&self) -> &Arc<Instance> {
        &self.instance
    }

    /// [`Engine::call`] with a count of instructions and a look at each.
    pub fn run_observed(
        &self,
        program: usize,
        ctx: &mut Context,
        cpu: usize,
        observer: &mut impl Observer,
    ) -> Run {
        let mut call = match Call::new(&self.instance, program, ctx, cpu) {
            Ok(call) => call,
            Err(fault) => {
                return Run {
                    result: Err(fault),
                    executed: 0,
                };
            }
        };
        let pooled = self
            .memories
            .lock()
            .unwrap_or_else(|e| e.into_inner())
            .pop();
        let Some(memory) = pooled.or_else(|| Memory::new(MAX_FRAMES)) else {
            return Run {
                result: Err(Fault::new(program, 0, FaultKind::CallDepth)),
                executed: 0,
            };
        };
        let mut machine = Machine {
            code: &self.code,
            memory,
            observer,
            budget: self.limit,
            nesting: 0,
            fault: None,
        };
        let r1 = call.ctx;
        let result = machine
            .run(&mut call, program, 0, [r1, 0, 0, 0, 0])
            .map(|ret| Outcome { ret });
        let executed = self.limit - machine.budget;
        let mut memory = machine.memory;
        memory.reset();
        self.memories
            .lock()
            .unwrap_or_else(|e| e.into_inner())
            .push(memory);
        Run { result, executed }
    }
}

impl Engine for Interp {
    fn name(&self) -> &'static str {
        "interp"
    }

    fn call(&self, program: usize, ctx: &mut Context, cpu: usize) -> Result<Outcome, Fault> {
        self.run_observed(program, ctx, cpu, &mut ()).result
    }
}
