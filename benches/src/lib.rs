//! Benchmarks are in `benches/`; this crate has nothing else.
