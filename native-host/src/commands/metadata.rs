//! `easel metadata`: the settings that a picture was made with.

use crate::args::MetadataArgs;
use crate::picture;
use crate::terminal::{say, say_json};
use anyhow::Result;
use serde_json::json;

/// Prints the parameters text of a picture.
pub(crate) fn metadata(args: &MetadataArgs) -> Result<()> {
    let (text, _) = picture::read_settings(&args.file)?;
    if args.json {
        return say_json(&json!({ "file": args.file.display().to_string(), "parameters": text }));
    }
    say(text)
}
