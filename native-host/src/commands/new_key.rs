//! `easel new-key`: creates a random key. The server's file only stores its hash.

use crate::args::NewKeyArgs;
use crate::terminal::{note, say};
use anyhow::Result;
use easel_contract::access::Key;
use easel_host::serve::{append_key, key_entry, random_key};

/// Stores the hash of a new key, and prints the key alone on standard output, so that a script can use it.
pub(crate) fn new_key(args: &NewKeyArgs) -> Result<()> {
    anyhow::ensure!(
        !args.name.is_empty() && !args.name.chars().any(char::is_control),
        "the name of a key must be visible text, got {:?}",
        args.name
    );
    let secret = random_key()?;
    let key = Key::new(&args.name, secret.as_bytes());
    match &args.file {
        Some(file) => append_key(file, &key)?,
        None => note(format_args!("{}", key_entry(&key).trim_end())),
    }
    say(secret)
}
