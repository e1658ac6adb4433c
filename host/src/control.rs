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

use crate::error::status;
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
        /// Of an object; a package has its own, and another here is an error.
        #[serde(default)]
        name: String,
        #[serde(default)]
        priority: i32,
        /// Of the package or object that follows the line.
        bytes: u64,
    },
    Replace {
        #[serde(default)]
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

pub(crate) fn serve(host: &Host, mut client: UnixStream, allowed: &[u32]) -> std::io::Result<()> {
    client.set_read_timeout(Some(PATIENCE))?;
    client.set_write_timeout(Some(PATIENCE))?;
    if !allowed.contains(&peer(&client)?) {
        let no = "this user may not control the host";
        return answer(&mut client, Err(Refused::new(no, status::NOT_PERMITTED)));
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
            Err(e) => {
                let no = format!("no request: {e}");
                return answer(&mut client, Err(Refused::new(no, 2)));
            }
        };
        let object = match &request {
            Request::Load { bytes, .. } | Request::Replace { bytes, .. } => {
                if *bytes > MAX_OBJECT {
                    let what = format!("an object has at most {MAX_OBJECT} bytes");
                    return answer(&mut client, Err(Refused::new(what, 2)));
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

fn answer(client: &mut UnixStream, answer: Result<Value, Refused>) -> std::io::Result<()> {
    let answer = match answer {
        Ok(value) => json!({ "ok": value }),
        Err(e) => json!({ "error": e.why, "status": e.status }),
    };
    client.write_all(format!("{answer}\n").as_bytes())
}

impl Host {
    /// Does what a request says; `bytes` are those that follow it: a package, or an object.
    pub fn control(&self, request: &Request, bytes: &[u8]) -> Result<Value, Refused> {
        match request {
            Request::Describe => Ok(json!(self.description())),
            Request::List => Ok(json!({
                "host": self.description().name,
                "tainted": self.tainted(),
                "extensions": self.extensions().iter().map(shown).collect::<Vec<_>>(),
            })),
            Request::Info { name } => {
                let all = self.extensions();
                let found = all.iter().find(|e| e.name == *name);
                let found = found.ok_or_else(|| crate::Error::NotLoaded(name.clone()))?;
                let mut info = shown(found);
                info["host"] = json!(self.description().name);
                info["host_tainted"] = json!(self.tainted());
                Ok(info)
            }
            Request::Load { name, priority, .. } => {
                let how = Load {
                    priority: *priority,
                    ..Load::default()
                };
                let name = match is_object(bytes) {
                    false => {
                        named(name, bytes)?;
                        self.load_package(bytes, &how)?
                    }
                    true => {
                        self.load_bare(name, bytes, &how)?;
                        name.clone()
                    }
                };
                Ok(json!({ "name": name, "generation": 1, "tainted": self.tainted() }))
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
                let done = match is_object(bytes) {
                    false => {
                        named(name, bytes)?;
                        self.replace_package(bytes, &how)?
                    }
                    true => self.replace_bare(name, bytes, &how)?,
                };
                let retired = *wait && done.retirement.wait(RETIREMENT);
                Ok(json!({
                    "generation": done.generation,
                    "kept": done.kept,
                    "migrated": done.migrated,
                    "dropped": done.dropped,
                    "retired": retired,
                    "tainted": self.tainted(),
                }))
            }
            Request::Unload { name, wait } => {
                let retirement = self.unload(name)?;
                self.note("unload", name)?;
                let retired = *wait && retirement.wait(RETIREMENT);
                Ok(json!({ "retired": retired }))
            }
            Request::Enable { name } | Request::Disable { name } => {
                let enabled = matches!(request, Request::Enable { .. });
                self.enable(name, enabled)?;
                self.note(if enabled { "enable" } else { "disable" }, name)?;
                Ok(json!({ "enabled": enabled }))
            }
        }
    }
}

/// Why a host does not do what it is asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct Refused {
    pub why: String,
    /// Exit status of a command that ends with it.
    pub status: u8,
}

impl Refused {
    fn new(why: impl Into<String>, status: u8) -> Refused {
        let why = why.into();
        Refused { why, status }
    }
}

impl From<crate::Error> for Refused {
    fn from(e: crate::Error) -> Refused {
        Refused::new(e.to_string(), e.exit_status())
    }
}

/// An object stands alone; everything else is, or is no, package.
fn is_object(bytes: &[u8]) -> bool {
    bytes.starts_with(b"\x7fELF")
}

/// A package goes by its own name.
fn named(name: &str, bytes: &[u8]) -> Result<(), Refused> {
    // One that cannot be read is refused when it is judged, and that is written down.
    let Ok(package) = probity_store::package::open(bytes) else {
        return Ok(());
    };
    let own = &package.manifest().name;
    match name.is_empty() || name == own {
        true => Ok(()),
        false => Err(Refused::new(
            format!("the package is named `{own}`, not `{name}`"),
            2,
        )),
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
            "timed": c.timed,
            "nanoseconds": c.nanoseconds(),
            "verdicts": verdicts.collect::<serde_json::Map<_, _>>(),
        })
    };
    let map = |m: &crate::MapInfo| json!({ "name": m.name, "kind": m.kind_name, "max_entries": m.max_entries, "bytes": m.bytes });
    let manifest = e.origin.as_ref().map(|o| &o.manifest);
    json!({
        "name": e.name,
        "version": manifest.map(|m| m.version.to_string()),
        "generation": e.generation,
        "priority": e.priority,
        "enabled": e.enabled,
        "tainted": e.tainted,
        "from_image": e.from_image,
        "verdict": e.origin.as_ref().map(|o| o.judgement.verdict),
        "signer": e.origin.as_ref().map(|o| &o.judgement.signer),
        "digest": e.origin.as_ref().map(|o| o.digest),
        "authors": manifest.map(|m| &m.authors),
        "license": manifest.map(|m| &m.license),
        "description": manifest.map(|m| &m.description),
        "grants": manifest.map(|m| &m.grants),
        "dependencies": manifest.map(|m| &m.dependencies),
        "exports": e.exports,
        "imports": e.imports,
        "used_by": e.used_by,
        "programs": e.programs.iter().map(program).collect::<Vec<_>>(),
        "maps": e.maps.iter().map(map).collect::<Vec<_>>(),
    })
}

/// Sends one request to the host at `path`, with an object behind it, and gives the answer.
pub fn request(
    path: &Path,
    request: &Request,
    object: &[u8],
) -> std::io::Result<Result<Value, Refused>> {
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
        let status = answer["status"].as_u64().and_then(|s| u8::try_from(s).ok());
        return Ok(Err(Refused::new(error, status.unwrap_or(1))));
    }
    Ok(Ok(answer["ok"].take()))
}
