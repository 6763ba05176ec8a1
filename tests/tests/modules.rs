//! Every network against what diffusers and transformers compute with the same weights.

use easel_inference::Device;
use easel_tests::files::{read_arrays, read_json, repository};
use easel_tests::{Check, modules, relative_error};
use pollster::block_on;

/// Fails with a list of the checks that are over their tolerance.
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
    expect_all_pass(&modules::run(&repository().join("tests/golden").join(folder)).unwrap(), at_least);
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
