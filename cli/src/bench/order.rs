//! `--sort`: columns → the order of the rows.

use std::cmp::Ordering;

use super::row::{self, Cell, Row};

#[derive(Clone, Debug)]
pub struct Key {
    key: String,
    falls: bool,
}

/// `KEY[:asc|desc]`.
pub fn parse(text: &str) -> Result<Key, String> {
    let (key, falls) = match text.split_once(':') {
        None | Some((_, "asc")) => (text.split(':').next().unwrap_or(text), false),
        Some((key, "desc")) => (key, true),
        Some((_, other)) => return Err(format!("`{other}` is neither asc nor desc")),
    };
    Ok(Key {
        key: row::key(key)?,
        falls,
    })
}

/// Stable; rows without the figure come last either way.
pub fn sort(rows: &mut Vec<Row>, by: &[Key]) {
    crate::sorted::by(rows, |a, b| {
        by.iter()
            .map(|k| compare(&a.cell(&k.key), &b.cell(&k.key), k.falls))
            .find(|o| o.is_ne())
            .unwrap_or(Ordering::Equal)
    });
}

fn compare(a: &Cell, b: &Cell, falls: bool) -> Ordering {
    let order = match (a, b) {
        (Cell::Missing, Cell::Missing) => return Ordering::Equal,
        (Cell::Missing, _) => return Ordering::Greater,
        (_, Cell::Missing) => return Ordering::Less,
        (Cell::Number(a), Cell::Number(b)) => a.total_cmp(b),
        (Cell::Text(a), Cell::Text(b)) => a.cmp(b),
        (Cell::Number(_), Cell::Text(_)) => Ordering::Less,
        (Cell::Text(_), Cell::Number(_)) => Ordering::Greater,
    };
    if falls { order.reverse() } else { order }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_without_the_figure_come_last() {
        let row = |program: &str, memory| Row {
            program: program.into(),
            memory_bytes: memory,
            ..Row::default()
        };
        let mut rows = vec![row("a", None), row("b", Some(1)), row("c", Some(2))];
        let names = |rows: &[Row]| rows.iter().map(|r| r.program.clone()).collect::<String>();
        sort(&mut rows, &[parse("memory:desc").expect("a key")]);
        assert_eq!(names(&rows), "cba");
        sort(&mut rows, &[parse("memory").expect("a key")]);
        assert_eq!(names(&rows), "bca");
        sort(&mut rows, &[parse("program:desc").expect("a key")]);
        assert_eq!(names(&rows), "cba");
        assert!(parse("memory:up").is_err() && parse("height").is_err());
    }
}
