//! A process killed at random moments loses no task and no picture, and draws none twice.
//!
//! This program is its own child: `kill child FOLDER` runs the queue of a folder until it is killed.

use easel_jobs::{
    Engine, EngineError, Job, Jobs, NewPicture, NewTask, Options, PictureQuery, Progress, Retention, SqliteStore,
    Status, Store, TaskId, TaskQuery,
};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

const TASKS: usize = 50;
const KILLS: u64 = 20;

struct TestEngine;

impl Engine for TestEngine {
    fn run(&mut self, job: &Job<'_>) -> Result<Vec<NewPicture>, EngineError> {
        for step in 1..=5 {
            std::thread::sleep(Duration::from_millis(2));
            job.report(Progress { step, steps: 5 }, None);
        }
        let bytes = job.task().id.to_string().repeat(1000).into();
        Ok(vec![NewPicture { bytes, media_type: "image/png".into(), seed: 0 }])
    }
}

fn jobs(folder: &Path, engines: usize) -> Jobs {
    let store = Arc::new(SqliteStore::open(folder).expect("the store opens"));
    let engines = (0..engines).map(|_| Box::new(TestEngine) as Box<dyn Engine>).collect();
    let retention = Retention { tasks: None, pictures: None };
    Jobs::start(store, engines, &Options { retention, ..Options::default() }).expect("the queue starts")
}

fn child(folder: &Path) -> Child {
    let program = std::env::current_exe().expect("this program");
    Command::new(program).arg("child").arg(folder).stdin(Stdio::null()).spawn().expect("a child")
}

/// Every task with its status, checked against the pictures.
fn check(store: &SqliteStore, accepted: &BTreeSet<TaskId>) -> BTreeMap<StatusName, usize> {
    let tasks = store.tasks(&TaskQuery::default()).expect("tasks").items;
    let ids: BTreeSet<TaskId> = tasks.iter().map(|task| task.id).collect();
    assert_eq!(ids, *accepted, "no task is lost, none is there twice");
    let mut counts = BTreeMap::new();
    for task in &tasks {
        let query = PictureQuery { task: Some(task.id), ..PictureQuery::default() };
        let pictures = store.pictures(&query).expect("pictures").items;
        let expected = usize::from(task.status == Status::Completed);
        assert_eq!(pictures.len(), expected, "{task:?}");
        for picture in &pictures {
            assert_eq!(store.read(picture).expect("the file"), task.id.to_string().repeat(1000), "the whole picture");
        }
        *counts.entry(task.status.name()).or_insert(0) += 1;
    }
    counts
}

type StatusName = &'static str;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, command, folder] = &arguments[..]
        && command == "child"
    {
        let _jobs = jobs(Path::new(folder), 1);
        loop {
            std::thread::sleep(Duration::from_secs(1));
        }
    }
    // cargo-nextest lists the tests of a program without a harness, then its ignored tests.
    if arguments.iter().any(|argument| argument == "--list") {
        if !arguments.iter().any(|argument| argument == "--ignored") {
            println!("killed_at_random_moments: test");
        }
        return;
    }

    let folder = tempfile::TempDir::new().expect("a folder");
    let accepted: BTreeSet<TaskId> = {
        let jobs = jobs(folder.path(), 0);
        let task = NewTask { prompt: "a cat".into(), ..NewTask::default() };
        (0..TASKS).map(|_| jobs.submit(&task).expect("accepted").id).collect()
    };
    let mut random = 0x2545_F491_4F6C_DD1Du64 ^ u64::from(std::process::id());
    for _ in 0..KILLS {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let mut child = child(folder.path());
        std::thread::sleep(Duration::from_micros(5_000 + (random >> 33) % 60_000));
        child.kill().expect("killed");
        child.wait().expect("gone");
        println!("{:?}", check(&SqliteStore::open(folder.path()).expect("a sound database"), &accepted));
    }
    let jobs = jobs(folder.path(), 1);
    let began = Instant::now();
    let left = || {
        let counts = jobs.counts().expect("counts");
        counts.of(Status::Pending) + counts.of(Status::Processing)
    };
    while left() > 0 {
        assert!(began.elapsed() < Duration::from_secs(60), "{} tasks have not ended", left());
        std::thread::sleep(Duration::from_millis(10));
    }
    drop(jobs);
    println!("at the end {:?}", check(&SqliteStore::open(folder.path()).expect("a sound database"), &accepted));
}
