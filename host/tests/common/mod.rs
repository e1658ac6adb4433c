//! A gateway in small: a hook that sees requests, one that sees their bodies, and a function that gives headers.

#![allow(dead_code, reason = "each test binary uses its part")]

pub mod packages;

use probity_host::{
    Call, ChainRule, Context, Fallback, HookBuilder, Host, HostBuilder, Input, Output, Packet,
    function,
};
use probity_objfile::Object;

/// A request, as extensions see it.
#[derive(Context, Clone, Copy, Default, Debug, PartialEq)]
#[repr(C)]
pub struct Request {
    /// Address of the client.
    #[context(read)]
    pub client: u32,
    /// What the client is answered when the request is refused.
    #[context(write, range = 100..=599)]
    pub status: u16,
    #[context(read)]
    pub method: u8,
    /// Not for extensions.
    pub hidden: u8,
    /// Notes of one extension to the next.
    #[context(write)]
    pub notes: [u8; 16],
    #[context(write, range = -5..=5)]
    pub weight: i32,
    #[context(read)]
    pub time: u64,
}

/// A request's body.
#[derive(Context, Clone, Copy, Default, Debug)]
#[repr(C)]
pub struct Body {
    /// From its first byte to its end.
    #[context(read)]
    pub bytes: Packet,
    /// Bytes that are still to come.
    #[context(read)]
    pub rest: u32,
}

#[derive(Default)]
pub struct Headers(pub Vec<(String, String)>);

/// What a caller may have as its state: the names that its extensions asked for.
#[derive(Default)]
pub struct Asked(pub Vec<String>);

/// Copies a header's value; gives its length, or -1 when there is none of that name.
#[function]
pub fn gw_header(call: &mut Call<'_>, name: Input<'_>, mut value: Output<'_>) -> i64 {
    let here = name;
    let name = here.to_vec();
    if let Some((Headers(_), Asked(asked))) = call.data_and_state() {
        let mut other = name.clone();
        other[0] ^= 1;
        assert!(here.is(&name) && !here.is(&other) && !here.is(&name[1..]));
        asked.push(String::from_utf8_lossy(&name).into_owned());
    }
    let Some(Headers(all)) = call.data() else {
        return -1;
    };
    match all.iter().find(|(n, _)| n.as_bytes() == name) {
        Some((_, v)) => {
            value.write(v.as_bytes());
            v.len() as i64
        }
        None => -1,
    }
}

/// Adds a header.
#[function]
pub fn gw_add(call: &mut Call<'_>, name: Input<'_>, value: u32) -> i32 {
    let name = String::from_utf8_lossy(&name.to_vec()).into_owned();
    let Some(Headers(all)) = call.data() else {
        return -1;
    };
    all.push((name, value.to_string()));
    0
}

/// Fails as no function should.
#[function]
pub fn gw_panics(_call: &mut Call<'_>) -> i64 {
    std::panic::panic_any(())
}

pub fn builder() -> HostBuilder {
    Host::builder("gateway")
        .hook(
            HookBuilder::new::<Request>("request")
                .doc("Called for each request before it is passed on.")
                .returns(0..=2)
                .budget(5_000)
                .rule(ChainRule::FirstOther(0))
                .absent(Fallback::Open(0))
                .refused(Fallback::Closed(2))
                .function::<gw_header>()
                .function::<gw_add>()
                .function::<gw_panics>(),
        )
        .hook(
            HookBuilder::new::<Body>("body")
                .returns(0..=1)
                .absent(Fallback::Error)
                .refused(Fallback::Error)
                .packet_write(),
        )
}

pub fn host() -> Host {
    builder().build().expect("a host")
}

pub fn assemble(text: &str) -> Object {
    let platform = host().platform().clone();
    probity_objfile::assemble("test", text, &|name| {
        platform.helper_by_name(name).map(|h| h.id)
    })
    .unwrap_or_else(|e| panic!("{e}\n{text}"))
}

/// A program of the hook `request`.
pub fn request(code: &str) -> Object {
    assemble(&format!(
        ".section \"hook/request@1\"\n.globl main\nmain:\n{code}\n"
    ))
}

/// A committed object.
pub fn object(name: &str) -> Vec<u8> {
    let path = format!("{}/tests/extensions/{name}.o", env!("CARGO_MANIFEST_DIR"));
    std::fs::read(&path).unwrap_or_else(|e| panic!("{path}: {e}"))
}
