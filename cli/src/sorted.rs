//! Sorting where nobody waits for it: one sort for lists of anything, which keeps the program small.

use std::cmp::Ordering;

/// As `list.sort_by(compare)`.
pub fn by<T>(list: &mut Vec<T>, mut compare: impl FnMut(&T, &T) -> Ordering) {
    let mut places: Vec<usize> = (0..list.len()).collect();
    sort(&mut places, &mut |a, b| compare(&list[a], &list[b]));
    let mut old: Vec<Option<T>> = list.drain(..).map(Some).collect();
    list.extend(places.into_iter().filter_map(|p| old[p].take()));
}

fn sort(places: &mut [usize], compare: &mut dyn FnMut(usize, usize) -> Ordering) {
    places.sort_by(|a, b| compare(*a, *b));
}

#[cfg(test)]
mod tests {
    #[test]
    fn equal_ones_keep_their_order() {
        let mut list = vec![(2, 'a'), (1, 'b'), (2, 'c'), (0, 'd'), (1, 'e')];
        super::by(&mut list, |a, b| a.0.cmp(&b.0));
        let letters: String = list.iter().map(|(_, c)| c).collect();
        assert_eq!(letters, "dbeac");
        let mut none: Vec<u8> = Vec::new();
        super::by(&mut none, u8::cmp);
        assert!(none.is_empty());
    }
}
