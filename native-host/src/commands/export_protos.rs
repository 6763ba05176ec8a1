//! `easel export-protos`: the gRPC definitions, for compilers of other languages.

use crate::args::ExportProtosArgs;
use crate::terminal::say;
use anyhow::{Context, Result};
use easel_host::protos::FILES;

/// Writes every file into the folder.
pub(crate) fn export_protos(args: &ExportProtosArgs) -> Result<()> {
    let folder = &args.folder;
    std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    for (name, text) in FILES {
        let path = folder.join(name);
        std::fs::write(&path, text).with_context(|| path.display().to_string())?;
    }
    say(folder.display())
}
