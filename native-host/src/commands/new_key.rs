//! `easel new-key`: a random key. The file of the server keeps only its hash.

use crate::args::NewKeyArgs;
use crate::terminal::{note, say};
use anyhow::Result;
use easel_contract::access::Key;
use easel_host::serve::{append_key, key_entry, random_key};

/// Prints a new key alone on standard output, so that a script can take it, after its hash has been kept.
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
