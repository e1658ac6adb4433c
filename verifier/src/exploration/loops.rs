//! The successors of one subprogram's instructions → its back edges, and so the heads of its loops.
//!
//! - An instruction *dominates* another one when every way from the subprogram's entry to the other leads through it.
//! - An edge is a *back edge* when its target dominates its source: the target is the loop's head, wherever compilers
//!   put it. Jumps backwards need not be such edges, and back edges need not be jumps.
//! - Of a cycle that can be entered at several instructions (irreducible), the edge that a search of all ways, depth
//!   first, finds leading back counts.
//!
//! Where heads are says where laps are looked at; nothing relies on it.
//!
//! Source: Cooper, Harvey, Kennedy, "A Simple, Fast Dominance Algorithm", 2001.

use probity_isa::Pc;

/// No instruction, or none yet.
const NONE: u32 = u32::MAX;

/// Back edges of a subprogram that starts at `start` and ends before `end`, ascending.
pub(crate) fn back_edges<I: Iterator<Item = Pc>>(
    start: Pc,
    end: Pc,
    successors: impl Fn(Pc) -> I,
) -> Vec<(Pc, Pc)> {
    let n = end.saturating_sub(start);
    if n == 0 || u32::try_from(n).is_err() {
        return Vec::new();
    }
    let inside = |pc: Pc| (start..end).contains(&pc).then(|| pc - start);
    // Numbers in the order in which the search leaves instructions, and those it leads back to.
    let mut left = vec![NONE; n];
    let mut order: Vec<u32> = Vec::with_capacity(n);
    let mut entered = vec![false; n];
    let mut edges: Vec<(usize, usize)> = Vec::new();
    let mut retreats: Vec<(usize, usize)> = Vec::new();
    let mut stack = vec![(0usize, successors(start))];
    entered[0] = true;
    while let Some((at, rest)) = stack.last_mut() {
        let at = *at;
        match rest.next().and_then(&inside) {
            Some(to) if !entered[to] => {
                edges.push((at, to));
                entered[to] = true;
                stack.push((to, successors(start + to)));
            }
            Some(to) if left[to] == NONE => retreats.push((at, to)),
            Some(to) => edges.push((at, to)),
            // It was the last one: successors out of the subprogram do not occur.
            None => {
                left[at] = order.len() as u32;
                order.push(at as u32);
                stack.pop();
            }
        }
    }
    if retreats.is_empty() {
        return Vec::new();
    }
    let above = Dominators::of(&left, &order, edges.iter().chain(&retreats));
    // Whatever leads back and is not dominated enters its cycle at a second place.
    let mut backs: Vec<(Pc, Pc)> = retreats
        .iter()
        .map(|(f, t)| (start + f, start + t))
        .collect();
    let dominated = edges.iter().filter(|(f, t)| above.dominates(*t, *f));
    backs.extend(dominated.map(|(f, t)| (start + f, start + t)));
    backs.sort_unstable();
    backs.dedup();
    backs
}

/// By the number in the order of leaving, the closest other instruction that dominates.
struct Dominators<'a> {
    left: &'a [u32],
    closest: Vec<u32>,
}

impl<'a> Dominators<'a> {
    fn of<'e>(
        left: &'a [u32],
        order: &[u32],
        edges: impl Iterator<Item = &'e (usize, usize)>,
    ) -> Dominators<'a> {
        let n = order.len();
        let root = n as u32 - 1;
        let mut into: Vec<(u32, u32)> = edges.map(|(f, t)| (left[*t], left[*f])).collect();
        into.sort_unstable_by(|a, b| b.cmp(a));
        let mut closest = vec![NONE; n];
        closest[root as usize] = root;
        let meet = |closest: &[u32], mut a: u32, mut b: u32| {
            while a != b {
                while a < b {
                    a = closest[a as usize];
                }
                while b < a {
                    b = closest[b as usize];
                }
            }
            a
        };
        // What is entered first comes first, so that ways without loops settle at once.
        loop {
            let mut changed = false;
            for group in into.chunk_by(|a, b| a.0 == b.0) {
                let to = group[0].0;
                if to == root {
                    continue;
                }
                let known = group.iter().map(|e| e.1);
                let known = known.filter(|f| closest[*f as usize] != NONE);
                if let Some(met) = known.reduce(|a, b| meet(&closest, a, b))
                    && closest[to as usize] != met
                {
                    closest[to as usize] = met;
                    changed = true;
                }
            }
            if !changed {
                return Dominators { left, closest };
            }
        }
    }

    fn dominates(&self, above: usize, below: usize) -> bool {
        let above = self.left[above];
        let mut at = self.left[below];
        // Dominators are left after what they dominate.
        while at < above {
            at = self.closest[at as usize];
        }
        at == above
    }
}

#[cfg(test)]
mod tests {
    use super::back_edges;

    fn backs(graph: &[&[usize]]) -> Vec<(usize, usize)> {
        back_edges(0, graph.len(), |pc| graph[pc].iter().copied())
    }

    #[test]
    fn forward_flow_has_none() {
        assert_eq!(backs(&[&[1, 2], &[3], &[3], &[]]), []);
        // A jump backwards that closes no cycle.
        assert_eq!(backs(&[&[2], &[], &[1]]), []);
    }

    #[test]
    fn heads_dominate_wherever_they_stand() {
        assert_eq!(backs(&[&[1], &[2], &[1, 3], &[]]), [(2, 1)]);
        // The head is entered by a jump backwards, and the way back to it falls through.
        assert_eq!(backs(&[&[3], &[2], &[1, 4], &[2], &[]]), [(1, 2)]);
        // A nest whose inner head lies before its outer one.
        let nest: &[&[usize]] = &[&[4], &[2], &[1, 3], &[4, 5], &[2], &[]];
        assert_eq!(backs(nest), [(1, 2), (3, 4)]);
    }

    #[test]
    fn a_cycle_with_two_entries_has_one_head() {
        let found = backs(&[&[1, 2], &[2], &[1, 3], &[]]);
        assert_eq!(found.len(), 1);
    }

    #[test]
    fn a_loop_to_itself() {
        assert_eq!(backs(&[&[0, 1], &[]]), [(0, 0)]);
    }
}
