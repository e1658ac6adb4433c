//! Why an instance cannot be made, or a map cannot be used.

/// Errors of this crate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The proof was made for a platform whose prototypes differ from those of the functions here.
    #[error("program {program}: {what}: the proof is for another platform ({platform})")]
    ForeignPlatform {
        program: String,
        platform: String,
        what: String,
    },
    /// Something a program needs has no meaning inside a process.
    #[error("program {program}, instruction {pc}: {what} has no meaning in process")]
    Unsupported {
        program: String,
        pc: usize,
        what: String,
    },
    #[error("map {map}: {what}")]
    Map { map: String, what: String },
    #[error("map {map}: {bytes} bytes exceed what is left of the limit of {limit}")]
    MapMemory { map: String, bytes: u64, limit: u64 },
    #[error("{0} CPUs are not between 1 and {MAX_CPUS}", MAX_CPUS = crate::MAX_CPUS)]
    Cpus(usize),
    #[error("there is no program {0}")]
    NoProgram(usize),
    #[error("context: {0}")]
    Context(String),
    /// A map operation refused as the `bpf` system call refuses it; `errno` is positive.
    #[error("map {map}: {}", errno_name(*errno))]
    Refused { map: String, errno: i32 },
}

/// Name and meaning of the error numbers that map operations give.
fn errno_name(errno: i32) -> String {
    let text = match errno {
        libc::ENOENT => "no such key (ENOENT)",
        libc::EEXIST => "key exists already (EEXIST)",
        libc::E2BIG => "the map is full or the key is out of range (E2BIG)",
        libc::EINVAL => "invalid key, value or flags (EINVAL)",
        libc::ENOMEM => "out of memory (ENOMEM)",
        libc::EPERM => "the map is frozen (EPERM)",
        libc::ENOTSUP => "not supported by this kind of map (ENOTSUP)",
        libc::EBUSY => "busy (EBUSY)",
        _ => return format!("error {errno}"),
    };
    text.to_string()
}
