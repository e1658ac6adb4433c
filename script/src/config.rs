//! Config variables: a script's `config` block and settings from outside.

use crate::ast::ConfigEntry;
use crate::diagnostics::Diagnostic;
use crate::source::Span;
use crate::types::StackMode;

/// Settings of one compilation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Bytes that `str()` reads at most, NUL included.
    pub max_strlen: u32,
    pub max_map_keys: u32,
    pub print_maps_on_exit: bool,
    pub stack_mode: StackMode,
    pub missing_probes: MissingProbes,
    /// Whether the script says what is to happen.
    pub missing_probes_set: bool,
    /// Values up to this size live on the stack, larger ones in per-CPU memory.
    pub on_stack_limit: u32,
    /// Pages of 4 KiB of the ring buffer for records: by itself a thousand of those that hold two long texts.
    pub perf_rb_pages: u32,
    pub license: String,
    /// What a string that did not fit ends with.
    pub str_trunc_trailer: String,
    pub max_probes: u32,
    pub max_bpf_progs: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MissingProbes {
    Error,
    Warn,
    Ignore,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            max_strlen: 1024,
            max_map_keys: 4096,
            print_maps_on_exit: true,
            stack_mode: StackMode::Bpftrace,
            missing_probes: MissingProbes::Error,
            missing_probes_set: false,
            on_stack_limit: 32,
            perf_rb_pages: 512,
            license: "GPL".into(),
            str_trunc_trailer: "..".into(),
            max_probes: 1024,
            max_bpf_progs: 1024,
        }
    }
}

/// Known but without a meaning here.
const IGNORED: [&str; 17] = [
    "cache_user_symbols",
    "lazy_symbolication",
    "cpp_demangle",
    "show_debug_info",
    "max_cat_bytes",
    "log_size",
    "symbol_source",
    "max_type_res_iterations",
    "unstable_addr",
    "unstable_import",
    "unstable_import_statement",
    "unstable_macro",
    "unstable_map_decl",
    "unstable_tseries",
    "unstable_dw_ustack",
    "unstable_typeinfo",
    "use_blazesym",
];

type Set = fn(&mut Config, &str) -> Option<()>;

const KEYS: [(&str, &str, Set); 11] = [
    ("max_strlen", "a number from 8 to 32768", |c, v| {
        c.max_strlen = number(v).filter(|n| (8..=32768).contains(n))?;
        Some(())
    }),
    ("max_map_keys", "a number above 0", |c, v| {
        c.max_map_keys = number(v).filter(|n| *n > 0)?;
        Some(())
    }),
    ("print_maps_on_exit", "true or false", |c, v| {
        c.print_maps_on_exit = boolean(v)?;
        Some(())
    }),
    (
        "stack_mode",
        "bpftrace, perf, raw, build_id or folded",
        |c, v| {
            c.stack_mode = stack_mode(v)?;
            Some(())
        },
    ),
    ("missing_probes", "error, warn or ignore", |c, v| {
        c.missing_probes_set = true;
        c.missing_probes = match v {
            "error" => MissingProbes::Error,
            "warn" => MissingProbes::Warn,
            "ignore" => MissingProbes::Ignore,
            _ => return None,
        };
        Some(())
    }),
    ("on_stack_limit", "a number", |c, v| {
        c.on_stack_limit = number(v)?.min(128);
        Some(())
    }),
    ("perf_rb_pages", "a number from 1 to 65536", |c, v| {
        c.perf_rb_pages = number(v).filter(|n| (1..=65536).contains(n))?;
        Some(())
    }),
    ("license", "a license's name", |c, v| {
        c.license = v.to_owned();
        Some(())
    }),
    ("str_trunc_trailer", "a text", |c, v| {
        c.str_trunc_trailer = v.to_owned();
        Some(())
    }),
    ("max_probes", "a number", |c, v| {
        c.max_probes = number(v)?;
        Some(())
    }),
    ("max_bpf_progs", "a number", |c, v| {
        c.max_bpf_progs = number(v)?;
        Some(())
    }),
];

/// The settings with what they take.
pub(crate) fn keys() -> impl Iterator<Item = (&'static str, &'static str)> {
    KEYS.iter().map(|(key, takes, _)| (*key, *takes))
}

/// Whether a variable of the process's environment is a setting of scripts: `BPFTRACE_MAX_STRLEN`.
pub fn is_config_variable(name: &str) -> bool {
    name.strip_prefix("BPFTRACE_")
        .is_some_and(|key| KEYS.iter().any(|(k, ..)| *k == key.to_ascii_lowercase()))
}

fn number(v: &str) -> Option<u32> {
    v.parse().ok()
}

fn boolean(v: &str) -> Option<bool> {
    match v {
        "1" | "true" => Some(true),
        "0" | "false" => Some(false),
        _ => None,
    }
}

pub(crate) fn stack_mode(v: &str) -> Option<StackMode> {
    Some(match v {
        "bpftrace" => StackMode::Bpftrace,
        "perf" => StackMode::Perf,
        "raw" => StackMode::Raw,
        "build_id" => StackMode::BuildId,
        "folded" => StackMode::Folded,
        _ => return None,
    })
}

impl Config {
    /// `BPFTRACE_MAX_STRLEN` and `max_strlen` are the same key.
    pub fn set(&mut self, key: &str, value: &str, span: Span) -> Result<(), Diagnostic> {
        let lower = key.to_ascii_lowercase();
        let name = lower.strip_prefix("bpftrace_").unwrap_or(&lower);
        if let Some((_, wanted, set)) = KEYS.iter().find(|(k, ..)| *k == name) {
            return set(self, value).ok_or_else(|| {
                Diagnostic::error(span, format!("`{value}` is not a value of `{key}`"))
                    .hint(format!("it takes {wanted}"))
            });
        }
        if IGNORED.contains(&name) {
            return Ok(());
        }
        Err(
            Diagnostic::error(span, format!("{key}: not a known configuration option"))
                .suggest(name, KEYS.iter().map(|(k, ..)| *k)),
        )
    }

    pub fn set_all(&mut self, entries: &[ConfigEntry]) -> Vec<Diagnostic> {
        entries
            .iter()
            .filter_map(|e| self.set(&e.key, &e.value, e.span).err())
            .collect()
    }
}
