//! Random operations on the store and on a simple model of it.

use crate::home;
use easel_jobs::{
    Ending, Error, Last, NewPicture, NewTask, PictureQuery, Preference, Priority, Progress, Selection, Status, Store,
    TaskId, TaskQuery,
};
use proptest::prelude::*;
use std::sync::Arc;
use tempfile::TempDir;

const CAPACITY: usize = 3;

/// The last event of tasks that an engine ends.
const LAST: Last = Last { event: 7, progress: Progress { step: 1, steps: 2 } };

#[derive(Clone, Debug)]
enum Step {
    Submit(Priority, &'static str),
    /// With these models preferred, and the first task due or not.
    Claim(Vec<&'static str>, bool),
    /// The index among all tasks ever accepted.
    Complete(usize),
    Fail(usize),
    Release(usize),
    Cancel(usize),
    Delete(Option<Status>),
    DeleteOne(usize, Option<Status>),
    /// The process is killed and started again.
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    let priority = prop_oneof![Just(Priority::Low), Just(Priority::Normal), Just(Priority::High)];
    let model = proptest::sample::select(vec!["", "a", "b"]);
    let preferred = proptest::collection::vec(proptest::sample::select(vec!["a", "b"]), 0..3);
    let place = 0..12usize;
    let status = proptest::option::of(proptest::sample::select(Status::ALL.to_vec()));
    prop_oneof![
        4 => (priority, model).prop_map(|(priority, model)| Step::Submit(priority, model)),
        4 => (preferred, any::<bool>()).prop_map(|(models, is_due)| Step::Claim(models, is_due)),
        2 => place.clone().prop_map(Step::Complete),
        1 => place.clone().prop_map(Step::Fail),
        1 => place.clone().prop_map(Step::Release),
        2 => place.clone().prop_map(Step::Cancel),
        1 => status.clone().prop_map(Step::Delete),
        1 => (place, status).prop_map(|(place, status)| Step::DeleteOne(place, status)),
        1 => Just(Step::Restart),
    ]
}

/// A task in the model.
#[derive(Clone, Debug)]
struct Model {
    id: TaskId,
    status: Status,
    priority: Priority,
    model: &'static str,
    attempts: u32,
    is_deleted: bool,
    has_pictures: bool,
}

/// Store and model side by side.
struct Pair {
    folder: TempDir,
    store: Option<Arc<dyn Store>>,
    tasks: Vec<Model>,
}

impl Pair {
    fn store(&self) -> &dyn Store {
        self.store.as_deref().unwrap()
    }

    fn with(&self, status: Status) -> impl DoubleEndedIterator<Item = &Model> {
        self.tasks.iter().filter(move |task| !task.is_deleted && task.status == status)
    }

    /// The index of the first waiting task.
    fn first(&self) -> Option<usize> {
        let waiting = |place: &usize| self.tasks[*place].status == Status::Pending;
        // `max_by_key` takes the last of equals, and the places go backwards.
        (0..self.tasks.len()).rev().filter(waiting).max_by_key(|place| self.tasks[*place].priority)
    }

    fn run(&mut self, step: &Step) {
        match *step {
            Step::Submit(priority, model) => self.submit(priority, model),
            Step::Claim(ref models, is_due) => self.claim(models, is_due),
            Step::Complete(place) => self.end(place, &Ending::Completed(vec![picture(), picture()])),
            Step::Fail(place) => self.end(place, &Ending::Error("no".into())),
            Step::Release(place) => self.end(place, &Ending::Released),
            Step::Cancel(place) => self.cancel(place),
            Step::Delete(status) => self.delete(status),
            Step::DeleteOne(place, status) => self.delete_one(place, status),
            Step::Restart => self.restart(),
        }
    }

    fn submit(&mut self, priority: Priority, model: &'static str) {
        let new = NewTask {
            prompt: "a cat".into(),
            request: vec![1, 2, 3],
            priority,
            seed: 1 << 63,
            steps: 2,
            model: model.into(),
        };
        let submitted = self.store().submit(&new, CAPACITY);
        // A released task is never refused, so the queue may exceed its capacity.
        if self.with(Status::Pending).count() >= CAPACITY {
            return assert!(matches!(submitted, Err(Error::QueueFull { capacity: CAPACITY })));
        }
        let id = submitted.unwrap().id;
        let status = Status::Pending;
        self.tasks.push(Model { id, status, priority, model, attempts: 0, is_deleted: false, has_pictures: false });
    }

    /// The index of the waiting task that overtakes the first one: the earliest of its priority with one of these models.
    fn overtaking(&self, first: usize, models: &[&'static str]) -> Option<usize> {
        let Model { priority, model, .. } = self.tasks[first];
        let fits = |task: &Model| task.priority == priority && models.contains(&task.model);
        let is_overtaken = !model.is_empty() && !models.contains(&model);
        self.tasks.iter().position(|task| task.status == Status::Pending && fits(task)).filter(|_| is_overtaken)
    }

    fn claim(&mut self, models: &[&'static str], is_due: bool) {
        let first = self.first();
        // The store numbers what it accepts, from 1.
        let due = first.filter(|_| is_due).map(|place| i64::try_from(place + 1).unwrap());
        let named = models.iter().map(|model| (*model).to_owned()).collect();
        let preference = Preference { models: named, due: due.into_iter().collect() };
        let claimed = self.store().claim(&preference).unwrap();
        let overtaking = first.filter(|_| !is_due).and_then(|first| self.overtaking(first, models));
        let place = overtaking.or(first);
        assert_eq!(claimed.as_ref().map(|claimed| claimed.task.id), place.map(|place| self.tasks[place].id));
        if let (Some(claimed), Some(place)) = (claimed, place) {
            assert_eq!(claimed.request, [1, 2, 3]);
            assert_eq!(claimed.overtaken.is_some(), overtaking.is_some());
            self.tasks[place].status = Status::Processing;
            self.tasks[place].attempts += 1;
        }
    }

    fn end(&mut self, place: usize, ending: &Ending) {
        let Some(task) = self.tasks.get(place).cloned().filter(|task| !task.is_deleted) else { return };
        let ended = self.store().end(task.id, ending, LAST).unwrap();
        assert_eq!(ended, task.status == Status::Processing);
        if ended {
            let task = &mut self.tasks[place];
            task.status = ending.status();
            task.has_pictures = task.status == Status::Completed;
            task.attempts -= u32::from(task.status == Status::Pending);
        }
    }

    fn cancel(&mut self, place: usize) {
        let Some(task) = self.tasks.get(place).cloned() else { return };
        match self.store().cancel(task.id, None, &[picture(), picture()]) {
            Ok(before) => {
                assert_eq!(before.status, task.status);
                assert!(!task.status.is_end() && !task.is_deleted);
                self.tasks[place].status = Status::Cancelled;
                self.tasks[place].has_pictures = task.status == Status::Processing;
            }
            Err(Error::UnknownTask { .. }) => assert!(task.is_deleted),
            Err(Error::AlreadyEnded { status, .. }) => assert!(task.status.is_end() && status == task.status),
            Err(error) => panic!("{error}"),
        }
    }

    fn delete(&mut self, status: Option<Status>) {
        let deleted = self.store().delete_tasks(&Selection { ids: None, status }).unwrap();
        let mut count = 0;
        for task in self.tasks.iter_mut().filter(|task| !task.is_deleted && task.status.is_end()) {
            task.is_deleted = status.is_none_or(|status| status == task.status);
            count += usize::from(task.is_deleted);
        }
        assert_eq!(deleted, count);
    }

    fn delete_one(&mut self, place: usize, status: Option<Status>) {
        let Some(task) = self.tasks.get(place).cloned() else { return };
        let ids = Some(vec![task.id, TaskId::nil()]);
        let deleted = self.store().delete_tasks(&Selection { ids, status }).unwrap();
        let fits = status.is_none_or(|status| status == task.status);
        assert_eq!(deleted == 1, task.status.is_end() && !task.is_deleted && fits);
        self.tasks[place].is_deleted |= deleted == 1;
    }

    fn restart(&mut self) {
        self.store = None;
        home::all_die(&self.folder);
        self.store = Some(home::store(&self.folder));
        let recovered = self.store().recover().unwrap();
        let mut again = 0;
        let mut failed = 0;
        for task in self.tasks.iter_mut().filter(|task| task.status == Status::Processing) {
            let gives_up = task.attempts == home::ATTEMPTS;
            task.status = if gives_up { Status::Error } else { Status::Pending };
            *(if gives_up { &mut failed } else { &mut again }) += 1;
        }
        assert_eq!(recovered, (again, failed));
    }

    /// Compares every query's result with the model's.
    fn compare(&self) {
        let kept: Vec<&Model> = self.tasks.iter().rev().filter(|task| !task.is_deleted).collect();
        let page = self.store().tasks(&TaskQuery::default()).unwrap();
        let brief = |id, status, attempts| (id, status, attempts);
        let found: Vec<_> = page.items.iter().map(|task| brief(task.id, task.status, task.attempts)).collect();
        assert_eq!(found, kept.iter().map(|task| brief(task.id, task.status, task.attempts)).collect::<Vec<_>>());
        assert_eq!(page.total, kept.len());
        for task in &page.items {
            assert_eq!(task.completed_at.is_some(), task.status.is_end());
            assert_eq!(task.error.is_some(), task.status == Status::Error);
            assert_eq!(task.progress.steps, LAST.progress.steps);
            if task.last_event != 0 {
                assert_eq!((task.last_event, task.progress), (LAST.event, LAST.progress));
            }
            assert!(task.status != Status::Completed || task.last_event != 0);
        }
        let counts = self.store().counts().unwrap();
        for status in Status::ALL {
            assert_eq!(counts.of(status), self.with(status).count());
        }
        for priority in Priority::ALL {
            let waiting = self.with(Status::Pending).filter(|task| task.priority == priority);
            assert_eq!(counts.waiting(priority), waiting.count());
        }
        let first = self.first().map(|place| self.tasks[place].id);
        for task in kept {
            let position = self.store().standings(&[task.id]).unwrap()[0].position;
            assert_eq!(position.is_some(), task.status == Status::Pending);
            assert_eq!(position == Some(0), Some(task.id) == first);
        }
        let mut drawn: Vec<TaskId> = self.tasks.iter().filter(|task| task.has_pictures).map(|task| task.id).collect();
        drawn.sort_unstable();
        let pictures = self.store().pictures(&PictureQuery::default()).unwrap();
        let mut tasks: Vec<TaskId> = pictures.items.iter().map(|picture| picture.task).collect();
        tasks.sort_unstable();
        tasks.dedup();
        assert_eq!((tasks, pictures.total), (drawn.clone(), 2 * drawn.len()));
        assert!(pictures.items.iter().all(|picture| self.store().read(picture).unwrap() == "picture"));
        assert_eq!(home::files(&self.folder), pictures.total);
    }
}

fn picture() -> NewPicture {
    NewPicture { bytes: "picture".into(), media_type: "image/png".into(), seed: 1 << 63 }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: home::CASES, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn the_store_does_what_the_model_does(steps in proptest::collection::vec(step(), 1..40)) {
        let folder = TempDir::new().unwrap();
        let store = Some(home::store(&folder));
        let mut pair = Pair { folder, store, tasks: Vec::new() };
        for step in &steps {
            pair.run(step);
            pair.compare();
        }
    }
}
