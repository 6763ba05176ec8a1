//! What makes the built site's folders packages for npm: licences, a model that bundlers can follow, and where the modules
//! come from.

use crate::command::{Run, root};
use crate::web::{copy, files, sha256};
use anyhow::{Context, Result};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

/// The bundled model, with its default steps and guidance scale.
const MODEL: &str = "easel-emoji";
const DEFAULTS: (usize, f64) = (20, 4.0);

/// The files of a licence, beside the workspace's manifest.
const LICENCES: [&str; 2] = ["LICENSE-APACHE", "LICENSE-MIT"];

/// Adds to the package of the runtime its licences and its provenance.
pub(crate) fn runtime(folder: &Path) -> Result<()> {
    for licence in LICENCES {
        fs::copy(root().join(licence), folder.join(licence)).with_context(|| format!("cannot copy {licence}"))?;
    }
    let provenance = serde_json::to_vec_pretty(&provenance(folder)?)?;
    fs::write(folder.join("provenance.json"), provenance).context("cannot write the provenance")
}

/// Copies the model's package from `models` to `to`, with a list of its files, their sizes and digests: for the page in
/// `manifest.json`, and for programs in a module, where bundlers see each of them.
pub(crate) fn model(models: &Path, to: &Path) -> Result<()> {
    let to = to.join(MODEL);
    copy(&models.join(MODEL), &to)?;
    let mut listed = Vec::new();
    for path in files(&to)?.into_iter().filter(|path| path.contains('/') || path == "model_index.json") {
        let bytes = fs::read(to.join(&path))?;
        listed.push(json!({ "path": path, "size": bytes.len(), "sha256": sha256(&bytes) }));
    }
    let usual = json!({ "steps": DEFAULTS.0, "guidanceScale": DEFAULTS.1 });
    let manifest = json!({ "name": MODEL, "usual": usual, "files": listed });
    fs::write(to.join("index.js"), module(&manifest)).context("cannot write the model's module")?;
    fs::copy(root().join(LICENCES[0]), to.join("LICENSE")).context("cannot copy the model's licence")?;
    fs::write(to.join("manifest.json"), serde_json::to_vec_pretty(&manifest)?).context("cannot write the manifest")
}

/// The module that exports a model as `Easel.load` takes it. Bundlers copy files whose addresses are written like this.
fn module(manifest: &Value) -> String {
    let mut text = format!("// Written by `cargo xtask web`: the files of the model {}.\n\n", manifest["name"]);
    let _ =
        writeln!(text, "export default {{\n  name: {},\n  usual: {},\n  files: [", manifest["name"], manifest["usual"]);
    for file in manifest["files"].as_array().into_iter().flatten() {
        let path = file["path"].as_str().unwrap_or_default();
        let _ = writeln!(
            text,
            "    {{ path: \"{path}\", size: {}, sha256: {}, url: new URL(\"./{path}\", import.meta.url).href }},",
            file["size"], file["sha256"]
        );
    }
    text + "  ],\n};\n"
}

/// The commit and the tools that the modules were built from and with, and the digest of every file that is fetched.
fn provenance(folder: &Path) -> Result<Value> {
    let git = |args: &[&str]| Run::new("git").args(args).output().map(|text| text.trim().to_owned());
    let commit = git(&["rev-parse", "HEAD"]).ok();
    let is_changed = git(&["status", "--porcelain"]).ok().map(|text| !text.is_empty());
    let version = |program: &str| Run::new(program).arg("--version").output().ok().map(|text| text.trim().to_owned());
    let mut built = Vec::new();
    for path in files(folder)?.into_iter().filter(|path| path.contains('/') || path.ends_with(".zlib")) {
        let bytes = fs::read(folder.join(&path))?;
        built.push(json!({ "path": path, "size": bytes.len(), "sha256": sha256(&bytes) }));
    }
    Ok(json!({
        "repository": env!("CARGO_PKG_REPOSITORY"),
        "commit": commit,
        "changedSinceCommit": is_changed,
        "command": "cargo xtask web",
        "rustc": version("rustc"),
        "wasmOpt": version("wasm-opt"),
        "cargoLock": sha256(&fs::read(root().join("Cargo.lock")).context("cannot read Cargo.lock")?),
        "files": built,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_module_of_a_model_names_each_file_where_bundlers_look() {
        let files = json!([{ "path": "unet/config.json", "size": 5, "sha256": "ab" }]);
        let text = module(&json!({ "name": "m", "usual": { "steps": 4 }, "files": files }));
        let file = r#"{ path: "unet/config.json", size: 5, sha256: "ab", url: new URL("./unet/config.json", import.meta.url).href },"#;
        assert!(text.contains(file), "{text}");
        assert!(text.contains(r#"usual: {"steps":4},"#), "{text}");
    }
}
