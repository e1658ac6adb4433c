//! Which lowerings the compiler uses beyond a plain translation: a set, each of which can be left out.
//!
//! **Invariant:** every set gives code that does the same; tests draw sets at random and hold what
//! comes out against the interpreter.

use std::fmt;
use std::ops::BitOr;

/// A set of lowerings. All of them are used unless a host says otherwise.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Lowerings(u32);

impl Lowerings {
    /// Jumps to jumps go where those lead, so that no lap of a loop takes two.
    pub const JUMPS: Lowerings = Lowerings(1);
    /// A loop's exit is decided by the counter's next value, so that one register holds the counter.
    pub const COUNTERS: Lowerings = Lowerings(1 << 1);
    /// Loads of bytes that form a word are one load.
    pub const WORDS: Lowerings = Lowerings(1 << 2);
    /// Narrow loads give whole registers, and numbers known to be narrow are not narrowed again.
    pub const NARROW: Lowerings = Lowerings(1 << 3);
    /// Lookups in arrays are compiled in place.
    pub const ARRAYS: Lowerings = Lowerings(1 << 4);
    /// The test of a lookup's result for NULL is the test of its index.
    pub const NULLS: Lowerings = Lowerings(1 << 5);
    /// Loads of data that nobody can change are constants, or may move anywhere.
    pub const FROZEN: Lowerings = Lowerings(1 << 6);
    /// Stack slots at proved offsets are values.
    pub const SLOTS: Lowerings = Lowerings(1 << 7);
    /// Small subprograms are translated where they are called.
    pub const INLINE: Lowerings = Lowerings(1 << 8);
    /// Stack memory is cleared only where it may be read before it is written.
    pub const CLEARING: Lowerings = Lowerings(1 << 9);
    /// Trees of comparisons with constants are jumps through tables.
    pub const TABLES: Lowerings = Lowerings(1 << 10);
    /// Functions start where their loops cross the fewest lines of the instruction cache.
    pub const PLACEMENT: Lowerings = Lowerings(1 << 11);
    /// Parameters of blocks that only ever are one other value are that value.
    pub const PARAMS: Lowerings = Lowerings(1 << 12);
    /// Loops that copy, fill or add up memory in a known number of laps do so sixteen bytes a lap.
    pub const VECTORS: Lowerings = Lowerings(1 << 13);

    /// Each with its name.
    pub const NAMES: &[(&str, Lowerings)] = &[
        ("jumps", Lowerings::JUMPS),
        ("counters", Lowerings::COUNTERS),
        ("words", Lowerings::WORDS),
        ("narrow", Lowerings::NARROW),
        ("arrays", Lowerings::ARRAYS),
        ("nulls", Lowerings::NULLS),
        ("frozen", Lowerings::FROZEN),
        ("slots", Lowerings::SLOTS),
        ("inline", Lowerings::INLINE),
        ("clearing", Lowerings::CLEARING),
        ("tables", Lowerings::TABLES),
        ("placement", Lowerings::PLACEMENT),
        ("params", Lowerings::PARAMS),
        ("vectors", Lowerings::VECTORS),
    ];
    pub const NONE: Lowerings = Lowerings(0);
    pub const ALL: Lowerings = Lowerings((1 << Lowerings::NAMES.len()) - 1);

    /// The set that a random number stands for.
    pub fn drawn(bits: u64) -> Lowerings {
        Lowerings(bits as u32 & Lowerings::ALL.0)
    }

    pub fn has(self, other: Lowerings) -> bool {
        self.0 & other.0 == other.0
    }

    #[must_use]
    pub fn without(self, other: Lowerings) -> Lowerings {
        Lowerings(self.0 & !other.0)
    }
}

impl Default for Lowerings {
    fn default() -> Lowerings {
        Lowerings::ALL
    }
}

impl BitOr for Lowerings {
    type Output = Lowerings;
    fn bitor(self, other: Lowerings) -> Lowerings {
        Lowerings(self.0 | other.0)
    }
}

/// `jumps,words`.
impl fmt::Display for Lowerings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = Lowerings::NAMES.iter().filter(|(_, l)| self.has(*l));
        let names: Vec<&str> = all.map(|(name, _)| *name).collect();
        f.write_str(&names.join(","))
    }
}

impl fmt::Debug for Lowerings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Lowerings({self})")
    }
}
