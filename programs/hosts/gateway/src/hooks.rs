//! What the gateway offers to vendors' extensions: two hooks, the structures they see, and functions for header fields.
//!
//! **Invariant:** an extension cannot change how a message is framed or who it is for: those header fields are the gateway's own.

use std::net::{IpAddr, SocketAddr};

use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use hyper::http::uri::PathAndQuery;
use hyper::{Method, StatusCode};
use probity_host::{
    Call, Context, Fallback, HookBuilder, Host, HostBuilder, Input, Output, Packet, function,
};

use crate::filter::About;

/// Most upstreams that a gateway has.
pub const UPSTREAMS: usize = 16;

/// A request, as extensions see it.
#[derive(Context, Clone, Copy, Default, Debug)]
#[repr(C)]
pub struct Request {
    /// The path and the query, as the client sent them.
    #[context(read)]
    pub target: Packet,
    /// Address of the client; one of IPv4 is behind ten bytes of zeros and two of ff.
    #[context(read)]
    pub client: [u8; 16],
    /// Port of the client.
    #[context(read)]
    pub port: u16,
    /// 1 GET, 2 HEAD, 3 POST, 4 PUT, 5 DELETE, 6 OPTIONS, 7 PATCH, 0 any other.
    #[context(read)]
    pub method: u8,
    hidden: u8,
    /// What the client is answered when the request is refused.
    #[context(write, range = 400..=599)]
    pub status: u16,
    hidden2: u16,
    /// Number of the upstream that gets it: 0 is the first of the command line.
    #[context(write, range = 0..=15)]
    pub upstream: u32,
    /// For the extensions that come after, and for the hook `response` of the same request.
    #[context(write)]
    pub mark: u32,
}

/// A response, as extensions see it.
#[derive(Context, Clone, Copy, Default, Debug)]
#[repr(C)]
pub struct Response {
    /// Address of the client; one of IPv4 is behind ten bytes of zeros and two of ff.
    #[context(read)]
    pub client: [u8; 16],
    /// Number of the upstream that gave it.
    #[context(read)]
    pub upstream: u32,
    /// From the request's head to the response's, in microseconds.
    #[context(read)]
    pub microseconds: u32,
    /// What extensions of the hook `request` left.
    #[context(write)]
    pub mark: u32,
    #[context(write, range = 200..=599)]
    pub status: u16,
    hidden: u16,
}

/// Longest name of a header field that extensions can ask for, and longest value and target that they can set.
const MAX_NAME: usize = 64;
const MAX_VALUE: usize = 1024;
/// What functions give for arguments that cannot be.
const REFUSED: i64 = -1;

/// Fields that say how a message is framed, or who it is for.
const OWN: &[&str] = &[
    "connection",
    "content-length",
    "host",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// What functions of the hooks work on beside the message's fields, which are what is lent for a call.
#[derive(Default)]
pub struct State {
    names: Names,
    /// What extensions have put in the place of the target that they were called with.
    pub target: Option<PathAndQuery>,
}

/// Names of fields that were asked for, so that a name is parsed once as long as no other takes its place.
#[derive(Default)]
struct Names {
    known: Vec<HeaderName>,
    /// Whose place the next one takes when there is no room.
    next: usize,
}

/// Names that are kept.
const KEPT: usize = 16;

impl Names {
    fn of(&mut self, name: &Input<'_>) -> Option<&HeaderName> {
        let known = |n: &HeaderName| name.is(n.as_str().as_bytes());
        let at = match self.known.iter().position(known) {
            Some(at) => at,
            None => self.parse(name)?,
        };
        self.known.get(at)
    }

    #[cold]
    fn parse(&mut self, name: &Input<'_>) -> Option<usize> {
        let mut buffer = [0; MAX_NAME];
        if name.len() > MAX_NAME {
            return None;
        }
        let parsed = HeaderName::from_bytes(name.read(&mut buffer)).ok()?;
        if self.known.len() < KEPT {
            self.known.push(parsed);
            return Some(self.known.len() - 1);
        }
        let at = self.next % KEPT;
        self.next = at + 1;
        *self.known.get_mut(at)? = parsed;
        Some(at)
    }
}

/// Copies the value of a header field, as much as fits; gives its length, or -1 when there is no field of that name.
#[function]
pub fn gw_header(call: &mut Call<'_>, name: Input<'_>, mut value: Output<'_>) -> i64 {
    let Some((fields, state)) = call.data_and_state::<HeaderMap, State>() else {
        return REFUSED;
    };
    match state.names.of(&name).and_then(|n| fields.get(n)) {
        Some(found) => {
            value.write(found.as_bytes());
            i64::try_from(found.len()).unwrap_or(i64::MAX)
        }
        None => REFUSED,
    }
}

/// Sets a header field, in the place of all of that name; gives 0, or -1 where it is not one, or the gateway's own.
#[function]
pub fn gw_set_header(call: &mut Call<'_>, name: Input<'_>, value: Input<'_>) -> i64 {
    let (mut name_buffer, mut value_buffer) = ([0; MAX_NAME], [0; MAX_VALUE]);
    let whole = name.len() <= MAX_NAME && value.len() <= MAX_VALUE;
    let name = HeaderName::from_bytes(name.read(&mut name_buffer));
    let value = HeaderValue::from_bytes(value.read(&mut value_buffer));
    match (name, value, call.data::<HeaderMap>()) {
        (Ok(name), Ok(value), Some(fields)) if whole && !OWN.contains(&name.as_str()) => {
            fields.insert(name, value);
            0
        }
        _ => REFUSED,
    }
}

/// Removes all header fields of a name; gives how many there were, or -1 where they are the gateway's own.
#[function]
pub fn gw_remove_header(call: &mut Call<'_>, name: Input<'_>) -> i64 {
    let mut buffer = [0; MAX_NAME];
    let whole = name.len() <= MAX_NAME;
    let name = HeaderName::from_bytes(name.read(&mut buffer));
    match (name, call.data::<HeaderMap>()) {
        (Ok(name), Some(fields)) if whole && !OWN.contains(&name.as_str()) => {
            match fields.entry(name) {
                hyper::header::Entry::Occupied(there) => there.remove_entry_mult().1.count() as i64,
                hyper::header::Entry::Vacant(_) => 0,
            }
        }
        _ => REFUSED,
    }
}

/// Has the upstream asked for this path and query; gives 0, or -1 where it is none. It begins with a slash.
#[function]
pub fn gw_set_target(call: &mut Call<'_>, target: Input<'_>) -> i64 {
    let mut buffer = [0; MAX_VALUE];
    if target.len() > MAX_VALUE {
        return REFUSED;
    }
    set_target(call, target.read(&mut buffer))
}

/// Puts bytes in the place of the target's first ones, so many; gives 0, or -1 where that makes no target.
#[function]
pub fn gw_replace_prefix(call: &mut Call<'_>, bytes: u32, with: Input<'_>) -> i64 {
    let before = match call.state::<State>() {
        Some(State {
            target: Some(changed),
            ..
        }) => changed.as_str().as_bytes().to_vec(),
        _ => call.packet(),
    };
    let Some(rest) = before.get(bytes as usize..) else {
        return REFUSED;
    };
    if with.len() > MAX_VALUE {
        return REFUSED;
    }
    let target = [&with.to_vec(), rest].concat();
    set_target(call, &target)
}

fn set_target(call: &mut Call<'_>, target: &[u8]) -> i64 {
    match (PathAndQuery::try_from(target), call.state::<State>()) {
        (Ok(parsed), Some(state)) if target.starts_with(b"/") => {
            state.target = Some(parsed);
            0
        }
        _ => REFUSED,
    }
}

/// The gateway's hooks.
pub fn host() -> HostBuilder {
    Host::builder("gateway")
        .hook(
            HookBuilder::new::<Request>("request")
                .doc("Called for each request before it is passed on: 0 passes it on, 1 answers with `status`.")
                .returns(0..=1)
                .budget(20_000)
                .absent(Fallback::Open(0))
                .refused(Fallback::Closed(1))
                .function::<gw_header>()
                .function::<gw_set_header>()
                .function::<gw_remove_header>()
                .function::<gw_set_target>()
                .function::<gw_replace_prefix>(),
        )
        .hook(
            HookBuilder::new::<Response>("response")
                .doc("Called for each response before the client gets it.")
                .returns(0..=0)
                .budget(20_000)
                .absent(Fallback::Open(0))
                .refused(Fallback::Open(0))
                .function::<gw_header>()
                .function::<gw_set_header>()
                .function::<gw_remove_header>(),
        )
}

impl Request {
    #[inline]
    pub fn new(client: SocketAddr, method: &Method) -> Request {
        Request {
            client: address(client),
            port: client.port(),
            method: number(method),
            status: 403,
            ..Request::default()
        }
    }
}

impl Response {
    #[inline]
    pub fn new(about: &About, status: StatusCode) -> Response {
        Response {
            client: address(about.client),
            upstream: about.upstream,
            microseconds: u32::try_from(about.took.as_micros()).unwrap_or(u32::MAX),
            mark: about.mark,
            status: status.as_u16(),
            ..Response::default()
        }
    }
}

/// An address as [`Request::client`] has it.
#[inline]
pub fn address(client: SocketAddr) -> [u8; 16] {
    match client.ip() {
        // As one number: what is stored byte by byte is slow to load as words.
        IpAddr::V4(ip) => (0xffff_0000_0000 | u128::from(ip.to_bits())).to_be_bytes(),
        IpAddr::V6(ip) => ip.octets(),
    }
}

fn number(method: &Method) -> u8 {
    match *method {
        Method::GET => 1,
        Method::HEAD => 2,
        Method::POST => 3,
        Method::PUT => 4,
        Method::DELETE => 5,
        Method::OPTIONS => 6,
        Method::PATCH => 7,
        _ => 0,
    }
}
