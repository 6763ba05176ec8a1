//! Headers of safetensors files: the tensors of an accepted header cover the file exactly.

#![no_main]

use easel_inference::weights::safetensors::parse_header;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let length = bytes.len() as u64;
    if let Ok(header) = parse_header(bytes, length) {
        let named = bytes.first_chunk().map_or(0, |first| u64::from_le_bytes(*first));
        let data: u64 = header.tensors.values().map(|view| view.bytes()).sum();
        assert_eq!(8 + named + data, length);
    }
    // The start of a file that claims the largest possible size.
    let _ = parse_header(bytes, u64::MAX);
});
