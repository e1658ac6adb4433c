//! A run of the command → its status, its output, and whether it behaved.

use std::ffi::OsString;
use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Longer than any run here takes on a busy machine.
const LIMIT: Duration = Duration::from_secs(60);
/// KiB of address space: `/dev/zero` read whole does not fit.
const ADDRESS_SPACE: u32 = 4 << 20;
/// `nobody`.
const NOBODY: u32 = 65534;

/// A file or directory of `programs/`.
pub fn programs(path: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("a workspace around this crate");
    root.join("programs").join(path)
}

pub fn is_root() -> bool {
    std::fs::read_to_string("/proc/self/status").is_ok_and(|s| {
        s.lines().any(|l| {
            l.strip_prefix("Uid:")
                .and_then(|u| u.split_whitespace().nth(1))
                == Some("0")
        })
    })
}

/// Is the kernel ours to trace? Where it must be, saying no is a failure.
pub fn live() -> bool {
    let there = is_root() && Path::new("/sys/kernel/btf/vmlinux").exists();
    let required = std::env::var_os("PROBITY_REQUIRE_KERNEL").is_some();
    assert!(
        there || !required,
        "the kernel is required and cannot be traced"
    );
    if !there {
        println!("skipped: needs root and a kernel with BTF");
    }
    there
}

/// A directory of a test's own, gone when the test ends.
pub struct Scratch(PathBuf);

impl Scratch {
    pub fn new() -> Scratch {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("probity-test-{}-{n}", std::process::id()));
        std::fs::create_dir_all(&dir).expect("a temporary directory");
        Scratch(dir)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, content).expect("a temporary file");
        path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A command line to be run.
pub struct Probity {
    program: PathBuf,
    args: Vec<OsString>,
    stdin: Vec<u8>,
    nobody: bool,
    path: Option<String>,
}

/// `probity!["dis", &path]`: texts and paths mixed.
macro_rules! probity {
    ($($arg:expr),* $(,)?) => {
        $crate::process::command([$(std::ffi::OsString::from($arg)),*])
    };
}
pub(crate) use probity;

pub fn command(args: impl IntoIterator<Item = OsString>) -> Probity {
    Probity {
        program: PathBuf::from(env!("CARGO_BIN_EXE_probity")),
        args: args.into_iter().collect(),
        stdin: Vec::new(),
        nobody: false,
        path: None,
    }
}

impl Probity {
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Probity {
        self.stdin = bytes.into();
        self
    }

    /// With these directories to look for commands in, and no others.
    pub fn path(mut self, path: impl Into<String>) -> Probity {
        self.path = Some(path.into());
        self
    }

    /// As a user without rights: the binary is copied to where that user can run it.
    pub fn unprivileged(mut self, scratch: &Scratch) -> Probity {
        if is_root() {
            let copy = scratch.path("probity");
            if !copy.exists() {
                // Another process copies: a file that this one has open for writing is "busy"
                // for every child that happens to be forked meanwhile.
                let done = Command::new("cp").arg(&self.program).arg(&copy).status();
                assert!(done.is_ok_and(|s| s.success()), "no copy of the command");
            }
            self.program = copy;
            self.nobody = true;
        }
        self
    }

    /// Runs it to its end. A hang, a signal, a panic's text or an escape code fails the test.
    #[track_caller]
    pub fn run(self) -> Done {
        let mut command = Command::new("sh");
        let path = self.path.map(|p| format!("export PATH='{p}'; "));
        let path = path.unwrap_or_default();
        command
            .arg("-c")
            .arg(format!(
                "ulimit -v {ADDRESS_SPACE}; {path}exec \"$0\" \"$@\""
            ))
            .arg(&self.program)
            .args(&self.args)
            .env_remove("RUST_BACKTRACE")
            .env_remove("CLICOLOR_FORCE")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        if self.nobody {
            command.uid(NOBODY).gid(NOBODY).current_dir("/");
        }
        let line = format!(
            "probity {}",
            self.args
                .iter()
                .map(|a| a.to_string_lossy())
                .collect::<Vec<_>>()
                .join(" ")
        );
        let begin = Instant::now();
        let mut child = command.spawn().unwrap_or_else(|e| panic!("{line}: {e}"));
        let mut stdin = child.stdin.take().expect("piped");
        let given = self.stdin;
        // It may not read its input: then writing fails, and that is its business.
        let feeder = std::thread::spawn(move || drop(stdin.write_all(&given)));
        let stdout = collect(child.stdout.take().expect("piped"));
        let stderr = collect(child.stderr.take().expect("piped"));
        let status = loop {
            if let Some(status) = child.try_wait().expect("a child to wait for") {
                break status;
            }
            if begin.elapsed() > LIMIT {
                let _ = child.kill();
                let _ = child.wait();
                panic!("{line}: still running after {LIMIT:?}");
            }
            std::thread::sleep(Duration::from_millis(2));
        };
        let _ = feeder.join();
        let done = Done {
            stdout: stdout.join().expect("a reader"),
            stderr: stderr.join().expect("a reader"),
            code: status.code().unwrap_or_else(|| {
                panic!("{line}: ended by {status}");
            }),
            line,
        };
        for sign in ["panicked at", "RUST_BACKTRACE", "stack overflow", "\x1b["] {
            let found = done.stdout.contains(sign) || done.stderr.contains(sign);
            assert!(!found, "{sign:?} in the output of\n{done}");
        }
        done
    }
}

fn collect(mut from: impl Read + Send + 'static) -> std::thread::JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = from.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// What came of a run.
pub struct Done {
    line: String,
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl std::fmt::Display for Done {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "$ {}", self.line)?;
        writeln!(f, "exit status {}", self.code)?;
        writeln!(f, "stdout:\n{}", self.stdout)?;
        write!(f, "stderr:\n{}", self.stderr)
    }
}

impl Done {
    #[track_caller]
    pub fn ok(self) -> Done {
        assert_eq!(self.code, 0, "{self}");
        self
    }

    /// It failed in order: status 1, a message on standard error that says each of `words`.
    #[track_caller]
    pub fn fails(self, words: &[&str]) -> Done {
        assert_eq!(self.code, 1, "{self}");
        self.says(words)
    }

    /// It was called wrongly: status 2.
    #[track_caller]
    pub fn misused(self, words: &[&str]) -> Done {
        assert_eq!(self.code, 2, "{self}");
        self.says(words)
    }

    #[track_caller]
    pub fn says(self, words: &[&str]) -> Done {
        assert!(!self.stderr.trim().is_empty(), "no message: {self}");
        for word in words {
            assert!(self.stderr.contains(word), "no `{word}` in {self}");
        }
        self
    }

    #[track_caller]
    pub fn prints(self, words: &[&str]) -> Done {
        for word in words {
            assert!(self.stdout.contains(word), "no `{word}` in {self}");
        }
        self
    }

    /// Standard output, a JSON value a line.
    #[track_caller]
    pub fn json_lines(&self) -> Vec<serde_json::Value> {
        self.stdout
            .lines()
            .map(|l| serde_json::from_str(l).unwrap_or_else(|e| panic!("{e} in `{l}`: {self}")))
            .collect()
    }
}
