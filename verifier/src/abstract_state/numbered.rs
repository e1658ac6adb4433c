//! Maps by small numbers of our own: instructions, origins. These need no defence against chosen keys, and are looked
//! up often.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hash, Hasher};

pub(crate) type Numbered<K, V> = HashMap<K, V, BuildHasherDefault<NumberHasher>>;

/// Spreads one number.
#[derive(Clone, Copy, Default)]
pub(crate) struct NumberHasher(u64);

impl Hasher for NumberHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for b in bytes {
            self.write_u64((*b).into());
        }
    }

    fn write_u32(&mut self, n: u32) {
        self.write_u64(n.into());
    }

    fn write_u64(&mut self, n: u64) {
        // The golden ratio: the map looks at the highest and at the lowest bits.
        let spread = (self.0 ^ n).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = spread ^ spread >> 32;
    }

    fn write_usize(&mut self, n: usize) {
        self.write_u64(n as u64);
    }
}

/// The same for what mostly has few entries, and is asked for seldom: these are a list.
#[derive(Debug)]
pub(crate) struct Sparse<K, V> {
    few: Vec<(K, V)>,
    more: Numbered<K, V>,
}

/// Entries in the list.
const FEW: usize = 8;

impl<K, V> Default for Sparse<K, V> {
    fn default() -> Sparse<K, V> {
        Sparse {
            few: Vec::new(),
            more: Numbered::default(),
        }
    }
}

impl<K: Copy + Eq + Hash, V> Sparse<K, V> {
    pub(crate) fn get(&self, key: K) -> Option<&V> {
        let listed = self.few.iter().find(|e| e.0 == key).map(|e| &e.1);
        match self.more.is_empty() {
            true => listed,
            false => listed.or_else(|| self.more.get(&key)),
        }
    }

    pub(crate) fn insert(&mut self, key: K, value: V) {
        if let Some(known) = self.few.iter_mut().find(|e| e.0 == key) {
            known.1 = value;
        } else if self.few.len() < FEW && !self.more.contains_key(&key) {
            self.few.push((key, value));
        } else {
            self.more.insert(key, value);
        }
    }

    pub(crate) fn remove(&mut self, key: K) {
        match self.few.iter().position(|e| e.0 == key) {
            Some(at) => {
                self.few.swap_remove(at);
            }
            None => {
                self.more.remove(&key);
            }
        }
    }

    /// In no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (K, &V)> {
        let few = self.few.iter().map(|e| (e.0, &e.1));
        few.chain(self.more.iter().map(|e| (*e.0, e.1)))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{FEW, Sparse};

    #[test]
    fn a_sparse_map_is_a_map() {
        // Keys that come and go, more of them than the list holds, beside the standard library's map.
        let (mut sparse, mut known) = (Sparse::default(), BTreeMap::new());
        let mut at = 1u32;
        for step in 0..4000u32 {
            at = at.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let key = (at >> 16) % (3 * FEW as u32);
            match at >> 30 {
                0 => {
                    sparse.remove(key);
                    known.remove(&key);
                }
                _ => {
                    sparse.insert(key, step);
                    known.insert(key, step);
                }
            }
            assert_eq!(sparse.get(key), known.get(&key));
            let mut all: Vec<(u32, u32)> = sparse.iter().map(|(k, v)| (k, *v)).collect();
            all.sort_unstable();
            let wanted: Vec<(u32, u32)> = known.iter().map(|(k, v)| (*k, *v)).collect();
            assert_eq!(all, wanted);
        }
    }
}
