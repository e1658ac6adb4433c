//! User stacks by the tables that programs carry for exceptions (`.eh_frame`): frame pointers are not needed.
//!
//! The tables are not read here: whoever runs the script writes them down, for each process, as rows that
//! say from which address on a caller is found how ([`rows`]). A function that is called for each
//! frame looks the row of its address up and goes on to the caller; the addresses, which lie in scratch memory,
//! go into a map by their hash, which is the stack's number.
//!
//! Only for x86-64: where registers are in `struct pt_regs`, and what a signal leaves on a stack.

use probity_isa::{AluOp, JmpOp, Reg, Size};

use super::{Gen, Generated, MAP_LOOKUP_ELEM, Place, R0, R1, R2, R3, R4, R6, R7, R8, R9, globals};
use crate::emit::Label;
use crate::env::Arch;
use crate::probes::ProbeKind;
use crate::source::Span;

const MAP_UPDATE_ELEM: u32 = 2;
const GET_CURRENT_PID_TGID: u32 = 14;
const PROBE_READ_USER: u32 = 112;
const PROBE_READ_KERNEL: u32 = 113;
const GET_CURRENT_TASK_BTF: u32 = 158;
const TASK_PT_REGS: u32 = 175;
const LOOP: u32 = 181;

/// Frames of a stack at most.
pub(crate) const FRAMES: u32 = 127;
/// Bytes of `struct pt_regs`.
const REGISTERS: u32 = 168;
/// Offset in it of the frame pointer, which callees keep.
const BP: i32 = 32;
/// Halvings that find one of 2^26 rows.
const HALVINGS: i32 = 26;

/// How rows are written, for whoever writes them.
pub mod rows {
    /// Bytes of a row: an address, and what holds from there on.
    pub const BYTES: usize = 16;
    /// Rows of a process at most.
    pub const MOST: usize = (1 << 26) - 2;

    /// Where the frame of a function begins: its caller's address is right below.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Frame {
        /// Nobody called it.
        Outermost,
        /// So many bytes above the stack pointer.
        AboveStack(i32),
        /// The same above the register that otherwise keeps frame pointers.
        AbovePointer(i32),
        /// As of an entry of a procedure linkage table: 8 bytes above the stack pointer, and 8 more from this byte
        /// of the 16 of an entry on.
        Linkage(i32),
        /// A signal's: the registers of what it interrupted are on the stack.
        Signal,
        /// Of what there is nothing to be learnt.
        Unknown,
    }

    /// What holds from an address on: the frame, and where below its beginning the caller's frame pointer is kept
    /// when it is not in its register.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Rule {
        pub frame: Frame,
        pub pointer: Option<i16>,
    }

    impl Rule {
        /// The second word of a row.
        pub fn word(self) -> u64 {
            let (kind, offset) = match self.frame {
                Frame::Outermost => (0u64, 0),
                Frame::AboveStack(n) => (1, n),
                Frame::AbovePointer(n) => (2, n),
                Frame::Linkage(n) => (3, n),
                Frame::Signal => (4, 0),
                Frame::Unknown => (5, 0),
            };
            let kept = u64::from(self.pointer.is_some());
            let pointer = self.pointer.unwrap_or(0) as u16;
            u64::from(offset as u32) | u64::from(pointer) << 32 | kind << 48 | kept << 56
        }
    }

    /// The rows of a process, by address; in front of them stands how many there are.
    pub fn table(rows: &[(u64, Rule)]) -> Vec<u8> {
        let rows = &rows[..rows.len().min(MOST)];
        let unknown = Rule {
            frame: Frame::Unknown,
            pointer: None,
        };
        let words = [(rows.len() as u64, unknown.word())].into_iter();
        let words = words.chain(rows.iter().map(|(at, rule)| (*at, rule.word())));
        words
            .flat_map(|(a, b)| [a, b])
            .flat_map(u64::to_le_bytes)
            .collect()
    }
}

const ABOVE_POINTER: i32 = 2;
const LINKAGE: i32 = 3;
const SIGNAL: i32 = 4;
const UNKNOWN: i32 = 5;
/// Where a signal's frame has the registers it interrupted, from the stack pointer that its last function has.
const SIGNAL_BP: i32 = 0x78;
const SIGNAL_SP: i32 = 0xa0;
const SIGNAL_IP: i32 = 0xa8;

/// Words of scratch memory, in front of the frames.
#[derive(Clone, Copy)]
enum Word {
    Ip,
    Sp,
    Bp,
    Hash,
    Count,
    /// 0 where `Ip` is what runs, 1 where it is what will once a callee returns: a call may be
    /// the last instruction of its function.
    Returns,
    Low,
    High,
    Rule,
    Read,
    /// Where the frame being left begins.
    Frame,
}

const WORDS: u32 = 11;

/// A function to be written.
#[derive(Clone, Copy)]
pub(super) struct Walk {
    label: Label,
    span: Span,
    /// Where the words are in scratch memory.
    state: i32,
    /// In the main frame: the scratch memory, the process, the number of a row.
    cell: i32,
    process: i32,
    row: i32,
}

impl Walk {
    fn at(self, word: Word) -> i16 {
        (self.state + word as i32 * 8) as i16
    }

    fn frames(self) -> i32 {
        self.state + WORDS as i32 * 8
    }
}

impl Gen<'_> {
    /// Writes the number of the current thread's user stack and its process.
    pub(super) fn unwound(
        &mut self,
        limit: u32,
        counted: bool,
        place: Place,
        span: Span,
    ) -> Generated<()> {
        let (cell, process, row) = (self.word(span)?, self.word(span)?, self.word(span)?);
        let key = self.word(span)?;
        let state = self.scratch_room((WORDS + FRAMES) * 8, span)?.off();
        let label = self.asm.label();
        let walk = Walk {
            label,
            span,
            state,
            cell,
            process,
            row,
        };
        let done = self.asm.label();
        let (fp, words) = (self.fp, |w| walk.at(w));
        if self.has_scratch {
            self.asm.store(Size::DW, fp, cell as i16, R7);
        }
        self.zero(Place::Scratch(state), 0, (WORDS + FRAMES) * 8);
        self.asm.call(GET_CURRENT_PID_TGID);
        self.asm.alu(AluOp::Rsh, R0, 32);
        self.asm.store(Size::DW, fp, process as i16, R0);
        self.store_reg(place.plus(8), R0);
        self.user_registers(walk);
        self.asm.mov(R1, limit.min(FRAMES) as i32);
        self.asm.function(R2, label);
        self.asm.mov(R3, fp);
        self.asm.mov(R4, 0);
        self.asm.call(LOOP);
        if counted {
            self.asm.load(Size::DW, R0, R7, words(Word::Count));
            self.store_reg(place, R0);
            self.asm.bind(done);
            self.walks.push(walk);
            return Ok(());
        }
        self.asm.load(Size::DW, R0, R7, words(Word::Hash));
        self.store_reg(place, R0);
        self.asm.store(Size::DW, fp, key as i16, R0);
        // Kept once for all who come here the same way.
        self.asm.map(R1, self.layout.unwound_index);
        self.asm.lea(R2, fp, key);
        self.asm.call(MAP_LOOKUP_ELEM);
        self.asm.jump_if(JmpOp::Ne, R0, 0, done);
        self.asm.map(R1, self.layout.unwound_index);
        self.asm.lea(R2, fp, key);
        self.asm.lea(R3, R7, walk.frames());
        self.asm.mov(R4, 0);
        self.asm.call(MAP_UPDATE_ELEM);
        self.asm.jump_if(JmpOp::Eq, R0, 0, done);
        self.count_global(globals::FAILED_UPDATES);
        self.asm.bind(done);
        self.walks.push(walk);
        Ok(())
    }

    /// The registers that user space was left with.
    fn user_registers(&mut self, walk: Walk) {
        let arch = Arch::X86_64;
        let wanted = [
            (arch.instruction_pointer(), Word::Ip),
            (arch.stack_pointer(), Word::Sp),
            (BP, Word::Bp),
        ];
        if let ProbeKind::Uprobe { .. } | ProbeKind::Usdt { .. } = self.probe {
            for (from, to) in wanted {
                self.asm.load(Size::DW, R0, R6, from as i16);
                self.asm.store(Size::DW, R7, walk.at(to), R0);
            }
            return;
        }
        self.asm.call(GET_CURRENT_TASK_BTF);
        self.asm.mov(R1, R0);
        self.asm.call(TASK_PT_REGS);
        self.asm.mov(R3, R0);
        // The room of the frames is not used yet.
        self.asm.lea(R1, R7, walk.frames());
        self.asm.mov(R2, REGISTERS as i32);
        self.asm.call(PROBE_READ_KERNEL);
        for (from, to) in wanted {
            let from = (walk.frames() + from) as i16;
            self.asm.load(Size::DW, R0, R7, from);
            self.asm.store(Size::DW, R7, walk.at(to), R0);
        }
        self.zero(Place::Scratch(walk.frames()), 0, REGISTERS);
    }

    pub(super) fn write_walks(&mut self) {
        for (n, walk) in std::mem::take(&mut self.walks).into_iter().enumerate() {
            self.asm.at(walk.span);
            let name = format!("frame_{}_{}", self.layout.program + 1, n + 1);
            self.asm.begin_function(name, walk.label);
            self.frame(walk);
        }
    }

    /// `(number, main frame)` in r1 and r2; 0 goes on with the caller, 1 ends the walk.
    fn frame(&mut self, walk: Walk) {
        let (stop, lost) = (self.asm.label(), self.asm.label());
        self.asm.mov(R9, R2);
        self.asm.load(Size::DW, R7, R9, walk.cell as i16);
        self.note_address(walk, stop);
        self.asm.map(R1, self.layout.unwind_index);
        self.asm.lea(R2, R9, walk.process);
        self.asm.call(MAP_LOOKUP_ELEM);
        self.asm.jump_if(JmpOp::Eq, R0, 0, lost);
        self.asm.mov(R8, R0);
        self.find_row(walk, stop);
        self.go_up(walk, lost, stop);
        self.asm.mov(R0, 0);
        self.asm.exit();
        // Whoever writes the tables is told which process has parts that none of them knows.
        self.asm.bind(lost);
        self.asm.map(R1, self.layout.unwind_wanted_index);
        self.asm.lea(R2, R9, walk.process);
        self.asm.mov(R3, R2);
        self.asm.mov(R4, 0);
        self.asm.call(MAP_UPDATE_ELEM);
        self.asm.bind(stop);
        self.asm.mov(R0, 1);
        self.asm.exit();
    }

    /// Appends the address of the frame, and takes it into the hash.
    fn note_address(&mut self, walk: Walk, stop: Label) {
        let load = |g: &mut Self, dst: Reg, w| g.asm.load(Size::DW, dst, R7, walk.at(w));
        load(self, R3, Word::Ip);
        self.asm.jump_if(JmpOp::Eq, R3, 0, stop);
        self.asm.jump_if(JmpOp::Ge, R1, FRAMES as i32, stop);
        self.asm.mov(R0, R1);
        self.asm.alu(AluOp::Lsh, R1, 3);
        self.asm.lea(R2, R7, walk.frames());
        self.asm.alu(AluOp::Add, R2, R1);
        self.asm.store(Size::DW, R2, 0, R3);
        self.asm.alu(AluOp::Add, R0, 1);
        self.asm.store(Size::DW, R7, walk.at(Word::Count), R0);
        // Mixed as in FNV, and folded, since its low bits depend on low bits alone.
        load(self, R1, Word::Hash);
        self.asm.alu(AluOp::Xor, R1, R3);
        self.asm.constant(R2, 0x9e37_79b9_7f4a_7c15_u64 as i64);
        self.asm.alu(AluOp::Mul, R1, R2);
        self.asm.mov(R2, R1);
        self.asm.alu(AluOp::Rsh, R2, 29);
        self.asm.alu(AluOp::Xor, R1, R2);
        self.asm.store(Size::DW, R7, walk.at(Word::Hash), R1);
    }

    /// `Rule` = that of the last row that is not behind the address.
    fn find_row(&mut self, walk: Walk, stop: Label) {
        let asm = &mut self.asm;
        let lookup = |asm: &mut crate::emit::Asm| {
            asm.mov(R1, R8);
            asm.lea(R2, R9, walk.row);
            asm.call(MAP_LOOKUP_ELEM);
            asm.jump_if(JmpOp::Eq, R0, 0, stop);
        };
        asm.store(Size::DW, R9, walk.row as i16, 0);
        lookup(asm);
        asm.load(Size::DW, R1, R0, 0);
        asm.alu(AluOp::Add, R1, 1);
        asm.store(Size::DW, R7, walk.at(Word::High), R1);
        asm.store(Size::DW, R7, walk.at(Word::Low), 1);
        // Both lie in memory, where a verifier does not follow them: a lap is like any other.
        let (again, higher, next, found) = (asm.label(), asm.label(), asm.label(), asm.label());
        asm.mov(R6, 0);
        asm.bind(again);
        asm.load(Size::DW, R1, R7, walk.at(Word::Low));
        asm.load(Size::DW, R2, R7, walk.at(Word::High));
        asm.jump_if(JmpOp::Ge, R1, R2, found);
        asm.alu(AluOp::Add, R1, R2);
        asm.alu(AluOp::Rsh, R1, 1);
        asm.store(Size::DW, R9, walk.row as i16, R1);
        lookup(asm);
        asm.load(Size::DW, R1, R7, walk.at(Word::Ip));
        asm.load(Size::DW, R2, R7, walk.at(Word::Returns));
        asm.alu(AluOp::Sub, R1, R2);
        asm.load(Size::DW, R2, R0, 0);
        asm.load(Size::DW, R3, R9, walk.row as i16);
        asm.jump_if(JmpOp::Ge, R1, R2, higher);
        asm.store(Size::DW, R7, walk.at(Word::High), R3);
        asm.jump(next);
        asm.bind(higher);
        asm.alu(AluOp::Add, R3, 1);
        asm.store(Size::DW, R7, walk.at(Word::Low), R3);
        asm.bind(next);
        asm.alu(AluOp::Add, R6, 1);
        asm.jump_if(JmpOp::Lt, R6, HALVINGS, again);
        asm.bind(found);
        asm.load(Size::DW, R1, R7, walk.at(Word::Low));
        asm.alu(AluOp::Sub, R1, 1);
        // In front of all rows stand their number and that nothing is known.
        asm.store(Size::DW, R9, walk.row as i16, R1);
        lookup(asm);
        asm.load(Size::DW, R1, R0, 8);
        asm.store(Size::DW, R7, walk.at(Word::Rule), R1);
    }

    /// From a frame to that of its caller.
    fn go_up(&mut self, walk: Walk, lost: Label, stop: Label) {
        let (signal, from_pointer, linkage, have) = (
            self.asm.label(),
            self.asm.label(),
            self.asm.label(),
            self.asm.label(),
        );
        let end = self.asm.label();
        let asm = &mut self.asm;
        asm.load(Size::DW, R1, R7, walk.at(Word::Rule));
        // r2 = what kind of frame, r3 = its number, which has a sign.
        asm.mov(R2, R1);
        asm.alu(AluOp::Rsh, R2, 48);
        asm.alu(AluOp::And, R2, 0xff);
        asm.mov(R3, R1);
        asm.alu(AluOp::Lsh, R3, 32);
        asm.alu(AluOp::Arsh, R3, 32);
        asm.jump_if(JmpOp::Eq, R2, 0, stop);
        asm.jump_if(JmpOp::Eq, R2, UNKNOWN, lost);
        asm.jump_if(JmpOp::Eq, R2, SIGNAL, signal);
        asm.jump_if(JmpOp::Eq, R2, LINKAGE, linkage);
        asm.jump_if(JmpOp::Eq, R2, ABOVE_POINTER, from_pointer);
        asm.load(Size::DW, R4, R7, walk.at(Word::Sp));
        asm.alu(AluOp::Add, R4, R3);
        asm.jump(have);
        asm.bind(from_pointer);
        asm.load(Size::DW, R4, R7, walk.at(Word::Bp));
        asm.alu(AluOp::Add, R4, R3);
        asm.jump(have);
        asm.bind(linkage);
        asm.load(Size::DW, R4, R7, walk.at(Word::Sp));
        asm.alu(AluOp::Add, R4, 8);
        asm.load(Size::DW, R1, R7, walk.at(Word::Ip));
        asm.alu(AluOp::And, R1, 15);
        asm.jump_if(JmpOp::Lt, R1, R3, have);
        asm.alu(AluOp::Add, R4, 8);
        asm.bind(have);
        // Callers are further up: so a walk ends, whatever the memory says.
        asm.load(Size::DW, R1, R7, walk.at(Word::Sp));
        asm.jump_if(JmpOp::Le, R4, R1, stop);
        asm.store(Size::DW, R7, walk.at(Word::Frame), R4);
        self.read_word(walk, Word::Frame, -8, stop);
        let asm = &mut self.asm;
        asm.load(Size::DW, R0, R7, walk.at(Word::Read));
        asm.store(Size::DW, R7, walk.at(Word::Ip), R0);
        // The caller's frame pointer, where it is kept.
        let same = asm.label();
        asm.load(Size::DW, R1, R7, walk.at(Word::Rule));
        asm.mov(R2, R1);
        asm.alu(AluOp::Rsh, R2, 56);
        asm.jump_if(JmpOp::Eq, R2, 0, same);
        asm.alu(AluOp::Lsh, R1, 16);
        asm.alu(AluOp::Arsh, R1, 48);
        asm.load(Size::DW, R3, R7, walk.at(Word::Frame));
        asm.alu(AluOp::Add, R3, R1);
        self.read_at_r3(walk, stop);
        let asm = &mut self.asm;
        asm.load(Size::DW, R0, R7, walk.at(Word::Read));
        asm.store(Size::DW, R7, walk.at(Word::Bp), R0);
        asm.bind(same);
        asm.load(Size::DW, R0, R7, walk.at(Word::Frame));
        asm.store(Size::DW, R7, walk.at(Word::Sp), R0);
        asm.store(Size::DW, R7, walk.at(Word::Returns), 1);
        asm.jump(end);
        asm.bind(signal);
        asm.store(Size::DW, R7, walk.at(Word::Returns), 0);
        self.read_word(walk, Word::Sp, SIGNAL_IP, stop);
        self.move_read(walk, Word::Ip);
        self.read_word(walk, Word::Sp, SIGNAL_BP, stop);
        self.move_read(walk, Word::Bp);
        self.read_word(walk, Word::Sp, SIGNAL_SP, stop);
        self.move_read(walk, Word::Sp);
        self.asm.bind(end);
    }

    fn move_read(&mut self, walk: Walk, to: Word) {
        self.asm.load(Size::DW, R0, R7, walk.at(Word::Read));
        self.asm.store(Size::DW, R7, walk.at(to), R0);
    }

    /// `Read` = the user's word so many bytes from where another one points.
    fn read_word(&mut self, walk: Walk, base: Word, offset: i32, stop: Label) {
        self.asm.load(Size::DW, R3, R7, walk.at(base));
        self.asm.alu(AluOp::Add, R3, offset);
        self.read_at_r3(walk, stop);
    }

    fn read_at_r3(&mut self, walk: Walk, stop: Label) {
        self.asm.lea(R1, R7, i32::from(walk.at(Word::Read)));
        self.asm.mov(R2, 8);
        self.asm.call(PROBE_READ_USER);
        self.asm.jump_if(JmpOp::Ne, R0, 0, stop);
    }
}
