//! An engine controlled by its requests, and a queue in a temporary folder.

use crate::home;
use easel_jobs::{
    Engine, EngineError, Event, Job, Jobs, NewPicture, NewTask, Options, Progress, Status, Task, TaskId, WatchOptions,
    Watcher,
};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// State shared by engine and test.
#[derive(Default)]
pub(crate) struct Controls {
    /// Lets tasks with the request `hold` continue.
    pub(crate) open: AtomicBool,
    /// Steps of all tasks so far.
    pub(crate) steps: AtomicUsize,
    /// Prompts in the order in which the tasks were started.
    pub(crate) order: Mutex<Vec<String>>,
    /// The model in memory: that of the latest task, which is its prompt's first word.
    loaded: Mutex<String>,
}

/// How much longer a step of the request `slow` takes.
pub(crate) const SLOW: Duration = Duration::from_millis(400);

pub(crate) struct TestEngine(pub(crate) Arc<Controls>);

impl Engine for TestEngine {
    fn loaded(&self) -> Vec<String> {
        vec![self.0.loaded.lock().unwrap().clone()]
    }

    fn run(&mut self, job: &Job<'_>) -> Result<Vec<NewPicture>, EngineError> {
        let prompt = &job.task().prompt;
        self.0.order.lock().unwrap().push(prompt.clone());
        *self.0.loaded.lock().unwrap() = prompt.split(' ').next().unwrap_or_default().into();
        match job.request() {
            b"panic" => panic!("a wire came loose"),
            b"fail" => return Err(EngineError::Failed("out of paint".into())),
            b"keep" => {
                job.keep(picture(1));
                while !self.0.open.load(Ordering::Relaxed) {
                    self.step(job, 1, 2)?;
                }
            }
            b"slow" => {
                for step in 1..=100 {
                    self.step(job, step, 100)?;
                    std::thread::sleep(SLOW);
                }
            }
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
        Ok(vec![picture(1), picture(u64::MAX)])
    }
}

fn picture(seed: u64) -> NewPicture {
    NewPicture { bytes: vec![7; 100].into(), media_type: "image/png".into(), seed }
}

impl TestEngine {
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

/// A queue, its engines' controls, and its folder.
pub(crate) struct Fixture {
    pub(crate) jobs: Jobs,
    pub(crate) controls: Arc<Controls>,
    pub(crate) folder: TempDir,
}

pub(crate) fn fixture(engines: usize, capacity: usize) -> Fixture {
    let folder = TempDir::new().unwrap();
    let controls = Arc::new(Controls::default());
    Fixture { jobs: start(&folder, &controls, engines, capacity), controls, folder }
}

pub(crate) fn start(folder: &TempDir, controls: &Arc<Controls>, engines: usize, capacity: usize) -> Jobs {
    let store = home::store(folder);
    let engines = (0..engines).map(|_| Box::new(TestEngine(Arc::clone(controls))) as Box<dyn Engine>).collect();
    Jobs::start(store, engines, &Options { capacity, ..Options::default() }).unwrap()
}

pub(crate) fn new_task(request: &str) -> NewTask {
    NewTask { prompt: request.into(), request: request.into(), seed: u64::MAX, ..NewTask::default() }
}

impl Fixture {
    pub(crate) fn submit(&self, request: &str) -> TaskId {
        self.jobs.submit(&new_task(request)).unwrap().id
    }

    /// Waits until a task has this status, and if it is final, until watchers have seen it, a moment later.
    pub(crate) fn until(&self, id: TaskId, status: Status) -> Task {
        let mut watcher = self.jobs.watch(id, WatchOptions::default()).unwrap();
        let mut is_seen = || !status.is_end() || ended(&mut watcher);
        let began = Instant::now();
        loop {
            let task = self.jobs.task(id).unwrap();
            if task.status == status && is_seen() {
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

/// Whether the watcher has received the last event.
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
