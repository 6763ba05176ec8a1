//! The life of a task when nothing goes wrong.

use crate::engine::{fixture, new_task};
use crate::home;
use easel_jobs::{Error, NewTask, PictureQuery, Priority, Selection, Status, TaskQuery, WatchOptions};
use std::sync::atomic::Ordering;

#[test]
fn a_task_becomes_pictures_that_outlive_it() {
    let fixture = fixture(1, 10);
    let id = fixture.submit("3");
    let task = fixture.until(id, Status::Completed);
    assert_eq!(task.seed, u64::MAX);
    assert_eq!((task.progress.percent(), task.attempts, task.error), (100, 1, None));
    assert!(task.created_at <= task.started_at.unwrap() && task.started_at <= task.completed_at);

    assert_eq!(fixture.jobs.delete_tasks(&Selection::default()).unwrap(), 1);
    assert!(matches!(fixture.jobs.task(id), Err(Error::UnknownTask { .. })));
    assert!(matches!(fixture.jobs.watch(id, WatchOptions::default()), Err(Error::UnknownTask { .. })));
    assert!(matches!(fixture.jobs.cancel(id), Err(Error::UnknownTask { .. })));

    let pictures = fixture.jobs.pictures(&PictureQuery { task: Some(id), ..PictureQuery::default() }).unwrap();
    assert_eq!(pictures.total, 2);
    let [first, second] = &pictures.items[..] else { panic!("two pictures") };
    assert_eq!((first.number, first.seed, second.number, second.seed), (0, 1, 1, u64::MAX));
    assert_eq!(first.digest, "d876885b7f40eae70bd1f5247a9854914fa5812ce63998e2d894a68e187967cb", "SHA-256");
    assert_eq!((first.prompt.as_str(), first.media_type.as_str(), first.length), ("3", "image/png", 100));
    assert_eq!(fixture.jobs.read(first).unwrap(), vec![7; 100]);

    fixture.jobs.delete_picture(first.id).unwrap();
    assert!(matches!(fixture.jobs.picture(first.id), Err(Error::UnknownPicture { .. })));
    assert!(matches!(fixture.jobs.read(first), Err(Error::UnknownPicture { .. })));
    assert!(matches!(fixture.jobs.delete_picture(first.id), Err(Error::UnknownPicture { .. })));
    assert_eq!(fixture.jobs.picture(second.id).unwrap(), *second);
    assert_eq!(home::files(&fixture.folder), 1);
}

#[test]
fn higher_priorities_go_first_and_equals_in_order() {
    let fixture = fixture(1, 10);
    let held = fixture.submit("hold");
    fixture.until(held, Status::Processing);
    let submit = |prompt: &str, priority| {
        let task = NewTask { prompt: prompt.into(), request: b"1".into(), priority, ..NewTask::default() };
        fixture.jobs.submit(&task).unwrap().id
    };
    let tasks = [
        submit("low", Priority::Low),
        submit("first", Priority::Normal),
        submit("second", Priority::Normal),
        submit("high", Priority::High),
    ];
    let places = tasks.map(|id| fixture.jobs.queue_position(id).unwrap().unwrap());
    assert_eq!(places, [3, 1, 2, 0]);
    assert_eq!(fixture.jobs.queue_position(held).unwrap(), None);
    fixture.controls.open.store(true, Ordering::Relaxed);
    fixture.until(tasks[0], Status::Completed);
    assert_eq!(*fixture.controls.order.lock().unwrap(), ["hold", "high", "first", "second", "low"]);
}

#[test]
fn tasks_of_the_loaded_model_overtake_others_of_their_priority() {
    let fixture = fixture(1, 100);
    let submit = |prompt: &str, request: &str, priority| {
        let model = prompt.split(' ').next().unwrap().to_owned();
        let task = NewTask { prompt: prompt.into(), request: request.into(), priority, model, ..NewTask::default() };
        fixture.jobs.submit(&task).unwrap().id
    };
    let held = submit("a held", "hold", Priority::Normal);
    fixture.until(held, Status::Processing);
    submit("b first", "1", Priority::Normal);
    for number in 0..20 {
        submit(&format!("a {number}"), "1", Priority::Normal);
    }
    submit("b second", "1", Priority::Normal);
    submit("c", "1", Priority::High);
    let last = submit("a low", "1", Priority::Low);
    fixture.controls.open.store(true, Ordering::Relaxed);
    fixture.until(last, Status::Completed);
    let order = fixture.controls.order.lock().unwrap().clone();
    // The task of high priority leaves a model behind that no other task has. So the first one is next, and then those of its
    // model.
    assert_eq!(order[..4], ["a held", "c", "b first", "b second"]);
    assert_eq!(order[4..].len(), 21);
}

#[test]
fn a_task_that_was_overtaken_sixteen_times_is_next() {
    let fixture = fixture(1, 100);
    let submit = |prompt: String, request: &str| {
        let model = prompt.split(' ').next().unwrap().to_owned();
        let task = NewTask { prompt, request: request.into(), model, ..NewTask::default() };
        fixture.jobs.submit(&task).unwrap().id
    };
    let held = submit("a held".into(), "hold");
    fixture.until(held, Status::Processing);
    submit("b".into(), "1");
    let others: Vec<_> = (0..20).map(|number| submit(format!("a {number}"), "1")).collect();
    fixture.controls.open.store(true, Ordering::Relaxed);
    fixture.until(others[19], Status::Completed);
    let order = fixture.controls.order.lock().unwrap().clone();
    assert_eq!(order.iter().position(|prompt| prompt == "b"), Some(17), "{order:?}");
    let rest: Vec<&String> = order.iter().filter(|prompt| *prompt != "b").collect();
    assert!(rest.iter().skip(1).map(|prompt| prompt[2..].parse::<usize>().unwrap()).is_sorted(), "{order:?}");
}

#[test]
fn a_full_queue_refuses_and_goes_on_when_there_is_room() {
    let fixture = fixture(1, 2);
    let held = fixture.submit("hold");
    fixture.until(held, Status::Processing);
    let waiting = [fixture.submit("1"), fixture.submit("1")];
    let refused = fixture.jobs.submit(&new_task("1")).unwrap_err();
    assert_eq!(refused.to_string(), "the queue is full: 2 tasks are waiting");
    fixture.jobs.cancel(waiting[0]).unwrap();
    fixture.submit("1");
    assert_eq!(fixture.jobs.counts().unwrap().of(Status::Pending), 2);
}

#[test]
fn several_engines_share_the_queue_and_run_each_task_once() {
    let fixture = fixture(3, 100);
    let tasks: Vec<_> = (0..30).map(|_| fixture.submit("2")).collect();
    let completed = tasks.iter().map(|id| fixture.until(*id, Status::Completed));
    assert!(completed.into_iter().all(|task| task.attempts == 1));
    assert_eq!(fixture.controls.order.lock().unwrap().len(), 30);
    assert_eq!(fixture.jobs.pictures(&PictureQuery::default()).unwrap().total, 60);
}

#[test]
fn listings_come_in_pages_newest_first() {
    let fixture = fixture(1, 10);
    let ids = ["1", "fail", "1"].map(|request| fixture.submit(request));
    fixture.until(ids[2], Status::Completed);
    let list = |status, limit, offset| {
        let page = fixture.jobs.tasks(&TaskQuery { status, limit, offset }).unwrap();
        (page.total, page.items.iter().map(|task| task.id).collect::<Vec<_>>())
    };
    assert_eq!(list(None, 2, 0), (3, vec![ids[2], ids[1]]));
    assert_eq!(list(None, 2, 2), (3, vec![ids[0]]));
    assert_eq!(list(Some(Status::Completed), usize::MAX, 0), (2, vec![ids[2], ids[0]]));
    assert_eq!(list(Some(Status::Cancelled), 5, 0), (0, vec![]));
    let newest = fixture.jobs.pictures(&PictureQuery { limit: 1, ..PictureQuery::default() }).unwrap();
    assert_eq!((newest.total, newest.items[0].task), (4, ids[2]));
}

#[test]
fn a_running_task_shows_its_progress_in_listings() {
    let fixture = fixture(1, 10);
    let id = fixture.submit("hold");
    fixture.until(id, Status::Processing);
    while fixture.jobs.task(id).unwrap().progress.percent() != 50 {}
    assert_eq!(fixture.jobs.tasks(&TaskQuery::default()).unwrap().items[0].progress.percent(), 50);
    assert_eq!(
        fixture.jobs.delete_tasks(&Selection { ids: Some(vec![id]), status: None }).unwrap(),
        0,
        "tasks in progress are kept"
    );
}
