//! Every reference case, through the same program that `cargo xtask golden` runs on any folder.

use easel_tests::files::repository;
use std::process::Command;

#[test]
fn every_reference_case_passes() {
    let folder = repository().join("tests/golden");
    let output = Command::new(env!("CARGO_BIN_EXE_golden")).arg(folder).output().unwrap();
    let (lines, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{lines}{errors}");
    assert!(lines.lines().count() > 900, "too few cases:\n{lines}");
}
