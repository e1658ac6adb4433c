//! A map as the host's own types: keys and values of Rust types without padding or pointers in the place of bytes.
//!
//! ```
//! # use std::sync::Arc;
//! # use probity_runtime::{Context, Instance, Options, described, maps::Update, platform, zerocopy};
//! # fn instance() -> Result<Instance, Box<dyn std::error::Error>> {
//! #     let platform = Arc::new(platform(None));
//! #     let text = ".map counts kind=hash key=4 value=16 max_entries=8\n.section xdp\n.globl main\nmain:\nr1 = map counts ll\nr0 = 2\nexit\n";
//! #     let object = probity_objfile::assemble("doc", text, &|_| None)?;
//! #     let report = probity_verifier::verify(&object, &platform, &Default::default(), &Default::default())?;
//! #     let verified = report.into_verified().map_err(|_| "refused")?;
//! #     Ok(Instance::new(Arc::new(verified), Options::default())?)
//! # }
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use probity_runtime::zerocopy::{FromBytes, Immutable, IntoBytes};
//!
//! /// As the program has it: `struct counter { __u64 packets, bytes; }`.
//! #[derive(FromBytes, IntoBytes, Immutable, Clone, Copy, Debug, PartialEq)]
//! #[repr(C)]
//! struct Counter {
//!     packets: u64,
//!     bytes: u64,
//! }
//! described!(Counter { packets: u64, bytes: u64 });
//!
//! let instance = instance()?;
//! let counts = instance.find_map("counts")?.typed::<u32, Counter>()?;
//! counts.insert(&6, &Counter { packets: 1, bytes: 60 })?;
//! assert_eq!(counts.get(&6), Some(Counter { packets: 1, bytes: 60 }));
//! assert!(counts.update(&6, &Counter { packets: 2, bytes: 90 }, Update::New).is_err());
//! for (protocol, counter) in counts.iter() {
//!     println!("{protocol}: {} bytes", counter.bytes);
//! }
//! counts.remove(&6)?;
//! assert!(counts.get(&6).is_none());
//! # Ok(())
//! # }
//! ```
//!
//! **Invariant:** a view exists only where sizes are equal, and where both sides name members, also names and offsets.

use std::marker::PhantomData;

use probity_btf::{Btf, TypeId};
use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::{Map, RingBuf, flags};
use crate::Error;

/// What a key or value may be: bytes of which every pattern is one, without padding.
pub trait Plain: FromBytes + IntoBytes + Immutable {}

impl<T: FromBytes + IntoBytes + Immutable> Plain for T {}

/// Names, offsets and sizes of a structure's members, to be compared with the program's; by [`crate::described`].
pub trait Described {
    const MEMBERS: &'static [(&'static str, usize, usize)];
}

/// Says of a structure what its members are: `described!(Counter { packets: u64, bytes: u64 })` is
/// `impl Described for Counter { const MEMBERS: … = &[("packets", offset_of!(Counter, packets), size_of::<u64>()), …]; }`.
#[macro_export]
macro_rules! described {
    ($name:ty { $($member:ident : $ty:ty),* $(,)? }) => {
        impl $crate::maps::Described for $name {
            const MEMBERS: &'static [(&'static str, usize, usize)] = &[
                $((stringify!($member), ::core::mem::offset_of!($name, $member), ::core::mem::size_of::<$ty>())),*
            ];
        }
    };
}

/// Which elements an update may write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Update {
    #[default]
    Any,
    /// One that is not there: `BPF_NOEXIST`.
    New,
    /// One that is there: `BPF_EXIST`.
    Existing,
}

impl Update {
    fn flags(self) -> u64 {
        match self {
            Update::Any => flags::ANY,
            Update::New => flags::NOEXIST,
            Update::Existing => flags::EXIST,
        }
    }
}

/// A map with keys `K` and values `V`.
pub struct Typed<'m, K, V> {
    map: &'m Map,
    types: PhantomData<fn(K) -> V>,
}

/// A queue, stack or bloom filter of values `V`.
pub struct TypedQueue<'m, V> {
    map: &'m Map,
    types: PhantomData<fn(V) -> V>,
}

/// A ring buffer of records `T`.
pub struct TypedRing<'m, T> {
    ring: &'m RingBuf,
    types: PhantomData<fn() -> T>,
}

impl Map {
    fn sized(&self, what: &str, own: usize, theirs: usize) -> Result<(), Error> {
        if own == theirs {
            return Ok(());
        }
        Err(self.differs(format!(
            "{what}s have {own} bytes, the host's type has {theirs}"
        )))
    }

    fn differs(&self, what: String) -> Error {
        Error::Map {
            map: self.name().to_string(),
            what,
        }
    }

    /// A view of the map with keys `K` and values `V` of its sizes.
    pub fn typed<K: Plain, V: Plain>(&self) -> Result<Typed<'_, K, V>, Error> {
        self.sized("key", self.key_size(), size_of::<K>())?;
        self.sized("value", self.value_size(), size_of::<V>())?;
        if self.key_size() == 0 {
            return Err(self.differs("it has no keys".into()));
        }
        Ok(Typed {
            map: self,
            types: PhantomData,
        })
    }

    /// [`Map::typed`], where the value's members must also be those that the program's types name, at their offsets.
    pub fn typed_by_members<K: Plain, V: Plain + Described>(
        &self,
    ) -> Result<Typed<'_, K, V>, Error> {
        let view = self.typed()?;
        let Some((btf, id)) = self.value_type() else {
            return Err(self.differs("the object has no type of its values".into()));
        };
        let theirs = members(btf, id);
        let ours = V::MEMBERS
            .iter()
            .map(|(name, at, size)| (*name, *at, *size));
        for (name, at, size) in ours {
            match theirs.iter().find(|m| m.0 == name) {
                Some(m) if (m.1, m.2) == (at, size) => {}
                Some(m) => {
                    return Err(self.differs(format!(
                        "member {name} has {} bytes at {}, the host's {size} at {at}",
                        m.2, m.1
                    )));
                }
                None => return Err(self.differs(format!("its values have no member {name}"))),
            }
        }
        if let Some(m) = theirs
            .iter()
            .find(|m| !V::MEMBERS.iter().any(|n| n.0 == m.0))
        {
            return Err(self.differs(format!("the host's type has no member {}", m.0)));
        }
        Ok(view)
    }

    /// A view of a queue, stack or bloom filter.
    pub fn typed_queue<V: Plain>(&self) -> Result<TypedQueue<'_, V>, Error> {
        self.sized("value", self.value_size(), size_of::<V>())?;
        if self.key_size() != 0 {
            return Err(self.differs("it has keys".into()));
        }
        Ok(TypedQueue {
            map: self,
            types: PhantomData,
        })
    }

    /// A view of a ring buffer whose records begin with a `T`.
    pub fn typed_ring<T: FromBytes>(&self) -> Result<TypedRing<'_, T>, Error> {
        match self.ring() {
            Some(ring) => Ok(TypedRing {
                ring,
                types: PhantomData,
            }),
            None => Err(self.differs("it is no ring buffer".into())),
        }
    }
}

/// Named members of a structure: name, offset and size in bytes.
fn members(btf: &Btf, id: TypeId) -> Vec<(String, usize, usize)> {
    let all = btf.members(id);
    all.iter()
        .filter(|m| !m.name.is_empty())
        .map(|m| {
            let size = btf.size_of(m.ty).unwrap_or(0) as usize;
            (m.name.to_string(), m.bit_offset as usize / 8, size)
        })
        .collect()
}

fn value<V: FromBytes>(bytes: &[u8]) -> Option<V> {
    V::read_from_bytes(bytes).ok()
}

impl<K: Plain, V: Plain> Typed<'_, K, V> {
    /// A copy; of CPU 0's in per-CPU maps.
    pub fn get(&self, key: &K) -> Option<V> {
        value(&self.map.lookup(key.as_bytes())?)
    }

    /// Writes an element, there or not. In per-CPU maps every CPU gets the value.
    pub fn insert(&self, key: &K, value: &V) -> Result<(), Error> {
        self.update(key, value, Update::Any)
    }

    pub fn update(&self, key: &K, value: &V, which: Update) -> Result<(), Error> {
        self.map
            .update(key.as_bytes(), value.as_bytes(), which.flags())
    }

    pub fn remove(&self, key: &K) -> Result<(), Error> {
        self.map.delete(key.as_bytes())
    }

    /// Elements at this moment, in the map's order; those that come and go meanwhile may be missing.
    pub fn iter(&self) -> impl Iterator<Item = (K, V)> + '_ {
        self.map.keys().into_iter().filter_map(|key| {
            let value = value(&self.map.lookup(&key)?)?;
            Some((K::read_from_bytes(&key).ok()?, value))
        })
    }

    /// The values of all CPUs; one in maps that are not per-CPU.
    pub fn get_per_cpu(&self, key: &K) -> Option<Vec<V>> {
        let all = self.map.lookup_percpu(key.as_bytes())?;
        all.iter().map(|bytes| value(bytes)).collect()
    }

    /// One value a CPU, for per-CPU maps.
    pub fn insert_per_cpu(&self, key: &K, values: &[V]) -> Result<(), Error> {
        let bytes: Vec<&[u8]> = values.iter().map(|v| v.as_bytes()).collect();
        self.map.update_percpu(key.as_bytes(), &bytes, flags::ANY)
    }
}

impl<V: Plain> TypedQueue<'_, V> {
    pub fn push(&self, value: &V) -> Result<(), Error> {
        self.map.push(value.as_bytes(), flags::ANY)
    }

    /// Into a full queue or stack too, whose oldest value goes.
    pub fn push_over(&self, value: &V) -> Result<(), Error> {
        self.map.push(value.as_bytes(), flags::EXIST)
    }

    pub fn pop(&self) -> Option<V> {
        value(&self.map.pop()?)
    }

    pub fn peek(&self) -> Option<V> {
        value(&self.map.peek()?)
    }

    /// Whether a bloom filter may have the value.
    pub fn contains(&self, value: &V) -> bool {
        self.map.contains(value.as_bytes())
    }
}

impl<T: FromBytes> TypedRing<'_, T> {
    /// Hands every finished record to `f` with the bytes after the `T`, until `f` says false; gives how many there were.
    /// Shorter records are passed over.
    pub fn read(&self, mut f: impl FnMut(T, &[u8]) -> bool) -> usize {
        let mut seen = 0;
        self.ring.consume(|bytes| match T::read_from_prefix(bytes) {
            Ok((record, rest)) => {
                seen += 1;
                f(record, rest)
            }
            Err(_) => true,
        });
        seen
    }

    /// Finished records, each taken when it is asked for.
    pub fn iter(&self) -> impl Iterator<Item = T> + '_ {
        std::iter::from_fn(|| {
            let mut next = None;
            self.read(|record, _| {
                next = Some(record);
                false
            });
            next
        })
    }
}
