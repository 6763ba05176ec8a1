//! Conversions between the types of [`crate::service`] and those that a bindings generator makes from `wit/studio.wit`.
//!
//! Guests and hosts use different generators, but these agree in names and fields, so
//! [`wit_conversions`](crate::wit_conversions) serves them all.

use bytes::Bytes;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A conversion between the two sides.
pub trait Convert<T> {
    /// The same value in the other side's type.
    fn convert(self) -> T;
}

impl<A: Convert<B>, B> Convert<Option<B>> for Option<A> {
    fn convert(self) -> Option<B> {
        self.map(A::convert)
    }
}

impl<A: Convert<B>, B> Convert<Vec<B>> for Vec<A> {
    fn convert(self) -> Vec<B> {
        self.into_iter().map(A::convert).collect()
    }
}

impl<A: Convert<B>, B> Convert<Result<B, String>> for Result<A, String> {
    fn convert(self) -> Result<B, String> {
        self.map(A::convert)
    }
}

macro_rules! as_they_are {
    ($($type:ty),*) => { $(impl Convert<$type> for $type {
        fn convert(self) -> $type {
            self
        }
    })* };
}

as_they_are!((), bool, u32, u64, f32, f64, String);

impl Convert<Bytes> for Vec<u8> {
    fn convert(self) -> Bytes {
        self.into()
    }
}

impl Convert<Vec<u8>> for Bytes {
    fn convert(self) -> Vec<u8> {
        self.into()
    }
}

impl Convert<SystemTime> for u64 {
    /// The time this many milliseconds after 1970, or 1970 itself if a `SystemTime` cannot hold it.
    fn convert(self) -> SystemTime {
        UNIX_EPOCH.checked_add(Duration::from_millis(self)).unwrap_or(UNIX_EPOCH)
    }
}

impl Convert<u64> for SystemTime {
    fn convert(self) -> u64 {
        let since = self.duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }
}

/// Implements [`Convert`](crate::wit::Convert), in both directions, for the types of the module `$wit`, which a
/// bindings generator made from the interface `easel:image/studio`.
#[macro_export]
macro_rules! wit_conversions {
    ($wit:ident) => {
        $crate::wit_conversions!(@enum $wit Priority { Low, Normal, High });
        $crate::wit_conversions!(@enum $wit Status { Pending, Processing, Completed, Cancelled, Error });
        $crate::wit_conversions!(@enum $wit DeviceKind { Cpu, Gpu, Cuda, Metal });
        $crate::wit_conversions!(@enum $wit Redraw { White, Black, Transparent });
        $crate::wit_conversions!(@enum $wit PictureFormat { Png, Jpeg, Webp, Bmp, Tiff, Gif });
        $crate::wit_conversions!(@record $wit Paste = (Paste) { blur, margin, fill });
        $crate::wit_conversions!(@record $wit Mask = (Mask) { bytes, redraw, paste });
        $crate::wit_conversions!(@record $wit InitImage = (InitImage) { bytes, strength, mask });
        $crate::wit_conversions!(@record $wit Hires = (Hires) { scale, width, height, steps, strength });
        $crate::wit_conversions!(@record $wit Sampler = (Sampler) { name, label, respaces });
        $crate::wit_conversions!(@record $wit Session = (Session) { model, task, elapsed });
        $crate::wit_conversions!(@record $wit Encoding = (Encoding) { format, quality });
        $crate::wit_conversions!(@record $wit Origin = (Origin) { request_id, traceparent });
        $crate::wit_conversions!(@record $wit ImageRequest = (ImageRequest) {
            prompt, negative_prompt, width, height, steps, guidance_scale, seed, scheduler, model, count, init, attended,
            encoding, hires, session, origin
        });
        $crate::wit_conversions!(@record $wit Task = (Task) {
            id, status, step, steps, created_at, started_at, completed_at, prompt, seed, queue_position, error, images
        });
        $crate::wit_conversions!(@record $wit Run = (Run) { task, taken });
        $crate::wit_conversions!(@record $wit Progress = (Progress) {
            sequence, status, step, steps, preview, error
        });
        $crate::wit_conversions!(@record $wit WatchOptions = (WatchOptions) { after, preview });
        $crate::wit_conversions!(@record $wit Paging = (Paging) { page, limit });
        $crate::wit_conversions!(@record $wit TaskFilter = (TaskFilter) { status, paging });
        $crate::wit_conversions!(@record $wit TaskPage = (Page<$crate::service::Task>) { total, items });
        $crate::wit_conversions!(@record $wit TaskSelection = (TaskSelection) { ids, status });
        $crate::wit_conversions!(@record $wit ImageFilter = (ImageFilter) { task_id, paging });
        $crate::wit_conversions!(@record $wit Image = (Image) {
            id, task_id, prompt, seed, created_at, size, digest, media_type
        });
        $crate::wit_conversions!(@record $wit ImagePage = (Page<$crate::service::Image>) { total, items });
        $crate::wit_conversions!(@record $wit Module = (Module) { id, name, version });
        $crate::wit_conversions!(@record $wit Model = (Model) {
            name, width, height, steps, bytes, memory, loaded, size_step, module
        });
        $crate::wit_conversions!(@record $wit Spot = (Spot) { x, y });
        $crate::wit_conversions!(@record $wit Region = (Region) { start, end });
        $crate::wit_conversions!(@record $wit AnalysisRequest = (AnalysisRequest) {
            image, texts, regions, mask, each
        });
        $crate::wit_conversions!(@record $wit Cut = (Cut) { mask, iou, rings, scores });
        $crate::wit_conversions!(@record $wit Analysis = (Analysis) { id, scores, cuts });
        $crate::wit_conversions!(@record $wit Device = (Device) { id, name, kind, memory_bytes, selected });

        impl $crate::wit::Convert<(String, Option<String>)> for $wit::Check {
            fn convert(self) -> (String, Option<String>) {
                (self.part, self.problem)
            }
        }

        impl $crate::wit::Convert<$wit::Check> for (String, Option<String>) {
            fn convert(self) -> $wit::Check {
                $wit::Check { part: self.0, problem: self.1 }
            }
        }

        impl $crate::wit::Convert<$crate::Error> for $wit::Failure {
            fn convert(self) -> $crate::Error {
                use $crate::Error;
                match self {
                    Self::InvalidField(at) => Error::invalid(at.field, at.message),
                    Self::ModelNotFound(model) => Error::ModelNotFound { model },
                    Self::InsufficientMemory(short) => {
                        let $wit::MemoryShortage { model, needed, available, advice } = short;
                        Error::InsufficientMemory { model, needed, available, advice }
                    }
                    Self::DeviceUnavailable(device) => Error::DeviceUnavailable { device },
                    Self::TaskNotFound(task_id) => Error::TaskNotFound { task_id },
                    Self::TaskEnded(task) => {
                        let status = $crate::wit::Convert::convert(task.status);
                        Error::TaskEnded { task_id: task.task_id, status }
                    }
                    Self::ImageNotFound(id) => Error::ImageNotFound { id },
                    Self::RunInProgress => Error::RunInProgress,
                    Self::RunNotComplete => Error::RunNotComplete,
                    Self::QueueFull(retry_after) => Error::QueueFull { retry_after },
                    Self::ShuttingDown(retry_after) => Error::ShuttingDown { retry_after },
                    Self::Busy(retry_after) => Error::Busy { retry_after },
                    Self::Internal(message) => Error::Internal { message },
                }
            }
        }

        impl $crate::wit::Convert<$wit::Failure> for $crate::Error {
            /// Errors that only the router returns become internal errors.
            fn convert(self) -> $wit::Failure {
                use $wit::Failure;
                match self {
                    Self::InvalidField { field, message, .. } => {
                        Failure::InvalidField($wit::InvalidField { field, message })
                    }
                    Self::ModelNotFound { model } => Failure::ModelNotFound(model),
                    Self::InsufficientMemory { model, needed, available, advice } => {
                        Failure::InsufficientMemory($wit::MemoryShortage { model, needed, available, advice })
                    }
                    Self::DeviceUnavailable { device } => Failure::DeviceUnavailable(device),
                    Self::TaskNotFound { task_id } => Failure::TaskNotFound(task_id),
                    Self::TaskEnded { task_id, status } => {
                        Failure::TaskEnded($wit::EndedTask { task_id, status: $crate::wit::Convert::convert(status) })
                    }
                    Self::ImageNotFound { id } => Failure::ImageNotFound(id),
                    Self::RunInProgress => Failure::RunInProgress,
                    Self::RunNotComplete => Failure::RunNotComplete,
                    Self::QueueFull { retry_after } => Failure::QueueFull(retry_after),
                    Self::ShuttingDown { retry_after } => Failure::ShuttingDown(retry_after),
                    Self::Busy { retry_after } => Failure::Busy(retry_after),
                    Self::Internal { message } => Failure::Internal(message),
                    other => Failure::Internal(other.to_string()),
                }
            }
        }
    };
    (@enum $wit:ident $name:ident { $($variant:ident),* }) => {
        impl $crate::wit::Convert<$crate::service::$name> for $wit::$name {
            fn convert(self) -> $crate::service::$name {
                match self { $(Self::$variant => $crate::service::$name::$variant),* }
            }
        }

        impl $crate::wit::Convert<$wit::$name> for $crate::service::$name {
            fn convert(self) -> $wit::$name {
                match self { $(Self::$variant => $wit::$name::$variant),* }
            }
        }
    };
    (@record $wit:ident $name:ident = ($ours:ident $(<$of:ty>)?) { $($field:ident),* }) => {
        impl $crate::wit::Convert<$crate::service::$ours $(<$of>)?> for $wit::$name {
            fn convert(self) -> $crate::service::$ours $(<$of>)? {
                $crate::service::$ours { $($field: $crate::wit::Convert::convert(self.$field)),* }
            }
        }

        impl $crate::wit::Convert<$wit::$name> for $crate::service::$ours $(<$of>)? {
            fn convert(self) -> $wit::$name {
                $wit::$name { $($field: $crate::wit::Convert::convert(self.$field)),* }
            }
        }
    };
}
