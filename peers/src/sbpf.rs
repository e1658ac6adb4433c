//! C source → bytecode of memory and length → Solana's compiler in its default configuration.

use std::hint::black_box;
use std::ptr::NonNull;
use std::sync::Arc;
use std::time::Duration;

use solana_sbpf::aligned_memory::AlignedMemory;
use solana_sbpf::ebpf::{HOST_ALIGN, MM_HEAP_START, MM_INPUT_START, MM_STACK_START};
use solana_sbpf::elf::Executable;
use solana_sbpf::error::ProgramResult;
use solana_sbpf::memory_region::{MemoryMapping, MemoryRegion};
use solana_sbpf::program::{BuiltinProgram, FunctionRegistry, SBPFVersion};
use solana_sbpf::verifier::RequisiteVerifier;
use solana_sbpf::vm::{Config, ContextObject, EbpfVm, ExecutionMode};

use crate::memory::Memory;
use crate::source::{Shape, bytecode};
use crate::{Answer, Function, Prepared, Subject, Tools, clock, timed};

const COMPILATIONS: usize = 5;
/// Instructions that a run may take: more than any here does.
const BUDGET: u64 = 1 << 40;
/// Calls are relative to where they stand, as clang has them, from this version on.
const VERSION: SBPFVersion = SBPFVersion::V3;

pub fn prepare(subject: &Subject, tools: &Tools) -> Prepared {
    let code = bytecode(subject, tools, Shape::MemoryWide)?;
    let loader = Arc::new(BuiltinProgram::new_loader(Config::default()));
    let (executable, took) = timed(COMPILATIONS, &tools.gauge, || {
        let functions = FunctionRegistry::default();
        let executable = Executable::from_text_bytes(&code, loader.clone(), VERSION, functions);
        let executable = executable.map_err(|e| e.to_string())?;
        let verified = executable.verify::<RequisiteVerifier>();
        verified.map_err(|e| e.to_string())?;
        executable.jit_compile().map_err(|e| e.to_string())?;
        Ok(executable)
    })?;
    let config = loader.get_config();
    let mut stack = AlignedMemory::zero_filled(config.stack_size());
    let mut heap = AlignedMemory::zero_filled(1 << 15);
    let mut memory = Memory::new(&subject.input);
    let gap = match config.enable_stack_frame_gaps && VERSION.stack_frame_gaps() {
        true => config.stack_frame_size as u64,
        false => 0,
    };
    let input = std::ptr::slice_from_raw_parts_mut(memory.address(), memory.len());
    let regions = vec![
        executable.get_ro_region(),
        MemoryRegion::new_gapped(&raw mut *stack.as_slice_mut(), MM_STACK_START, gap),
        MemoryRegion::new(&raw mut *heap.as_slice_mut(), MM_HEAP_START),
        MemoryRegion::new(input, MM_INPUT_START),
    ];
    // SAFETY: all four blocks are on the heap and live as long as the mapping, in the same structure.
    let mapping = unsafe { MemoryMapping::new(regions, config, VERSION) };
    let surroundings = Surroundings {
        remaining: BUDGET,
        mapping: mapping.map_err(|e| e.to_string())?,
    };
    let function = Sbpf {
        surroundings,
        loader,
        executable,
        stack,
        memory,
        _heap: heap,
    };
    Ok((Box::new(function), took))
}

struct Surroundings {
    remaining: u64,
    mapping: MemoryMapping,
}

impl ContextObject for Surroundings {
    fn consume(&mut self, amount: u64) {
        self.remaining = self.remaining.saturating_sub(amount);
    }
    fn get_remaining(&self) -> u64 {
        self.remaining
    }
    fn active_mapping_ptr(&mut self) -> NonNull<MemoryMapping> {
        NonNull::from_mut(&mut self.mapping)
    }
}

struct Sbpf {
    surroundings: Surroundings,
    loader: Arc<BuiltinProgram<Surroundings>>,
    executable: Executable<Surroundings>,
    stack: AlignedMemory<HOST_ALIGN>,
    memory: Memory,
    _heap: AlignedMemory<HOST_ALIGN>,
}

impl Sbpf {
    #[inline(always)]
    fn call(&mut self) -> Result<u64, String> {
        self.surroundings.remaining = BUDGET;
        let mut vm = EbpfVm::new(
            self.loader.clone(),
            VERSION,
            &mut self.surroundings,
            self.stack.len(),
        );
        vm.registers[1] = MM_INPUT_START;
        vm.registers[2] = self.memory.len() as u64;
        let (_, result) = vm.execute_program(&self.executable, &mut ExecutionMode::Jit, &mut []);
        match result {
            ProgramResult::Ok(ret) => Ok(ret),
            ProgramResult::Err(e) => Err(e.to_string()),
        }
    }
}

impl Function for Sbpf {
    fn once(&mut self) -> Result<Answer, String> {
        self.memory.reset();
        let ret = self.call()? as u32;
        let memory = self.memory.bytes().to_vec();
        Ok(Answer { ret, memory })
    }

    fn batch(&mut self, runs: u64) -> Result<Duration, String> {
        let mut failed = false;
        let took = clock::batch(runs, || failed |= black_box(self.call()).is_err());
        match failed {
            true => Err("a call failed".into()),
            false => Ok(took),
        }
    }
}
