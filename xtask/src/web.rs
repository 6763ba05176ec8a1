//! `cargo xtask web`: the static site, from wasm to service worker, in `web/dist`.
//!
//! The site is `web/site` with generated files: the wasm modules in `easel/`, the bundled model with a list of its files
//! and digests, and the list of files that the service worker caches for offline visits.

use crate::command::{Run, cargo, root};
use crate::setup::{self, WASM};
use anyhow::{Context, Result, anyhow};
use sha2::{Digest, Sha256};
use std::fs;
use std::path::{Path, PathBuf};
use wasm_bindgen_cli_support::Bindgen;

/// The bundled model, with its default steps and guidance scale.
const MODEL: &str = "easel-emoji";
const DEFAULTS: (usize, f64) = (20, 4.0);

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

/// Placeholders for the version and the list of files in the source of the service worker.
const VERSION_MARK: &str = "/*version*/";
const FILES_MARK: &str = "/*files*/";

/// Builds the site and prints its size; `more` are cargo arguments for more targets in the same build.
pub(crate) fn web(more: &[&str]) -> Result<()> {
    setup::setup()?;
    let modules = build(more)?;
    let dist = dist();
    if dist.exists() {
        fs::remove_dir_all(&dist).with_context(|| format!("cannot empty {}", dist.display()))?;
    }
    copy(&root().join("web/site"), &dist)?;
    bind(&modules.single, &dist.join("easel/wasm"))?;
    match modules.with_threads {
        Some(module) => bind(&module, &dist.join("easel/threads"))?,
        None => {
            eprintln!("skipped the build with threads, which needs the component rust-src: pages will use one thread")
        }
    }
    bundle_model(&dist)?;
    finish_service_worker(&dist)?;
    report(&dist)
}

/// The folder of the built site.
pub(crate) fn dist() -> PathBuf {
    root().join("web/dist")
}

/// The two builds of the wasm module.
struct Modules {
    /// With WebGPU; on a machine without a GPU it computes on one thread.
    single: PathBuf,
    /// With threads and without WebGPU; `None` without the source of the standard library.
    with_threads: Option<PathBuf>,
}

/// Builds both modules at the same time, because each ends with a long link on a single core.
fn build(more: &[&str]) -> Result<Modules> {
    let rust_source = setup::rust_source();
    std::thread::scope(|scope| {
        let threads = scope.spawn(|| rust_source.then(|| build_with_threads(&["--lib"])).transpose());
        let single = build_single(more)?;
        let folder = threads.join().map_err(|_| anyhow!("the build with threads panicked"))??;
        Ok(Modules { single, with_threads: folder.map(|folder| folder.join("easel_web.wasm")) })
    })
}

fn build_single(more: &[&str]) -> Result<PathBuf> {
    let site = ["build", "--profile", "web", "--target", WASM, "--package", "easel-web", "--lib"];
    cargo(site).args(["--features", "easel-web/webgpu"]).args(more).run()?;
    Ok(target().join(WASM).join("web/easel_web.wasm"))
}

/// Builds a target of `easel-web`, named by `what`, with threads that share memory, and returns the output folder. Rust's
/// standard library is distributed without atomics, so it is built too; stable compilers allow that with
/// `RUSTC_BOOTSTRAP`.
pub(crate) fn build_with_threads(what: &[&str]) -> Result<PathBuf> {
    let folder = target().join("web-threads");
    cargo(["build", "--profile", "web", "--package", "easel-web", "--target", WASM, "--features", "threads"])
        .args(what)
        .args(["-Zbuild-std=std,panic_abort", "--target-dir"])
        .arg(&folder)
        .env("RUSTC_BOOTSTRAP", "1")
        .env("RUSTFLAGS", THREADS.join(" "))
        .run()?;
    Ok(folder.join(WASM).join("web"))
}

/// Cargo's target folder.
pub(crate) fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), |folder| root().join(folder))
}

/// Generates the JavaScript bindings and the module that they load.
pub(crate) fn bind(module: &Path, folder: &Path) -> Result<()> {
    let name = module.file_stem().unwrap_or_default().to_string_lossy();
    let mut bindgen = Bindgen::new();
    bindgen.input_path(module).web(true)?.typescript(false).remove_name_section(true).remove_producers_section(true);
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

/// Copies the model and lists its files with their sizes and digests.
fn bundle_model(dist: &Path) -> Result<()> {
    let from = root().join("models").join(MODEL);
    let to = dist.join("models").join(MODEL);
    copy(&from, &to)?;
    let mut listed = Vec::new();
    for path in files(&to)?.into_iter().filter(|path| !path.ends_with(".md")) {
        let bytes = fs::read(to.join(&path))?;
        listed.push(serde_json::json!({ "path": path, "size": bytes.len(), "sha256": sha256(&bytes) }));
    }
    let defaults = serde_json::json!({ "steps": DEFAULTS.0, "guidanceScale": DEFAULTS.1 });
    let manifest = serde_json::json!({ "name": MODEL, "usual": defaults, "files": listed });
    fs::write(to.join("manifest.json"), serde_json::to_vec_pretty(&manifest)?).context("cannot write the manifest")
}

/// Writes the site's list of files and its version into the service worker. Models are stored elsewhere.
fn finish_service_worker(dist: &Path) -> Result<()> {
    let mut listed = files(dist)?;
    listed.retain(|path| path != "sw.js" && (!path.starts_with("models/") || path.ends_with("manifest.json")));
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

/// Prints the sizes of a first visit's downloads, raw and compressed: the page, each module, the model.
fn report(dist: &Path) -> Result<()> {
    let mut page = [0, 0];
    let mut model = 0;
    for path in files(dist)? {
        let bytes = fs::read(dist.join(&path))?;
        if path.starts_with("models/") {
            model += bytes.len();
            continue;
        }
        let packed = brotli_size(&bytes)?;
        if path.ends_with(".wasm") {
            println!("{path}: {} kB, {} kB with brotli", bytes.len() / 1000, packed / 1000);
        } else {
            page = [page[0] + bytes.len(), page[1] + packed];
        }
    }
    println!("everything else: {} kB, {} kB with brotli; {MODEL}: {} kB", page[0] / 1000, page[1] / 1000, model / 1000);
    println!("web/dist is ready for any file server, such as `python3 -m http.server --directory web/dist`");
    Ok(())
}

fn brotli_size(bytes: &[u8]) -> Result<usize> {
    let mut packed = Vec::new();
    let params = brotli::enc::BrotliEncoderParams { quality: 9, lgwin: 22, ..Default::default() };
    brotli::BrotliCompress(&mut &bytes[..], &mut packed, &params).context("brotli")?;
    Ok(packed.len())
}

/// The paths of all files in a folder, relative to it and sorted.
fn files(folder: &Path) -> Result<Vec<String>> {
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

fn copy(from: &Path, to: &Path) -> Result<()> {
    for path in files(from)? {
        let target = to.join(&path);
        if let Some(folder) = target.parent() {
            fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        }
        fs::copy(from.join(&path), &target).with_context(|| format!("cannot copy {path}"))?;
    }
    Ok(())
}

fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}
