//! Entries of maps: keys, lookups, updates.

use probity_isa::{AluOp, JmpOp, Size};

use super::maps::{Form, form};
use super::{Gen, Generated, MAP_LOOKUP_ELEM, Place, R0, R1, R2, R3, R4, globals};
use crate::diagnostics::Diagnostic;
use crate::hir::{self, Expr};
use crate::source::Span;
use crate::types::Ty;

/// `bpf_map_update_elem`, `bpf_map_delete_elem`.
const MAP_UPDATE_ELEM: u32 = 2;
const MAP_DELETE_ELEM: u32 = 3;
const BPF_ANY: i32 = 0;
const BPF_NOEXIST: i32 = 1;

impl<'a> Gen<'a> {
    /// A key in memory, with room for `more` bytes behind it.
    pub(super) fn key_with_room(
        &mut self,
        map: usize,
        key: &'a [Expr],
        more: u32,
        span: Span,
    ) -> Generated<Place> {
        let types = &self.hir.maps[map].keys;
        let bytes: u32 = types.iter().map(Ty::stored).sum();
        let place = self.room(bytes + more, span)?;
        match (key, types.as_slice()) {
            ([one], many) if many.len() > 1 => {
                let whole = Ty::Tuple(many.to_vec());
                self.store_as(one, &whole, place, true)?;
            }
            (parts, types) if parts.len() == types.len() => {
                let mut at = 0;
                for (part, ty) in parts.iter().zip(types) {
                    // A tuple of one item is a key of one item.
                    let ty = match (&part.ty, ty) {
                        (Ty::Tuple(items), t) if items.len() == 1 && !matches!(t, Ty::Tuple(_)) => {
                            Ty::Tuple(vec![t.clone()])
                        }
                        _ => ty.clone(),
                    };
                    self.store_as(part, &ty, place.plus(at), true)?;
                    at += ty.stored();
                }
            }
            _ => return Err(Diagnostic::error(span, "the keys do not fit the map")),
        }
        Ok(place)
    }

    /// r0 = the address of a key's value, or 0.
    pub(super) fn lookup(&mut self, map: usize, key: &'a [Expr], span: Span) -> Generated<()> {
        let place = self.key_with_room(map, key, 0, span)?;
        self.asm.map(R1, self.layout.script_maps[map]);
        self.address(R2, place);
        self.asm.call(MAP_LOOKUP_ELEM);
        Ok(())
    }

    pub(super) fn map_get_scalar(
        &mut self,
        map: usize,
        key: &'a [Expr],
        span: Span,
    ) -> Generated<()> {
        if form(&self.hir.maps[map]) == Form::Single {
            self.asm.map_value(R1, self.layout.script_maps[map], 0);
            self.asm.load(Size::DW, R0, R1, 0);
            return Ok(());
        }
        self.scoped(|g| {
            g.lookup(map, key, span)?;
            // A missing entry reads as 0, which r0 is then.
            let end = g.asm.label();
            g.asm.jump_if(JmpOp::Eq, R0, 0, end);
            g.asm.load(Size::DW, R0, R0, 0);
            g.asm.bind(end);
            Ok(())
        })
    }

    pub(super) fn map_get_stored(
        &mut self,
        map: usize,
        key: &'a [Expr],
        ty: &Ty,
        to: Place,
        span: Span,
    ) -> Generated<()> {
        let own = self.hir.maps[map].value.clone();
        if own != *ty
            && !matches!(
                (&own, ty),
                (Ty::Str(_), Ty::Str(_)) | (Ty::Buf(_), Ty::Buf(_))
            )
        {
            // Tuples of other widths: over a copy.
            return self.scoped(|g| {
                let place = g.room(own.stored(), span)?;
                g.map_get_stored(map, key, &own, place, span)?;
                g.convert(place, &own, ty, to);
                Ok(())
            });
        }
        let bytes = own.stored().min(ty.stored());
        if form(&self.hir.maps[map]) == Form::Single {
            self.asm.map_value(R0, self.layout.script_maps[map], 0);
            self.copy_from_reg(R0, bytes, to);
            self.zero(to, bytes, ty.stored());
            return Ok(());
        }
        self.scoped(|g| {
            g.lookup(map, key, span)?;
            let (none, end) = (g.asm.label(), g.asm.label());
            g.asm.jump_if(JmpOp::Eq, R0, 0, none);
            g.copy_from_reg(R0, bytes, to);
            g.zero(to, bytes, ty.stored());
            g.asm.jump(end);
            g.asm.bind(none);
            g.zero(to, 0, ty.stored());
            g.asm.bind(end);
            Ok(())
        })
    }

    pub(super) fn map_has(&mut self, map: usize, key: &'a [Expr], span: Span) -> Generated<()> {
        if form(&self.hir.maps[map]) == Form::Single {
            self.asm.mov(R0, 1);
            return Ok(());
        }
        if form(&self.hir.maps[map]) == Form::PercpuHashBuckets {
            return Err(Diagnostic::error(
                span,
                "histograms cannot be asked for keys yet",
            ));
        }
        self.scoped(|g| {
            g.lookup(map, key, span)?;
            let end = g.asm.label();
            g.asm.jump_if(JmpOp::Eq, R0, 0, end);
            g.asm.mov(R0, 1);
            g.asm.bind(end);
            Ok(())
        })
    }

    pub(super) fn map_delete(&mut self, map: usize, key: &'a [Expr], span: Span) -> Generated<()> {
        let def = &self.hir.maps[map];
        match form(def) {
            // A single value is there always: deleting it makes it zero.
            Form::Single => {
                let words = def.value.stored().max(8) / 8;
                self.asm.map_value(R1, self.layout.script_maps[map], 0);
                for w in 0..words {
                    self.asm.store(Size::DW, R1, (w * 8) as i16, 0);
                }
                self.asm.mov(R0, 1);
                Ok(())
            }
            Form::PercpuSingle => self.scoped(|g| {
                let at = g.word(span)?;
                g.asm.store(Size::DW, g.fp, at as i16, 0);
                g.empty_cells(map, at);
                g.asm.mov(R0, 1);
                Ok(())
            }),
            Form::PercpuBuckets => self.scoped(|g| {
                let at = g.word(span)?;
                g.each_bucket(map, Place::Stack(at), |g| g.empty_cells(map, at));
                g.asm.mov(R0, 1);
                Ok(())
            }),
            Form::PercpuHashBuckets => self.scoped(|g| {
                let place = g.key_with_room(map, key, 8, span)?;
                let bytes: u32 = g.hir.maps[map].keys.iter().map(Ty::stored).sum();
                let there = g.word(span)? as i16;
                g.asm.store(Size::DW, g.fp, there, 0);
                g.each_bucket(map, place.plus(bytes), |g| {
                    g.asm.map(R1, g.layout.script_maps[map]);
                    g.address(R2, place);
                    g.asm.call(MAP_DELETE_ELEM);
                    let no = g.asm.label();
                    g.asm.jump_if(JmpOp::Ne, R0, 0, no);
                    g.asm.store(Size::DW, g.fp, there, 1);
                    g.asm.bind(no);
                });
                g.asm.load(Size::DW, R0, g.fp, there);
                Ok(())
            }),
            Form::Hash | Form::PercpuHash => self.scoped(|g| {
                let place = g.key_with_room(map, key, 0, span)?;
                g.asm.map(R1, g.layout.script_maps[map]);
                g.address(R2, place);
                g.asm.call(MAP_DELETE_ELEM);
                // 0 when it was there.
                let (no, end) = (g.asm.label(), g.asm.label());
                g.asm.jump_if(JmpOp::Ne, R0, 0, no);
                g.asm.mov(R0, 1);
                g.asm.jump(end);
                g.asm.bind(no);
                g.asm.mov(R0, 0);
                g.asm.bind(end);
                Ok(())
            }),
        }
    }

    /// Runs `f` with every number of a histogram's buckets in the word at `counter`.
    fn each_bucket(&mut self, map: usize, counter: Place, f: impl FnOnce(&mut Self)) {
        let buckets = match self.hir.maps[map].value {
            Ty::Agg(a) => a.buckets().unwrap_or(1),
            _ => 1,
        };
        let (again, out) = (self.asm.label(), self.asm.label());
        self.store_imm(counter, 0);
        self.asm.bind(again);
        self.asm.may_goto(out);
        f(self);
        self.load_word(R1, counter);
        self.asm.alu(AluOp::Add, R1, 1);
        self.store_reg(counter, R1);
        let last = i32::try_from(buckets).unwrap_or(i32::MAX);
        self.asm.jump_if(JmpOp::Lt, R1, last, again);
        self.asm.bind(out);
    }

    /// Zeros in every processor's cell of the element whose number is on the stack.
    fn empty_cells(&mut self, map: usize, at: i32) {
        let words = self.hir.maps[map].value.stored().max(8) / 8;
        for cpu in 0..self.cpus.min(super::aggregate::MAX_CPUS) {
            let next = self.asm.label();
            self.asm.map(R1, self.layout.script_maps[map]);
            self.asm.lea(R2, self.fp, at);
            self.asm.mov(R3, cpu as i32);
            self.asm.call(super::aggregate::MAP_LOOKUP_PERCPU_ELEM);
            self.asm.jump_if(JmpOp::Eq, R0, 0, next);
            for w in 0..words {
                self.asm.store(Size::DW, R0, (w * 8) as i16, 0);
            }
            self.asm.bind(next);
        }
    }

    pub(super) fn set_map(
        &mut self,
        map: usize,
        key: &'a [Expr],
        value: &'a Expr,
        span: Span,
    ) -> Generated<()> {
        let ty = self.hir.maps[map].value.clone();
        let index = self.layout.script_maps[map];
        if form(&self.hir.maps[map]) == Form::Single {
            if ty.is_scalar() {
                self.scalar(value)?;
                self.asm.map_value(R1, index, 0);
                self.asm.store(Size::DW, R1, 0, R0);
                return Ok(());
            }
            return self.scoped(|g| {
                let place = g.room(ty.stored(), span)?;
                g.store_as(value, &ty, place, true)?;
                g.asm.map_value(R1, index, 0);
                for w in 0..ty.stored() / 8 {
                    g.load_word(R0, place.plus(w * 8));
                    g.asm.store(Size::DW, R1, (w * 8) as i16, R0);
                }
                Ok(())
            });
        }
        self.scoped(|g| {
            let from = match value.kind {
                // A variable of the same type is where it has to be.
                hir::ExprKind::Var(id) if g.var_types[id] == ty => g.vars[id],
                _ => {
                    let place = g.room(ty.stored().max(8), span)?;
                    g.store_as(value, &ty, place, true)?;
                    place
                }
            };
            let place = g.key_with_room(map, key, 0, span)?;
            g.asm.map(R1, index);
            g.address(R2, place);
            g.address(R3, from);
            g.asm.mov(R4, BPF_ANY);
            g.asm.call(MAP_UPDATE_ELEM);
            let done = g.asm.label();
            g.asm.jump_if(JmpOp::Eq, R0, 0, done);
            g.count_global(globals::FAILED_UPDATES);
            g.asm.bind(done);
            Ok(())
        })
    }

    /// Adds one to a word of the script's own counters, on whichever processor.
    pub(super) fn count_global(&mut self, off: u32) {
        self.asm.map_value(R1, self.layout.globals_index, off);
        self.asm.mov(R2, 1);
        self.asm.atomic_add(R1, 0, R2, false);
    }

    /// r0 = the value before, or after when `prefix`. Steps of maps are atomic.
    pub(super) fn step(
        &mut self,
        place: &'a hir::Place,
        delta: i64,
        prefix: bool,
        span: Span,
    ) -> Generated<()> {
        let by =
            i32::try_from(delta).map_err(|_| Diagnostic::error(span, "the step is too large"))?;
        match place {
            hir::Place::Var(id) => {
                let at = self.vars[*id];
                self.load_word(R0, at);
                self.asm.mov(R1, R0);
                self.asm.alu(AluOp::Add, R1, by);
                self.store_reg(at, R1);
                if prefix {
                    self.asm.mov(R0, R1);
                }
                return Ok(());
            }
            hir::Place::Map { map, .. } if form(&self.hir.maps[*map]) == Form::Single => {
                self.asm.map_value(R1, self.layout.script_maps[*map], 0);
                self.asm.mov(R0, by);
                self.asm.atomic_add(R1, 0, R0, true);
            }
            hir::Place::Map { map, key } => self.scoped(|g| {
                let index = g.layout.script_maps[*map];
                let at = g.key_with_room(*map, key, 0, span)?;
                let (found, end) = (g.asm.label(), g.asm.label());
                g.asm.map(R1, index);
                g.address(R2, at);
                g.asm.call(MAP_LOOKUP_ELEM);
                g.asm.jump_if(JmpOp::Ne, R0, 0, found);
                let first = g.word(span)?;
                g.asm.store(Size::DW, g.fp, first as i16, by);
                g.asm.map(R1, index);
                g.address(R2, at);
                g.asm.lea(R3, g.fp, first);
                g.asm.mov(R4, BPF_NOEXIST);
                g.asm.call(MAP_UPDATE_ELEM);
                g.asm.jump_if(JmpOp::Eq, R0, 0, end);
                // Another processor was first, or the map is full.
                g.asm.map(R1, index);
                g.address(R2, at);
                g.asm.call(MAP_LOOKUP_ELEM);
                g.asm.jump_if(JmpOp::Ne, R0, 0, found);
                g.count_global(globals::FAILED_UPDATES);
                g.asm.mov(R0, 0);
                g.asm.jump(end);
                g.asm.bind(found);
                g.asm.mov(R1, R0);
                g.asm.mov(R0, by);
                g.asm.atomic_add(R1, 0, R0, true);
                g.asm.bind(end);
                Ok(())
            })?,
        }
        if prefix {
            self.asm.alu(AluOp::Add, R0, by);
        }
        Ok(())
    }
}
