//! Benchmarks are in `benches/`, the tool that prints how verdicts on families grow in `src/bin`; this crate has nothing else.
