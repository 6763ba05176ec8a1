//! Watchers: prompt, complete, resumable, and no burden to anyone.

use crate::engine::{new_task, theatre};
use easel_jobs::{Event, NewTask, Status, WatchOptions, Watcher};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

fn after(id: u64) -> WatchOptions {
    WatchOptions { after: Some(id), previews: false }
}

async fn next(watcher: &mut Watcher) -> Event {
    tokio::time::timeout(Duration::from_secs(20), watcher.next()).await.expect("an event").expect("not the end")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_watchers_see_every_step_and_leavers_disturb_nobody() {
    let theatre = theatre(1, 10);
    let held = theatre.submit("hold");
    let id = theatre.submit("40");
    let watch = || theatre.jobs.watch(id, WatchOptions { after: None, previews: true }).unwrap();
    let stay = (0..200).map(|_| {
        let mut watcher = watch();
        tokio::spawn(async move {
            let mut seen = Vec::new();
            while let Some(event) = watcher.next().await {
                seen.push((Instant::now(), event));
            }
            seen
        })
    });
    let stay: Vec<_> = stay.collect();
    let leave: Vec<_> = (0..50).map(|_| watch()).collect();
    let mut slow = watch();
    theatre.stage.open.store(true, Ordering::Relaxed);
    drop(leave);

    let mut seen = Vec::new();
    for task in stay {
        seen.push(task.await.unwrap());
    }
    let steps = |events: &[(Instant, Event)]| events.iter().map(|(_, event)| event.clone()).collect::<Vec<_>>();
    let first = steps(&seen[0]);
    assert_eq!(first.len(), 1 + 1 + 40 + 1, "pending, processing, the steps, completed");
    assert!((0..).zip(&first).all(|(id, event)| event.id == id));
    assert!(first[2..42].iter().all(|event| event.preview.is_some() && event.status == Status::Processing));
    assert_eq!((first[42].status, first[42].progress.percent()), (Status::Completed, 100));
    assert!(seen.iter().all(|events| steps(events) == first), "every watcher sees the same");
    let apart = (0..first.len()).map(|step| {
        let times = seen.iter().map(|events| events[step].0);
        times.clone().max().unwrap() - times.min().unwrap()
    });
    println!("the watchers of a step are at most {:?} apart", apart.max().unwrap());

    let mut late = Vec::new();
    while let Some(event) = slow.next().await {
        late.push(event);
    }
    assert_eq!(late, first, "who did not look in time still sees it all");
    assert_eq!(theatre.until(held, Status::Completed).attempts, 1);
}

#[tokio::test]
async fn a_late_watcher_starts_from_the_current_state_and_a_returning_one_where_it_was() {
    let theatre = theatre(1, 10);
    let id = theatre.submit("hold");
    theatre.until(id, Status::Processing);
    let mut watcher = theatre.jobs.watch(id, WatchOptions::default()).unwrap();
    let first = next(&mut watcher).await;
    let second = next(&mut watcher).await;
    drop(watcher);

    let mut late = theatre.jobs.watch(id, WatchOptions::default()).unwrap();
    let event = next(&mut late).await;
    assert!(event.id >= second.id && event.status == Status::Processing, "{event:?}");
    let mut back = theatre.jobs.watch(id, after(first.id)).unwrap();
    assert_eq!(next(&mut back).await, second);
    let mut from_another_life = theatre.jobs.watch(id, after(1_000_000)).unwrap();
    assert!(next(&mut from_another_life).await.id >= second.id);

    theatre.jobs.cancel(id).unwrap();
    let mut last = next(&mut back).await;
    while let Some(event) = back.next().await {
        assert_eq!(event.id, last.id + 1);
        last = event;
    }
    assert_eq!(last.status, Status::Cancelled);
}

#[tokio::test]
async fn a_watcher_that_falls_far_behind_loses_the_oldest_events_only() {
    let theatre = theatre(1, 10);
    let held = theatre.submit("hold");
    let id = theatre.submit("500");
    let mut watcher = theatre.jobs.watch(id, WatchOptions::default()).unwrap();
    drop(theatre.jobs.watch(id, WatchOptions { after: None, previews: true }).unwrap());
    theatre.stage.open.store(true, Ordering::Relaxed);
    theatre.until(held, Status::Completed);
    theatre.until(id, Status::Completed);
    let mut events = vec![next(&mut watcher).await];
    while let Some(event) = watcher.next().await {
        events.push(event);
    }
    assert_eq!(events.len(), 256);
    assert!(events.iter().all(|event| event.preview.is_none()), "nobody is there to see previews");
    assert_eq!((events[255].id, events[255].status), (502, Status::Completed));
}

#[tokio::test]
async fn who_has_seen_the_end_and_comes_back_sees_it_again() {
    let theatre = theatre(1, 10);
    let id = theatre.submit("deaf");
    theatre.until(id, Status::Processing);
    theatre.jobs.cancel(id).unwrap();
    // The engine has not noticed yet, so that all of this is in memory.
    let last = theatre.events(id).await.pop().unwrap();
    assert_eq!(last.status, Status::Cancelled);
    let mut back = theatre.jobs.watch(id, after(last.id)).unwrap();
    assert_eq!(next(&mut back).await, last);
    assert_eq!(back.next().await, None);
    // And when it has, what the store remembers.
    let other = theatre.submit("1");
    theatre.until(other, Status::Completed);
    let mut back = theatre.jobs.watch(id, after(last.id)).unwrap();
    assert_eq!(next(&mut back).await, last);
    assert_eq!(back.next().await, None);
}

#[tokio::test]
async fn a_task_that_has_ended_has_one_event() {
    let theatre = theatre(1, 10);
    let [good, bad] = ["1", "fail"].map(|request| theatre.submit(request));
    theatre.until(bad, Status::Error);
    let events = theatre.events(good).await;
    assert_eq!(events.len(), 1);
    assert_eq!((events[0].status, events[0].progress.percent()), (Status::Completed, 100));
    let events = theatre.events(bad).await;
    assert_eq!((events[0].status, events[0].error.as_deref()), (Status::Error, Some("out of paint")));
}

#[tokio::test]
async fn who_comes_after_the_end_gets_the_last_event_as_it_was() {
    let theatre = theatre(1, 10);
    let held = theatre.submit("hold");
    let mut ended = Vec::new();
    for (request, cancel) in [("3", false), ("fail", false), ("panic", false), ("3", true)] {
        let id = theatre.jobs.submit(&NewTask { steps: 3, ..new_task(request) }).unwrap().id;
        let watcher = theatre.jobs.watch(id, WatchOptions::default()).unwrap();
        if cancel {
            theatre.jobs.cancel(id).unwrap();
        }
        ended.push((id, watcher));
    }
    theatre.stage.open.store(true, Ordering::Relaxed);
    for (id, mut watcher) in ended {
        let first = next(&mut watcher).await;
        assert_eq!(first.progress.steps, 3, "known before an engine is asked");
        let mut last = first;
        while let Some(event) = watcher.next().await {
            last = event;
        }
        assert_eq!(last.progress.steps, 3);
        assert_eq!(theatre.events(id).await, [last]);
    }
    theatre.until(held, Status::Completed);
}
