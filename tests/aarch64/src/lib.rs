//! The engine suite on 64-bit Arm: see `tests/suite.rs`.
