//! Headers of GGUF files: the tensors of an accepted header lie within the file and do not overlap.

#![no_main]

use easel_inference::weights::gguf::parse_header;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let length = bytes.len() as u64;
    if let Ok(header) = parse_header(bytes, length) {
        let data: u64 = header.tensors.values().map(|view| view.bytes()).sum();
        assert!(data <= length);
    }
    // The start of a file that claims the largest possible size.
    let _ = parse_header(bytes, u64::MAX);
});
