//! An HTTP gateway: requests of clients → requests to upstreams, and their responses back, both past vendors' extensions.
//!
//! [`hooks`] says what extensions see and call, [`filter`] asks them, [`server`] has the clients, [`upstream`] the other side.
//!
//! **Invariant:** each thread serves its own connections with its own filter: between threads there is nothing to wait for.

pub mod filter;
pub mod hooks;
pub mod server;
pub mod upstream;
