//! Measures queues: how the throughput grows with the number of hosts, and what claims and pages cost among many tasks, in
//! the store of one host and in that of several.
//!
//! `cargo xtask bench serve cluster`. Needs PostgreSQL.

#[path = "../tests/cluster/server.rs"]
mod server;

use easel_jobs::{
    Cluster, Engine, EngineError, Job, Jobs, NewPicture, NewTask, Options, PictureQuery, PostgresStore, Preference,
    Progress, Retention, SqliteStore, Status, Store, TaskId, TaskQuery,
};
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How many tasks wait while claims are measured, and how many pictures there are.
const ROWS: usize = 100_000;

/// Tasks of each host.
const TASKS: usize = 60;

/// Engines of each host.
const ENGINES: usize = 2;

/// Steps of a task, and how long each takes: as much as on a fast GPU.
const STEPS: u32 = 10;
const STEP: Duration = Duration::from_millis(50);

/// What is aimed at: the throughput of several hosts in that of one, and the medians of a claim and a page.
const SCALING: f64 = 0.95;
const CLAIM: Duration = Duration::from_millis(5);
const PAGE: Duration = Duration::from_millis(50);

/// Models of the waiting tasks.
const MODELS: usize = 10;

/// An engine that only sleeps.
struct Sleeper;

impl Engine for Sleeper {
    fn run(&mut self, job: &Job<'_>) -> Result<Vec<NewPicture>, EngineError> {
        for step in 1..=STEPS {
            thread::sleep(STEP);
            job.report(Progress { step, steps: STEPS }, None);
        }
        Ok(vec![NewPicture { bytes: vec![7; 100 << 10].into(), media_type: "image/png".into(), seed: 7 }])
    }
}

fn main() {
    let Some(server) = server::server() else { return };
    throughput(server);
    let folder = TempDir::new().expect("a folder");
    let sqlite = SqliteStore::open(folder.path()).expect("the store opens");
    fill_sqlite(folder.path());
    costs("SQLite", &sqlite);
    let pictures = TempDir::new().expect("a folder");
    let name = server.make_database();
    let postgres = PostgresStore::open(&cluster(server, &name, &pictures)).expect("the store opens");
    fill_postgres(server, &name);
    costs("PostgreSQL", &postgres);
}

fn cluster(server: &server::Server, name: &str, pictures: &TempDir) -> Cluster {
    let pictures = format!("file://{}", pictures.path().display());
    Cluster { database: server.url(name), pictures, lease: Duration::from_secs(30) }
}

fn throughput(server: &server::Server) {
    let ideal = ENGINES as f64 / (STEP.as_secs_f64() * f64::from(STEPS));
    let mut alone = 0.0;
    for count in [1, 2, 4] {
        let pictures = TempDir::new().expect("a folder");
        let cluster = cluster(server, &server.make_database(), &pictures);
        let front = PostgresStore::open(&cluster).expect("the store opens");
        let began = Instant::now();
        for _ in 0..TASKS * count {
            front.submit(&NewTask::default(), TASKS * count).expect("accepted");
        }
        let submitted = began.elapsed() / u32::try_from(TASKS * count).expect("few tasks");
        let stores: Vec<_> = (0..count).map(|_| PostgresStore::open(&cluster).expect("the store opens")).collect();
        let began = Instant::now();
        let hosts: Vec<Jobs> = stores.into_iter().map(host).collect();
        while front.counts().expect("counts").of(Status::Completed) < TASKS * count {
            thread::sleep(Duration::from_millis(20));
        }
        let rate = (TASKS * count) as f64 / began.elapsed().as_secs_f64();
        drop(hosts);
        if count == 1 {
            alone = rate;
        }
        let scaling = rate / (alone * count as f64);
        println!(
            "{count} hosts: {rate:6.1} tasks/s, {:.2} of sleeping alone, {scaling:.2} of {count} times one host (aim {SCALING}: \
             {}); a submission {submitted:?}",
            rate / (ideal * count as f64),
            verdict(scaling >= SCALING)
        );
    }
}

fn host(store: PostgresStore) -> Jobs {
    let engines = (0..ENGINES).map(|_| Box::new(Sleeper) as Box<dyn Engine>).collect();
    let retention = Retention { tasks: None, pictures: None };
    Jobs::start(Arc::new(store), engines, &Options { retention, ..Options::default() }).expect("the queue starts")
}

fn fill_sqlite(root: &Path) {
    let database = rusqlite::Connection::open(root.join("easel.db")).expect("the database");
    let fill = format!(
        "WITH RECURSIVE place (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM place WHERE n < {ROWS})
         INSERT INTO task (id, status, priority, prompt, seed, request, model, created_at)
         SELECT printf('%08x-0000-4000-8000-000000000000', n), 'pending', n % 3, 'a cat', n, zeroblob(300),
             'model-' || (n % {MODELS}), n FROM place;
         WITH RECURSIVE place (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM place WHERE n < {ROWS})
         INSERT INTO picture (task, number, prompt, seed, media_type, length, digest, created_at)
         SELECT printf('%08x-0000-4000-8000-000000000000', n), 0, 'a cat', n, 'image/png', 7, '', n FROM place;"
    );
    database.execute_batch(&fill).expect("rows");
}

fn fill_postgres(server: &server::Server, name: &str) {
    let id = "(lpad(to_hex(n), 8, '0') || '-0000-4000-8000-000000000000')::uuid";
    let tasks = format!(
        "INSERT INTO task (id, status, priority, prompt, seed, request, model)
         SELECT {id}, 'pending', n % 3, 'a cat', n, decode(repeat('00', 300), 'hex'), 'model-' || (n % {MODELS})
         FROM generate_series(1, {ROWS}) AS n"
    );
    let pictures = format!(
        "INSERT INTO picture (task, number, object, prompt, seed, media_type, length, digest)
         SELECT {id}, 0, 'a', 'a cat', n, 'image/png', 7, '' FROM generate_series(1, {ROWS}) AS n"
    );
    for statement in [tasks.as_str(), pictures.as_str(), "VACUUM ANALYZE"] {
        server.sql(name, statement);
    }
}

fn costs(name: &str, store: &dyn Store) {
    // Nothing is loaded, a model that tasks wait for, and one that none waits for.
    for (what, models) in [("a claim", &[][..]), ("a claim by model", &["model-7"]), ("a claim, no task", &["model-x"])]
    {
        let models = models.iter().map(|model| (*model).to_owned()).collect();
        let preference = Preference { models, due: Vec::new() };
        report(name, what, CLAIM, || {
            store.claim(&preference).expect("an answer").expect("a task");
        });
    }
    for offset in [0, ROWS / 2] {
        let query = TaskQuery { status: None, limit: 100, offset };
        let tasks = || {
            let page = store.tasks(&query).expect("a page");
            let ids: Vec<TaskId> = page.items.iter().map(|task| task.id).collect();
            assert_eq!(store.standings(&ids).expect("standings").len(), 100);
        };
        report(name, &format!("100 tasks from {offset} on"), PAGE, tasks);
        let query = PictureQuery { task: None, limit: 100, offset };
        report(name, &format!("100 pictures from {offset} on"), PAGE, || {
            assert_eq!(store.pictures(&query).expect("a page").items.len(), 100);
        });
    }
}

fn verdict(is_met: bool) -> &'static str {
    if is_met { "met" } else { "MISSED" }
}

/// Prints the median and the slowest of 50 runs, and whether the median is below what is aimed at.
fn report(store: &str, what: &str, aim: Duration, mut run: impl FnMut()) {
    let mut took: Vec<Duration> = (0..50)
        .map(|_| {
            let began = Instant::now();
            run();
            began.elapsed()
        })
        .collect();
    took.sort_unstable();
    println!(
        "{store:10} {what:26} median {:8.2?}  slowest {:8.2?}  aim {aim:?}: {}",
        took[25],
        took[49],
        verdict(took[25] < aim)
    );
}
