//! Where requests and responses are looked at: [`Filter`], and [`Extensions`], which asks the vendors' extensions.
//!
//! **Invariant:** a filter is one thread's own, and never waits.

use std::net::SocketAddr;
use std::time::Duration;

use hyper::http::{request, response};
use hyper::{StatusCode, Uri};
use probity_host::{At, Caller, Host, Pinned, Pins};

use crate::hooks::{Request, Response, State};

/// What looks at messages.
pub trait Filter: 'static {
    /// What one thread begins requests with.
    type Thread: 'static;
    /// What stays as it is from a request's head to the end of its response's.
    type Held: 'static;

    /// Made on the thread that serves.
    fn thread(&self) -> Self::Thread;

    /// A request begins; `None` where it has to wait a moment, and others are to go on.
    fn begin(thread: &Self::Thread) -> Option<Self::Held>;

    /// Sees a request, and may change its head.
    fn request(
        &mut self,
        held: &Self::Held,
        client: SocketAddr,
        head: &mut request::Parts,
    ) -> Decision;

    /// Sees a response, and may change its head.
    fn response(&mut self, held: &Self::Held, about: &About, head: &mut response::Parts);
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    Pass {
        /// Number of the upstream.
        upstream: u32,
        /// For [`Filter::response`].
        mark: u32,
    },
    Answer(StatusCode),
}

/// What is known of a response beside its head.
#[derive(Clone, Copy, Debug)]
pub struct About {
    pub client: SocketAddr,
    pub upstream: u32,
    pub mark: u32,
    pub took: Duration,
}

/// Asks the extensions on the gateway's hooks.
///
/// A request and its response are looked at by one generation of extensions, whatever is replaced while an upstream is waited for.
pub struct Extensions {
    host: Host,
    request: Caller<Request, State>,
    response: Caller<Response, State>,
}

impl Extensions {
    pub fn new(host: &Host) -> Result<Extensions, probity_host::Error> {
        Ok(Extensions {
            host: host.clone(),
            request: host
                .hook("request")?
                .caller_with(Request::default(), State::default()),
            response: host
                .hook("response")?
                .caller_with(Response::default(), State::default()),
        })
    }
}

impl Filter for Extensions {
    type Thread = Pins;
    type Held = Pinned;

    fn thread(&self) -> Pins {
        self.host.pins()
    }

    #[inline]
    fn begin(pins: &Pins) -> Option<Pinned> {
        pins.pin()
    }

    fn request(
        &mut self,
        held: &Pinned,
        client: SocketAddr,
        head: &mut request::Parts,
    ) -> Decision {
        let Ok(mut hook) = self.request.at(held) else {
            return Decision::Answer(StatusCode::INTERNAL_SERVER_ERROR);
        };
        *hook = Request::new(client, &head.method);
        // Functions leave another target in the state: extensions are reading this one.
        let target = head.uri.path_and_query().map_or("/", |t| t.as_str());
        let verdict = hook.call_packet_read_with(target.as_bytes(), &mut head.headers);
        if let Some(target) = hook.state().target.take() {
            head.uri = Uri::from(target);
        }
        match verdict {
            Ok(0) => Decision::Pass {
                upstream: hook.upstream,
                mark: hook.mark,
            },
            Ok(_) => Decision::Answer(status(hook.status)),
            Err(_) => Decision::Answer(StatusCode::INTERNAL_SERVER_ERROR),
        }
    }

    fn response(&mut self, held: &Pinned, about: &About, head: &mut response::Parts) {
        // Without extensions it is open: nothing is changed.
        let Some(mut hook) = self.response.at(held).ok().filter(At::has_extensions) else {
            return;
        };
        *hook = Response::new(about, head.status);
        let before = hook.status;
        // The hook cannot fail: it is open, and extensions of it return 0.
        if hook.call_with(&mut head.headers).is_ok() && hook.status != before {
            head.status = status(hook.status);
        }
    }
}

/// Extensions store numbers from 200 to 599 only.
fn status(number: u16) -> StatusCode {
    StatusCode::from_u16(number).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// Lets everything pass.
pub struct Nothing;

impl Filter for Nothing {
    type Thread = ();
    type Held = ();

    fn thread(&self) {}

    fn begin(_: &()) -> Option<()> {
        Some(())
    }

    fn request(&mut self, _: &(), _: SocketAddr, _: &mut request::Parts) -> Decision {
        Decision::Pass {
            upstream: 0,
            mark: 0,
        }
    }

    fn response(&mut self, _: &(), _: &About, _: &mut response::Parts) {}
}
