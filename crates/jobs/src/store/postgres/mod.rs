//! The store of several hosts: PostgreSQL, with the pictures in an object store.
//!
//! Every host is a client of the same database, and none has a task for itself: a claim locks its row and skips those that
//! another host is claiming (`FOR UPDATE SKIP LOCKED`), and comes with a lease ([`leases`]). Each attempt at a task has a
//! number of its own, a fencing token: whatever ends a task names it, so a host that lost its lease changes nothing. Its
//! pictures are objects with that number in their names, so it overwrites nothing either.
//!
//! Hosts tell each other what happens by `NOTIFY` ([`channel`]); progress is in a table that is not logged ([`events`]).
//! All times are the database's, since the clocks of hosts differ.

mod channel;
mod completion;
mod events;
mod leases;
mod pictures;
mod queue;
mod rows;
mod run;
mod schema;
mod sqlx;
mod strays;
mod tasks;
mod wait;

use super::objects::Objects;
use super::{Claimed, Ending, Keeping, Notice, Part, Standing, Store};
use crate::{
    Counts, Error, Event, Last, NewPicture, NewTask, Page, Picture, PictureId, PictureQuery, Preference, Result, Run,
    Selection, Status, Task, TaskId, TaskQuery,
};
use bytes::Bytes;
use channel::News;
use events::Events;
use leases::Leases;
use parking_lot::Mutex;
use sqlx::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions};
use std::io::Read;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;
use tokio::runtime::Runtime;
use wait::Waiter;

/// How long a call may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long writing the pictures of a task may take, or clearing away many rows.
const UPLOAD: Duration = Duration::from_secs(60);

/// How long a start may take, with the migrations of a large database or those of another host.
const START: Duration = Duration::from_secs(300);

/// The most rows that one statement deletes: a statement must end before its timeout, and others wait for its rows.
const BATCH: i64 = 1000;

/// The most connections of a host, besides the one that listens.
const CONNECTIONS: u32 = 16;

/// sqlx's result, which becomes [`Error::Postgres`].
type Sql<T> = sqlx::Result<T>;

/// Where several hosts have their tasks and pictures.
#[derive(Clone)]
pub struct Cluster {
    /// The database: `postgres://user:password@host/name`, with libpq's parameters.
    pub database: String,
    /// The pictures: `s3://`, `gs://`, `az://` or `file://` and a prefix. Keys come from the environment.
    pub pictures: String,
    /// How long a host may be silent before its tasks are given to another one.
    pub lease: Duration,
}

/// The store of several hosts.
pub struct PostgresStore {
    inner: Arc<Inner>,
    notices: Mutex<Option<Receiver<Notice>>>,
    waiter: Waiter,
    /// Ends with the store.
    _background: Background,
}

/// The runtime of a store. It ends without waiting, because a store may be dropped in another runtime.
struct Background(Option<Runtime>);

impl Drop for Background {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// What calls and the tasks in the background share.
struct Inner {
    pool: PgPool,
    pictures: Objects,
    leases: Leases,
    events: Events,
}

impl PostgresStore {
    /// Connects, and makes or migrates the tables if needed. [`Error::Url`], [`Error::Postgres`], [`Error::NewerSchema`].
    pub fn open(cluster: &Cluster) -> Result<Self> {
        let pictures = Objects::open(&cluster.pictures)?;
        let options = options(&cluster.database)?;
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = runtime.worker_threads(2).thread_name("easel-cluster").enable_all().build();
        let runtime = runtime.map_err(|reason| Error::Thread { reason })?;
        let handle = runtime.handle().clone();
        let background = Background(Some(runtime));
        let waiter = Waiter::new(handle.clone());
        let migrating = options.clone();
        waiter.wait(START, async move { schema::migrate(&migrating).await }).ok_or_else(unreachable)??;
        let pool = waiter.wait(PATIENCE, connect(limited(options.clone()))).ok_or_else(unreachable)??;
        let leases = Leases::new(cluster.lease);
        let inner = Arc::new(Inner { pool, pictures, leases, events: Events::default() });
        let (sender, notices) = mpsc::channel();
        handle.spawn(leases::keep(Arc::clone(&inner), sender.clone()));
        handle.spawn(channel::listen(options, Arc::clone(&inner), sender));
        handle.spawn(events::send(Arc::clone(&inner)));
        Ok(Self { inner, notices: Mutex::new(Some(notices)), waiter, _background: background })
    }

    /// Performs one step within the deadline. One that misses it is abandoned and changes nothing, unless it was being
    /// committed.
    fn call<T, F>(&self, step: impl FnOnce(Arc<Inner>) -> F) -> Result<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T>> + Send + 'static,
    {
        self.call_for(PATIENCE, step)
    }

    fn call_for<T, F>(&self, patience: Duration, step: impl FnOnce(Arc<Inner>) -> F) -> Result<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T>> + Send + 'static,
    {
        let answer = self.waiter.wait(patience, step(Arc::clone(&self.inner)));
        answer.unwrap_or(Err(Error::Busy { patience }))
    }
}

/// The database in a URL. The parser's message may quote the URL, which has a password, so it is not passed on.
fn options(url: &str) -> Result<PgConnectOptions> {
    let invalid = || Error::Url { field: "store", expected: "postgres://USER:PASSWORD@HOST/NAME" };
    if !["postgres://", "postgresql://"].iter().any(|scheme| url.starts_with(scheme)) {
        return Err(invalid());
    }
    let options: PgConnectOptions = url.parse().map_err(|_| invalid())?;
    Ok(options.application_name("easel"))
}

/// With limits, so that no call holds locks after its deadline.
fn limited(options: PgConnectOptions) -> PgConnectOptions {
    let patience = PATIENCE.as_millis().to_string();
    let idle = START.as_millis().to_string();
    options.options([
        ("statement_timeout", patience.as_str()),
        ("lock_timeout", patience.as_str()),
        ("idle_in_transaction_session_timeout", idle.as_str()),
    ])
}

async fn connect(options: PgConnectOptions) -> Result<PgPool> {
    let pool = PgPoolOptions::new().max_connections(CONNECTIONS).acquire_timeout(PATIENCE);
    Ok(pool.connect_with(options).await?)
}

fn unreachable() -> Error {
    Error::Postgres { reason: "the database did not answer".into(), is_temporary: true }
}

impl Store for PostgresStore {
    fn submit(&self, new: &NewTask, capacity: usize) -> Result<Task> {
        let new = new.clone();
        let task = self.call(|inner| async move {
            let mut transaction = inner.pool.begin().await?;
            let task = tasks::insert(&mut transaction, &new, capacity).await?;
            inner.tell(&mut transaction, News::Waiting).await?;
            transaction.commit().await?;
            Ok(task)
        })?;
        task.ok_or(Error::QueueFull { capacity })
    }

    fn start_run(&self, new: &NewTask, capacity: usize) -> Result<Task> {
        let new = new.clone();
        self.call(|inner| async move {
            let mut transaction = inner.pool.begin().await?;
            if run::is_in_progress(&mut transaction).await? {
                return Err(Error::RunInProgress);
            }
            let task = tasks::insert(&mut transaction, &new, capacity).await?;
            let task = task.ok_or(Error::QueueFull { capacity })?;
            run::begin(&mut transaction, task.id).await?;
            inner.tell(&mut transaction, News::Waiting).await?;
            transaction.commit().await?;
            Ok(task)
        })
    }

    fn latest_run(&self) -> Result<Option<Run>> {
        self.call(|inner| async move { Ok(run::latest(&inner.pool).await?) })
    }

    fn take_run(&self) -> Result<Picture> {
        self.call(|inner| async move { run::take(&inner.pool).await?.ok_or(Error::RunNotComplete) })
    }

    fn claim(&self, preference: &Preference) -> Result<Option<Claimed>> {
        let preference = preference.clone();
        let claimed = self.call(|inner| async move { inner.claim(&preference).await })?;
        // Only here: if nobody waits for the answer any more, the lease must run out.
        Ok(claimed.map(|(claimed, attempt)| {
            self.inner.leases.take(claimed.task.id, attempt);
            claimed
        }))
    }

    fn end(&self, id: TaskId, ending: &Ending, last: Last) -> Result<bool> {
        let ending = ending.clone();
        let ended = self.call_for(UPLOAD, |inner| async move { inner.end(id, &ending, last).await })?;
        self.inner.leases.give_up(id);
        Ok(ended)
    }

    fn abandon(&self, id: TaskId) {
        self.inner.leases.give_up(id);
    }

    fn cancel(&self, id: TaskId, last: Option<Last>, finished: &[NewPicture]) -> Result<Task> {
        let before = if finished.is_empty() {
            self.call(|inner| async move { inner.cancel(id, last, &[]).await })?
        } else {
            let finished = finished.to_vec();
            self.call_for(UPLOAD, |inner| async move { inner.cancel(id, last, &finished).await })?
        };
        match before.ok_or(Error::UnknownTask { id })? {
            Task { status, .. } if status.is_end() => Err(Error::AlreadyEnded { id, status }),
            task => Ok(task),
        }
    }

    fn task(&self, id: TaskId) -> Result<Task> {
        self.call(|inner| async move { tasks::find(&inner.pool, id).await?.ok_or(Error::UnknownTask { id }) })
    }

    fn standings(&self, tasks: &[TaskId]) -> Result<Vec<Standing>> {
        let tasks = tasks.to_vec();
        self.call(|inner| async move { Ok(queue::standings(&inner.pool, &tasks).await?) })
    }

    fn tasks(&self, query: &TaskQuery) -> Result<Page<Task>> {
        let query = query.clone();
        self.call(|inner| async move { Ok(tasks::page(&inner.pool, &query).await?) })
    }

    fn counts(&self) -> Result<Counts> {
        self.call(|inner| async move { Ok(tasks::counts(&inner.pool).await?) })
    }

    fn delete_tasks(&self, selection: &Selection) -> Result<usize> {
        let selection = selection.clone();
        self.call_for(UPLOAD, |inner| async move { Ok(tasks::delete(&inner.pool, &selection).await?) })
    }

    fn pictures(&self, query: &PictureQuery) -> Result<Page<Picture>> {
        let query = query.clone();
        self.call(|inner| async move { Ok(pictures::page(&inner.pool, &query).await?) })
    }

    fn picture(&self, id: PictureId) -> Result<Picture> {
        self.call(|inner| async move { pictures::find(&inner.pool, id).await?.ok_or(Error::UnknownPicture { id }) })
    }

    fn open(&self, picture: &Picture, from: u64) -> Result<Box<dyn Read + Send>> {
        let picture = picture.clone();
        let waiter = self.waiter.clone();
        self.call(|inner| async move {
            let reader = pictures::Reader::open(inner, waiter, picture, from).await?;
            Ok(Box::new(reader) as Box<dyn Read + Send>)
        })
    }

    fn read(&self, picture: &Picture) -> Result<Bytes> {
        let picture = picture.clone();
        self.call_for(UPLOAD, |inner| async move {
            let object = inner.object(picture.id).await?;
            inner.pictures.read(&picture, &object, 0..picture.length).await
        })
    }

    fn delete_picture(&self, id: PictureId) -> Result<()> {
        let deleted = self.call(|inner| async move { Ok(pictures::delete(&inner.pool, Some(id)).await?) })?;
        // What fails here, housekeeping does later.
        let _ = self.call(|inner| async move { strays::remove(&inner, Duration::ZERO).await });
        if deleted == 1 { Ok(()) } else { Err(Error::UnknownPicture { id }) }
    }

    fn delete_pictures(&self) -> Result<usize> {
        let deleted = self.call_for(UPLOAD, |inner| async move { Ok(pictures::delete(&inner.pool, None).await?) })?;
        let _ = self.call_for(UPLOAD, |inner| async move { strays::remove(&inner, Duration::ZERO).await });
        Ok(deleted)
    }

    /// Only tasks whose lease has run out: other hosts may be at work.
    fn recover(&self) -> Result<(usize, usize)> {
        self.call(|inner| async move { leases::recover(&inner).await })
    }

    fn tidy(&self) -> Result<()> {
        self.call_for(UPLOAD, |inner| async move { Ok(events::clear(&inner.pool).await?) })?;
        self.call_for(UPLOAD, |inner| async move { strays::remove(&inner, strays::ABANDONED).await })
    }

    fn check(&self, part: Part) -> Result<()> {
        self.call(|inner| async move {
            match part {
                Part::Database => Ok(sqlx::query("SELECT 1").execute(&inner.pool).await.map(|_| ())?),
                // A host has no disk of its own.
                Part::Disk => Ok(()),
                Part::Pictures => inner.pictures.check().await,
            }
        })
    }

    fn notices(&self) -> Option<Receiver<Notice>> {
        self.notices.lock().take()
    }

    fn publish(&self, id: TaskId, event: &Event) {
        if let Some(attempt) = self.inner.leases.attempt(id) {
            self.inner.events.add(id, attempt, event.clone());
        }
    }

    fn events(&self, id: TaskId, from: u64) -> Result<Vec<Event>> {
        self.call(|inner| async move { Ok(events::since(&inner.pool, id, from).await?) })
    }

    fn want_previews(&self, id: TaskId) {
        let inner = Arc::clone(&self.inner);
        self.waiter.spawn(async move {
            let Ok(mut connection) = inner.pool.acquire().await else { return };
            if let Err(error) = inner.tell(&mut connection, News::Previews(id)).await {
                tracing::debug!(%id, %error, "could not ask for previews");
            }
        });
    }

    fn keep_house(&self) -> Result<Option<Keeping>> {
        self.call(|inner| async move { Ok(leases::keep_house(&inner).await?) })
    }
}

impl Inner {
    /// Claims a task; returns the number of the attempt, too.
    async fn claim(&self, preference: &Preference) -> Result<Option<(Claimed, i64)>> {
        let mut transaction = self.pool.begin().await?;
        let claimed = tasks::claim(&mut transaction, preference, &self.leases).await?;
        transaction.commit().await?;
        Ok(claimed)
    }

    /// Tells all hosts once the transaction is committed.
    async fn tell(&self, connection: &mut PgConnection, news: News) -> Sql<()> {
        channel::tell(connection, self.leases.host(), news).await
    }

    async fn end(&self, id: TaskId, ending: &Ending, last: Last) -> Result<bool> {
        let Some(attempt) = self.leases.attempt(id) else { return Ok(false) };
        match ending {
            Ending::Completed(pictures) => self.complete(id, attempt, pictures, last).await,
            Ending::Error(reason) => self.fail(id, attempt, reason, last).await,
            Ending::Released => {
                let mut transaction = self.pool.begin().await?;
                let released = tasks::release(&mut transaction, id, attempt).await?;
                self.tell(&mut transaction, News::Changed(id)).await?;
                self.tell(&mut transaction, News::Waiting).await?;
                transaction.commit().await?;
                Ok(released)
            }
        }
    }

    async fn fail(&self, id: TaskId, attempt: i64, reason: &str, last: Last) -> Result<bool> {
        let flushing = self.events.hold().await;
        let mut transaction = self.pool.begin().await?;
        self.events.write(&mut transaction, &flushing, id).await?;
        let failed = tasks::finish(&mut transaction, id, attempt, Status::Error, Some(reason), last).await?;
        self.tell(&mut transaction, News::Changed(id)).await?;
        transaction.commit().await?;
        Ok(failed)
    }

    /// The name of a picture's object. [`Error::UnknownPicture`].
    async fn object(&self, id: PictureId) -> Result<String> {
        pictures::object(&self.pool, id).await?.ok_or(Error::UnknownPicture { id })
    }
}
