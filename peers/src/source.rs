//! C sources of the shape of `programs/bench/bench.h` → what clang makes of them, where there is a clang.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::Gauge;

const BENCH_H: &str = include_str!("../../programs/bench/bench.h");
const BPF_H: &str = include_str!("../../programs/include/probity/bpf.h");

/// A program in C: `BENCH(name, size) { … }`.
#[derive(Clone, Debug)]
pub struct Source {
    pub name: String,
    pub text: String,
}

impl Source {
    /// The source of that program, if the text has the shape.
    pub fn of(name: &str, text: &str) -> Option<Source> {
        text.contains(&format!("BENCH({name},")).then(|| Source {
            name: name.to_string(),
            text: text.to_string(),
        })
    }
}

/// What a source is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(feature = "others"), allow(dead_code, reason = "for others"))]
pub enum Shape {
    /// A shared library.
    Native,
    /// The same without vectors and unrolled loops.
    Scalar,
    /// A program of memory and length.
    Memory,
    /// The same without 32-bit arithmetic, whose results Solana extends otherwise.
    MemoryWide,
    Wasm,
}

impl Shape {
    fn flags(self) -> &'static [&'static str] {
        match self {
            Shape::Native => &["-shared", "-fPIC"],
            Shape::Scalar => &[
                "-shared",
                "-fPIC",
                "-fno-vectorize",
                "-fno-slp-vectorize",
                "-fno-unroll-loops",
            ],
            Shape::Memory => &["--target=bpf", "-mcpu=v3", "-DBENCH_MEMORY", "-c"],
            Shape::MemoryWide => &["--target=bpf", "-mcpu=v2", "-DBENCH_MEMORY", "-c"],
            Shape::Wasm => &[
                "--target=wasm32",
                "-nostdlib",
                "-Wl,--no-entry",
                "-Wl,--export-dynamic",
                "-Wl,--export=__heap_base",
            ],
        }
    }
}

/// The compiler, and a directory for what it makes, gone with this value.
pub struct Tools {
    clang: Option<PathBuf>,
    wasm_ld: Option<PathBuf>,
    directory: PathBuf,
    /// Tells calm moments.
    pub gauge: Gauge,
}

impl Tools {
    /// Looks for clang and its linker for WebAssembly on the PATH, newest names first.
    pub fn find() -> Result<Tools, String> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let n = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("probity-bench-{}-{n}", std::process::id());
        let tools = Tools {
            clang: on_path("clang"),
            wasm_ld: on_path("wasm-ld"),
            directory: std::env::temp_dir().join(name),
            gauge: Gauge::new(crate::Patience::LONG),
        };
        let write = || {
            std::fs::create_dir_all(tools.directory.join("probity"))?;
            std::fs::write(tools.directory.join("bench.h"), BENCH_H)?;
            std::fs::write(tools.directory.join("probity/bpf.h"), BPF_H)
        };
        write().map_err(|e| format!("cannot write to {}: {e}", tools.directory.display()))?;
        Ok(tools)
    }

    /// What of it is missing.
    pub fn missing(&self) -> Option<&'static str> {
        self.clang.is_none().then_some("clang is not on the PATH")
    }

    /// Where files may be left until the end.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// The file that clang makes of a source, and how long that took.
    pub(crate) fn compile(
        &self,
        source: &Source,
        shape: Shape,
    ) -> Result<(PathBuf, Duration), String> {
        let clang = self.clang.as_ref().ok_or("clang is not on the PATH")?;
        let from = self.directory.join(format!("{}.bpf.c", source.name));
        let to = self.directory.join(format!("{}.{shape:?}", source.name));
        std::fs::write(&from, &source.text).map_err(|e| e.to_string())?;
        let mut command = Command::new(clang);
        command
            .args(["-O2", "-ffreestanding", "-nostdlibinc", "-w"])
            .args(shape.flags())
            .arg("-I")
            .arg(&self.directory);
        if shape == Shape::Wasm {
            let linker = self.wasm_ld.as_ref().ok_or("wasm-ld is not on the PATH")?;
            command.arg(format!("--ld-path={}", linker.display()));
        }
        command.arg(&from).arg("-o").arg(&to);
        let start = Instant::now();
        let out = command
            .output()
            .map_err(|e| format!("cannot start clang: {e}"))?;
        let took = start.elapsed();
        match out.status.success() {
            true => Ok((to, took)),
            false => Err(format!(
                "clang: {}",
                String::from_utf8_lossy(&out.stderr)
                    .lines()
                    .next()
                    .unwrap_or("failed")
            )),
        }
    }
}

impl Drop for Tools {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// `NAME-22` down to `NAME-15`, or `NAME`.
fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let directories: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let names = (15..=22).rev().map(|n| format!("{name}-{n}"));
    names
        .chain([name.to_string()])
        .find_map(|name| find(&directories, &name))
}

fn find(directories: &[PathBuf], name: &str) -> Option<PathBuf> {
    let mut files = directories.iter().map(|d| d.join(name));
    files.find(|f: &PathBuf| Path::is_file(f))
}

/// The instructions of a subject's source as a program of memory and length, its functions linked.
#[cfg(feature = "others")]
pub(crate) fn bytecode(
    subject: &crate::Subject,
    tools: &Tools,
    shape: Shape,
) -> Result<Vec<u8>, String> {
    let source = subject.source.as_ref().ok_or("it has no source in C")?;
    let (file, _) = tools.compile(source, shape)?;
    let bytes = std::fs::read(file).map_err(|e| e.to_string())?;
    let object = probity_objfile::open(&source.name, &bytes).map_err(|e| e.to_string())?;
    let relocated = probity_objfile::relocate(&object, &Default::default());
    let object = relocated.map_err(|e| e.to_string())?.object;
    let mut programs = object.programs.iter();
    let program = programs.find(|p| p.name == source.name);
    let program = program.ok_or("clang made no such program")?;
    Ok(probity_isa::to_bytes(&program.insns))
}
