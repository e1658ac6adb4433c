//! A running host's control socket: who may, lists, loads, replaces and unloads its extensions from outside.
//!
//! A client connects to a Unix socket and sends requests, one after the other: a line of JSON, and where that says `"bytes": N`, the N bytes of
//! an object behind it. Each is answered by one line, `{"ok": …}` or `{"error": "…"}`.
//!
//! **Invariant:** nothing of a client is read before the kernel has said who it is: the host's own user, root, or one that the host
//! has named. The socket's file is nobody else's to open, either.
//!
//! **Invariant:** clients are served one after the other, each for a bounded time and with bounded memory.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::host::{Fresh, Host, Load};
use crate::info::ExtensionInfo;

/// Longest line of a request, in bytes.
const MAX_LINE: u64 = 64 << 10;
/// Longest object, in bytes.
const MAX_OBJECT: u64 = 64 << 20;
/// How long a client may take for a request, and for reading its answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long `replace` and `unload` wait for the last caller, when asked to.
const RETIREMENT: Duration = Duration::from_secs(10);

/// A request, as the line of JSON has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// What the host offers.
    Describe,
    /// All extensions.
    List,
    /// One extension.
    Info {
        name: String,
    },
    Load {
        name: String,
        #[serde(default)]
        priority: i32,
        /// Of the object that follows the line.
        bytes: u64,
    },
    Replace {
        name: String,
        #[serde(default)]
        priority: i32,
        bytes: u64,
        /// Maps that start anew.
        #[serde(default)]
        fresh: Vec<String>,
        /// Wait until the last caller has left the old generation.
        #[serde(default)]
        wait: bool,
    },
    Unload {
        name: String,
        #[serde(default)]
        wait: bool,
    },
    Enable {
        name: String,
    },
    Disable {
        name: String,
    },
}

/// A socket that is served until this is dropped.
pub struct Control {
    path: PathBuf,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Host {
    /// Serves a control socket at `path`, for the host's own user, root and `users` (by their ids).
    /// A socket that is left there by a host that is gone is replaced; anything else there is an error.
    pub fn serve(&self, path: &Path, users: &[u32]) -> std::io::Result<Control> {
        if let Ok(there) = std::fs::symlink_metadata(path) {
            if !there.file_type().is_socket() || UnixStream::connect(path).is_ok() {
                return Err(std::io::ErrorKind::AddrInUse.into());
            }
            std::fs::remove_file(path)?;
        }
        let listener = UnixListener::bind(path)?;
        // Others get as far as to be told no where the host names users; otherwise not even there.
        let mode = if users.is_empty() { 0o600 } else { 0o666 };
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?;
        let over = Arc::new(AtomicBool::new(false));
        // SAFETY: it has no preconditions.
        let own = unsafe { libc::geteuid() };
        let allowed: Vec<u32> = [0, own].into_iter().chain(users.iter().copied()).collect();
        let (host, ends) = (self.clone(), over.clone());
        let thread = std::thread::Builder::new()
            .name("probity-control".into())
            .spawn(move || {
                for client in listener.incoming() {
                    if ends.load(SeqCst) {
                        break;
                    }
                    // A client that goes away in the middle is its own loss.
                    if let Ok(client) = client {
                        let _ = serve(&host, client, &allowed);
                    }
                }
            })?;
        Ok(Control {
            path: path.into(),
            over,
            thread: Some(thread),
        })
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        self.over.store(true, SeqCst);
        // Wakes the thread, which looks whether it is over.
        let woken = UnixStream::connect(&self.path).is_ok();
        let _ = std::fs::remove_file(&self.path);
        if let Some(thread) = self.thread.take().filter(|_| woken) {
            let _ = thread.join();
        }
    }
}

/// The user at the other end, as the kernel says.
fn peer(client: &UnixStream) -> std::io::Result<u32> {
    let mut cred = libc::ucred {
        pid: 0,
        uid: u32::MAX,
        gid: u32::MAX,
    };
    let mut len = size_of::<libc::ucred>() as libc::socklen_t;
    // SAFETY: the socket is open; the place for the answer has the size that is given.
    let done = unsafe {
        libc::getsockopt(
            client.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            std::ptr::from_mut(&mut cred).cast(),
            &mut len,
        )
    };
    match done {
        0 => Ok(cred.uid),
        _ => Err(std::io::Error::last_os_error()),
    }
}

fn serve(host: &Host, mut client: UnixStream, allowed: &[u32]) -> std::io::Result<()> {
    client.set_read_timeout(Some(PATIENCE))?;
    client.set_write_timeout(Some(PATIENCE))?;
    if !allowed.contains(&peer(&client)?) {
        return answer(
            &mut client,
            Err("this user may not control the host".into()),
        );
    }
    let mut from = BufReader::new(client.try_clone()?);
    let start = Instant::now();
    // Another client's turn comes in any case.
    while start.elapsed() < PATIENCE * 2 {
        let mut line = String::new();
        if (&mut from).take(MAX_LINE).read_line(&mut line)? == 0 {
            break;
        }
        let request = match serde_json::from_str(&line) {
            Ok(request) => request,
            Err(e) => return answer(&mut client, Err(format!("no request: {e}"))),
        };
        let object = match &request {
            Request::Load { bytes, .. } | Request::Replace { bytes, .. } => {
                if *bytes > MAX_OBJECT {
                    let what = format!("an object has at most {MAX_OBJECT} bytes");
                    return answer(&mut client, Err(what));
                }
                let mut object = Vec::new();
                (&mut from).take(*bytes).read_to_end(&mut object)?;
                object
            }
            _ => Vec::new(),
        };
        answer(&mut client, host.control(&request, &object))?;
    }
    Ok(())
}

fn answer(client: &mut UnixStream, answer: Result<Value, String>) -> std::io::Result<()> {
    let answer = match answer {
        Ok(value) => json!({ "ok": value }),
        Err(e) => json!({ "error": e }),
    };
    client.write_all(format!("{answer}\n").as_bytes())
}

impl Host {
    /// Does what a request says; `object` are the bytes that follow it.
    pub fn control(&self, request: &Request, object: &[u8]) -> Result<Value, String> {
        let told = |e: crate::Error| e.to_string();
        match request {
            Request::Describe => Ok(json!(self.description())),
            Request::List => Ok(self.extensions().iter().map(shown).collect()),
            Request::Info { name } => {
                let all = self.extensions();
                let found = all.iter().find(|e| e.name == *name);
                found
                    .map(shown)
                    .ok_or_else(|| told(crate::Error::NotLoaded(name.clone())))
            }
            Request::Load { name, priority, .. } => {
                let how = Load {
                    priority: *priority,
                    ..Load::default()
                };
                self.load(name, object, &how).map_err(told)?;
                Ok(json!({ "generation": 1 }))
            }
            Request::Replace {
                name,
                priority,
                fresh,
                wait,
                ..
            } => {
                let how = Load {
                    priority: *priority,
                    fresh: match fresh.is_empty() {
                        true => Fresh::None,
                        false => Fresh::Named(fresh.clone()),
                    },
                    ..Load::default()
                };
                let done = self.replace(name, object, &how).map_err(told)?;
                let retired = *wait && done.retirement.wait(RETIREMENT);
                Ok(json!({
                    "generation": done.generation,
                    "kept": done.kept,
                    "migrated": done.migrated,
                    "dropped": done.dropped,
                    "retired": retired,
                }))
            }
            Request::Unload { name, wait } => {
                let retirement = self.unload(name).map_err(told)?;
                let retired = *wait && retirement.wait(RETIREMENT);
                Ok(json!({ "retired": retired }))
            }
            Request::Enable { name } | Request::Disable { name } => {
                let enabled = matches!(request, Request::Enable { .. });
                self.enable(name, enabled).map_err(told)?;
                Ok(json!({ "enabled": enabled }))
            }
        }
    }
}

fn shown(e: &ExtensionInfo) -> Value {
    let program = |p: &crate::ProgramInfo| {
        let c = &p.counters;
        let verdicts = c.verdicts.iter().map(|(v, n)| (v.to_string(), json!(n)));
        json!({
            "name": p.name,
            "hook": p.hook,
            "insns": p.insns,
            "worst_case_insns": p.worst_case_insns,
            "stack": p.stack,
            "calls": c.calls,
            "nanoseconds": c.nanoseconds(),
            "verdicts": verdicts.collect::<serde_json::Map<_, _>>(),
        })
    };
    let map = |m: &crate::MapInfo| json!({ "name": m.name, "kind": m.kind, "max_entries": m.max_entries, "bytes": m.bytes });
    json!({
        "name": e.name,
        "generation": e.generation,
        "priority": e.priority,
        "enabled": e.enabled,
        "programs": e.programs.iter().map(program).collect::<Vec<_>>(),
        "maps": e.maps.iter().map(map).collect::<Vec<_>>(),
    })
}

/// Sends one request to the host at `path`, with an object behind it, and gives the answer.
pub fn request(
    path: &Path,
    request: &Request,
    object: &[u8],
) -> std::io::Result<Result<Value, String>> {
    let mut to = UnixStream::connect(path)?;
    let line = serde_json::to_string(request)?;
    // One that is told no may find the socket closed: its answer is there all the same.
    let sent = to
        .write_all(format!("{line}\n").as_bytes())
        .and_then(|()| to.write_all(object));
    let mut line = String::new();
    let read = BufReader::new(&to).read_line(&mut line);
    if read.as_ref().is_ok_and(|n| *n == 0) || read.is_err() {
        sent?;
        read?;
        return Err(std::io::ErrorKind::UnexpectedEof.into());
    }
    let mut answer: Value = serde_json::from_str(&line)?;
    if let Some(error) = answer.get("error").and_then(Value::as_str) {
        return Ok(Err(error.to_string()));
    }
    Ok(Ok(answer["ok"].take()))
}
