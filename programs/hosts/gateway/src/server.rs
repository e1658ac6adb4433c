//! A listening address → requests answered, by so many threads, until it is told to stop.
//!
//! **Invariant:** a request whose head has been read is answered, also when the gateway stops: connections end between two of them,
//! and are given a time for it.

use std::cell::RefCell;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use http_body_util::{Either, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinSet, LocalSet};

use crate::filter::{About, Decision, Filter};
use crate::upstream::Upstreams;

/// What a client is sent.
pub type Body = Either<Incoming, Full<Bytes>>;

/// How long a client may take for the head of a request.
const HEAD: Duration = Duration::from_secs(30);

/// How long a request waits before it asks again to begin.
const MOMENT: Duration = Duration::from_millis(1);

/// How a gateway serves.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Port 0 is any that is free.
    pub listen: SocketAddr,
    pub source: Source,
    /// How long requests under way have when the gateway stops.
    pub grace: Duration,
}

/// Where responses come from.
#[derive(Clone, Debug)]
pub enum Source {
    /// `HOST:PORT`, by number.
    Upstreams(Vec<String>),
    /// The gateway itself answers each request with this.
    Answer(Bytes),
}

/// A gateway that serves.
pub struct Server {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    threads: Vec<JoinHandle<io::Result<()>>>,
    counts: Vec<Arc<Counts>>,
}

/// What one thread has done.
#[derive(Debug, Default)]
struct Counts {
    requests: AtomicU64,
    refused: AtomicU64,
    failed: AtomicU64,
}

/// What a gateway has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    pub requests: u64,
    /// Answered by an extension's verdict.
    pub refused: u64,
    /// Upstreams that did not answer.
    pub failed: u64,
}

impl Server {
    /// Serves with a thread for each filter.
    pub fn start<F: Filter + Send>(settings: &Settings, filters: Vec<F>) -> io::Result<Server> {
        let (stop, stopped) = watch::channel(false);
        let mut server = Server {
            address: settings.listen,
            stop,
            threads: Vec::new(),
            counts: Vec::new(),
        };
        for filter in filters {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            // The kernel shares new connections out among listeners of one address; the first one finds the port.
            let listener = {
                let _inside = runtime.enter();
                listen(server.address)?
            };
            server.address = listener.local_addr()?;
            let counts = Arc::new(Counts::default());
            server.counts.push(counts.clone());
            let (settings, stopped) = (settings.clone(), stopped.clone());
            let thread = std::thread::Builder::new().name("gateway".into());
            server.threads.push(thread.spawn(move || {
                let state = Rc::new(State {
                    thread: filter.thread(),
                    filter: RefCell::new(filter),
                    upstreams: match &settings.source {
                        Source::Upstreams(all) => Some(Upstreams::new(all.clone())),
                        Source::Answer(_) => None,
                    },
                    answer: match settings.source {
                        Source::Answer(bytes) => bytes,
                        Source::Upstreams(_) => Bytes::new(),
                    },
                    counts,
                });
                let serving = accept(listener, state, stopped, settings.grace);
                LocalSet::new().block_on(&runtime, serving);
                Ok(())
            })?);
        }
        Ok(server)
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn totals(&self) -> Totals {
        let sum =
            |of: fn(&Counts) -> &AtomicU64| self.counts.iter().map(|c| of(c).load(Relaxed)).sum();
        Totals {
            requests: sum(|c| &c.requests),
            refused: sum(|c| &c.refused),
            failed: sum(|c| &c.failed),
        }
    }

    /// Takes no more connections, and waits for the requests under way.
    pub fn stop(mut self) -> io::Result<Totals> {
        let _ = self.stop.send(true);
        for thread in std::mem::take(&mut self.threads) {
            thread
                .join()
                .map_err(|_| io::Error::other("a thread of the gateway panicked"))??;
        }
        Ok(self.totals())
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    socket.set_reuseaddr(true)?;
    socket.set_reuseport(true)?;
    socket.bind(address)?;
    socket.listen(1024)
}

/// What the connections of one thread share.
struct State<F: Filter> {
    thread: F::Thread,
    filter: RefCell<F>,
    upstreams: Option<Upstreams>,
    answer: Bytes,
    counts: Arc<Counts>,
}

async fn accept<F: Filter>(
    listener: TcpListener,
    state: Rc<State<F>>,
    mut stopped: watch::Receiver<bool>,
    grace: Duration,
) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            _ = stopped.changed() => break,
            _ = connections.join_next(), if !connections.is_empty() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, client)) => {
                    connections.spawn_local(connection(stream, client, state.clone(), stopped.clone()));
                }
                // Out of descriptors, most likely: connections that end free some.
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            },
        }
    }
    drop(listener);
    let all = async { while connections.join_next().await.is_some() {} };
    // Those that take longer end with the thread.
    let _ = tokio::time::timeout(grace, all).await;
}

async fn connection<F: Filter>(
    stream: TcpStream,
    client: SocketAddr,
    state: Rc<State<F>>,
    mut stopped: watch::Receiver<bool>,
) {
    // Without it, answers may wait for others to be sent together with.
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request| {
        let state = state.clone();
        async move { Ok::<_, Infallible>(state.answer(client, request).await) }
    });
    let mut serving = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD)
            .serve_connection(TokioIo::new(stream), service)
    );
    let mut ending = false;
    loop {
        tokio::select! {
            // A client that goes away is no error of the gateway's.
            _ = serving.as_mut() => break,
            _ = stopped.changed(), if !ending => {
                ending = true;
                serving.as_mut().graceful_shutdown();
            }
        }
    }
}

impl<F: Filter> State<F> {
    async fn answer(&self, client: SocketAddr, request: Request<Incoming>) -> Response<Body> {
        let start = Instant::now();
        self.counts.requests.fetch_add(1, Relaxed);
        let (mut head, body) = request.into_parts();
        // Until the response is on its way, whatever is replaced meanwhile.
        let held = loop {
            match F::begin(&self.thread) {
                Some(held) => break held,
                None => tokio::time::sleep(MOMENT).await,
            }
        };
        let decision = self.filter.borrow_mut().request(&held, client, &mut head);
        let (upstream, mark) = match decision {
            Decision::Pass { upstream, mark } => (upstream, mark),
            Decision::Answer(status) => {
                self.counts.refused.fetch_add(1, Relaxed);
                return plain(status);
            }
        };
        let asked = match &self.upstreams {
            None => Ok(Response::new(Either::Right(Full::new(self.answer.clone())))),
            Some(all) => all.ask(upstream, client, head, body).await,
        };
        match asked {
            Ok(response) => {
                let (mut head, body) = response.into_parts();
                let about = About {
                    client,
                    upstream,
                    mark,
                    took: start.elapsed(),
                };
                self.filter.borrow_mut().response(&held, &about, &mut head);
                Response::from_parts(head, body)
            }
            Err(status) => {
                self.counts.failed.fetch_add(1, Relaxed);
                plain(status)
            }
        }
    }
}

/// A response that says what its status says.
fn plain(status: StatusCode) -> Response<Body> {
    let text = format!("{}\n", status.canonical_reason().unwrap_or(status.as_str()));
    let mut response = Response::new(Either::Right(Full::new(text.into())));
    *response.status_mut() = status;
    response
}
