//! From a prompt to token ids: byte-pair encoding, windows and prompt weighting.
