//! What has to happen before a task can have its model: a function of what is in memory.
//!
//! Every model that is held has a place, which counts the bytes of its weights and, while tasks use it, what they take
//! besides, both as planned (`easel_inference::pipeline::Needs`). The sum of all places never exceeds the bound: models that
//! no task uses leave for others, the least recently used one first; where that is not enough, the task waits for those at
//! work. One model is loaded at a time: two at once would be ready no sooner.

use crate::serve::target::Target;
use easel_inference::pipeline::{Keeping, Needs};
use std::time::Instant;

/// What a model takes for a task if its components are held in one way, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Size {
    /// Its weights, which stay.
    pub(super) weights: u64,
    /// What is taken besides while it is loaded or works.
    pub(super) work: u64,
}

impl Size {
    /// For tasks with these drawings; nothing if it is not known what they take.
    pub(super) fn of(needs: &[Needs], keeping: Keeping) -> Self {
        let most =
            |bytes: fn(&Needs, Keeping) -> u64| needs.iter().map(|needs| bytes(needs, keeping)).max().unwrap_or(0);
        let weights = most(weights);
        Self { weights, work: most(Needs::peak).saturating_sub(weights) }
    }

    fn all(self) -> u64 {
        self.weights.saturating_add(self.work)
    }
}

/// What stays in memory between two tasks.
fn weights(needs: &Needs, keeping: Keeping) -> u64 {
    match keeping {
        Keeping::All => needs.components.iter().map(|component| component.weights).sum(),
        Keeping::InTurn | Keeping::Offload => 0,
    }
}

/// A model in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// What it is called.
    pub(super) model: String,
    /// Where it computes.
    pub(super) device: Target,
    /// How its components are held.
    pub(super) keeping: Keeping,
    /// What it takes, with all tasks that use it.
    pub(super) size: Size,
    /// How many tasks use it.
    pub(super) users: usize,
    /// Whether it is being loaded, for one of them.
    pub(super) is_loading: bool,
    /// When a task has last begun or ended to use it.
    pub(super) used: Instant,
}

/// What a task wants.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted<'a> {
    /// The model.
    pub(super) model: &'a str,
    /// Where it shall compute.
    pub(super) device: Target,
    /// What each of the task's drawings takes; empty if that is not known.
    pub(super) needs: &'a [Needs],
    /// The ways to hold the model that are considered, the fastest first.
    pub(super) ways: &'a [Keeping],
}

impl Wanted<'_> {
    /// Whether this place has what the task wants.
    fn is(&self, place: &Place) -> bool {
        place.model == self.model && place.device == self.device
    }

    /// Whether this place is on another GPU than the task, at which another engine works.
    fn is_apart(&self, place: &Place) -> bool {
        place.device.kind == self.device.kind && place.device != self.device
    }
}

/// How much may be held.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Bytes that all models may take together; `None` if nobody knows.
    pub(super) memory: Option<u64>,
    /// The most models, on each GPU if engines have their own.
    pub(super) models: usize,
}

/// What has to happen next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// The models at these indices leave, and the task uses the one at `index`, with this much more work.
    Use { index: usize, leave: Vec<usize>, work: u64 },
    /// The models at these indices leave, and the model is loaded.
    Load { keeping: Keeping, size: Size, leave: Vec<usize> },
    /// Nothing, until a model was loaded or a task has ended.
    Wait,
    /// It takes more than there is, even alone.
    Refuse,
}

/// The next step for a task.
pub(super) fn next(places: &[Place], wanted: &Wanted<'_>, bounds: Bounds) -> Step {
    let own = places.iter().position(|place| wanted.is(place));
    let is_busy = places.iter().any(|place| place.users > 0);
    let Some((keeping, size)) = way(wanted, bounds.memory) else {
        // There may be more memory once the others have ended.
        return if is_busy { Step::Wait } else { Step::Refuse };
    };
    if let Some(index) = own {
        let place = &places[index];
        if place.keeping == keeping && !place.is_loading {
            let room = Room { size: Size { weights: 0, work: size.work }, models: 0, own };
            let made = room.made(places, wanted, bounds);
            return made.map_or(Step::Wait, |leave| Step::Use { index, leave, work: size.work });
        }
        if place.users > 0 {
            return Step::Wait;
        }
    }
    if places.iter().any(|place| place.is_loading) {
        return Step::Wait;
    }
    let made = Room { size, models: 1, own: None }.made(places, wanted, bounds);
    made.map_or(Step::Wait, |leave| Step::Load { keeping, size, leave })
}

/// The fastest way to hold a model for which there is enough memory if it is alone.
fn way(wanted: &Wanted<'_>, memory: Option<u64>) -> Option<(Keeping, Size)> {
    let mut ways = wanted.ways.iter().map(|keeping| (*keeping, Size::of(wanted.needs, *keeping)));
    ways.find(|(_, size)| memory.is_none_or(|memory| size.all() <= memory))
}

/// Room that a task needs.
struct Room {
    size: Size,
    /// How many more models there will be.
    models: usize,
    /// The model that must stay for it.
    own: Option<usize>,
}

impl Room {
    /// Who leaves so that there is this room: idle models, those of other devices and the wanted one itself if it is to be
    /// loaded anew, then the least recently used ones. `None` if the room is not there even then.
    fn made(&self, places: &[Place], wanted: &Wanted<'_>, bounds: Bounds) -> Option<Vec<usize>> {
        let mut idle: Vec<usize> = (0..places.len()).filter(|index| places[*index].users == 0).collect();
        idle.retain(|index| Some(*index) != self.own && !wanted.is_apart(&places[*index]));
        idle.sort_by_key(|index| places[*index].used);
        let must_leave = |index: &usize| {
            let place = &places[*index];
            self.own.is_none() && (place.device != wanted.device || wanted.is(place))
        };
        let (mut leave, idle): (Vec<usize>, Vec<usize>) = idle.into_iter().partition(must_leave);
        let mut idle = idle.into_iter();
        while !self.fits(places, &leave, wanted, bounds) {
            leave.push(idle.next()?);
        }
        leave.sort_unstable();
        Some(leave)
    }

    fn fits(&self, places: &[Place], leave: &[usize], wanted: &Wanted<'_>, bounds: Bounds) -> bool {
        let stay = || places.iter().enumerate().filter(|(index, _)| !leave.contains(index)).map(|(_, place)| place);
        let taken = stay().fold(self.size.all(), |sum, place| sum.saturating_add(place.size.all()));
        let has_memory = bounds.memory.is_none_or(|memory| taken <= memory);
        let beside = stay().filter(|place| !wanted.is_apart(place)).count();
        has_memory && (self.models == 0 || beside + self.models <= bounds.models)
    }
}

#[cfg(test)]
mod tests;
