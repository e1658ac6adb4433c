//! An abstract machine state: frames of registers and stack, and the references held.
//!
//! **Invariant:** `frames` is never empty; the last one runs.

use std::fmt;
use std::rc::Rc;

use probity_isa::{Pc, Reg};

use crate::callback::Callback;
use crate::clocks::Clocks;
use crate::env::{Env, FrameSlots};
use crate::object::Lent;
use crate::origin::Origin;
use crate::regions::Regions;
use crate::regs::Regs;
use crate::seldom::Seldom;
use crate::shared::own;
use crate::stack::{Byte, Stack};
use crate::value::{Id, Pointer, To, Value};

/// The default is no state: it has no frames.
#[derive(Clone, Debug, Default)]
pub(crate) struct State {
    pub frames: Vec<Rc<Frame>>,
    /// Acquired and not yet released, oldest first.
    pub references: Seldom<Vec<Reference>>,
    /// Locks held, RCU read sections, and whatever else must be left again.
    pub regions: Seldom<Regions>,
    /// Slots written since the last stored state, frame by frame.
    pub written: FrameSlots,
    /// Of loops that end by themselves.
    pub clocks: Clocks,
}

#[derive(Clone, Debug)]
pub(crate) struct Frame {
    pub regs: Regs,
    /// The instruction that last set each register.
    pub set_at: [u32; Reg::COUNT],
    pub stack: Stack,
    /// Index of the subprogram that runs.
    pub subprog: usize,
    /// Where it returns to: the instruction after the call. Unused in the outermost frame.
    pub return_pc: Pc,
    /// Parts of its stack that slices may lie in.
    pub lent: Seldom<Vec<Lent>>,
    /// The clock of its `may_goto`s; 0: the program has none.
    pub clock: Id,
    /// Called by a helper, over and over.
    pub callback: Option<Rc<Callback>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reference {
    pub id: Id,
    /// The instruction that acquired it.
    pub pc: Pc,
}

impl Frame {
    pub(crate) fn new(subprog: usize, index: usize, return_pc: Pc) -> Frame {
        let mut regs = Regs::default();
        regs[Reg::R10.index()] = Value::pointer(To::Stack { frame: index });
        Frame {
            regs,
            set_at: [u32::MAX; Reg::COUNT],
            stack: Stack::default(),
            subprog,
            return_pc,
            lent: Seldom::default(),
            clock: 0,
            callback: None,
        }
    }

    /// What these registers held is lost.
    pub(crate) fn lose(&mut self, regs: &[Reg], pc: Pc) {
        let pc = u32::try_from(pc).unwrap_or(u32::MAX);
        for r in regs {
            // What was lost before is not copied.
            if self.regs[r.index()].is_init() {
                self.regs[r.index()] = Value::Uninit;
            }
            self.set_at[r.index()] = pc;
        }
    }
}

/// Its registers take fewer bytes from now on.
fn pack(frame: &mut Rc<Frame>) {
    let regs = frame.regs.packed();
    match Rc::get_mut(frame) {
        Some(own) => own.regs = regs,
        None => {
            *frame = Rc::new(Frame {
                regs,
                set_at: frame.set_at,
                stack: frame.stack.clone(),
                lent: frame.lent.clone(),
                callback: frame.callback.clone(),
                ..**frame
            })
        }
    }
}

impl State {
    /// The outermost frame runs this subprogram; no register is set.
    pub(crate) fn entry(subprog: usize) -> State {
        State {
            frames: vec![Rc::new(Frame::new(subprog, 0, 0))],
            references: Seldom::default(),
            regions: Seldom::default(),
            written: FrameSlots::default(),
            clocks: Clocks::default(),
        }
    }

    /// The running frame has a clock for its `may_goto`s from now on.
    pub(crate) fn start_frame_clock(&mut self, id: Id) {
        self.frame_mut().clock = id;
        self.clocks.start(id);
    }

    /// The running frame is left; what it returns.
    pub(crate) fn pop_frame(&mut self, env: &Env<'_>) -> Value {
        crate::object::take_back(env, self, self.depth(), i64::MIN, i64::MAX);
        if let Some(frame) = self.frames.pop() {
            self.clocks.stop(frame.clock);
            self.unpack();
            return frame.regs[Reg::R0.index()];
        }
        Value::Uninit
    }

    /// The running frame's registers are used from now on.
    #[inline]
    pub(crate) fn unpack(&mut self) {
        if self.frames.last().is_some_and(|f| f.regs.is_packed()) {
            self.frame_mut().regs.unpack();
        }
    }

    /// What is left of the state is used only later: its running frame's registers are packed.
    pub(crate) fn pack(&mut self) {
        if let Some(frame) = self.frames.last_mut()
            && !frame.regs.is_packed()
        {
            pack(frame);
        }
    }

    /// The same functions run, called from the same places.
    pub(crate) fn alike(&self, other: &State) -> bool {
        self.frames.len() == other.frames.len()
            && self.frames.iter().zip(&other.frames).all(|(a, b)| {
                Rc::ptr_eq(a, b) || a.subprog == b.subprog && a.return_pc == b.return_pc
            })
    }

    pub(crate) fn depth(&self) -> usize {
        self.frames.len() - 1
    }

    #[inline]
    pub(crate) fn frame(&self) -> &Frame {
        &self.frames[self.frames.len() - 1]
    }

    pub(crate) fn frame_mut(&mut self) -> &mut Frame {
        let last = self.frames.len() - 1;
        own(&mut self.frames[last])
    }

    pub(crate) fn frame_at(&mut self, index: usize) -> Option<&mut Frame> {
        self.frames.get_mut(index).map(own)
    }

    #[inline]
    pub(crate) fn reg(&self, reg: Reg) -> &Value {
        &self.frame().regs[reg.index()]
    }

    pub(crate) fn set_at(&self, reg: Reg) -> Option<Pc> {
        match self.frame().set_at[reg.index()] {
            u32::MAX => None,
            pc => Some(pc as Pc),
        }
    }

    pub(crate) fn set(&mut self, pc: Pc, reg: Reg, value: Value) {
        let frame = self.frame_mut();
        frame.regs[reg.index()] = value;
        frame.set_at[reg.index()] = u32::try_from(pc).unwrap_or(u32::MAX);
    }

    /// All registers and spilled values of all frames.
    pub(crate) fn values(&self) -> impl Iterator<Item = Value> {
        let frames = self.frames.iter();
        frames.flat_map(|f| f.regs.values().chain(f.stack.values()))
    }

    /// Gives every number of every frame another origin.
    pub(crate) fn renumber(&mut self, mut other: impl FnMut(Origin) -> Origin) {
        let is_number = |v: &Value| v.as_number().is_some();
        let other = &mut other;
        for frame in &mut self.frames {
            let regs = frame.regs.any(is_number);
            let spills = frame.stack.spills().any(|(_, v)| is_number(v));
            // What the next lap of a callback begins with.
            let kept = |c: &Rc<Callback>| c.args.iter().any(is_number) || is_number(&c.result);
            let kept = frame.callback.as_ref().is_some_and(kept);
            if !regs && !spills && !kept {
                continue;
            }
            let frame = own(frame);
            if let Some(callback) = frame.callback.as_mut().filter(|_| kept) {
                let callback = Rc::make_mut(callback);
                for v in callback.args.iter_mut().chain([&mut callback.result]) {
                    v.renumber(&mut *other);
                }
            }
            if regs {
                frame.regs.for_each(is_number, |v| v.renumber(&mut *other));
            }
            if spills {
                frame.stack.renumber(&mut *other);
            }
        }
    }

    /// Changes every value of every frame for which `wanted` holds.
    pub(crate) fn for_each(
        &mut self,
        wanted: impl Fn(&Value) -> bool,
        mut f: impl FnMut(&mut Value),
    ) {
        for frame in &mut self.frames {
            let regs = frame.regs.any(&wanted);
            let spills = frame.stack.spills().any(|(_, v)| wanted(v));
            // What the next lap of a callback begins with.
            let kept = frame
                .callback
                .as_ref()
                .is_some_and(|c| c.args.iter().any(&wanted) || wanted(&c.result));
            if !regs && !spills && !kept {
                continue;
            }
            let frame = own(frame);
            if let Some(callback) = frame.callback.as_mut().filter(|_| kept) {
                let callback = Rc::make_mut(callback);
                for v in callback.args.iter_mut().chain([&mut callback.result]) {
                    if wanted(v) {
                        f(v);
                    }
                }
            }
            if regs {
                frame.regs.for_each(&wanted, &mut f);
            }
            if spills {
                frame.stack.for_each_spill(&wanted, &mut f);
            }
        }
    }

    pub(crate) fn for_each_pointer(
        &mut self,
        wanted: impl Fn(&Pointer) -> bool,
        mut f: impl FnMut(&mut Value),
    ) {
        self.for_each(|v| v.as_pointer().is_some_and(&wanted), &mut f);
    }

    pub(crate) fn holds(&self, reference: Id) -> bool {
        self.references.iter().any(|r| r.id == reference)
    }
}

/// Registers that hold something, then stack slots, one line a frame.
impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, frame) in self.frames.iter().enumerate() {
            if self.frames.len() > 1 {
                write!(f, "{}frame {i}:", if i == 0 { "" } else { "; " })?;
            }
            for reg in Reg::all() {
                let v = &frame.regs[reg.index()];
                if v.is_init() && reg != Reg::R10 {
                    write!(f, " {reg}={v}")?;
                }
            }
            for index in 0..frame.stack.len() {
                let slot = frame.stack.slot(index);
                let off = -(index as i64 + 1) * 8;
                if let Some(o) = frame.stack.object(index) {
                    if o.part == 0 {
                        write!(f, " fp{off}={:?}#{}", o.kind, o.id)?;
                    }
                    continue;
                }
                match slot.spilled() {
                    8 => write!(f, " fp{off}={}", slot.held())?,
                    n => {
                        if slot.bytes.iter().all(|b| b == Byte::Unwritten) {
                            continue;
                        }
                        let text: String = slot
                            .bytes
                            .iter()
                            .map(|b| match b {
                                Byte::Unwritten => '?',
                                Byte::Misc => 'm',
                                Byte::Zero => '0',
                                Byte::Spill => 's',
                                Byte::Object => 'o',
                            })
                            .collect();
                        write!(f, " fp{off}={text}")?;
                        if n > 0 {
                            write!(f, "({})", slot.held())?;
                        }
                    }
                }
            }
        }
        for r in self.references.iter() {
            write!(f, " ref={}@{}", r.id, r.pc)?;
        }
        for l in &self.regions.locks {
            write!(f, " lock@{}", l.pc)?;
        }
        Ok(())
    }
}
