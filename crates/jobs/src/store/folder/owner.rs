//! The owner of a folder. A folder with files in it needs Easel's marker before anything in it is touched, much as
//! PostgreSQL checks its data folder.

use super::names::{DATABASE, HARMLESS, MARKER};
use crate::store::dir::Dir;
use crate::store::sqlite::schema;
use crate::{Error, Result};
use std::io::Read;
use std::path::Path;

/// The layout that this version writes.
const LAYOUT: u32 = 1;

/// The marker's text before the number of the layout.
const TEXT: &str = "easel data folder, layout ";

/// Longer than any marker.
const LONGEST: u64 = 100;

/// Who owns a folder, before it is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// Nobody's: it is empty.
    Nobody,
    /// An earlier version of Easel, which wrote no markers.
    Unmarked,
    /// Ours.
    Marked,
}

/// Finds the folder's owner, without changing anything. [`Error::ForeignFolder`], [`Error::NewerFolder`].
pub(super) fn find(dir: &Dir, root: &Path) -> Result<Owner> {
    let marker = root.join(MARKER);
    let file = dir.read_if_there(MARKER).map_err(Error::file("open", &marker))?;
    if let Some(file) = file {
        let mut text = String::new();
        file.take(LONGEST).read_to_string(&mut text).map_err(Error::file("read", &marker))?;
        return marked(&text, root);
    }
    let names = dir.text_names().map_err(Error::file("list", root))?;
    let Some(found) = names.iter().find(|name| !HARMLESS.contains(&name.as_str())) else { return Ok(Owner::Nobody) };
    if names.iter().any(|name| name == DATABASE[0]) && is_our_database(dir, root)? {
        return Ok(Owner::Unmarked);
    }
    Err(Error::ForeignFolder { path: root.to_owned(), found: found.clone() })
}

fn marked(text: &str, root: &Path) -> Result<Owner> {
    let layout = text.strip_prefix(TEXT).and_then(|number| number.trim_end().parse().ok());
    match layout {
        Some(LAYOUT) => Ok(Owner::Marked),
        Some(found) => Err(Error::NewerFolder { path: root.to_owned(), found, newest: LAYOUT }),
        None => Err(Error::ForeignFolder { path: root.to_owned(), found: MARKER.to_owned() }),
    }
}

/// The process must not have the database open: closing the file here would release its locks.
fn is_our_database(dir: &Dir, root: &Path) -> Result<bool> {
    let path = root.join(DATABASE[0]);
    let mut file = dir.read(DATABASE[0]).map_err(Error::file("open", &path))?;
    let mut start = [0; schema::MAGIC.len()];
    if file.read_exact(&mut start).is_err() || start != *schema::MAGIC {
        return Ok(false);
    }
    drop(file);
    schema::is_ours(&path)
}

/// Marks the folder as ours.
pub(super) fn mark(dir: &Dir, root: &Path) -> Result<()> {
    let path = root.join(MARKER);
    let text = format!("{TEXT}{LAYOUT}\n");
    dir.write(MARKER, text.as_bytes()).and_then(|()| dir.sync()).map_err(Error::file("write", &path))
}
