//! Translated function → machine code, in the code generator's two steps with one of ours between.

use std::panic::{AssertUnwindSafe, catch_unwind};

use cranelift_codegen::control::ControlPlane;
use cranelift_codegen::{CodegenError, Context};

use crate::counters;
use crate::lowerings::Lowerings;
use crate::params;
use crate::target::Target;
use crate::vectors;

/// Basic blocks of a function whose registers are allocated with care.
const MAX_BLOCKS: usize = 1500;

/// Instructions of a function with loops that is optimised.
const MAX_OPTIMISED: usize = 256;

/// What is known of a function before its code is generated.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Shape {
    /// Control comes back to somewhere.
    pub loops: bool,
    /// The code generator's own optimisation is left out. It takes a third of all time, and finds little: the compiler
    /// that made the program has optimised it, and translation does not make again what a block has. In loops that little
    /// counts, as long as they are not many.
    pub lean: bool,
    /// Nothing uses the call's state, the first parameter. Optimisation adds no use of anything.
    pub stateless: bool,
}

impl Shape {
    /// Whether a function is compiled without optimisation; `loops`: it, or what may be translated in place of its calls, has some.
    pub fn lean(lowerings: Lowerings, insns: usize, loops: bool) -> bool {
        lowerings.has(Lowerings::LEAN) && (!loops || insns > MAX_OPTIMISED)
    }
}

/// Optimises and compiles what the context holds; says what the code generator cannot cope with.
/// What we do between its steps is about loops: without them they are one.
pub(crate) fn generate(
    ctx: &mut Context,
    target: &Target,
    lowerings: Lowerings,
    shape: Shape,
) -> Result<(), String> {
    let Shape { loops, lean, .. } = shape;
    let done = catch_unwind(AssertUnwindSafe(|| {
        let many = ctx.func.dfg.num_blocks() > MAX_BLOCKS;
        // Without optimisation there is nothing to turn back, and only short loops are changed.
        let steps = loops && (!lean || vectors::short_loops(&ctx.func));
        if steps || many {
            optimise(ctx, target, lowerings, lean)?;
        }
        // With Cranelift's optimisations off, where they have been done and would undo ours.
        let isa = match () {
            _ if many => target.single_pass().map_err(|e| e.to_string())?,
            _ if loops || lean => target.plain.clone(),
            _ => target.isa.clone(),
        };
        ctx.compile(&*isa, &mut ControlPlane::default())
            .map(|_| ())
            .map_err(|e| match e.inner {
                CodegenError::Verifier(errors) => errors.to_string(),
                other => other.to_string(),
            })
    }));
    done.unwrap_or_else(|_| Err("the code generator failed".into()))
}

fn optimise(
    ctx: &mut Context,
    target: &Target,
    lowerings: Lowerings,
    lean: bool,
) -> Result<(), String> {
    let isa = if lean { &*target.plain } else { &*target.isa };
    let params = |ctx: &mut Context| {
        if lowerings.has(Lowerings::PARAMS) {
            ctx.compute_cfg();
            ctx.compute_domtree();
            let done = ctx.eliminate_unreachable_code(isa);
            done.map_err(|e| e.to_string())?;
            params::remove(&mut ctx.func);
        }
        Ok::<(), String>(())
    };
    // Parameters that translation left are taken out there, too.
    ctx.optimize(isa, &mut ControlPlane::default())
        .map_err(|e| e.to_string())?;
    // What follows is about loops; not every way back in the code is one.
    ctx.compute_loop_analysis();
    if ctx.loop_analysis.loops().next().is_none() {
        return Ok(());
    }
    let (vectors, counters) = (
        lowerings.has(Lowerings::VECTORS),
        lowerings.has(Lowerings::COUNTERS),
    );
    if vectors || counters {
        // What optimisation found equal may have left more of them.
        params(ctx)?;
        ctx.func.dfg.resolve_all_aliases();
    }
    if vectors && vectors::widen(&mut ctx.func) {
        ctx.compute_cfg();
        ctx.compute_domtree();
        if counters {
            params(ctx)?;
            ctx.func.dfg.resolve_all_aliases();
        }
    }
    if counters {
        counters::turn(&mut ctx.func);
    }
    Ok(())
}
