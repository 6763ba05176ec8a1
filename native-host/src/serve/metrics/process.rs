//! The metrics of this process, under the names that Prometheus gives them
//! (<https://prometheus.io/docs/instrumenting/writing_clientlibs/#process-metrics>), and its memory on GPUs. They are read when
//! somebody wants them.

use easel_inference::tensor::gpu_memory;
use parking_lot::Mutex;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};
use std::sync::atomic::AtomicU64;
use sysinfo::{Pid, ProcessRefreshKind, ProcessesToUpdate, System};

/// The metrics of this process.
#[derive(Default)]
pub(super) struct ProcessMetrics {
    resident: Gauge,
    processor: Counter<f64, AtomicU64>,
    started: Gauge,
    gpu: Gauge,
    /// `None` until it is wanted, or where the system cannot be asked.
    system: Mutex<Option<System>>,
}

impl ProcessMetrics {
    /// Adds those of the process to `plain`, whose names have no prefix, and the others to `own`.
    pub(super) fn register(&self, plain: &mut Registry, own: &mut Registry) {
        let help = "Memory of this process that is in RAM";
        plain.register_with_unit("process_resident_memory", help, Unit::Bytes, self.resident.clone());
        let help = "Time that processors have worked for this process";
        plain.register_with_unit("process_cpu", help, Unit::Seconds, self.processor.clone());
        let help = "When this process began, in Unix time";
        plain.register_with_unit("process_start_time", help, Unit::Seconds, self.started.clone());
        let help = "Memory that this process has taken from the drivers of GPUs through WebGPU";
        own.register_with_unit("gpu_memory", help, Unit::Bytes, self.gpu.clone());
    }

    /// Reads the current values.
    pub(super) fn refresh(&self) {
        self.gpu.set(whole(gpu_memory()));
        let own = Pid::from_u32(std::process::id());
        let wanted = ProcessRefreshKind::nothing().with_memory().with_cpu();
        let mut system = self.system.lock();
        if system.is_none() {
            *system = System::new().ok();
        }
        let Some(system) = &mut *system else { return };
        system.refresh_processes_specifics(ProcessesToUpdate::Some(&[own]), true, wanted);
        let Some(process) = system.process(own) else { return };
        self.resident.set(whole(process.memory()));
        self.started.set(whole(process.start_time()));
        let worked = process.accumulated_cpu_time() as f64 / 1e3;
        // A counter only grows.
        self.processor.inc_by((worked - self.processor.get()).max(0.0));
    }
}

fn whole(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
