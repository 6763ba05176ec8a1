//! Compares every network with diffusers and transformers on the same weights.

use easel_inference::models::vae::Autoencoder;
use easel_inference::{Device, Error};
use easel_tests::files::{load_weights, read_arrays, read_json, repository};
use easel_tests::{Check, modules, relative_error};
use pollster::block_on;

/// Fails with a list of the checks beyond their tolerance.
fn expect_all_pass(checks: &[Check], at_least: usize) {
    assert!(checks.len() >= at_least, "only {} checks ran", checks.len());
    for check in checks {
        let mark = if check.passed() { "ok  " } else { "FAIL" };
        println!("{mark} {} {} {:.1e} (tolerance {:.1e})", check.case, check.tensor, check.error, check.tolerance);
    }
    let failed: Vec<_> = checks.iter().filter(|check| !check.passed()).collect();
    assert!(failed.is_empty(), "{} of {} checks failed: {failed:#?}", failed.len(), checks.len());
}

fn golden(folder: &str, at_least: usize) {
    expect_all_pass(&modules::run(&repository().join("tests/golden").join(folder), None).unwrap(), at_least);
}

#[test]
fn sd15() {
    golden("sd15", 14);
}

#[test]
fn sd21() {
    golden("sd21", 8);
}

#[test]
fn sdxl() {
    golden("sdxl", 10);
}

#[test]
fn taesd() {
    golden("taesd", 4);
}

/// Variants that no golden model has, made by `tests/variants/generate.py`.
#[test]
fn variants() {
    let folder = repository().join("tests/variants");
    for (name, checks) in [
        ("unet-inpaint", 1),
        ("unet-guidance", 1),
        ("unet-class-table", 1),
        ("unet-class-timestep", 1),
        ("unet-class-projection", 1),
        ("vae-tiled", 3),
    ] {
        expect_all_pass(&modules::run(&folder.join(name), None).unwrap(), checks);
    }
}

#[test]
fn emoji_text_encoder() {
    let golden = repository().join("tests/golden/easel-emoji");
    let arrays = read_arrays(&golden.join("cases.safetensors")).unwrap();
    let json = read_json(&golden.join("cases.json")).unwrap();
    let encoder = modules::clip_text(&repository().join("models/easel-emoji/text_encoder"), &Device::Cpu).unwrap();
    for case in json["cases"].as_array().unwrap() {
        let ids = |field: &str| -> Vec<u32> {
            case[field].as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as u32).collect()
        };
        let out = encoder.forward(&[ids("input_ids"), ids("uncond_input_ids")]).unwrap();
        let name = format!("{}text_states", case["tensors"].as_str().unwrap());
        let error = relative_error(&block_on(out.last_hidden_state.to_vec()).unwrap(), &arrays[&name].data);
        assert!(error <= 2e-5, "{name}: {error:e}");
    }
}

fn invalid_field<T>(result: Result<T, Error>) -> &'static str {
    match result.err() {
        Some(Error::Invalid { field, .. }) => field,
        Some(other) => panic!("{other}"),
        None => panic!("no error"),
    }
}

#[test]
fn text_encoders_refuse_unsupported_inputs() {
    let encoder = modules::clip_text(&repository().join("models/easel-emoji/text_encoder"), &Device::Cpu).unwrap();
    for ids in [vec![], vec![vec![]], vec![vec![1; 33]], vec![vec![1; 4], vec![1; 5]]] {
        assert!(matches!(encoder.forward(&ids), Err(Error::Shape { op: "clip_text", .. })), "{ids:?}");
    }
    assert_eq!(invalid_field(encoder.forward(&[vec![2914]])), "prompt");
    let out = encoder.forward(&[vec![2912, 2913]]).unwrap();
    assert!(out.hidden_state(4).is_ok());
    assert_eq!(invalid_field(out.hidden_state(5)), "clip_skip");
}

#[test]
fn unets_name_missing_inputs() {
    let lacks = |folder: &str, name: &str| {
        let folder = repository().join("tests").join(folder);
        let arrays = read_arrays(&folder.join("cases/unet.safetensors")).unwrap();
        let unet = modules::unet(&folder.join("unet"), &Device::Cpu).unwrap();
        let sample = arrays["sample"].channels_last(&Device::Cpu).unwrap();
        let text = arrays["encoder_hidden_states"].tensor(&Device::Cpu).unwrap();
        assert_eq!(invalid_field(unet.forward(&sample, 1.0, &text, &Default::default())), name, "{folder:?}");
    };
    lacks("golden/sdxl", "text_embeds");
    lacks("variants/unet-guidance", "guidance_scale");
    lacks("variants/unet-class-table", "class_label");
    lacks("variants/unet-class-timestep", "class_label");
    lacks("variants/unet-class-projection", "class_label");
}

#[test]
fn mismatched_weights_are_named() {
    let golden = repository().join("tests/golden");
    let build = |weights: &str, config: &str, change: fn(&mut serde_json::Value)| {
        let mut json = read_json(&golden.join(config).join("config.json")).unwrap();
        change(&mut json);
        let weights = load_weights(&golden.join(weights), &Device::Cpu).unwrap();
        Autoencoder::new(&weights, "config.json", &json).err().map(|error| error.to_string()).unwrap_or_default()
    };
    assert_eq!(build("sd15/vae", "sd15/vae", |_| {}), "");
    let text = build("sd15/vae", "sd15/vae", |json| json["mid_block_add_attention"] = false.into());
    assert!(text.contains("20 unexpected tensors"), "{text}");
    let text = build("taesd", "sd15/vae", |_| {});
    assert!(text.contains("tensor encoder.conv_in") && text.contains("is missing"), "{text}");
    let text = build("sd15/vae", "sd15/vae", |json| json["latent_channels"] = 8.into());
    assert!(text.contains("expected [") && text.contains("has shape"), "{text}");
    let text = build("sd15/vae", "sd15/vae", |json| json["_class_name"] = "VQModel".into());
    assert!(text.contains("field _class_name") && text.contains("\"VQModel\" is not supported"), "{text}");
}
