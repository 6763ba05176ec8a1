//! Packs the description of the interface, so that components and pages carry a few kilobytes for it.

use flate2::{Compression, write::GzEncoder};
use std::io::{Result, Write};
use std::path::PathBuf;

/// As `openapi()` writes it; a test of this package compares the two.
const DESCRIPTION: &str = "assets/openapi.json";

fn main() -> Result<()> {
    println!("cargo::rerun-if-changed={DESCRIPTION}");
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(&std::fs::read(DESCRIPTION)?)?;
    let folder = PathBuf::from(std::env::var_os("OUT_DIR").unwrap_or_default());
    std::fs::write(folder.join("openapi.json.gz"), encoder.finish()?)
}
