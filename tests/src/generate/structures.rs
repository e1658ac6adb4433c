//! Structures that a program allocates: into lists, trees and map values, and out of them.
//!
//! An episode gets a structure, uses it and gives it away again. Meanwhile it lies in a stack slot that nothing else
//! writes, and whoever leaves the program frees it first; so between the steps any lines may stand.

use probity_btf::{BtfBuilder, IntEncoding, MemberDef, TypeId};
use probity_isa::{AluOp, CallTarget, Imm64, Insn, JmpOp, Reg, Size, Src, Width};

use super::body::{Generator, Is, JUMPS, Sub};
use super::{Features, SHELVES, STORE, reg};

/// Where an episode's structure lies in the frame.
const HELD: i16 = -72;
/// A second one, for a few instructions.
const OTHER: i16 = -80;
/// A shelf of zeros, to update with.
const SHELF: i32 = -160;

/// Offsets in the structure of the list and tree, whose first 16 bytes are plain.
const ITEM_LIST: i32 = 16;
const ITEM_TREE: i32 = 40;
const ITEM_LEAF: i32 = 80;
/// Offsets in a map's value, whose first 16 bytes are plain too.
const LOCK: i32 = 16;
const LIST: i32 = 24;
const TREE: i32 = 40;
const SHELF_LEAF: i32 = 56;
const SHELF_ITEM: i32 = 64;
pub(super) const SHELF_SIZE: u32 = 72;

/// Kernel functions, by the number that a call has until its object is made: its place here.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kfunc {
    New,
    Drop,
    Acquire,
    PushFront,
    PushBack,
    PopFront,
    PopBack,
    Front,
    Back,
    Add,
    Remove,
    First,
    Root,
    Left,
    Right,
    RcuLock,
    RcuUnlock,
    Strcmp,
    Strcasecmp,
    Strstr,
    Strspn,
    Strcspn,
    Strnstr,
    Strlen,
    Strnlen,
    Strchr,
    Strchrnul,
    Strrchr,
    Strnchr,
    BitsNew,
    BitsNext,
    BitsDestroy,
}

/// Of [`Kfunc`], in its order.
pub(super) const KFUNCS: [&str; 32] = [
    "bpf_obj_new_impl",
    "bpf_obj_drop_impl",
    "bpf_refcount_acquire_impl",
    "bpf_list_push_front_impl",
    "bpf_list_push_back_impl",
    "bpf_list_pop_front",
    "bpf_list_pop_back",
    "bpf_list_front",
    "bpf_list_back",
    "bpf_rbtree_add_impl",
    "bpf_rbtree_remove",
    "bpf_rbtree_first",
    "bpf_rbtree_root",
    "bpf_rbtree_left",
    "bpf_rbtree_right",
    "bpf_rcu_read_lock",
    "bpf_rcu_read_unlock",
    "bpf_strcmp",
    "bpf_strcasecmp",
    "bpf_strstr",
    "bpf_strspn",
    "bpf_strcspn",
    "bpf_strnstr",
    "bpf_strlen",
    "bpf_strnlen",
    "bpf_strchr",
    "bpf_strchrnul",
    "bpf_strrchr",
    "bpf_strnchr",
    "bpf_iter_bits_new",
    "bpf_iter_bits_next",
    "bpf_iter_bits_destroy",
];

/// The types that episodes need.
pub(super) struct Types {
    pub shelf: TypeId,
    item: TypeId,
    leaf: TypeId,
    /// Prototypes of [`KFUNCS`].
    pub protos: [TypeId; KFUNCS.len()],
}

impl Types {
    pub fn new(b: &mut BtfBuilder) -> Types {
        let int = b.int("int", 4, IntEncoding::SIGNED);
        let word = b.int("unsigned int", 4, IntEncoding::UNSIGNED);
        let long = b.int("unsigned long long", 8, IntEncoding::UNSIGNED);
        let bool = b.int("_Bool", 1, IntEncoding::BOOL);
        let mut opaque = |name: &str, element, bytes, count| {
            let words = b.array(element, word, count);
            b.struct_(name, bytes * count, &[MemberDef::at("words", words, 0)])
        };
        let lock = opaque("bpf_spin_lock", word, 4, 1);
        let head = opaque("bpf_list_head", long, 8, 2);
        let node = opaque("bpf_list_node", long, 8, 3);
        let root = opaque("bpf_rb_root", long, 8, 2);
        let branch = opaque("bpf_rb_node", long, 8, 4);
        let count = opaque("bpf_refcount", word, 4, 1);
        let at = |name, ty, offset: i32| MemberDef::at(name, ty, offset as u32);
        let leaf = b.struct_("leaf", 16, &[at("a", long, 0), at("b", long, 8)]);
        let mut kptr = |to| {
            let tag = b.type_tag("kptr", to);
            b.ptr(tag)
        };
        let leaf_kptr = kptr(leaf);
        let members = [
            at("key", long, 0),
            at("more", long, 8),
            at("list", node, ITEM_LIST),
            at("tree", branch, ITEM_TREE),
            at("count", count, 72),
            at("leaf", leaf_kptr, ITEM_LEAF),
        ];
        let item = b.struct_("item", 88, &members);
        let tag = b.type_tag("kptr", item);
        let item_kptr = b.ptr(tag);
        let members = [
            at("a", long, 0),
            at("b", long, 8),
            at("lock", lock, LOCK),
            at("list", head, LIST),
            at("tree", root, TREE),
            at("leaf", leaf_kptr, SHELF_LEAF),
            at("item", item_kptr, SHELF_ITEM),
        ];
        let shelf = b.struct_("shelf", SHELF_SIZE, &members);
        b.decl_tag("contains:item:list", shelf, Some(3));
        b.decl_tag("contains:item:tree", shelf, Some(4));

        let any = b.ptr(TypeId::VOID);
        let (head, node) = (b.ptr(head), b.ptr(node));
        let (root, constant) = (b.ptr(root), b.const_(branch));
        let (branch, constant) = (b.ptr(branch), b.ptr(constant));
        let less = b.func_proto(bool, &[("a", branch), ("b", constant)]);
        let less = b.ptr(less);
        let char = b.int("char", 1, IntEncoding::SIGNED);
        let text = b.const_(char);
        let (text, words, number) = (b.ptr(text), b.ptr(long), b.ptr(int));
        let bits = b.array(long, word, 2);
        let bits = b.struct_("bpf_iter_bits", 16, &[MemberDef::at("words", bits, 0)]);
        let bits = b.ptr(bits);
        let mut proto = |ret, params: &[TypeId]| {
            let params: Vec<_> = params.iter().map(|p| ("p", *p)).collect();
            b.func_proto(ret, &params)
        };
        let new = proto(any, &[long, any]);
        let drop = proto(TypeId::VOID, &[any, any]);
        let acquire = proto(any, &[any, any]);
        let push = proto(int, &[head, node, any, long]);
        let pop = proto(node, &[head]);
        let add = proto(int, &[root, branch, less, any, long]);
        let of_root = proto(branch, &[root]);
        let of_node = proto(branch, &[root, branch]);
        let region = proto(TypeId::VOID, &[]);
        let of_two = proto(int, &[text, text]);
        let of_some = proto(int, &[text, text, long]);
        let length = proto(int, &[text]);
        let length_of_some = proto(int, &[text, long]);
        let find = proto(int, &[text, char]);
        let find_last = proto(int, &[text, int]);
        let find_in_some = proto(int, &[text, long, char]);
        let bits_new = proto(int, &[bits, words, word]);
        let bits_next = proto(number, &[bits]);
        let bits_destroy = proto(TypeId::VOID, &[bits]);
        let protos = [
            new,
            drop,
            acquire,
            push,
            push,
            pop,
            pop,
            pop,
            pop,
            add,
            of_node,
            of_root,
            of_root,
            of_node,
            of_node,
            region,
            region,
            of_two,
            of_two,
            of_two,
            of_two,
            of_two,
            of_some,
            length,
            length_of_some,
            find,
            find,
            find_last,
            find_in_some,
            bits_new,
            bits_next,
            bits_destroy,
        ];
        Types {
            shelf,
            item,
            leaf,
            protos,
        }
    }

    /// In every object they come first, and so have the same numbers.
    fn numbers() -> Types {
        Types::new(&mut BtfBuilder::new())
    }
}

impl Generator<'_> {
    pub(super) fn kfunc(&mut self, kfunc: Kfunc, result: Is) {
        self.code.push(Insn::Call(CallTarget::Kfunc {
            id: kfunc as u32,
            module: 0,
        }));
        self.called(result);
    }

    fn fetch(&mut self, dst: usize, base: usize, off: i16) {
        self.code.push(Insn::Load {
            size: Size::DW,
            signed: false,
            dst: reg(dst),
            base: reg(base),
            off,
        });
        self.is[dst] = Is::Nothing;
    }

    /// r0 into a slot of the frame.
    fn keep(&mut self, off: i16) {
        self.code.push(Insn::Store {
            size: Size::DW,
            base: Reg::R10,
            off,
            src: Src::Reg(Reg::R0),
        });
    }

    pub(super) fn skip_if(&mut self, op: JmpOp, n: usize, lines: impl FnOnce(&mut Self)) {
        let at = self.code.len();
        self.code.push(Insn::Exit);
        let before = self.is;
        lines(self);
        self.meet(before);
        self.jump_here(at, op, Width::W64, n, Src::Imm(0));
    }

    fn careless(&mut self) -> bool {
        self.on(Features::MISTAKES) && self.r.once_in(40)
    }

    /// Frees what lies in a slot.
    fn drop_from(&mut self, slot: i16) {
        self.fetch(1, 10, slot);
        self.imm(2, 0);
        self.kfunc(Kfunc::Drop, Is::Nothing);
    }

    /// Whoever leaves frees what is held.
    pub(super) fn drop_held(&mut self) {
        if self.held {
            self.drop_from(HELD);
        }
    }

    /// A new structure of a type, or NULL, in r0.
    fn new_structure(&mut self, id: TypeId) {
        self.code.push(Insn::LoadImm64 {
            dst: Reg::R1,
            imm: Imm64::Value(id.0.into()),
        });
        self.code.push(Insn::Imm64High);
        self.imm(2, 0);
        self.kfunc(Kfunc::New, Is::Nothing);
    }

    /// The address of a field of the shelf that r9 points to.
    fn field(&mut self, dst: usize, off: i32) {
        self.mov(dst, 9);
        self.alu(AluOp::Add, dst, Src::Imm(off));
        self.is[dst] = Is::Nothing;
    }

    fn lock(&mut self) {
        self.field(1, LOCK);
        self.call(93, Is::Nothing);
    }

    fn unlock(&mut self) {
        // What was borrowed ends with the lock.
        for is in &mut self.is {
            if *is == Is::Structure {
                *is = Is::Nothing;
            }
        }
        if self.careless() {
            return;
        }
        self.field(1, LOCK);
        self.call(94, Is::Nothing);
    }

    /// A shelf into r9.
    fn shelf(&mut self) -> bool {
        let map = match self.r.once_in(6) {
            true => STORE,
            false => SHELVES,
        };
        self.lookup(map);
        self.is[9] == Is::Value
    }

    /// An episode, or something that needs none.
    pub(super) fn structure(&mut self, depth: u32) {
        // In laps of laps episodes are much to prove.
        if self.held || self.loops > 1 {
            return self.arithmetic();
        }
        match self.r.below(12) {
            0 => self.look(),
            1 => self.change_store(),
            2 => self.exchange(),
            3..=5 => self.new_item(depth),
            6 => self.peek(),
            7 | 8 => self.episode(depth, Self::pop),
            9 | 10 => self.episode(depth, Self::remove),
            _ => self.episode(depth, Self::share),
        }
    }

    /// So that there is something to be found in lists and trees.
    pub(super) fn first_structures(&mut self) {
        if self.structures {
            for _ in 0..self.r.of(&[1, 2, 2, 3]) {
                self.new_item(1);
            }
        }
    }

    fn new_item(&mut self, depth: u32) {
        self.episode(depth, |g| {
            let item = Types::numbers().item;
            g.new_structure(item);
        });
    }

    fn episode(&mut self, depth: u32, get: impl FnOnce(&mut Self)) {
        get(self);
        if self.careless() {
            return;
        }
        self.skip_if(JmpOp::Eq, 0, |g| {
            g.keep(HELD);
            g.held = true;
            for _ in 0..g.r.below(3) {
                g.use_held(depth);
            }
            g.give();
            g.held = false;
            for is in &mut g.is {
                if *is == Is::Structure {
                    *is = Is::Nothing;
                }
            }
        });
    }

    /// Writes and reads the structure, or does something else.
    fn use_held(&mut self, depth: u32) {
        match self.r.below(4) {
            0 => self.line(depth.saturating_sub(1)),
            1 => {
                // A leaf of its own, in place of one that it has.
                let leaf = Types::numbers().leaf;
                self.new_structure(leaf);
                self.skip_if(JmpOp::Eq, 0, |g| {
                    g.is[0] = Is::Structure;
                    g.touch(0);
                    g.mov(2, 0);
                    g.fetch(1, 10, HELD);
                    g.alu(AluOp::Add, 1, Src::Imm(ITEM_LEAF));
                    g.swap_pointer();
                });
            }
            _ => {
                let dst = self.r.of(&[1, 2, 3, 4, 5]);
                self.fetch(dst, 10, HELD);
                self.is[dst] = Is::Structure;
                self.touch(dst);
            }
        }
    }

    /// Stores to a structure's plain words, and loads from them.
    fn touch(&mut self, base: usize) {
        for _ in 0..1 + self.r.below(3) {
            let size = self.r.of(&super::body::SIZES);
            let off = self.r.below(16 / size.bytes() as u64) as i16 * size.bytes() as i16;
            if self.r.once_in(3) {
                let dst = self.r.of(&[7, 8]);
                self.code.push(Insn::Load {
                    size,
                    signed: false,
                    dst: reg(dst),
                    base: reg(base),
                    off,
                });
                self.is[dst] = Is::Number;
                continue;
            }
            let src = self.source();
            self.code.push(Insn::Store {
                size,
                base: reg(base),
                off,
                src,
            });
        }
    }

    /// Exchanges the pointer at r1 for r2, and frees what was there.
    fn swap_pointer(&mut self) {
        self.call(194, Is::Nothing);
        self.skip_if(JmpOp::Eq, 0, |g| {
            g.mov(1, 0);
            g.imm(2, 0);
            g.kfunc(Kfunc::Drop, Is::Nothing);
        });
    }

    /// Gives the structure away.
    fn give(&mut self) {
        if self.careless() {
            return;
        }
        match self.r.below(8) {
            0 => self.drop_held(),
            1 => {
                // One more owner, who lets go first or last.
                self.fetch(1, 10, HELD);
                self.imm(2, 0);
                self.kfunc(Kfunc::Acquire, Is::Nothing);
                self.keep(OTHER);
                let (first, then) = self.r.of(&[(HELD, OTHER), (OTHER, HELD)]);
                self.drop_from(first);
                self.drop_from(then);
            }
            2 => {
                if !self.shelf() {
                    return self.drop_held();
                }
                self.field(1, SHELF_ITEM);
                self.fetch(2, 10, HELD);
                self.swap_pointer();
            }
            n => {
                if !self.shelf() {
                    return self.drop_held();
                }
                let both = n == 7;
                if both {
                    self.fetch(1, 10, HELD);
                    self.imm(2, 0);
                    self.kfunc(Kfunc::Acquire, Is::Nothing);
                    self.keep(OTHER);
                }
                self.lock();
                match n {
                    3 | 4 => self.push(HELD),
                    5 | 6 => self.add(HELD),
                    // In the list and in the tree; or twice in one, where the second comes too late.
                    _ => {
                        let ways: [fn(&mut Self, i16); 2] = [Self::push, Self::add];
                        let (one, two) = (self.r.of(&ways), self.r.of(&ways));
                        one(self, HELD);
                        two(self, OTHER);
                    }
                }
                self.mov(8, 0);
                if !both && self.r.once_in(2) {
                    // It may still be looked at.
                    self.fetch(3, 10, HELD);
                    self.touch(3);
                }
                self.unlock();
            }
        }
    }

    fn push(&mut self, slot: i16) {
        self.field(1, LIST);
        self.fetch(2, 10, slot);
        self.alu(AluOp::Add, 2, Src::Imm(ITEM_LIST));
        self.imm(3, 0);
        self.imm(4, 0);
        let end = self.r.of(&[Kfunc::PushFront, Kfunc::PushBack]);
        self.kfunc(end, Is::Number);
    }

    fn add(&mut self, slot: i16) {
        let Some(less) = self.which(Sub::Less) else {
            return self.push(slot);
        };
        self.field(1, TREE);
        self.fetch(2, 10, slot);
        self.alu(AluOp::Add, 2, Src::Imm(ITEM_TREE));
        self.calls.push((self.code.len(), less));
        self.code.push(Insn::LoadImm64 {
            dst: Reg::R3,
            imm: Imm64::Value(0),
        });
        self.code.push(Insn::Imm64High);
        self.imm(4, 0);
        self.imm(5, 0);
        self.kfunc(Kfunc::Add, Is::Number);
    }

    /// An end of the list, in r0.
    fn pop(&mut self) {
        if !self.shelf() {
            return self.imm(0, 0);
        }
        self.lock();
        self.field(1, LIST);
        let end = self.r.of(&[Kfunc::PopFront, Kfunc::PopBack]);
        self.kfunc(end, Is::Nothing);
        self.out_of(ITEM_LIST);
    }

    /// Behind the lock, the structure around the node that r0 has, or NULL.
    fn out_of(&mut self, offset: i32) {
        self.keep(OTHER);
        self.unlock();
        self.fetch(0, 10, OTHER);
        self.skip_if(JmpOp::Eq, 0, |g| g.alu(AluOp::Add, 0, Src::Imm(-offset)));
    }

    /// A node of the tree in r0 (or NULL), on some way down; r8 has it too.
    fn find(&mut self) {
        self.field(1, TREE);
        let first = self.r.of(&[Kfunc::First, Kfunc::Root]);
        self.kfunc(first, Is::Nothing);
        self.mov(8, 0);
        for _ in 0..self.r.below(3) {
            self.skip_if(JmpOp::Eq, 0, |g| {
                g.field(1, TREE);
                g.mov(2, 8);
                let way = g.r.of(&[Kfunc::Left, Kfunc::Right]);
                g.kfunc(way, Is::Nothing);
                g.skip_if(JmpOp::Eq, 0, |g| g.mov(8, 0));
                g.mov(0, 8);
            });
        }
        self.is[8] = Is::Nothing;
    }

    /// Takes a node out of the tree: one on some way down, or the one that is at an end of the list too.
    fn remove(&mut self) {
        if !self.shelf() {
            return self.imm(0, 0);
        }
        self.lock();
        let by_list = self.r.once_in(3);
        match by_list {
            true => {
                self.field(1, LIST);
                let end = self.r.of(&[Kfunc::Front, Kfunc::Back]);
                self.kfunc(end, Is::Nothing);
            }
            false => self.find(),
        }
        self.skip_if(JmpOp::Eq, 0, |g| {
            g.mov(2, 0);
            if by_list {
                g.alu(AluOp::Add, 2, Src::Imm(ITEM_TREE - ITEM_LIST));
            }
            g.field(1, TREE);
            g.kfunc(Kfunc::Remove, Is::Nothing);
        });
        self.out_of(ITEM_TREE);
    }

    /// Reads and writes what stays in the list or tree.
    fn peek(&mut self) {
        if !self.shelf() {
            return;
        }
        self.lock();
        let offset = match self.r.once_in(2) {
            true => {
                self.field(1, LIST);
                let end = self.r.of(&[Kfunc::Front, Kfunc::Back]);
                self.kfunc(end, Is::Nothing);
                ITEM_LIST
            }
            false => {
                self.find();
                ITEM_TREE
            }
        };
        self.imm(7, -1);
        self.imm(8, 0);
        self.skip_if(JmpOp::Eq, 0, |g| {
            g.alu(AluOp::Add, 0, Src::Imm(-offset));
            g.touch(0);
            g.is[7] = Is::Number;
        });
        self.unlock();
    }

    /// Reads what a value's pointer leads to.
    fn look(&mut self) {
        if !self.shelf() {
            return;
        }
        let off = self.r.of(&[SHELF_LEAF, SHELF_ITEM]);
        self.imm(7, 0);
        self.imm(8, 1);
        self.kfunc(Kfunc::RcuLock, Is::Nothing);
        self.fetch(0, 9, off as i16);
        self.skip_if(JmpOp::Eq, 0, |g| g.touch(0));
        self.kfunc(Kfunc::RcuUnlock, Is::Nothing);
    }

    /// One more owner of what a value has, or what it has itself, in r0.
    fn share(&mut self) {
        if !self.shelf() {
            return self.imm(0, 0);
        }
        if self.r.once_in(2) {
            self.field(1, SHELF_ITEM);
            self.imm(2, 0);
            return self.call(194, Is::Nothing);
        }
        self.kfunc(Kfunc::RcuLock, Is::Nothing);
        self.fetch(0, 9, SHELF_ITEM as i16);
        self.skip_if(JmpOp::Eq, 0, |g| {
            g.mov(1, 0);
            g.imm(2, 0);
            g.kfunc(Kfunc::Acquire, Is::Nothing);
        });
        self.keep(OTHER);
        self.kfunc(Kfunc::RcuUnlock, Is::Nothing);
        self.fetch(0, 10, OTHER);
    }

    /// A leaf into a value, or out of it.
    fn exchange(&mut self) {
        if !self.shelf() {
            return;
        }
        if self.r.once_in(3) {
            self.imm(2, 0);
            self.field(1, SHELF_LEAF);
            return self.swap_pointer();
        }
        let leaf = Types::numbers().leaf;
        self.new_structure(leaf);
        self.skip_if(JmpOp::Eq, 0, |g| {
            g.touch(0);
            g.mov(2, 0);
            g.field(1, SHELF_LEAF);
            g.swap_pointer();
        });
    }

    /// Writes or removes a whole value; what it owned ends.
    fn change_store(&mut self) {
        let key = self.r.of(&[0, 0, 0, 1, 2, 3, 4]);
        self.store_imm(Size::W, -4, key);
        let update = self.r.once_in(2);
        if update {
            for at in (0..SHELF_SIZE as i16).step_by(8) {
                let value = if at < 16 { self.r.number() } else { 0 };
                self.store_imm(Size::DW, SHELF as i16 + at, value);
            }
            self.stack(3, SHELF);
        }
        self.stack(2, -4);
        let map = self.r.of(&[STORE, STORE, SHELVES]);
        match update {
            true => {
                self.map(1, map);
                let flags = self.r.of(&[0, 0, 1, 2]);
                self.imm(4, flags);
                self.call(2, Is::Number);
            }
            false => {
                self.map(1, STORE);
                self.call(3, Is::Number);
            }
        }
    }

    /// What orders a tree: compares plain words of two nodes.
    pub(super) fn less(&mut self) {
        let (size, off) = self.r.of(&[(Size::DW, 0), (Size::W, 4), (Size::B, 8)]);
        for (dst, base) in [(3, 1), (4, 2)] {
            self.code.push(Insn::Load {
                size,
                signed: false,
                dst: reg(dst),
                base: reg(base),
                off: off - ITEM_TREE as i16,
            });
            self.is[dst] = Is::Number;
        }
        if self.r.once_in(3) {
            self.arithmetic();
        }
        self.imm(0, 0);
        let op = self.r.of(&JUMPS);
        let (at, width) = (self.code.len(), self.width());
        self.code.push(Insn::Exit);
        self.imm(0, 1);
        self.jump_here(at, op, width, 3, Src::Reg(Reg::R4));
        self.code.push(Insn::Exit);
    }
}

/// Whether calls of kernel functions stand in it, whose objects need the types and maps of this file.
pub(super) fn needed(code: &[Insn]) -> bool {
    let kfunc = |i: &Insn| matches!(i, Insn::Call(CallTarget::Kfunc { .. }));
    let of_maps =
        |i: &Insn| matches!(i, Insn::LoadImm64 { imm: Imm64::MapIdx(n), .. } if *n >= SHELVES);
    code.iter().any(|i| kfunc(i) || of_maps(i))
}
