//! The gateway as its clients, its upstreams and its operators see it.

#[path = "../src/bench/generation.rs"]
mod generation;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use probity_gateway::filter::Extensions;
use probity_gateway::hooks;
use probity_gateway::server::{Server, Settings, Source};
use probity_host::{Host, Load};

const ALL: &[&str] = &[
    "canary",
    "client-limit",
    "guard",
    "header-rules",
    "long-targets",
    "rewrite",
];

fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("extensions")
        .join(name)
}

fn object(name: &str) -> Vec<u8> {
    std::fs::read(file(&format!("{name}.o"))).unwrap()
}

fn host(extensions: &[&str]) -> Host {
    let host = hooks::host().cpus(2).build().unwrap();
    for name in extensions {
        host.load(name, &object(name), &Load::default())
            .unwrap_or_else(|e| panic!("{name}: {e}"));
    }
    host
}

fn serve(host: &Host, source: Source) -> Server {
    let settings = Settings {
        listen: ([127, 0, 0, 1], 0).into(),
        source,
        grace: Duration::from_secs(5),
    };
    let filters = (0..2).map(|_| Extensions::new(host).unwrap());
    Server::start(&settings, filters.collect()).unwrap()
}

/// A connection of a client's.
struct Client(BufReader<TcpStream>);

struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Client {
    fn new(address: SocketAddr) -> Client {
        let stream = TcpStream::connect(address).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        stream.set_nodelay(true).unwrap();
        Client(BufReader::new(stream))
    }

    fn get(&mut self, target: &str, fields: &str) -> Answer {
        let request = format!("GET {target} HTTP/1.1\r\nhost: shop\r\n{fields}\r\n");
        self.0.get_mut().write_all(request.as_bytes()).unwrap();
        self.answer()
    }

    fn answer(&mut self) -> Answer {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert_ne!(
                self.0.read_line(&mut head).unwrap(),
                0,
                "closed after {head:?}"
            );
        }
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let length = head
            .lines()
            .find_map(|l| l.strip_prefix("content-length: "));
        let mut body = vec![0; length.map_or(0, |n| n.parse().unwrap())];
        self.0.read_exact(&mut body).unwrap();
        let body = String::from_utf8(body).unwrap();
        Answer { status, head, body }
    }
}

/// An upstream that answers with what it was asked.
fn upstream(name: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let mut stream = BufReader::new(stream);
                loop {
                    let mut head = String::new();
                    while !head.ends_with("\r\n\r\n") {
                        if stream.read_line(&mut head).unwrap_or(0) == 0 {
                            return;
                        }
                    }
                    if head.contains("x-wait") {
                        std::thread::sleep(Duration::from_millis(500));
                    }
                    let body = format!("{name}\n{}", head.to_lowercase());
                    let answer = format!(
                        "HTTP/1.1 200 OK\r\nserver: secret/1.0\r\ncontent-length: {}\r\n\r\n{body}",
                        body.len()
                    );
                    if stream.get_mut().write_all(answer.as_bytes()).is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

#[test]
fn the_header_and_the_description_are_the_committed_ones() {
    let host = host(&[]);
    let files = [
        ("gateway.h", host.description().c_header()),
        ("gateway.json", host.description().to_json()),
    ];
    for (name, text) in files {
        if std::env::var_os("WRITE_EXPECTED").is_some() {
            std::fs::write(file(name), &text).unwrap();
        }
        assert_eq!(std::fs::read_to_string(file(name)).unwrap(), text, "{name}");
    }
}

#[test]
fn the_assembled_object_is_what_its_source_gives() {
    let text = std::fs::read_to_string(file("long-targets.s")).unwrap();
    let made = probity_objfile::assemble("long-targets", &text, &|_| None).unwrap();
    let (made, there) = (
        probity_objfile::open("a", &probity_objfile::write(&made).unwrap()).unwrap(),
        probity_objfile::open("a", &object("long-targets")).unwrap(),
    );
    assert_eq!(made.programs[0].insns, there.programs[0].insns);
    assert_eq!(
        made.programs[0].hook.section,
        there.programs[0].hook.section
    );
}

#[test]
fn requests_pass_the_extensions_and_come_back() {
    let host = host(ALL);
    let server = serve(
        &host,
        Source::Upstreams(vec![upstream("first"), upstream("second")]),
    );
    let mut client = Client::new(server.address());
    let answer = client.get(
        "/v1/items?q=a..b",
        "x-internal: yes\r\nconnection: x-hop\r\nx-hop: 1\r\n",
    );
    assert_eq!(answer.status, 200, "{}", answer.head);
    let asked = &answer.body;
    assert!(
        asked.contains("get /api/items?q=a..b http/1.1\r\n"),
        "{asked}"
    );
    assert!(asked.contains("x-gateway: probity\r\n"), "{asked}");
    assert!(asked.contains("x-forwarded-for: 127.0.0.1\r\n"), "{asked}");
    assert!(
        !asked.contains("x-internal") && !asked.contains("x-hop"),
        "{asked}"
    );
    assert!(
        answer.head.contains("x-content-type-options: nosniff"),
        "{}",
        answer.head
    );
    assert!(!answer.head.contains("secret"), "{}", answer.head);
    // The connection is kept over refusals.
    for (target, fields, status) in [
        ("/a/../b", "", 403),
        ("/admin/users", "", 403),
        ("/", "user-agent: sqlmap/1.7\r\n", 403),
        ("/", "user-agent: MASSCAN/1\r\n", 403),
        (&format!("/{}", "a".repeat(1024)), "", 414),
        (&format!("/{}", "a".repeat(1023)), "", 200),
        ("/", "", 200),
    ] {
        assert_eq!(
            client.get(target, fields).status,
            status,
            "{target} {fields}"
        );
    }
    // A client stays with the version that it got first.
    let first = client.get("/", "").body.lines().next().unwrap().to_string();
    for _ in 0..20 {
        let body = Client::new(server.address()).get("/", "").body;
        assert_eq!(body.lines().next(), Some(first.as_str()));
    }
    let totals = server.stop().unwrap();
    assert_eq!((totals.requests, totals.refused, totals.failed), (29, 5, 0));
}

#[test]
fn each_extension_says_no_in_its_own_way() {
    let server = serve(&host(&["rewrite"]), Source::Answer("ok".into()));
    let mut client = Client::new(server.address());
    assert_eq!(client.get("/a/../b", "").status, 400);
    assert_eq!(client.get("/a?b=..", "").body, "ok");
    server.stop().unwrap();
}

#[test]
fn a_client_has_so_many_requests_a_second() {
    let host = host(&["client-limit"]);
    let server = serve(&host, Source::Answer("ok".into()));
    let mut client = Client::new(server.address());
    // More than two seconds' worth, faster than in one.
    let statuses: Vec<u16> = (0..400).map(|_| client.get("/", "").status).collect();
    assert_eq!(statuses[..100], [200; 100]);
    assert!(statuses.contains(&429));
    server.stop().unwrap();
}

#[test]
fn upstreams_that_fail_are_answered_for() {
    let gone = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let host = host(&[]);
    let server = serve(&host, Source::Upstreams(vec![gone.to_string()]));
    let mut client = Client::new(server.address());
    assert_eq!(client.get("/", "").status, 502);
    assert_eq!(server.stop().unwrap().failed, 1);
}

/// Every request is answered, by whole generations only, and counted once, while one takes the other's place.
#[test]
fn replacements_under_load_lose_no_request() {
    const ROUNDS: u32 = 200;
    let host = host(&[]);
    let objects: Vec<Vec<u8>> = (0..8).map(generation::object).collect();
    host.load("e", &objects[0], &Load::default()).unwrap();
    let server = serve(&host, Source::Answer("ok".into()));
    let (over, made) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|s| {
        for _ in 0..4 {
            s.spawn(|| {
                let mut client = Client::new(server.address());
                while !over.load(SeqCst) {
                    // The 500 of `generation` would be half of one.
                    assert_eq!(client.get("/", "").status, 200);
                    made.fetch_add(1, SeqCst);
                }
            });
        }
        for n in 1..=ROUNDS {
            let replaced = host
                .replace("e", &objects[n as usize % 8], &Load::default())
                .unwrap();
            assert_eq!(replaced.kept, ["counts"]);
            assert!(replaced.retirement.wait(Duration::from_secs(20)));
        }
        over.store(true, SeqCst);
    });
    let made = made.load(SeqCst);
    assert!(made > 0);
    assert_eq!(server.stop().unwrap().requests, made);
    let info = host.extensions().remove(0);
    assert_eq!(info.generation, u64::from(ROUNDS) + 1);
    let calls: Vec<u64> = info.programs.iter().map(|p| p.counters.calls).collect();
    assert_eq!(calls, [made, made]);
    let counts = host.map("e", "counts").unwrap().lookup(&[0; 4]).unwrap();
    assert_eq!(counts, [made.to_ne_bytes(), made.to_ne_bytes()].concat());
}

/// Whatever is replaced while an upstream is waited for, a request's two hooks are of one generation, which is retired after the response.
#[test]
fn a_request_stays_in_its_generation_while_an_upstream_waits() {
    let host = host(&[]);
    let none = Load::default();
    host.load("e", &generation::object(0), &none).unwrap();
    let server = serve(&host, Source::Upstreams(vec![upstream("slow"); 8]));
    let mut slow = Client::new(server.address());
    let mut quick: Vec<Client> = (0..4).map(|_| Client::new(server.address())).collect();
    let wait = b"GET / HTTP/1.1\r\nhost: shop\r\nx-wait: 1\r\n\r\n";
    let mut made = 0;
    for n in 1..=6 {
        slow.0.get_mut().write_all(wait).unwrap();
        std::thread::sleep(Duration::from_millis(150));
        let retirement = if n % 3 == 0 {
            // The map is migrated, which takes that nobody is under way: the slow one ends, the others wait for it.
            let larger = generation::sized(n, 1 + n);
            let replaced = std::thread::scope(|s| {
                let asked = s.spawn(|| {
                    std::thread::sleep(Duration::from_millis(50));
                    quick
                        .iter_mut()
                        .for_each(|c| assert_eq!(c.get("/", "").status, 200));
                });
                let replaced = host.replace("e", &larger, &none).unwrap();
                asked.join().unwrap();
                replaced
            });
            assert_eq!(replaced.migrated, ["counts"]);
            replaced.retirement
        } else {
            let entries = if n < 3 { 1 } else { 4 };
            let object = generation::sized(n, entries);
            let replaced = host.replace("e", &object, &none).unwrap();
            assert_eq!(replaced.kept, ["counts"]);
            quick
                .iter_mut()
                .for_each(|c| assert_eq!(c.get("/", "").status, 200));
            assert!(!replaced.retirement.is_over(), "the slow request holds it");
            replaced.retirement
        };
        made += 5;
        assert_eq!(
            slow.answer().status,
            200,
            "two generations served one request"
        );
        assert!(retirement.wait(Duration::from_secs(10)));
    }
    assert_eq!(server.stop().unwrap().requests, made);
    let info = host.extensions().remove(0);
    let calls: Vec<u64> = info.programs.iter().map(|p| p.counters.calls).collect();
    assert_eq!(calls, [made, made]);
    let counts = host.map("e", "counts").unwrap().lookup(&[0; 4]).unwrap();
    assert_eq!(counts, [made.to_ne_bytes(), made.to_ne_bytes()].concat());
}

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn gateway(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_probity-gateway"));
    command
        .args(args)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

#[test]
fn it_stops_when_it_is_told_to_and_answers_what_was_asked() {
    let upstream = upstream("slow");
    let dir = std::env::temp_dir().join(format!("gateway-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let socket = dir.join("control");
    let mut command = gateway(&[
        "--listen",
        "127.0.0.1:0",
        "--upstream",
        &upstream,
        "--control",
    ]);
    let mut running = Running(
        command
            .arg(&socket)
            .arg("--load")
            .arg(file("header-rules.o"))
            .spawn()
            .unwrap(),
    );
    let mut line = String::new();
    BufReader::new(running.0.stdout.as_mut().unwrap())
        .read_line(&mut line)
        .unwrap();
    let address = line
        .trim()
        .strip_prefix("listening on ")
        .unwrap()
        .parse()
        .unwrap();
    let mut client = Client::new(address);
    assert_eq!(client.get("/", "").status, 200);
    let list = probity_host::control::request(&socket, &probity_host::control::Request::List, &[]);
    let list = list.unwrap().unwrap();
    assert_eq!(list["extensions"][0]["name"], "header-rules");
    // A request is under way.
    client
        .0
        .get_mut()
        .write_all(b"GET / HTTP/1.1\r\nhost: shop\r\nx-wait: 1\r\n\r\n")
        .unwrap();
    std::thread::sleep(Duration::from_millis(150));
    let told = Command::new("kill")
        .arg(running.0.id().to_string())
        .status()
        .unwrap();
    assert!(told.success());
    assert_eq!(client.answer().status, 200);
    let status = running.0.wait().unwrap();
    let mut said = String::new();
    running
        .0
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut said)
        .unwrap();
    assert!(status.success(), "{said}");
    assert!(said.contains("stopped after 2 requests"), "{said}");
    assert!(!socket.exists());
    std::fs::remove_dir_all(dir).unwrap();
}

#[test]
fn what_it_cannot_do_it_says() {
    let missing = file("missing.o").display().to_string();
    let header = file("gateway.h").display().to_string();
    let cases: &[(&[&str], &str)] = &[
        (&[], "nothing to pass requests on to"),
        (&["--answer", "a", "--threads", "0"], "one at least"),
        (&["--answer", "a", "--load", &missing], "cannot read"),
        (&["--answer", "a", "--load", &header], "cannot load"),
        (&["--answer", "a", "--grants", &header], "gateway.h"),
        (
            &["--answer", "a", "--listen", "192.0.2.1:1"],
            "cannot listen on 192.0.2.1:1",
        ),
        (
            &[
                "--answer",
                "a",
                "--listen",
                "127.0.0.1:0",
                "--control",
                &header,
            ],
            "cannot serve the control socket",
        ),
        (
            &["--answer", "a", "--upstream", "b:1"],
            "cannot be used with",
        ),
    ];
    for (args, what) in cases {
        let done = gateway(args).output().unwrap();
        let said = String::from_utf8_lossy(&done.stderr);
        assert!(
            !done.status.success() && said.contains(what),
            "{args:?}: {said}"
        );
        assert!(!said.contains("panicked"), "{args:?}: {said}");
    }
    let help = gateway(&["--help"]).output().unwrap();
    assert!(help.status.success());
    assert!(String::from_utf8_lossy(&help.stdout).contains("--control"));
}
