//! Loops over maps: the body is a function that a helper calls with each entry.
//!
//! The function works in the frame of the main one, whose address it is given: variables and
//! intermediates are where they are for the main function. Its own frame stays empty.

use probity_isa::{JmpOp, Size};

use super::{Gen, Generated, Loop, R0, R1, R2, R3, R4, R6, R7, R9, R10};
use crate::emit::Label;
use crate::hir::Stmt;
use crate::source::Span;
use crate::types::Ty;

/// `bpf_for_each_map_elem`.
const FOR_EACH_MAP_ELEM: u32 = 164;

/// A function to be written.
pub(super) struct Pending<'a> {
    label: Label,
    map: usize,
    var: usize,
    body: &'a [Stmt],
    span: Span,
    /// What is in use where the loop stands.
    stack: i32,
    scratch: u32,
    /// In the main frame: the context, the scratch memory, whether the program is to end.
    context: i32,
    cell: i32,
    ended: i32,
}

impl<'a> Gen<'a> {
    pub(super) fn for_map(
        &mut self,
        map: usize,
        var: usize,
        body: &'a [Stmt],
        span: Span,
    ) -> Generated<()> {
        let label = self.asm.label();
        let (context, cell, ended) = (self.word(span)?, self.word(span)?, self.word(span)?);
        self.asm.store(Size::DW, self.fp, context as i16, R6);
        if self.has_scratch {
            self.asm.store(Size::DW, self.fp, cell as i16, R7);
        }
        self.asm.store(Size::DW, self.fp, ended as i16, 0);
        self.asm.map(R1, self.layout.script_maps[map]);
        self.asm.function(R2, label);
        self.asm.mov(R3, self.fp);
        self.asm.mov(R4, 0);
        self.asm.call(FOR_EACH_MAP_ELEM);
        self.asm.load(Size::DW, R0, self.fp, ended as i16);
        let done = self.done;
        self.asm.jump_if(JmpOp::Ne, R0, 0, done);
        self.callbacks.push(Pending {
            label,
            map,
            var,
            body,
            span,
            stack: self.stack,
            scratch: self.scratch,
            context,
            cell,
            ended,
        });
        Ok(())
    }

    /// Writes the functions, those of loops inside of loops too.
    pub(super) fn write_callbacks(&mut self) -> Generated<()> {
        let mut number = 0;
        while !self.callbacks.is_empty() {
            let next = self.callbacks.remove(0);
            number += 1;
            self.callback(next, number)?;
        }
        Ok(())
    }

    /// `(map, key, value, frame)` in r1 to r4; 0 goes on with the next entry, 1 ends the loop.
    fn callback(&mut self, p: Pending<'a>, number: u32) -> Generated<()> {
        self.asm.at(p.span);
        self.asm.begin_function(
            format!("{}_{}_{number}", "entry", self.layout.program + 1),
            p.label,
        );
        self.fp = R9;
        self.stack = p.stack;
        self.scratch = p.scratch;
        self.held = 0;
        self.asm.mov(R9, R4);
        self.asm.load(Size::DW, R6, R9, p.context as i16);
        if self.has_scratch {
            self.asm.load(Size::DW, R7, R9, p.cell as i16);
        }
        let def = &self.hir.maps[p.map];
        let key: u32 = def.keys.iter().map(Ty::stored).sum();
        let place = self.vars[p.var];
        self.copy_from_reg(R2, key, place);
        match def.value {
            // What is handed over is this processor's cell only.
            Ty::Agg(agg) => {
                self.agg_of(p.map, place, agg, p.span)?;
                self.store_reg(place.plus(key), R0);
            }
            ref ty => self.copy_from_reg(R3, ty.stored(), place.plus(key)),
        }
        let (again, out) = (self.asm.label(), self.asm.label());
        let main_done = std::mem::replace(&mut self.done, self.asm.label());
        let loops = std::mem::replace(&mut self.loops, vec![Loop { out, again }]);
        self.stmts(p.body)?;
        self.loops = loops;
        let done = std::mem::replace(&mut self.done, main_done);
        self.asm.at(p.span);
        self.asm.bind(again);
        self.asm.mov(R0, 0);
        self.asm.exit();
        self.asm.bind(done);
        self.asm.store(Size::DW, R9, p.ended as i16, 1);
        self.asm.bind(out);
        self.asm.mov(R0, 1);
        self.asm.exit();
        self.fp = R10;
        Ok(())
    }
}
