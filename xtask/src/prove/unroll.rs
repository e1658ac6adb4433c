//! Functions with loops into functions without: each loop's body is repeated so often, and going round once more is an end of its own.
//!
//! **Invariant:** values of a loop are used outside only by phis of its exits (LLVM's loop-closed form).
//! **Invariant:** too few rounds are never mistaken for a proof: the block [`TOO_FEW`] must not be reached.

use std::collections::{HashMap, HashSet};

use anyhow::{Result, bail};

use super::ir::{Block, End, Function, Op, Operand};

/// The block that a loop's last round goes on to.
pub const TOO_FEW: &str = "too few rounds";

/// `function` with every loop repeated `rounds` times, its blocks in an order of execution.
pub fn unroll(mut function: Function, rounds: usize) -> Result<Function> {
    function.blocks.push(Block {
        name: TOO_FEW.into(),
        phis: vec![],
        insns: vec![],
        end: End::Never,
    });
    loop {
        let components = components(&function.blocks);
        let Some(cycle) = components.iter().find(|c| is_cycle(&function.blocks, c)) else {
            let order = components.into_iter().rev().flatten();
            function.blocks = order.map(|i| function.blocks[i].clone()).collect();
            return Ok(function);
        };
        if function.blocks.len() > 50_000 {
            bail!("{} blocks are too many", function.blocks.len());
        }
        let cycle: HashSet<usize> = cycle.iter().copied().collect();
        function.blocks = repeat(&function.blocks, &cycle, rounds)?;
    }
}

fn is_cycle(blocks: &[Block], component: &[usize]) -> bool {
    let [only] = component else { return true };
    blocks[*only].end.targets().contains(&&blocks[*only].name)
}

fn repeat(blocks: &[Block], cycle: &HashSet<usize>, rounds: usize) -> Result<Vec<Block>> {
    let inside: HashSet<&str> = cycle.iter().map(|&i| blocks[i].name.as_str()).collect();
    let entries: HashSet<&str> = (0..blocks.len())
        .filter(|i| !cycle.contains(i))
        .flat_map(|i| blocks[i].end.targets())
        .map(String::as_str)
        .filter(|to| inside.contains(to))
        .collect();
    let entries: Vec<&str> = entries.into_iter().collect();
    let [header] = entries[..] else {
        bail!("a loop with {} entries", entries.len());
    };
    let defined: HashSet<&str> = cycle
        .iter()
        .flat_map(|&i| {
            let block = &blocks[i];
            let phis = block.phis.iter().map(|phi| phi.result.as_str());
            phis.chain(block.insns.iter().map(|insn| insn.result.as_str()))
        })
        .collect();
    let at = |name: &str, round: usize| format!("{name}#{round}");
    let value = |of: &Operand, round: usize| match of {
        Operand::Name(name) if defined.contains(name.as_str()) => Operand::Name(at(name, round)),
        other => other.clone(),
    };
    let mut all = Vec::new();
    for (i, block) in blocks.iter().enumerate() {
        if cycle.contains(&i) {
            continue;
        }
        let mut block = block.clone();
        block.end.rename(|to| match to == header {
            true => at(to, 0),
            false => to.to_owned(),
        });
        for phi in &mut block.phis {
            let from = std::mem::take(&mut phi.from);
            for (of, source) in from {
                if inside.contains(source.as_str()) {
                    let each = (0..rounds).map(|r| (value(&of, r), at(&source, r)));
                    phi.from.extend(each);
                } else {
                    phi.from.push((of, source));
                }
            }
        }
        all.push(block);
    }
    for round in 0..rounds {
        for &i in cycle {
            let mut block = blocks[i].clone();
            let is_header = block.name == header;
            block.name = at(&block.name, round);
            block
                .end
                .rename(|to| match (to == header, inside.contains(to)) {
                    (true, _) if round + 1 == rounds => TOO_FEW.to_owned(),
                    (true, _) => at(to, round + 1),
                    (_, true) => at(to, round),
                    _ => to.to_owned(),
                });
            for phi in &mut block.phis {
                phi.result = at(&phi.result, round);
                let from = std::mem::take(&mut phi.from);
                phi.from = from
                    .into_iter()
                    .filter_map(|(of, source)| {
                        match (is_header, inside.contains(source.as_str())) {
                            (true, true) if round == 0 => None,
                            (true, true) => Some((value(&of, round - 1), at(&source, round - 1))),
                            (true, false) if round > 0 => None,
                            (true, false) => Some((of, source)),
                            (false, _) => Some((value(&of, round), at(&source, round))),
                        }
                    })
                    .collect();
            }
            for insn in &mut block.insns {
                insn.result = at(&insn.result, round);
                operands(&mut insn.op, |of| *of = value(of, round));
            }
            match &mut block.end {
                End::Branch(of, ..) | End::Switch { on: of, .. } | End::Return(of) => {
                    *of = value(of, round);
                }
                End::Jump(_) | End::Never => {}
            }
            all.push(block);
        }
    }
    // The entry stays first.
    let first = &blocks[0].name;
    let place = all
        .iter()
        .position(|b| b.name == *first || b.name == at(first, 0));
    all.swap(0, place.unwrap_or(0));
    Ok(all)
}

fn operands(op: &mut Op, mut f: impl FnMut(&mut Operand)) {
    match op {
        Op::Offset { .. } | Op::Load { .. } => {}
        Op::Binary { args, .. } | Op::Compare { args, .. } => args.iter_mut().for_each(f),
        Op::Select { args, .. } => args.iter_mut().for_each(f),
        Op::Cast { arg, .. } => f(arg),
        Op::Call { args, .. } => args.iter_mut().for_each(f),
    }
}

/// The strongly connected components, each after those it leads to (Tarjan, without recursion).
fn components(blocks: &[Block]) -> Vec<Vec<usize>> {
    let index: HashMap<&str, usize> = blocks
        .iter()
        .enumerate()
        .map(|(i, b)| (b.name.as_str(), i))
        .collect();
    let next: Vec<Vec<usize>> = blocks
        .iter()
        .map(|b| {
            b.end
                .targets()
                .iter()
                .filter_map(|to| index.get(to.as_str()).copied())
                .collect()
        })
        .collect();
    let mut number = vec![usize::MAX; blocks.len()];
    let mut low = vec![0; blocks.len()];
    let mut on_stack = vec![false; blocks.len()];
    let (mut stack, mut found, mut count) = (Vec::new(), Vec::new(), 0);
    // Only what the entry leads to.
    let mut work = vec![(0, 0)];
    while let Some((block, edge)) = work.pop() {
        if edge == 0 {
            (number[block], low[block]) = (count, count);
            count += 1;
            stack.push(block);
            on_stack[block] = true;
        }
        if let Some(&to) = next[block].get(edge) {
            work.push((block, edge + 1));
            if number[to] == usize::MAX {
                work.push((to, 0));
            } else if on_stack[to] {
                low[block] = low[block].min(number[to]);
            }
            continue;
        }
        if let Some(&(parent, _)) = work.last() {
            low[parent] = low[parent].min(low[block]);
        }
        if low[block] == number[block] {
            let mut component = Vec::new();
            while let Some(member) = stack.pop() {
                on_stack[member] = false;
                component.push(member);
                if member == block {
                    break;
                }
            }
            found.push(component);
        }
    }
    found
}
