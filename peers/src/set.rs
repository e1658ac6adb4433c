//! What is measured where nothing is named: the programs of `programs/bench`, with their inputs and sources.

/// An object with all that is needed to measure its programs.
#[derive(Clone, Copy, Debug)]
pub struct Shipped {
    pub name: &'static str,
    pub object: &'static [u8],
    pub input: &'static [u8],
    pub source: &'static str,
}

macro_rules! shipped {
    ($($name:literal)*) => {
        // For "prime": Shipped { name: "prime", object: include_bytes!("…/prime.o"), … },
        &[$(Shipped {
            name: $name,
            object: include_bytes!(concat!("../../programs/bench/", $name, ".o")),
            input: include_bytes!(concat!("../../programs/bench/", $name, ".in")),
            source: include_str!(concat!("../../programs/bench/", $name, ".bpf.c")),
        }),*]
    };
}

/// Those that every engine can run, then those that need maps and helpers.
pub const ALL: &[Shipped] = shipped!(
    "simple" "log2_128" "prime" "sieve_512" "memcpy_1024" "strcmp_255" "packet_parse" "siphash_512"
    "xxh64_1024" "chacha20" "switch_256" "header_scan" "calls_448" "checksum_1480" "sort_24"
    "empty" "maps" "helpers" "flow"
);

/// Is no program of its own: it fills the maps of another, or is what that calls.
pub fn is_part(program: &str) -> bool {
    program.ends_with("_setup") || program == "tail_hop"
}

/// Operations that a run of a program makes, where that is known: what one costs is of interest then.
pub fn operations(program: &str) -> Option<u32> {
    match program {
        "tail_32" => Some(33),
        _ if program.ends_with("_64") => Some(64),
        _ => None,
    }
}

/// Too short to say anything of code: what a call costs is most of it.
pub fn is_call(program: &str) -> bool {
    matches!(program, "simple" | "empty")
}
