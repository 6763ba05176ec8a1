//! The contract's `Service` over the worker's store and engine.

use crate::engine::{Engine, Report, drawing, encoded, now, put_back, retouched, second};
use crate::error::{from_picture, reason};
use crate::store::{Drawn, Identity, Steps, TaskStore};
use async_trait::async_trait;
use bytes::Bytes;
use easel_contract::service::{
    Analysis, AnalysisRequest, ByteStream, Device, DeviceKind, Health, Image, ImageFilter, ImageRequest, Model, Page,
    PictureFormat, Priority, Progress, ProgressStream, Result, Run, Sampler, Service, Session, Task, TaskFilter,
    TaskSelection, WatchOptions,
};
use easel_contract::{Check, Error, Limits};
use futures_channel::mpsc::UnboundedReceiver;
use futures_util::stream::{self, StreamExt};
use js_sys::Uint8Array;
use parking_lot::Mutex;
use send_wrapper::SendWrapper;
use sha2::{Digest, Sha256};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;
use wasm_bindgen::JsValue;
use wasm_bindgen_futures::{JsFuture, spawn_local};

/// A watcher of a task, until it is dropped. A task that a client waits for is cancelled with its last watcher.
struct Watching {
    service: WorkerService,
    task: String,
}

impl Drop for Watching {
    fn drop(&mut self) {
        if self.service.store.lock().leave(&self.task, now()) {
            self.service.engine.cancel(&self.task);
        }
    }
}

/// The worker as a service. Clones share everything.
#[derive(Clone)]
pub(crate) struct WorkerService {
    store: Arc<Mutex<TaskStore>>,
    // JavaScript's objects stay on the worker's thread, on which all calls are made.
    engine: Arc<SendWrapper<Engine>>,
}

impl WorkerService {
    pub(crate) fn new(engine: Engine) -> Self {
        Self { store: Arc::default(), engine: Arc::new(SendWrapper::new(engine)) }
    }

    /// An id for a new task, and a seed with 32 bits, which is short enough to type again.
    fn identity(&self) -> Identity {
        Identity { id: self.engine.uuid(), seed: (js_sys::Math::random() * f64::from(u32::MAX)) as u64 }
    }

    fn check(&self, request: &ImageRequest) -> Result<()> {
        // The page's module has no code for the other formats, to be small.
        let format = request.encoding.unwrap_or_default().format;
        if matches!(format, PictureFormat::Bmp | PictureFormat::Tiff | PictureFormat::Gif) {
            return Err(Error::invalid("encoding", "must be png, jpeg or webp: the browser has no other formats"));
        }
        match (&request.model, self.engine.model()) {
            (Some(asked), loaded) if loaded.as_ref() != Some(asked) => {
                Err(Error::ModelNotFound { model: asked.clone() })
            }
            _ => Ok(()),
        }
    }

    /// Starts the next task, unless one is in progress.
    fn start_next(&self) {
        let Some((task, request)) = self.store.lock().begin(now()) else { return };
        let service = self.clone();
        spawn_local(async move {
            let failure = service.draw(&task, &request).await.err();
            service.store.lock().end(&task.id, failure.map(|thrown| reason(&thrown)), now());
            service.start_next();
        });
    }

    /// Draws the pictures of a task.
    async fn draw(&self, task: &Task, request: &ImageRequest) -> Result<(), JsValue> {
        let retouched = retouched(request).map_err(from_picture)?;
        let request = retouched.as_ref().map_or(request, |(part, _)| part);
        for picture in 0..request.count {
            let seed = task.seed.wrapping_add(u64::from(picture));
            let passes = if request.hires.is_some() { 2 } else { 1 };
            let report = |pass| Report {
                store: self.store.clone(),
                task: task.id.clone(),
                picture: picture * passes + pass,
                pictures: request.count * passes,
                steps: Steps::default(),
            };
            let mut png = self.pass(&task.id, request, seed, report(0)).await?;
            if let Some(hires) = request.hires {
                let second = second(request, hires, png).map_err(from_picture)?;
                png = self.pass(&task.id, &second, seed, report(1)).await?;
            }
            if let Some((_, retouch)) = &retouched {
                png = put_back(retouch, &png).map_err(from_picture)?;
            }
            let encoding = request.encoding.unwrap_or_default();
            let (bytes, media_type) = encoded(png, encoding).map_err(from_picture)?;
            let digest = hex::encode(Sha256::digest(&bytes));
            let picture = Drawn { seed, bytes: bytes.into(), digest, media_type };
            self.store.lock().picture(&task.id, picture, now());
        }
        Ok(())
    }

    /// Draws one picture. Returns the bytes of a PNG.
    async fn pass(&self, task: &str, request: &ImageRequest, seed: u64, report: Report) -> Result<Vec<u8>, JsValue> {
        let drawn = self.engine.draw(task, drawing(request, seed)?, report);
        Ok(Uint8Array::new(&JsFuture::from(drawn).await?).to_vec())
    }

    fn device(&self) -> Device {
        let is_gpu = self.engine.backend() == "webgpu";
        let (id, name, kind) =
            if is_gpu { ("gpu", "WebGPU", DeviceKind::Gpu) } else { ("cpu", "WebAssembly", DeviceKind::Cpu) };
        Device { id: id.into(), name: name.into(), kind, memory_bytes: None, selected: true }
    }
}

#[async_trait]
impl Service for WorkerService {
    async fn submit(&self, request: ImageRequest, priority: Priority) -> Result<Task> {
        self.check(&request)?;
        let task = self.store.lock().submit(request, priority, self.identity(), now())?;
        self.start_next();
        Ok(task)
    }

    async fn task(&self, id: String) -> Result<Task> {
        self.store.lock().task(&id)
    }

    async fn tasks(&self, filter: TaskFilter) -> Result<Page<Task>> {
        Ok(self.store.lock().tasks(&filter))
    }

    async fn watch(&self, id: String, options: WatchOptions) -> Result<ProgressStream> {
        let reports = self.store.lock().watch(&id, options.after)?;
        let watching = SendWrapper::new(Watching { service: self.clone(), task: id });
        let next = move |(mut reports, watching): (UnboundedReceiver<Progress>, SendWrapper<Watching>)| async move {
            let mut report = reports.next().await?;
            report.preview = report.preview.filter(|_| options.preview);
            Some((report, (reports, watching)))
        };
        // The receiver is dropped before the watcher, which must not count it any more.
        Ok(stream::unfold((reports, watching), next).boxed())
    }

    async fn cancel(&self, id: String) -> Result<()> {
        self.store.lock().cancel(&id, now())?;
        self.engine.cancel(&id);
        Ok(())
    }

    async fn delete_tasks(&self, selection: TaskSelection) -> Result<u64> {
        Ok(self.store.lock().delete(&selection))
    }

    async fn run(&self, request: ImageRequest) -> Result<Task> {
        self.check(&request)?;
        let task = self.store.lock().run(request, self.identity(), now())?;
        self.start_next();
        Ok(task)
    }

    async fn latest_run(&self) -> Result<Option<Run>> {
        Ok(self.store.lock().latest_run())
    }

    async fn take_run(&self) -> Result<Image> {
        self.store.lock().take_run()
    }

    async fn images(&self, filter: ImageFilter) -> Result<Page<Image>> {
        Ok(self.store.lock().images(&filter))
    }

    async fn image(&self, id: u64) -> Result<Image> {
        self.store.lock().image(id).map(|(image, _)| image.clone())
    }

    async fn read_image(&self, id: u64, range: Range<u64>) -> Result<ByteStream> {
        let bytes: Bytes = self.store.lock().image(id)?.1.clone();
        let size = bytes.len() as u64;
        if range.start > range.end || range.end > size {
            return Err(Error::RangeNotSatisfiable { size });
        }
        // Within the picture, so within `usize`.
        let part = bytes.slice(range.start as usize..range.end as usize);
        Ok(stream::iter([Ok(part)]).boxed())
    }

    async fn delete_image(&self, id: u64) -> Result<()> {
        self.store.lock().delete_image(id)
    }

    async fn models(&self) -> Result<Vec<Model>> {
        Ok(self.engine.model().map(|name| Model { name, loaded: true, ..Model::default() }).into_iter().collect())
    }

    async fn samplers(&self) -> Result<Vec<Sampler>> {
        serde_wasm_bindgen::from_value(self.engine.samplers()).map_err(Error::internal)
    }

    async fn session(&self, name: String) -> Result<Session> {
        let task = self.store.lock().task_of(&name);
        let elapsed = task.as_ref().and_then(|task| now().duration_since(task.started_at?).ok()).unwrap_or_default();
        let model = self.engine.model();
        Ok(Session { model, task, elapsed: elapsed.as_millis() as u64 })
    }

    /// A worker has one model at a time.
    async fn select_model(&self, _: String, model: String) -> Result<()> {
        match self.engine.model() {
            Some(loaded) if loaded == model => Ok(()),
            _ => Err(Error::ModelNotFound { model }),
        }
    }

    /// The page has its own way to analyse pictures, which needs no server.
    async fn analyze(&self, request: AnalysisRequest) -> Result<Analysis> {
        request.check(&Limits::default())?;
        let reason = "this page does not analyse pictures over HTTP: call the package instead, or an Easel server";
        let id = self.engine.uuid();
        Ok(Analysis { id, scores: Err(format!("clip: {reason}")), cuts: Err(format!("sam: {reason}")) })
    }

    async fn devices(&self) -> Result<Vec<Device>> {
        Ok(vec![self.device()])
    }

    async fn select_device(&self, kind: Option<DeviceKind>) -> Result<Device> {
        self.store.lock().check_no_run()?;
        let device = self.device();
        match kind {
            Some(kind) if kind != device.kind => Err(Error::DeviceUnavailable { device: kind.name().to_uppercase() }),
            _ => Ok(device),
        }
    }

    async fn health(&self) -> Health {
        let problem = self.engine.model().is_none().then(|| "no model is loaded".to_owned());
        Health { checks: vec![("engine".into(), problem)] }
    }

    async fn metrics(&self) -> Result<String> {
        let (waiting, drawn) = self.store.lock().counts();
        let metric = |name: &str, kind: &str, help: &str, suffix: &str, value: String| {
            format!("# HELP {name} {help}\n# TYPE {name} {kind}\n{name}{suffix} {value}\n")
        };
        let queue = metric("easel_queue_length", "gauge", "Tasks that wait.", "", waiting.to_string());
        let images = metric("easel_images", "counter", "Pictures that were drawn.", "_total", drawn.to_string());
        Ok(format!("{queue}{images}# EOF\n"))
    }

    async fn sleep(&self, duration: Duration) {
        let timer = SendWrapper::new(JsFuture::from(self.engine.sleep(duration.as_millis() as f64)));
        // A timer that fails has ended all the same.
        let _: Result<JsValue, JsValue> = timer.await;
    }
}
