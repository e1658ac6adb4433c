//! The processor that code is for → Cranelift's settings.

use std::sync::Arc;

use cranelift_codegen::isa::{Builder, TargetIsa};
use cranelift_codegen::settings::{self, Configurable};

use crate::code::Arch;
use crate::error::Error;

/// What code is generated for.
#[derive(Clone)]
pub(crate) struct Target {
    pub isa: Arc<dyn TargetIsa>,
    pub arch: Arch,
}

impl Target {
    /// This machine, with every feature it has.
    pub fn host() -> Result<Target, Error> {
        if cfg!(target_endian = "big") || cfg!(not(target_pointer_width = "64")) {
            return Err(Error::Host("it is not a 64-bit little-endian one".into()));
        }
        Target::of(cranelift_native::builder().map_err(|e| Error::Host(e.to_string()))?)
    }

    fn of(builder: Builder) -> Result<Target, Error> {
        let arch = match builder.triple().architecture.to_string().as_str() {
            "x86_64" => Arch::X86_64,
            "aarch64" => Arch::Aarch64,
            other => {
                return Err(Error::Host(format!(
                    "{other} is not one that is compiled for"
                )));
            }
        };
        let mut flags = settings::builder();
        let checks = if cfg!(debug_assertions) {
            "true"
        } else {
            "false"
        };
        for (name, value) in [
            ("opt_level", "speed"),
            ("is_pic", "false"),
            ("use_colocated_libcalls", "false"),
            ("unwind_info", "false"),
            ("enable_verifier", checks),
            // A frame of many spilled values must not step over the stack's guard page.
            ("enable_probestack", "true"),
            ("probestack_strategy", "inline"),
        ] {
            flags
                .set(name, value)
                .map_err(|e| Error::Host(e.to_string()))?;
        }
        let isa = builder
            .finish(settings::Flags::new(flags))
            .map_err(|e| Error::Host(e.to_string()))?;
        Ok(Target { isa, arch })
    }
}
