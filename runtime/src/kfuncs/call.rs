//! Calls of kernel functions on behalf of an engine that trusts no proof.

use probity_isa::Size;

use super::{BoundKfunc, KfuncArg};
use crate::memory::enter;
use crate::{BadArgument, Call, Frames, Reenter};

/// Calls a kernel function after comparing its arguments with its declaration and the call's memory.
pub fn call_kfunc<R: Reenter>(
    engine: &mut R,
    call: &mut Call<'_>,
    kfunc: &BoundKfunc,
    args: [u64; 5],
) -> Result<u64, BadArgument> {
    check(engine, call, &kfunc.args, &args)?;
    let (callback, outer) = (call.callback, call.engine);
    call.callback = Some(enter::<R>);
    call.engine.write(std::ptr::from_mut(engine).cast());
    let mut frames = [Frames::default(); 5];
    let outer_frames = call.frames;
    for ((kind, frames), value) in kfunc.args.iter().zip(&mut frames).zip(args) {
        if *kind == KfuncArg::Address
            && let Some((start, end)) = engine.memory().frame_at(value)
        {
            *frames = Frames {
                outer: call.frames,
                start,
                end,
            };
            call.frames = std::ptr::from_ref(frames) as u64;
        }
    }
    // SAFETY: the arguments are what the declaration demands, as just checked; `enter::<R>` finds an R behind `engine`.
    let r0 = unsafe { (kfunc.function)(call, args[0], args[1], args[2], args[3], args[4]) };
    call.callback = callback;
    call.engine = outer;
    call.frames = outer_frames;
    Ok(r0)
}

fn check<R: Reenter>(
    engine: &mut R,
    call: &Call<'_>,
    kinds: &[KfuncArg],
    args: &[u64; 5],
) -> Result<(), BadArgument> {
    let memory = engine.memory();
    for (n, (kind, &value)) in kinds.iter().zip(args).enumerate() {
        let bad = |size: u64| BadArgument {
            register: n as u8 + 1,
            value,
            size,
        };
        let (bytes, write, nullable) = match *kind {
            KfuncArg::Any | KfuncArg::Constant | KfuncArg::Address => continue,
            KfuncArg::Object if call.instance().objects().is_object(value) => continue,
            KfuncArg::Object => return Err(bad(0)),
            KfuncArg::Memory {
                bytes,
                write,
                nullable,
            } => (bytes, write, nullable),
            KfuncArg::Sized { write, nullable } => {
                let bytes = args.get(n + 1).copied().unwrap_or(0);
                (u64::from(bytes as u32), write, nullable)
            }
            KfuncArg::Context if value == call.ctx => continue,
            KfuncArg::Context => return Err(bad(0)),
            KfuncArg::Text => {
                let mut at = value;
                while memory.load(call, at, Size::B).ok_or_else(|| bad(1))? != 0 {
                    at = at.checked_add(1).ok_or_else(|| bad(1))?;
                }
                continue;
            }
        };
        let fine = bytes == 0 || nullable && value == 0 || memory.allows(call, value, bytes, write);
        if !fine {
            return Err(bad(bytes));
        }
    }
    Ok(())
}
