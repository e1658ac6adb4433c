//! Several sets of types → one, in which types that cannot be told apart are one type.
//!
//! Types that refer to each other may do so in circles, so equality is found from the other side: all types of the
//! same shape are taken for one until what they refer to says otherwise, and that is repeated until it says nothing
//! new (the coarsest stable partition). Two types stay together exactly when no walk along their references, however
//! long, shows a difference. A name that is only declared (`struct x;`) is the structure of that name, when there is one only.
//!
//! Functions, variables, their sections and what is tagged onto anything belong to whoever links; they are not merged.
//!
//! **Invariant:** where the partition is not stable after [`ROUNDS`] and [`WORK`], which no compiler's types come near, nothing
//! is merged.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use crate::parse::references;
use crate::{Btf, BtfBuilder, Kind, TypeId};

const ROUNDS: usize = 256;
/// Types and references looked at in all rounds together: the types of a whole kernel have half a million.
const WORK: usize = 1 << 27;

/// The types of several sets.
pub struct Merged {
    /// Types that were merged; others are to be added.
    pub builder: BtfBuilder,
    /// By set and old id: the new id, `void` for `void` and for what is not merged.
    pub ids: Vec<Vec<TypeId>>,
}

/// A type without its references.
struct Node {
    words: Vec<u32>,
    /// Nodes, 0 for `void`.
    refs: Vec<u32>,
    set: usize,
    id: TypeId,
}

/// Functions, variables, sections and tags are the linker's.
fn is_plain(kind: Kind) -> bool {
    !matches!(kind, Kind::Func | Kind::Var | Kind::DataSec | Kind::DeclTag)
}

/// Merges sets of types that stand on their own.
pub fn merge(sets: &[&Btf]) -> Merged {
    let (nodes, mut places) = nodes(sets);
    let mut classes = partition(&nodes, &places);
    if let Some(found) = &classes
        && declared(&nodes, found, &mut places)
    {
        classes = partition(&nodes, &places);
    }
    let classes = classes.unwrap_or_else(|| (0..=nodes.len() as u32).collect());

    // New ids in the order in which classes first appear; a declaration follows what it stands for.
    let mut new_ids: HashMap<u32, TypeId> = HashMap::new();
    let mut representatives = Vec::new();
    for (n, node) in nodes.iter().enumerate() {
        if places[n + 1] != n as u32 + 1 {
            continue;
        }
        if let Entry::Vacant(slot) = new_ids.entry(classes[n + 1]) {
            representatives.push(node);
            slot.insert(TypeId(representatives.len() as u32));
        }
    }
    let mut ids: Vec<Vec<TypeId>> = sets
        .iter()
        .map(|btf| vec![TypeId::VOID; btf.len() as usize])
        .collect();
    for (n, node) in nodes.iter().enumerate() {
        let class = classes[places[n + 1] as usize];
        if let Some(&id) = new_ids.get(&class) {
            ids[node.set][node.id.0 as usize] = id;
        }
    }
    let mut builder = BtfBuilder::new();
    for node in representatives {
        let of_set = &ids[node.set];
        builder.copy(sets[node.set], node.id, |to| {
            of_set.get(to.0 as usize).copied().unwrap_or(TypeId::VOID)
        });
    }
    Merged { builder, ids }
}

/// All plain types, and of each node, from 1, which one stands for it: itself.
fn nodes(sets: &[&Btf]) -> (Vec<Node>, Vec<u32>) {
    let mut nodes = Vec::new();
    let mut strings: HashMap<&str, u32> = HashMap::new();
    let mut numbers: Vec<Vec<u32>> = Vec::new();
    for (set, btf) in sets.iter().enumerate() {
        let mut of_set = vec![0; btf.len() as usize];
        for (id, _) in btf.types() {
            let Some(kind) = btf.kind(id).filter(|_| id != TypeId::VOID) else {
                continue;
            };
            if !is_plain(kind) {
                continue;
            }
            let Some(raw) = btf.raw(id) else { continue };
            let mut words = raw.to_vec();
            let (mut types, mut texts) = (Vec::new(), Vec::new());
            references(kind, &words, |at| types.push(at), |at| texts.push(at));
            for at in texts {
                let next = strings.len() as u32;
                words[at] = *strings.entry(btf.str_or_empty(words[at])).or_insert(next);
            }
            let refs = types
                .iter()
                .map(|&at| std::mem::replace(&mut words[at], 0))
                .collect();
            nodes.push(Node {
                words,
                refs,
                set,
                id,
            });
            of_set[id.0 as usize] = nodes.len() as u32;
        }
        numbers.push(of_set);
    }
    for node in &mut nodes {
        for r in &mut node.refs {
            *r = numbers[node.set].get(*r as usize).copied().unwrap_or(0);
        }
    }
    let places = (0..=nodes.len() as u32).collect();
    (nodes, places)
}

/// The class of each node; 0 is `void`'s.
fn partition(nodes: &[Node], places: &[u32]) -> Option<Vec<u32>> {
    let mut classes = vec![0u32; nodes.len() + 1];
    let mut first: HashMap<&[u32], u32> = HashMap::new();
    for (n, node) in nodes.iter().enumerate() {
        let next = first.len() as u32 + 1;
        classes[n + 1] = *first.entry(&node.words).or_insert(next);
    }
    let mut count = first.len();
    let round: usize = nodes.iter().map(|n| n.refs.len() + 1).sum();
    for _ in 0..ROUNDS.min(WORK / round.max(1)) {
        let mut finer: HashMap<Vec<u32>, u32> = HashMap::new();
        let mut next_classes = vec![0u32; nodes.len() + 1];
        for (n, node) in nodes.iter().enumerate() {
            let mut key = Vec::with_capacity(node.refs.len() + 1);
            key.push(classes[n + 1]);
            let refs = node.refs.iter();
            key.extend(refs.map(|&r| classes[places[r as usize] as usize]));
            let next = finer.len() as u32 + 1;
            next_classes[n + 1] = *finer.entry(key).or_insert(next);
        }
        let done = finer.len() == count;
        count = finer.len();
        classes = next_classes;
        if done {
            return Some(classes);
        }
    }
    None
}

/// Lets each declaration stand for the only structure or union of its name. Answers whether there was one.
fn declared(nodes: &[Node], classes: &[u32], places: &mut [u32]) -> bool {
    // Kind and name → the only node, 0 where there are several classes.
    let mut defined: HashMap<(Kind, u32), u32> = HashMap::new();
    let kind = |node: &Node| Kind::from_number(node.words[1] >> 24 & 0x1f);
    for (n, node) in nodes.iter().enumerate() {
        let Some(kind) = kind(node).filter(|k| k.is_composite()) else {
            continue;
        };
        match defined.entry((kind, node.words[0])) {
            Entry::Vacant(slot) => {
                slot.insert(n as u32 + 1);
            }
            Entry::Occupied(mut there) => {
                let other = *there.get();
                if other == 0 || classes[other as usize] != classes[n + 1] {
                    there.insert(0);
                }
            }
        }
    }
    let mut any = false;
    for (n, node) in nodes.iter().enumerate() {
        if kind(node) != Some(Kind::Fwd) {
            continue;
        }
        let wanted = match node.words[1] >> 31 {
            0 => Kind::Struct,
            _ => Kind::Union,
        };
        if let Some(&of) = defined.get(&(wanted, node.words[0])).filter(|&&of| of != 0) {
            places[n + 1] = of;
            any = true;
        }
    }
    any
}
