//! Several hosts and the same tasks: one of them ends each, however the others fail.

use crate::home::{self, all_die, files, host, sql};
use easel_jobs::{
    Claimed, Ending, Error, Event, Last, NewPicture, NewTask, PictureQuery, PostgresStore, Preference, Progress,
    Status, Store,
};
use std::sync::Arc;
use std::thread;
use tempfile::TempDir;

fn picture(text: &str) -> Ending {
    Ending::Completed(vec![NewPicture { bytes: text.to_owned().into(), media_type: "image/png".into(), seed: 1 }])
}

fn claim(store: &PostgresStore) -> Option<Claimed> {
    store.claim(&Preference::default()).unwrap()
}

fn step(id: u64, step: u32) -> Event {
    Event { id, status: Status::Processing, progress: Progress { step, steps: 9 }, preview: None, error: None }
}

/// What the pictures say.
fn texts(store: &PostgresStore) -> Vec<String> {
    let pictures = store.pictures(&PictureQuery::default()).unwrap().items;
    pictures.iter().map(|picture| String::from_utf8(store.read(picture).unwrap().to_vec()).unwrap()).collect()
}

#[test]
fn a_host_that_lost_its_lease_neither_completes_nor_overwrites() {
    let folder = TempDir::new().unwrap();
    let [slow, other] = [host(&folder), host(&folder)];
    let id = slow.submit(&NewTask::default(), 1).unwrap().id;
    assert_eq!(claim(&slow).unwrap().task.id, id);
    assert_eq!(other.recover().unwrap(), (0, 0), "its lease holds");
    all_die(&folder);
    assert_eq!(other.recover().unwrap(), (1, 0));
    assert!(!slow.end(id, &picture("too early"), Last::default()).unwrap(), "it waits again");
    assert!(claim(&slow).is_some(), "the host has put it down");
    all_die(&folder);
    assert_eq!(other.recover().unwrap(), (1, 0));
    assert!(claim(&slow).is_none(), "a host does not take what it is at work on");
    let claimed = claim(&other).unwrap();
    assert_eq!((claimed.task.id, claimed.task.attempts), (id, 3));

    assert!(!slow.end(id, &picture("too late"), Last::default()).unwrap());
    assert_eq!(slow.task(id).unwrap().status, Status::Processing);
    assert!(other.end(id, &picture("in time"), Last::default()).unwrap());
    assert!(!slow.end(id, &Ending::Error("too late".into()), Last::default()).unwrap());
    assert_eq!((texts(&slow), files(&folder)), (vec!["in time".to_owned()], 1));
    assert_eq!(sql(&folder, "SELECT count(*) FROM stray"), "0");
}

#[test]
fn a_completion_whose_answer_was_lost_may_be_repeated() {
    let folder = TempDir::new().unwrap();
    let host = host(&folder);
    let id = host.submit(&NewTask::default(), 1).unwrap().id;
    claim(&host).unwrap();
    sql(&folder, "ALTER TABLE picture ADD CONSTRAINT full_disk CHECK (length = 0)");
    assert!(host.end(id, &picture("a"), Last::default()).is_err());
    assert_eq!(host.task(id).unwrap().status, Status::Processing);
    sql(&folder, "ALTER TABLE picture DROP CONSTRAINT full_disk");
    assert!(host.end(id, &picture("a"), Last::default()).unwrap());
    assert_eq!((texts(&host), files(&folder)), (vec!["a".to_owned()], 1));
}

#[test]
fn a_task_whose_hosts_die_three_times_is_an_error() {
    let folder = TempDir::new().unwrap();
    let host = host(&folder);
    let id = host.submit(&NewTask::default(), 1).unwrap().id;
    for attempt in 1..=home::ATTEMPTS {
        let mortal = home::host(&folder);
        assert_eq!(claim(&mortal).unwrap().task.attempts, attempt);
        drop(mortal);
        all_die(&folder);
        host.recover().unwrap();
    }
    let task = host.task(id).unwrap();
    assert_eq!(task.status, Status::Error);
    assert_eq!(task.error.as_deref(), Some("the host stopped answering while this task ran, 3 times"));
}

#[test]
fn many_hosts_claim_each_task_once() {
    let folder = TempDir::new().unwrap();
    let first = host(&folder);
    for _ in 0..100 {
        first.submit(&NewTask::default(), 100).unwrap();
    }
    let hosts: Vec<Arc<PostgresStore>> = (0..4).map(|_| host(&folder)).collect();
    let mut claimed: Vec<_> = thread::scope(|scope| {
        let take = |store: Arc<PostgresStore>| {
            move || std::iter::from_fn(|| claim(&store)).map(|claimed| claimed.task.id).collect::<Vec<_>>()
        };
        let taking: Vec<_> = hosts.iter().map(|store| scope.spawn(take(Arc::clone(store)))).collect();
        taking.into_iter().flat_map(|taking| taking.join().unwrap()).collect()
    });
    claimed.sort_unstable();
    claimed.dedup();
    assert_eq!(claimed.len(), 100);
}

#[test]
fn only_one_of_many_hosts_starts_a_run() {
    let folder = TempDir::new().unwrap();
    let hosts: Vec<Arc<PostgresStore>> = (0..4).map(|_| host(&folder)).collect();
    let started: Vec<_> = thread::scope(|scope| {
        let starting: Vec<_> =
            hosts.iter().map(|host| scope.spawn(|| host.start_run(&NewTask::default(), 9))).collect();
        starting.into_iter().map(|starting| starting.join().unwrap()).collect()
    });
    assert_eq!(started.iter().filter(|started| started.is_ok()).count(), 1, "{started:?}");
    assert!(started.iter().all(|started| matches!(started, Ok(_) | Err(Error::RunInProgress))), "{started:?}");
}

#[test]
fn progress_reaches_other_hosts_and_that_of_a_lost_attempt_is_refused() {
    let folder = TempDir::new().unwrap();
    let [slow, other] = [host(&folder), host(&folder)];
    let id = slow.submit(&NewTask::default(), 1).unwrap().id;
    claim(&slow).unwrap();
    (1..=3).for_each(|number| slow.publish(id, &step(number, number as u32)));
    let until = |count: usize| {
        while other.events(id, 0).unwrap().len() < count {
            thread::sleep(std::time::Duration::from_millis(5));
        }
    };
    until(3);
    assert_eq!(other.events(id, 2).unwrap(), [step(2, 2), step(3, 3)]);
    assert_eq!(other.task(id).unwrap().progress, Progress { step: 3, steps: 9 });

    all_die(&folder);
    other.recover().unwrap();
    assert_eq!(claim(&other).unwrap().task.last_event, 4, "numbers go on");
    slow.publish(id, &step(4, 4));
    other.publish(id, &step(5, 1));
    until(4);
    // The end of the late attempt comes after its events, so they were refused by now.
    assert!(!slow.end(id, &Ending::Error("late".into()), Last::default()).unwrap());
    let numbers: Vec<u64> = slow.events(id, 0).unwrap().iter().map(|event| event.id).collect();
    assert_eq!(numbers, [1, 2, 3, 5]);
}

#[test]
fn one_host_at_a_time_keeps_house() {
    let folder = TempDir::new().unwrap();
    let [one, other] = [host(&folder), host(&folder)];
    let keeping = one.keep_house().unwrap().unwrap();
    assert!(other.keep_house().unwrap().is_none());
    drop(keeping);
    // The lock goes with a transaction that ends in the background.
    while other.keep_house().unwrap().is_none() {
        thread::sleep(std::time::Duration::from_millis(5));
    }
}
