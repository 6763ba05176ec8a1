//! Long lists: positions in the queue take no longer than the page of tasks, and a claim no longer than from a short queue.

use easel_jobs::{Preference, SqliteStore, Standing, Status, Store, TaskId, TaskQuery};
use rusqlite::Connection;
use std::path::Path;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Fills the database with waiting tasks, of all priorities in turn.
fn fill(root: &Path, count: usize) {
    let database = Connection::open(root.join("easel.db")).unwrap();
    let sql = "WITH RECURSIVE place (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM place WHERE n < ?1)
               INSERT INTO task (id, status, priority, prompt, seed, request, created_at)
               SELECT printf('%08x-0000-4000-8000-000000000000', n), 'pending', n % 3, 'a cat', n, zeroblob(300), n FROM place";
    database.execute(sql, [count]).unwrap();
}

fn positions(standings: &[Standing]) -> Vec<Option<usize>> {
    standings.iter().map(|standing| standing.position).collect()
}

#[test]
fn f8_positions_in_the_queue_match_the_order_of_claims() {
    let folder = TempDir::new().unwrap();
    let store = SqliteStore::open(folder.path()).unwrap();
    fill(folder.path(), 30);
    for claimed in 0..3 {
        let waiting = store.tasks(&TaskQuery { status: Some(Status::Pending), limit: 100, offset: 0 }).unwrap();
        assert_eq!(waiting.total, 30 - claimed);
        let mut sorted = waiting.items.clone();
        sorted.sort_by_key(|task| (std::cmp::Reverse(task.priority), task.created_at));
        let mut ids: Vec<TaskId> = sorted.iter().map(|task| task.id).collect();
        let expected: Vec<_> = (0..ids.len()).map(Some).collect();
        assert_eq!(positions(&store.standings(&ids).unwrap()), expected);
        // A few of them in another order, with an unknown one among them.
        ids.reverse();
        let few = [ids[20], TaskId::nil(), ids[3], ids[11]];
        let places = [20, 3, 11].map(|place| Some(ids.len() - 1 - place));
        assert_eq!(positions(&store.standings(&few).unwrap()), [places[0], None, places[1], places[2]]);
        assert_eq!(store.claim(&Preference::default()).unwrap().unwrap().task.id, ids[ids.len() - 1]);
    }
}

#[test]
fn f8_a_page_of_five_thousand_waiting_tasks_takes_no_longer_than_it_is_long() {
    let folder = TempDir::new().unwrap();
    let store = SqliteStore::open(folder.path()).unwrap();
    fill(folder.path(), 5000);
    let began = Instant::now();
    for page in 0..5 {
        let tasks = store.tasks(&TaskQuery { status: None, limit: 1000, offset: 1000 * page }).unwrap();
        let ids: Vec<TaskId> = tasks.items.iter().map(|task| task.id).collect();
        let standings = store.standings(&ids).unwrap();
        assert_eq!((tasks.total, standings.len()), (5000, 1000));
        assert!(standings.iter().all(|standing| standing.position.is_some()));
    }
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
}

/// The median of the times that claims take, each of a task near the end of the queue, which overtakes all before it.
fn claims(root: &Path, store: &SqliteStore, count: usize) -> Duration {
    let database = Connection::open(root.join("easel.db")).unwrap();
    database.execute_batch("DELETE FROM task").unwrap();
    fill(root, count);
    let models = "UPDATE task SET priority = 1, model = CASE WHEN number > (SELECT max(number) FROM task) - 20 THEN 'b' ELSE 'a' END";
    database.execute_batch(models).unwrap();
    drop(database);
    let preference = Preference { models: vec!["b".into()], due: Vec::new() };
    let mut took: Vec<Duration> = (0..15)
        .map(|_| {
            let began = Instant::now();
            let claimed = store.claim(&preference).unwrap().unwrap();
            assert!(claimed.overtaken.is_some());
            began.elapsed()
        })
        .collect();
    took.sort_unstable();
    took[took.len() / 2]
}

#[test]
fn a_claim_from_a_long_queue_takes_no_longer_than_from_a_short_one() {
    let folder = TempDir::new().unwrap();
    let store = SqliteStore::open(folder.path()).unwrap();
    let short = claims(folder.path(), &store, 50);
    let long = claims(folder.path(), &store, 50_000);
    println!("a claim from 50 tasks {short:?}, from 50,000 {long:?}");
    assert!(long < 3 * short + Duration::from_millis(5), "{short:?} and {long:?}");
}
