//! Items × a function of one → its results in the order of the items, made on several threads.
//!
//! **Invariant:** what is told, and in which order, does not depend on the number of threads.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

use anyhow::Result;

/// As many threads as are asked for, or as there are processors to run them.
pub fn threads(asked: Option<NonZeroUsize>) -> usize {
    let all = || std::thread::available_parallelism().ok();
    asked.or_else(all).map_or(1, NonZeroUsize::get)
}

/// Calls `tell` with each result as soon as those before it are told; its first error ends everything.
pub fn in_order<T: Sync, R: Send>(
    items: &[T],
    threads: usize,
    one: impl Fn(&T) -> R + Sync,
    mut tell: impl FnMut(&T, R) -> Result<()>,
) -> Result<()> {
    let next = AtomicUsize::new(0);
    let take = || {
        let at = next.fetch_add(1, Ordering::Relaxed);
        items.get(at).map(|item| (at, item))
    };
    if threads.min(items.len()) < 2 {
        while let Some((_, item)) = take() {
            tell(item, one(item))?;
        }
        return Ok(());
    }
    std::thread::scope(|scope| {
        let (done, results) = mpsc::channel();
        for _ in 0..threads.min(items.len()) {
            let (done, take, one) = (done.clone(), &take, &one);
            scope.spawn(move || {
                while let Some((at, item)) = take() {
                    // Nobody listens any more: telling failed.
                    if done.send((at, one(item))).is_err() {
                        break;
                    }
                }
            });
        }
        drop(done);
        let mut early = BTreeMap::new();
        let mut turn = 0;
        for (at, result) in results {
            early.insert(at, result);
            while let Some(result) = early.remove(&turn) {
                tell(&items[turn], result)?;
                turn += 1;
            }
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(threads: usize) -> Vec<(usize, String)> {
        let items: Vec<usize> = (0..200).collect();
        let mut all = Vec::new();
        // The first ones take longest.
        let slow = |n: &usize| {
            std::thread::sleep(std::time::Duration::from_micros(300 - *n as u64));
            n.to_string()
        };
        let tell = |n: &usize, text| {
            all.push((*n, text));
            Ok(())
        };
        in_order(&items, threads, slow, tell).unwrap();
        all
    }

    #[test]
    fn the_order_is_that_of_the_items() {
        let one = told(1);
        assert!(
            one.iter()
                .enumerate()
                .all(|(i, (n, text))| i == *n && *text == i.to_string())
        );
        assert_eq!(one.len(), 200);
        assert_eq!(told(2), one);
        assert_eq!(told(64), one);
        in_order(&[0; 0], 8, |_| (), |_, ()| Ok(())).unwrap();
    }

    #[test]
    fn an_error_ends_it() {
        for threads in [1, 8] {
            let started = AtomicUsize::new(0);
            let one = |n: &usize| {
                started.fetch_add(1, Ordering::Relaxed);
                std::thread::sleep(std::time::Duration::from_millis(1));
                *n
            };
            let items: Vec<usize> = (0..1000).collect();
            let tell = |_: &usize, n| match n {
                3 => anyhow::bail!("three"),
                _ => Ok(()),
            };
            let error = in_order(&items, threads, one, tell).unwrap_err();
            assert_eq!(error.to_string(), "three");
            assert!(
                started.load(Ordering::Relaxed) < 900,
                "{threads} threads went on"
            );
        }
    }
}
