//! Hosts on one queue that are killed, stopped for longer than their leases, and cut off from the database: every task ends
//! once, with its pictures.
//!
//! This program is its own child: `hosts child DATABASE PICTURES LEASE` is a host until it is killed. It writes a line for
//! each task that it has drawn. `EASEL_HOSTS_TASKS` is the number of tasks. The pictures are in a folder, or in S3 if there is
//! a server for it (`EASEL_MOTO`).

#[path = "cluster/s3.rs"]
mod s3;
#[path = "cluster/server.rs"]
mod server;

use easel_jobs::{
    Cluster, Engine, EngineError, Job, Jobs, NewPicture, NewTask, Options, Picture, PictureQuery, PostgresStore,
    Preference, Progress, Retention, Status, Store, TaskId, TaskQuery,
};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How many tasks there are if `EASEL_HOSTS_TASKS` does not say so.
const TASKS: usize = 60;

/// The scheme of a folder.
const FOLDER: &str = "file://";

/// Engines of each host.
const ENGINES: usize = 2;

/// The lease of a host, in seconds.
const LEASE: u64 = 2;

/// Steps of a task, and how long each takes.
const STEPS: u32 = 10;
const STEP: Duration = Duration::from_millis(25);

struct TestEngine;

impl Engine for TestEngine {
    fn run(&mut self, job: &Job<'_>) -> Result<Vec<NewPicture>, EngineError> {
        // It does not stop when its task is lost, so that it is the store that must refuse what comes late.
        for step in 1..=STEPS {
            thread::sleep(STEP);
            job.report(Progress { step, steps: STEPS }, None);
        }
        let id = job.task().id;
        println!("drawn {id}");
        let host = std::process::id();
        let picture =
            |number| NewPicture { bytes: text(id, number, host).into(), media_type: "image/png".into(), seed: 0 };
        Ok(vec![picture(0), picture(1)])
    }
}

/// What a picture says: whole, its own, and of the host that drew it.
fn text(task: TaskId, number: u32, host: u32) -> String {
    format!("{task} {number} {host} ").repeat(500)
}

/// Notes every time that a task ends.
const NOTE_ENDS: &str = "
    CREATE TABLE ended (task uuid);
    CREATE FUNCTION note_end() RETURNS trigger LANGUAGE plpgsql AS
        'BEGIN INSERT INTO ended VALUES (NEW.id); RETURN NULL; END';
    CREATE TRIGGER note_end AFTER UPDATE ON task FOR EACH ROW
        WHEN (OLD.status <> NEW.status AND NEW.status IN ('completed', 'cancelled', 'error')) EXECUTE FUNCTION note_end();";

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, command, database, pictures, lease] = &arguments[..]
        && command == "child"
    {
        let lease = Duration::from_secs(lease.parse().expect("seconds"));
        host(&Cluster { database: database.clone(), pictures: pictures.clone(), lease });
    }
    // cargo-nextest lists the tests of a program without a harness, then its ignored tests.
    if arguments.iter().any(|argument| argument == "--list") {
        if !arguments.iter().any(|argument| argument == "--ignored") {
            println!("hosts_that_fail: test");
        }
        return;
    }
    if let [_, command, pictures] = &arguments[..]
        && command == "run"
    {
        return hosts_that_fail(pictures);
    }
    match s3::S3::start() {
        None => {
            let folder = TempDir::new().expect("a folder");
            hosts_that_fail(&format!("{FOLDER}{}", folder.path().display()));
        }
        // Hosts take its address from the environment, which a process sets for its children only.
        Some(server) => {
            let program = std::env::current_exe().expect("this program");
            let run = Command::new(program).arg("run").arg(server.url()).envs(server.environment()).status();
            assert!(run.expect("a child").success());
        }
    }
}

/// A host, until it is killed.
fn host(cluster: &Cluster) -> ! {
    let store = Arc::new(PostgresStore::open(cluster).expect("the store opens"));
    let engines = (0..ENGINES).map(|_| Box::new(TestEngine) as Box<dyn Engine>).collect();
    let retention = Retention { tasks: None, pictures: None };
    let _jobs = Jobs::start(store, engines, &Options { retention, ..Options::default() }).expect("the queue starts");
    loop {
        thread::sleep(Duration::from_secs(1));
    }
}

/// A host in a process of its own, which ends with this one.
struct Host {
    child: Child,
    /// The tasks that it has drawn.
    drawn: Arc<Mutex<Vec<TaskId>>>,
}

impl Host {
    fn start(cluster: &Cluster) -> Self {
        let program = std::env::current_exe().expect("this program");
        let mut command = Command::new(program);
        command.arg("child").arg(&cluster.database).arg(&cluster.pictures).arg(cluster.lease.as_secs().to_string());
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("a child");
        let lines = BufReader::new(child.stdout.take().expect("its output")).lines();
        let drawn = Arc::<Mutex<Vec<TaskId>>>::default();
        let own = Arc::clone(&drawn);
        thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let id = line.strip_prefix("drawn ").expect("a line about a task").parse().expect("an id");
                own.lock().expect("not poisoned").push(id);
            }
        });
        Self { child, drawn }
    }

    fn signal(&self, name: &str) {
        assert!(Command::new("kill").args([name, &self.child.id().to_string()]).status().expect("kill").success());
    }

    /// The tasks that it has drawn although another host's pictures were kept.
    fn refused(&self, kept: &BTreeMap<TaskId, u32>) -> usize {
        self.drawn().iter().filter(|task| kept[task] != self.child.id()).count()
    }

    fn drawn(&self) -> Vec<TaskId> {
        self.drawn.lock().expect("not poisoned").clone()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Passes connections on to the server's socket, until they are cut.
struct Proxy {
    address: String,
    is_cut: Arc<AtomicBool>,
    open: Arc<Mutex<Vec<(TcpStream, UnixStream)>>>,
}

impl Proxy {
    fn start(socket: PathBuf) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let is_cut = Arc::<AtomicBool>::default();
        let open = Arc::<Mutex<Vec<(TcpStream, UnixStream)>>>::default();
        let own = Self { address, is_cut: Arc::clone(&is_cut), open: Arc::clone(&open) };
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if !is_cut.load(Ordering::SeqCst) {
                    let server = UnixStream::connect(&socket).expect("the server");
                    copy(&client, &server);
                    open.lock().expect("not poisoned").push((client, server));
                }
            }
        });
        own
    }

    /// Drops all connections, and every new one until `restore`.
    fn cut(&self) {
        self.is_cut.store(true, Ordering::SeqCst);
        for (client, server) in self.open.lock().expect("not poisoned").drain(..) {
            let _ = client.shutdown(Shutdown::Both);
            let _ = server.shutdown(Shutdown::Both);
        }
    }

    fn restore(&self) {
        self.is_cut.store(false, Ordering::SeqCst);
    }
}

fn copy(client: &TcpStream, server: &UnixStream) {
    let pass = |mut from: Box<dyn Read + Send>, mut to: Box<dyn Write + Send>| {
        thread::spawn(move || io::copy(&mut from, &mut to));
    };
    let client = || client.try_clone().expect("a handle");
    let server = || server.try_clone().expect("a handle");
    pass(Box::new(client()), Box::new(server()));
    pass(Box::new(server()), Box::new(client()));
}

fn hosts_that_fail(pictures: &str) {
    let count = std::env::var("EASEL_HOSTS_TASKS").map_or(TASKS, |text| text.parse().expect("a number of tasks"));
    let Some(server) = server::server() else { return };
    let name = server.make_database();
    let lease = Duration::from_secs(LEASE);
    let direct = Cluster { database: server.url(&name), pictures: pictures.to_owned(), lease };
    let proxy = Proxy::start(server.socket());
    let database = format!("postgres://easel@{}/{name}", proxy.address);
    let through = Cluster { database, ..direct.clone() };
    let front = PostgresStore::open(&direct).expect("the store opens");
    server.sql(&name, NOTE_ENDS);
    let submit = |_| front.submit(&NewTask::default(), count).expect("accepted").id;
    let mut accepted: BTreeSet<TaskId> = (0..count).map(submit).collect();

    let killed = Host::start(&direct);
    let stopped = Host::start(&direct);
    let cut = Host::start(&through);
    let began = Instant::now();
    let wait = |what: &str, is_done: &dyn Fn() -> bool| {
        while !is_done() {
            assert!(began.elapsed() < Duration::from_secs(120), "{what}");
            thread::sleep(Duration::from_millis(10));
        }
    };
    wait("all hosts draw", &|| [&killed, &stopped, &cut].iter().all(|host| !host.drawn().is_empty()));
    killed.signal("-KILL");
    stopped.signal("-STOP");
    proxy.cut();
    let failed = Instant::now();
    // A host that comes later gets what the others had.
    let late = Host::start(&direct);
    wait("the leases of the others run out", &|| failed.elapsed() > Duration::from_secs(LEASE * 2));
    // The first ones that each of them draws may be those that it had before.
    let goes_on = |host: &Host, before: usize| host.drawn().len() > before + ENGINES;
    let stopped_before = stopped.drawn().len();
    let cut_before = cut.drawn().len();
    stopped.signal("-CONT");
    proxy.restore();
    while !goes_on(&stopped, stopped_before) || !goes_on(&cut, cut_before) {
        assert!(began.elapsed() < Duration::from_secs(120), "both go on");
        // The others shall not have drawn everything before.
        if left(&front) < count / 2 {
            accepted.insert(submit(0));
        }
        thread::sleep(Duration::from_millis(1));
    }
    wait("all tasks end", &|| left(&front) == 0);
    let kept = check(&front, &accepted);
    let ends = server.sql(&name, "SELECT count(*) || ' ' || count(DISTINCT task) FROM ended");
    assert_eq!(ends, format!("{0} {0}", accepted.len()), "every task ends once");

    assert!(!late.drawn().is_empty(), "a host that came later has drawn, too");
    let refused = [&stopped, &cut].map(|host| host.refused(&kept));
    let attempts =
        front.tasks(&TaskQuery::default()).expect("tasks").items.iter().map(|task| task.attempts).sum::<u32>();
    println!(
        "{} tasks in {attempts} attempts by 4 hosts; refused: {} of the host that was stopped, {} of the one that was cut \
         off; {:?}",
        accepted.len(),
        refused[0],
        refused[1],
        began.elapsed()
    );
    assert!(refused[0] > 0, "the host that was stopped came too late, and was refused");
    // A host that was refused removes its own objects a moment later; those of the one that was killed go after an hour.
    let tidy = || {
        server.sql(&name, "UPDATE stray SET since = 0");
        front.tidy().expect("tidy");
        objects(pictures) == 2 * accepted.len()
    };
    wait("what came late is removed", &tidy);
    assert!(front.claim(&Preference::default()).expect("an answer").is_none());
}

fn left(store: &PostgresStore) -> usize {
    let counts = store.counts().expect("counts");
    counts.of(Status::Pending) + counts.of(Status::Processing)
}

/// Every task was completed, with its own two pictures of one host. Returns the hosts.
fn check(store: &PostgresStore, accepted: &BTreeSet<TaskId>) -> BTreeMap<TaskId, u32> {
    let tasks = store.tasks(&TaskQuery::default()).expect("tasks").items;
    let ids: BTreeSet<TaskId> = tasks.iter().map(|task| task.id).collect();
    assert_eq!((ids, tasks.len()), (accepted.clone(), accepted.len()), "no task is lost, none is there twice");
    let mut kept = BTreeMap::new();
    for task in &tasks {
        assert_eq!(task.status, Status::Completed, "{task:?}");
        let query = PictureQuery { task: Some(task.id), ..PictureQuery::default() };
        let pictures = store.pictures(&query).expect("pictures").items;
        assert_eq!(pictures.len(), 2, "{task:?}");
        let host = host_of(&store.read(&pictures[0]).expect("the object"));
        let is_whole = |picture: &Picture| {
            store.read(picture).expect("the object") == text(task.id, picture.number, host).into_bytes()
        };
        assert!(pictures.iter().all(is_whole), "{task:?}");
        kept.insert(task.id, host);
    }
    kept
}

/// The host that a picture names.
fn host_of(picture: &[u8]) -> u32 {
    let text = std::str::from_utf8(picture).expect("a text");
    text.split(' ').nth(2).and_then(|host| host.parse().ok()).expect("a host")
}

fn objects(pictures: &str) -> usize {
    pictures.strip_prefix(FOLDER).map_or_else(s3::objects, |folder| files(Path::new(folder)))
}

fn files(folder: &Path) -> usize {
    let entries = std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    entries.map(|path| if path.is_dir() { files(&path) } else { 1 }).sum()
}
