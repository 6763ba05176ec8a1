//! Reading GPU memory back while the GPU keeps working.

use parking_lot::Mutex;
use std::ops::{Bound, Range as StdRange, RangeBounds};
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};

use futures_channel::oneshot;

use crate::faults::Loss;
use crate::recorder::{Binding, Range};
use crate::{Buffer, Context, Error, Result};

/// The most bytes of mappable memory that are kept for later readings.
const KEPT_BYTES: u64 = 64 << 20;

/// A pending readback. There may be several at a time. Dropping one abandons it.
///
/// Awaiting it natively waits for the GPU on the calling thread; in a browser it yields to the event loop.
#[must_use = "the result of a reading is only available by awaiting it"]
pub struct Reading {
    context: Context,
    state: State,
}

enum State {
    Failed(Error),
    Mapping(Mapping),
    Ready(Vec<u8>),
    Taken,
}

struct Mapping {
    staging: wgpu::Buffer,
    receiver: oneshot::Receiver<Result<(), wgpu::BufferAsyncError>>,
    #[cfg_attr(target_arch = "wasm32", expect(dead_code, reason = "a browser can't wait for a submit"))]
    submit: Option<wgpu::SubmissionIndex>,
    within: StdRange<usize>,
    loss: Loss,
}

/// Mappable buffers, by use.
#[derive(Default)]
pub(crate) struct Staging(Mutex<Vec<wgpu::Buffer>>);

impl Staging {
    /// A buffer of at least `size` bytes.
    pub(crate) fn take(&self, device: &wgpu::Device, size: u64) -> wgpu::Buffer {
        let mut free = self.0.lock();
        let fitting = free.iter().enumerate().filter(|(_, buffer)| buffer.size() >= size);
        if let Some((place, _)) = fitting.min_by_key(|(_, buffer)| buffer.size()) {
            return free.swap_remove(place);
        }
        device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("staging"),
            // A buffer that will not be kept has exactly the required size.
            size: if size > KEPT_BYTES { size } else { size.next_power_of_two().max(4096) },
            usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        })
    }

    fn put(&self, buffer: wgpu::Buffer) {
        let mut free = self.0.lock();
        let held: u64 = free.iter().map(wgpu::Buffer::size).sum();
        if held + buffer.size() <= KEPT_BYTES {
            free.push(buffer);
        }
    }
}

impl Reading {
    pub(crate) fn start(context: &Context, buffer: &Buffer, range: impl RangeBounds<u64>) -> Self {
        let state = Self::record(context, buffer, range).unwrap_or_else(State::Failed);
        Self { context: context.clone(), state }
    }

    /// Maps the first `bytes` bytes of `staging`, which the given submit fills.
    pub(crate) fn mapping(
        context: &Context,
        staging: wgpu::Buffer,
        submit: wgpu::SubmissionIndex,
        bytes: usize,
    ) -> Self {
        let mapping = Mapping::new(context, staging, Some(submit), 0..bytes);
        Self { context: context.clone(), state: State::Mapping(mapping) }
    }

    fn record(context: &Context, buffer: &Buffer, range: impl RangeBounds<u64>) -> Result<State> {
        let start = match range.start_bound() {
            Bound::Included(&start) => start,
            Bound::Excluded(&before) => before.saturating_add(1),
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(&last) => last.saturating_add(1),
            Bound::Excluded(&end) => end,
            Bound::Unbounded => buffer.bytes(),
        };
        let bytes = end.saturating_sub(start);
        buffer.check("a read", start, bytes, 1)?;
        context.0.faults.check()?;
        let mut recorder = context.recorder();
        if recorder.capture.is_some() {
            return Err(Error::Capture { what: "a read" });
        }
        if bytes == 0 {
            return Ok(State::Ready(Vec::new()));
        }
        // Copies start and end at multiples of four.
        let first = start / 4 * 4;
        let size = end.next_multiple_of(4) - first;
        let staging = context.0.staging.take(&context.0.device, size);
        let source = Binding { offset: buffer.offset() + first, size, ..Binding::of(buffer) };
        recorder.push_copy(Range::of(&source), Range { buffer: staging.clone(), offset: 0, bytes: size });
        let submit = context.submit(&mut recorder);
        drop(recorder);
        let within = (start - first) as usize..(end - first) as usize;
        Ok(State::Mapping(Mapping::new(context, staging, submit, within)))
    }

    /// Whether the result is ready. Never blocks.
    pub fn is_ready(&mut self) -> bool {
        self.context.poll();
        if let State::Mapping(mapping) = &mut self.state {
            match mapping.receiver.try_recv() {
                Ok(None) => return false,
                Ok(Some(result)) => self.finish(result.is_ok()),
                Err(oneshot::Canceled) => self.finish(false),
            }
        }
        true
    }

    /// Takes the bytes after the mapping succeeded or failed.
    fn finish(&mut self, mapped: bool) {
        let State::Mapping(mapping) = std::mem::replace(&mut self.state, State::Taken) else { return };
        let bytes = if mapped { mapping.take() } else { None };
        self.state = match bytes {
            Some(bytes) => {
                mapping.staging.unmap();
                self.context.0.staging.put(mapping.staging);
                State::Ready(bytes)
            }
            None => State::Failed(self.failure()),
        };
    }

    fn failure(&self) -> Error {
        let unmapped = Error::Device { reason: "a buffer could not be mapped".to_owned() };
        self.context.0.faults.check().err().unwrap_or(unmapped)
    }
}

impl Mapping {
    /// Maps the range `within` of `staging`, which `submit` fills.
    fn new(
        context: &Context,
        staging: wgpu::Buffer,
        submit: Option<wgpu::SubmissionIndex>,
        within: StdRange<usize>,
    ) -> Self {
        let (sender, receiver) = oneshot::channel();
        let range = 0..within.end.next_multiple_of(4) as u64;
        // The receiver may have been dropped.
        let tell = move |result| drop(sender.send(result));
        #[cfg(target_arch = "wasm32")]
        let tell = {
            let faults = context.0.faults.clone();
            move |result: Result<_, _>| {
                if result.is_ok() { tell(result) } else { faults.after_loss(move || tell(result)) }
            }
        };
        staging.map_async(wgpu::MapMode::Read, range, tell);
        Self { staging, receiver, submit, within, loss: context.0.faults.loss() }
    }

    fn take(&self) -> Option<Vec<u8>> {
        let end = self.within.end.next_multiple_of(4) as u64;
        let view = self.staging.get_mapped_range(0..end).ok()?;
        view.get(self.within.clone()).map(<[u8]>::to_vec)
    }
}

impl Future for Reading {
    type Output = Result<Vec<u8>>;

    fn poll(self: Pin<&mut Self>, task: &mut TaskContext<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        if let State::Mapping(mapping) = &mut this.state {
            #[cfg(not(target_arch = "wasm32"))]
            {
                let wait = wgpu::PollType::Wait { submission_index: mapping.submit.take(), timeout: None };
                // A failure here is a lost device, which the callback reports.
                let _ = this.context.0.device.poll(wait);
            }
            match Pin::new(&mut mapping.receiver).poll(task) {
                Poll::Pending if Pin::new(&mut mapping.loss).poll(task).is_ready() => this.finish(false),
                Poll::Pending => return Poll::Pending,
                Poll::Ready(result) => this.finish(matches!(result, Ok(Ok(())))),
            }
        }
        Poll::Ready(match std::mem::replace(&mut this.state, State::Taken) {
            State::Ready(bytes) => this.context.0.faults.check().map(|()| bytes),
            State::Failed(error) => Err(error),
            State::Mapping(_) | State::Taken => Err(Error::Device { reason: "a reading was awaited twice".to_owned() }),
        })
    }
}
