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

/// Optimises and compiles what the context holds; says what the code generator cannot cope with.
pub(crate) fn generate(
    ctx: &mut Context,
    target: &Target,
    lowerings: Lowerings,
) -> Result<(), String> {
    let done = catch_unwind(AssertUnwindSafe(|| {
        optimise(ctx, target, lowerings)?;
        // With Cranelift's optimisations off, which would undo ours.
        let isa = match ctx.func.dfg.num_blocks() {
            n if n > MAX_BLOCKS => target.single_pass().map_err(|e| e.to_string())?,
            _ => target.plain.clone(),
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

fn optimise(ctx: &mut Context, target: &Target, lowerings: Lowerings) -> Result<(), String> {
    let isa = &*target.isa;
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
    params(ctx)?;
    ctx.optimize(isa, &mut ControlPlane::default())
        .map_err(|e| e.to_string())?;
    if lowerings.has(Lowerings::VECTORS) {
        params(ctx)?;
        ctx.func.dfg.resolve_all_aliases();
        if vectors::widen(&mut ctx.func) {
            ctx.compute_cfg();
            ctx.compute_domtree();
        }
    }
    if lowerings.has(Lowerings::COUNTERS) {
        // What optimisation found equal may have left more of them.
        params(ctx)?;
        ctx.func.dfg.resolve_all_aliases();
        counters::turn(&mut ctx.func);
    }
    Ok(())
}
