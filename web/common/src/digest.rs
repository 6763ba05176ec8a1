//! SHA-256 of bytes that arrive in pieces. The browser's own digest needs all of them at once.

use sha2::{Digest as _, Sha256};
use wasm_bindgen::prelude::*;

/// A running SHA-256.
#[wasm_bindgen]
#[derive(Default)]
pub struct Digest(Sha256);

#[wasm_bindgen]
impl Digest {
    /// The digest of no bytes.
    #[wasm_bindgen(constructor)]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The digest of all bytes so far in lower-case hexadecimal digits.
    pub fn hex(&self) -> String {
        hex::encode(self.0.clone().finalize())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_give_the_digest_of_the_whole() {
        let mut digest = Digest::new();
        digest.update(b"a");
        digest.update(b"bc");
        // FIPS 180-4, the example of one block.
        assert_eq!(digest.hex(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}
