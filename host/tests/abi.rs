//! One object, made for one host, on the hosts that came before and after it.

mod common;

use common::{Headers, gw_add, gw_header, object};
use probity_host::{BindError, Context, Error, HookBuilder, Host, Load};

/// `Request` of the host that the object was made for, and a field at its end.
#[derive(Context, Clone, Copy, Default)]
#[context(name = "request")]
#[repr(C)]
struct Newer {
    #[context(read)]
    client: u32,
    #[context(write, range = 100..=599)]
    status: u16,
    #[context(read)]
    method: u8,
    hidden: u8,
    #[context(write)]
    notes: [u8; 16],
    #[context(write, range = -5..=5)]
    weight: i32,
    #[context(read)]
    time: u64,
    #[context(read)]
    more: u64,
}

/// The same without its last field.
#[derive(Context, Clone, Copy, Default)]
#[context(name = "request")]
#[repr(C)]
struct Older {
    #[context(read)]
    client: u32,
    #[context(write, range = 100..=599)]
    status: u16,
    #[context(read)]
    method: u8,
    hidden: u8,
    #[context(write)]
    notes: [u8; 16],
    #[context(write, range = -5..=5)]
    weight: i32,
}

/// The same with a narrower field in the place of another.
#[derive(Context, Clone, Copy, Default)]
#[context(name = "request")]
#[repr(C)]
struct Moved {
    #[context(read)]
    client: u16,
    #[context(write, range = 100..=599)]
    status: u16,
    #[context(read)]
    method: u8,
    hidden: u8,
    #[context(write)]
    notes: [u8; 16],
    #[context(write, range = -5..=5)]
    weight: i32,
    #[context(read)]
    time: u64,
}

fn host<T: Context>(abi: u32) -> Host {
    let hook = HookBuilder::new::<T>("request")
        .abi(abi)
        .returns(0..=2)
        .function::<gw_header>()
        .function::<gw_add>();
    Host::builder("gateway").hook(hook).build().unwrap()
}

fn load(host: &Host) -> Result<(), Error> {
    host.load("limit", &object("limit"), &Load::default())
}

#[test]
fn a_field_at_the_end_keeps_the_object_valid() {
    let host = host::<Newer>(1);
    load(&host).unwrap();
    let mut request = host.hook::<Newer>("request").unwrap().caller(Newer {
        client: 7,
        more: u64::MAX,
        ..Newer::default()
    });
    let mut headers = Headers::default();
    let verdicts: Vec<_> = (0..7)
        .map(|_| request.call_with(&mut headers).unwrap())
        .collect();
    assert_eq!(verdicts, [0, 0, 0, 0, 0, 1, 1]);
    assert_eq!((request.status, request.more), (429, u64::MAX));
}

#[test]
fn another_version_of_the_hook_is_named() {
    let e = load(&host::<Newer>(2)).unwrap_err();
    assert!(
        matches!(
            &e,
            Error::Bind(BindError::Abi {
                theirs: 1,
                ours: 2,
                ..
            })
        ),
        "{e}"
    );
}

#[test]
fn an_object_for_a_newer_host_is_refused() {
    let e = load(&host::<Older>(1)).unwrap_err();
    assert!(e.to_string().contains("for a newer host"), "{e}");
}

#[test]
fn a_field_that_lies_elsewhere_is_named() {
    let e = load(&host::<Moved>(1)).unwrap_err();
    assert!(
        matches!(&e, Error::Bind(BindError::Context { what, .. }) if what.contains("`client`")),
        "{e}"
    );
}
