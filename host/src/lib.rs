//! The embedding API: an application declares hooks, and vendors' extensions are loaded, replaced and unloaded on them under load.
//!
//! A host says in Rust what an extension may see, call and return. From that follow the C header for its authors, the platform
//! that extensions are verified against, here and elsewhere, and the compiled code that a call runs: nothing is checked in a call
//! that was proved before it.
//!
//! ```
//! use probity_host::{Call, Context, Fallback, HookBuilder, Host, Input, Load, Output, function};
//!
//! /// A request, as extensions see it.
//! #[derive(Context, Clone, Copy, Default)]
//! #[repr(C)]
//! struct Request {
//!     /// Bytes of the body.
//!     #[context(read)]
//!     length: u32,
//!     /// What the client is answered.
//!     #[context(write, range = 100..=599)]
//!     status: u16,
//!     /// Not for extensions.
//!     ticket: u64,
//! }
//!
//! /// What a function finds behind [`Call::data`].
//! struct Headers(Vec<(String, String)>);
//!
//! /// Copies a header's value; gives its length, or -1.
//! #[function]
//! fn header(call: &mut Call<'_>, name: Input<'_>, mut value: Output<'_>) -> i64 {
//!     let name = name.to_vec();
//!     let Some(Headers(all)) = call.data() else { return -1 };
//!     match all.iter().find(|(n, _)| n.as_bytes() == name) {
//!         Some((_, v)) => value.write(v.as_bytes()) as i64,
//!         None => -1,
//!     }
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let host = Host::builder("gateway")
//!     .hook(
//!         HookBuilder::new::<Request>("request")
//!             .returns(0..=1)
//!             .budget(10_000)
//!             .absent(Fallback::Open(0))
//!             .function::<header>(),
//!     )
//!     .build()?;
//! println!("{}", host.description().c_header());
//!
//! # // What the C compiler makes of: return ctx->length > 4096 ? (ctx->status = 413, 1) : 0;
//! # let text = ".section \"hook/request@1\"\n.globl limit\nlimit:\nr0 = 0\nr2 = *(u32 *)(r1 + 0)\n\
//! #     if r2 <= 4096 goto out\nr2 = 413\n*(u16 *)(r1 + 4) = r2\nr0 = 1\nout:\nexit\n";
//! # let object = probity_objfile::assemble("limit", text, &|_| None)?;
//! // `bytes` of an object: host.load("limit", &bytes, &Load::default())?;
//! host.load_object("limit", &object, &Load::default())?;
//!
//! // One caller a thread; it is the context too.
//! let mut request = host.hook::<Request>("request")?.caller(Request::default());
//! request.length = 5000;
//! let mut headers = Headers(vec![("host".into(), "example.org".into())]);
//! assert_eq!(request.call_with(&mut headers)?, 1);
//! assert_eq!(request.status, 413);
//!
//! // Another generation, while other threads go on calling.
//! let replaced = host.replace_object("limit", &object, &Load::default())?;
//! assert!(replaced.retirement.wait(std::time::Duration::from_secs(1)));
//! assert_eq!(host.extensions()[0].programs[0].counters.calls, 1);
//! host.unload("limit")?;
//! assert_eq!(request.call()?, 0);
//! # Ok(())
//! # }
//! ```
//!
//! **Invariant:** no program runs without a proof made here, for this host's own platform.
//!
//! **Invariant:** whatever a program may read is initialised: named fields, lent packets, what functions have filled.
//!
//! **Invariant:** a call runs one generation as a whole; what is loaded, replaced or unloaded meanwhile is seen by the next.
//! So do all calls that share a [`Pinned`].

mod barrier;
mod bind;
mod builder;
mod compatible;
mod context;
pub mod control;
mod deployment;
mod description;
mod error;
mod exports;
mod extension;
mod function;
#[doc(hidden)]
pub mod fuzzing;
mod grants;
mod header;
mod hook;
mod host;
mod image;
mod info;
mod linking;
mod origin;
mod packages;
mod pins;
mod rows;
mod schema;
mod stats;
mod world;

pub use bind::BindError;
pub use builder::{HookBuilder, HostBuilder};
pub use compatible::Breaking;
pub use context::{Context, FieldRow, FieldType, Packet, Type};
pub use control::Control;
pub use deployment::Deployment;
pub use description::{
    ChainRule, ContextDescription, Fallback, FieldDescription, FunctionDescription,
    HookDescription, HostDescription,
};
pub use error::{Error, Refusal, status};
pub use function::{Call, HostFunction, Input, Output};
pub use grants::{Denied, GrantPolicy, Grants, Uses, Who, check};
pub use hook::{At, CallError, Caller, Hook};
pub use host::{Fresh, Host, Load, Replaced, Retirement};
pub use image::{Code, Started};
pub use info::{ExtensionInfo, MapInfo, ProgramInfo};
pub use origin::Origin;
pub use pins::{Pinned, Pins};
pub use probity_host_derive::{Context, function};
pub use probity_store::Store;
pub use rows::{BASE_HELPERS, prog_type};
pub use schema::{Change, Conflict, change};
pub use stats::{Counters, VERDICTS};

#[doc(hidden)]
pub use function::guarded;
#[doc(hidden)]
pub use probity_runtime::{Call as RawCall, HelperFn as Shim};
