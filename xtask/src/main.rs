//! `cargo xtask <task>`: tasks that cargo alone cannot do, and the one command for every test.

mod bochs;
mod checks;
mod clients;
mod command;
mod e2e;
mod edge;
mod levels;
mod memory;
mod package;
mod phases;
mod quick;
mod setup;
mod web;

use anyhow::{Result, bail, ensure};
use command::cargo;

const HELP: &str = "\
Developer tasks of Easel. Usage: cargo xtask <task>

  setup            install what the other tasks need (wasm targets, rustfmt, clippy) and report what is missing
  test             run every test: formatting, lints, wasm build, unit tests, integration tests, golden cases, browser
                   tests; ends with a table of each phase's time
  test --quick     for the edit loop: formatting, lints of libraries, unit tests of the packages with uncommitted changes,
                   tidy and a few golden cases
  lint             only formatting and lints, native and wasm32
  golden [--device NAME] [--float f32|f16] [DIR|DIR/CASE]
                   compare Easel's numbers with every case of a reference folder (default: tests/golden), or with one case
  levels [arm|avx512]
                   test the CPU kernels in emulators: 64-bit Arm in QEMU, AVX-512 in Bochs 3
  edge             build the edge component, the provider for foreign hosts, and both composed into one
  serve [OPTIONS]  build and start the program with the page and the component inside
  bench NAME ...   time Easel, and diffusers if PYTHON has it (`easel bench --help` lists names)
  bench serve [PART ...]
                   time the service with and without the component (needs Linux, wrk and Python);
                   the part `hostile` fills it with misbehaving clients
  bench serve cluster
                   time several hosts on one queue, fail some of them, and time claims among many tasks (needs PostgreSQL)
  bench memory [MODEL ...]
                   measure the peak memory of networks, pipelines and models in folders, beside what is planned for them
  bench onnxruntime-web [NAME ...]
                   time the browser build against onnxruntime-web in Chromium (needs Node, and Python with diffusers and onnx)
  web              build the static site into web/dist and report its size
  e2e [FILE ...]   build the site and the kernel checks, and test them in headless Chromium (needs Node and Chromium)
  clients          build the program and test it with clients from PyPI and npm (needs Python; the npm package needs Node)
  fuzz TARGET [S]  run a fuzz target for S seconds (default 600); needs a nightly toolchain and cargo-fuzz
  ci               the same as test, for continuous integration";

fn main() {
    if let Err(error) = run() {
        eprintln!("xtask: {error:#}");
        std::process::exit(1);
    }
}

fn run() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let rest = args.get(1..).unwrap_or_default();
    match args.first().map(String::as_str) {
        Some("setup") => setup::setup(),
        Some("test" | "ci") => checks::test(rest),
        Some("lint") => checks::lint(),
        Some("golden") => checks::golden(rest),
        Some("levels") => levels::levels(rest),
        Some("edge") => edge::edge(),
        Some("serve") => serve(rest),
        Some("bench") if rest == ["serve", "cluster"] => bench_cluster(),
        Some("bench") if rest.first().is_some_and(|name| name == "serve") => bench_service(&rest[1..]),
        Some("bench") if rest.first().is_some_and(|name| name == "onnxruntime-web") => bench_in_browser(&rest[1..]),
        Some("bench") if rest.first().is_some_and(|name| name == "memory") => memory::bench(&rest[1..]),
        Some("bench") => bench(rest),
        Some("web") => web::web(),
        Some("e2e") => e2e::e2e(rest),
        Some("clients") => clients::clients(),
        Some("fuzz") => fuzz(rest),
        None | Some("help" | "--help" | "-h") => {
            println!("{HELP}");
            Ok(())
        }
        Some(other) => bail!("unknown task {other:?}\n\n{HELP}"),
    }
}

/// `easel bench`, then diffusers on the same shapes; the script prints the ratios.
fn bench(names: &[String]) -> Result<()> {
    if names.is_empty() {
        return cargo(["run", "--quiet", "--release", "--package", "easel-host", "--", "bench", "--help"]).run();
    }
    let easel = cargo(["run", "--quiet", "--release", "--package", "easel-host", "--", "bench", "--json"])
        .args(names)
        .output()?;
    let file = command::root().join("target").join("bench.json");
    std::fs::create_dir_all(command::root().join("target"))?;
    std::fs::write(&file, &easel)?;
    print!("{easel}");
    let Some(python) = setup::python_with("diffusers") else {
        println!("no Python with diffusers found (set PYTHON): Easel's own figures only");
        return Ok(());
    };
    let script = command::root().join("benches/diffusers/bench.py");
    command::Run::new(python).arg(script).args(names).arg("--easel").arg(file).run()
}

/// Builds everything into one program and starts it.
fn serve(options: &[String]) -> Result<()> {
    web::web()?;
    edge::edge()?;
    let build = ["run", "--release", "--package", "easel-host", "--features", "bundled", "--", "serve"];
    cargo(build).args(options).run()
}

/// The service under load, without the page, which does not matter here.
fn bench_service(parts: &[String]) -> Result<()> {
    edge::edge()?;
    cargo(["build", "--release", "--package", "easel-host", "--features", "component"]).run()?;
    let python = std::env::var("PYTHON").unwrap_or_else(|_| "python3".into());
    let script = command::root().join("benches/serve/bench.py");
    let program = command::root().join("target/release/easel");
    command::Run::new(python).arg(script).arg(program).arg(edge::built("easel_edge.wasm")).args(parts).run()
}

/// Several hosts on one queue: 300 tasks while hosts fail, then throughput and costs.
fn bench_cluster() -> Result<()> {
    let package = ["--release", "--package", "easel-jobs", "--features", "cluster"];
    cargo(["test"]).args(package).args(["--test", "hosts"]).env("EASEL_HOSTS_TASKS", "300").run()?;
    cargo(["run"]).args(package).args(["--example", "cluster"]).run()
}

/// Blocks of a UNet and a small denoiser, in Easel's build with threads and in onnxruntime-web's.
fn bench_in_browser(names: &[String]) -> Result<()> {
    setup::setup()?;
    ensure!(setup::rust_source(), "the build with threads needs the component rust-src: rustup component add rust-src");
    let folder = web::target().join("onnxruntime-web");
    let module = web::build_with_threads(&["easel-web"], &["--example", "network"])?.join("examples/network.wasm");
    web::bind(&module, &folder.join("wasm"), "network")?;
    let here = command::root().join("benches/onnxruntime-web");
    if !folder.join("work.json").is_file() {
        let Some(python) = setup::python_with("diffusers, onnx") else {
            bail!("no Python with diffusers and onnx found (set PYTHON)")
        };
        command::Run::new(python).arg(here.join("export.py")).arg(&folder).run()?;
    }
    for folder in [&here, &command::root().join("tests/browser")] {
        if !folder.join("node_modules").is_dir() {
            command::Run::new("npm").args(["ci", "--prefix"]).arg(folder).run()?;
        }
    }
    command::Run::new("node").arg(here.join("bench.js")).arg(folder).args(names).run()
}

fn fuzz(args: &[String]) -> Result<()> {
    let Some(target) = args.first() else { bail!("name a fuzz target: one of the files in fuzz/fuzz_targets") };
    let seconds = args.get(1).map_or("600", String::as_str);
    let limit = format!("-max_total_time={seconds}");
    let seeds = command::root().join("fuzz/seeds").join(target);
    let corpus = command::root().join("fuzz/corpus").join(target);
    std::fs::create_dir_all(&corpus)?;
    command::Run::new("cargo")
        .args(["+nightly", "fuzz", "run", target.as_str()])
        .arg(corpus)
        .arg(seeds)
        .args(["--", limit.as_str(), "-rss_limit_mb=2048"])
        .run()
}
