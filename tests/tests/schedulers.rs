//! Runs the golden folder `schedulers`.

use std::path::Path;

#[test]
fn every_case_passes() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/schedulers");
    let checks = easel_tests::schedulers::run(&dir).unwrap();
    assert!(!checks.is_empty());
    let failed: Vec<_> = checks.iter().filter(|check| !check.passed()).collect();
    for check in &failed {
        println!("{} {}: error {:.2e}, tolerance {:.2e}", check.case, check.tensor, check.error, check.tolerance);
    }
    assert!(failed.is_empty(), "{} of {} checks failed", failed.len(), checks.len());
}
