//! `Instance` → [`Code`]: declares every function of every program, then translates each and hands it to the code generator.
//!
//! **Invariant:** what comes out depends on the programs, their facts and the layouts of their maps,
//! and on nothing that another process or instance would have elsewhere.

use std::collections::BTreeMap;
use std::sync::Mutex;

use cranelift_codegen::binemit::Reloc as CraneliftReloc;
use cranelift_codegen::ir::{ExternalName, UserFuncName, types};
use cranelift_codegen::isa::CallConv;
use cranelift_codegen::{CompiledCode, Context, FinalizedMachReloc, FinalizedRelocTarget};
use cranelift_frontend::{FunctionBuilder, FunctionBuilderContext};
use probity_isa::{CallTarget, Insn};
use probity_runtime::Instance;
use probity_verifier::VerifiedProgram;

use crate::alu::of_size;
use crate::call;
use crate::code::{Builder, Code, Placed, Reference, Reloc};
use crate::error::Error;
use crate::flow::{Function, functions, loops_at, reached};
use crate::frame::Use;
use crate::frames;
use crate::generate::{Shape, generate};
use crate::in_place;
use crate::kfunc;
use crate::lowerings::Lowerings;
use crate::memory::Aliasing;
use crate::numbers::Numbers;
use crate::placement;
use crate::sweep::sweep;
use crate::symbol::Symbol;
use crate::tail;
use crate::target::Target;
use crate::translate::Translator;

/// Instructions of one function: more of them take the code generator gigabytes.
const MAX_INSNS: usize = 1 << 17;

/// Which text of a program is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    Clif,
    Assembly,
}

pub(crate) fn compile(instance: &Instance, target: &Target) -> Result<Code, Error> {
    let lowerings = target.lowerings;
    let mut code = Builder::new(target.arch);
    let mut room = Room::take();
    let Room {
        ctx, builder, used, ..
    } = &mut room;
    for (index, program) in instance.programs().iter().enumerate() {
        let functions = declare(instance, program.verified(), lowerings);
        for (n, this) in functions.iter().enumerate() {
            let refused = |message| refused(instance, index, this, message);
            ctx.clear();
            *used = (*used).max(this.range.len());
            let shape = define(
                instance, target, lowerings, index, &functions, n, ctx, builder,
            )?;
            let stateless = lowerings.has(Lowerings::STATELESS) && shape.stateless;
            // A function that the code generator cannot cope with is an error, however it says so.
            generate(ctx, target, lowerings, shape).map_err(refused)?;
            add(&mut code, ctx, lowerings, (index, n as u32), stateless).map_err(refused)?;
        }
        if let Some(main) = functions.first().filter(|f| f.tail) {
            let refused = |message| refused(instance, index, main, message);
            ctx.clear();
            tail::enter(index, target, ctx, builder);
            generate(ctx, target, lowerings, Shape::default()).map_err(refused)?;
            add(&mut code, ctx, lowerings, (index, Symbol::ENTRY), false).map_err(refused)?;
        }
    }
    // What failed may have left anything behind, so only what went well comes here.
    room.leave();
    code.finish(instance.programs().len())
}

/// Adds what was just compiled as one of a program's functions, which are numbered.
fn add(
    code: &mut Builder,
    ctx: &Context,
    lowerings: Lowerings,
    (program, function): (usize, u32),
    stateless: bool,
) -> Result<(), String> {
    let Some(compiled) = ctx.compiled_code() else {
        return Err("there is no code".into());
    };
    let names = ctx.func.params.user_named_funcs();
    let references = compiled.buffer.relocs().iter().map(|r| {
        reference(r, &|name| {
            Symbol::of_numbers(names[name].namespace, names[name].index)
        })
        .ok_or_else(|| format!("cannot link {r:?}"))
    });
    let references = references.collect::<Result<Vec<_>, _>>()?;
    let offset = lowerings.has(Lowerings::PLACEMENT);
    let offset = offset.then(|| placement::offset(compiled, code.arch()));
    let placed = Placed {
        program: program as u32,
        function,
        start: 0,
        len: 0,
        stateless,
        lines: lines(compiled),
    };
    let (bytes, align) = (compiled.code_buffer(), compiled.buffer.alignment);
    let added = code.function(placed, bytes, align, offset.flatten(), &references);
    added.map_err(|e| e.to_string())
}

/// What the code generator works in: most of what it allocates can be used again.
struct Room {
    ctx: Context,
    builder: FunctionBuilderContext,
    /// Instructions of the longest function that it has seen.
    used: usize,
}

/// Rooms that nobody is in.
static ROOMS: Mutex<Vec<Room>> = Mutex::new(Vec::new());
/// How many are kept, and what functions they may have grown by: some megabytes at most.
const MAX_ROOMS: usize = 2;
const MAX_ROOM: usize = 1 << 11;

impl Room {
    fn take() -> Room {
        let kept = ROOMS.lock().unwrap_or_else(|e| e.into_inner()).pop();
        kept.unwrap_or_else(|| Room {
            ctx: Context::new(),
            builder: FunctionBuilderContext::new(),
            used: 0,
        })
    }

    fn leave(self) {
        let mut rooms = ROOMS.lock().unwrap_or_else(|e| e.into_inner());
        if self.used <= MAX_ROOM && rooms.len() < MAX_ROOMS {
            rooms.push(self);
        }
    }
}

/// Where the code of each instruction begins, where it is another's.
fn lines(compiled: &CompiledCode) -> Vec<(u32, u32)> {
    let locations = compiled.buffer.get_srclocs_sorted().iter();
    let mut lines: Vec<(u32, u32)> = locations
        .filter(|l| !l.loc.is_default())
        .map(|l| (l.start, l.loc.bits()))
        .collect();
    lines.dedup_by_key(|l| l.1);
    lines
}

fn reference(
    r: &FinalizedMachReloc,
    symbol: &dyn Fn(cranelift_codegen::ir::UserExternalNameRef) -> Option<Symbol>,
) -> Option<Reference> {
    let FinalizedRelocTarget::ExternalName(ExternalName::User(name)) = &r.target else {
        return None;
    };
    let reloc = match r.kind {
        CraneliftReloc::Abs8 => Reloc::Abs8,
        CraneliftReloc::X86PCRel4 | CraneliftReloc::X86CallPCRel4 => Reloc::X86Rel4,
        CraneliftReloc::Arm64Call => Reloc::Arm64Call,
        CraneliftReloc::Aarch64AdrPrelPgHi21 => Reloc::Arm64Page,
        CraneliftReloc::Aarch64AddAbsLo12Nc => Reloc::Arm64PageOffset,
        _ => return None,
    };
    Some(Reference {
        at: r.offset,
        reloc,
        symbol: symbol(*name)?,
        addend: r.addend,
    })
}

/// The IR or the machine code of one program, as text.
pub(crate) fn dump(
    instance: &Instance,
    target: &Target,
    index: usize,
    stage: Stage,
) -> Result<String, Error> {
    let lowerings = target.lowerings;
    let program = instance.programs().get(index);
    let functions = declare(
        instance,
        program.ok_or(Error::NoProgram(index))?.verified(),
        lowerings,
    );
    let mut ctx = Context::new();
    let mut builder = FunctionBuilderContext::new();
    let mut out = String::new();
    for (n, this) in functions.iter().enumerate() {
        ctx.clear();
        let shape = define(
            instance,
            target,
            lowerings,
            index,
            &functions,
            n,
            &mut ctx,
            &mut builder,
        )?;
        out += &format!("; {}\n", this.name);
        match stage {
            Stage::Clif => out += &ctx.func.display().to_string(),
            Stage::Assembly => {
                ctx.set_disasm(true);
                generate(&mut ctx, target, lowerings, shape)
                    .map_err(|e| refused(instance, index, this, e))?;
                let code = ctx.compiled_code().and_then(|c| c.vcode.as_deref());
                out += code.unwrap_or_default();
            }
        }
        out.push('\n');
    }
    Ok(out)
}

/// The functions of a program, the main one first.
fn declare(instance: &Instance, p: &VerifiedProgram, lowerings: Lowerings) -> Vec<Function> {
    let helper_args = |id| {
        instance
            .helper(id, p.prog_type())
            .map_or(5, |h| h.args.len())
    };
    let mut functions = functions(p, instance.exports(), &helper_args);
    kfunc::mark_throws(instance, p, &mut functions);
    frames::mark(instance, p, &mut functions);
    if lowerings.has(Lowerings::TAILS) {
        tail::mark(instance, p, &mut functions);
    }
    functions
}

/// Translates one function into the context.
fn define(
    instance: &Instance,
    target: &Target,
    lowerings: Lowerings,
    index: usize,
    functions: &[Function],
    n: usize,
    ctx: &mut Context,
    builder: &mut FunctionBuilderContext,
) -> Result<Shape, Error> {
    let p = instance.programs()[index].verified();
    let this = &functions[n];
    if this.range.len() > MAX_INSNS {
        let n = this.range.len();
        let message = format!("{n} instructions are more than the {MAX_INSNS} that are compiled");
        return Err(refused(instance, index, this, message));
    }
    let convention = target.isa.default_call_conv();
    let own = if this.tail {
        CallConv::Tail
    } else {
        convention
    };
    ctx.func.signature = call::signature(own, 1 + this.args.len());
    ctx.func.name = UserFuncName::user(index as u32, n as u32);
    let loops = p
        .insns()
        .iter()
        .enumerate()
        .any(|(pc, insn)| loops_at(p, pc, insn));
    let lean = Shape::lean(lowerings, this.range.len(), loops);
    let uses = |pc: usize| call::use_of(instance, p, lowerings, pc);
    let mut frame = call::frame(instance, p, this, lowerings);
    // What reads at any address may read all of it.
    frame.clear |= this.named;
    let kfunc = |pc: usize| match p.insns().get(pc) {
        Some(Insn::Call(CallTarget::Kfunc { id, .. })) => instance.kfunc(*id),
        _ => None,
    };
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
            Insn::Call(CallTarget::Helper(_)) if matches!(uses(pc), Use::Reads(r, _) if frame.bases.get(pc, r).is_none()) =>
            {
                aliasing.mixed = true;
            }
            Insn::Call(CallTarget::Helper(id))
                if instance
                    .helper(id, p.prog_type())
                    .is_some_and(|h| in_place::reads_anywhere(&h, lowerings, &frame, pc)) =>
            {
                aliasing.mixed = true;
            }
            Insn::Call(CallTarget::Kfunc { .. })
                if kfunc(pc).is_none_or(|k| kfunc::aliases(&k)) =>
            {
                aliasing.mixed = true;
            }
            Insn::MayGoto { .. } => may_goto = true,
            _ => {}
        }
    }
    let mut b = FunctionBuilder::new(&mut ctx.func, builder);
    let regs = (0..11).map(|_| b.declare_var(types::I64)).collect();
    let slots: BTreeMap<_, _> = frame
        .values
        .iter()
        .map(|(at, size)| (*at, b.declare_var(of_size(*size))))
        .collect();
    let turns = may_goto.then(|| b.declare_var(types::I64));
    let mut t = Translator {
        b,
        instance,
        index,
        functions,
        this,
        callees: BTreeMap::new(),
        frame,
        aliasing,
        arch: target.arch,
        call: cranelift_codegen::ir::Value::from_u32(0),
        regs,
        slots,
        memory: None,
        named: None,
        top: cranelift_codegen::ir::Value::from_u32(0),
        turns,
        signatures: Default::default(),
        convention,
        lowerings,
        local: Default::default(),
        narrow: Default::default(),
        lookups: Default::default(),
        words: Default::default(),
        numbers: Numbers::new(!lean),
        selections: Default::default(),
        in_tables: Default::default(),
        watched: None,
        back: None,
        context: None,
        grown: 0,
        later: Default::default(),
        loops: false,
    };
    t.translate()?;
    let loops = t.loops;
    t.b.finalize(target.isa.frontend_config());
    // What is not swept is taken to be used.
    let uses_state = !lowerings.has(Lowerings::SWEEP) || sweep(&mut ctx.func);
    Ok(Shape {
        loops,
        lean,
        stateless: !uses_state,
    })
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
