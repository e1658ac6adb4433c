//! The successors of one subprogram's instructions → its back edges, and so the heads of its loops.
//!
//! - An edge is a *back edge* when its target dominates its source ([`crate::dominators`]): the target is the loop's
//!   head, wherever compilers put it. Jumps backwards need not be such edges, and back edges need not be jumps.
//! - Of a cycle that can be entered at several instructions (irreducible), the edge that a search of all ways, depth
//!   first, finds leading back counts.
//!
//! Where heads are says where laps are looked at; nothing relies on it.

use probity_isa::Pc;

use crate::dominators::{Dominators, Search};

/// Back edges of a subprogram that starts at `start` and ends before `end`, ascending.
pub(crate) fn back_edges<I: Iterator<Item = Pc>>(
    start: Pc,
    end: Pc,
    successors: impl Fn(Pc) -> I,
) -> Vec<(Pc, Pc)> {
    let search = Search::of(start, end, successors);
    if search.retreats.is_empty() {
        return Vec::new();
    }
    // Whatever leads back and is not dominated enters its cycle at a second place.
    let mut backs = search.retreats.clone();
    if let Some(above) = Dominators::of(&search) {
        let edges = search.edges.iter();
        backs.extend(edges.filter(|(f, t)| above.dominates(*t, *f)));
    }
    let mut backs: Vec<(Pc, Pc)> = backs
        .into_iter()
        .map(|(f, t)| (start + f as Pc, start + t as Pc))
        .collect();
    backs.sort_unstable();
    backs.dedup();
    backs
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
