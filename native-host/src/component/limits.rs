//! The limits of an instance of the component.

use std::time::{Duration, Instant};
use wasmtime::{Config, InstanceAllocationStrategy, PoolingAllocationConfig, StoreLimits, StoreLimitsBuilder};

/// How often running components are checked.
pub(super) const TICK: Duration = Duration::from_millis(10);

/// The most core modules, tables and memories of one component: the program itself and the adapters of its imports.
const CORE_INSTANCES: u32 = 16;
const TABLES: u32 = 8;
const MEMORIES: u32 = 2;

/// The limits of the instances of a component.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The most concurrent instances.
    pub instances: u32,
    /// The most requests that one instance answers in its lifetime.
    pub requests: usize,
    /// The most requests that one instance answers at the same time. A trap ends all of them.
    pub concurrent_requests: usize,
    /// Bytes of linear memory.
    pub memory: usize,
    /// Elements of tables.
    pub table_elements: usize,
    /// How long it may compute without a pause.
    pub computing: Duration,
    /// How long it has to answer a request.
    pub answering: Duration,
    /// How long it may continue streaming answers after the last request.
    pub streaming: Duration,
    /// How long it is kept while idle.
    pub idle: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            instances: 256,
            requests: 1024,
            concurrent_requests: 16,
            memory: 256 << 20,
            table_elements: 100_000,
            computing: Duration::from_secs(5),
            answering: Duration::from_secs(15 * 60),
            streaming: Duration::from_secs(60 * 60),
            idle: Duration::from_secs(10),
        }
    }
}

impl Limits {
    /// For an engine whose instances take their memory from a pool.
    pub(super) fn pooling(&self) -> Config {
        let mut pool = PoolingAllocationConfig::new();
        pool.total_component_instances(self.instances)
            .total_core_instances(self.instances.saturating_mul(CORE_INSTANCES))
            .max_core_instances_per_component(CORE_INSTANCES)
            .total_memories(self.instances.saturating_mul(MEMORIES))
            .max_memories_per_component(MEMORIES)
            .total_tables(self.instances.saturating_mul(TABLES))
            .max_tables_per_component(TABLES)
            .table_elements(self.table_elements)
            .total_stacks(self.instances.saturating_mul(2))
            .max_memory_size(self.memory);
        let mut config = Self::on_demand();
        config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
        config
    }

    /// For an engine on a machine whose address space is too small for a pool.
    pub(super) fn on_demand() -> Config {
        let mut config = Config::new();
        config.epoch_interruption(true);
        config
    }

    /// For the memories and tables of one store.
    pub(super) fn store(&self) -> StoreLimits {
        StoreLimitsBuilder::new().memory_size(self.memory).table_elements(self.table_elements).build()
    }
}

/// Tells computing without a pause from many short turns.
///
/// A turn ends when the guest returns to the host. A busy instance computes at every tick, in another turn each time. A
/// guest may also wait inside a call; then it is not seen for some ticks.
#[derive(Debug)]
pub(super) struct Turn {
    began: Instant,
    seen: Instant,
    /// Calls of the guest that have not returned. A function that the guest calls may call the guest again.
    calls: u32,
}

impl Turn {
    pub(super) fn new(now: Instant) -> Self {
        Self { began: now, seen: now, calls: 0 }
    }

    /// The host calls the guest.
    pub(super) fn enter(&mut self, now: Instant) {
        if self.calls == 0 {
            self.began = now;
        }
        self.calls += 1;
    }

    /// The guest returns to the host.
    pub(super) fn leave(&mut self) {
        self.calls = self.calls.saturating_sub(1);
    }

    /// Called if the guest is computing at a tick. Returns how long it has been computing without a pause.
    pub(super) fn seen(&mut self, now: Instant) -> Duration {
        if now.duration_since(self.seen) > 3 * TICK {
            self.began = now;
        }
        self.seen = now;
        now.duration_since(self.began)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_begins_a_new_turn() {
        let start = Instant::now();
        let mut turn = Turn::new(start);
        let at = |ticks: u32| start + ticks * TICK;
        for tick in 1..=100 {
            assert_eq!(turn.seen(at(tick)), tick * TICK);
        }
        assert_eq!(turn.seen(at(110)), Duration::ZERO);
        assert_eq!(turn.seen(at(111)), TICK);
    }

    #[test]
    fn a_call_that_returned_ends_a_turn_but_a_nested_one_does_not() {
        let start = Instant::now();
        let mut turn = Turn::new(start);
        let at = |ticks: u32| start + ticks * TICK;
        turn.enter(at(0));
        for tick in 1..=10 {
            turn.enter(at(tick));
            turn.leave();
            assert_eq!(turn.seen(at(tick)), tick * TICK);
        }
        turn.leave();
        turn.enter(at(11));
        assert_eq!(turn.seen(at(12)), TICK);
    }
}
