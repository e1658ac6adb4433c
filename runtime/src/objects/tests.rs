//! Trees and lists over plain memory, held against ordered and double-ended collections.

use std::collections::VecDeque;

use super::list::{self, End};
use super::tree::{Side, Tree};

struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
        (self.0 >> 33) as usize % n
    }
}

/// Black nodes on every way down, or a panic; keys in order are added to `keys`.
fn checked(
    tree: Tree,
    node: u64,
    red_above: bool,
    key: &dyn Fn(u64) -> usize,
    keys: &mut Vec<usize>,
) -> u32 {
    if node == 0 {
        return 1;
    }
    // SAFETY: nodes of the test, which one thread uses.
    let (left, right, black) = unsafe {
        let colour = *(node as *const u64) & 1;
        (
            tree.child(node, Side::Left),
            tree.child(node, Side::Right),
            colour == 1,
        )
    };
    assert!(black || !red_above, "a red node has a red child");
    let many = checked(tree, left, !black, key, keys);
    keys.push(key(node));
    assert_eq!(many, checked(tree, right, !black, key, keys), "black nodes");
    many + u32::from(black)
}

#[test]
fn trees_stay_red_and_black_and_in_order() {
    const MANY: usize = 60;
    let mut root = [0u64; 2];
    let mut nodes = vec![[0u64; 4]; MANY];
    let first = nodes.as_mut_ptr() as u64;
    let of = |n: usize| first + 32 * n as u64;
    let number = |node: u64| ((node - first) / 32) as usize;
    // Some keys are equal.
    let key = |node: u64| number(node) / 3;
    // SAFETY: the root outlives the tree, and one thread uses it.
    let tree = unsafe { Tree::new(root.as_mut_ptr() as u64) };
    let mut held = [false; MANY];
    let mut r = Random(7);
    for _ in 0..20_000 {
        let n = r.below(MANY);
        // SAFETY: nodes of the test.
        unsafe {
            if r.below(2) == 0 {
                let added = tree.add(of(n), |a, b| key(a) < key(b));
                assert_eq!(added, !held[n]);
                held[n] = true;
            } else {
                assert_eq!(tree.remove(of(n)), held[n]);
                held[n] = false;
            }
        }
        let mut keys = Vec::new();
        checked(tree, tree.top(), true, &key, &mut keys);
        let expected: Vec<usize> = (0..MANY).filter(|n| held[*n]).map(|n| n / 3).collect();
        assert_eq!(keys, expected);
        let least = keys.first().copied();
        let leftmost = Some(tree.leftmost()).filter(|n| *n != 0);
        assert_eq!(leftmost.map(key), least);
        if let Some(node) = leftmost {
            // SAFETY: a node of the test.
            assert_eq!(unsafe { tree.child(node, Side::Left) }, 0);
        }
    }
}

#[test]
fn lists_are_double_ended_queues() {
    const MANY: usize = 9;
    let mut head = [0u64; 2];
    let head = head.as_mut_ptr() as u64;
    let mut nodes = vec![[0u64; 3]; MANY];
    let first = nodes.as_mut_ptr() as u64;
    let number = |node: u64| (node != 0).then(|| ((node - first) / 24) as usize);
    let mut model = VecDeque::new();
    let mut r = Random(3);
    for _ in 0..20_000 {
        let n = r.below(MANY);
        let end = [End::Front, End::Back][r.below(2)];
        // SAFETY: the head and the nodes outlive the list, and one thread uses it.
        unsafe {
            if r.below(2) == 0 {
                let pushed = list::push(head, first + 24 * n as u64, end);
                assert_eq!(pushed, !model.contains(&n));
                match end {
                    _ if !pushed => {}
                    End::Front => model.push_front(n),
                    End::Back => model.push_back(n),
                }
            } else {
                let expected = match end {
                    End::Front => model.pop_front(),
                    End::Back => model.pop_back(),
                };
                assert_eq!(number(list::pop(head, end)), expected);
            }
            assert_eq!(number(list::peek(head, End::Front)), model.front().copied());
            assert_eq!(number(list::peek(head, End::Back)), model.back().copied());
        }
    }
}
