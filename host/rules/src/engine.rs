//! One engine for all tenants: settings of the sandbox, the clock that stops
//! what runs too long, and the places in which components may run.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use wasmtime::{Config, Enabled, InstanceAllocationStrategy, ModuleVersionStrategy, PoolingAllocationConfig};

use crate::cache::{Cache, CacheSettings};
use crate::component::{self, Component, Refused};
use crate::limits::{self, Limits};

/// What an operator decides about the sandbox.
#[derive(Debug, Clone)]
pub struct EngineSettings {
    /// `None` compiles at every start.
    pub cache: Option<CacheSettings>,
    /// Components that may run at the same moment; further calls wait.
    pub live_instances_max: u32,
}

#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The machine cannot run the sandbox: too little address space, or a
    /// processor that wasmtime does not know.
    #[error("the sandbox for rules cannot be set up: {0}")]
    Machine(String),
    #[error("the folder for compiled rules cannot be used: {0}")]
    CacheFolder(#[from] std::io::Error),
    #[error("the thread that watches the time of rules cannot be started: {0}")]
    Clock(std::io::Error),
}

/// The full version: a security fix of wasmtime must not run code compiled before it.
pub(crate) const WASMTIME_VERSION: &str = "48.0.8";

/// Loads components and runs them. One per process.
#[derive(Debug)]
pub struct Engine {
    pub(crate) shared: Arc<Shared>,
    loaded: Mutex<HashMap<(String, Limits), Weak<Component>>>,
}

/// What running components hold on to.
pub(crate) struct Shared {
    pub wasm: wasmtime::Engine,
    pub linker: component::RulesLinker,
    pub cache: Option<Cache>,
    pub gate: Arc<Gate>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("cache", &self.cache).finish_non_exhaustive()
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.gate.close();
    }
}

impl Engine {
    pub fn new(settings: EngineSettings) -> Result<Self, EngineError> {
        let places = settings.live_instances_max.max(1);
        // Reserving 4 GiB of addresses per place saves bounds checks; where the
        // machine does not grant that much, checks are compiled in instead.
        let wasm = wasmtime::Engine::new(&config(places, None))
            .or_else(|_| wasmtime::Engine::new(&config(places, Some(limits::MEMORY_BYTES_CEILING as u64))))
            .map_err(|error| EngineError::Machine(format!("{error:#}")))?;
        let linker = component::linker(&wasm).map_err(|error| EngineError::Machine(format!("{error:#}")))?;
        let cache = match &settings.cache {
            Some(cache) => Some(Cache::open(cache, engine_id(&wasm))?),
            None => None,
        };
        let gate = Arc::new(Gate::new(places));
        start_clock(&wasm, gate.clone()).map_err(EngineError::Clock)?;
        Ok(Self {
            shared: Arc::new(Shared { wasm, linker, cache, gate }),
            loaded: Mutex::new(HashMap::new()),
        })
    }

    /// Checks a file and makes it ready to run. The same bytes under the same
    /// limits are compiled once and shared for as long as anyone uses them.
    pub fn load(&self, bytes: &[u8], limits: Limits) -> Result<Arc<Component>, Refused> {
        let key = (component::digest(bytes), limits);
        if let Some(known) = lock(&self.loaded).get(&key).and_then(Weak::upgrade) {
            return Ok(known);
        }
        let fresh = Arc::new(component::load(&self.shared, bytes, &key.0, key.1.clone())?);
        let mut loaded = lock(&self.loaded);
        loaded.retain(|_, known| known.strong_count() > 0);
        loaded.insert(key, Arc::downgrade(&fresh));
        Ok(fresh)
    }
}

fn config(places: u32, memory_reservation: Option<u64>) -> Config {
    // Between two batches memory is cleared rather than given back, since getting it
    // again page by page costs more than the rules do. Where the kernel cannot say
    // which pages are dirty, all that is kept is cleared, so little is kept.
    let keep_resident = match PoolingAllocationConfig::is_pagemap_scan_available() {
        true => 4 << 20,
        false => 256 << 10,
    };
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(places)
        .total_core_instances(places * limits::CORE_INSTANCES_MAX)
        .total_memories(places * limits::MEMORIES_MAX)
        .total_tables(places * limits::TABLES_MAX)
        .max_core_instances_per_component(limits::CORE_INSTANCES_MAX)
        .max_memories_per_component(limits::MEMORIES_MAX)
        .max_tables_per_component(limits::TABLES_MAX)
        .max_memory_size(limits::MEMORY_BYTES_CEILING)
        .table_elements(limits::TABLE_ELEMENTS_MAX)
        .linear_memory_keep_resident(keep_resident)
        .pagemap_scan(Enabled::Auto)
        .table_keep_resident(16 << 10)
        .max_unused_warm_slots(places);
    let mut config = Config::new();
    config
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool))
        .consume_fuel(true)
        .epoch_interruption(true)
        .max_wasm_stack(limits::WASM_STACK_BYTES)
        .cranelift_nan_canonicalization(true)
        .concurrency_support(false)
        .wasm_relaxed_simd(false)
        .wasm_memory64(false)
        .wasm_multi_memory(false)
        .wasm_backtrace_details(wasmtime::WasmBacktraceDetails::Enable)
        .module_version(ModuleVersionStrategy::Custom(WASMTIME_VERSION.to_owned()))
        .expect("a version is shorter than 255 bytes");
    if let Some(bytes) = memory_reservation {
        config.memory_reservation(bytes).memory_guard_size(64 << 10);
    }
    config
}

fn engine_id(wasm: &wasmtime::Engine) -> String {
    let mut hasher = DefaultHasher::new();
    wasm.precompile_compatibility_hash().hash(&mut hasher);
    format!("{WASMTIME_VERSION}-{:016x}", hasher.finish())
}

/// Counts the time of running components in ticks. Sleeps while none runs and
/// ends with the engine.
fn start_clock(wasm: &wasmtime::Engine, gate: Arc<Gate>) -> std::io::Result<()> {
    let engine = wasm.weak();
    std::thread::Builder::new().name("rules-clock".to_owned()).spawn(move || {
        while gate.wait_until_busy() {
            std::thread::sleep(Duration::from_millis(limits::TICK_MS));
            match engine.upgrade() {
                Some(engine) => engine.increment_epoch(),
                None => return,
            }
        }
    })?;
    Ok(())
}

/// The places in the pool. Whoever finds none free waits.
#[derive(Debug)]
pub(crate) struct Gate {
    places: u32,
    state: Mutex<GateState>,
    freed: Condvar,
    busy: Condvar,
}

#[derive(Debug, Default)]
struct GateState {
    taken: u32,
    closed: bool,
}

/// A place in the pool, given back when dropped.
#[derive(Debug)]
pub(crate) struct Place(Arc<Gate>);

impl Gate {
    fn new(places: u32) -> Self {
        Self { places, state: Mutex::default(), freed: Condvar::new(), busy: Condvar::new() }
    }

    /// `None` where none came free in time.
    pub fn enter(self: &Arc<Self>, wait: Duration) -> Option<Place> {
        let state = lock(&self.state);
        let full = |state: &mut GateState| state.taken >= self.places;
        let (mut state, waited) =
            self.freed.wait_timeout_while(state, wait, full).unwrap_or_else(PoisonError::into_inner);
        if waited.timed_out() {
            return None;
        }
        state.taken += 1;
        if state.taken == 1 {
            self.busy.notify_all();
        }
        Some(Place(self.clone()))
    }

    /// Returns once a place is taken; false where the engine is gone.
    fn wait_until_busy(&self) -> bool {
        let mut state = lock(&self.state);
        while state.taken == 0 && !state.closed {
            state = self.busy.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        !state.closed
    }

    fn close(&self) {
        lock(&self.state).closed = true;
        self.busy.notify_all();
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        lock(&self.0.state).taken -= 1;
        self.0.freed.notify_one();
    }
}

/// The data behind our locks is valid between any two statements, so a panic
/// elsewhere does not make it unusable.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_in_the_cache_key_is_the_one_that_is_linked() {
        let lock = include_str!("../../../Cargo.lock");
        assert!(lock.contains(&format!("name = \"wasmtime\"\nversion = \"{WASMTIME_VERSION}\"\n")));
    }

    #[test]
    fn who_finds_no_place_waits_and_then_gives_up() {
        let gate = Arc::new(Gate::new(1));
        let place = gate.enter(Duration::ZERO);
        assert!(place.is_some());
        assert!(gate.enter(Duration::from_millis(5)).is_none());
        drop(place);
        assert!(gate.enter(Duration::ZERO).is_some());
    }

    #[test]
    fn the_clock_ends_with_the_engine() {
        let gate = Arc::new(Gate::new(1));
        let waiting = gate.clone();
        let clock = std::thread::spawn(move || waiting.wait_until_busy());
        gate.close();
        assert!(!clock.join().unwrap());
    }
}
