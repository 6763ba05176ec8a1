//! A captured run of ops, which is resubmitted without repeating the host's work.
//!
//! A diffusion model repeats the same work in every step with other latents and another timestep. After capturing one
//! step, further steps only encode and submit commands, without allocations, bind groups or checks of shapes.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::buffer::Raw;
use crate::pipeline::Pipeline;
use crate::recorder::{
    Binding, Command, Dispatch, Range, SUBMIT_DISPATCHES, bind_group, encode, push_slot, uniform_arena,
};
use crate::{Buffer, Context, Error, Result};

/// Numbers of plans, by which a buffer names its owner. 0 stands for none.
static NEXT: AtomicU64 = AtomicU64::new(1);

/// Commands captured by [`Context::capture`].
///
/// It keeps all buffers that its commands use: those from outside, which [`Context::write`] and [`Context::copy`] fill
/// before a replay, and those that its ops allocated, which the pool does not reuse until the plan is dropped.
pub struct Plan {
    pub(crate) context: Context,
    commands: Vec<Command>,
    owned: Vec<Arc<Raw>>,
    _kept: Vec<Buffer>,
}

/// The commands captured so far.
pub(crate) struct Capture {
    plan: u64,
    steps: Vec<Step>,
    uniforms: Vec<u8>,
    /// All buffers that captured commands use.
    used: HashSet<u64>,
    /// Those of them that existed before the capture.
    kept: HashMap<u64, Buffer>,
}

/// A command whose bind group waits for the plan's uniform buffer.
enum Step {
    Dispatch { pipeline: Arc<Pipeline>, bindings: Vec<Binding>, offset: u32, workgroups: [u32; 3], work: u64 },
    Copy { source: Binding, destination: Binding },
}

/// Ends the capture when the captured function fails or panics.
struct Capturing<'a>(&'a Context);

impl Context {
    /// Runs `ops` and captures the recorded commands.
    ///
    /// Data that `ops` uploads or writes becomes part of the plan; a replay finds it as the previous run left it.
    /// Reading back fails, and so does writing to a buffer that a captured command has used.
    ///
    /// # Errors
    /// Errors of `ops` and of the device, and for a capture inside a capture.
    pub fn capture<T, E: From<Error>>(&self, ops: impl FnOnce() -> Result<T, E>) -> Result<(Plan, T), E> {
        let (plan, value) = self.record(ops)?;
        plan.replay()?;
        Ok((plan, value))
    }

    /// Captures without running.
    pub(crate) fn record<T, E: From<Error>>(&self, ops: impl FnOnce() -> Result<T, E>) -> Result<(Plan, T), E> {
        let capturing = self.begin_capture()?;
        let value = ops()?;
        let (capture, owned) = capturing.end();
        let plan = Plan::new(self.clone(), capture, owned);
        self.0.faults.check()?;
        Ok((plan, value))
    }

    fn begin_capture(&self) -> Result<Capturing<'_>> {
        let mut recorder = self.recorder();
        if recorder.capture.is_some() {
            return Err(Error::Capture { what: "a capture" });
        }
        self.submit(&mut recorder);
        let plan = NEXT.fetch_add(1, Ordering::Relaxed);
        self.pool().begin_capture(plan);
        recorder.capture = Some(Capture::new(plan));
        Ok(Capturing(self))
    }
}

impl Capturing<'_> {
    fn end(&self) -> (Option<Capture>, Vec<Arc<Raw>>) {
        let capture = self.0.recorder().capture.take();
        (capture, self.0.pool().end_capture())
    }
}

impl Drop for Capturing<'_> {
    fn drop(&mut self) {
        let (capture, owned) = self.end();
        // Dropping the handles takes the pool's lock, so it must be free.
        drop(capture);
        self.0.pool().disown(owned);
    }
}

impl Capture {
    fn new(plan: u64) -> Self {
        Self { plan, steps: Vec::new(), uniforms: Vec::new(), used: HashSet::new(), kept: HashMap::new() }
    }

    pub(crate) fn dispatch<'a>(
        &mut self,
        pipeline: Arc<Pipeline>,
        buffers: impl Iterator<Item = &'a Buffer>,
        bindings: Vec<Binding>,
        dispatch: &Dispatch<'_>,
    ) {
        buffers.for_each(|buffer| self.uses(buffer));
        let offset = self.uniforms.len() as u32;
        push_slot(&mut self.uniforms, dispatch.uniforms);
        let workgroups = dispatch.workgroups;
        let work = dispatch.work;
        self.steps.push(Step::Dispatch { pipeline, bindings, offset, workgroups, work });
    }

    pub(crate) fn copy(&mut self, from: &Buffer, to: &Buffer, source: Binding, destination: Binding) {
        self.uses(from);
        self.uses(to);
        self.steps.push(Step::Copy { source, destination });
    }

    /// Records that the host writes to `buffer` while capturing. The write happens before all captured commands, so
    /// none may have used the buffer.
    pub(crate) fn write(&mut self, buffer: &Buffer) -> Result<()> {
        if self.used.contains(&buffer.raw().id) {
            return Err(Error::Capture { what: "a write to a buffer in use" });
        }
        if self.owns(buffer) {
            buffer.raw().pinned.store(true, Ordering::Relaxed);
        }
        Ok(())
    }

    fn uses(&mut self, buffer: &Buffer) {
        self.used.insert(buffer.raw().id);
        if !self.owns(buffer) {
            self.kept.entry(buffer.raw().id).or_insert_with(|| buffer.clone());
        }
    }

    fn owns(&self, buffer: &Buffer) -> bool {
        buffer.raw().plan.load(Ordering::Relaxed) == self.plan
    }
}

impl Plan {
    fn new(context: Context, capture: Option<Capture>, owned: Vec<Arc<Raw>>) -> Self {
        let Some(Capture { steps, uniforms, kept, .. }) = capture else {
            return Self { context, commands: Vec::new(), owned, _kept: Vec::new() };
        };
        let device = &context.0.device;
        let arena = uniform_arena(device, (uniforms.len() as u64).max(crate::recorder::SLOT));
        context.0.queue.write_buffer(&arena, 0, &uniforms);
        let commands: Vec<Command> = steps.into_iter().map(|step| step.resolve(device, &arena)).collect();
        let groups = commands.iter().filter(|command| command.is_dispatch()).count();
        context.recorder().groups_made += groups as u64;
        Self { context, commands, owned, _kept: kept.into_values().collect() }
    }

    /// Submits the commands again, with the current contents of the buffers.
    ///
    /// # Errors
    /// If the device is lost or reported an error, or while another capture runs.
    pub fn replay(&self) -> Result<()> {
        let shared = &self.context.0;
        shared.faults.check()?;
        let mut recorder = self.context.recorder();
        if recorder.capture.is_some() {
            return Err(Error::Capture { what: "a replay" });
        }
        self.context.submit(&mut recorder);
        let mut rest = &self.commands[..];
        while !rest.is_empty() {
            let (now, later) = rest.split_at(first_submit(rest, recorder.pacing.budget()));
            let mut encoder = shared.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
            encode(&mut encoder, now);
            recorder.submit_encoded(&shared.queue, encoder, now.iter().map(Command::cost).sum());
            self.context.poll();
            rest = later;
        }
        Ok(())
    }

    pub(crate) fn commands(&self) -> &[Command] {
        &self.commands
    }

    /// Dispatches in one replay.
    pub fn dispatches(&self) -> usize {
        self.commands.iter().filter(|command| command.is_dispatch()).count()
    }

    /// Bytes of GPU memory that belong to the plan.
    pub fn bytes(&self) -> u64 {
        self.owned.iter().map(|raw| raw.size).sum()
    }
}

/// How many commands go into the next submit.
pub(crate) fn first_submit(commands: &[Command], budget: u64) -> usize {
    let mut cost = 0;
    let fitting = commands.iter().take(SUBMIT_DISPATCHES).take_while(|command| {
        let fits = cost < budget;
        cost += command.cost();
        fits
    });
    fitting.count()
}

impl Step {
    fn resolve(self, device: &wgpu::Device, uniforms: &wgpu::Buffer) -> Command {
        match self {
            Self::Dispatch { pipeline, bindings, offset, workgroups, work } => {
                let group = bind_group(device, &pipeline, uniforms, &bindings);
                Command::Dispatch { pipeline, group, offset, workgroups, work }
            }
            Self::Copy { source, destination } => {
                Command::Copy { source: Range::of(&source), destination: Range::of(&destination) }
            }
        }
    }
}

impl Drop for Plan {
    fn drop(&mut self) {
        self.context.pool().disown(std::mem::take(&mut self.owned));
    }
}

impl std::fmt::Debug for Plan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Plan").field("commands", &self.commands.len()).field("bytes", &self.bytes()).finish()
    }
}
