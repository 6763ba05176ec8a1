//! Pickles of PyTorch checkpoints: untrusted programs, which are read and never run.

#![no_main]

use easel_inference::weights::pickle::parse;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(pickle) = parse(bytes) {
        assert!(pickle.length <= bytes.len());
        for (name, tensor) in pickle.tensors() {
            assert_eq!(tensor.shape.len(), tensor.strides.len(), "{name}");
        }
        let _ = pickle.integer("global_step");
        // Bytes after a pickle do not change it.
        let again = parse(&bytes[..pickle.length]).expect("the same pickle");
        assert_eq!(again.tensors(), pickle.tensors());
    }
});
