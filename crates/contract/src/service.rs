//! What the interface needs from its host: the trait `Service`, generated from the table of its calls, and its plain
//! types.
//!
//! These types are not the wire format of any public route; only [`crate::calls`] carries them unchanged. A host
//! implements the trait with its queue, the edge component with an imported WIT interface, the browser with its worker.

use crate::Error;
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use serde::{Deserialize, Serialize};
use std::ops::Range;
use std::time::{Duration, SystemTime};

pub use crate::offer::{Model, Module, Sampler, Session};
pub use crate::origin::Origin;
pub use crate::request::{Encoding, Hires, ImageRequest, InitImage, Mask, Paste, PictureFormat, Redraw};
pub use crate::seen::{Analysis, AnalysisRequest, Cut, NO_CLIP, NO_SAM, Region, Spot};

/// The result of a call.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The bytes of a picture, in pieces.
pub type ByteStream = BoxStream<'static, Result<Bytes>>;

/// The reports of one task, in order. It ends after the first report with a final status.
pub type ProgressStream = BoxStream<'static, Progress>;

/// A page of tasks.
pub type TaskPage = Page<Task>;

/// A page of pictures.
pub type ImagePage = Page<Image>;

/// The table of the service's calls, the only place where each is spelled out: its name in
/// [`Call`](crate::calls::Call), in [`Service`] and in `wit/studio.wit`, its arguments and its result.
/// `service_calls!(then { tokens })` expands to `then! { { tokens } rows }`. The macro `then` turns the rows into the
/// code for one place: the trait, the internal route, or the bridge to an import or from an export. Types resolve in
/// that place.
///
/// Calls that return a stream or no `Result`, or that never leave the process, are not rows. Each place writes out
/// [`Service::watch`], [`Service::read_image`], [`Service::health`] and [`Service::sleep`], as the `tokens`.
#[macro_export]
macro_rules! service_calls {
    ($then:ident { $($tokens:tt)* }) => {
        $then! {
            { $($tokens)* }

            /// Queues a task. The result is `pending` and has its id and seed.
            ///
            /// # Errors
            /// [`Error::InvalidField`], [`Error::ModelNotFound`], [`Error::InsufficientMemory`], [`Error::QueueFull`],
            /// [`Error::ShuttingDown`].
            Submit: submit as submit(request: ImageRequest, priority: Priority) -> Task;

            /// Returns a task.
            ///
            /// # Errors
            /// [`Error::TaskNotFound`].
            Task: task as get_task(id: String) -> Task;

            /// Returns a page of tasks, newest first.
            Tasks: tasks as list_tasks(filter: TaskFilter) -> TaskPage;

            /// Cancels a task that has not ended.
            ///
            /// # Errors
            /// [`Error::TaskNotFound`], [`Error::TaskEnded`].
            Cancel: cancel as cancel(id: String) -> ();

            /// Deletes the selected tasks, except those in progress, and returns their number.
            DeleteTasks: delete_tasks as delete_tasks(selection: TaskSelection) -> u64;

            /// Starts a run, a task for simple clients. Only one run is in progress at a time.
            ///
            /// # Errors
            /// [`Error::RunInProgress`] and the errors of `submit`.
            Run: run as start_run(request: ImageRequest) -> Task;

            /// Returns the latest run, unless its task was deleted.
            LatestRun: latest_run as latest_run() -> Option<Run>;

            /// Takes the picture of the latest run.
            ///
            /// # Errors
            /// [`Error::RunNotComplete`] if the run has not completed or its picture was taken already.
            TakeRun: take_run as take_run() -> Image;

            /// Returns a page of pictures, newest first.
            Images: images as list_images(filter: ImageFilter) -> ImagePage;

            /// Returns the record of a picture.
            ///
            /// # Errors
            /// [`Error::ImageNotFound`].
            Image: image as get_image(id: u64) -> Image;

            /// Deletes a picture.
            ///
            /// # Errors
            /// [`Error::ImageNotFound`].
            DeleteImage: delete_image as delete_image(id: u64) -> ();

            /// Returns the models that requests may name, the default one first.
            Models: models as list_models() -> Vec<Model>;

            /// Returns the samplers that requests may name.
            Samplers: samplers as list_samplers() -> Vec<Sampler>;

            /// Returns a session. A new one is empty.
            Session: session as get_session(name: String) -> Session;

            /// Chooses the model of a session.
            ///
            /// # Errors
            /// [`Error::ModelNotFound`].
            SelectModel: select_model as select_model(session: String, model: String) -> ();

            /// Says what is in a picture, and where. A part whose model is missing is an error in its place. Stops if
            /// nobody waits for the answer any more.
            ///
            /// # Errors
            /// [`Error::InvalidField`], [`Error::QueueFull`], [`Error::ShuttingDown`].
            Analyze: analyze as analyze(request: AnalysisRequest) -> Analysis;

            /// Returns all devices that this host can compute on.
            Devices: devices as list_devices() -> Vec<Device>;

            /// Selects another device: the first of a kind, or the best one.
            ///
            /// # Errors
            /// [`Error::DeviceUnavailable`], [`Error::RunInProgress`].
            SelectDevice: select_device as select_device(kind: Option<DeviceKind>) -> Device;

            /// Returns the metrics in the text format of OpenMetrics 1.0.
            Metrics: metrics as metrics() -> String;
        }
    };
}

/// Declares the trait from the table.
macro_rules! declare_service {
    (
        { $($written_out:tt)* }
        $(
            $(#[$doc:meta])*
            $call:ident: $method:ident as $wit:ident($($argument:ident: $type:ty),*) -> $answer:ty;
        )*
    ) => {
        /// Everything that the routes need.
        ///
        /// Futures and streams are `Send`, as axum requires. On a single-threaded target whose futures are not, wrap
        /// them (`send_wrapper::SendWrapper`).
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
    /// Watches a task: first its current state, then every change. Dropping the stream does not affect the task.
    ///
    /// # Errors
    /// [`Error::TaskNotFound`].
    async fn watch(&self, id: String, options: WatchOptions) -> Result<ProgressStream>;

    /// Reads the bytes `range` of a picture. The range must lie within its size.
    ///
    /// # Errors
    /// [`Error::ImageNotFound`].
    async fn read_image(&self, id: u64, range: Range<u64>) -> Result<ByteStream>;

    /// Returns the state of all parts of the service.
    async fn health(&self) -> Health;

    /// Waits.
    async fn sleep(&self, duration: Duration);
});

/// The priority of a task in the queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Priority {
    /// After all other tasks.
    Low,
    /// In order of arrival.
    #[default]
    Normal,
    /// Before all other tasks.
    High,
}

/// The status of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Status {
    /// Waiting in the queue.
    Pending,
    /// In progress.
    Processing,
    /// Finished: the pictures are stored.
    Completed,
    /// Cancelled by a client.
    Cancelled,
    /// Failed.
    Error,
}

impl Status {
    /// All statuses with their names on the wire.
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

    /// Whether the status never changes again.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Completed | Self::Cancelled | Self::Error)
    }
}

/// A request in the queue, in progress or finished.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Task {
    /// A UUID.
    pub id: String,
    /// Its status.
    pub status: Status,
    /// Completed denoising steps of all its pictures.
    pub step: u32,
    /// Total denoising steps; 0 while unknown.
    pub steps: u32,
    /// When it was queued.
    pub created_at: SystemTime,
    /// When work on it began.
    pub started_at: Option<SystemTime>,
    /// When it ended: completed, cancelled or failed.
    pub completed_at: Option<SystemTime>,
    /// Its prompt.
    pub prompt: String,
    /// The seed of its first picture.
    pub seed: u64,
    /// The number of tasks before it, while it waits.
    pub queue_position: Option<u32>,
    /// Why it failed.
    pub error: Option<String>,
    /// Its pictures, once it is completed; the finished ones, if it was cancelled.
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
    /// Its number within the task, in ascending order.
    pub sequence: u64,
    /// The task's status.
    pub status: Status,
    /// Completed denoising steps.
    pub step: u32,
    /// Total denoising steps; 0 while unknown.
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
    /// The last report that the watcher has seen already.
    pub after: Option<u64>,
    /// Whether to include previews.
    pub preview: bool,
}

/// A part of a longer list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Page<T> {
    /// The length of the whole list.
    pub total: u64,
    /// The entries of this page.
    pub items: Vec<T>,
}

/// Selects a page of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Paging {
    /// The page.
    pub page: u32,
    /// Entries per page.
    pub limit: u32,
}

/// Selects tasks for a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskFilter {
    /// Only tasks with this status.
    pub status: Option<Status>,
    /// The page.
    pub paging: Paging,
}

/// Selects tasks to delete: those that match every field that is set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskSelection {
    /// Only tasks with these ids.
    pub ids: Option<Vec<String>>,
    /// Only tasks with this status.
    pub status: Option<Status>,
}

/// Selects pictures for a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageFilter {
    /// Only pictures of this task.
    pub task_id: Option<String>,
    /// The page.
    pub paging: Paging,
}

/// The record of a stored picture.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Image {
    /// Its number, in ascending order.
    pub id: u64,
    /// The task that drew it.
    pub task_id: String,
    /// Its prompt.
    pub prompt: String,
    /// The seed of its noise.
    pub seed: u64,
    /// When it was stored.
    pub created_at: SystemTime,
    /// Its size in bytes.
    pub size: u64,
    /// A hash of its bytes in hexadecimal, which is also its ETag.
    pub digest: String,
    /// Its media type, such as `image/png`.
    pub media_type: String,
}

/// A device to compute on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// A short name, such as `cpu` or `cuda:0`.
    pub id: String,
    /// The manufacturer's name.
    pub name: String,
    /// Its kind.
    pub kind: DeviceKind,
    /// Its memory in bytes.
    pub memory_bytes: Option<u64>,
    /// Whether it is the selected device.
    pub selected: bool,
}

/// A kind of device.
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

/// The state of all parts of the service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// Each part, with its problem if it has one.
    pub checks: Vec<(String, Option<String>)>,
}

impl Health {
    /// Whether nothing is wrong.
    pub fn is_healthy(&self) -> bool {
        self.checks.iter().all(|(_, problem)| problem.is_none())
    }
}
