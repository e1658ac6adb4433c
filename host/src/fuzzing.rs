//! What must hold for any bytes at all; tests run it for a second, the fuzzer all night.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;

use serde_json::Value;

use crate::control::{self, Request};
use crate::{GrantPolicy, Host, HostDescription};

/// Longest input that a session takes: what a socket holds without a reader.
const MOST: usize = 100_000;

/// Reads the bytes as what a host reads of files: a description, a policy, a request. Errors are fine, panics are not; a
/// description that is taken says the same when it is written and read again, and breaks nothing of itself.
/// Answers whether they were a description.
pub fn check(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return false;
    };
    let _ = GrantPolicy::from_toml(text);
    if let Ok(request) = serde_json::from_str::<Request>(text) {
        let again = serde_json::to_string(&request).expect("a request is written");
        assert_eq!(serde_json::from_str::<Request>(&again).ok(), Some(request));
    }
    let read = HostDescription::from_json(text).or_else(|_| HostDescription::from_toml(text));
    let Ok(host) = read else {
        return false;
    };
    assert_eq!(
        HostDescription::from_json(&host.to_json()).as_ref(),
        Ok(&host)
    );
    assert!(host.breaking(&host).is_empty());
    let header = host.c_header();
    for hook in &host.hooks {
        assert!(header.contains(&format!("struct {}", hook.context.name)));
    }
    true
}

/// Serves the bytes as what a client sends to the control socket. Each answer is a line of JSON with either what was done or why not,
/// and the host is left as it was.
/// Answers how many requests were done.
pub fn session(host: &Host, bytes: &[u8]) -> usize {
    let before = host.extensions().len();
    let (mut client, served) = UnixStream::pair().expect("two sockets");
    client
        .write_all(bytes.get(..MOST).unwrap_or(bytes))
        .expect("a socket holds that much");
    client.shutdown(Shutdown::Write).expect("a socket");
    // SAFETY: it has no preconditions.
    let own = unsafe { libc::geteuid() };
    // A client that goes away in the middle is an error of its own.
    let _ = control::serve(host, served, &[own]);
    let mut answers = Vec::new();
    // A socket that is closed over what nobody read is reset; what was answered before is there.
    let _ = client.read_to_end(&mut answers);
    let answers = String::from_utf8(answers).expect("answers are text");
    let mut done = 0;
    for line in answers.lines() {
        let answer: Value = serde_json::from_str(line).expect("an answer is JSON");
        let (ok, error) = (answer.get("ok").is_some(), answer.get("error").is_some());
        assert!(ok != error, "{line}");
        done += usize::from(ok);
    }
    for e in host.extensions() {
        let _ = host.unload(&e.name);
    }
    assert_eq!(host.extensions().len(), 0, "{before} before");
    done
}
