//! An engine that does as its request says, and a queue in a folder of its own.

use easel_jobs::{
    Engine, EngineError, Event, Job, Jobs, NewPicture, NewTask, Options, Priority, Progress, SqliteStore, Status, Task,
    TaskId, WatchOptions, Watcher,
};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// What engine and test share.
#[derive(Default)]
pub(crate) struct Stage {
    /// Lets tasks with the request `hold` go on.
    pub(crate) open: AtomicBool,
    /// Steps of all tasks so far.
    pub(crate) steps: AtomicUsize,
    /// Prompts in the order in which they were taken up.
    pub(crate) order: Mutex<Vec<String>>,
}

pub(crate) struct Puppet(pub(crate) Arc<Stage>);

impl Engine for Puppet {
    fn run(&mut self, job: &Job<'_>) -> Result<Vec<NewPicture>, EngineError> {
        self.0.order.lock().unwrap().push(job.task().prompt.clone());
        match job.request() {
            b"panic" => panic!("a wire came loose"),
            b"fail" => return Err(EngineError::Failed("out of paint".into())),
            b"deaf" => std::thread::sleep(Duration::from_secs(1)),
            b"hold" => {
                while !self.0.open.load(Ordering::Relaxed) {
                    self.step(job, 1, 2)?;
                }
            }
            steps => {
                let steps = std::str::from_utf8(steps).unwrap().parse().unwrap();
                for step in 1..=steps {
                    self.step(job, step, steps)?;
                }
            }
        }
        let picture = |seed| NewPicture { bytes: vec![7; 100].into(), media_type: "image/png".into(), seed };
        Ok(vec![picture(1), picture(u64::MAX)])
    }
}

impl Puppet {
    fn step(&self, job: &Job<'_>, step: u32, steps: u32) -> Result<(), EngineError> {
        if job.should_stop() {
            return Err(EngineError::Stopped);
        }
        std::thread::sleep(Duration::from_millis(2));
        self.0.steps.fetch_add(1, Ordering::Relaxed);
        let preview = job.wants_previews().then(|| vec![step as u8].into());
        job.report(Progress { step, steps }, preview);
        Ok(())
    }
}

/// A queue, the stage of its engines, and its folder.
pub(crate) struct Theatre {
    pub(crate) jobs: Jobs,
    pub(crate) stage: Arc<Stage>,
    pub(crate) folder: TempDir,
}

pub(crate) fn theatre(engines: usize, capacity: usize) -> Theatre {
    let folder = TempDir::new().unwrap();
    let stage = Arc::new(Stage::default());
    Theatre { jobs: start(&folder, &stage, engines, capacity), stage, folder }
}

pub(crate) fn start(folder: &TempDir, stage: &Arc<Stage>, engines: usize, capacity: usize) -> Jobs {
    let store = Arc::new(SqliteStore::open(folder.path()).unwrap());
    let puppets = (0..engines).map(|_| Box::new(Puppet(Arc::clone(stage))) as Box<dyn Engine>).collect();
    Jobs::start(store, puppets, &Options { capacity, ..Options::default() }).unwrap()
}

pub(crate) fn new_task(request: &str) -> NewTask {
    NewTask { prompt: request.into(), request: request.into(), priority: Priority::Normal, seed: u64::MAX, steps: 0 }
}

impl Theatre {
    pub(crate) fn submit(&self, request: &str) -> TaskId {
        self.jobs.submit(&new_task(request)).unwrap().id
    }

    /// Waits until a task has this status; if that is its end, until watchers know of it, too, which is a moment later.
    pub(crate) fn until(&self, id: TaskId, status: Status) -> Task {
        let mut watcher = self.jobs.watch(id, WatchOptions::default()).unwrap();
        let mut told = || !status.is_end() || ended(&mut watcher);
        let began = Instant::now();
        loop {
            let task = self.jobs.task(id).unwrap();
            if task.status == status && told() {
                return task;
            }
            assert!(began.elapsed() < Duration::from_secs(20), "{task:?} is not {status}");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// All events from now to the end of a task.
    pub(crate) async fn events(&self, id: TaskId) -> Vec<Event> {
        let mut watcher = self.jobs.watch(id, WatchOptions::default()).unwrap();
        let mut events = Vec::new();
        while let Some(event) = watcher.next().await {
            events.push(event);
        }
        events
    }
}

/// Whether the watcher has seen the last event, after all that are there for it now.
fn ended(watcher: &mut Watcher) -> bool {
    let mut context = Context::from_waker(Waker::noop());
    loop {
        match pin!(watcher.next()).poll(&mut context) {
            Poll::Ready(Some(_)) => {}
            Poll::Ready(None) => return true,
            Poll::Pending => return false,
        }
    }
}
