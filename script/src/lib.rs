//! The tracing language (bpftrace's) → an extension object, and its records → text and JSON.
//!
//! **Invariant:** nothing here knows an engine or a kernel: what a script needs to know of the
//! machine comes in an [`Environment`], and what it does there is an [`probity_objfile::Object`].

pub mod ast;
pub mod builtins;
mod check;
mod codegen;
mod compile;
mod config;
mod diagnostics;
mod emit;
mod env;
mod event;
mod files;
mod formats;
mod gfp;
mod hir;
mod imports;
mod layout;
mod lexer;
mod parser;
mod prelude;
mod preprocess;
mod pretty;
mod printer;
pub mod probes;
mod recording;
mod reference;
mod source;
mod spec;
mod types;
mod user_types;
mod walk;

pub use ast::Ast;
pub use codegen::unwind::rows as unwind;
pub use compile::{Probe, Script, compile, compile_text};
pub use config::is_config_variable;
pub use diagnostics::{Diagnostic, Diagnostics, Severity, nearest};
pub use env::{
    Arch, CgroupFilter, Clock, Environment, FormatTable, Functions, LaterTypes, NamespaceFilter,
    NoFunctions, Sharing, TracepointFormats, UsdtSite,
};
pub use files::{File, Files, Found, ImportedObject};
pub use formats::{FieldPlace, Format, FormatError, FormatField};
pub use layout::layout;
pub use parser::{of_the_system, parse, parse_files};
pub use printer::{
    Action, Host, Losses, MapReader, NoHost, Output, Packet, Printer, Symbol, strftime,
};
pub use probes::{Period, ProbeKind, UserTarget, typed_modules};
pub use recording::{Need, NeedKind, Recorded, RecordedSample};
pub use reference::{FORMS, Form, reference};
pub use source::{Position, Source, Span};
pub use user_types::{UserField, UserFunction, UserStruct, UserType};
