//! Profiling: a timestamp before and after every dispatch, summed by kernel.

use std::fmt;
use std::time::Duration;

use crate::plan::{Plan, first_submit};
use crate::readback::Reading;
use crate::recorder::{Command, encode};
use crate::{Context, Error, Result};

/// The kernels of a profiled run, the longest first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Profile {
    /// One row per kernel name.
    pub rows: Vec<Row>,
}

/// All runs of one kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Its name.
    pub kernel: &'static str,
    /// Dispatches.
    pub count: u64,
    /// Time on the GPU. Browsers round the time of each dispatch, usually to a tenth of a millisecond.
    pub time: Duration,
    /// Multiply-adds, as declared by the ops.
    pub work: u64,
}

impl Context {
    /// Runs `ops` and measures every dispatch. Each gets its own pass, so the whole takes longer than usual.
    ///
    /// # Errors
    /// As [`Context::capture`], and if the device has no timestamps.
    pub async fn profile<T, E: From<Error>>(&self, ops: impl FnOnce() -> Result<T, E>) -> Result<(Profile, T), E> {
        self.check_timestamps()?;
        let (plan, value) = self.record(ops)?;
        Ok((plan.profile().await?, value))
    }

    fn check_timestamps(&self) -> Result<()> {
        if self.capabilities().timestamps { Ok(()) } else { Err(Error::Unsupported { feature: "timestamp queries" }) }
    }
}

impl Plan {
    /// Replays, measuring every dispatch.
    ///
    /// # Errors
    /// As [`Plan::replay`], and if the device has no timestamps.
    pub async fn profile(&self) -> Result<Profile> {
        self.context.check_timestamps()?;
        let mut profile = Profile::default();
        let nanoseconds = f64::from(self.context.0.queue.get_timestamp_period());
        for (commands, reading) in self.submit_timed()? {
            let stamps: Vec<u64> = bytemuck::pod_collect_to_vec(&reading.await?);
            let dispatches = commands.iter().filter_map(Command::kernel);
            for ((kernel, work), stamps) in dispatches.zip(stamps.chunks_exact(2)) {
                let ticks = stamps[1].saturating_sub(stamps[0]);
                profile.add(kernel, Duration::from_nanos((ticks as f64 * nanoseconds) as u64), work);
            }
        }
        profile.rows.sort_by_key(|row| std::cmp::Reverse(row.time));
        Ok(profile)
    }

    /// Submits everything, and reads back the timestamps of each submit.
    fn submit_timed(&self) -> Result<Vec<(&[Command], Reading)>> {
        self.context.0.faults.check()?;
        let mut recorder = self.context.recorder();
        if recorder.capture.is_some() {
            return Err(Error::Capture { what: "a profile" });
        }
        self.context.submit(&mut recorder);
        let mut readings = Vec::new();
        let mut rest = self.commands();
        while !rest.is_empty() {
            let (now, later) = rest.split_at(first_submit(rest, recorder.pacing.budget()));
            let device = &self.context.0.device;
            let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
            let staging = encode_timed(&self.context, &mut encoder, now);
            let cost = now.iter().map(Command::cost).sum();
            let index = recorder.submit_encoded(&self.context.0.queue, encoder, cost);
            if let Some((staging, bytes)) = staging {
                readings.push((now, Reading::mapping(&self.context, staging, index, bytes)));
            }
            rest = later;
        }
        Ok(readings)
    }
}

/// Encodes each dispatch in a pass with two timestamps, and copies them to a mappable buffer. Returns the buffer and
/// their size in bytes.
fn encode_timed(
    context: &Context,
    encoder: &mut wgpu::CommandEncoder,
    commands: &[Command],
) -> Option<(wgpu::Buffer, usize)> {
    let count = 2 * commands.iter().filter(|command| command.is_dispatch()).count() as u32;
    if count == 0 {
        encode(encoder, commands);
        return None;
    }
    let device = &context.0.device;
    let query_set =
        device.create_query_set(&wgpu::QuerySetDescriptor { label: None, ty: wgpu::QueryType::Timestamp, count });
    let mut next = 0;
    for command in commands {
        if !command.is_dispatch() {
            encode(encoder, std::slice::from_ref(command));
            continue;
        }
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor {
            label: None,
            timestamp_writes: Some(wgpu::ComputePassTimestampWrites {
                query_set: &query_set,
                beginning_of_pass_write_index: Some(next),
                end_of_pass_write_index: Some(next + 1),
            }),
        });
        command.encode(&mut pass);
        next += 2;
    }
    let size = u64::from(count) * 8;
    let resolved = device.create_buffer(&wgpu::BufferDescriptor {
        label: Some("timestamps"),
        size,
        usage: wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC,
        mapped_at_creation: false,
    });
    let staging = context.0.staging.take(device, size);
    encoder.resolve_query_set(&query_set, 0..count, &resolved, 0);
    encoder.copy_buffer_to_buffer(&resolved, 0, &staging, 0, size);
    Some((staging, size as usize))
}

impl Profile {
    /// Time of all kernels.
    pub fn total(&self) -> Duration {
        self.rows.iter().map(|row| row.time).sum()
    }

    fn add(&mut self, kernel: &'static str, time: Duration, work: u64) {
        match self.rows.iter_mut().find(|row| row.kernel == kernel) {
            Some(row) => {
                row.count += 1;
                row.time += time;
                row.work += work;
            }
            None => self.rows.push(Row { kernel, count: 1, time, work }),
        }
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total = self.total().as_secs_f64().max(1e-12);
        writeln!(f, "{:<24} {:>7} {:>10} {:>6} {:>9}", "kernel", "count", "ms", "%", "GFLOP/s")?;
        for Row { kernel, count, time, work } in &self.rows {
            let seconds = time.as_secs_f64();
            let rate = 2.0 * *work as f64 / seconds.max(1e-12) / 1e9;
            let ms = seconds * 1e3;
            let share = seconds / total * 100.0;
            writeln!(f, "{kernel:<24} {count:>7} {ms:>10.3} {share:>6.1} {rate:>9.1}")?;
        }
        Ok(())
    }
}
