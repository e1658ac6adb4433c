//! Items × a function of one → its results in the order of the items, made on several threads.
//!
//! **Invariant:** the results are those of one thread; only how long they take depends on their number.

use std::sync::atomic::{AtomicUsize, Ordering};

/// The results in order, whichever thread they come from.
pub(crate) fn in_parallel<T: Sync, R: Send>(
    of: &[T],
    jobs: usize,
    one: impl Fn(&T) -> R + Sync,
) -> Vec<R> {
    let jobs = jobs.min(of.len());
    if jobs < 2 {
        return of.iter().map(one).collect();
    }
    let next = AtomicUsize::new(0);
    let worker = || {
        let mut done = Vec::new();
        while let at = next.fetch_add(1, Ordering::Relaxed)
            && let Some(item) = of.get(at)
        {
            done.push((at, one(item)));
        }
        done
    };
    let mut all: Vec<(usize, R)> = std::thread::scope(|scope| {
        let others: Vec<_> = (1..jobs).map(|_| scope.spawn(worker)).collect();
        let mut all = worker();
        for other in others {
            match other.join() {
                Ok(done) => all.extend(done),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        all
    });
    all.sort_unstable_by_key(|(at, _)| *at);
    all.into_iter().map(|(_, r)| r).collect()
}

#[cfg(test)]
mod tests {
    use super::in_parallel;

    #[test]
    fn the_order_is_that_of_the_items() {
        let items: Vec<usize> = (0..500).collect();
        let squares: Vec<usize> = items.iter().map(|n| n * n).collect();
        for jobs in [0, 1, 2, 7, 1000] {
            assert_eq!(in_parallel(&items, jobs, |n| n * n), squares, "{jobs} jobs");
        }
        assert!(in_parallel(&[0; 0], 8, |n: &i32| *n).is_empty());
    }
}
