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

use probity_isa::{Pc, Size};
use probity_platform::FieldKind;
use probity_runtime::timers::Later;
use probity_runtime::{
    Call, Context, Engine, Fault, FaultKind, Instance, Memory, Outcome, Prepared, hidden_word,
};

pub use code::function_value;
use code::{Code, function_of};
use machine::{MAX_FRAMES, Machine};

/// The interpreter of one instance.
pub struct Interp {
    /// Of functions that programs hand to helpers.
    id: u64,
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

    /// The same, with the memory that the call may touch.
    #[inline]
    fn look(&mut self, _program: usize, _pc: Pc, _regs: &[u64; 11], _view: &View<'_>) {}
}

/// A call's memory before an instruction.
pub struct View<'a> {
    memory: &'a Memory,
    call: &'a Call<'a>,
}

impl View<'_> {
    /// What a load would give; `None` outside of the call's memory.
    pub fn load(&self, address: u64, size: Size) -> Option<u64> {
        self.memory.load(self.call, address, size)
    }

    /// The context's address.
    pub fn context(&self) -> u64 {
        self.call.ctx
    }

    /// The address that a context field stands for (packet bounds and the like).
    pub fn field(&self, kind: FieldKind) -> Option<u64> {
        self.memory.hidden(self.call, hidden_word(kind)?)
    }

    /// Ring buffer records held: start and size.
    pub fn records(&self) -> &[(u64, u64)] {
        self.memory.records()
    }
}

impl std::fmt::Debug for View<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("View").finish_non_exhaustive()
    }
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
            id: instance.engine_id(),
            code,
            instance,
            limit: u64::MAX,
            memories: Mutex::default(),
        }
    }

    /// Ends every call with [`FaultKind::Budget`] after so many instructions, for who looks at programs that it does not
    /// trust. What such a call holds then, a lock or a record, stays held: run nothing on this instance after it.
    /// Whoever wants an end without that has [`probity_runtime::Epoch`].
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
        let none = |fault| Run {
            result: Err(fault),
            executed: 0,
        };
        let prepared = match Prepared::new(&self.instance, program, cpu, None) {
            Ok(prepared) => prepared.owned_by(self.id),
            Err(fault) => return none(fault),
        };
        let Some(call) = prepared.call(ctx) else {
            return none(Fault::new(program, 0, FaultKind::Context));
        };
        let r1 = call.ctx;
        self.run_function(call, program, 0, [r1, 0, 0, 0, 0], observer)
    }

    fn run_function(
        &self,
        mut call: Call<'_>,
        program: usize,
        pc: usize,
        args: [u64; 5],
        observer: &mut impl Observer,
    ) -> Run {
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
            watched: self.instance.is_watched(),
            nesting: 0,
            fault: None,
        };
        let result = machine
            .run(&mut call, program, pc, args)
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

    fn call_later(&self, later: &Later, ctx: &mut Context, cpu: usize) -> Result<Outcome, Fault> {
        let none = Fault::new(0, 0, FaultKind::NoProgram);
        let (func, [r1, r2, r3, r4]) = later.of(self.id).ok_or(none.clone())?;
        let (program, pc) = function_of(func).ok_or(none)?;
        let prepared = Prepared::later(&self.instance, later, cpu, None)?;
        let call = prepared.call_later(ctx);
        let args = [r1, r2, r3, r4, 0];
        self.run_function(call, program, pc, args, &mut ()).result
    }
}

#[cfg(test)]
#[path = "../tests/common/mod.rs"]
mod common;

/// What verified programs cannot show yet, on instructions that are handed to the machine directly.
#[cfg(test)]
mod tests {
    use probity_isa::{CallTarget, Insn};
    use probity_objfile::ProgType;
    use probity_runtime::{Options, platform};

    use super::*;
    use crate::code::{Site, function_value};

    const RAW_TRACEPOINT: ProgType = ProgType(17);

    /// Runs instructions with the maps of an instance, unverified.
    fn run(text: &str) -> Result<u64, Fault> {
        let platform = platform(None);
        let harmless = ".map cells kind=array key=4 value=8 max_entries=5
            .section raw_tracepoint
            .globl main
            main: r1 = map cells ll; r0 = 0; exit";
        let instance = common::instance(harmless, Options::default());
        let object = common::object(text, &platform);
        let program = &object.programs[0];
        let insns = probity_isa::decode(&program.insns).expect("instructions");
        let mut helpers = Vec::new();
        let sites = insns.iter().enumerate().map(|(pc, insn)| match insn {
            Insn::LoadImm64 { imm, .. } => {
                code::value(&instance, 0, pc, imm).map_or(Site::Dead, Site::Value)
            }
            Insn::Call(CallTarget::Helper(id)) => {
                helpers.push(instance.helper(*id, RAW_TRACEPOINT).expect("a helper"));
                Site::Helper(helpers.len() - 1)
            }
            _ => Site::Plain,
        });
        let sites = sites.collect();
        let functions = program.subprogs.iter().map(|s| s.start).collect();
        let code = [Code {
            sites,
            insns,
            helpers,
            kfuncs: Vec::new(),
            functions,
            targets: Vec::new(),
            exception_callback: None,
            arena: None,
        }];
        let mut ctx = Context::words(&[0]).expect("a context");
        let prepared = Prepared::new(&instance, 0, 0, None)?;
        let mut call = prepared.call(&mut ctx).expect("a context that fits");
        let memory = Memory::new(MAX_FRAMES).expect("memory");
        let mut machine = Machine {
            code: &code,
            memory,
            observer: &mut (),
            budget: 100_000,
            watched: false,
            nesting: 0,
            fault: None,
        };
        let r1 = call.ctx;
        machine.run(&mut call, 0, 0, [r1, 0, 0, 0, 0])
    }

    #[test]
    fn whatever_is_not_the_programs_is_a_fault() {
        let fault = |body: &str| {
            let text = format!(
                ".map cells kind=array key=4 value=8 max_entries=5
                .section raw_tracepoint
                .globl main
                main:
                {body}
                exit"
            );
            run(&text).expect_err(body).kind
        };
        assert_eq!(fault("r0 = *(u64 *)(r10 + 0)"), FaultKind::Load);
        assert_eq!(fault("r0 = *(u64 *)(r10 - 520)"), FaultKind::Load);
        assert_eq!(fault("r2 = 0; r0 = *(u8 *)(r2 + 0)"), FaultKind::Load);
        assert_eq!(fault("*(u8 *)(r1 + 8) = 1"), FaultKind::Store);
        assert_eq!(fault("*(u8 *)(r1 - 1) = 1"), FaultKind::Store);
        assert_eq!(
            fault("r0 = 1; lock *(u64 *)(r10 - 12) += r0"),
            FaultKind::Atomic
        );
        assert_eq!(
            fault("r2 = map cells ll; r0 = *(u64 *)(r2 + 0)"),
            FaultKind::Load
        );
        assert_eq!(
            fault("r1 = r10; r2 = r10; r2 += -4; call bpf_map_lookup_elem"),
            FaultKind::Argument(1)
        );
        assert_eq!(
            fault("r1 = map cells ll; r2 = r10; r2 += -2; call bpf_map_lookup_elem"),
            FaultKind::Argument(2)
        );
        assert_eq!(
            fault("r1 = r10; r1 += -8; r2 = 16; call bpf_get_current_comm"),
            FaultKind::Argument(1)
        );
        assert_eq!(
            fault("r1 = r10; r2 = 0; call bpf_ringbuf_submit"),
            FaultKind::Argument(1)
        );
        assert_eq!(
            fault("r1 = 3; r2 = 5; r3 = 0; r4 = 0; call bpf_loop"),
            FaultKind::Jump
        );
        assert_eq!(fault("again: goto again"), FaultKind::Budget);
        // Elements of arrays do not run into each other.
        let past = "*(u32 *)(r10 - 4) = 0; r1 = map cells ll; r2 = r10; r2 += -4; call bpf_map_lookup_elem; r0 += 4";
        assert_eq!(
            fault(&format!("{past}; r0 = *(u64 *)(r0 + 0)")),
            FaultKind::Load
        );
    }

    #[test]
    fn function_values_are_told_from_numbers() {
        assert_eq!(code::function_of(function_value(3, 17)), Some((3, 17)));
        assert_eq!(code::function_of(17), None);
    }
}
