//! A request's head and body → the response of an upstream, over connections that are kept.
//!
//! **Invariant:** a request is sent again only when it was not sent: on a kept connection that the upstream had closed meanwhile.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use http_body_util::Either;
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Request, Response, StatusCode, Uri, Version};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::server::Body;

const CONNECT: Duration = Duration::from_secs(3);
const RESPONSE: Duration = Duration::from_secs(30);
/// Connections to one upstream that are kept by one thread.
const KEPT: usize = 64;

/// Fields that are about one connection.
const HOP: &[HeaderName] = &[
    header::CONNECTION,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];
const FORWARDED: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The upstreams as one thread knows them.
pub struct Upstreams {
    all: Vec<Rc<Upstream>>,
}

struct Upstream {
    address: String,
    kept: RefCell<Vec<SendRequest<Incoming>>>,
}

impl Upstreams {
    /// `HOST:PORT` each.
    pub fn new(addresses: Vec<String>) -> Upstreams {
        let one = |address| {
            Rc::new(Upstream {
                address,
                kept: RefCell::default(),
            })
        };
        Upstreams {
            all: addresses.into_iter().map(one).collect(),
        }
    }

    /// Asks the upstream of that number; a status where it does not answer.
    pub async fn ask(
        &self,
        number: u32,
        client: SocketAddr,
        mut head: Parts,
        body: Incoming,
    ) -> Result<Response<Body>, StatusCode> {
        let upstream = self
            .all
            .get(number as usize)
            .ok_or(StatusCode::BAD_GATEWAY)?;
        one_hop(&mut head.headers);
        forwarded(&mut head.headers, client);
        head.version = Version::HTTP_11;
        // Only proxies are sent whole addresses.
        if let Some(target) = head
            .uri
            .path_and_query()
            .filter(|_| head.uri.scheme().is_some())
        {
            let host = head
                .uri
                .authority()
                .and_then(|a| HeaderValue::from_str(a.as_str()).ok());
            if let Some(host) = host {
                head.headers.insert(header::HOST, host);
            }
            head.uri = Uri::from(target.clone());
        }
        let asked = timeout(RESPONSE, upstream.send(Request::from_parts(head, body))).await;
        let mut response = asked.map_err(|_| StatusCode::GATEWAY_TIMEOUT)??;
        one_hop(response.headers_mut());
        Ok(response.map(Either::Left))
    }
}

impl Upstream {
    async fn send(
        self: &Rc<Self>,
        mut request: Request<Incoming>,
    ) -> Result<Response<Incoming>, StatusCode> {
        loop {
            let kept = self.kept.borrow_mut().pop();
            let (mut sender, old) = match kept {
                Some(sender) if sender.is_ready() => (sender, true),
                Some(_) => continue,
                None => (self.connect().await?, false),
            };
            match sender.try_send_request(request).await {
                Ok(response) => {
                    self.keep(sender);
                    return Ok(response);
                }
                Err(mut e) => match e.take_message() {
                    Some(unsent) if old => request = unsent,
                    _ => return Err(StatusCode::BAD_GATEWAY),
                },
            }
        }
    }

    async fn connect(&self) -> Result<SendRequest<Incoming>, StatusCode> {
        let stream = match timeout(CONNECT, TcpStream::connect(&self.address)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(_)) => return Err(StatusCode::BAD_GATEWAY),
            Err(_) => return Err(StatusCode::GATEWAY_TIMEOUT),
        };
        let _ = stream.set_nodelay(true);
        let (sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|_| StatusCode::BAD_GATEWAY)?;
        tokio::task::spawn_local(async move {
            // Whoever waits for a response on it is told.
            let _ = connection.await;
        });
        Ok(sender)
    }

    /// For the next request, as soon as the client has all of this one's response.
    fn keep(self: &Rc<Self>, mut sender: SendRequest<Incoming>) {
        let upstream = self.clone();
        tokio::task::spawn_local(async move {
            if sender.ready().await.is_ok() {
                let mut kept = upstream.kept.borrow_mut();
                if kept.len() < KEPT {
                    kept.push(sender);
                }
            }
        });
    }
}

/// Takes away what is about the connection it came by.
fn one_hop(fields: &mut HeaderMap) {
    let named: Vec<HeaderName> = fields
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|v| v.to_str().ok())
        .flat_map(|v| v.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named.iter().chain(HOP) {
        fields.remove(name);
    }
}

fn forwarded(fields: &mut HeaderMap, client: SocketAddr) {
    let before = fields.get(&FORWARDED).and_then(|v| v.to_str().ok());
    let all = match before {
        Some(before) => format!("{before}, {}", client.ip()),
        None => client.ip().to_string(),
    };
    if let Ok(value) = HeaderValue::from_str(&all) {
        fields.insert(FORWARDED, value);
    }
}
