//! Exceptions: a throw ends the program from anywhere in it, and its callback, or the cookie itself, gives the result.
//!
//! - Frames are unwound without running: whatever they hold would be lost, so nothing may be held.
//! - The callback is walked on its own, with any cookie, and returns what the program may return.
//! - Without one the cookie is the program's result.
//!
//! **Invariant:** callbacks do not throw, the exception callback neither ([`crate::depth`]): what called
//! them would not go on.

use probity_btf::Type;
use probity_isa::Reg;

use crate::call::{self, Next};
use crate::env::Env;
use crate::global::{self, Parameter};
use crate::reject::{Failure, Outcome, fail};
use crate::report::Rule;
use crate::state::State;
use crate::value::Value;
use crate::walks::{Entry, Role};

/// The program is thrown out of, with the cookie in r1.
pub(crate) fn throw(env: &mut Env<'_>, state: &State) -> Outcome<Next> {
    call::nothing_held(state, None, "where an exception is thrown")?;
    if env.exception_callback.is_some() {
        return Ok(Next::End);
    }
    call::result_allowed(env, state, Reg::R1)
}

/// How many exception callbacks the program's main function names.
fn named(env: &Env<'_>) -> usize {
    let main = env.cfg.subprogs.first().and_then(|s| s.func);
    let (Some(types), Some(main)) = (env.object.btf.as_deref(), main) else {
        return 0;
    };
    let names = |ty: &Type<'_>| {
        matches!(ty, Type::DeclTag { target, component: None, value, .. }
            if *target == main && value.starts_with("exception_callback:"))
    };
    types.types().filter(|(_, ty)| names(ty)).count()
}

/// The exception callback's walk.
pub(crate) fn plan(env: &mut Env<'_>, subprog: usize) -> Outcome<()> {
    let at = |e: Box<Failure>, env: &Env<'_>| {
        Box::new(Failure {
            pc: Some(env.cfg.subprogs[subprog].start),
            ..*e
        })
    };
    if named(env) > 1 {
        let must = "a program names one exception callback";
        return Err(at(fail(Rule::BadArgument, must, "it names several"), env));
    }
    let must = "an exception callback is a global function that takes a number";
    if !global::is_global(env, subprog) {
        let known = format!("`{}` is not global", env.cfg.subprogs[subprog].name);
        return Err(at(fail(Rule::BadArgument, must, &known), env));
    }
    let parameters = global::parameters(env, subprog).map_err(|e| at(e, env))?;
    if parameters[..] != [Parameter::Number] {
        let known = format!("`{}` takes something else", env.cfg.subprogs[subprog].name);
        return Err(at(fail(Rule::BadArgument, must, &known), env));
    }
    env.exception_callback = Some(subprog);
    env.called_back(subprog);
    let mut args = [Value::Uninit; 5];
    args[0] = Value::unknown();
    env.queue.add(Entry {
        subprog,
        role: Role::Exception,
        sleepable: env.program.hook.sleepable,
        args,
    });
    Ok(())
}
