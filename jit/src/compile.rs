//! `Instance` → machine code in memory: declares every function of every program, then defines each.
//!
//! **Invariant:** memory is writable while code is written and executable afterwards, never both.

use std::collections::BTreeMap;

use cranelift_codegen::Context;
use cranelift_codegen::ir::{UserFuncName, types};
use cranelift_codegen::isa::OwnedTargetIsa;
use cranelift_codegen::settings::{self, Configurable};
use cranelift_frontend::{FunctionBuilder, FunctionBuilderContext};
use cranelift_jit::{ArenaMemoryProvider, JITBuilder, JITModule};
use cranelift_module::{FuncId, Linkage, Module, default_libcall_names};
use probity_isa::{CallTarget, Insn};
use probity_runtime::{Instance, kernel_read_fn, packet_load_fn};
use probity_verifier::VerifiedProgram;

use crate::call;
use crate::error::Error;
use crate::flow::{Function, functions, reached};
use crate::frame::{self, Use};
use crate::memory::Aliasing;
use crate::translate::Translator;

/// Address space for code: this much, and so much an instruction.
const CODE_BYTES: usize = 1 << 20;
const CODE_BYTES_PER_INSN: usize = 512;
const MAX_CODE_BYTES: usize = 1 << 30;

/// Addresses that compiled code uses.
pub(crate) struct Runtime {
    pub kernel_read: u64,
    pub packet_load: u64,
    /// Of the table of the programs' main functions.
    pub entries: u64,
}

impl Runtime {
    pub fn new(entries: u64) -> Runtime {
        Runtime {
            kernel_read: kernel_read_fn as *const () as u64,
            packet_load: packet_load_fn as *const () as u64,
            entries,
        }
    }
}

/// Every program, compiled and executable.
pub(crate) struct Compiled {
    pub module: JITModule,
    /// Of each program's main function.
    pub entries: Vec<u64>,
}

/// One program's functions, declared.
struct Declared {
    functions: Vec<Function>,
    ids: Vec<FuncId>,
}

/// Which text of a program is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    Clif,
    Assembly,
}

pub(crate) fn compile(instance: &Instance, runtime: &Runtime) -> Result<Compiled, Error> {
    let mut module = module(instance)?;
    let declared = declare_all(instance, &mut module)?;
    let mut ctx = module.make_context();
    let mut builder = FunctionBuilderContext::new();
    for (index, d) in declared.iter().enumerate() {
        for n in 0..d.functions.len() {
            module.clear_context(&mut ctx);
            define(
                instance,
                runtime,
                index,
                d,
                n,
                &mut module,
                &mut ctx,
                &mut builder,
            )?;
            let defined = module.define_function(d.ids[n], &mut ctx);
            defined.map_err(|e| refused(instance, index, &d.functions[n], describe(&e)))?;
        }
    }
    module
        .finalize_definitions()
        .map_err(|e| Error::Host(e.to_string()))?;
    let entries = declared
        .iter()
        .map(|d| {
            d.ids
                .first()
                .map_or(0, |id| module.get_finalized_function(*id) as u64)
        })
        .collect();
    Ok(Compiled { module, entries })
}

/// The IR or the machine code of one program, as text.
pub(crate) fn dump(
    instance: &Instance,
    runtime: &Runtime,
    index: usize,
    stage: Stage,
) -> Result<String, Error> {
    let mut module = module(instance)?;
    let declared = declare_all(instance, &mut module)?;
    let d = declared.get(index).ok_or(Error::NoProgram(index))?;
    let mut ctx = module.make_context();
    let mut builder = FunctionBuilderContext::new();
    let mut out = String::new();
    for n in 0..d.functions.len() {
        module.clear_context(&mut ctx);
        define(
            instance,
            runtime,
            index,
            d,
            n,
            &mut module,
            &mut ctx,
            &mut builder,
        )?;
        out += &format!("; {}\n", d.functions[n].name);
        match stage {
            Stage::Clif => out += &ctx.func.display().to_string(),
            Stage::Assembly => {
                ctx.set_disasm(true);
                let code = ctx
                    .compile(module.isa(), &mut Default::default())
                    .map_err(|e| refused(instance, index, &d.functions[n], e.inner.to_string()))?;
                out += code.vcode.as_deref().unwrap_or_default();
            }
        }
        out.push('\n');
    }
    Ok(out)
}

fn host() -> Result<OwnedTargetIsa, Error> {
    if cfg!(target_endian = "big") || cfg!(not(target_pointer_width = "64")) {
        return Err(Error::Host("it is not a 64-bit little-endian one".into()));
    }
    let mut flags = settings::builder();
    let checks = if cfg!(debug_assertions) {
        "true"
    } else {
        "false"
    };
    for (name, value) in [
        ("opt_level", "speed"),
        ("is_pic", "false"),
        ("use_colocated_libcalls", "false"),
        ("enable_verifier", checks),
        // A frame of many spilled values must not step over the stack's guard page.
        ("enable_probestack", "true"),
        ("probestack_strategy", "inline"),
    ] {
        flags
            .set(name, value)
            .map_err(|e| Error::Host(e.to_string()))?;
    }
    let isa = cranelift_native::builder().map_err(|e| Error::Host(e.to_string()))?;
    isa.finish(settings::Flags::new(flags))
        .map_err(|e| Error::Host(e.to_string()))
}

fn module(instance: &Instance) -> Result<JITModule, Error> {
    let insns: usize = instance
        .programs()
        .iter()
        .map(|p| p.verified().insns().len())
        .sum();
    let bytes = insns
        .saturating_mul(CODE_BYTES_PER_INSN)
        .saturating_add(CODE_BYTES)
        .min(MAX_CODE_BYTES);
    let memory =
        ArenaMemoryProvider::new_with_size(bytes).map_err(|e| Error::Host(e.to_string()))?;
    let mut builder = JITBuilder::with_isa(host()?, default_libcall_names());
    builder.memory_provider(Box::new(memory));
    Ok(JITModule::new(builder))
}

fn declare_all(instance: &Instance, module: &mut JITModule) -> Result<Vec<Declared>, Error> {
    let programs = instance.programs().iter().enumerate();
    programs
        .map(|(n, p)| declare(instance, n, p.verified(), module))
        .collect()
}

fn declare(
    instance: &Instance,
    index: usize,
    p: &VerifiedProgram,
    module: &mut JITModule,
) -> Result<Declared, Error> {
    let helper_args = |id| {
        instance
            .helper(id, p.prog_type())
            .map_or(5, |h| h.args.len())
    };
    let functions = functions(p, &helper_args);
    let call_conv = module.isa().default_call_conv();
    let mut ids = Vec::new();
    for (n, f) in functions.iter().enumerate() {
        let signature = call::signature(call_conv, 1 + f.args.len());
        let id = module
            .declare_function(&format!("p{index}f{n}"), Linkage::Local, &signature)
            .map_err(|e| refused(instance, index, f, describe(&e)))?;
        ids.push(id);
    }
    Ok(Declared { functions, ids })
}

/// Translates one function into the context.
fn define(
    instance: &Instance,
    runtime: &Runtime,
    index: usize,
    declared: &Declared,
    n: usize,
    module: &mut JITModule,
    ctx: &mut Context,
    builder: &mut FunctionBuilderContext,
) -> Result<(), Error> {
    let p = instance.programs()[index].verified();
    let this = &declared.functions[n];
    let call_conv = module.isa().default_call_conv();
    ctx.func.signature = call::signature(call_conv, 1 + this.args.len());
    ctx.func.name = UserFuncName::user(index as u32, n as u32);
    let uses = |pc: usize| {
        let Some(Insn::Call(CallTarget::Helper(id))) = p.insns().get(pc) else {
            return Use::Anywhere;
        };
        let map = p.facts().get(pc).and_then(|f| f.map);
        match instance.helper(*id, p.prog_type()) {
            Some(h) => {
                let inlined = call::array_of(instance, map, &h).is_some();
                let map = map.and_then(|n| instance.map(n)).map(|m| &**m);
                call::uses(&h, map, inlined)
            }
            None => Use::Anywhere,
        }
    };
    let frame = frame::analyse(p, &this.range, &uses);
    let mut aliasing = Aliasing::default();
    let mut may_goto = false;
    for pc in this.range.clone().filter(|pc| reached(p, *pc)) {
        match p.insns()[pc] {
            Insn::Load { .. }
            | Insn::Store { .. }
            | Insn::Atomic { .. }
            | Insn::LoadAcquire { .. }
            | Insn::StoreRelease { .. } => aliasing.note(p.facts()[pc].access),
            // The key of an inlined lookup may lie anywhere.
            Insn::Call(CallTarget::Helper(_)) if matches!(uses(pc), Use::Reads(r, _) if !frame.bases.contains_key(&(pc, r))) =>
            {
                aliasing.mixed = true;
            }
            Insn::MayGoto { .. } => may_goto = true,
            _ => {}
        }
    }
    let callees = declared
        .ids
        .iter()
        .map(|id| module.declare_func_in_func(*id, &mut ctx.func))
        .collect();
    let mut b = FunctionBuilder::new(&mut ctx.func, builder);
    let regs = (0..11).map(|_| b.declare_var(types::I64)).collect();
    let slots: BTreeMap<_, _> = frame
        .values
        .keys()
        .map(|at| (*at, b.declare_var(types::I64)))
        .collect();
    let turns = may_goto.then(|| b.declare_var(types::I64));
    let mut t = Translator {
        b,
        instance,
        index,
        functions: &declared.functions,
        this,
        callees,
        runtime,
        frame,
        aliasing,
        call: cranelift_codegen::ir::Value::from_u32(0),
        regs,
        slots,
        memory: None,
        turns,
        signatures: BTreeMap::new(),
    };
    t.translate()?;
    t.b.finalize(module.isa().frontend_config());
    Ok(())
}

fn describe(e: &cranelift_module::ModuleError) -> String {
    match e {
        cranelift_module::ModuleError::Compilation(e) => e.to_string(),
        e => e.to_string(),
    }
}

fn refused(instance: &Instance, index: usize, f: &Function, message: String) -> Error {
    Error::Codegen {
        program: instance
            .programs()
            .get(index)
            .map_or_else(String::new, |p| p.name().to_string()),
        function: f.name.clone(),
        message,
    }
}
