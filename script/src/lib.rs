//! The tracing language (bpftrace's) → an extension object, and its records → text and JSON.
//!
//! **Invariant:** nothing here knows an engine or a kernel: what a script needs to know of the
//! machine comes in an [`Environment`], and what it does there is an [`probity_objfile::Object`].

mod ast;
mod diagnostics;
mod lexer;
mod parser;
mod preprocess;
mod pretty;
mod source;

pub use ast::*;
pub use diagnostics::{Diagnostic, Diagnostics, Severity};
pub use parser::parse;
pub use source::{Position, Source, Span};
