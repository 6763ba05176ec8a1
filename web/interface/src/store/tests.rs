//! The store without engine and clock.

use super::*;
use futures_util::stream::StreamExt;
use std::time::Duration;

fn at(second: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(second)
}

fn submit(store: &mut TaskStore, id: &str, priority: Priority, second: u64) -> Task {
    let request = ImageRequest { prompt: id.into(), steps: Some(4), count: 2, ..ImageRequest::default() };
    store.submit(request, priority, identity(id, 7), at(second)).unwrap()
}

fn identity(id: &str, seed: u64) -> Identity {
    Identity { id: id.into(), seed }
}

fn drawn(seed: u64, bytes: &'static [u8], digest: &str) -> Drawn {
    Drawn { seed, bytes: Bytes::from_static(bytes), digest: digest.into(), media_type: "image/png" }
}

fn all() -> Paging {
    Paging { page: 1, limit: 100 }
}

/// Every report that is there by now.
fn drain(receiver: UnboundedReceiver<Progress>) -> Vec<(Status, u32)> {
    let reports = receiver.map(|report| (report.status, report.step)).collect::<Vec<_>>();
    futures_util::FutureExt::now_or_never(reports).unwrap()
}

#[test]
fn the_most_urgent_goes_first_and_one_at_a_time() {
    let mut store = TaskStore::default();
    for (id, priority, second) in
        [("a", Priority::Normal, 1), ("b", Priority::Low, 2), ("c", Priority::High, 3), ("d", Priority::Normal, 4)]
    {
        submit(&mut store, id, priority, second);
    }
    let positions = ["a", "b", "c", "d"].map(|id| store.task(id).unwrap().queue_position.unwrap());
    assert_eq!(positions, [1, 3, 0, 2]);
    for expected in ["c", "a", "d", "b"] {
        let (task, request) = store.begin(at(9)).unwrap();
        assert_eq!((&*task.id, &*request.prompt, task.seed), (expected, expected, 7));
        assert!(store.begin(at(9)).is_none());
        store.end(expected, None, at(10));
    }
    assert!(store.begin(at(11)).is_none());
}

#[test]
fn watchers_hear_everything_until_the_end() {
    let mut store = TaskStore::default();
    submit(&mut store, "a", Priority::Normal, 1);
    let watcher = store.watch("a", None).unwrap();
    store.begin(at(2));
    store.progress("a", Steps { done: 3, of: 8 }, None);
    store.picture("a", drawn(7, b"png", "d1"), at(3));
    store.end("a", None, at(4));
    let heard = [(Status::Pending, 0), (Status::Processing, 0), (Status::Processing, 3), (Status::Completed, 3)];
    assert_eq!(drain(watcher), heard);
    assert_eq!(drain(store.watch("a", Some(99)).unwrap()), heard[3..]);
    let page = store.images(&ImageFilter { task_id: Some("a".into()), paging: all() });
    assert_eq!((page.total, page.items[0].size, page.items[0].seed), (1, 3, 7));
}

#[test]
fn what_is_cancelled_takes_no_more() {
    let mut store = TaskStore::default();
    submit(&mut store, "a", Priority::Normal, 1);
    store.begin(at(2));
    store.cancel("a", at(3)).unwrap();
    store.picture("a", drawn(7, b"", ""), at(4));
    store.end("a", Some("too late".into()), at(4));
    let task = store.task("a").unwrap();
    assert_eq!((task.status, task.error, task.images.len()), (Status::Cancelled, None, 0));
    let again = store.cancel("a", at(5)).unwrap_err();
    assert_eq!(again, Error::TaskEnded { task_id: "a".into(), status: Status::Cancelled });
    assert_eq!(store.cancel("b", at(5)).unwrap_err(), Error::TaskNotFound { task_id: "b".into() });
    assert_eq!(store.delete(&TaskSelection::default()), 1);
    assert_eq!(store.tasks(&TaskFilter { status: None, paging: all() }).total, 0);
}

#[test]
fn a_run_is_one_at_a_time_and_its_picture_is_taken_once() {
    let mut store = TaskStore::default();
    let request = || ImageRequest { prompt: "a".into(), count: 1, ..ImageRequest::default() };
    store.run(request(), identity("a", 1), at(1)).unwrap();
    assert_eq!(store.run(request(), identity("b", 1), at(1)).unwrap_err(), Error::RunInProgress);
    assert_eq!(store.take_run().unwrap_err(), Error::RunNotComplete);
    store.begin(at(2));
    store.picture("a", drawn(1, b"x", "d"), at(3));
    store.end("a", None, at(3));
    assert_eq!(store.take_run().unwrap().id, 1);
    assert_eq!(store.take_run().unwrap_err(), Error::RunNotComplete);
    store.delete_image(1).unwrap();
    assert_eq!(store.delete_image(1).unwrap_err(), Error::ImageNotFound { id: 1 });
}

#[test]
fn a_full_queue_says_when_to_come_again_and_old_pictures_go() {
    let mut store = TaskStore::default();
    for k in 0..QUEUE {
        submit(&mut store, &k.to_string(), Priority::Normal, k as u64);
    }
    let request = ImageRequest { count: 1, ..ImageRequest::default() };
    let full = store.submit(request, Priority::High, identity("z", 1), at(99)).unwrap_err();
    assert_eq!(full, Error::QueueFull { retry_after: RETRY_AFTER });
    store.begin(at(100));
    for k in 0..=PICTURES as u64 {
        store.picture("0", drawn(k, b"", ""), at(101));
    }
    assert!(store.image(1).is_err() && store.image(2).is_ok());
    assert_eq!(store.counts(), (QUEUE - 1, PICTURES as u64 + 1));
}

#[test]
fn a_task_that_a_client_waits_for_ends_with_its_last_watcher() {
    let mut store = TaskStore::default();
    let attended = ImageRequest { count: 1, attended: true, ..ImageRequest::default() };
    store.submit(attended, Priority::Normal, identity("waited for", 7), at(1)).unwrap();
    submit(&mut store, "queued", Priority::Normal, 2);
    for (id, expected) in [("waited for", Status::Cancelled), ("queued", Status::Pending)] {
        let client = store.watch(id, None).unwrap();
        drop(store.watch(id, None).unwrap());
        assert!(!store.leave(id, at(3)), "{id}: the client still watches");
        drop(client);
        assert_eq!(store.leave(id, at(4)), expected == Status::Cancelled, "{id}");
        assert_eq!(store.task(id).unwrap().status, expected);
        assert!(!store.leave(id, at(5)), "{id}: once");
    }
    assert!(!store.leave("unknown", at(6)));
}
