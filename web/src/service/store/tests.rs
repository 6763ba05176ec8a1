//! The desk without engine and clock.

use super::*;
use futures_util::stream::StreamExt;
use std::time::Duration;

fn at(second: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(second)
}

fn submit(desk: &mut Desk, id: &str, priority: Priority, second: u64) -> Task {
    let request = ImageRequest { prompt: id.into(), steps: Some(4), count: 2, ..ImageRequest::default() };
    desk.submit(request, priority, (id.into(), 7), at(second)).unwrap()
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
    let mut desk = Desk::default();
    for (id, priority, second) in
        [("a", Priority::Normal, 1), ("b", Priority::Low, 2), ("c", Priority::High, 3), ("d", Priority::Normal, 4)]
    {
        submit(&mut desk, id, priority, second);
    }
    let positions = ["a", "b", "c", "d"].map(|id| desk.task(id).unwrap().queue_position.unwrap());
    assert_eq!(positions, [1, 3, 0, 2]);
    for expected in ["c", "a", "d", "b"] {
        let (task, request) = desk.begin(at(9)).unwrap();
        assert_eq!((&*task.id, &*request.prompt, task.seed), (expected, expected, 7));
        assert!(desk.begin(at(9)).is_none());
        desk.end(expected, None, at(10));
    }
    assert!(desk.begin(at(11)).is_none());
}

#[test]
fn watchers_hear_everything_until_the_end() {
    let mut desk = Desk::default();
    submit(&mut desk, "a", Priority::Normal, 1);
    let watcher = desk.watch("a", None).unwrap();
    desk.begin(at(2));
    desk.progress("a", (3, 8), None);
    desk.picture("a", 7, Bytes::from_static(b"png"), "d1".into(), at(3));
    desk.end("a", None, at(4));
    let heard = [(Status::Pending, 0), (Status::Processing, 0), (Status::Processing, 3), (Status::Completed, 3)];
    assert_eq!(drain(watcher), heard);
    assert_eq!(drain(desk.watch("a", Some(99)).unwrap()), heard[3..]);
    let page = desk.images(&ImageFilter { task_id: Some("a".into()), paging: all() });
    assert_eq!((page.total, page.items[0].size, page.items[0].seed), (1, 3, 7));
}

#[test]
fn what_is_cancelled_takes_no_more() {
    let mut desk = Desk::default();
    submit(&mut desk, "a", Priority::Normal, 1);
    desk.begin(at(2));
    desk.cancel("a", at(3)).unwrap();
    desk.picture("a", 7, Bytes::new(), String::new(), at(4));
    desk.end("a", Some("too late".into()), at(4));
    let task = desk.task("a").unwrap();
    assert_eq!((task.status, task.error, task.images.len()), (Status::Cancelled, None, 0));
    let again = desk.cancel("a", at(5)).unwrap_err();
    assert_eq!(again, Error::TaskEnded { task_id: "a".into(), status: Status::Cancelled });
    assert_eq!(desk.cancel("b", at(5)).unwrap_err(), Error::TaskNotFound { task_id: "b".into() });
    assert_eq!(desk.delete(&TaskSelection::default()), 1);
    assert_eq!(desk.tasks(&TaskFilter { status: None, paging: all() }).total, 0);
}

#[test]
fn a_run_is_one_at_a_time_and_its_picture_is_taken_once() {
    let mut desk = Desk::default();
    let request = || ImageRequest { prompt: "a".into(), count: 1, ..ImageRequest::default() };
    desk.run(request(), ("a".into(), 1), at(1)).unwrap();
    assert_eq!(desk.run(request(), ("b".into(), 1), at(1)).unwrap_err(), Error::RunInProgress);
    assert_eq!(desk.take_run().unwrap_err(), Error::RunNotComplete);
    desk.begin(at(2));
    desk.picture("a", 1, Bytes::from_static(b"x"), "d".into(), at(3));
    desk.end("a", None, at(3));
    assert_eq!(desk.take_run().unwrap().id, 1);
    assert_eq!(desk.take_run().unwrap_err(), Error::RunNotComplete);
    desk.delete_image(1).unwrap();
    assert_eq!(desk.delete_image(1).unwrap_err(), Error::ImageNotFound { id: 1 });
}

#[test]
fn a_full_queue_says_when_to_come_again_and_old_pictures_go() {
    let mut desk = Desk::default();
    for k in 0..QUEUE {
        submit(&mut desk, &k.to_string(), Priority::Normal, k as u64);
    }
    let request = ImageRequest { count: 1, ..ImageRequest::default() };
    let full = desk.submit(request, Priority::High, ("z".into(), 1), at(99)).unwrap_err();
    assert_eq!(full, Error::QueueFull { retry_after: RETRY_AFTER });
    desk.begin(at(100));
    for k in 0..=PICTURES as u64 {
        desk.picture("0", k, Bytes::new(), String::new(), at(101));
    }
    assert!(desk.image(1).is_err() && desk.image(2).is_ok());
    assert_eq!(desk.counts(), (QUEUE - 1, PICTURES as u64 + 1));
}
