//! C source → WebAssembly → wasmtime's function.

use std::hint::black_box;
use std::time::Duration;

use wasmtime::{Engine, Instance, Memory, Module, Store, TypedFunc};

use crate::source::Shape;
use crate::{Answer, Function, Prepared, Subject, Tools, clock, timed};

const COMPILATIONS: usize = 5;

pub fn prepare(subject: &Subject, tools: &Tools) -> Prepared {
    let source = subject.source.as_ref().ok_or("it has no source in C")?;
    let (file, _) = tools.compile(source, Shape::Wasm)?;
    let bytes = std::fs::read(file).map_err(|e| e.to_string())?;
    let engine = Engine::default();
    let text = |e: wasmtime::Error| e.to_string();
    let (module, took) = timed(COMPILATIONS, &tools.gauge, || {
        Module::new(&engine, &bytes).map_err(text)
    })?;
    let mut store = Store::new(&engine, ());
    let instance = Instance::new(&mut store, &module, &[]).map_err(text)?;
    let memory = instance.get_memory(&mut store, "memory");
    let memory = memory.ok_or("the module exports no memory")?;
    let heap = instance.get_global(&mut store, "__heap_base");
    let heap = heap.and_then(|g| g.get(&mut store).i32());
    let at = (heap.ok_or("the module exports no heap")? as u32 as usize).next_multiple_of(64);
    let needed = (at + subject.input.len()).div_ceil(1 << 16) as u64;
    let there = memory.size(&store);
    if needed > there {
        memory.grow(&mut store, needed - there).map_err(text)?;
    }
    let function = instance.get_typed_func(&mut store, &source.name);
    let function = Wasm {
        function: function.map_err(text)?,
        store,
        memory,
        at,
        input: subject.input.clone(),
    };
    Ok((Box::new(function), took))
}

struct Wasm {
    store: Store<()>,
    function: TypedFunc<(i32, i64), i64>,
    memory: Memory,
    at: usize,
    input: Vec<u8>,
}

impl Wasm {
    #[inline(always)]
    fn call(&mut self) -> Result<i64, wasmtime::Error> {
        let arguments = (self.at as i32, self.input.len() as i64);
        self.function.call(&mut self.store, arguments)
    }
}

impl Function for Wasm {
    fn once(&mut self) -> Result<Answer, String> {
        let written = self.memory.write(&mut self.store, self.at, &self.input);
        written.map_err(|e| e.to_string())?;
        let ret = self.call().map_err(|e| e.to_string())? as u32;
        let mut memory = vec![0; self.input.len()];
        let read = self.memory.read(&self.store, self.at, &mut memory);
        read.map_err(|e| e.to_string())?;
        Ok(Answer { ret, memory })
    }

    fn batch(&mut self, runs: u64) -> Result<Duration, String> {
        let mut failed = false;
        let took = clock::batch(runs, || failed |= black_box(self.call()).is_err());
        match failed {
            true => Err("a call failed".into()),
            false => Ok(took),
        }
    }
}
