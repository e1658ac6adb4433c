//! What stays the same while one program is verified, and what is gathered on the way.

use std::cell::Cell;
use std::rc::Rc;

use probity_domains::Scalar;
use probity_isa::{Insn, Pc, Reg};
use probity_objfile::{DataKind, Map, Object, Poisoned, Program, Target};
use probity_platform::{MapKind, Platform, Policy, ProgKind};

use crate::Options;
use crate::branch::Compared;
use crate::cfg::Cfg;
use crate::cover::Granted;
use crate::effects::EffectsOf;
use crate::extended::Extended;
use crate::facts::Facts;
use crate::global::Parameter;
use crate::journal::Journal;
use crate::kfunc::{Contexts, Prototype, Rows};
use crate::liveness::Liveness;
use crate::memo::Memo;
use crate::numbered::{Numbered, Sparse};
use crate::obligation::{self, Obligations};
use crate::origin::Origins;
use crate::recorded::{Recorded, Recorder};
use crate::reject::{Outcome, fail};
use crate::report::{Access, Region, Rule};
use crate::special::{Declared, Records, Special};
use crate::stack::SlotSet;
use crate::summary::Calls;
use crate::typed::{May, TypedContext};
use crate::value::{Id, MapRef, Number, To, Value};
use crate::walks::{Queue, Role};
use crate::worst::Worst;

/// Frames on one chain of calls, whatever the platform says.
pub(crate) const MAX_FRAMES: usize = 8;

/// Programs of no more instructions are walked on rather than compared with what was walked.
pub(crate) const SHORT: usize = 64;

/// Slots of each frame.
pub(crate) type Slots = [SlotSet; MAX_FRAMES];

/// The same in less room where the inner frames have none, as it is kept of many states.
#[derive(Clone, Debug, Default)]
pub(crate) struct FrameSlots {
    outer: [SlotSet; OUTER],
    inner: Option<Box<[SlotSet; MAX_FRAMES - OUTER]>>,
}

/// Frames that have room of their own.
const OUTER: usize = 2;

impl FrameSlots {
    pub(crate) fn get(&self, frame: usize) -> SlotSet {
        match (frame.checked_sub(OUTER), &self.inner) {
            (None, _) => self.outer[frame],
            (Some(at), Some(inner)) => inner.get(at).copied().unwrap_or_default(),
            (Some(_), None) => SlotSet::default(),
        }
    }

    /// None behind the last frame that there can be.
    pub(crate) fn get_mut(&mut self, frame: usize) -> Option<&mut SlotSet> {
        match frame.checked_sub(OUTER) {
            None => self.outer.get_mut(frame),
            Some(at) => self.inner.get_or_insert_default().get_mut(at),
        }
    }

    pub(crate) fn all(&self) -> Slots {
        std::array::from_fn(|frame| self.get(frame))
    }

    /// Whether any of these are new.
    pub(crate) fn add(&mut self, more: &Slots) -> bool {
        let mut any = false;
        for (frame, more) in more.iter().enumerate() {
            if more.0 & !self.get(frame).0 != 0
                && let Some(to) = self.get_mut(frame)
            {
                to.0 |= more.0;
                any = true;
            }
        }
        any
    }
}

/// Those of `slots` that are not among `others`.
pub(crate) fn without(slots: &Slots, others: &Slots) -> Slots {
    std::array::from_fn(|frame| SlotSet(slots[frame].0 & !others[frame].0))
}

pub(crate) struct Env<'a> {
    pub object: &'a Object,
    pub program: &'a Program,
    pub platform: &'a Platform,
    pub policy: &'a Policy,
    pub options: &'a Options,
    pub kind: &'a ProgKind,
    pub cfg: &'a Cfg,
    pub live: &'a Liveness,
    pub poisoned: &'a [Poisoned],
    /// Managed fields of each map's values, and of allocated structures.
    pub special: &'a [Special],
    pub records: Records<'a>,
    /// The map that is the program's arena.
    pub arena: Option<usize>,
    /// The licence is compatible with the GPL.
    pub gpl: bool,
    /// What types the context's arguments, where BTF does.
    pub typed: Option<std::rc::Rc<TypedContext>>,
    /// Where the last write to a structure of the kernel was allowed.
    pub may_write: Cell<Option<May>>,
    pub origins: Origins,
    /// What each instruction demands of any state.
    pub obligations: Vec<Obligations>,
    /// What arithmetic and comparisons gave last.
    pub computed: Memo<Scalar>,
    pub compared: Memo<Compared>,
    /// The same of any operand.
    pub computed_of_any: Memo<Scalar>,
    pub compared_with_any: Memo<Compared>,
    /// Registers that hold less than 2^32, once it was asked.
    pub extended: Option<Extended>,
    pub facts: Facts,
    /// Slots read since the last stored state, before they were written.
    pub reads: Slots,
    /// The map of each call visited, when it is the same on all paths so far.
    pub call_maps: Sparse<Pc, Option<usize>>,
    /// Deepest byte used by each subprogram.
    pub stack_depth: Vec<i64>,
    /// What to put back when an attempt fails.
    pub journal: Journal,
    /// What each subprogram may do.
    pub effects: Vec<EffectsOf>,
    /// Parameters of the global functions that were asked for.
    pub parameters: Numbered<usize, Rc<Vec<Parameter>>>,
    pub queue: Queue,
    /// Subprograms that helpers or kernel functions call.
    pub callbacks: Numbered<usize, ()>,
    pub exception_callback: Option<usize>,
    /// What the current walk's outermost function is.
    pub role: Role,
    /// The current walk may sleep.
    pub sleeps: bool,
    /// What the program's first argument is.
    pub context: Value,
    /// Helpers called so far, which the program may call.
    pub helpers: Sparse<u32, ()>,
    /// Of the kernel functions that the program calls anywhere.
    pub kfunc_rows: Rows<'a>,
    /// Prototypes of the kernel functions called so far, by id.
    pub kfuncs: Numbered<u32, Rc<Prototype>>,
    /// The structures that stand for contexts where kernel functions are called.
    pub contexts: &'a Contexts,
    /// What the longest run is made of.
    pub worst: Worst,
    /// Of static subprograms, in this walk.
    pub summaries: Numbered<usize, Calls>,
    /// Keeps every state walked, where one asked for it.
    pub recorder: Option<Box<Recorder>>,
    /// All states of the main function's walk, when it has ended.
    pub recorded: Option<Recorded>,
    /// Those of subprograms that were walked on their own.
    pub recorded_calls: Vec<Recorded>,
    /// A number of which the low half was just moved up, and the instruction that may move it down again.
    pub shifted_up: Option<(Pc, Reg, Number)>,
    next_id: Id,
}

impl<'a> Env<'a> {
    pub(crate) fn new(
        object: &'a Object,
        program: &'a Program,
        platform: &'a Platform,
        policy: &'a Policy,
        options: &'a Options,
        kind: &'a ProgKind,
        cfg: &'a Cfg,
        live: &'a Liveness,
        poisoned: &'a [Poisoned],
        special: &'a [Special],
        declared: &'a Declared,
        contexts: &'a Contexts,
        gpl: bool,
    ) -> Env<'a> {
        let once = cfg.is_plain();
        Env {
            object,
            program,
            platform,
            policy,
            options,
            kind,
            cfg,
            live,
            poisoned,
            special,
            records: Records::new(declared),
            arena: None,
            gpl,
            typed: None,
            may_write: Cell::default(),
            origins: Origins::new(),
            obligations: obligation::all(&cfg.insns),
            computed: Memo::new(once),
            compared: Memo::new(once),
            computed_of_any: Memo::new(once),
            compared_with_any: Memo::new(once),
            extended: None,
            facts: Facts::new(cfg.insns.len()),
            reads: Slots::default(),
            call_maps: Sparse::default(),
            stack_depth: vec![0; cfg.subprogs.len()],
            journal: Journal::default(),
            effects: Vec::new(),
            parameters: Numbered::default(),
            queue: Queue::default(),
            callbacks: Numbered::default(),
            exception_callback: None,
            role: Role::Main,
            sleeps: program.hook.sleepable,
            context: Value::Uninit,
            helpers: Sparse::default(),
            kfunc_rows: Rows::default(),
            kfuncs: Numbered::default(),
            contexts,
            worst: Worst::default(),
            summaries: Numbered::default(),
            recorder: None,
            recorded: None,
            recorded_calls: Vec::new(),
            shifted_up: None,
            next_id: 0,
        }
    }

    /// An id not used before in this program.
    pub(crate) fn fresh_id(&mut self) -> Id {
        self.next_id += 1;
        self.next_id
    }

    /// Pointers may become numbers, and be stored anywhere.
    pub(crate) fn leaks_ok(&self) -> bool {
        self.platform.privileged
    }

    /// Stack bytes that were never written may be read as unknown numbers.
    pub(crate) fn uninit_ok(&self) -> bool {
        self.platform.privileged && self.platform.uninit_stack && self.options.allow_uninit_stack
    }

    /// What the program may do, for comparisons of states.
    pub(crate) fn granted(&self) -> Granted {
        Granted {
            uninit: self.uninit_ok(),
            unaligned: !self.options.strict_alignment,
        }
    }

    /// Whether the subprogram, not what it calls, may throw an exception.
    pub(crate) fn throws_itself(&self, subprog: usize) -> bool {
        self.effects.get(subprog).is_some_and(|e| e.own.throws)
    }

    pub(crate) fn sleepable(&self) -> bool {
        self.sleeps
    }

    /// The kernel function that the program attaches to; empty when there is none.
    pub(crate) fn target(&self) -> &'a str {
        match &self.program.hook.target {
            Target::Function { name, .. } => name,
            _ => "",
        }
    }

    pub(crate) fn attach_type(&self) -> Option<u32> {
        self.program.hook.attach_type.map(|a| a.0)
    }

    pub(crate) fn map(&self, map: MapRef) -> Outcome<&'a Map> {
        let outer = self.object.maps.get(map.index());
        let found = match map.inner {
            false => outer,
            true => outer.and_then(|m| m.inner.as_deref()),
        };
        found.ok_or_else(|| {
            fail(
                Rule::MapKind,
                "a map reference names a map of the object",
                "there is none",
            )
        })
    }

    pub(crate) fn map_kind(&self, map: &Map) -> Outcome<&'a MapKind> {
        self.platform.map_kind(map.kind).ok_or_else(|| {
            fail(
                Rule::MapKind,
                "the map's kind is one of the platform's",
                &format!("kind {} is not", map.kind),
            )
        })
    }

    pub(crate) fn map_name(&self, map: MapRef) -> String {
        match self.map(map) {
            Ok(m) => m.name.clone(),
            Err(_) => format!("map {}", map.index),
        }
    }

    /// Managed fields of a map's values.
    pub(crate) fn fields(&self, map: MapRef) -> Option<&'a Special> {
        let outer = self.special.get(map.index())?;
        match map.inner {
            false => Some(outer),
            true => outer.inner.as_deref(),
        }
    }

    /// It matters which object a pointer points to, after NULL checks too: it may hold a lock.
    pub(crate) fn keeps_id(&self, to: &To) -> bool {
        match to {
            To::MapValue(map) => self.fields(*map).is_some_and(Special::locked),
            To::Allocated { .. } => true,
            _ => false,
        }
    }

    /// Managed fields of an allocated structure.
    pub(crate) fn record_of(&self, type_id: u32) -> std::rc::Rc<Special> {
        let btf = self.object.btf.as_deref();
        self.records.get(btf, self.platform, type_id)
    }

    /// The bytes of a map that no one can change, when it is one.
    pub(crate) fn frozen(&self, map: MapRef) -> Option<&'a [u8]> {
        let data = self.map(map).ok()?.data.as_ref()?;
        matches!(data.kind, DataKind::Rodata | DataKind::Kconfig).then_some(&data.bytes[..])
    }

    /// Joins what is known of the access at `pc` with what other paths found.
    pub(crate) fn record(&mut self, pc: Pc, access: Access) -> Outcome<()> {
        let before = self.facts.access(pc);
        let joined = match before {
            None => access,
            Some(known) if known == access => access,
            Some(known) => {
                let region = if known.region == access.region {
                    known.region
                } else if known.region.is_plain() && access.region.is_plain() {
                    Region::Mixed
                } else {
                    let must = "an instruction accesses one kind of memory on all paths";
                    let known = format!("{} on one, {} on another", known.region, access.region);
                    return Err(fail(Rule::BadPointer, must, &known));
                };
                let offset = known
                    .offset
                    .filter(|_| region != Region::Mixed && known.offset == access.offset);
                Access {
                    region,
                    offset,
                    promised: known.promised && access.promised,
                }
            }
        };
        if before != Some(joined) {
            self.journal.access(pc, before);
            self.facts.set_access(pc, Some(joined));
        }
        Ok(())
    }

    /// The instruction is on some path.
    pub(crate) fn reach(&mut self, pc: Pc) {
        if !self.facts.is_reached(pc) {
            self.journal.reached(pc);
            self.facts.set_reached(pc, true);
        }
    }

    /// A conditional jump goes these ways: 1 falls through, 2 jumps.
    pub(crate) fn goes(&mut self, pc: Pc, ways: u8) {
        let known = self.facts.ways(pc);
        if known | ways != known {
            self.journal.ways(pc, known);
            self.facts.set_ways(pc, known | ways);
        }
    }

    /// A subprogram uses its stack so deep, in bytes.
    pub(crate) fn stack_used(&mut self, subprog: usize, bytes: i64) {
        if let Some(depth) = self.stack_depth.get_mut(subprog)
            && *depth < bytes
        {
            self.journal.depth(subprog, *depth);
            *depth = bytes;
        }
    }

    /// A helper calls the subprogram.
    pub(crate) fn called_back(&mut self, subprog: usize) {
        if self.callbacks.insert(subprog, ()).is_none() {
            self.journal.callback(subprog);
        }
    }

    /// The call at `pc` is on this map, or on none.
    pub(crate) fn calls_on(&mut self, pc: Pc, map: Option<usize>) {
        let known = self.call_maps.get(pc).copied();
        let joined = match known {
            None => map,
            Some(known) => known.filter(|k| Some(*k) == map),
        };
        if known != Some(joined) {
            self.journal.call_map(pc, known);
            self.call_maps.insert(pc, joined);
        }
    }

    /// What makes later paths shorter is worth its while.
    pub(crate) fn thorough(&self) -> bool {
        self.options.store_often || self.cfg.insns.len() > SHORT
    }

    /// The number in a register before the instruction, as far as it is the same on all runs.
    pub(crate) fn any(&mut self, pc: Pc, reg: Reg) -> Scalar {
        let cfg = self.cfg;
        let extended = self.extended.get_or_insert_with(|| Extended::of(cfg));
        match extended.at(pc).contains(reg) {
            true => Scalar::unknown().mov32(),
            false => Scalar::unknown(),
        }
    }

    pub(crate) fn insn(&self, pc: Pc) -> &'a Insn {
        &self.cfg.insns[pc]
    }
}
