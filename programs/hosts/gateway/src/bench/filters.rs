//! The filter of `extensions/guard.bpf.c` in other forms: written in Rust, and in WebAssembly.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use anyhow::{Context, Result};
use hyper::StatusCode;
use hyper::header::HeaderMap;
use hyper::http::{request, response};
use probity_gateway::filter::{About, Decision, Filter};
use probity_gateway::hooks::{self, Request};
use wasmtime::{
    Caller, Config, Engine, InstanceAllocationStrategy, InstancePre, Linker, Memory, Module,
    PoolingAllocationConfig, Store, TypedFunc,
};

const LONGEST: usize = 256;
const MOST: u64 = 1_000_000_000_000;

/// Requests by client, shared by all threads.
#[derive(Clone, Default)]
pub struct Clients(Arc<RwLock<HashMap<[u8; 16], AtomicU64>>>);

impl Clients {
    fn count(&self, client: [u8; 16]) -> u64 {
        let all = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = all.get(&client) {
            return count.fetch_add(1, Relaxed);
        }
        drop(all);
        let mut all = self.0.write().unwrap_or_else(PoisonError::into_inner);
        all.entry(client).or_default().fetch_add(1, Relaxed)
    }
}

pub const PASS: Decision = Decision::Pass {
    upstream: 0,
    mark: 0,
};

/// As somebody would write it into the gateway.
pub struct Native(pub Clients);

impl Filter for Native {
    type Thread = ();
    type Held = ();

    fn thread(&self) {}

    fn begin(_: &()) -> Option<()> {
        Some(())
    }

    fn request(&mut self, _: &(), client: SocketAddr, head: &mut request::Parts) -> Decision {
        let target = head.uri.path_and_query().map_or("/", |t| t.as_str());
        let target = target.as_bytes();
        for pair in target.windows(2).take(LONGEST) {
            match pair {
                [b'?', _] => break,
                b".." => return Decision::Answer(StatusCode::FORBIDDEN),
                _ => {}
            }
        }
        if target.get(1..6) == Some(b"admin") {
            return Decision::Answer(StatusCode::FORBIDDEN);
        }
        let agent = head.headers.get("user-agent");
        if agent.is_some_and(|a| a.as_bytes().starts_with(b"sqlmap")) {
            return Decision::Answer(StatusCode::FORBIDDEN);
        }
        match self.0.count(hooks::address(client)) > MOST {
            true => Decision::Answer(StatusCode::TOO_MANY_REQUESTS),
            false => PASS,
        }
    }

    fn response(&mut self, _: &(), _: &About, _: &mut response::Parts) {}
}

/// How a filter in WebAssembly is kept.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// One instance for all requests of a thread.
    Reused,
    /// The same, with a bound on what a call executes, as extensions of ours have.
    Bounded,
    /// A new instance each request, so that nothing of one is seen by the next.
    Fresh,
}

/// What the imported functions of an instance find.
struct State {
    headers: HeaderMap,
    clients: Clients,
    memory: Option<Memory>,
}

/// An instance with what is asked of it.
struct Ready {
    store: Store<State>,
    memory: Memory,
    guard: TypedFunc<i32, i32>,
    /// Of the request in its memory.
    at: usize,
}

pub struct Wasm {
    kept: Kept,
    engine: Engine,
    module: InstancePre<State>,
    clients: Clients,
    ready: Option<Ready>,
}

/// Bounds of one call, in the units of wasmtime: about an instruction each.
const FUEL: u64 = 20_000;
/// Offsets in `struct request`, and its size.
const TARGET: usize = 0;
const TARGET_END: usize = 4;
const CLIENT: usize = 8;
const PORT: usize = 24;
const METHOD: usize = 26;
const STATUS: usize = 28;
const UPSTREAM: usize = 32;
const MARK: usize = 36;
const SIZE: usize = 40;

impl Wasm {
    pub fn new(bytes: &[u8], kept: Kept, clients: Clients) -> Result<Wasm> {
        let mut config = Config::new();
        config.consume_fuel(kept == Kept::Bounded);
        if kept == Kept::Fresh {
            let pool = PoolingAllocationConfig::default();
            config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
        }
        let engine = Engine::new(&config).map_err(told)?;
        let module = Module::new(&engine, bytes).map_err(told)?;
        let mut linker: Linker<State> = Linker::new(&engine);
        linker
            .func_wrap("env", "gw_header", gw_header)
            .map_err(told)?;
        linker
            .func_wrap("env", "count_client", count_client)
            .map_err(told)?;
        let module = linker.instantiate_pre(&module).map_err(told)?;
        let mut made = Wasm {
            kept,
            engine,
            module,
            clients,
            ready: None,
        };
        made.ready = Some(made.instance()?);
        Ok(made)
    }

    fn instance(&self) -> Result<Ready> {
        let state = State {
            headers: HeaderMap::new(),
            clients: self.clients.clone(),
            memory: None,
        };
        let mut store = Store::new(&self.engine, state);
        if self.kept == Kept::Bounded {
            store.set_fuel(FUEL).map_err(told)?;
        }
        let instance = self.module.instantiate(&mut store).map_err(told)?;
        let memory = instance
            .get_memory(&mut store, "memory")
            .context("no memory")?;
        store.data_mut().memory = Some(memory);
        let place = instance
            .get_typed_func::<(), i32>(&mut store, "place")
            .map_err(told)?;
        let at = place.call(&mut store, ()).map_err(told)? as u32 as usize;
        let guard = instance.get_typed_func(&mut store, "guard").map_err(told)?;
        Ok(Ready {
            store,
            memory,
            guard,
            at,
        })
    }

    fn ask(&mut self, client: SocketAddr, head: &mut request::Parts) -> Result<Decision> {
        if self.kept == Kept::Fresh || self.ready.is_none() {
            // The pool has it back before another one is taken.
            self.ready = None;
            self.ready = Some(self.instance()?);
        }
        let ready = self.ready.as_mut().context("an instance")?;
        if self.kept == Kept::Bounded {
            ready.store.set_fuel(FUEL).map_err(told)?;
        }
        let about = Request::new(client, &head.method);
        let target = head
            .uri
            .path_and_query()
            .map_or("/", |t| t.as_str())
            .as_bytes();
        let bytes = ready.memory.data_mut(&mut ready.store);
        let place = bytes
            .get_mut(ready.at..ready.at + SIZE + 4096)
            .context("its place")?;
        let (fields, room) = place.split_at_mut(SIZE);
        let room = room.get_mut(..target.len()).context("a shorter target")?;
        room.copy_from_slice(target);
        let start = (ready.at + SIZE) as u32;
        fields[TARGET..TARGET_END].copy_from_slice(&start.to_le_bytes());
        fields[TARGET_END..CLIENT].copy_from_slice(&(start + target.len() as u32).to_le_bytes());
        fields[CLIENT..PORT].copy_from_slice(&about.client);
        fields[PORT..METHOD].copy_from_slice(&about.port.to_le_bytes());
        fields[METHOD] = about.method;
        fields[STATUS..STATUS + 2].copy_from_slice(&about.status.to_le_bytes());
        fields[UPSTREAM..SIZE].fill(0);
        std::mem::swap(&mut ready.store.data_mut().headers, &mut head.headers);
        let called = ready.guard.call(&mut ready.store, ready.at as i32);
        std::mem::swap(&mut ready.store.data_mut().headers, &mut head.headers);
        let verdict = called.map_err(told)?;
        let bytes = ready.memory.data(&ready.store);
        let word = |at: usize| {
            let found = bytes.get(ready.at + at..ready.at + at + 4);
            found
                .and_then(|b| b.try_into().ok())
                .map_or(0, u32::from_le_bytes)
        };
        Ok(match verdict {
            0 => Decision::Pass {
                upstream: word(UPSTREAM),
                mark: word(MARK),
            },
            _ => Decision::Answer(StatusCode::from_u16(word(STATUS) as u16)?),
        })
    }
}

fn told(e: wasmtime::Error) -> anyhow::Error {
    anyhow::anyhow!("{e:?}")
}

fn gw_header(
    mut caller: Caller<'_, State>,
    name: u32,
    name_len: u32,
    value: u32,
    room: u32,
) -> i64 {
    let Some(memory) = caller.data().memory else {
        return -1;
    };
    let (bytes, state) = memory.data_and_store_mut(&mut caller);
    let name = bytes.get(name as usize..name as usize + name_len as usize);
    let Some(name) = name.and_then(|n| str::from_utf8(n).ok()) else {
        return -1;
    };
    let Some(found) = state.headers.get(name) else {
        return -1;
    };
    let n = found.len().min(room as usize);
    let Some(to) = bytes.get_mut(value as usize..value as usize + n) else {
        return -1;
    };
    to.copy_from_slice(&found.as_bytes()[..n]);
    found.len() as i64
}

fn count_client(mut caller: Caller<'_, State>, client: u32) -> u64 {
    let Some(memory) = caller.data().memory else {
        return 0;
    };
    let (bytes, state) = memory.data_and_store_mut(&mut caller);
    let client = bytes.get(client as usize..client as usize + 16);
    match client.and_then(|c| c.try_into().ok()) {
        Some(client) => state.clients.count(client),
        None => 0,
    }
}

impl Filter for Wasm {
    type Thread = ();
    type Held = ();

    fn thread(&self) {}

    fn begin(_: &()) -> Option<()> {
        Some(())
    }

    fn request(&mut self, _: &(), client: SocketAddr, head: &mut request::Parts) -> Decision {
        let internal = Decision::Answer(StatusCode::INTERNAL_SERVER_ERROR);
        self.ask(client, head).unwrap_or(internal)
    }

    fn response(&mut self, _: &(), _: &About, _: &mut response::Parts) {}
}

/// Nanoseconds that a filter took, how often each.
pub struct Times(Box<[AtomicU64]>);

const LONGEST_TIME: usize = 1 << 16;

impl Times {
    pub fn new() -> Arc<Times> {
        Arc::new(Times(
            (0..LONGEST_TIME).map(|_| AtomicU64::new(0)).collect(),
        ))
    }

    pub fn add(&self, took: Duration) {
        let at = (took.as_nanos() as usize).min(LONGEST_TIME - 1);
        if let Some(n) = self.0.get(at) {
            n.fetch_add(1, Relaxed);
        }
    }

    /// The mean of the 95 of 100 that were shortest: the others hold what else the machine did meanwhile.
    pub fn mean(&self) -> f64 {
        let all: u64 = self.0.iter().map(|n| n.load(Relaxed)).sum();
        let (most, mut seen, mut sum) = (all * 95 / 100, 0, 0.0);
        for (nanoseconds, n) in self.0.iter().enumerate() {
            let n = n.load(Relaxed).min(most - seen);
            seen += n;
            sum += n as f64 * nanoseconds as f64;
        }
        sum / seen.max(1) as f64
    }
}
