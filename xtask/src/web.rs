//! `cargo xtask web`: the static site, from wasm to service worker, in `web/dist`.
//!
//! The site is `web/site` with generated files: the wasm modules in `easel/`, the bundled model with a list of its files
//! and digests, and the list of files that the service worker caches for offline visits. `easel/` and the model's folder are
//! packages for npm as well (`package`).

use crate::command::{Run, cargo, root};
use crate::package;
use crate::setup::{self, WASM};
use anyhow::{Context, Result, anyhow, ensure};
use sha2::{Digest, Sha256};
use std::fs;
use std::path::{Path, PathBuf};
use wasm_bindgen_cli_support::Bindgen;

/// The name of each module's files.
const MODULE: &str = "easel_web";

/// The most bytes that each module may have with brotli: a first visit fetches one of the first two, and few visits any of
/// the others.
const BUDGETS: [(&str, usize); 5] = [
    ("easel/threads/easel_web_bg.wasm", 1_200_000),
    ("easel/wasm/easel_web_bg.wasm", 1_200_000),
    ("easel/analysis/threads/easel_web_bg.wasm", 1_000_000),
    ("easel/analysis/wasm/easel_web_bg.wasm", 1_000_000),
    ("easel/interface/easel_web_bg.wasm", 600_000),
];

/// The packages of the modules that compute, which are built with and without threads.
const COMPUTING: [&str; 2] = ["easel-web", "easel-web-analysis"];

/// Flags of the build with threads: those of `.cargo/config.toml`, atomics, and an imported shared memory.
const THREADS: [&str; 11] = [
    "-Ctarget-feature=+simd128,+atomics,+bulk-memory,+mutable-globals",
    "-Cllvm-args=-disable-lsr",
    "--cfg=getrandom_backend=\"wasm_js\"",
    "-Clink-arg=--shared-memory",
    "-Clink-arg=--import-memory",
    "-Clink-arg=--max-memory=4294967296",
    "-Clink-arg=--export=__heap_base",
    "-Clink-arg=--export=__wasm_init_tls",
    "-Clink-arg=--export=__tls_size",
    "-Clink-arg=--export=__tls_align",
    "-Clink-arg=--export=__tls_base",
];

/// T5's vocabulary.
const VOCABULARY: &str = "t5-tokenizer.json.zlib";

/// Placeholders for the version and the list of files in the source of the service worker.
const VERSION_MARK: &str = "/*version*/";
const FILES_MARK: &str = "/*files*/";

/// Builds the site and prints its size.
pub(crate) fn web() -> Result<()> {
    build_site(single())
}

/// The same with the kernel checks of the browser tests, and with lints: warnings are errors.
pub(crate) fn web_for_tests() -> Result<()> {
    build_site(single().args(["--package", "easel-webgpu", "--example", "browser"]).linted())
}

fn build_site(single: Run) -> Result<()> {
    setup::setup()?;
    let modules = build(single)?;
    let dist = dist();
    if dist.exists() {
        fs::remove_dir_all(&dist).with_context(|| format!("cannot empty {}", dist.display()))?;
    }
    copy(&root().join("web/site"), &dist)?;
    let Modules { single, with_threads } = modules;
    bind(&single.join("easel_web.wasm"), &dist.join("easel/wasm"), MODULE)?;
    bind(&single.join("easel_web_analysis.wasm"), &dist.join("easel/analysis/wasm"), MODULE)?;
    bind(&single.join("easel_web_interface.wasm"), &dist.join("easel/interface"), MODULE)?;
    match with_threads {
        Some(folder) => {
            bind(&folder.join("easel_web.wasm"), &dist.join("easel/threads"), MODULE)?;
            bind(&folder.join("easel_web_analysis.wasm"), &dist.join("easel/analysis/threads"), MODULE)?;
        }
        None => {
            eprintln!("skipped the build with threads, which needs the component rust-src: pages will use one thread")
        }
    }
    let vocabulary = root().join("crates/inference/assets/clip-merges.zlib");
    fs::copy(vocabulary, dist.join("easel/clip-merges.zlib")).context("cannot copy CLIP's vocabulary")?;
    let vocabulary = root().join("crates/inference/assets").join(VOCABULARY);
    fs::copy(vocabulary, dist.join("easel").join(VOCABULARY)).context("cannot copy T5's vocabulary")?;
    package::model(&root().join("models"), &dist.join("models"))?;
    package::runtime(&dist.join("easel"))?;
    finish_service_worker(&dist)?;
    report(&dist)
}

/// The folder of the built site.
pub(crate) fn dist() -> PathBuf {
    root().join("web/dist")
}

/// The folders of the wasm modules.
struct Modules {
    /// The module that draws and the one that looks at pictures, with WebGPU: on a machine without a GPU they compute on one
    /// thread. And the HTTP interface.
    single: PathBuf,
    /// The first two with threads and without WebGPU; `None` without the source of the standard library.
    with_threads: Option<PathBuf>,
}

/// Builds the modules at the same time, because each ends with a long link on a single core.
fn build(single: Run) -> Result<Modules> {
    let rust_source = setup::rust_source();
    std::thread::scope(|scope| {
        let threads = scope.spawn(|| rust_source.then(|| build_with_threads(&COMPUTING, &["--lib"])).transpose());
        single.run()?;
        let with_threads = threads.join().map_err(|_| anyhow!("the build with threads panicked"))??;
        Ok(Modules { single: target().join(WASM).join("web"), with_threads })
    })
}

/// Cargo's command for the modules without threads.
fn single() -> Run {
    cargo(["build", "--profile", "web", "--target", WASM, "--lib", "--package", "easel-web-interface"])
        .args(with_feature(&COMPUTING, "webgpu"))
}

/// Builds targets of packages, named by `what`, with threads that share memory, and returns the output folder. Rust's
/// standard library is distributed without atomics, so it is built too; stable compilers allow that with
/// `RUSTC_BOOTSTRAP`.
pub(crate) fn build_with_threads(packages: &[&str], what: &[&str]) -> Result<PathBuf> {
    let folder = target().join("web-threads");
    cargo(["build", "--profile", "web", "--target", WASM])
        .args(with_feature(packages, "threads"))
        .args(what)
        .args(["-Zbuild-std=std,panic_abort", "--target-dir"])
        .arg(&folder)
        .env("RUSTC_BOOTSTRAP", "1")
        .env("RUSTFLAGS", THREADS.join(" "))
        .run()?;
    Ok(folder.join(WASM).join("web"))
}

/// Cargo's arguments for packages, each with this feature of its own.
fn with_feature(packages: &[&str], feature: &str) -> Vec<String> {
    let argument = |package: &&str| [format!("--package={package}"), format!("--features={package}/{feature}")];
    packages.iter().flat_map(argument).collect()
}

/// Cargo's target folder.
pub(crate) fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), |folder| root().join(folder))
}

/// Generates the JavaScript bindings and the module that they load, called `name`.
pub(crate) fn bind(module: &Path, folder: &Path, name: &str) -> Result<()> {
    let mut bindgen = Bindgen::new();
    bindgen.input_path(module).out_name(name).web(true)?.typescript(false);
    bindgen.remove_name_section(true).remove_producers_section(true);
    // Scripts say where the module is: bundlers would take the default for one more file.
    bindgen.omit_default_module_path(true);
    bindgen.generate(folder).with_context(|| format!("wasm-bindgen on {}", module.display()))?;
    optimise(&folder.join(format!("{name}_bg.wasm")));
    Ok(())
}

/// Optimises the module if there is binaryen's `wasm-opt`: a few percent smaller, about as fast.
fn optimise(wasm: &Path) {
    let run = Run::new("wasm-opt").args(["-O3", "--all-features", "-o"]).arg(wasm).arg(wasm);
    if !run.succeeds() {
        eprintln!("wasm-opt (binaryen) was not found: the module is not optimised for size");
    }
}

/// Writes the site's list of files and its version into the service worker. Models are stored elsewhere.
fn finish_service_worker(dist: &Path) -> Result<()> {
    let mut listed = files(dist)?;
    // Neither does where the files come from change the site.
    let is_beside = |path: &str| path == "sw.js" || path.ends_with("provenance.json");
    listed.retain(|path| !is_beside(path) && (!path.starts_with("models/") || path.ends_with("manifest.json")));
    let mut digest = Sha256::new();
    for path in &listed {
        digest.update(path);
        digest.update(fs::read(dist.join(path))?);
    }
    let file = dist.join("sw.js");
    let source = fs::read_to_string(&file).context("cannot read sw.js")?;
    let version = &hex::encode(digest.finalize())[..12];
    let source = source.replace(VERSION_MARK, version).replace(FILES_MARK, &serde_json::to_string(&listed)?);
    fs::write(&file, source).context("cannot write sw.js")
}

/// Prints the sizes of a first visit's downloads, raw and compressed: the page, each module, the model. Fails if a module
/// is larger than it may be.
fn report(dist: &Path) -> Result<()> {
    let mut page = [0, 0];
    let mut model = 0;
    let mut over = Vec::new();
    for path in files(dist)? {
        let bytes = fs::read(dist.join(&path))?;
        if path.starts_with("models/") {
            model += bytes.len();
            continue;
        }
        if path.ends_with(VOCABULARY) {
            continue;
        }
        let packed = brotli_size(&bytes)?;
        if path.ends_with(".wasm") {
            println!("{path}: {} kB, {} kB with brotli", bytes.len() / 1000, packed / 1000);
            over.extend(excess(&path, packed));
        } else {
            page = [page[0] + bytes.len(), page[1] + packed];
        }
    }
    println!(
        "everything else: {} kB, {} kB with brotli; the model: {} kB",
        page[0] / 1000,
        page[1] / 1000,
        model / 1000
    );
    ensure!(over.is_empty(), "too large: {}", over.join("; "));
    println!("web/dist is ready for any file server, such as `python3 -m http.server --directory web/dist`");
    Ok(())
}

/// What is wrong with the size of a module, if it is over its budget.
fn excess(path: &str, packed: usize) -> Option<String> {
    let (_, most) = BUDGETS.into_iter().find(|(budgeted, _)| *budgeted == path)?;
    (packed > most).then(|| format!("{path} has {packed} bytes with brotli, expected at most {most}"))
}

fn brotli_size(bytes: &[u8]) -> Result<usize> {
    let mut packed = Vec::new();
    let params = brotli::enc::BrotliEncoderParams { quality: 9, lgwin: 22, ..Default::default() };
    brotli::BrotliCompress(&mut &bytes[..], &mut packed, &params).context("brotli")?;
    Ok(packed.len())
}

/// The paths of all files in a folder, relative to it and sorted.
pub(crate) fn files(folder: &Path) -> Result<Vec<String>> {
    let mut found = Vec::new();
    let mut open = vec![(folder.to_owned(), String::new())];
    while let Some((folder, prefix)) = open.pop() {
        for entry in fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))? {
            let entry = entry?;
            let path = format!("{prefix}{}", entry.file_name().to_string_lossy());
            if entry.file_type()?.is_dir() {
                open.push((entry.path(), format!("{path}/")));
            } else {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

pub(crate) fn copy(from: &Path, to: &Path) -> Result<()> {
    for path in files(from)? {
        let target = to.join(&path);
        if let Some(folder) = target.parent() {
            fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        }
        fs::copy(from.join(&path), &target).with_context(|| format!("cannot copy {path}"))?;
    }
    Ok(())
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_over_its_budget_is_named() {
        let path = "easel/wasm/easel_web_bg.wasm";
        assert_eq!(excess(path, 1_200_000), None);
        let expected = format!("{path} has 1200001 bytes with brotli, expected at most 1200000");
        assert_eq!(excess(path, 1_200_001), Some(expected));
        assert_eq!(excess("easel/clip-merges.zlib", usize::MAX), None);
    }
}
