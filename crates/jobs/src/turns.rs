//! Whose turn it is: tasks of models that are loaded may overtake the first task that waits, within bounds.
//!
//! Loading a model can take longer than drawing with it, and a model that comes may drive another out. Where tasks of
//! several models wait, taking them in the order of arrival could load a model for each of them. So the queue first takes
//! tasks of models that are in memory. Priorities still come first: a task overtakes only those of its own priority.
//!
//! A task can be overtaken in two ways too often, and each has its bound:
//!
//! - [`OVERTAKEN`] tasks at most overtake the same one. A model is then loaded once for about as many pictures as it draws
//!   anyway in the time that loading takes, so that a larger bound would save little.
//! - For [`PATIENCE`] at most, for tasks may take minutes each. It is well below the time after which the usual HTTP clients
//!   give up, which is five to ten minutes.
//!
//! The time begins when a task is overtaken for the first time, not when it arrives: in a long queue all tasks are old, and
//! there the order matters most. A task that was overtaken often enough is the next one to be taken. What was overtaken is
//! known to one process only: a restart, or another host at the same store, begins to count anew.

use crate::Priority;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// How many tasks may overtake the same one.
pub(crate) const OVERTAKEN: usize = 16;

/// For how long a task may be overtaken.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// What a claim prefers; by default nothing, and the first waiting task is claimed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Preference {
    /// The models whose tasks may overtake the first waiting one, if that is of another model.
    pub models: Vec<String>,
    /// The tasks that must not be overtaken any more, by number.
    pub due: Vec<i64>,
}

impl Preference {
    /// Whether a waiting task may be overtaken. One that names no model loads none, so nothing is gained.
    pub(crate) fn may_overtake(&self, number: i64, model: &str) -> bool {
        !model.is_empty() && !self.models.iter().any(|loaded| loaded == model) && !self.due.contains(&number)
    }
}

/// The first waiting task of a priority, when another one was claimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overtaken {
    /// Its priority.
    pub priority: Priority,
    /// Its number in the order of arrival.
    pub number: i64,
}

/// The tasks that are being overtaken: at most one of each priority, its first.
#[derive(Default)]
pub(crate) struct Turns(Mutex<HashMap<Priority, Passed>>);

/// How often a task was overtaken, and since when.
#[derive(Clone, Copy)]
struct Passed {
    number: i64,
    times: usize,
    since: Instant,
}

impl Turns {
    /// What a claim prefers now, with these models in memory.
    pub(crate) fn preference(&self, models: Vec<String>, now: Instant) -> Preference {
        let is_due = |passed: &&Passed| passed.times >= OVERTAKEN || now.duration_since(passed.since) >= PATIENCE;
        let due = self.0.lock().values().filter(is_due).map(|passed| passed.number).collect();
        Preference { models, due }
    }

    /// A claim has overtaken this task.
    pub(crate) fn overtook(&self, overtaken: Overtaken, now: Instant) {
        let Overtaken { priority, number } = overtaken;
        let first = Passed { number, times: 0, since: now };
        let mut passed = self.0.lock();
        let passed = passed.entry(priority).or_insert(first);
        if passed.number != number {
            *passed = first;
        }
        passed.times += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn overtaken(priority: Priority, number: i64) -> Overtaken {
        Overtaken { priority, number }
    }

    fn due(turns: &Turns, now: Instant) -> Vec<i64> {
        turns.preference(vec!["a".into()], now).due
    }

    #[test]
    fn a_task_is_due_once_enough_others_have_overtaken_it() {
        let turns = Turns::default();
        let now = Instant::now();
        for _ in 0..OVERTAKEN {
            assert!(due(&turns, now).is_empty());
            turns.overtook(overtaken(Priority::Normal, 7), now);
        }
        assert_eq!(due(&turns, now), [7]);
        turns.overtook(overtaken(Priority::Normal, 9), now);
        assert!(due(&turns, now).is_empty(), "another one is first now");
    }

    #[test]
    fn a_task_is_due_once_it_was_overtaken_for_long_enough() {
        let turns = Turns::default();
        let began = Instant::now();
        turns.overtook(overtaken(Priority::Normal, 7), began);
        turns.overtook(overtaken(Priority::Normal, 7), began + PATIENCE / 2);
        assert!(due(&turns, began + PATIENCE / 2).is_empty());
        assert_eq!(due(&turns, began + PATIENCE), [7]);
    }

    #[test]
    fn a_task_of_a_higher_priority_does_not_start_the_count_anew() {
        let turns = Turns::default();
        let now = Instant::now();
        for _ in 0..OVERTAKEN {
            turns.overtook(overtaken(Priority::Normal, 7), now);
            turns.overtook(overtaken(Priority::High, 8), now);
        }
        let mut all = due(&turns, now);
        all.sort_unstable();
        assert_eq!(all, [7, 8]);
    }

    #[test]
    fn what_is_loaded_or_due_or_loads_nothing_is_not_overtaken() {
        let preference = Preference { models: vec!["a".into()], due: vec![3] };
        assert!(preference.may_overtake(1, "b"));
        assert!(!preference.may_overtake(1, "a"));
        assert!(!preference.may_overtake(3, "b"));
        assert!(!preference.may_overtake(1, ""));
    }
}
