//! Names, lists and memory, with the embedded model, folders like it and broken ones.

use super::*;
use crate::model::ComponentPath;
use easel_inference::pipeline::Unwatched;
use std::fs;

const EMOJI: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../models/easel-emoji");

/// A tiny model with random weights.
const TINY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden/sd15");

/// Collects what a user would be warned of.
struct Warnings<'a>(&'a mut Vec<String>);

impl Watcher for Warnings<'_> {
    fn warning(&mut self, message: &str) {
        self.0.push(message.to_owned());
    }
}

fn config(models: &[&str]) -> Config {
    let mut names = models.iter().map(|name| (*name).to_owned());
    Config { model: names.next().unwrap(), models: names.collect(), ..Config::default() }
}

fn models(config: &Config) -> Models {
    Models::new(config, ModelMetrics::default()).unwrap()
}

fn get(models: &Models, name: &str) -> Result<Lease<LoadedModel>, model::Error> {
    let drawings = [Request { width: Some(64), height: Some(64), ..Request::new("", None, 0, 1) }];
    let task = Task { model: name, device: DeviceKind::Cpu.into(), drawings: &drawings };
    models.get(&task, &mut Unwatched, &CancelToken::default(), &|| false)
}

#[test]
fn requests_may_name_configured_and_built_in_models() {
    let known = models(&config(&["stub"]));
    assert_eq!(known.name(None), Some("stub"));
    assert_eq!(known.name(Some("easel-emoji")), Some("easel-emoji"));
    assert_eq!(known.name(Some("sd-turbo")), None);
    assert_eq!(known.name(Some("/etc")), None);
    assert_eq!(known.name(Some(".")), None);
    assert!(Models::new(&config(&["no-such-model"]), ModelMetrics::default()).is_err());
}

#[test]
fn models_are_listed_by_names_that_show_no_folder() {
    let known = models(&config(&["stub", EMOJI]));
    let listed = known.list();
    let names: Vec<&str> = listed.iter().map(|model| model.name.as_str()).collect();
    assert_eq!(names, ["stub", "easel-emoji"]);
    assert_eq!((listed[0].width, listed[0].steps, listed[0].loaded), (Some(512), None, true));
    assert_eq!((listed[1].width, listed[1].loaded), (Some(128), false));
    assert!(listed[1].steps.is_some() && listed[1].bytes.unwrap() > 1 << 20);
    assert!(listed[1].memory > listed[1].bytes);
    let copy = tempfile::tempdir().unwrap();
    let path = copy.path().join("mine").display().to_string();
    fs::create_dir(&path).unwrap();
    assert_eq!(models(&config(&[&path])).name(Some("mine")), Some(path.as_str()));
}

#[test]
fn models_of_the_folder_are_called_as_they_are_there() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["castle", "easel-emoji", "tower"] {
        fs::create_dir(folder.path().join(name)).unwrap();
        fs::write(folder.path().join(name).join("model_index.json"), "{}").unwrap();
    }
    let set = Config { models_folder: Some(folder.path().to_owned()), ..config(&["tower"]) };
    let known = models(&set);
    let names: Vec<String> = known.list().into_iter().map(|model| model.name).collect();
    assert_eq!(names, ["tower", "castle", "easel-emoji", "stub"]);
    assert_eq!((known.name(None), known.name(Some("castle"))), (Some("tower"), Some("castle")));
    assert_eq!(known.known("easel-emoji").unwrap().place, Place::Path(folder.path().join("easel-emoji")));
    for path in [folder.path().join("castle").display().to_string(), "../castle".into(), "castle/".into()] {
        assert_eq!(known.name(Some(&path)), None, "{path}");
    }
}

#[test]
fn f18_clients_do_not_hear_where_models_lie() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    fs::create_dir_all(path("models/mine")).unwrap();
    fs::write(path("models/mine/model_index.json"), "{").unwrap();
    let name = path("models/mine");
    let component = ComponentPath { name: "vae".into(), path: path("parts/vae.safetensors").into() };
    let known = models(&Config { components: [(name.clone(), vec![component])].into(), ..config(&[&name]) });
    let error = get(&known, &name).err().unwrap().to_string();
    assert!(error.contains(&path("")), "{error}");
    let said = known.without_folders(&error);
    assert!(!said.contains(&path("")), "{said}");
    assert!(said.contains("vae.safetensors"), "{said}");

    let known = models(&config(&[&name]));
    let said = known.without_folders(&get(&known, &name).err().unwrap().to_string());
    assert!(said.contains("model_index.json") && !said.contains(&path("")), "{said}");
    assert_eq!(known.public(&name), "mine");
}

#[test]
fn a_model_is_loaded_once_and_the_least_recently_used_one_makes_room() {
    let known = models(&Config { loaded_models: Some(1), ..config(&[TINY]) });
    let is_loaded = |name: &str| known.ready(DeviceKind::Cpu.into()).iter().any(|ready| ready == name);
    let first = get(&known, "easel-emoji").unwrap();
    get(&known, "stub").unwrap();
    assert!(std::ptr::eq(&*first, &*get(&known, "easel-emoji").unwrap()));
    drop(first);
    assert!(is_loaded("easel-emoji") && is_loaded("stub") && !is_loaded(TINY));
    get(&known, TINY).unwrap();
    assert!(!is_loaded("easel-emoji") && is_loaded(TINY));
    assert!(known.list()[0].loaded);
}

#[test]
fn a_service_that_streams_weights_plans_and_draws_so() {
    let all = models(&config(&[TINY]));
    let streamed = models(&Config { keeping: Some(Keeping::Offload), ..config(&[TINY]) });
    assert!(streamed.list()[0].memory < all.list()[0].memory);
    let mut warnings = Vec::new();
    let request = Request { width: Some(64), height: Some(64), steps: Some(2), ..Request::new("a cat", None, 7, 1) };
    let mut draw = |models: &Models| {
        let task = Task { model: TINY, device: DeviceKind::Cpu.into(), drawings: std::slice::from_ref(&request) };
        let mut watcher = Warnings(&mut warnings);
        let lease = models.get(&task, &mut watcher, &CancelToken::default(), &|| false).unwrap();
        lease.generate(&request, &mut watcher, &CancelToken::default()).unwrap()
    };
    let expected = draw(&all);
    let drawn = draw(&streamed);
    assert_eq!(drawn[0].image.rgb8, expected[0].image.rgb8);
    assert_eq!(warnings, Vec::<String>::new());
}

#[test]
fn what_does_not_fit_the_memory_is_refused_with_the_numbers() {
    let known = models(&config(&["easel-emoji"]));
    let needs = known.needs("easel-emoji", &Request::new("", None, 0, 1)).unwrap().unwrap();
    let refused = no_room(&[needs], 1 << 20, known.ways()).to_string();
    assert!(refused.starts_with("not enough memory: at least ") && refused.contains("1 MiB free"), "{refused}");
}
