//! The successors of one subprogram's instructions → the instructions that no way to each of them avoids.
//!
//! - An instruction *dominates* another one when every way from the subprogram's entry to the other leads through it.
//! - The closest other one that does is the last that every way to it leads through.
//!
//! **Invariant:** what this says decides where and in which order states are looked at, and never what they prove.
//!
//! By *semidominators*: in a tree of first visits, the highest node from which a way leads to one whose other nodes were
//! all visited later (Lengauer and Tarjan 1979; Georgiadis 2005). Many ways that end at one place, as errors do, cost
//! little then.

use probity_isa::Pc;

/// No instruction, or none yet.
const NONE: u32 = u32::MAX;
/// Steps for each instruction, after which nothing is said: hostile graphs take their square.
const MOST_STEPS: usize = 256;

/// A search of all ways from a subprogram's entry, depth first.
pub(crate) struct Search {
    /// By instruction from the entry on: its number in the order in which the search leaves instructions.
    left: Vec<u32>,
    /// Instructions in the order in which they are entered, and the place there of the one that each was entered from.
    entered: Vec<u32>,
    from: Vec<u32>,
    /// By instruction from the entry on: its place there.
    number: Vec<u32>,
    /// Ways from one instruction to the next; those to where the search came from apart.
    pub(crate) edges: Vec<(u32, u32)>,
    pub(crate) retreats: Vec<(u32, u32)>,
}

impl Search {
    /// Of a subprogram that starts at `start` and ends before `end`; instructions are counted from its start.
    pub(crate) fn of<I: Iterator<Item = Pc>>(
        start: Pc,
        end: Pc,
        successors: impl Fn(Pc) -> I,
    ) -> Search {
        let n = end.saturating_sub(start);
        let mut all = Search {
            left: vec![NONE; n],
            entered: Vec::with_capacity(n),
            from: Vec::with_capacity(n),
            number: vec![NONE; n],
            edges: Vec::new(),
            retreats: Vec::new(),
        };
        if n == 0 || u32::try_from(n).is_err() {
            return all;
        }
        let inside = |pc: Pc| (start..end).contains(&pc).then(|| pc - start);
        let mut stack = vec![(0usize, successors(start))];
        let mut gone = 0;
        all.enter(0, 0);
        while let Some((at, rest)) = stack.last_mut() {
            let at = *at;
            match rest.next().and_then(&inside) {
                Some(to) if all.number[to] == NONE => {
                    all.edges.push((at as u32, to as u32));
                    all.enter(to, all.number[at]);
                    stack.push((to, successors(start + to)));
                }
                Some(to) if all.left[to] == NONE => all.retreats.push((at as u32, to as u32)),
                Some(to) => all.edges.push((at as u32, to as u32)),
                // It was the last one: successors out of the subprogram do not occur.
                None => {
                    all.left[at] = gone;
                    gone += 1;
                    stack.pop();
                }
            }
        }
        all
    }

    fn enter(&mut self, at: usize, from: u32) {
        self.number[at] = self.entered.len() as u32;
        self.entered.push(at as u32);
        self.from.push(from);
    }

    /// Of an instruction: its place in an order in which, loops aside, nothing comes before what leads to it.
    pub(crate) fn place(&self, at: usize) -> Option<u32> {
        let left = *self.left.get(at).filter(|l| **l != NONE)?;
        Some(self.entered.len() as u32 - 1 - left)
    }
}

/// By the place in the order of entering, that of the closest other instruction that dominates.
pub(crate) struct Dominators<'a> {
    search: &'a Search,
    closest: Vec<u32>,
}

impl<'a> Dominators<'a> {
    /// `None`: it takes too long.
    pub(crate) fn of(search: &'a Search) -> Option<Dominators<'a>> {
        let n = search.entered.len();
        let number = |at: u32| search.number[at as usize];
        let edges = search.edges.iter().chain(&search.retreats);
        let mut into: Vec<(u32, u32)> = edges.map(|(f, t)| (number(*t), number(*f))).collect();
        into.sort_unstable_by(|a, b| b.cmp(a));
        let mut tree = Tree {
            above: search.from.clone(),
            semi: search.from.clone(),
            best: (0..n as u32).collect(),
            left: MOST_STEPS * n,
        };
        // What was entered last comes first.
        for &(v, u) in &into {
            let v = v as usize;
            if v == 0 {
                continue;
            }
            let semi = match u as usize > v {
                true => tree.least(u as usize, v + 1)?,
                false => u,
            };
            tree.semi[v] = tree.semi[v].min(semi);
        }
        let Tree { semi, mut left, .. } = tree;
        let mut closest = search.from.clone();
        for v in 1..n {
            let mut at = closest[v];
            while at > semi[v] {
                left = left.checked_sub(1)?;
                at = closest[at as usize];
            }
            closest[v] = at;
        }
        Some(Dominators { search, closest })
    }

    pub(crate) fn dominates(&self, above: u32, below: u32) -> bool {
        let above = self.search.number[above as usize];
        let mut at = self.search.number[below as usize];
        // Dominators are entered before what they dominate.
        while at > above {
            at = self.closest[at as usize];
        }
        at == above
    }

    /// The closest other one that dominates an instruction.
    pub(crate) fn closest(&self, at: usize) -> Option<usize> {
        let number = *self.search.number.get(at)?;
        if number == NONE || number == 0 {
            return None;
        }
        let above = *self.closest.get(number as usize)?;
        Some(self.search.entered[above as usize] as usize)
    }
}

/// Visited instructions, numbered as they were entered.
struct Tree {
    /// The one that it was entered from; later one further up, of those that are done.
    above: Vec<u32>,
    /// Semidominators, as far as they are known.
    semi: Vec<u32>,
    /// Of what was skipped between it and `above`, the one of least `semi`.
    best: Vec<u32>,
    /// Steps that it may take still.
    left: usize,
}

impl Tree {
    /// The least `semi` from `v` up, among those numbered `done` and more.
    fn least(&mut self, v: usize, done: usize) -> Option<u32> {
        let mut chain = Vec::new();
        let mut at = v;
        while self.above[at] as usize >= done {
            self.left = self.left.checked_sub(1)?;
            chain.push(at);
            at = self.above[at] as usize;
        }
        while let Some(below) = chain.pop() {
            let (a, b) = (self.best[at], self.best[below]);
            if self.semi[a as usize] < self.semi[b as usize] {
                self.best[below] = a;
            }
            self.above[below] = self.above[at];
            at = below;
        }
        Some(self.semi[self.best[v] as usize])
    }
}

#[cfg(test)]
mod tests {
    use probity_objfile::assemble;

    use super::{Dominators, Search};
    use crate::cfg::Cfg;

    fn cfg(body: &str) -> Cfg {
        let text = format!(".section \"socket\"\nmain:\n{body}");
        let object = assemble("cfg", &text, &|_| None).expect("it assembles");
        Cfg::build(&object.programs[0].insns, &[], 8, &|_| false).expect("it is well formed")
    }

    /// By taking every instruction away in turn: what is not reached any more, it dominates.
    fn slowly(cfg: &Cfg) -> Vec<Option<usize>> {
        let n = cfg.insns.len();
        let reached = |without: usize| {
            let mut seen = vec![false; n];
            let mut work = vec![0];
            while let Some(pc) = work.pop() {
                if pc != without && !std::mem::replace(&mut seen[pc], true) {
                    work.extend(cfg.successors(pc));
                }
            }
            seen
        };
        let without: Vec<Vec<bool>> = (0..n).map(reached).collect();
        let dominates = |a: usize, b: usize| a != b && !without[a][b];
        let above = |pc: usize| {
            let all: Vec<usize> = (0..n).filter(|a| dominates(*a, pc)).collect();
            let last = |a: &&usize| all.iter().all(|b| b == *a || dominates(*b, **a));
            all.iter().find(last).copied()
        };
        (0..n)
            .map(|pc| if pc == 0 { None } else { above(pc) })
            .collect()
    }

    #[test]
    fn they_are_what_no_way_avoids() {
        let seed = std::env::var("TEST_SEED").ok().and_then(|s| s.parse().ok());
        let mut random: u64 = seed.unwrap_or(20_261_121);
        println!("TEST_SEED={random}");
        let mut next = |below: u64| {
            random = random
                .wrapping_mul(0x5851_f42d_4c95_7f2d)
                .wrapping_add(0x1405_7b7e_f767_814f);
            (random >> 33) % below
        };
        for _ in 0..300 {
            let n = 3 + next(20);
            let mut body = String::from("r0 = 0\n");
            for i in 0..n {
                body += &format!("l{i}:\nif r0 == {i} goto l{}\n", next(n));
            }
            let cfg = cfg(&format!("{body}exit\n"));
            let search = Search::of(0, cfg.insns.len(), |pc| cfg.successors(pc));
            let quick = Dominators::of(&search).expect("small graphs are soon done");
            for (pc, above) in slowly(&cfg).into_iter().enumerate().skip(1) {
                assert_eq!(quick.closest(pc), above, "of {pc} in\n{body}");
            }
        }
    }
}
