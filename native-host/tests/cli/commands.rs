//! The commands that make no pictures: models, devices, inspect, pull, bench, help.

use super::{Folder, repository};
use serde_json::Value;

#[test]
fn help_reads_well_and_fits() {
    let folder = Folder::new();
    let mut commands = vec![
        "generate",
        "analyze",
        "models",
        "new-key",
        "pull",
        "inspect",
        "quantize",
        "devices",
        "export-protos",
        "metadata",
        "bench",
        "completions",
        "man",
    ];
    if cfg!(feature = "mcp") {
        commands.push("mcp");
    }
    for command in commands {
        let help = folder.easel([command, "--help"]);
        assert!(help.text().contains(&format!("Usage: easel {command}")), "{}", help.text());
        assert!(help.text().lines().all(|line| line.chars().count() <= 130), "{}", help.text());
    }
    assert!(folder.easel(["--version"]).text().starts_with("easel "));
    let without = folder.easel::<&str>([]);
    assert_eq!(without.code, Some(2));
    assert!(without.stderr.contains("Usage: easel <COMMAND>"));
}

#[test]
fn a_new_key_is_printed_once_and_its_hash_is_stored() {
    let folder = Folder::new();
    let made = folder.easel(["new-key", "gallery", "--file", "keys.toml"]);
    let key = made.text().trim_end();
    assert!(key.starts_with("easel_") && key.len() == 49 && made.stderr.is_empty(), "{key} {}", made.stderr);
    let file = String::from_utf8(folder.read("keys.toml")).unwrap();
    assert!(file.starts_with("[[key]]\nname = \"gallery\"\nsha256 = \"") && !file.contains(key), "{file}");
    let again = folder.easel(["new-key", "gallery", "--file", "keys.toml"]);
    assert_eq!(again.error(1), "keys.toml: there is a key named \"gallery\" already; choose another name");
    let entry = folder.easel(["new-key", "gallery"]);
    assert!(
        entry.text().starts_with("easel_") && entry.stderr.starts_with("[[key]]\nname = \"gallery\""),
        "{}",
        entry.stderr
    );
    assert!(folder.easel(["new-key", ""]).error(1).starts_with("the name of a key must be visible text"));
}

#[test]
fn completions_and_manual_contain_the_commands() {
    let folder = Folder::new();
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = folder.easel(["completions", shell]);
        assert!(script.text().contains("init-image"), "{shell}: {}", script.text());
    }
    let page = folder.easel(["man"]);
    assert!(page.text().contains(".TH easel 1") && page.text().contains("easel\\-generate(1)"), "{}", page.text());
    folder.easel(["man", "pages"]).text();
    let generate = String::from_utf8(folder.read("pages/easel-generate.1")).unwrap();
    assert!(generate.contains("init\\-image"), "{generate}");
}

#[test]
fn models_are_listed() {
    let folder = Folder::new();
    let text = folder.easel(["models"]).text().to_owned();
    assert!(text.lines().any(|line| line.starts_with("easel-emoji ") && line.contains("built in")), "{text}");
    assert!(text.lines().any(|line| line.starts_with("sd-turbo ") && line.contains("not here")), "{text}");
    assert!(text.lines().any(|line| line.starts_with("flux-dev ") && line.contains("not here")), "{text}");
    let json = folder.easel(["models", "--json"]).json();
    let flux = json[0].as_array().unwrap().iter().find(|model| model["name"] == "flux-dev").unwrap();
    assert_eq!((&flux["supported"], &flux["family"]), (&Value::Bool(true), &"FLUX.1".into()));
    let names: Vec<_> = json[0].as_array().unwrap().iter().map(|model| model["name"].as_str().unwrap()).collect();
    assert!(names.contains(&"stub") && names.contains(&"stable-diffusion-xl"), "{names:?}");
}

#[test]
fn devices_are_listed() {
    let folder = Folder::new();
    assert!(folder.easel(["devices"]).text().starts_with("cpu "));
    let json = folder.easel(["devices", "--json"]).json();
    let cpu = json[0].as_array().unwrap().iter().find(|device| device["id"] == "cpu").unwrap();
    assert_eq!((&cpu["available"], &cpu["reason"]), (&Value::Bool(true), &Value::Null));
    let automatic = json[0].as_array().unwrap().iter().filter(|device| device["auto"] == true);
    assert_eq!(automatic.count(), 1, "{json:?}");
}

/// With Mesa installed and no desktop session, libwayland would complain on standard error.
#[test]
fn listing_devices_prints_only_the_list() {
    let folder = Folder::new();
    let mut command = folder.command(["devices"]);
    command.env_remove("XDG_RUNTIME_DIR").env_remove("WAYLAND_DISPLAY").env_remove("DISPLAY");
    let listed = super::Outcome::new(command.output().unwrap());
    assert_eq!((listed.code, listed.stderr.as_str()), (Some(0), ""));
}

#[test]
fn the_embedded_model_is_inspected() {
    let folder = Folder::new();
    let text = folder.easel(["inspect", "easel-emoji", "--tensors"]).text().to_owned();
    for part in ["unet", "text_encoder", "vae", "conv_in.weight", "F16"] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    let json = folder.easel(["inspect", "easel-emoji", "--json"]).json();
    let unet = json[0]["components"].as_array().unwrap().iter().find(|c| c["name"] == "unet").unwrap();
    let parameters = unet["parameters"].as_u64().unwrap();
    assert!((4_500_000..4_520_000).contains(&parameters), "{parameters}");
}

#[test]
fn a_folder_is_inspected() {
    let folder = Folder::new();
    let model = repository("tests/golden/sdxl");
    let text = folder.easel(["inspect".as_ref(), model.as_os_str()]).text().to_owned();
    for part in ["text_encoder", "text_encoder_2", "unet", "vae"] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
}

#[test]
fn a_component_is_quantised() {
    let folder = Folder::new();
    let unet = repository("tests/golden/sd15/unet");
    let quantize = |more: &[&str]| {
        let unet = unet.to_str().unwrap();
        folder.easel([&["quantize", unet, "unet.gguf", "--type", "q8_0"], more].concat())
    };
    let text = quantize(&[]).text().to_owned();
    assert!(text.starts_with("unet.gguf: ") && text.contains("F16 (") && text.contains("Q8_0 ("), "{text}");
    assert!(folder.easel(["inspect", "unet.gguf", "--tensors"]).text().contains("Q8_0"));
    assert_eq!(quantize(&[]).error(1), "unet.gguf: the file exists (--force replaces it)");
    assert_eq!(quantize(&["--force", "--quiet"]).text(), "");
    let whole =
        folder.easel(["quantize", repository("tests/golden/sd15").to_str().unwrap(), "x.gguf", "--type", "Q4_K"]);
    assert!(whole.error(1).contains("a whole model: quantise one of its components, such as "), "{}", whole.stderr);
    let wrong = folder.easel(["quantize", "a", "b", "--type", "Q9"]);
    assert!(wrong.error(2).contains("Q9 is not a type: expected F16, Q4_0, "), "{}", wrong.stderr);
}

#[test]
fn architectures_are_timed() {
    let folder = Folder::new();
    assert!(folder.easel(["bench"]).text().contains("sdxl-unet"));
    let run = folder.easel(["bench", "taesd-decode", "--size", "64", "--runs", "1", "--threads", "1", "--json"]);
    let [result] = &run.json()[..] else { panic!("one line expected: {}", run.text()) };
    assert_eq!((&result["name"], &result["size"], &result["threads"]), (&"taesd-decode".into(), &64.into(), &1.into()));
    assert!(result["seconds"].as_f64().unwrap() > 0.0);
    // PyTorch's FLOP counter gives the same number.
    let gflop = result["gflop"].as_f64().unwrap();
    assert!((gflop - 2.208_595_968).abs() < 1e-9, "{gflop}");
    assert!(folder.easel(["bench", "nothing"]).error(1).starts_with("unknown name \"nothing\", expected sd15-unet, "));
}

#[test]
fn definitions_are_exported_one_file_for_each_message() {
    let folder = Folder::new();
    assert_eq!(folder.easel(["export-protos", "some/protos"]).text().trim_end(), "some/protos");
    let request = String::from_utf8(folder.read("some/protos/ccv.texttoimagetaskrequest.proto")).unwrap();
    assert!(request.contains("optional string image_format = 7;"), "{request}");
    assert!(folder.read("some/protos/computervisionservice.proto").starts_with(b"syntax = \"proto3\";"));
    std::fs::write(folder.path("file"), "").unwrap();
    assert!(folder.easel(["export-protos", "file"]).error(1).starts_with("file: "));
}
