//! Watchers: prompt, complete, resumable, and independent of each other.

use crate::engine::{fixture, new_task};
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
async fn two_hundred_watchers_see_every_step_and_dropped_ones_disturb_nobody() {
    let fixture = fixture(1, 10);
    let held = fixture.submit("hold");
    let id = fixture.submit("40");
    let watch = || fixture.jobs.watch(id, WatchOptions { after: None, previews: true }).unwrap();
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
    fixture.controls.open.store(true, Ordering::Relaxed);
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
    assert_eq!(late, first, "a slow watcher still sees everything");
    assert_eq!(fixture.until(held, Status::Completed).attempts, 1);
}

#[tokio::test]
async fn a_late_watcher_starts_from_the_current_state_and_a_returning_one_where_it_was() {
    let fixture = fixture(1, 10);
    let id = fixture.submit("hold");
    fixture.until(id, Status::Processing);
    let mut watcher = fixture.jobs.watch(id, WatchOptions::default()).unwrap();
    let first = next(&mut watcher).await;
    let second = next(&mut watcher).await;
    drop(watcher);

    let mut late = fixture.jobs.watch(id, WatchOptions::default()).unwrap();
    let event = next(&mut late).await;
    assert!(event.id >= second.id && event.status == Status::Processing, "{event:?}");
    let mut back = fixture.jobs.watch(id, after(first.id)).unwrap();
    assert_eq!(next(&mut back).await, second);
    let mut with_an_unknown_id = fixture.jobs.watch(id, after(1_000_000)).unwrap();
    assert!(next(&mut with_an_unknown_id).await.id >= second.id);

    fixture.jobs.cancel(id).unwrap();
    let mut last = next(&mut back).await;
    while let Some(event) = back.next().await {
        assert_eq!(event.id, last.id + 1);
        last = event;
    }
    assert_eq!(last.status, Status::Cancelled);
}

#[tokio::test]
async fn a_watcher_that_falls_far_behind_loses_the_oldest_events_only() {
    let fixture = fixture(1, 10);
    let held = fixture.submit("hold");
    let id = fixture.submit("500");
    let mut watcher = fixture.jobs.watch(id, WatchOptions::default()).unwrap();
    drop(fixture.jobs.watch(id, WatchOptions { after: None, previews: true }).unwrap());
    fixture.controls.open.store(true, Ordering::Relaxed);
    fixture.until(held, Status::Completed);
    fixture.until(id, Status::Completed);
    let mut events = vec![next(&mut watcher).await];
    while let Some(event) = watcher.next().await {
        events.push(event);
    }
    assert_eq!(events.len(), 256);
    assert!(events.iter().all(|event| event.preview.is_none()), "no watcher wants previews");
    assert_eq!((events[255].id, events[255].status), (502, Status::Completed));
}

#[tokio::test]
async fn a_watcher_that_has_seen_the_end_and_reconnects_sees_it_again() {
    let fixture = fixture(1, 10);
    let id = fixture.submit("deaf");
    fixture.until(id, Status::Processing);
    fixture.jobs.cancel(id).unwrap();
    // The engine has not noticed yet, so the events are still in memory.
    let last = fixture.events(id).await.pop().unwrap();
    assert_eq!(last.status, Status::Cancelled);
    let mut back = fixture.jobs.watch(id, after(last.id)).unwrap();
    assert_eq!(next(&mut back).await, last);
    assert_eq!(back.next().await, None);
    // Once it has, they come from the store.
    let other = fixture.submit("1");
    fixture.until(other, Status::Completed);
    let mut back = fixture.jobs.watch(id, after(last.id)).unwrap();
    assert_eq!(next(&mut back).await, last);
    assert_eq!(back.next().await, None);
}

#[tokio::test]
async fn a_task_that_has_ended_has_one_event() {
    let fixture = fixture(1, 10);
    let [good, bad] = ["1", "fail"].map(|request| fixture.submit(request));
    fixture.until(bad, Status::Error);
    let events = fixture.events(good).await;
    assert_eq!(events.len(), 1);
    assert_eq!((events[0].status, events[0].progress.percent()), (Status::Completed, 100));
    let events = fixture.events(bad).await;
    assert_eq!((events[0].status, events[0].error.as_deref()), (Status::Error, Some("out of paint")));
}

#[tokio::test]
async fn a_watcher_after_the_end_gets_the_last_event_unchanged() {
    let fixture = fixture(1, 10);
    let held = fixture.submit("hold");
    let mut ended = Vec::new();
    for (request, cancel) in [("3", false), ("fail", false), ("panic", false), ("3", true)] {
        let id = fixture.jobs.submit(&NewTask { steps: 3, ..new_task(request) }).unwrap().id;
        let watcher = fixture.jobs.watch(id, WatchOptions::default()).unwrap();
        if cancel {
            fixture.jobs.cancel(id).unwrap();
        }
        ended.push((id, watcher));
    }
    fixture.controls.open.store(true, Ordering::Relaxed);
    for (id, mut watcher) in ended {
        let first = next(&mut watcher).await;
        assert_eq!(first.progress.steps, 3, "known before an engine is asked");
        let mut last = first;
        while let Some(event) = watcher.next().await {
            last = event;
        }
        assert_eq!(last.progress.steps, 3);
        assert_eq!(fixture.events(id).await, [last]);
    }
    fixture.until(held, Status::Completed);
}
