//! Headers of GGUF files: the tensors of an accepted header lie within the file, each in bytes of its own.

#![no_main]

use easel_inference::weights::gguf::parse_header;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let length = bytes.len() as u64;
    if let Ok(header) = parse_header(bytes, length) {
        let data: u64 = header.tensors.values().map(|view| view.bytes()).sum();
        assert!(data <= length);
    }
    // The beginning of a file that claims to be as large as a file can be.
    let _ = parse_header(bytes, u64::MAX);
});
