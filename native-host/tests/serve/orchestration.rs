//! What compose and Kubernetes are told: that each part names only parts that exist, and starts Easel with arguments that it
//! takes.

#![cfg(unix)]

use crate::manifests::{PROGRAM, collect, root};
use std::collections::{BTreeMap, BTreeSet};
use std::iter;
use std::path::{Path, PathBuf};
use std::process::Command;
use yaml_rust2::{Yaml, YamlLoader};

/// The files of compose: one host, and several.
const COMPOSE: [&str; 2] = ["compose.yaml", "compose.cluster.yaml"];

fn documents(path: &Path) -> Vec<Yaml> {
    let text = std::fs::read_to_string(path).unwrap();
    YamlLoader::load_from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn compose(file: &str) -> Yaml {
    documents(&root().join(file)).remove(0)
}

/// The services of a file by name.
fn services(compose: &Yaml) -> BTreeMap<&str, &Yaml> {
    compose["services"].as_hash().unwrap().iter().map(|(name, service)| (name.as_str().unwrap(), service)).collect()
}

/// The keys of a map; none if it is not there.
fn keys(map: &Yaml) -> BTreeSet<&str> {
    map.as_hash().into_iter().flat_map(|map| map.keys()).filter_map(Yaml::as_str).collect()
}

/// The texts of a list; none if it is not there.
fn texts(list: &Yaml) -> Vec<&str> {
    list.as_vec().into_iter().flatten().map(|text| text.as_str().unwrap()).collect()
}

/// Whether a service runs the image: it builds it, or is like one that does.
fn is_easel(service: &Yaml) -> bool {
    !service["build"].is_badvalue() || service["extends"]["service"].as_str() == Some("easel")
}

/// Has the program read the arguments that its start script gets, without doing what they say.
fn assert_is_read(place: &str, arguments: &[&str]) {
    let (mode, options) = match arguments.split_first() {
        Some((&"prepare", [])) => return,
        Some((&"work", options)) => ("work", options),
        _ => ("serve", arguments),
    };
    let command: Vec<&str> = iter::once(mode).chain(options.iter().copied()).collect();
    assert_is_command(place, &command);
}

fn assert_is_command(place: &str, arguments: &[&str]) {
    let output = Command::new(PROGRAM).args(arguments).arg("--help").output().unwrap();
    assert!(output.status.success(), "{place}: {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn the_parts_of_compose_are_those_of_one_host_and_of_several() {
    let one = compose(COMPOSE[0]);
    let several = compose(COMPOSE[1]);
    assert_eq!(Vec::from_iter(services(&one).into_keys()), ["easel", "proxy"]);
    let names = Vec::from_iter(services(&several).into_keys());
    assert_eq!(names, ["bucket", "database", "easel", "pictures", "prepare", "proxy", "worker"]);
    let services = services(&several);
    assert_eq!(texts(&services["worker"]["command"]), ["work"]);
    assert_eq!(texts(&services["easel"]["command"]), ["--engines", "0"]);
    for name in ["easel", "worker"] {
        let shared = keys(&services[name]["environment"]);
        assert!(shared.contains("EASEL_STORE") && shared.contains("EASEL_PICTURES"), "{name}: {shared:?}");
    }
}

#[test]
fn every_part_of_compose_names_only_what_is_there() {
    for file in COMPOSE {
        let compose = compose(file);
        let services = services(&compose);
        for (name, service) in &services {
            let place = format!("{file}: {name}");
            for volume in texts(&service["volumes"]) {
                let source = volume.split(':').next().unwrap();
                let is_file = source.starts_with('.') && root().join(source).is_file();
                assert!(is_file || keys(&compose["volumes"]).contains(source), "{place}: {source}");
            }
            for config in service["configs"].as_vec().into_iter().flatten() {
                assert!(keys(&compose["configs"]).contains(config["source"].as_str().unwrap()), "{place}");
            }
            let dockerfile = service["build"]["dockerfile"].as_str();
            assert!(dockerfile.is_none_or(|file| root().join(file).is_file()), "{place}");
            if let Some(other) = service["extends"]["file"].as_str() {
                let base = self::compose(other);
                assert!(keys(&base["services"]).contains(service["extends"]["service"].as_str().unwrap()), "{place}");
            }
            for (other, needed) in service["depends_on"].as_hash().into_iter().flatten() {
                let other = services[other.as_str().unwrap()];
                let can_be = match needed["condition"].as_str().unwrap() {
                    // The image has a check of its own.
                    "service_healthy" => is_easel(other) || !other["healthcheck"]["test"].is_badvalue(),
                    "service_completed_successfully" => other["restart"].as_str() == Some("no"),
                    condition => panic!("{place}: {condition}"),
                };
                assert!(can_be, "{place} waits for {other:?}");
            }
        }
    }
}

#[test]
fn compose_starts_easel_with_arguments_that_it_takes() {
    let mut checked = 0;
    for file in COMPOSE {
        for (name, service) in services(&compose(file)) {
            let place = format!("{file}: {name}");
            if is_easel(service) {
                assert_is_read(&place, &texts(&service["command"]));
                checked += 1;
            }
            if let ["CMD", "easel", arguments @ ..] = &texts(&service["healthcheck"]["test"])[..] {
                assert_is_command(&place, arguments);
                checked += 1;
            }
        }
    }
    assert_eq!(checked, 5);
}

/// The folder with the manifests.
fn kubernetes() -> PathBuf {
    root().join("deploy/kubernetes")
}

#[test]
fn every_manifest_is_part_of_a_kustomization_and_every_part_is_there() {
    let mut files = Vec::new();
    collect(&kubernetes(), &mut files);
    let (kustomizations, manifests): (Vec<PathBuf>, Vec<PathBuf>) =
        files.into_iter().partition(|path| path.ends_with("kustomization.yaml"));
    let mut parts = BTreeSet::new();
    for path in &kustomizations {
        let kustomization = documents(path).remove(0);
        for (list, kind) in [("resources", "Kustomization"), ("components", "Component")] {
            for part in texts(&kustomization[list]) {
                let found = path.parent().unwrap().join(part).canonicalize();
                let found = found.unwrap_or_else(|error| panic!("{}: {part}: {error}", path.display()));
                if found.is_dir() {
                    let other = documents(&found.join("kustomization.yaml")).remove(0);
                    assert_eq!(other["kind"].as_str(), Some(kind), "{}: {part}", path.display());
                }
                parts.insert(found);
            }
        }
    }
    for manifest in &manifests {
        assert!(parts.contains(&manifest.canonicalize().unwrap()), "{}", manifest.display());
    }
    assert_eq!((kustomizations.len(), manifests.len()), (5, 9));
}

#[test]
fn kubernetes_starts_easel_with_arguments_that_it_takes_and_scales_what_there_is() {
    let mut files = Vec::new();
    collect(&kubernetes().join("cluster"), &mut files);
    let parts: Vec<Yaml> = files.iter().flat_map(|path| documents(path)).collect();
    let deployments: BTreeMap<&str, &Yaml> = parts
        .iter()
        .filter(|part| part["kind"].as_str() == Some("Deployment"))
        .map(|part| (part["metadata"]["name"].as_str().unwrap(), part))
        .collect();
    assert_eq!(Vec::from_iter(deployments.keys().copied()), ["easel", "easel-worker"]);
    for (name, deployment) in &deployments {
        let pod = &deployment["spec"]["template"]["spec"];
        let container = &pod["containers"][0];
        assert_is_read(name, &texts(&container["args"]));
        let ports = container["ports"].as_vec().unwrap();
        let ports: BTreeSet<&str> = ports.iter().map(|port| port["name"].as_str().unwrap()).collect();
        for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
            let port = container[probe]["httpGet"]["port"].as_str().unwrap();
            assert!(ports.contains(port), "{name}: {probe}: {port}");
        }
        let labels = &deployment["spec"]["selector"]["matchLabels"];
        assert_eq!(labels["app.kubernetes.io/name"].as_str(), Some(*name));
        let volumes = pod["volumes"].as_vec().unwrap();
        let volumes: BTreeSet<&str> = volumes.iter().map(|volume| volume["name"].as_str().unwrap()).collect();
        for mount in container["volumeMounts"].as_vec().unwrap() {
            assert!(volumes.contains(mount["name"].as_str().unwrap()), "{name}: {mount:?}");
        }
    }
    let mut scaled = 0;
    for part in &parts {
        let target = match part["kind"].as_str().unwrap() {
            "HorizontalPodAutoscaler" | "ScaledObject" => &part["spec"]["scaleTargetRef"]["name"],
            "PodDisruptionBudget" => &part["spec"]["selector"]["matchLabels"]["app.kubernetes.io/name"],
            _ => continue,
        };
        assert!(deployments.contains_key(target.as_str().unwrap()), "{part:?}");
        scaled += 1;
    }
    assert_eq!(scaled, 5);
}
