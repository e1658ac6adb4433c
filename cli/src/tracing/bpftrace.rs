//! Values of options that `trace` takes for bpftrace's sake.

use std::str::FromStr;

/// `--mode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Test,
    Bench,
    Format,
    Codegen,
}

impl FromStr for Mode {
    type Err = String;

    fn from_str(text: &str) -> Result<Mode, String> {
        match text {
            "test" => Ok(Mode::Test),
            "bench" => Ok(Mode::Bench),
            "format" => Ok(Mode::Format),
            "codegen" => Ok(Mode::Codegen),
            "compiler-bench" => Err(
                "it measures bpftrace's own compiler; `perf stat probity trace --dry-run …` measures this one"
                    .into(),
            ),
            _ => Err("the modes are test, bench, format and codegen".into()),
        }
    }
}

/// `--no-feature`: what a kernel may have and a script's run can do without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Feature {
    KprobeMulti,
    UprobeMulti,
    /// Entry and return are attached by themselves here always.
    KprobeSession,
}

impl FromStr for Feature {
    type Err = String;

    fn from_str(text: &str) -> Result<Feature, String> {
        match text {
            "kprobe_multi" => Ok(Feature::KprobeMulti),
            "uprobe_multi" => Ok(Feature::UprobeMulti),
            "kprobe_session" => Ok(Feature::KprobeSession),
            _ => Err("the features are kprobe_multi, uprobe_multi and kprobe_session".into()),
        }
    }
}
