//! Positions in the queue, of single tasks and of pages.

use crate::home::host;
use easel_jobs::{NewTask, Preference, Priority, Status, Store, TaskId, TaskQuery};
use tempfile::TempDir;

#[test]
fn positions_in_the_queue_match_the_order_of_claims() {
    let folder = TempDir::new().unwrap();
    let store = host(&folder);
    for priority in [Priority::Low, Priority::High, Priority::Normal].into_iter().cycle().take(30) {
        store.submit(&NewTask { priority, ..NewTask::default() }, 30).unwrap();
    }
    let positions = |ids: &[TaskId]| {
        let standings = store.standings(ids).unwrap();
        standings.iter().map(|standing| standing.position).collect::<Vec<_>>()
    };
    for claimed in 0..3 {
        let waiting = store.tasks(&TaskQuery { status: Some(Status::Pending), limit: 100, offset: 0 }).unwrap();
        assert_eq!(waiting.total, 30 - claimed);
        // A page has the newest task first.
        let mut in_order = waiting.items.clone();
        in_order.reverse();
        in_order.sort_by_key(|task| std::cmp::Reverse(task.priority));
        let ids: Vec<TaskId> = in_order.iter().map(|task| task.id).collect();
        assert_eq!(positions(&ids), (0..ids.len()).map(Some).collect::<Vec<_>>());
        for (place, id) in ids.iter().enumerate() {
            assert_eq!(positions(&[*id]), [Some(place)], "of one task");
        }
        // A few of them in another order, with an unknown one among them.
        assert_eq!(positions(&[ids[20], TaskId::nil(), ids[3], ids[11]]), [Some(20), None, Some(3), Some(11)]);
        assert_eq!(store.claim(&Preference::default()).unwrap().unwrap().task.id, ids[0]);
    }
}
