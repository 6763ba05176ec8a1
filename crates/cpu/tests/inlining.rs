//! Kernels are whole without link-time optimisation: no loop in them calls a function.
//!
//! An application that embeds this crate has a profile of its own. Here the crate is built with `lto = "off"` and sixteen
//! codegen units, between which nothing is then inlined, and the assembly of the kernels' functions is read. One call in
//! an inner loop, with vectors that travel through memory, made whole models twenty times slower.
#![cfg(all(target_arch = "x86_64", target_os = "linux", not(miri)))]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

/// Functions that a kernel's loop may call: those that never return, copies of memory, and those that are loops
/// themselves: the register tile, and blocks of weights that are widened.
const ALLOWED: [&str; 9] = [
    "panic",
    "_fail",
    "memcpy",
    "memset",
    "memmove",
    "multiply_rows",
    "multiply_pairs",
    "multiply_quants",
    "widen_blocks",
];

#[test]
fn no_loop_of_a_kernel_calls_a_function() {
    let mut kernels = BTreeSet::new();
    let mut calls = BTreeSet::new();
    for path in assembly() {
        let text = std::fs::read_to_string(&path).unwrap();
        for function in functions(&text) {
            let Some(kernel) = kernel(function.name) else { continue };
            kernels.insert(kernel);
            let loops = function.inner_loops();
            calls.extend(loops.into_iter().flat_map(|lines| function.calls(lines)).map(|callee| (kernel, callee)));
        }
    }
    assert_eq!(kernels.len(), KERNELS.len(), "the assembly has only {kernels:?}");
    assert!(calls.is_empty(), "calls in loops of kernels: {calls:#?}");
}

/// Names of the functions that kernels are compiled into, longer ones first.
const KERNELS: [&str; 8] = [
    "run_avx512_dot",
    "run_avx512",
    "run_avx2",
    "multiply_rows",
    "multiply_pairs",
    "multiply_quants_vnni",
    "multiply_quants",
    "widen_blocks",
];

fn kernel(name: &str) -> Option<&'static str> {
    KERNELS.into_iter().find(|kernel| name.contains(kernel))
}

/// Builds the crate and returns the assembly of its codegen units.
fn assembly() -> Vec<PathBuf> {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("inlining");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["rustc", "--release", "--lib", "--offline", "--quiet", "--no-default-features", "--target-dir"]);
    command.arg(&target).args(["--", "--emit", "asm", "-C", "codegen-units=16"]);
    command.current_dir(env!("CARGO_MANIFEST_DIR")).env("CARGO_PROFILE_RELEASE_LTO", "off");
    // `cargo xtask test` compiles with Clippy in the place of rustc.
    for flags in ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_BUILD_TARGET", "RUSTC_WORKSPACE_WRAPPER"] {
        command.env_remove(flags);
    }
    assert!(command.status().unwrap().success(), "the crate does not build without link-time optimisation");
    let files: Vec<PathBuf> =
        std::fs::read_dir(target.join("release/deps")).unwrap().map(|entry| entry.unwrap().path()).collect();
    // Builds of other versions may have left files: those of the last one are younger than its list of sources.
    let sources = files.iter().filter(|path| is_of_this_crate(path, ".d"));
    let newest = sources.map(|path| modified(path)).max().unwrap();
    files.into_iter().filter(|path| is_of_this_crate(path, ".s") && modified(path) >= newest).collect()
}

fn name(path: &Path) -> &str {
    path.file_name().unwrap().to_str().unwrap()
}

fn is_of_this_crate(path: &Path, ending: &str) -> bool {
    name(path).starts_with("easel_cpu-") && name(path).ends_with(ending)
}

fn modified(path: &Path) -> SystemTime {
    path.metadata().unwrap().modified().unwrap()
}

/// A function in AT&T syntax: instructions, directives and labels.
struct Function<'a> {
    name: &'a str,
    lines: Vec<&'a str>,
}

/// The functions of a file of assembly, each from its label to the next.
fn functions(text: &str) -> Vec<Function<'_>> {
    let mut functions: Vec<Function<'_>> = Vec::new();
    for line in text.lines() {
        match line.strip_suffix(':') {
            Some(name) if !name.starts_with([' ', '\t', '.']) => functions.push(Function { name, lines: Vec::new() }),
            _ => functions.last_mut().into_iter().for_each(|function| function.lines.push(line.trim())),
        }
    }
    functions
}

impl Function<'_> {
    /// The first and last line of each loop that has no other inside: what lies between a label and a jump back to it.
    fn inner_loops(&self) -> Vec<[usize; 2]> {
        let mut labels = BTreeMap::new();
        let mut loops = Vec::new();
        for (i, line) in self.lines.iter().enumerate() {
            if let Some(label) = line.strip_suffix(':') {
                labels.insert(label, i);
            } else if line.starts_with('j')
                && let Some(target) = line.split_whitespace().nth(1)
                && let Some(start) = labels.get(target)
            {
                loops.push([*start, i]);
            }
        }
        loops.iter().filter(|outer| !loops.iter().any(|inner| encloses(**outer, *inner))).copied().collect()
    }

    /// What the lines call that a kernel's loop may not; an address in a register counts as all that the function ever
    /// loads into it.
    fn calls(&self, [first, last]: [usize; 2]) -> Vec<String> {
        let operands = self.lines[first..=last].iter().filter_map(|line| line.strip_prefix("call"));
        let operands = operands.filter_map(|call| call.split_whitespace().nth(1));
        let callees = operands.flat_map(|operand| match operand.strip_prefix("*%") {
            Some(register) => self.addresses(register),
            None => vec![operand],
        });
        callees.filter(|callee| !ALLOWED.iter().any(|allowed| callee.contains(allowed))).map(str::to_owned).collect()
    }

    /// The functions whose addresses are loaded into a register.
    fn addresses(&self, register: &str) -> Vec<&str> {
        let loads = self.lines.iter().filter_map(|line| line.strip_prefix("movq")?.trim().split_once(", %"));
        loads.filter(|(from, to)| *to == register && from.contains("@GOTPCREL")).map(|(from, _)| from).collect()
    }
}

/// Whether one range of lines lies within another that is longer.
fn encloses(outer: [usize; 2], inner: [usize; 2]) -> bool {
    outer != inner && outer[0] <= inner[0] && inner[1] <= outer[1]
}
