//! Trees of comparisons of one register with constants → a jump through a table.
//!
//! Compilers that may not emit indirect jumps turn a `switch` into such a tree. The table's entries
//! come from walking the tree with each number; what lies outside of the table takes the tree.
//!
//! **Invariant:** nothing but comparisons of the same register and jumps stands between the root and
//! where an entry leads, so that going there at once changes nothing.

use std::collections::{BTreeMap, BTreeSet};

use cranelift_codegen::ir::{Block, BlockCall, InstBuilder, JumpTableData, types};
use probity_isa::{Insn, JmpOp, Pc, Reg, Src, Width};

use crate::flow::reached;
use crate::lowerings::Lowerings;
use crate::translate::Translator;

/// Comparisons that are worth a table, and that are followed.
const MIN_NODES: usize = 8;
const MAX_NODES: usize = 256;
/// Entries of a table: so many, and so many a comparison.
const MAX_ENTRIES: i64 = 512;
const ENTRIES_PER_NODE: i64 = 4;

/// A tree of comparisons of the low half of a register.
pub(crate) struct Tree {
    reg: Reg,
    low: i32,
    /// Where each number from `low` on leads.
    leaves: Vec<Pc>,
    nodes: BTreeSet<Pc>,
}

/// A comparison with a constant: the constant, and where it leads.
fn node(insns: &[Insn], pc: Pc) -> Option<(JmpOp, Reg, i32, Pc)> {
    match insns.get(pc)? {
        insn @ Insn::JumpIf {
            op,
            width: Width::W32,
            dst,
            src: Src::Imm(i),
            ..
        } => Some((*op, *dst, *i, usize::try_from(insn.jump_target(pc)?).ok()?)),
        _ => None,
    }
}

fn taken(op: JmpOp, x: i32, y: i32) -> bool {
    let (a, b) = (x as u32, y as u32);
    match op {
        JmpOp::Eq => x == y,
        JmpOp::Ne => x != y,
        JmpOp::Gt => a > b,
        JmpOp::Ge => a >= b,
        JmpOp::Lt => a < b,
        JmpOp::Le => a <= b,
        JmpOp::SGt => x > y,
        JmpOp::SGe => x >= y,
        JmpOp::SLt => x < y,
        JmpOp::SLe => x <= y,
        JmpOp::Set => a & b != 0,
    }
}

impl Translator<'_, '_> {
    /// The tree that starts at a comparison, when it is worth a table.
    fn tree(&self, root: Pc) -> Option<Tree> {
        let p = self.program();
        let insns = p.insns();
        let (_, reg, ..) = node(insns, root)?;
        let inside = |pc: Pc| {
            let n = node(insns, pc).filter(|n| n.1 == reg);
            n.filter(|_| reached(p, pc) && self.this.range.contains(&pc))
        };
        let (mut nodes, mut work) = (BTreeSet::new(), vec![root]);
        let (mut low, mut high) = (i32::MAX, i32::MIN);
        while let Some(pc) = work.pop() {
            let Some((op, _, k, to)) = inside(pc) else {
                continue;
            };
            if op == JmpOp::Set || nodes.len() == MAX_NODES || !nodes.insert(pc) {
                continue;
            }
            (low, high) = (low.min(k), high.max(k));
            work.extend([self.landing(to), self.landing(pc + 1)]);
        }
        let entries = i64::from(high) - i64::from(low) + 1;
        if nodes.len() < MIN_NODES
            || entries > MAX_ENTRIES.min(nodes.len() as i64 * ENTRIES_PER_NODE)
        {
            return None;
        }
        let leaf = |x: i32| {
            let mut pc = root;
            // A tree without a loop visits each node once.
            for _ in 0..=nodes.len() {
                if !nodes.contains(&pc) {
                    return Some(pc);
                }
                let (op, _, k, to) = inside(pc)?;
                pc = self.landing(if taken(op, x, k) { to } else { pc + 1 });
            }
            None
        };
        let leaves = (low..=high).map(leaf).collect::<Option<Vec<Pc>>>()?;
        Some(Tree {
            reg,
            low,
            leaves,
            nodes,
        })
    }

    /// Jumps through a table where a tree of comparisons starts; what follows is the tree itself.
    pub(crate) fn table(&mut self, pc: Pc, heads: &BTreeMap<Pc, Block>) {
        // A comparison may be the head of a loop, where the epoch is looked at.
        let watched = self.watched.is_some();
        if !self.lowerings.has(Lowerings::TABLES) || watched || self.in_tables.contains(&pc) {
            return;
        }
        let Some(tree) = self.tree(pc) else { return };
        // What lies before has all its ways in, unless more were expected.
        let complete = |to: &Pc| *to <= pc && !self.later.contains(to);
        if tree.leaves.iter().any(complete) {
            return;
        }
        let rest = self.b.create_block();
        let v = self.low(tree.reg, types::I32);
        let index = match tree.low {
            0 => v,
            low => self.b.ins().iadd_imm_s(v, -i64::from(low)),
        };
        let pool = &mut self.b.func.dfg.value_lists;
        let default = BlockCall::new(rest, [], pool);
        // What no path of the proof reaches has no block, and no value leads there.
        let block = |pc: &Pc| heads.get(pc).copied().unwrap_or(rest);
        let entries: Vec<BlockCall> = tree
            .leaves
            .iter()
            .map(|pc| BlockCall::new(block(pc), [], pool))
            .collect();
        let table = self
            .b
            .create_jump_table(JumpTableData::new(default, &entries));
        self.b.ins().br_table(index, table);
        self.in_tables.extend(tree.nodes);
        self.b.switch_to_block(rest);
    }
}
