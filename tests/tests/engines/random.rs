//! Random programs, structured so that most verify, run the same on both engines.

use probity_jit::{Jit, Lowerings, Options};
use probity_runtime::Engine;
use probity_tests::engines::{Setting, Tally, check_seed};
use probity_tests::generate;

use crate::harness::in_process;

/// A small generator of numbers (splitmix64).
pub struct Rng(pub u64);

impl Rng {
    /// From `TEST_SEED`, or of this run; prints it.
    pub fn seeded(test: &str) -> Rng {
        let given = std::env::var("TEST_SEED").ok().and_then(|s| s.parse().ok());
        let seed = given.unwrap_or_else(|| {
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
            now.map_or(1, |d| d.as_nanos() as u64)
        });
        println!("{test}: TEST_SEED={seed}");
        Rng(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    fn of<'a>(&mut self, list: &[&'a str]) -> &'a str {
        list[self.below(list.len())]
    }

    /// Numbers near corners more often than not.
    pub fn word(&mut self) -> u64 {
        let n = self.next();
        match self.below(6) {
            0 => n,
            1 => n % 16,
            2 => u64::MAX - n % 16,
            3 => 1u64.rotate_left(n as u32) ^ (n >> 60),
            4 => u64::from(n as u32),
            _ => n as i32 as u64,
        }
    }
}

/// Text of a program; r9 points to a map's value, the other registers are numbers.
struct Writer<'r> {
    rng: &'r mut Rng,
    text: String,
    labels: usize,
    /// Nested loops, each with its counter on the stack.
    loops: usize,
    /// Inside of a subprogram: no r9.
    sub: bool,
    /// Linux runs it too.
    linux: bool,
}

const HEAD: &str = ".license \"GPL\"
.map state kind=array key=4 value=64 max_entries=4
.map table kind=hash key=4 value=8 max_entries=8
.map cpus kind=percpu_array key=4 value=16 max_entries=4
.section raw_tracepoint
.globl main
main:
r6 = r1
*(u32 *)(r10 - 4) = 0
r2 = r10
r2 += -4
r1 = map state ll
call bpf_map_lookup_elem
if r0 == 0 goto none
r9 = r0
r1 = *(u64 *)(r6 + 0)
r2 = *(u64 *)(r6 + 8)
r3 = *(u64 *)(r6 + 16)
r4 = *(u64 *)(r6 + 24)
r5 = *(u64 *)(r6 + 32)
r7 = *(u64 *)(r6 + 40)
r8 = *(u64 *)(r6 + 48)
r6 = *(u64 *)(r6 + 56)
r0 = r7
";

impl Writer<'_> {
    fn line(&mut self, s: String) {
        self.text += &s;
        self.text.push('\n');
    }

    fn label(&mut self) -> String {
        self.labels += 1;
        format!("l{}", self.labels)
    }

    fn reg(&mut self) -> usize {
        self.rng.below(9)
    }

    fn block(&mut self, depth: usize) {
        for _ in 0..1 + self.rng.below(6) {
            self.statement(depth);
        }
    }

    fn statement(&mut self, depth: usize) {
        match self.rng.below(if depth == 0 { 10 } else { 14 }) {
            0..=4 => self.alu(),
            5 | 6 => self.stack(),
            7 => self.value(),
            8 => self.atomic(),
            9 => self.helper(),
            10 | 11 => self.branch(depth - 1),
            12 if self.loops < 2 => self.repeat(depth - 1),
            _ if !self.sub => self.call(),
            _ => self.alu(),
        }
    }

    fn alu(&mut self) {
        let (d, s) = (self.reg(), self.reg());
        let r = self.rng.of(&["r", "w"]);
        let op = self.rng.of(&[
            "+=", "-=", "*=", "/=", "%=", "s/=", "s%=", "|=", "&=", "^=", "<<=", ">>=", "s>>=", "=",
        ]);
        match self.rng.below(8) {
            0..=2 => self.line(format!("{r}{d} {op} {r}{s}")),
            3..=5 => {
                let imm = if op.contains("<<") || op.contains(">>") {
                    self.rng.below(32) as i32
                } else {
                    match self.rng.word() as i32 {
                        0 => 3,
                        n => n,
                    }
                };
                self.line(format!("{r}{d} {op} {imm}"));
            }
            6 => {
                let size = self.rng.of(&["s8", "s16"]);
                self.line(format!("{r}{d} = ({size}){r}{s}"));
            }
            _ => {
                let op = self.rng.of(&[
                    "be16", "be32", "be64", "le16", "le32", "bswap16", "bswap32", "bswap64",
                ]);
                self.line(format!("r{d} = {op} r{d}"));
            }
        }
    }

    fn stack(&mut self) {
        let r = self.reg();
        let (size, bytes) = [("8", 1), ("16", 2), ("32", 4), ("64", 8)][self.rng.below(4)];
        // Few places, so that accesses meet and overlap.
        let at = 32 + bytes * self.rng.below(40 / bytes) + bytes;
        let at = at.next_multiple_of(bytes);
        match self.rng.below(3) {
            0 => self.line(format!("*(u{size} *)(r10 - {at}) = r{r}")),
            1 => self.line(format!("r{r} = *(u{size} *)(r10 - {at})")),
            _ if bytes < 8 => self.line(format!("r{r} = *(s{size} *)(r10 - {at})")),
            _ => {
                let imm = self.rng.word() as i32;
                self.line(format!("*(u64 *)(r10 - {at}) = {imm}"));
            }
        }
    }

    fn value(&mut self) {
        if self.sub {
            return self.stack();
        }
        let r = self.reg();
        let (size, bytes) = [("8", 1), ("16", 2), ("32", 4), ("64", 8)][self.rng.below(4)];
        let at = bytes * self.rng.below(32 / bytes);
        if self.rng.below(2) == 0 {
            self.line(format!("*(u{size} *)(r9 + {at}) = r{r}"));
        } else {
            self.line(format!("r{r} = *(u{size} *)(r9 + {at})"));
        }
    }

    fn atomic(&mut self) {
        let s = self.reg();
        let base = if self.sub || self.rng.below(2) == 0 {
            "r10 - 48"
        } else {
            "r9 + 8"
        };
        let (size, r) = if self.rng.below(2) == 0 {
            ("64", "r")
        } else {
            ("32", "w")
        };
        let form = self.rng.below(4);
        if base == "r10 - 48" {
            self.line(format!("*(u64 *)(r10 - 48) = r{s}"));
            // Linux 6.18 can remove a branch that a fetch of a register spilled whole decides
            // (tests/engine/fetch-decides.s): the same byte again makes it forget which register that was.
            if self.linux && form > 0 {
                self.line(format!("*(u8 *)(r10 - 48) = r{s}"));
            }
        }
        match form {
            0 => {
                let op = self.rng.of(&["+=", "|=", "&=", "^="]);
                self.line(format!("lock *(u{size} *)({base}) {op} {r}{s}"));
            }
            1 | 2 => {
                let op = self.rng.of(&["add", "or", "and", "xor"]);
                self.line(format!(
                    "{r}{s} = atomic_fetch_{op}((u{size} *)({base}), {r}{s})"
                ));
            }
            _ if size == "64" => self.line(format!("r0 = cmpxchg_64({base}, r0, r{s})")),
            _ => {
                self.line(format!("w0 = cmpxchg32_32({base}, w0, w{s})"));
                // Linux 6.18 can leave r0's upper half in place (tests/engine/cmpxchg-upper-half.s).
                if self.linux {
                    self.line("w0 = w0".into());
                }
            }
        }
    }

    /// Numbers into r1 to r5, which a call left unusable.
    fn refill(&mut self) {
        for r in 1..=5 {
            let from = [0, 6, 7, 8][self.rng.below(4)];
            self.line(format!("r{r} = r{from}"));
        }
    }

    fn helper(&mut self) {
        let key = 6 + self.rng.below(3);
        let out = self.label();
        let mask = [0, 3, 7][self.rng.below(3)];
        self.line(format!("r1 = r{key}\nr1 &= {mask}\n*(u32 *)(r10 - 8) = r1"));
        match self.rng.below(3) {
            0 => {
                let map = self.rng.of(&["state", "cpus", "table"]);
                self.line(format!(
                    "r1 = map {map} ll\nr2 = r10\nr2 += -8\ncall bpf_map_lookup_elem"
                ));
                self.line(format!("if r0 == 0 goto {out}"));
                let at = self.rng.below(2) * 4;
                self.line(format!("r1 = *(u32 *)(r0 + {at})\nr1 += r{key}\n*(u32 *)(r0 + {at}) = r1\nr0 = r1\n{out}:"));
            }
            1 => {
                let flags = self.rng.below(4);
                self.line(format!("*(u64 *)(r10 - 16) = r{key}\nr1 = map table ll\nr2 = r10\nr2 += -8\nr3 = r10\nr3 += -16\nr4 = {flags}\ncall bpf_map_update_elem"));
            }
            _ => {
                self.line("r1 = map table ll\nr2 = r10\nr2 += -8\ncall bpf_map_delete_elem".into())
            }
        }
        self.refill();
    }

    fn branch(&mut self, depth: usize) {
        let (other, end) = (self.label(), self.label());
        let (d, s) = (self.reg(), self.reg());
        let r = self.rng.of(&["r", "w"]);
        let op = self.rng.of(&[
            "==", "!=", ">", ">=", "<", "<=", "s>", "s>=", "s<", "s<=", "&",
        ]);
        if self.rng.below(2) == 0 {
            self.line(format!("if {r}{d} {op} {r}{s} goto {other}"));
        } else {
            let imm = self.rng.word() as i32;
            self.line(format!("if {r}{d} {op} {imm} goto {other}"));
        }
        self.block(depth);
        self.line(format!("goto {end}\n{other}:"));
        self.block(depth);
        self.line(format!("{end}:"));
    }

    fn repeat(&mut self, depth: usize) {
        let again = self.label();
        self.loops += 1;
        let at = 16 + 8 * self.loops + 72;
        let turns = 1 + self.rng.below(6);
        self.line(format!("*(u64 *)(r10 - {at}) = 0\n{again}:"));
        self.block(depth);
        let r = self.reg();
        self.line(format!("r{r} = *(u64 *)(r10 - {at})\nr{r} += 1\n*(u64 *)(r10 - {at}) = r{r}\nif r{r} < {turns} goto {again}"));
        self.loops -= 1;
    }

    fn call(&mut self) {
        let n = self.rng.below(2);
        self.line(format!("call sub{n}"));
        self.refill();
    }
}

/// A whole program. For Linux it writes the stack first, whose unwritten bytes are anything there.
pub fn program(rng: &mut Rng, linux: bool) -> String {
    let zeros: String = (1..=14)
        .filter(|_| linux)
        .map(|n| format!("*(u64 *)(r10 - {}) = 0\n", n * 8))
        .collect();
    let mut w = Writer {
        rng,
        text: HEAD.replace("main:\n", &format!("main:\n{zeros}")),
        labels: 0,
        loops: 0,
        sub: false,
        linux,
    };
    for _ in 0..4 {
        w.block(2);
    }
    for n in 0..2 {
        w.line(format!("call sub{n}"));
        w.refill();
    }
    // Everything that is left counts.
    for r in [1, 2, 3, 4, 5, 6, 7, 8] {
        w.line(format!("r0 *= 31\nr0 += r{r}"));
    }
    w.line("*(u64 *)(r9 + 56) = r0\nexit\nnone:\nr0 = 0\nexit\n.text".into());
    for n in 0..2 {
        w.sub = true;
        w.line(format!("sub{n}:\n{zeros}"));
        w.line("r0 = r1\nr6 = r2\nr7 = r3\nr8 = r4".into());
        w.block(1);
        w.line("exit".into());
    }
    w.text
}

/// One of the ways in which programs are compiled: half of all with everything, half with some lowerings only.
fn varied(draw: u64) -> Options {
    Options {
        optimise: !draw.is_multiple_of(8),
        lowerings: match draw >> 8 & 1 {
            0 => Lowerings::ALL,
            _ => Lowerings::drawn(draw >> 16),
        },
    }
}

#[test]
fn random_programs_agree() {
    let setting = Setting::new(&in_process(), 8);
    let mut rng = generate::Rng::seeded("random_programs_agree");
    let programs = std::env::var("TEST_PROGRAMS")
        .ok()
        .and_then(|s| s.parse().ok());
    let make = |instance, draw| {
        let jit = Jit::with_options(instance, &varied(draw)).map_err(|e| e.to_string())?;
        Ok(Box::new(jit) as Box<dyn Engine>)
    };
    let mut tally = Tally::default();
    for _ in 0..programs.unwrap_or(150usize) {
        let checked = check_seed(&setting, rng.next(), &make);
        tally.add(checked.unwrap_or_else(|broken| panic!("{broken}")));
    }
    println!("{tally}");
    assert!(
        tally.agreed > (tally.refused + tally.long) / 4,
        "too many programs were refused, or may run for long"
    );
}
