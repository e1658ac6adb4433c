//! A checked script → what a recording must hold to answer it, and programs that record just that.
//!
//! While a script is recorded it runs as it always does, so its predicates and maps have the values that
//! they will have when it is replayed. Beside that each program first sends its event, and then what each
//! read of memory outside of the event gave, with its address.

use crate::check::Result_ as Checked;
use crate::diagnostics::{Diagnostic, Diagnostics};
use crate::env::{Environment, TracepointFormats};
use crate::event::Event;
use crate::formats::FieldPlace;
use crate::hir::{Arg, Arith, Cmp, Expr, ExprKind, Stmt, StmtKind};
use crate::printer::word;
use crate::probes::ProbeKind;
use crate::source::{Source, Span};
use crate::types::{Space, Ty};
use crate::walk;

/// Helpers whose answers are of the machine at that moment.
const KTIME_GET_NS: u32 = 5;
const GET_SMP_PROCESSOR_ID: u32 = 8;
const GET_CURRENT_PID_TGID: u32 = 14;
const GET_CURRENT_UID_GID: u32 = 15;
const GET_CURRENT_COMM: u32 = 16;
const GET_CURRENT_TASK: u32 = 35;
const GET_CURRENT_CGROUP_ID: u32 = 80;
const GET_NUMA_NODE_ID: u32 = 42;
const GET_NS_CURRENT_PID_TGID: u32 = 120;
/// Those that change the machine.
const ACTIONS: &[u32] = &[6, 36, 58, 109, 117];

/// Where an event's own data begins in its record; before it is the kernel's.
const HIDDEN: u32 = 8;
/// Bytes kept of an event whose strings follow its fields.
const MOST_OF_AN_EVENT: u32 = 2048;
/// Frames of a stack.
const FRAMES: u32 = 127;
const COMM: u32 = 16;
const USER_STACK: u64 = 1 << 8;
/// Pages of the ring buffer while recording: 16 MiB.
const RING_PAGES: u32 = 4096;

/// What a script asks that is in no event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NeedKind {
    /// User and group.
    User,
    /// The address of the kernel's structure of the thread.
    Task,
    Cgroup,
    NumaNode,
    /// Process numbers in another namespace than the first.
    Namespace,
    /// Memory that an event only has the address of.
    Memory,
    KernelStack,
    UserStack,
    /// A change to the machine, which a replay leaves out.
    Action,
}

impl NeedKind {
    pub fn name(self) -> &'static str {
        match self {
            NeedKind::User => "user",
            NeedKind::Task => "task",
            NeedKind::Cgroup => "cgroup",
            NeedKind::NumaNode => "numa-node",
            NeedKind::Namespace => "namespace",
            NeedKind::Memory => "memory",
            NeedKind::KernelStack => "kernel-stack",
            NeedKind::UserStack => "user-stack",
            NeedKind::Action => "action",
        }
    }

    /// Whether a recording made for a script has it.
    pub fn recordable(self) -> bool {
        !matches!(
            self,
            NeedKind::NumaNode | NeedKind::Namespace | NeedKind::Action
        )
    }
}

/// One thing that a script asks, as it is written there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Need {
    pub kind: NeedKind,
    pub text: String,
}

/// What a recording program sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recorded<'a> {
    Sample(Box<RecordedSample<'a>>),
    Read {
        cpu: u32,
        address: u64,
        /// What was there.
        bytes: &'a [u8],
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedSample<'a> {
    /// Which of [`crate::Script::probes`], those that are implicit not counted.
    pub probe: usize,
    /// Of the monotonic clock.
    pub time: u64,
    pub pid_tgid: u64,
    pub cpu: u32,
    pub uid_gid: u64,
    pub task: u64,
    pub cgroup: u64,
    pub comm: &'a [u8],
    /// The event from its eighth byte on; strings behind the fields may be followed by anything.
    pub data: &'a [u8],
    pub kernel_stack: Vec<u64>,
    pub user_stack: Vec<u64>,
}

/// Everything a script asks that is in no event, each once.
pub(crate) fn needs(checked: &mut Checked, source: &Source) -> Vec<Need> {
    let mut found = Vec::new();
    for program in &mut checked.hir.programs {
        let kind = checked.probes[program.probe].clone();
        // What runs by itself asks of the replaying process, which answers.
        if kind.by_hand() {
            continue;
        }
        walk::each_mut(&mut program.body, &mut |e| {
            let kind = match &e.kind {
                ExprKind::Call { helper }
                | ExprKind::Helper { helper, .. }
                | ExprKind::Fill { helper, .. } => match *helper {
                    GET_CURRENT_UID_GID => NeedKind::User,
                    GET_CURRENT_TASK => NeedKind::Task,
                    GET_CURRENT_CGROUP_ID => NeedKind::Cgroup,
                    GET_NUMA_NODE_ID => NeedKind::NumaNode,
                    GET_NS_CURRENT_PID_TGID => NeedKind::Namespace,
                    h if ACTIONS.contains(&h) => NeedKind::Action,
                    _ => return,
                },
                ExprKind::Stack { kernel: true, .. } => NeedKind::KernelStack,
                ExprKind::Stack { kernel: false, .. } => NeedKind::UserStack,
                ExprKind::Frames { user, .. } if *user => NeedKind::UserStack,
                ExprKind::Frames { .. } => NeedKind::KernelStack,
                _ if read(e).is_some() => NeedKind::Memory,
                _ => return,
            };
            let text = source
                .excerpt(e.span)
                .split_whitespace()
                .collect::<Vec<_>>();
            found.push(Need {
                kind,
                text: text.join(" "),
            });
        });
    }
    found.sort();
    found.dedup();
    found
}

/// The address of a read outside of the event.
fn read(e: &Expr) -> Option<&Expr> {
    let addr = match &e.kind {
        ExprKind::Read { addr, .. }
        | ExprKind::ReadStr { addr, .. }
        | ExprKind::ReadBuf { addr, .. }
        | ExprKind::ReadMem { addr, .. } => addr,
        _ => return None,
    };
    (!within_event(addr)).then_some(addr)
}

/// Whether an address is one of the event, or of a value that the program holds.
fn within_event(e: &Expr) -> bool {
    match &e.kind {
        ExprKind::Ctx(_) | ExprKind::AddrOf(_) => true,
        ExprKind::Bin { left, right, .. } => within_event(left) || within_event(right),
        ExprKind::Cast { expr, .. } => within_event(expr),
        _ => false,
    }
}

/// Makes each program send what a replay needs. Programs of the process `own` are not recorded.
pub(crate) fn instrument(
    checked: &mut Checked,
    env: &Environment<'_>,
    source: &std::sync::Arc<Source>,
    needs: &[Need],
    own: u32,
) -> Result<(), Diagnostics> {
    let mut refused = Diagnostics::new(source.clone());
    // Whole events come at once, not what a script makes of them.
    checked.config.perf_rb_pages = checked.config.perf_rb_pages.max(RING_PAGES);
    let asked = |kind| needs.iter().any(|n| n.kind == kind);
    for n in 0..checked.hir.programs.len() {
        let number = checked.hir.programs[n].probe;
        let span = checked.hir.programs[n].span;
        let bytes = match &checked.probes[number] {
            ProbeKind::Tracepoint { category, name } => {
                event_bytes(env.tracepoints, category, name)
            }
            ProbeKind::Profile(_) => 0,
            ProbeKind::Begin | ProbeKind::End | ProbeKind::Interval(_) => continue,
            other => {
                refused.push(
                    Diagnostic::error(
                        span,
                        format!("{other}: probes of this kind cannot be recorded"),
                    )
                    .hint("tracepoints and profile can; begin, end and interval run in the replay"),
                );
                continue;
            }
        };
        let events = &mut checked.events;
        let program = &mut checked.hir.programs[n];
        let vars = &mut program.vars;
        walk::each_mut(&mut program.body, &mut |e| {
            note_read(e, events, vars);
        });
        let stacks = [asked(NeedKind::KernelStack), asked(NeedKind::UserStack)];
        events.push(Event::Sample { bytes, stacks });
        let sample = sample(
            number,
            events.len() - 1,
            bytes,
            stacks,
            asked(NeedKind::Task),
            asked(NeedKind::Cgroup),
            span,
        );
        let others = Expr::new(
            ExprKind::Cmp {
                op: Cmp::Ne,
                signed: false,
                left: Box::new(Expr::bin(
                    Arith::Shr { signed: false },
                    Expr::call0(GET_CURRENT_PID_TGID, Ty::U64, span),
                    Expr::int(32, Ty::U64, span),
                    Ty::U64,
                )),
                right: Box::new(Expr::int(i64::from(own), Ty::U64, span)),
            },
            Ty::Bool,
            span,
        );
        let mut whole = vec![sample];
        whole.append(&mut program.body);
        program.body = vec![Stmt {
            kind: StmtKind::If {
                cond: others,
                yes: whole,
                no: Vec::new(),
            },
            span,
        }];
    }
    if refused.has_errors() {
        return Err(refused);
    }
    Ok(())
}

/// How much of an event is sent, from its eighth byte on.
fn event_bytes(formats: &dyn TracepointFormats, category: &str, name: &str) -> u32 {
    let Some(format) = formats.format(category, name) else {
        return 0;
    };
    let size = match format.fields.iter().all(|f| f.place == FieldPlace::Inline) {
        true => format.size(),
        false => format.size().max(MOST_OF_AN_EVENT),
    };
    size.saturating_sub(HIDDEN).min(8192 - HIDDEN)
}

fn sample(
    probe: usize,
    event: usize,
    bytes: u32,
    stacks: [bool; 2],
    task: bool,
    cgroup: bool,
    span: Span,
) -> Stmt {
    let call = |helper| Expr::call0(helper, Ty::U64, span);
    let int = |n: i64| Expr::int(n, Ty::U64, span);
    let if_asked = |asked: bool, helper| if asked { call(helper) } else { int(0) };
    let mut args = vec![
        int(probe as i64),
        call(KTIME_GET_NS),
        call(GET_CURRENT_PID_TGID),
        call(GET_SMP_PROCESSOR_ID),
        call(GET_CURRENT_UID_GID),
        if_asked(task, GET_CURRENT_TASK),
        if_asked(cgroup, GET_CURRENT_CGROUP_ID),
        Expr::new(
            ExprKind::Fill {
                helper: GET_CURRENT_COMM,
                args: vec![Arg::Dest, Arg::DestSize(COMM)],
            },
            Ty::Str(COMM),
            span,
        ),
    ];
    if bytes > 0 {
        args.push(Expr::new(
            ExprKind::ReadBuf {
                addr: Box::new(Expr::new(
                    ExprKind::Ctx(HIDDEN as i32),
                    Ty::ptr(Ty::Void, Space::Kernel),
                    span,
                )),
                space: Space::Kernel,
                len: Box::new(int(i64::from(bytes))),
            },
            Ty::Buf(bytes),
            span,
        ));
    }
    for (asked, user) in stacks.into_iter().zip([false, true]) {
        if asked {
            args.push(Expr::new(
                ExprKind::Frames {
                    user,
                    flags: if user { USER_STACK } else { 0 },
                },
                Ty::Buf(FRAMES * 8),
                span,
            ));
        }
    }
    Stmt {
        kind: StmtKind::Emit { event, args },
        span,
    }
}

/// A read becomes the read, a record of it, and its value.
fn note_read(e: &mut Expr, events: &mut Vec<Event>, vars: &mut Vec<Ty>) {
    if read(e).is_none() {
        return;
    }
    let span = e.span;
    let ty = e.ty.clone();
    // Numbers are sent as they lie in memory.
    let bytes = match &e.kind {
        ExprKind::Read { bytes, .. } => u32::from(*bytes),
        _ => match &ty {
            Ty::Mem(m) => m.bytes,
            Ty::Str(n) => *n,
            other => other.stored(),
        },
    };
    let event = Event::Read {
        ty: ty.clone(),
        bytes,
    };
    let number = events.iter().position(|o| *o == event).unwrap_or_else(|| {
        events.push(event);
        events.len() - 1
    });
    let address = vars.len();
    vars.push(Ty::U64);
    let value = vars.len();
    vars.push(ty.clone());
    let var = |id: usize, ty: Ty| Expr::new(ExprKind::Var(id), ty, span);
    let mut reading = std::mem::replace(e, Expr::int(0, Ty::U64, span));
    let addr = match &mut reading.kind {
        ExprKind::Read { addr, .. }
        | ExprKind::ReadStr { addr, .. }
        | ExprKind::ReadBuf { addr, .. }
        | ExprKind::ReadMem { addr, .. } => {
            let mut held = var(address, Ty::U64);
            held.ty = addr.ty.clone();
            std::mem::replace(&mut **addr, held)
        }
        _ => return,
    };
    let stmt = |kind| Stmt { kind, span };
    let block = vec![
        stmt(StmtKind::SetVar(address, addr)),
        stmt(StmtKind::SetVar(value, reading)),
        stmt(StmtKind::Emit {
            event: number,
            args: vec![
                Expr::call0(GET_SMP_PROCESSOR_ID, Ty::U64, span),
                var(address, Ty::U64),
                var(value, ty.clone()),
            ],
        }),
    ];
    *e = Expr::new(
        ExprKind::Block(block, Box::new(var(value, ty.clone()))),
        ty,
        span,
    );
}

/// A record of a recording program; `None` for any other.
pub(crate) fn recorded<'a>(events: &[Event], record: &'a [u8]) -> Option<Recorded<'a>> {
    let event = usize::try_from(word(record, 0))
        .ok()
        .and_then(|n| events.get(n))?;
    match event {
        Event::Read { ty, bytes } => {
            let stored = record.get(24..)?;
            let whole = match ty {
                Ty::Buf(most) => {
                    let n = (word(stored, 0) as usize).min(*most as usize);
                    stored.get(8..)?.get(..n)?
                }
                Ty::Str(_) => {
                    let text = stored.get(..*bytes as usize)?;
                    // With its NUL: a reader must meet it.
                    let end = text.iter().position(|b| *b == 0);
                    &text[..end.map_or(text.len(), |n| n + 1)]
                }
                _ => stored.get(..*bytes as usize)?,
            };
            Some(Recorded::Read {
                cpu: word(record, 8) as u32,
                address: word(record, 16),
                bytes: whole,
            })
        }
        Event::Sample { bytes, stacks } => {
            let fixed = 8 * 8;
            let mut at = fixed + COMM as usize;
            let comm = record.get(fixed..at)?;
            let comm = &comm[..comm.iter().position(|b| *b == 0).unwrap_or(comm.len())];
            let mut data = &[][..];
            if *bytes > 0 {
                data = record.get(at + 8..)?.get(..*bytes as usize)?;
                at += Ty::Buf(*bytes).stored() as usize;
            }
            let mut chains = [Vec::new(), Vec::new()];
            for (chain, asked) in chains.iter_mut().zip(stacks) {
                if !asked {
                    continue;
                }
                let stored = record.get(at..)?;
                // What the helper returned: bytes, or the number of an error.
                let bytes = usize::try_from(word(stored, 0) as i64).unwrap_or(0);
                let frames = stored.get(8..)?.chunks_exact(8).take(bytes / 8);
                chain.extend(frames.map(|f| word(f, 0)).take(FRAMES as usize));
                at += Ty::Buf(FRAMES * 8).stored() as usize;
            }
            let [kernel_stack, user_stack] = chains;
            Some(Recorded::Sample(Box::new(RecordedSample {
                probe: word(record, 8) as usize,
                time: word(record, 16),
                pid_tgid: word(record, 24),
                cpu: word(record, 32) as u32,
                uid_gid: word(record, 40),
                task: word(record, 48),
                cgroup: word(record, 56),
                comm,
                data,
                kernel_stack,
                user_stack,
            })))
        }
        _ => None,
    }
}
