//! Calls of helpers and subprograms, and what only they lead to: packets, records, callbacks.

use probity_isa::{AluOp, CallTarget, Imm64, Insn, JmpOp, Reg, Size, Src, Width};

use super::body::{Generator, Is, Sub};
use super::{ARRAY, CELLS, EVENTS, Features, HASH, PROGRAMS, RING, SHELVES, reg};

impl Generator<'_> {
    pub fn call(&mut self, helper: u32, result: Is) {
        self.code.push(Insn::Call(CallTarget::Helper(helper)));
        self.called(result);
    }

    pub(super) fn called(&mut self, result: Is) {
        self.is[0] = result;
        self.is[1..=5].fill(Is::Nothing);
    }

    /// Looks up in a map; the result may be checked at once.
    pub fn lookup(&mut self, map: u32) {
        let key = match self.r.below(4) {
            0 if map == SHELVES => 1,
            0 if map != ARRAY => self.r.of(&[1, 2, 3, 4]),
            _ => 0,
        };
        self.store_imm(Size::W, -4, key);
        self.stack(2, -4);
        self.map(1, map);
        self.call(1, Is::MaybeValue);
        let careless = if self.on(Features::MISTAKES) {
            8
        } else {
            1 << 32
        };
        if !self.r.once_in(careless) {
            self.mov(9, 0);
            if !self.r.once_in(careless) {
                self.check(0);
            }
        }
    }

    pub fn legacy(&mut self) {
        if !self.kind.legacy || self.held || self.is[6] != Is::Context {
            return;
        }
        let size = self.r.of(&[Size::B, Size::H, Size::W]);
        let index = match self.pick(Is::Number) {
            Some(n) if self.r.once_in(2) => Some(reg(n)),
            _ => None,
        };
        let imm = self.r.below(64) as i32;
        self.code.push(Insn::LoadPacket { size, index, imm });
        self.called(Is::Number);
    }

    pub fn packet(&mut self) {
        let (Some((data, end)), Some(context)) = (self.kind.packet, self.pick(Is::Context)) else {
            return;
        };
        if context == 2 || context == 3 {
            return;
        }
        for (dst, off, is) in [(2, data, Is::Packet), (3, end, Is::PacketEnd)] {
            self.code.push(Insn::Load {
                size: Size::W,
                signed: false,
                dst: reg(dst),
                base: reg(context),
                off,
            });
            self.is[dst] = is;
        }
        if let Some(number) = self.pick(Is::Number)
            && self.r.once_in(3)
        {
            self.alu(AluOp::And, number, Src::Imm(63));
            self.alu(AluOp::Add, 2, Src::Reg(reg(number)));
        }
        let length = match self.on(Features::MISTAKES) {
            true => self.r.of(&[16, 16, 16, 15, 8, 34]),
            false => self.r.of(&[16, 16, 18, 34]),
        };
        self.mov(1, 2);
        self.alu(AluOp::Add, 1, Src::Imm(length));
        let op = match self.on(Features::MISTAKES) {
            true => self
                .r
                .of(&[JmpOp::Le, JmpOp::Le, JmpOp::Le, JmpOp::Lt, JmpOp::Ge]),
            false => self.r.of(&[JmpOp::Le, JmpOp::Le, JmpOp::Lt]),
        };
        self.guard(op, Width::W64, 1, Src::Reg(Reg::R3));
        self.is[1] = Is::Nothing;
        let keep = self.r.of(&[4, 5, 7, 8]);
        self.mov(keep, 2);
    }

    fn number_in(&mut self, dst: usize) {
        match self.pick(Is::Number) {
            Some(n) if n != dst => self.mov(dst, n),
            _ => {
                let number = self.r.number();
                self.imm(dst, number);
            }
        }
    }

    /// A size for a helper: constant, or a number in bounds.
    fn size_in(&mut self, dst: usize) {
        if self.r.once_in(2) {
            let size = match self.on(Features::MISTAKES) {
                true => self.r.of(&[8, 16, 16, 1, 32, 0, 33]),
                false => self.r.of(&[8, 16, 16, 1, 4]),
            };
            return self.imm(dst, size);
        }
        self.number_in(dst);
        self.alu(AluOp::And, dst, Src::Imm(7));
        if !self.on(Features::MISTAKES) || !self.r.once_in(4) {
            self.alu(AluOp::Add, dst, Src::Imm(1));
        }
    }

    fn memory_in(&mut self, dst: usize) {
        let is = self.r.of(&[Is::Stack, Is::Value, Is::Packet, Is::Record]);
        match self.pick(is) {
            Some(n) if is != Is::Stack && n != dst => self.mov(dst, n),
            _ => {
                let off = self.r.of(&[-16, -32, -32, -24]);
                self.stack(dst, off);
            }
        }
    }

    fn context_in(&mut self, dst: usize) {
        if let Some(n) = self.pick(Is::Context) {
            self.mov(dst, n);
        }
    }

    pub fn tail_call(&mut self) {
        if self.is[6] != Is::Context || self.held || self.is.contains(&Is::Record) {
            return;
        }
        self.number_in(3);
        self.context_in(1);
        self.map(2, PROGRAMS);
        self.call(12, Is::Nothing);
    }

    pub fn helper(&mut self) {
        let mistakes = self.on(Features::MISTAKES);
        let context = self.is[6] == Is::Context;
        let cgroup = self.kind.section.starts_with("cgroup");
        match self.r.below(if self.kind.tracing { 14 } else { 11 }) {
            0 => self.call(7, Is::Number),
            1 => {
                // map_update_elem
                let map = match mistakes {
                    true => self.r.of(&[ARRAY, HASH, HASH, HASH, PROGRAMS]),
                    false => self.r.of(&[ARRAY, CELLS, HASH, HASH]),
                };
                self.memory_in(3);
                self.memory_in(2);
                self.map(1, map);
                let flags = self.r.of(&[0, 0, 1, 2]);
                self.imm(4, flags);
                self.call(2, Is::Number);
            }
            2 => {
                let map = self
                    .r
                    .of(&[HASH, HASH, HASH, if mistakes { ARRAY } else { HASH }]);
                self.memory_in(2);
                self.map(1, map);
                self.call(3, Is::Number);
            }
            3 | 4 if context => {
                // perf_event_output
                self.size_in(5);
                self.memory_in(4);
                self.context_in(1);
                self.map(2, EVENTS);
                self.imm(3, 0);
                self.call(25, Is::Number);
            }
            5 => {
                // ringbuf_output
                self.size_in(3);
                self.memory_in(2);
                self.map(1, RING);
                self.imm(4, 0);
                self.call(130, Is::Number);
            }
            6 => {
                // trace_printk
                self.size_in(2);
                self.memory_in(1);
                self.number_in(3);
                self.call(6, Is::Number);
            }
            7 if !self.kind.tracing && self.kind.section != "xdp" && context => {
                // skb_load_bytes
                self.number_in(2);
                self.size_in(4);
                self.memory_in(3);
                self.context_in(1);
                self.call(26, Is::Number);
            }
            8 | 9 if self.kind.packet.is_some() && context && !cgroup => {
                // xdp_adjust_head, skb_pull_data
                let helper = match self.kind.section {
                    "xdp" => 44,
                    _ => 39,
                };
                self.number_in(2);
                self.context_in(1);
                self.call(helper, Is::Number);
                for is in &mut self.is {
                    if matches!(is, Is::Packet | Is::PacketEnd) {
                        *is = Is::Nothing;
                    }
                }
            }
            10 if self.kind.packet.is_some() && !cgroup => {
                // csum_diff
                self.memory_in(1);
                self.memory_in(3);
                let size = self.r.of(&[4, 8, 16, 0]);
                self.imm(2, size);
                self.imm(4, size);
                self.number_in(5);
                self.call(28, Is::Number);
            }
            11 => {
                // get_current_comm
                self.size_in(2);
                self.memory_in(1);
                self.call(16, Is::Number);
            }
            12 => {
                // probe_read_kernel
                self.number_in(3);
                self.size_in(2);
                self.memory_in(1);
                self.call(113, Is::Number);
            }
            13 => {
                // What does not change during a call: task, user, control group.
                let helper = self.r.of(&[14, 14, 15, 35, 80]);
                self.call(helper, Is::Number);
            }
            _ => {
                // Time, processor, node.
                let helper = self.r.of(&[5, 5, 8, 42]);
                self.call(helper, Is::Number);
            }
        }
    }

    /// A record of the ring buffer: reserved, written, given back, mostly.
    pub fn record(&mut self) {
        let careless = if self.on(Features::MISTAKES) {
            12
        } else {
            1 << 32
        };
        self.map(1, RING);
        self.imm(2, 16);
        self.imm(3, 0);
        self.call(131, Is::Nothing);
        if !self.r.once_in(careless) {
            self.guard(JmpOp::Ne, Width::W64, 0, Src::Imm(0));
        }
        self.mov(8, 0);
        self.is[8] = Is::Record;
        for _ in 0..self.r.below(4) {
            self.store();
        }
        if self.is[8] == Is::Record && !self.r.once_in(careless) {
            self.mov(1, 8);
            self.imm(2, 0);
            let helper = self.r.of(&[132, 133]);
            self.call(helper, Is::Nothing);
            for is in &mut self.is {
                if *is == Is::Record {
                    *is = Is::Nothing;
                }
            }
        }
    }

    /// A subprogram of this sort that comes later than the current one, old or new.
    pub(super) fn which(&mut self, sub: Sub) -> Option<usize> {
        let next = self.inside.map_or(0, |n| n + 1);
        let old: Vec<usize> = (next..self.subs.len())
            .filter(|n| self.subs[*n] == sub)
            .collect();
        if !old.is_empty() && (self.subs.len() >= 4 || self.r.once_in(2)) {
            return Some(self.r.of(&old));
        }
        if self.subs.len() >= 5 {
            return None;
        }
        self.subs.push(sub);
        Some(self.subs.len() - 1)
    }

    pub fn subprogram_call(&mut self) {
        if self.is[6] != Is::Context {
            return;
        }
        let Some(which) = self.which(Sub::Plain) else {
            return;
        };
        // What is called over and over may be walked once: with the same, less, or something else.
        let preserved = |g: &Generator<'_>, is: Is| (7..=9).find(|n| g.is[*n] == is);
        let number = preserved(self, Is::Number).filter(|_| self.r.once_in(2));
        let memory = preserved(self, Is::Value).filter(|_| self.r.once_in(2));
        for _ in 0..self.r.of(&[1, 1, 2, 3, 5]) {
            match number {
                Some(n) => self.mov(2, n),
                None => self.number_in(2),
            }
            match (memory, self.pick(Is::Value)) {
                (Some(n), _) => self.mov(3, n),
                (None, Some(n)) if n != 2 && n != 3 && self.r.once_in(2) => self.mov(3, n),
                _ => self.stack(3, -32),
            }
            self.mov(1, 6);
            self.calls.push((self.code.len(), which));
            self.code.push(Insn::Exit);
            self.called(Is::Number);
            if number.is_none() && self.r.once_in(3) {
                let kept = self.r.of(&[7, 8]);
                self.mov(kept, 0);
            }
        }
    }

    pub fn callback_call(&mut self) {
        let sub = self.r.of(&[Sub::Loop, Sub::Loop, Sub::Element]);
        let Some(which) = self.which(sub) else {
            return;
        };
        match sub {
            Sub::Loop if self.r.once_in(3) => {
                self.number_in(1);
                self.alu(AluOp::And, 1, Src::Imm(31));
            }
            Sub::Loop => {
                let turns = self.r.of(&[0, 1, 3, 5, 20, 40]);
                self.imm(1, turns);
            }
            _ => {
                let map = self.r.of(&[HASH, ARRAY, CELLS]);
                self.map(1, map);
            }
        }
        self.calls.push((self.code.len(), which));
        self.code.push(Insn::LoadImm64 {
            dst: Reg::R2,
            imm: Imm64::Value(0),
        });
        self.code.push(Insn::Imm64High);
        self.stack(3, -32);
        self.imm(4, 0);
        self.call(if sub == Sub::Element { 164 } else { 181 }, Is::Number);
    }

    /// The text of subprogram `n`.
    pub fn subprogram(&mut self, n: usize, sub: Sub) {
        self.is = [Is::Nothing; 11];
        self.is[10] = Is::Stack;
        self.inside = Some(n);
        self.loops = 0;
        if sub == Sub::Less {
            return self.less();
        }
        // Numbers and memory that survive calls.
        let (number, memory) = match sub {
            Sub::Plain => {
                self.is[1] = Is::Context;
                self.mov(6, 1);
                (2, 3)
            }
            Sub::Loop => (1, 2),
            Sub::Element | Sub::Less => (2, 4),
        };
        self.is[number] = Is::Number;
        self.is[memory] = Is::Value;
        self.mov(9, memory);
        if sub == Sub::Element {
            self.is[3] = Is::Value;
            let from = self.r.of(&[3, 9]);
            self.code.push(Insn::Load {
                size: Size::DW,
                signed: false,
                dst: Reg::R7,
                base: reg(from),
                off: 0,
            });
            self.is[7] = Is::Number;
            self.is[2] = Is::Nothing;
        } else {
            self.mov(7, number);
        }
        for slot in 1..=4 {
            self.store_imm(Size::DW, -8 * slot, 0);
        }
        self.lines(5, 1);
        match sub {
            Sub::Plain if self.is[7] == Is::Number && !self.r.once_in(3) => {
                self.mov(0, 7);
                self.code.push(Insn::Exit);
            }
            _ => self.end(),
        }
    }
}
