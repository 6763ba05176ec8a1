//! `cargo xtask <task>`: everything that cargo alone can't do, and the one command that passes every test.

mod checks;
mod command;
mod e2e;
mod edge;
mod setup;
mod web;

use anyhow::{Result, bail};
use command::cargo;

const HELP: &str = "\
Developer tasks of Easel. Usage: cargo xtask <task>

  setup            install what the other tasks need (wasm target, rustfmt, clippy) and say what is missing
  test             pass every test: formatting, lints, wasm build, unit tests, integration tests, golden cases, browser tests
  lint             only formatting and lints, native and wasm32
  golden [--device NAME] [--float f32|f16] [DIR]
                   compare every case of a reference folder (default: tests/golden) with Easel's own numbers
  edge             build the edge component, the provider for foreign hosts, and both composed into one file
  bench NAME ...   time Easel, and diffusers on the same work if PYTHON has it (`easel bench --help` lists names)
  web              build the static site into web/dist and report its size
  e2e [FILE ...]   build the site and the kernels' checks, and test them in headless Chromium (needs Node and Chromium)
  fuzz TARGET [S]  run a fuzz target for S seconds (default 600); needs a nightly toolchain and cargo-fuzz
  ci               what continuous integration runs: the same as test";

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
        Some("test" | "ci") => checks::test(),
        Some("lint") => checks::lint(),
        Some("golden") => checks::golden(rest),
        Some("edge") => edge::edge(),
        Some("bench") => bench(rest),
        Some("web") => web::web(),
        Some("e2e") => e2e::e2e(rest),
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

fn fuzz(args: &[String]) -> Result<()> {
    let Some(target) = args.first() else { bail!("which target? One of the files in fuzz/fuzz_targets") };
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
