//! What tests of the command in the running kernel share.

#![allow(dead_code, reason = "each test binary uses its part")]

use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// The repository.
pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Effective user 0; where the whole suite runs as root, not being it is a failure.
pub fn may_attach() -> bool {
    // SAFETY: the call has no preconditions.
    let is_root = unsafe { libc::geteuid() } == 0;
    if !is_root {
        assert!(
            std::env::var_os("PROBITY_REQUIRE_KERNEL").is_none(),
            "the kernel is required, but this is not root"
        );
        println!("skipped: not root");
    }
    is_root
}

/// A running `probity`, its probes attached.
pub struct Running {
    pub child: Child,
    pub errors: BufReader<std::process::ChildStderr>,
}

impl Running {
    /// Returns when it has said `sign`.
    pub fn start(args: &[&str], sign: Option<&str>) -> Running {
        let mut child = Command::new(env!("CARGO_BIN_EXE_probity"))
            .current_dir(root())
            .args(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut errors = BufReader::new(child.stderr.take().unwrap());
        let mut said = String::new();
        while sign.is_some_and(|s| !said.contains(s)) {
            let mut line = String::new();
            let n = errors.read_line(&mut line).unwrap();
            assert!(n > 0, "{args:?} ended without attaching: {said}");
            said += &line;
        }
        Running { child, errors }
    }

    /// Interrupts it, as Ctrl-C does, and gives what it printed.
    pub fn interrupt(self) -> String {
        self.interrupt_both().0
    }

    /// The same, with what it remarked on the way out.
    pub fn interrupt_both(mut self) -> (String, String) {
        // SAFETY: the child is ours and not waited for yet.
        unsafe { libc::kill(self.child.id() as i32, libc::SIGINT) };
        let (mut out, mut errors) = (String::new(), String::new());
        let mut stdout = self.child.stdout.take().unwrap();
        stdout.read_to_string(&mut out).unwrap();
        self.errors.read_to_string(&mut errors).unwrap();
        let status = self.child.wait().unwrap();
        assert!(status.success(), "{status}: {errors}");
        assert!(!errors.contains("lost"), "{errors}");
        (out, errors)
    }
}
