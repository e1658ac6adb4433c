//! What the running kernel is: types, symbols, configuration.

use std::collections::{BTreeMap, HashMap};
use std::io::Read;
use std::sync::Arc;

use probity_btf::Btf;
use probity_objfile::{Object, RelocTarget, Relocated, parse_kconfig, relocate};

pub struct Machine {
    pub release: String,
    /// `major << 16 | minor << 8 | patch`.
    pub version: u32,
    pub types: Option<Arc<Btf>>,
    pub kconfig: Option<BTreeMap<String, String>>,
    /// Possible ones.
    pub cpus: u32,
    symbols: HashMap<String, u64>,
}

impl Machine {
    /// This one.
    pub fn here() -> Machine {
        let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let release = release.trim().to_owned();
        let types = std::fs::read("/sys/kernel/btf/vmlinux")
            .ok()
            .and_then(|bytes| Btf::parse(&bytes).ok())
            .map(Arc::new);
        Machine {
            version: version(&release),
            types,
            kconfig: kconfig(&release),
            cpus: cpus(),
            symbols: symbols(),
            release,
        }
    }

    pub fn address(&self, symbol: &str) -> Option<u64> {
        self.symbols.get(symbol).copied()
    }

    /// The object with CO-RE and extern relocations applied for this kernel.
    pub fn relocate(&self, object: &Object) -> Result<Relocated, String> {
        let ksyms = |name: &str| self.address(name);
        let target = RelocTarget {
            types: self.types.as_deref(),
            kernel_version: self.version,
            kconfig: self.kconfig.as_ref(),
            ksyms: Some(&ksyms),
        };
        relocate(object, &target).map_err(|e| e.to_string())
    }
}

pub(super) fn version(release: &str) -> u32 {
    let mut numbers = release
        .split(|c: char| !c.is_ascii_digit())
        .map(|n| n.parse::<u32>().unwrap_or(0));
    let mut next = || numbers.next().unwrap_or(0);
    next() << 16 | next() << 8 | next().min(255)
}

/// One more than the last number in `0-3,8-11`.
fn cpus() -> u32 {
    let text = std::fs::read_to_string("/sys/devices/system/cpu/possible").unwrap_or_default();
    let last = text.trim().rsplit(['-', ',']).next();
    last.and_then(|n| n.parse::<u32>().ok())
        .map_or(8192, |n| n.saturating_add(1))
}

fn kconfig(release: &str) -> Option<BTreeMap<String, String>> {
    if let Ok(text) = std::fs::read_to_string(format!("/boot/config-{release}")) {
        return Some(parse_kconfig(&text));
    }
    let file = std::fs::File::open("/proc/config.gz").ok()?;
    let mut text = String::new();
    flate2::read::GzDecoder::new(file)
        .read_to_string(&mut text)
        .ok()?;
    Some(parse_kconfig(&text))
}

fn symbols() -> HashMap<String, u64> {
    let text = std::fs::read_to_string("/proc/kallsyms").unwrap_or_default();
    let mut found = HashMap::new();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        if let (Some(address), Some(_), Some(name)) = (words.next(), words.next(), words.next())
            && let Ok(address) = u64::from_str_radix(address, 16)
        {
            found.entry(name.to_owned()).or_insert(address);
        }
    }
    found
}
