//! What the interface needs of its host: the `Service` trait, made from the table of its calls, and its plain types.
//!
//! Nothing here is the wire format of a public route ([`crate::calls`] carries these types as they are). A host
//! implements the trait over its queue, the edge component over an imported WIT interface, the browser over its worker.

use crate::Error;
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use serde::{Deserialize, Serialize};
use std::ops::Range;
use std::time::{Duration, SystemTime};

pub use crate::offer::{Model, Sampler, Session};
pub use crate::request::{Encoding, Hires, ImageRequest, InitImage, Mask, PictureFormat, Redraw};

/// The answer of a service.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The bytes of a picture, in pieces.
pub type ByteStream = BoxStream<'static, Result<Bytes>>;

/// The reports of one task, in order; it ends after the first report whose status is final.
pub type ProgressStream = BoxStream<'static, Progress>;

/// A page of tasks.
pub type TaskPage = Page<Task>;

/// A page of pictures.
pub type ImagePage = Page<Image>;

/// The table of the service's calls, each spelled once: its name in [`Call`](crate::calls::Call), in [`Service`] and in
/// `wit/studio.wit`, what it takes, and what it answers. `service_calls!(then { tokens })` expands to
/// `then! { { tokens } rows }`, and the macro `then` makes of the rows what its place needs: the trait, the route for
/// components on other hosts, the bridge to an import or from an export. The types are those that are in scope there.
///
/// Calls whose answer is a stream, is not a result, or never leaves the process are not rows: each place writes
/// [`Service::watch`], [`Service::read_image`], [`Service::health`] and [`Service::sleep`] out, as the `tokens`.
#[macro_export]
macro_rules! service_calls {
    ($then:ident { $($tokens:tt)* }) => {
        $then! {
            { $($tokens)* }

            /// Takes a task into the queue; the answer is `pending` and has its id and seed.
            ///
            /// # Errors
            /// [`Error::InvalidField`], [`Error::ModelNotFound`], [`Error::InsufficientMemory`], [`Error::QueueFull`],
            /// [`Error::ShuttingDown`].
            Submit: submit as submit(request: ImageRequest, priority: Priority) -> Task;

            /// One task.
            ///
            /// # Errors
            /// [`Error::TaskNotFound`].
            Task: task as get_task(id: String) -> Task;

            /// A page of tasks, newest first.
            Tasks: tasks as list_tasks(filter: TaskFilter) -> TaskPage;

            /// Cancels a task that has not ended.
            ///
            /// # Errors
            /// [`Error::TaskNotFound`], [`Error::TaskEnded`].
            Cancel: cancel as cancel(id: String) -> ();

            /// Deletes the tasks that `selection` names, except those in progress, and says how many.
            DeleteTasks: delete_tasks as delete_tasks(selection: TaskSelection) -> u64;

            /// Starts a run: a task, but only one run is in progress at a time.
            ///
            /// # Errors
            /// [`Error::RunInProgress`] and those of `submit`.
            Run: run as start_run(request: ImageRequest) -> Task;

            /// The latest run, unless its task was deleted.
            LatestRun: latest_run as latest_run() -> Option<Run>;

            /// The picture of the latest run, which is taken from then on.
            ///
            /// # Errors
            /// [`Error::RunNotComplete`] if it has not completed or was taken before.
            TakeRun: take_run as take_run() -> Image;

            /// A page of pictures, newest first.
            Images: images as list_images(filter: ImageFilter) -> ImagePage;

            /// One picture's record.
            ///
            /// # Errors
            /// [`Error::ImageNotFound`].
            Image: image as get_image(id: u64) -> Image;

            /// Deletes a picture.
            ///
            /// # Errors
            /// [`Error::ImageNotFound`].
            DeleteImage: delete_image as delete_image(id: u64) -> ();

            /// The models that requests may name, the default one first.
            Models: models as list_models() -> Vec<Model>;

            /// The samplers that requests may name.
            Samplers: samplers as list_samplers() -> Vec<Sampler>;

            /// A session; one that nobody has used yet is empty.
            Session: session as get_session(name: String) -> Session;

            /// Chooses the model of a session.
            ///
            /// # Errors
            /// [`Error::ModelNotFound`].
            SelectModel: select_model as select_model(session: String, model: String) -> ();

            /// Every device that this host can compute on.
            Devices: devices as list_devices() -> Vec<Device>;

            /// Computes on another device from now on: the first of a kind, or the best there is.
            ///
            /// # Errors
            /// [`Error::DeviceUnavailable`], [`Error::RunInProgress`].
            SelectDevice: select_device as select_device(kind: Option<DeviceKind>) -> Device;

            /// The metrics in the text format of OpenMetrics 1.0.
            Metrics: metrics as metrics() -> String;
        }
    };
}

/// Makes the trait of the table.
macro_rules! declare_service {
    (
        { $($written_out:tt)* }
        $(
            $(#[$doc:meta])*
            $call:ident: $method:ident as $wit:ident($($argument:ident: $type:ty),*) -> $answer:ty;
        )*
    ) => {
        /// Everything that the routes ask for.
        ///
        /// Futures and streams are `Send`, as axum wants them. On a single-threaded target whose own futures are not,
        /// wrap them (`send_wrapper::SendWrapper`).
        #[async_trait]
        pub trait Service: Send + Sync + 'static {
            $(
                $(#[$doc])*
                async fn $method(&self, $($argument: $type),*) -> Result<$answer>;
            )*
            $($written_out)*
        }
    };
}

service_calls!(declare_service {
    /// Reports of a task: its current state right away, then every change. Dropping the stream leaves the task alone.
    ///
    /// # Errors
    /// [`Error::TaskNotFound`].
    async fn watch(&self, id: String, options: WatchOptions) -> Result<ProgressStream>;

    /// The bytes `range` of a picture, which lie within its size.
    ///
    /// # Errors
    /// [`Error::ImageNotFound`].
    async fn read_image(&self, id: u64, range: Range<u64>) -> Result<ByteStream>;

    /// Whether every part works.
    async fn health(&self) -> Health;

    /// Waits.
    async fn sleep(&self, duration: Duration);
});

/// Which waiting task goes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Priority {
    /// After all others.
    Low,
    /// In turn.
    #[default]
    Normal,
    /// Before all others.
    High,
}

/// The status of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Status {
    /// In the queue.
    Pending,
    /// In progress.
    Processing,
    /// Has its pictures.
    Completed,
    /// Cancelled by a client.
    Cancelled,
    /// Failed.
    Error,
}

impl Status {
    /// Every status with its name on the wire.
    pub const ALL: [(Self, &str); 5] = [
        (Self::Pending, "pending"),
        (Self::Processing, "processing"),
        (Self::Completed, "completed"),
        (Self::Cancelled, "cancelled"),
        (Self::Error, "error"),
    ];

    /// Its name on the wire.
    pub fn name(self) -> &'static str {
        Self::ALL[self as usize].1
    }

    /// Whether it never changes again.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Completed | Self::Cancelled | Self::Error)
    }
}

/// One request: queued, in progress or done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Task {
    /// A UUID.
    pub id: String,
    /// Its status.
    pub status: Status,
    /// Denoising steps done, over all of its pictures.
    pub step: u32,
    /// Denoising steps in all; 0 while unknown.
    pub steps: u32,
    /// When it was accepted.
    pub created_at: SystemTime,
    /// When work on it began.
    pub started_at: Option<SystemTime>,
    /// When it ended: completed, cancelled or failed.
    pub completed_at: Option<SystemTime>,
    /// What it draws.
    pub prompt: String,
    /// The seed of its first picture.
    pub seed: u64,
    /// How many tasks are before it, while it waits.
    pub queue_position: Option<u32>,
    /// Why it failed.
    pub error: Option<String>,
    /// Its pictures, once it has completed.
    pub images: Vec<u64>,
}

/// The latest run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// Its task.
    pub task: Task,
    /// Whether its picture was taken.
    pub taken: bool,
}

/// One report on a task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// Its number within the task, growing.
    pub sequence: u64,
    /// The task's status.
    pub status: Status,
    /// Denoising steps done.
    pub step: u32,
    /// Denoising steps in all; 0 while unknown.
    pub steps: u32,
    /// The picture so far as a small JPEG.
    #[serde(with = "crate::wire::base64_option")]
    pub preview: Option<Bytes>,
    /// Why the task failed.
    pub error: Option<String>,
}

/// How a task is watched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatchOptions {
    /// The last report that the watcher has seen.
    pub after: Option<u64>,
    /// Whether previews are wanted.
    pub preview: bool,
}

/// A part of a longer list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Page<T> {
    /// How long the whole list is.
    pub total: u64,
    /// This part of it.
    pub items: Vec<T>,
}

/// Which part of a list; pages begin with 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Paging {
    /// Which page.
    pub page: u32,
    /// How many entries a page has.
    pub limit: u32,
}

/// Which tasks to list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskFilter {
    /// Only those with this status.
    pub status: Option<Status>,
    /// Which page.
    pub paging: Paging,
}

/// Which tasks to delete: those that fit every field that is set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskSelection {
    /// Only these.
    pub ids: Option<Vec<String>>,
    /// Only those with this status.
    pub status: Option<Status>,
}

/// Which pictures to list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageFilter {
    /// Only those of this task.
    pub task_id: Option<String>,
    /// Which page.
    pub paging: Paging,
}

/// The record of a stored picture.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Image {
    /// Its number, growing.
    pub id: u64,
    /// The task that drew it.
    pub task_id: String,
    /// What it shows.
    pub prompt: String,
    /// The seed of its noise.
    pub seed: u64,
    /// When it was stored.
    pub created_at: SystemTime,
    /// How many bytes it has.
    pub size: u64,
    /// A hash of its bytes in hexadecimal digits: its ETag.
    pub digest: String,
    /// How it is encoded, `image/png` say.
    pub media_type: String,
}

/// A device to compute on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// A short name, as `cpu` or `cuda:0`.
    pub id: String,
    /// The maker's name.
    pub name: String,
    /// What it is.
    pub kind: DeviceKind,
    /// How much memory it has.
    pub memory_bytes: Option<u64>,
    /// Whether pictures are computed on it.
    pub selected: bool,
}

/// What kind of device it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DeviceKind {
    /// The processor.
    Cpu,
    /// A GPU through WebGPU, Vulkan or DirectX.
    Gpu,
    /// A GPU through CUDA.
    Cuda,
    /// A GPU through Metal.
    Metal,
}

impl DeviceKind {
    /// Its name on the wire.
    pub fn name(self) -> &'static str {
        ["cpu", "gpu", "cuda", "metal"][self as usize]
    }
}

/// Whether every part works.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// Each part with its problem, if it has one.
    pub checks: Vec<(String, Option<String>)>,
}

impl Health {
    /// Whether nothing is wrong.
    pub fn is_healthy(&self) -> bool {
        self.checks.iter().all(|(_, problem)| problem.is_none())
    }
}
