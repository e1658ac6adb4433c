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
    /// Functions start where their loops and jumps lie best in lines of the instruction cache.
    pub const PLACEMENT: Lowerings = Lowerings(1 << 11);
    /// Parameters of blocks that only ever are one other value are that value.
    pub const PARAMS: Lowerings = Lowerings(1 << 12);
    /// Loops that copy, fill or add up memory in a known number of laps do so sixteen bytes a lap.
    pub const VECTORS: Lowerings = Lowerings(1 << 13);
    /// Results of 32-bit arithmetic are widened only where 64 bits of them are read.
    pub const HALVES: Lowerings = Lowerings(1 << 14);
    /// Stack slots that registers have no room for stay in memory.
    pub const PRESSURE: Lowerings = Lowerings(1 << 15);
    /// Tail calls leave no frame behind, and go by the slots of program arrays without a helper.
    pub const TAILS: Lowerings = Lowerings(1 << 16);
    /// What small helpers do is done where they are called: answers that a call keeps, comparisons with constant strings.
    pub const HELPERS: Lowerings = Lowerings(1 << 17);
    /// Registers whose upper halves are 0 on every way to an instruction are not zero-extended there.
    pub const RANGES: Lowerings = Lowerings(1 << 18);
    /// A number that a function uses more than once is one value.
    pub const NUMBERS: Lowerings = Lowerings(1 << 19);
    /// Two shifts that are put together to a rotation are one.
    pub const ROTATES: Lowerings = Lowerings(1 << 20);
    /// What nobody uses is taken out before the code generator sees it.
    pub const SWEEP: Lowerings = Lowerings(1 << 21);
    /// Branches around one copy are selections.
    pub const SELECTS: Lowerings = Lowerings(1 << 22);
    /// What only dead registers hold of the frame's addresses is forgotten.
    pub const DEAD: Lowerings = Lowerings(1 << 23);
    /// Functions that are long, or run straight through, go without the code generator's own optimisation.
    pub const LEAN: Lowerings = Lowerings(1 << 24);
    /// For programs that do not use a call's state, none is written.
    pub const STATELESS: Lowerings = Lowerings(1 << 25);

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
        ("halves", Lowerings::HALVES),
        ("pressure", Lowerings::PRESSURE),
        ("tails", Lowerings::TAILS),
        ("helpers", Lowerings::HELPERS),
        ("ranges", Lowerings::RANGES),
        ("numbers", Lowerings::NUMBERS),
        ("rotates", Lowerings::ROTATES),
        ("sweep", Lowerings::SWEEP),
        ("selects", Lowerings::SELECTS),
        ("dead", Lowerings::DEAD),
        ("lean", Lowerings::LEAN),
        ("stateless", Lowerings::STATELESS),
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
