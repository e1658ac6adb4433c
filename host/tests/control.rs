//! A host is controlled through its socket, by those who may, and by nobody else.

mod common;

use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use common::*;
use probity_host::Host;
use probity_host::control::{Request as Ask, request};
use serde_json::json;

struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Place {
        let dir = std::env::temp_dir().join(format!("host-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        Place(dir)
    }
    fn socket(&self) -> PathBuf {
        self.0.join("control")
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn load(name: &str, object: &[u8]) -> Ask {
    Ask::Load {
        name: name.into(),
        priority: 0,
        bytes: object.len() as u64,
    }
}

#[test]
fn extensions_are_loaded_replaced_and_unloaded_from_outside() {
    let place = Place::new("life");
    let host = builder().allow_unsigned().build().unwrap();
    let control = host.serve(&place.socket(), &[]).unwrap();
    let mode = std::fs::metadata(place.socket())
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(
        host.serve(&place.socket(), &[]).is_err(),
        "one host a socket"
    );
    let ask = |r: &Ask, bytes: &[u8]| request(&place.socket(), r, bytes).unwrap();
    let limit = object("limit");
    let loaded = ask(&load("limit", &limit), &limit).unwrap();
    // Nobody signed it: the host says so from now on.
    assert_eq!(
        (&loaded["generation"], &loaded["tainted"]),
        (&json!(1), &json!(["limit"]))
    );
    assert!(
        ask(&load("limit", &limit), &limit)
            .unwrap_err()
            .why
            .contains("loaded already")
    );
    let bad = ask(&load("bad", b"junk"), b"junk").unwrap_err();
    assert!(bad.why.contains("cannot be read"), "{bad}");
    assert_eq!(bad.status, 5);
    let mut caller = host
        .hook::<Request>("request")
        .unwrap()
        .caller(Request::default());
    assert_eq!(caller.call(), Ok(0));
    let next = object("limit2");
    let replace = Ask::Replace {
        name: "limit".into(),
        priority: 3,
        bytes: next.len() as u64,
        fresh: vec![],
        wait: true,
    };
    let done = ask(&replace, &next).unwrap();
    assert_eq!(
        (&done["generation"], &done["retired"]),
        (&json!(2), &json!(true))
    );
    let info = ask(
        &Ask::Info {
            name: "limit".into(),
        },
        &[],
    )
    .unwrap();
    assert_eq!(info["programs"][0]["calls"], 1);
    assert_eq!(info["priority"], 3);
    let list = ask(&Ask::List, &[]).unwrap();
    assert_eq!(list["extensions"].as_array().map(Vec::len), Some(1));
    assert_eq!(list["tainted"], json!(["limit"]));
    assert_eq!(info["tainted"], json!(true));
    assert_eq!(ask(&Ask::Describe, &[]).unwrap()["name"], "gateway");
    assert_eq!(
        ask(
            &Ask::Disable {
                name: "limit".into()
            },
            &[]
        )
        .unwrap(),
        json!({ "enabled": false })
    );
    assert_eq!(caller.call(), Ok(0));
    assert_eq!(
        host.extensions()[0].programs[0].counters.calls,
        1,
        "it was not asked"
    );
    let unload = Ask::Unload {
        name: "limit".into(),
        wait: true,
    };
    assert_eq!(ask(&unload, &[]), Ok(json!({ "retired": true })));
    assert!(ask(&unload, &[]).is_err());
    drop(control);
    assert!(!place.socket().exists());
}

#[test]
fn nonsense_is_answered_and_forgotten() {
    let place = Place::new("nonsense");
    let host = host();
    let _control = host.serve(&place.socket(), &[]).unwrap();
    let lines: &[&[u8]] = &[
        b"\n",
        b"{}\n",
        b"{\"op\":\"info\"}\n",
        b"{\"op\":\"load\",\"name\":\"a\",\"bytes\":18446744073709551615}\n",
        b"{\"op\":\"load\",\"name\":\"a\",\"bytes\":-1}\n",
        b"\xff\xfe\n",
        &[b'['; 100_000],
    ];
    for line in lines {
        let mut to = UnixStream::connect(place.socket()).unwrap();
        let _ = to.write_all(line);
        let _ = to.shutdown(std::net::Shutdown::Write);
        let mut answer = String::new();
        let _ = to.read_to_string(&mut answer);
        assert!(
            answer.is_empty() || answer.starts_with("{\"error\":"),
            "{answer}"
        );
    }
    let list = request(&place.socket(), &Ask::List, &[]).unwrap().unwrap();
    assert_eq!(list["extensions"], json!([]));
    // A socket that a host left behind is no obstacle.
    let left = place.0.join("left");
    drop(std::os::unix::net::UnixListener::bind(&left).unwrap());
    assert!(left.exists());
    host.serve(&left, &[]).unwrap();
    std::fs::write(&left, "a file").unwrap();
    assert!(host.serve(&left, &[]).is_err());
}

/// What the other user runs: this very test binary, with the socket in its environment.
#[test]
fn another_user() {
    let Some(path) = std::env::var_os("OTHER_USERS_SOCKET") else {
        return;
    };
    let bytes = std::env::var_os("OTHER_USERS_OBJECT")
        .map(std::fs::read)
        .unwrap()
        .unwrap_or_default();
    for (ask, object) in [(Ask::List, &[][..]), (load("evil", &bytes), &bytes)] {
        match request(path.as_ref(), &ask, object) {
            Ok(Err(no)) => println!("ANSWER {no}"),
            Err(no) => println!("ANSWER {no}"),
            Ok(Ok(yes)) => println!("DONE {yes}"),
        }
    }
}

fn as_user(host: &Host, users: &[u32], uid: u32) -> Option<String> {
    let place = Place::new(&format!("user{uid}-{}", users.len()));
    std::fs::set_permissions(&place.0, std::fs::Permissions::from_mode(0o755)).unwrap();
    let _control = host.serve(&place.socket(), users).unwrap();
    let program = place.0.join("test");
    std::fs::copy(std::env::current_exe().unwrap(), &program).ok()?;
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let object_file = place.0.join("limit.o");
    std::fs::write(&object_file, object("limit")).unwrap();
    let done = Command::new(&program)
        .args(["--exact", "another_user", "--nocapture"])
        .env("OTHER_USERS_SOCKET", place.socket())
        .env("OTHER_USERS_OBJECT", &object_file)
        .current_dir("/")
        .uid(uid)
        .output()
        .ok()?;
    Some(String::from_utf8_lossy(&done.stdout).into_owned())
}

#[test]
fn a_user_without_permission_can_do_nothing() {
    const NOBODY: u32 = 65534;
    const DAEMON: u32 = 1;
    let host = builder().allow_unsigned().build().unwrap();
    // Only root can become somebody else.
    let Some(told) = as_user(&host, &[], NOBODY) else {
        println!("skipped: not root");
        return;
    };
    assert_eq!(told.matches("ANSWER").count(), 2, "{told}");
    assert!(
        told.contains("ermission denied") && !told.contains("DONE"),
        "{told}"
    );
    // The file lets them all in where others are named; the host does not.
    let told = as_user(&host, &[DAEMON], NOBODY).unwrap();
    assert_eq!(
        told.matches("may not control the host").count(),
        2,
        "{told}"
    );
    assert!(!told.contains("DONE"), "{told}");
    assert!(host.extensions().is_empty());
    let told = as_user(&host, &[DAEMON], DAEMON).unwrap();
    assert_eq!(told.matches("DONE").count(), 2, "{told}");
    assert_eq!(host.extensions().len(), 1);
}
