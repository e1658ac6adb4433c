//! Registers of which many are kept → few words.
//!
//! Of most values little is known: a value is taken as a row of words, most of which are 0, and those are left out.
//!
//! - The first word says what each register holds, two bits each: nothing, [`Value::IDLE`], or a value.
//! - A value is a word with a bit for each word of its row that is not 0, and then these.
//! - The first word of a row says what the others are: what kind of value, where a pointer points to, and what of the
//!   number in it needs no words of its own.
//!
//! **Invariant:** what is unpacked is what was packed.

use std::cell::OnceCell;

use probity_domains::Scalar;
use probity_isa::Reg;

use crate::object::DynptrKind;
use crate::origin::Origin;
use crate::value::{Hold, MapRef, Number, Pointer, Socket, To, Trust, Value};

pub(crate) type All = [Value; Reg::COUNT];

/// What a register holds.
const NOTHING: u32 = 0;
const IDLE: u32 = 1;
const VALUE: u32 = 2;
/// One of each two bits.
const EACH: u32 = 0x5555_5555;

/// Words of a row that belong to a number's set, behind those of the kind of value.
const SET: usize = 16;
const OF_NUMBER: usize = 5;
const OF_POINTER: usize = 9;
const ROW: usize = OF_POINTER + SET;

/// In the first word of a row.
const IS_POINTER: u32 = 1;
const NULL: u32 = 1 << 1;
/// The set's form: it has words, is any number, or one that two words tell.
const FORM: u32 = 2;
const ANY: u32 = 1;
const CONSTANT: u32 = 2;
/// Where a pointer points to, and two small numbers of that.
const TAG: u32 = 8;
const FIRST: u32 = 16;
const SECOND: u32 = 24;

#[derive(Debug)]
pub(crate) struct Packed {
    words: Box<[u32]>,
    /// Unpacked, once something looked at them in place.
    all: OnceCell<Box<All>>,
}

impl Clone for Packed {
    fn clone(&self) -> Packed {
        Packed {
            words: self.words.clone(),
            all: OnceCell::new(),
        }
    }
}

impl Packed {
    /// Of each register what `keep` says.
    pub(crate) fn of<'a>(keep: impl Fn(usize) -> Keep<'a>) -> Packed {
        let mut words = [0; 1 + Reg::COUNT * (1 + ROW)];
        let mut len = 1;
        for reg in 0..Reg::COUNT {
            let holds = match keep(reg) {
                Keep::Nothing => NOTHING,
                Keep::Idle => IDLE,
                Keep::Value(value) => {
                    let (row, used) = row(value);
                    let at = len;
                    len += 1;
                    for (i, word) in row[..used].iter().enumerate() {
                        if *word != 0 {
                            words[at] |= 1 << i;
                            words[len] = *word;
                            len += 1;
                        }
                    }
                    VALUE
                }
            };
            words[0] |= holds << (2 * reg);
        }
        Packed {
            words: words[..len].into(),
            all: OnceCell::new(),
        }
    }

    pub(crate) fn get(&self, reg: usize) -> Value {
        match self.words[0] >> (2 * reg) & 3 {
            NOTHING => return Value::Uninit,
            IDLE => return Value::IDLE,
            _ => {}
        }
        // Those before it that are values: of these two bits only the higher one is set.
        let before = self.words[0] & ((1 << (2 * reg)) - 1) & (EACH * VALUE);
        let mut words = &self.words[1..];
        for _ in 0..before.count_ones() {
            words = &words[1 + words[0].count_ones() as usize..];
        }
        unpacked(&mut words)
    }

    pub(crate) fn all(&self) -> All {
        let mut words = &self.words[1..];
        std::array::from_fn(|reg| match self.words[0] >> (2 * reg) & 3 {
            NOTHING => Value::Uninit,
            IDLE => Value::IDLE,
            _ => unpacked(&mut words),
        })
    }

    /// To look at in place.
    #[cold]
    #[inline(never)]
    pub(crate) fn at(&self, reg: usize) -> &Value {
        &self.all.get_or_init(|| Box::new(self.all()))[reg]
    }
}

/// What is to be packed of a register.
pub(crate) enum Keep<'a> {
    Nothing,
    Idle,
    Value(&'a Value),
}

impl<'a> Keep<'a> {
    pub(crate) fn whole(value: &'a Value) -> Keep<'a> {
        match value.is_init() {
            true => Keep::Value(value),
            false => Keep::Nothing,
        }
    }
}

/// The value whose words come first; these are taken off.
fn unpacked(words: &mut &[u32]) -> Value {
    let mut row = [0; ROW];
    let mut left = words[0];
    let (here, rest) = words[1..].split_at(left.count_ones() as usize);
    for word in here {
        row[left.trailing_zeros() as usize] = *word;
        left &= left - 1;
    }
    *words = rest;
    value(&row)
}

/// The row of a value, and how many of its words come before those that are certainly 0.
fn row(value: &Value) -> ([u32; ROW], usize) {
    let mut row = [0; ROW];
    let used = match value {
        Value::Uninit => 0,
        Value::Number(n) => {
            let [low, high] = halves(n.add as u64);
            row[1..OF_NUMBER].copy_from_slice(&[n.link, n.origin.index() as u32, low, high]);
            let (form, used) = put_set(&n.set, &mut row[OF_NUMBER..]);
            row[0] = form;
            OF_NUMBER + used
        }
        Value::Pointer(p) => {
            let (tag, of, first, second) = to_parts(p.to);
            let [low, high] = halves(p.off as u64);
            let words = [of, low, high, p.id, p.range, p.reference, p.parent, p.base];
            row[1..OF_POINTER].copy_from_slice(&words);
            let null = if p.null { NULL } else { 0 };
            let to =
                u32::from(tag) << TAG | u32::from(first) << FIRST | u32::from(second) << SECOND;
            let (form, used) = put_set(&p.var, &mut row[OF_POINTER..]);
            row[0] = IS_POINTER | null | to | form;
            OF_POINTER + used
        }
    };
    (row, used)
}

fn value(row: &[u32; ROW]) -> Value {
    let head = row[0];
    if head & IS_POINTER == 0 {
        return Value::Number(Number {
            set: set(head, &row[OF_NUMBER..]),
            link: row[1],
            add: whole(row[3], row[4]) as i64,
            origin: Origin::at(row[2] as usize),
        });
    }
    let byte = |at: u32| (head >> at) as u8;
    Value::Pointer(Pointer {
        to: to(byte(TAG), row[1], byte(FIRST), byte(SECOND)),
        off: whole(row[2], row[3]) as i64,
        var: set(head, &row[OF_POINTER..]),
        null: head & NULL != 0,
        id: row[4],
        range: row[5],
        reference: row[6],
        parent: row[7],
        base: row[8],
    })
}

fn halves(x: u64) -> [u32; 2] {
    [x as u32, (x >> 32) as u32]
}

fn whole(low: u32, high: u32) -> u64 {
    u64::from(low) | u64::from(high) << 32
}

/// What the first word says of the set, and how many words it has, which are behind.
fn put_set(set: &Scalar, words: &mut [u32]) -> (u32, usize) {
    if let Some(x) = set.as_constant() {
        words[..2].copy_from_slice(&halves(x));
        return (CONSTANT << FORM, 2);
    }
    if set.is_unknown() {
        return (ANY << FORM, 0);
    }
    words[..SET].copy_from_slice(&set.words());
    (0, SET)
}

fn set(head: u32, words: &[u32]) -> Scalar {
    match head >> FORM & 3 {
        CONSTANT => Scalar::constant(whole(words[0], words[1])),
        ANY => Scalar::unknown(),
        _ => Scalar::from_words(&std::array::from_fn(|i| words[i])),
    }
}

/// Which kind of target, the word that it takes, and two small numbers.
fn to_parts(to: To) -> (u8, u32, u8, u8) {
    let map = |tag, m: MapRef| (tag, m.index, m.inner.into(), 0);
    match to {
        To::Context => (0, 0, 0, 0),
        To::Stack { frame } => (1, frame as u32, 0, 0),
        To::Map(m) => map(2, m),
        To::MapKey(m) => map(3, m),
        To::MapValue(m) => map(4, m),
        To::Packet => (5, 0, 0, 0),
        To::PacketMeta => (6, 0, 0, 0),
        To::PacketEnd => (7, 0, 0, 0),
        To::Memory { size, writable } => (8, size, writable.into(), 0),
        To::Buffer { writable, helpers } => (9, 0, writable.into(), helpers.into()),
        To::Slice {
            size,
            writable,
            packet,
        } => (10, size, writable.into(), packet.into()),
        To::Dynptr { kind } => {
            let (kind, moves) = match kind {
                DynptrKind::Local => (0, false),
                DynptrKind::Ringbuf => (1, false),
                DynptrKind::Packet { moves } => (2, moves),
                DynptrKind::Any => (3, false),
            };
            (11, 0, kind, moves.into())
        }
        To::Record { size } => (12, size, 0, 0),
        To::Socket(socket) => {
            let socket = match socket {
                Socket::Sock => 0,
                Socket::SockCommon => 1,
                Socket::TcpSock => 2,
                Socket::XdpSock => 3,
            };
            (13, 0, socket, 0)
        }
        To::FlowKeys => (14, 0, 0, 0),
        To::Kernel { type_id, trust } => {
            let trust = match trust {
                Trust::Trusted => 0,
                Trust::Rcu => 1,
                Trust::Plain => 2,
                Trust::Untrusted => 3,
            };
            (15, type_id, trust, 0)
        }
        To::Allocated {
            type_id,
            hold,
            percpu,
        } => {
            let hold = match hold {
                Hold::Owning => 0,
                Hold::Borrowed { counted: false } => 1,
                Hold::Borrowed { counted: true } => 2,
                Hold::Rcu => 3,
                Hold::Untrusted => 4,
                Hold::Lost => 5,
            };
            (16, type_id, hold, percpu.into())
        }
        To::PerCpu { type_id } => (17, type_id, 0, 0),
        To::Arena => (18, 0, 0, 0),
        To::Function(n) => (19, n as u32, 0, 0),
    }
}

fn to(tag: u8, of: u32, first: u8, second: u8) -> To {
    let map = MapRef {
        index: of,
        inner: first != 0,
    };
    match tag {
        0 => To::Context,
        1 => To::Stack { frame: of as usize },
        2 => To::Map(map),
        3 => To::MapKey(map),
        4 => To::MapValue(map),
        5 => To::Packet,
        6 => To::PacketMeta,
        7 => To::PacketEnd,
        8 => To::Memory {
            size: of,
            writable: first != 0,
        },
        9 => To::Buffer {
            writable: first != 0,
            helpers: second != 0,
        },
        10 => To::Slice {
            size: of,
            writable: first != 0,
            packet: second != 0,
        },
        11 => To::Dynptr {
            kind: match first {
                0 => DynptrKind::Local,
                1 => DynptrKind::Ringbuf,
                2 => DynptrKind::Packet { moves: second != 0 },
                _ => DynptrKind::Any,
            },
        },
        12 => To::Record { size: of },
        13 => To::Socket(match first {
            0 => Socket::Sock,
            1 => Socket::SockCommon,
            2 => Socket::TcpSock,
            _ => Socket::XdpSock,
        }),
        14 => To::FlowKeys,
        15 => To::Kernel {
            type_id: of,
            trust: match first {
                0 => Trust::Trusted,
                1 => Trust::Rcu,
                2 => Trust::Plain,
                _ => Trust::Untrusted,
            },
        },
        16 => To::Allocated {
            type_id: of,
            hold: match first {
                0 => Hold::Owning,
                1 => Hold::Borrowed { counted: false },
                2 => Hold::Borrowed { counted: true },
                3 => Hold::Rcu,
                4 => Hold::Untrusted,
                _ => Hold::Lost,
            },
            percpu: second != 0,
        },
        17 => To::PerCpu { type_id: of },
        18 => To::Arena,
        _ => To::Function(of as usize),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn targets() -> Vec<To> {
        let map = MapRef {
            index: 7,
            inner: false,
        };
        let inner = MapRef { inner: true, ..map };
        let mut all = vec![
            To::Context,
            To::Packet,
            To::PacketMeta,
            To::PacketEnd,
            To::FlowKeys,
            To::Arena,
            To::PerCpu { type_id: 70_000 },
            To::Record { size: u32::MAX },
            To::Stack { frame: 0 },
            To::Stack { frame: 7 },
            To::Function(0),
            To::Function(300),
        ];
        for m in [map, inner] {
            all.extend([To::Map(m), To::MapKey(m), To::MapValue(m)]);
        }
        for a in [false, true] {
            all.push(To::Memory {
                size: 12,
                writable: a,
            });
            let kind = DynptrKind::Packet { moves: a };
            all.push(To::Dynptr { kind });
            for b in [false, true] {
                all.push(To::Buffer {
                    writable: a,
                    helpers: b,
                });
                all.push(To::Slice {
                    size: 8,
                    writable: a,
                    packet: b,
                });
            }
            for hold in [
                Hold::Owning,
                Hold::Borrowed { counted: a },
                Hold::Rcu,
                Hold::Untrusted,
                Hold::Lost,
            ] {
                all.push(To::Allocated {
                    type_id: 9,
                    hold,
                    percpu: a,
                });
            }
        }
        for kind in [DynptrKind::Local, DynptrKind::Ringbuf, DynptrKind::Any] {
            all.push(To::Dynptr { kind });
        }
        for socket in [
            Socket::Sock,
            Socket::SockCommon,
            Socket::TcpSock,
            Socket::XdpSock,
        ] {
            all.push(To::Socket(socket));
        }
        for trust in [Trust::Trusted, Trust::Rcu, Trust::Plain, Trust::Untrusted] {
            all.push(To::Kernel { type_id: 5, trust });
        }
        all
    }

    fn sets() -> Vec<Scalar> {
        let bounds = |min, max| Scalar::from_signed(min, max).expect("min <= max");
        vec![
            Scalar::constant(0),
            Scalar::constant(u64::MAX),
            Scalar::constant(1 << 40),
            Scalar::unknown(),
            Scalar::any_of(1),
            Scalar::any_of(32),
            bounds(-5, 3),
            bounds(i64::MIN, -9),
            bounds(3, 1 << 50),
            Scalar::from_tnum(probity_domains::Tnum::new(0x30, 0xf00f)).expect("not empty"),
        ]
    }

    /// Pointers to everything, and numbers, each with all else set and not.
    fn values() -> Vec<Value> {
        let mut all = vec![Value::Uninit, Value::IDLE];
        for (i, set) in sets().into_iter().enumerate() {
            for (link, add, origin) in [(0, 0, 0), (3, -1, 2), (crate::value::HEAD | 4, 1 << 33, 9)]
            {
                all.push(Value::Number(Number {
                    set,
                    link,
                    add,
                    origin: Origin::at(origin),
                }));
            }
            for to in targets() {
                let plain = Pointer {
                    var: set,
                    ..Pointer::new(to)
                };
                let other = Pointer {
                    off: -(1 << (4 * i)),
                    null: true,
                    id: 1,
                    range: 2,
                    reference: 3,
                    parent: 4,
                    base: crate::value::HEAD | 5,
                    ..plain
                };
                all.extend([Value::Pointer(plain), Value::Pointer(other)]);
            }
        }
        all
    }

    #[test]
    fn every_value_comes_back() {
        let values = values();
        for some in values.chunks(Reg::COUNT) {
            let of = |r: usize| some.get(r).copied().unwrap_or(Value::Uninit);
            let all: All = std::array::from_fn(of);
            let packed = Packed::of(|r| Keep::whole(&all[r]));
            assert_eq!(packed.all(), all);
            for (r, v) in all.iter().enumerate() {
                assert_eq!(packed.get(r), *v);
                assert_eq!(packed.at(r), v);
            }
            assert_eq!(packed.clone().all(), all);
        }
    }

    #[test]
    fn little_takes_few_words() {
        let words = |v: &Value| {
            let only = |r| {
                if r == 3 {
                    Keep::Value(v)
                } else {
                    Keep::Nothing
                }
            };
            Packed::of(only).words.len()
        };
        assert_eq!(words(&Value::pointer(To::Context)), 3);
        assert_eq!(words(&Value::pointer(To::Stack { frame: 0 })), 3);
        assert_eq!(words(&Value::constant(5)), 4);
        assert_eq!(Packed::of(|_| Keep::Idle).words.len(), 1);
    }

    /// All rows, where no word is 0, have room.
    #[test]
    fn the_longest_fit() {
        let v = values()
            .into_iter()
            .max_by_key(|v| row(v).0.iter().filter(|w| **w != 0).count());
        let v = v.expect("there are some");
        let packed = Packed::of(|_| Keep::Value(&v));
        assert_eq!(packed.all(), [v; Reg::COUNT]);
    }
}
