//! A program's instructions → the platform's rows of the kernel functions that they call, each looked up once.
//!
//! **Invariant:** what is not in here is no function that programs may call.

use probity_btf::TypeId;
use probity_isa::{CallTarget, Insn, RawInsn};
use probity_platform::{Kfunc, KfuncFlag, Platform};

/// Ascending by the function's id in the platform's types.
#[derive(Default)]
pub(crate) struct Rows<'a>(Vec<(u32, &'a Kfunc)>);

impl<'a> Rows<'a> {
    pub(crate) fn of(insns: &[Insn], platform: &'a Platform) -> Rows<'a> {
        let mut ids: Vec<u32> = insns.iter().filter_map(called).collect();
        ids.sort_unstable();
        ids.dedup();
        let row = |id: u32| Some((id, look_up(platform, id)?));
        Rows(ids.into_iter().filter_map(row).collect())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn get(&self, id: u32) -> Option<&'a Kfunc> {
        let at = self.0.binary_search_by_key(&id, |(id, _)| *id).ok()?;
        self.0.get(at).map(|(_, row)| *row)
    }

    /// Of the function that the instruction calls.
    pub(crate) fn called(&self, insn: &Insn) -> Option<&'a Kfunc> {
        self.get(called(insn)?)
    }
}

impl Rows<'_> {
    /// Instructions that a call of another extension's function executes at most, besides the call itself.
    pub(crate) fn executes(&self, insn: &Insn) -> u64 {
        let flags = self.called(insn).map_or(&[][..], |row| row.flags);
        let most = flags.iter().find_map(|f| match f {
            KfuncFlag::Executes(n) => Some(*n),
            _ => None,
        });
        // Beyond that nothing is told apart, and sums of it do not overflow.
        most.map_or(0, |n| n.min(1 << 40))
    }
}

/// The row of the function that the instruction calls, looked up by its name.
pub(crate) fn row<'a>(insn: &Insn, platform: &'a Platform) -> Option<&'a Kfunc> {
    look_up(platform, called(insn)?)
}

fn look_up(platform: &Platform, id: u32) -> Option<&Kfunc> {
    platform.kfunc(platform.types.as_deref()?.name(TypeId(id)))
}

/// Whether any of the slots calls a kernel function: by `BPF_PSEUDO_KFUNC_CALL`.
pub(crate) fn any(slots: &[RawInsn]) -> bool {
    slots
        .iter()
        .any(|slot| slot.opcode == 0x85 && slot.src == 2)
}

fn called(insn: &Insn) -> Option<u32> {
    match insn {
        Insn::Call(CallTarget::Kfunc { id, .. }) => Some(*id),
        _ => None,
    }
}
