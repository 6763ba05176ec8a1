//! Many models on one server, whose memory holds two of them: clients of all families at once, models that cannot be loaded,
//! idle ones, and tasks that are cancelled.

use crate::{Host, command, data};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use easel_host::model::{LoadOptions, needs};
use easel_host::names::Place;
use easel_inference::Device;
use easel_inference::pipeline::{Keeping, Needs, Request};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::net::TcpStream;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

/// A tiny model with random weights.
const TINY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden/sd15");

/// Three models, of the same weights but with different schedulers, so that each draws something else.
const MODELS: [(&str, &str); 3] =
    [("a", "DDIMScheduler"), ("b", "EulerDiscreteScheduler"), ("c", "HeunDiscreteScheduler")];

/// How long to wait for what must happen.
const PATIENCE: Duration = Duration::from_secs(60);

/// Copies a model.
pub(crate) fn copy(folder: &Path, name: &str, scheduler: &str) {
    let to = folder.join(name);
    for part in ["text_encoder", "tokenizer", "unet", "vae", "scheduler"] {
        fs::create_dir_all(to.join(part)).unwrap();
        for file in fs::read_dir(Path::new(TINY).join(part)).unwrap().map(Result::unwrap) {
            fs::copy(file.path(), to.join(part).join(file.file_name())).unwrap();
        }
    }
    fs::copy(Path::new(TINY).join("model_index.json"), to.join("model_index.json")).unwrap();
    let config = to.join("scheduler/scheduler_config.json");
    let mut written: Value = serde_json::from_slice(&fs::read(&config).unwrap()).unwrap();
    written["_class_name"] = scheduler.into();
    fs::write(config, written.to_string()).unwrap();
}

/// What a picture with this side takes: weights, and the work besides.
fn sizes(model: &Path, side: usize) -> (u64, u64) {
    let side = Some(side);
    let request = Request { width: side, height: side, guidance_scale: Some(7.5), ..Request::new("", None, 0, 1) };
    let options = LoadOptions { request: Some(request), ..LoadOptions::new(Device::Cpu) };
    let needs: Needs = needs(&Place::Path(model.to_owned()), &options).unwrap().unwrap();
    let weights = needs.components.iter().map(|component| component.weights).sum();
    (weights, needs.peak(Keeping::All) - weights)
}

/// A server with the three models, its folders, and the memory that it may use for models: two, and a task with each.
struct Studio {
    host: Host,
    folder: tempfile::TempDir,
    weights: u64,
    work: u64,
    bound: u64,
}

impl Studio {
    fn start(side: usize, lines: &str) -> Self {
        let folder = data();
        let models = folder.path().join("models");
        for (name, scheduler) in MODELS {
            copy(&models, name, scheduler);
        }
        let (weights, work) = sizes(&models.join("a"), side);
        let bound = 2 * (weights + work);
        let config = folder.path().join("easel.toml");
        fs::write(&config, format!("models_folder = {models:?}\nmodel = 'a'\n{lines}")).unwrap();
        let mut command = command(&folder.path().join("data"), &["--config", &config.display().to_string()]);
        command.env("EASEL_MEMORY", bound.to_string());
        Self { host: Host::run(command), folder, weights, work, bound }
    }

    /// The metrics of models.
    fn metrics(&self) -> BTreeMap<String, u64> {
        let text = self.host.get("/metrics").body_mut().read_to_string().unwrap();
        let lines = text.lines().filter_map(|line| line.strip_prefix("easel_model")?.rsplit_once(' '));
        lines.map(|(name, value)| (name.to_owned(), value.parse().unwrap())).collect()
    }

    fn metric(&self, name: &str) -> u64 {
        self.metrics().get(name).copied().unwrap_or_default()
    }

    /// Waits until it is so.
    fn until(&self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let began = Instant::now();
        while !is_so(self) {
            assert!(began.elapsed() < PATIENCE, "{what}: {:?}", self.metrics());
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// The prompts of the tasks in a status.
    fn prompts(&self, status: &str) -> Vec<String> {
        let tasks = self.host.json(&format!("/tasks?status={status}"))["tasks"].clone();
        tasks.as_object().unwrap().values().map(|task| task["prompt"].as_str().unwrap().to_owned()).collect()
    }
}

/// The families of clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Family {
    Task,
    OpenAi,
    WebUi,
    Caikit,
    Imagine,
}

const FAMILIES: [Family; 5] = [Family::Task, Family::OpenAi, Family::WebUi, Family::Caikit, Family::Imagine];

/// What to draw.
#[derive(Clone, Copy)]
struct Wish {
    prompt: &'static str,
    model: &'static str,
    side: u32,
    steps: u32,
}

impl Family {
    fn route(self) -> &'static str {
        match self {
            Self::Task => "/generate",
            Self::OpenAi => "/v1/images/generations",
            Self::WebUi => "/sdapi/v1/txt2img",
            Self::Caikit => "/api/v1/task/text-to-image",
            Self::Imagine => "/imagine",
        }
    }

    /// The request as this family's clients write it. The imagine family always draws with the default model, and Caikit's has no
    /// seed.
    fn body(self, wish: Wish) -> Value {
        let Wish { prompt, model, side, steps } = wish;
        match self {
            Self::Task => {
                json!({ "prompt": prompt, "model": model, "width": side, "height": side, "steps": steps, "seed": 7 })
            }
            Self::OpenAi => json!({ "prompt": prompt, "model": model, "size": format!("{side}x{side}"), "steps": steps,
                "seed": 7, "response_format": "b64_json" }),
            Self::WebUi => json!({ "prompt": prompt, "override_settings": { "sd_model_checkpoint": model },
                "width": side, "height": side, "steps": steps, "seed": 7 }),
            Self::Caikit => json!({ "model_id": model, "inputs": prompt,
                "parameters": { "width": side, "height": side, "num_steps": steps } }),
            Self::Imagine => json!({ "prompt": prompt, "W": side, "H": side, "ddim_steps": steps, "seed": 7 }),
        }
    }

    /// Asks for a picture, and waits for it.
    fn draw(self, host: &Host, wish: Wish) -> Vec<u8> {
        let mut answer = host.post(self.route(), &self.body(wish));
        let status = answer.status().as_u16();
        let answer: Value = answer.body_mut().read_json().unwrap();
        assert_eq!(status, 200, "{self:?}: {answer}");
        let picture = match self {
            Self::Task => {
                let task = answer["task_id"].as_str().unwrap();
                let ended = host.until_ended(task);
                assert_eq!(ended["status"], "completed", "{ended}");
                let image = host.json(&format!("/images?task_id={task}"))["slice"][0]["id"].clone();
                return host.get(&format!("/images/{image}")).body_mut().read_to_vec().unwrap();
            }
            Self::OpenAi => &answer["data"][0]["b64_json"],
            Self::WebUi => &answer["images"][0],
            Self::Caikit => &answer["output"]["image_data"],
            Self::Imagine => &answer[0],
        };
        BASE64_STANDARD.decode(picture.as_str().unwrap()).unwrap()
    }
}

/// Whether a picture is the one that a model drew before; of Caikit's, which have other seeds, whether that model drew it.
fn is_of(picture: &[u8], family: Family, model: &str, before: &[u8]) -> bool {
    match family {
        Family::Caikit => contains(picture, &format!("Model: {model}")),
        _ => picture == before,
    }
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

fn wish(model: &'static str) -> Wish {
    Wish { prompt: "a red apple", model, side: 64, steps: 2 }
}

#[test]
fn sixteen_clients_of_five_families_get_the_pictures_of_their_models_and_memory_holds_two() {
    let studio = Studio::start(64, "engines = 2");
    assert!(studio.work < studio.weights, "three models and the work of one would fit");
    let mut expected: BTreeMap<(Family, &str), Vec<u8>> = BTreeMap::new();
    for family in FAMILIES {
        for (model, _) in MODELS {
            let picture = family.draw(&studio.host, wish(model));
            let drawn_by = if family == Family::Imagine { "a" } else { model };
            assert!(contains(&picture, &format!("Model: {drawn_by}")), "{family:?} with {model}");
            expected.insert((family, model), picture);
        }
        let pictures = MODELS.map(|(model, _)| &expected[&(family, model)]);
        assert_eq!(pictures[0] == pictures[1], family == Family::Imagine, "models draw differently");
        assert_eq!(pictures[1] == pictures[2], family == Family::Imagine);
    }
    thread::scope(|scope| {
        let clients: Vec<_> = (0..16)
            .map(|client| {
                let studio = &studio;
                let expected = &expected;
                scope.spawn(move || {
                    for round in 0..2 {
                        let family = FAMILIES[client % FAMILIES.len()];
                        let (model, _) = MODELS[(client / FAMILIES.len() + client + round) % MODELS.len()];
                        let picture = family.draw(&studio.host, wish(model));
                        let before = &expected[&(family, model)];
                        assert!(is_of(&picture, family, model, before), "{family:?} with {model}");
                    }
                })
            })
            .collect();
        while !clients.iter().all(|client| client.is_finished()) {
            let loaded = studio.metric("s_loaded");
            let memory = studio.metric("s_memory_bytes");
            assert!(loaded <= 2 && memory <= studio.bound, "{loaded} models and {memory} bytes");
            thread::sleep(Duration::from_millis(5));
        }
    });
    let metrics = studio.metrics();
    assert_eq!((metrics["s_loaded"], metrics["s_memory_bytes"]), (2, 2 * studio.weights), "{metrics:?}");
    let left = metrics["_unloads_total{reason=\"room\"}"];
    assert_eq!(metrics["_loads_total"], left + 2, "{metrics:?}");
    assert_eq!(metrics["_load_failures_total"], 0);
}

#[test]
fn a_model_that_cannot_be_loaded_fails_its_tasks_alone_and_unknown_ones_are_refused() {
    let studio = Studio::start(64, "");
    let Studio { host, folder, .. } = &studio;
    let broken = folder.path().join("models/b/unet/config.json");
    let whole = fs::read(&broken).unwrap();
    fs::write(&broken, "{").unwrap();
    let mut refused = host.post(Family::OpenAi.route(), &Family::OpenAi.body(wish("b")));
    assert_eq!(refused.status().as_u16(), 500);
    let said = refused.body_mut().read_to_string().unwrap();
    assert!(said.contains("model b cannot be loaded: ") && said.contains("config.json"), "{said}");
    assert!(!said.contains(&folder.path().display().to_string()), "{said}");
    Family::Task.draw(host, wish("a"));
    fs::write(&broken, whole).unwrap();
    Family::OpenAi.draw(host, wish("b"));

    let before = host.json("/tasks")["total_tasks"].clone();
    for family in [Family::Task, Family::OpenAi, Family::WebUi, Family::Caikit] {
        let unknown = ["tower", "../models/a", folder.path().to_str().unwrap()];
        for model in unknown {
            let mut body = family.body(wish("a"));
            match family {
                Family::WebUi => body["override_settings"]["sd_model_checkpoint"] = model.into(),
                Family::Caikit => body["model_id"] = model.into(),
                _ => body["model"] = model.into(),
            }
            assert_eq!(host.post(family.route(), &body).status().as_u16(), 404, "{family:?} with {model}");
        }
    }
    assert_eq!(host.json("/tasks")["total_tasks"], before, "nothing was queued");
}

#[test]
fn all_models_are_listed_and_leave_memory_when_they_are_idle() {
    let studio = Studio::start(64, "unload_after = 1");
    let host = &studio.host;
    let list = || host.json("/v1/models")["data"].clone();
    let ids = |list: &Value| list.as_array().unwrap().iter().map(|model| model["id"].clone()).collect::<Vec<_>>();
    assert_eq!(ids(&list()), ["a", "b", "c", "easel-emoji", "stub"]);
    let titles = host.json("/sdapi/v1/sd-models");
    assert_eq!(titles.as_array().unwrap().len(), 5);
    assert_eq!(titles[1]["title"], "b");
    let model = host.json("/v1/models/b")["easel"].clone();
    assert_eq!(model["loaded"], false);
    assert!(model["size"].as_u64() > Some(1 << 20) && model["memory"].as_u64() > model["size"].as_u64(), "{model}");
    Family::Task.draw(host, wish("b"));
    assert_eq!(host.json("/v1/models/b")["easel"]["loaded"], true);
    assert_eq!(studio.metric("s_memory_bytes"), studio.weights);
    studio.until("b leaves", |studio| studio.metric("s_loaded") == 0);
    let metrics = studio.metrics();
    assert_eq!((metrics["s_memory_bytes"], metrics["_unloads_total{reason=\"idle\"}"]), (0, 1), "{metrics:?}");
    assert_eq!(host.json("/v1/models/b")["easel"]["loaded"], false);
}

/// A client that asks for a picture and waits.
fn connect(host: &Host, family: Family, wish: Wish) -> TcpStream {
    let body = family.body(wish).to_string();
    let head = format!(
        "POST {} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        family.route(),
        body.len()
    );
    let mut stream = TcpStream::connect(&host.address).unwrap();
    stream.write_all(format!("{head}{body}").as_bytes()).unwrap();
    stream
}

#[test]
fn every_family_cancels_its_own_task_within_a_step_and_memory_is_free_again() {
    let studio = Studio::start(256, "");
    let host = &studio.host;
    for (round, family) in FAMILIES.into_iter().enumerate() {
        let long = Wish { prompt: "to be cancelled", model: "a", side: 256, steps: 500 };
        let client = connect(host, family, long);
        studio.until("it is drawn", |studio| studio.prompts("processing") == ["to be cancelled"]);
        let next = Wish { prompt: "to be drawn", model: "b", ..wish("b") };
        let next: Value = host.post("/generate", &Family::Task.body(next)).body_mut().read_json().unwrap();
        let began = Instant::now();
        match family {
            Family::Task => {
                let tasks = host.json("/tasks?status=processing")["tasks"].clone();
                let task = tasks.as_object().unwrap().keys().next().unwrap();
                assert_eq!(host.post("/cancel-generation", &json!({ "task_id": task })).status(), 200);
            }
            Family::WebUi => assert_eq!(host.post("/sdapi/v1/interrupt", &json!({})).status(), 200),
            Family::OpenAi | Family::Caikit | Family::Imagine => drop(client),
        }
        host.until(next["task_id"].as_str().unwrap(), "completed");
        assert!(began.elapsed() < Duration::from_secs(20), "{family:?} took {:?}", began.elapsed());
        assert_eq!(studio.prompts("cancelled").len(), round + 1, "{family:?}");
        assert_eq!(studio.prompts("completed").len(), round + 1, "{family:?}");
        let held = 2 * studio.weights;
        studio.until("its memory is free", |studio| studio.metric("s_memory_bytes") == held);
    }
    assert_eq!(studio.metric("_loads_total"), 2, "the models stayed");
}
