//! Made-up models: loaded, shared, dropped and waited for by many tasks at the same time.

use super::*;
use easel_inference::pipeline::{ComponentNeeds, Needs};
use easel_inference::tensor::DeviceKind;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Weights of a model, and work of a task: two models fit, with a task each.
const WEIGHTS: u64 = 30;
const WORK: u64 = 5;
const BOUND: u64 = 70;

/// What all models of a test have in common.
#[derive(Default)]
struct World {
    /// How many of each are in memory.
    alive: Mutex<BTreeMap<String, usize>>,
    loading: AtomicUsize,
    loads: AtomicUsize,
}

/// A model, which counts as being in memory until it is dropped.
struct Fake {
    name: String,
    world: Arc<World>,
}

impl Drop for Fake {
    fn drop(&mut self) {
        *self.world.alive.lock().get_mut(&self.name).unwrap() -= 1;
    }
}

impl World {
    /// Loads a model, and checks that it is the only one that is being loaded, is not there yet, and has room.
    fn load(self: &Arc<Self>, name: &str) -> Fake {
        assert_eq!(self.loading.fetch_add(1, Ordering::SeqCst), 0, "two models are loaded at a time");
        let mut alive = self.alive.lock();
        assert!(alive.values().sum::<usize>() < 2, "{name} comes where there is no room: {alive:?}");
        let copies = alive.entry(name.to_owned()).or_default();
        *copies += 1;
        assert_eq!(*copies, 1, "{name} is loaded twice");
        drop(alive);
        thread::sleep(Duration::from_micros(300));
        self.loads.fetch_add(1, Ordering::SeqCst);
        self.loading.fetch_sub(1, Ordering::SeqCst);
        Fake { name: name.to_owned(), world: Arc::clone(self) }
    }

    fn in_memory(&self) -> Vec<String> {
        let alive = self.alive.lock();
        alive.iter().filter(|(_, copies)| **copies > 0).map(|(name, _)| name.clone()).collect()
    }
}

fn needs() -> [Needs; 1] {
    let component = ComponentNeeds { weights: WEIGHTS, loading: WEIGHTS, work: WORK, ..ComponentNeeds::default() };
    [Needs { size: [64, 64], components: vec![component] }]
}

fn manager(unload_after: Option<Duration>) -> Manager<Fake> {
    Manager::new(unload_after, ModelMetrics::default()).unwrap()
}

type Answer = Result<Lease<Fake>, Refusal<Infallible>>;

fn lease_within(manager: &Manager<Fake>, world: &Arc<World>, name: &str, memory: u64, stop: &AtomicBool) -> Answer {
    let needs = needs();
    let wanted = Wanted { model: name, device: DeviceKind::Cpu.into(), needs: &needs, ways: Keeping::ways(None) };
    let bounds = |_| Bounds { memory: Some(memory), models: usize::MAX };
    manager.lease(&wanted, bounds, || stop.load(Ordering::Relaxed), |_| Ok(world.load(name)))
}

fn lease(manager: &Manager<Fake>, world: &Arc<World>, name: &str) -> Lease<Fake> {
    lease_within(manager, world, name, BOUND, &AtomicBool::default()).ok().unwrap()
}

fn held(manager: &Manager<Fake>) -> (i64, i64) {
    let metrics = &manager.shared.metrics;
    (metrics.loaded.get(), metrics.memory.get())
}

#[test]
fn many_tasks_with_three_models_get_theirs_and_memory_holds_two() {
    let world = Arc::<World>::default();
    let manager = manager(None);
    thread::scope(|scope| {
        for client in 0..8 {
            let world = &world;
            let manager = &manager;
            scope.spawn(move || {
                for task in 0..40 {
                    let name = ["a", "b", "c"][(client * 7 + task * task) % 3];
                    let model = lease(manager, world, name);
                    assert_eq!(model.name, name);
                    let (loaded, bytes) = held(manager);
                    assert!(loaded <= 2 && bytes <= BOUND as i64, "{loaded} models, {bytes} bytes");
                }
            });
        }
    });
    assert!(world.loads.load(Ordering::SeqCst) >= 3);
    assert_eq!(held(&manager), (2, 2 * WEIGHTS as i64), "the work of all tasks is free again");
    drop(manager);
    assert!(world.in_memory().is_empty());
}

#[test]
fn the_least_recently_used_model_leaves_first() {
    let world = Arc::<World>::default();
    let manager = manager(None);
    for name in ["a", "b", "a"] {
        lease(&manager, &world, name);
    }
    lease(&manager, &world, "c");
    assert_eq!(world.in_memory(), ["a", "c"]);
    assert_eq!(world.loads.load(Ordering::SeqCst), 3);
}

#[test]
fn idle_models_leave_after_their_time_and_those_at_work_stay() {
    let world = Arc::<World>::default();
    let manager = manager(Some(Duration::from_millis(30)));
    let at_work = lease(&manager, &world, "a");
    drop(lease(&manager, &world, "b"));
    let began = Instant::now();
    while world.in_memory() != ["a"] {
        assert!(began.elapsed() < Duration::from_secs(10), "b stays");
        thread::sleep(Duration::from_millis(2));
    }
    assert!(began.elapsed() >= Duration::from_millis(25), "it stayed for some time: {:?}", began.elapsed());
    drop(at_work);
    while held(&manager) != (0, 0) {
        assert!(began.elapsed() < Duration::from_secs(10), "a stays");
        thread::sleep(Duration::from_millis(2));
    }
    assert!(manager.loaded().is_empty());
}

#[test]
fn a_failed_load_fails_its_task_alone_and_is_tried_again() {
    let world = Arc::<World>::default();
    let manager = manager(None);
    let needs = needs();
    let wanted = Wanted { model: "a", device: DeviceKind::Cpu.into(), needs: &needs, ways: Keeping::ways(None) };
    let bounds = |_| Bounds { memory: Some(BOUND), models: usize::MAX };
    let failed = manager.lease(&wanted, bounds, || false, |_| Err("no such file"));
    assert_eq!(failed.err(), Some(Refusal::Failed("no such file")));
    assert_eq!(held(&manager), (0, 0));
    let loading = std::panic::AssertUnwindSafe(|| {
        let _ = manager.lease(&wanted, bounds, || false, |_| -> Result<Fake, ()> { panic!("a wire came loose") });
    });
    assert!(std::panic::catch_unwind(loading).is_err());
    assert_eq!((held(&manager), manager.shared.metrics.failures.get()), ((0, 0), 2));
    assert_eq!(lease(&manager, &world, "a").name, "a");
}

#[test]
fn a_task_that_waits_can_be_cancelled_and_blocks_nobody() {
    let world = Arc::<World>::default();
    let manager = manager(None);
    let stop = AtomicBool::default();
    let a = lease(&manager, &world, "a");
    let b = lease(&manager, &world, "b");
    thread::scope(|scope| {
        let waiting = scope.spawn(|| lease_within(&manager, &world, "c", BOUND, &stop).err());
        while manager.shared.state.lock().line.is_empty() {
            thread::sleep(Duration::from_millis(1));
        }
        assert!(!waiting.is_finished(), "there is no room for a third");
        stop.store(true, Ordering::Relaxed);
        assert_eq!(waiting.join().unwrap(), Some(Refusal::Stopped));
    });
    drop(lease_within(&manager, &world, "a", 200, &AtomicBool::default()));
    drop((a, b));
    let refused = lease_within(&manager, &world, "c", WEIGHTS, &AtomicBool::default());
    assert_eq!(refused.err(), Some(Refusal::NoRoom(WEIGHTS)));
    lease(&manager, &world, "c");
    assert_eq!(world.in_memory(), ["b", "c"]);
}
