//! Weights that are read when a network takes them, and parts of networks that are built each time they work.
//!
//! A network hands each of its parts (its blocks) to [`Weights::part`]. Ordinarily a part is built there and then. Where the
//! weights are streamed, it is only checked, and [`Part::with`] builds it, lets it work and drops it. While one part works, a
//! thread of its own builds the next, in the order in which the parts were made; after the last comes the first. So two of
//! them are held at a time.

use super::handle::Weights;
use super::index::TensorIndex;
use super::send::Shareable;
use crate::lock::lock;
use crate::tensor::OutlineDevice;
use crate::{DType, Device, Error, Result, Tensor};
use easel_cpu::{Level, parallel};
use std::any::Any;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

/// Where tensors are read from when they are taken.
#[derive(Clone)]
pub(super) struct Lazy {
    index: Arc<TensorIndex>,
    device: Device,
    dtype: Option<DType>,
    stream: Arc<Stream>,
}

impl Lazy {
    fn new(index: &TensorIndex, device: &Device, dtype: Option<DType>) -> Self {
        Self { index: Arc::new(index.clone()), device: device.clone(), dtype, stream: Arc::default() }
    }

    /// The same tensors without their numbers.
    fn outlined(&self) -> Self {
        let device = Device::Outline(OutlineDevice::of(&self.device));
        Self { device, ..self.clone() }
    }

    pub(super) fn contains(&self, name: &str) -> bool {
        self.index.get(name).is_some_and(|view| view.weight_type().is_some())
    }

    pub(super) fn take(&self, name: &str) -> Result<Option<Tensor>> {
        pollster::block_on(self.index.load_one(name, &self.device, self.dtype))
    }

    /// The names of all weights.
    pub(super) fn names(&self) -> BTreeSet<String> {
        self.index.iter().filter(|(name, _)| self.contains(name)).map(|(name, _)| name.to_owned()).collect()
    }
}

/// Weights that are read when they are taken.
pub(super) fn open(index: &TensorIndex, device: &Device, dtype: Option<DType>) -> Result<Weights> {
    Ok(Weights::streamed(index.file(), Lazy::new(index, device, dtype)))
}

/// A part as threads hand it over.
type Built = Box<dyn Any + Send>;

/// Builds a part.
type Builder = Arc<dyn Fn() -> Result<Built> + Send + Sync>;

/// The parts of one network in the order in which they work.
#[derive(Default)]
pub(super) struct Stream {
    builders: Mutex<Vec<Builder>>,
    ahead: Mutex<Option<Ahead>>,
}

/// The part that is built before it is asked for.
struct Ahead {
    index: usize,
    building: Building,
}

enum Building {
    Thread(JoinHandle<Result<Built>>),
    /// On the spot, in a plan: there is nothing to wait for.
    Here(Result<Built>),
}

impl Building {
    fn wait(self) -> Result<Built> {
        match self {
            Self::Here(built) => built,
            Self::Thread(thread) => thread.join().unwrap_or_else(|_| {
                Err(Error::Backend { op: "offload", reason: "the thread that reads ahead has panicked".into() })
            }),
        }
    }
}

impl Stream {
    /// Part number `index`, built ahead or now.
    fn take(&self, index: usize) -> Result<Built> {
        let ahead = lock(&self.ahead).take();
        match ahead {
            Some(ahead) if ahead.index == index => ahead.building.wait(),
            // Another one, because some were left out: it goes before this one takes its room.
            other => {
                drop(other.map(|ahead| ahead.building.wait()));
                self.builder(index)?()
            }
        }
    }

    /// Begins with the part that comes after `index`.
    fn read_ahead(&self, index: usize, device: &Device) -> Result<()> {
        let next = (index + 1) % lock(&self.builders).len().max(1);
        let builder = self.builder(next)?;
        let building = match device {
            Device::Outline(_) => Building::Here(builder()),
            _ => {
                let level = Level::current();
                Building::Thread(std::thread::spawn(move || level.with(|| parallel::alone(|| builder()))))
            }
        };
        *lock(&self.ahead) = Some(Ahead { index: next, building });
        Ok(())
    }

    fn builder(&self, index: usize) -> Result<Builder> {
        let missing = || Error::Backend { op: "offload", reason: format!("there is no part {index}") };
        lock(&self.builders).get(index).cloned().ok_or_else(missing)
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if let Some(ahead) = lock(&self.ahead).take() {
            drop(ahead.building.wait());
        }
    }
}

/// A part of a network: held, or built from its weights each time it works.
pub struct Part<B>(Kind<B>);

enum Kind<B> {
    Held(B),
    Streamed { index: usize, lazy: Lazy },
}

impl<B: Shareable + 'static> Part<B> {
    /// Lets the part work.
    ///
    /// # Errors
    /// Those of `work`, and where weights are streamed those of reading them.
    pub fn with<R>(&self, work: impl FnOnce(&B) -> Result<R>) -> Result<R> {
        match &self.0 {
            Kind::Held(part) => work(part),
            Kind::Streamed { index, lazy } => {
                let built = lazy.stream.take(*index)?;
                lazy.stream.read_ahead(*index, &lazy.device)?;
                let part = built.downcast_ref::<B>();
                let wrong = || Error::Backend { op: "offload", reason: format!("part {index} is another") };
                work(part.ok_or_else(wrong)?)
            }
        }
    }
}

impl Weights {
    /// A part of a network, built by `build` from the weights under this prefix: now, or where weights are streamed each time
    /// that it works. Parts are made in the order in which they work.
    ///
    /// # Errors
    /// Those of `build`, also where weights are streamed: names and shapes are checked now.
    pub fn part<B: Shareable + 'static>(
        &self,
        build: impl Fn(&Self) -> Result<B> + Shareable + 'static,
    ) -> Result<Part<B>> {
        let Some(lazy) = self.lazy() else { return build(self).map(|part| Part(Kind::Held(part))) };
        build(&self.reading(lazy.outlined()))?;
        // Without a hold on the stream that has the builder.
        let apart = Lazy { stream: Arc::default(), ..lazy.clone() };
        let weights = self.reading(apart);
        let mut builders = lock(&lazy.stream.builders);
        let index = builders.len();
        builders.push(Arc::new(move || Ok(Box::new(build(&weights)?) as Built)));
        Ok(Part(Kind::Streamed { index, lazy: lazy.clone() }))
    }
}
