//! The processor that code is for → Cranelift's settings.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use cranelift_codegen::isa::{Builder, TargetIsa};
use cranelift_codegen::settings::{self, Configurable};

use crate::error::Error;
use crate::lowerings::Lowerings;
use crate::options::Options;

/// Instruction sets that code is linked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arch {
    X86_64,
    Aarch64,
}

/// What code is generated for.
pub(crate) struct Target {
    pub isa: Arc<dyn TargetIsa>,
    /// The same without optimisation, for what is optimised already.
    pub plain: Arc<dyn TargetIsa>,
    builder: Builder,
    flags: settings::Builder,
    pub arch: Arch,
    pub lowerings: Lowerings,
}

impl Target {
    /// This machine, with every feature it has.
    pub fn host(options: &Options) -> Result<Target, Error> {
        if cfg!(target_endian = "big") || cfg!(not(target_pointer_width = "64")) {
            return Err(Error::Host("it is not a 64-bit little-endian one".into()));
        }
        let builder = cranelift_native::builder().map_err(|e| Error::Host(e.to_string()))?;
        Target::of(builder, options)
    }

    /// 64-bit Arm as every processor of it is.
    #[cfg(any(feature = "aarch64", target_arch = "aarch64"))]
    pub fn aarch64(options: &Options) -> Result<Target, Error> {
        let builder = cranelift_codegen::isa::lookup_by_name("aarch64-unknown-linux-gnu");
        Target::of(builder.map_err(|e| Error::Host(e.to_string()))?, options)
    }

    fn of(builder: Builder, options: &Options) -> Result<Target, Error> {
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
            ("opt_level", if options.optimise { "speed" } else { "none" }),
            ("is_pic", "false"),
            ("use_colocated_libcalls", "false"),
            ("unwind_info", "false"),
            // Tail calls find the frame that they replace by it; on x86-64 it is kept in any case.
            ("preserve_frame_pointers", "true"),
            // Where the blocks are, so that loops can be placed.
            ("machine_code_cfg_info", "true"),
            ("enable_verifier", checks),
            // A frame of many spilled values must not step over the stack's guard page.
            ("enable_probestack", "true"),
            ("probestack_strategy", "inline"),
        ] {
            flags
                .set(name, value)
                .map_err(|e| Error::Host(e.to_string()))?;
        }
        let finish = |flags: settings::Builder| {
            let made = builder.finish(settings::Flags::new(flags));
            made.map_err(|e| Error::Host(e.to_string()))
        };
        let isa = finish(flags.clone())?;
        let none = flags.set("opt_level", "none");
        none.map_err(|e| Error::Host(e.to_string()))?;
        let plain = finish(flags.clone())?;
        Ok(Target {
            isa,
            plain,
            builder,
            flags,
            arch,
            lowerings: options.lowerings,
        })
    }

    /// The same with registers allocated in one pass over the code: for functions of so many
    /// branches that the allocator that looks back (and forth) would take a time of their square.
    /// (What is quadratic in regalloc2 0.15 is the search for the moves into block parameters.)
    pub fn single_pass(&self) -> Result<Arc<dyn TargetIsa>, Error> {
        let mut flags = self.flags.clone();
        let checks = if cfg!(test) { "true" } else { "false" };
        for (name, value) in [
            ("regalloc_algorithm", "single_pass"),
            ("regalloc_checker", checks),
        ] {
            flags
                .set(name, value)
                .map_err(|e| Error::Host(e.to_string()))?;
        }
        let made = self.builder.finish(settings::Flags::new(flags));
        made.map_err(|e| Error::Host(e.to_string()))
    }
}

/// Of everything that the processor and the settings decide.
impl Hash for Target {
    fn hash<H: Hasher>(&self, h: &mut H) {
        self.isa.triple().hash(h);
        self.isa.flags().hash(h);
        self.isa.isa_flags_hash_key().hash(h);
    }
}
