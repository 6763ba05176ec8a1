//! Cleanup of the picture files at a start: partial files are removed, pictures that the database does not know are moved
//! to `lost+found`, and known pictures found there are moved back. Files with foreign names are left alone.

use super::names::{LOST, Name, PICTURES, picture};
use crate::TaskId;
use crate::store::dir::{Dir, Kind};
use std::collections::{HashMap, HashSet};
use std::io;

/// The most files named in the log.
const NAMED: usize = 100;

/// The pictures in the database, with their lengths in bytes.
pub(in crate::store) type Known = HashMap<(TaskId, u32), u64>;

/// Sorts the folder's files. Never removes a complete picture.
pub(super) fn sweep(root: &Dir, known: &Known) -> io::Result<()> {
    let pictures = root.open_folder(PICTURES)?;
    let mut missing: HashSet<_> = known.keys().copied().collect();
    let mut strays = Vec::new();
    let mut foreign = 0;
    for name in pictures.text_names()? {
        match Name::read(&name) {
            _ if pictures.kind(&name)? != Some(Kind::File) => foreign += 1,
            Name::Picture(task, number) if known.contains_key(&(task, number)) => {
                missing.remove(&(task, number));
            }
            Name::Picture(..) => strays.push(name),
            Name::Partial => pictures.remove(&name)?,
            Name::Foreign => foreign += 1,
        }
    }
    if foreign > 0 {
        tracing::warn!(files = foreign, "ignoring files among the pictures that are not Easel's");
    }
    let returned = bring_back(root, &pictures, known, &mut missing)?;
    put_aside(root, &pictures, &strays)?;
    if returned + strays.len() > 0 {
        pictures.sync()?;
    }
    if !missing.is_empty() {
        tracing::warn!(pictures = missing.len(), "pictures in the database have no file");
    }
    Ok(())
}

/// Moves pictures without rows to [`LOST`].
fn put_aside(root: &Dir, pictures: &Dir, strays: &[String]) -> io::Result<()> {
    if strays.is_empty() {
        return Ok(());
    }
    let lost = root.make_folder(LOST)?;
    for name in strays {
        pictures.rename(name, &lost, &free_name(&lost, name)?)?;
    }
    lost.sync()?;
    for name in strays.iter().take(NAMED) {
        tracing::warn!(name, "moved a picture that the database does not know to {LOST}");
    }
    if strays.len() > NAMED {
        tracing::warn!(pictures = strays.len(), "moved pictures that the database does not know to {LOST}");
    }
    Ok(())
}

/// An unused name, so that earlier files there are kept.
fn free_name(lost: &Dir, name: &str) -> io::Result<String> {
    let mut free = name.to_owned();
    let mut next = 1;
    while lost.kind(&free)?.is_some() {
        free = format!("{name}.{next}");
        next += 1;
    }
    Ok(free)
}

/// Moves pictures that the database knows back from [`LOST`]; returns how many.
fn bring_back(root: &Dir, pictures: &Dir, known: &Known, missing: &mut HashSet<(TaskId, u32)>) -> io::Result<usize> {
    let before = missing.len();
    if before == 0 || root.kind(LOST)? != Some(Kind::Folder) {
        return Ok(0);
    }
    let lost = root.open_folder(LOST)?;
    for (task, number) in missing.clone() {
        let name = picture(task, number);
        if lost.kind(&name)? == Some(Kind::File) && lost.length(&name)? == known.get(&(task, number)).copied() {
            lost.rename(&name, pictures, &name)?;
            missing.remove(&(task, number));
        }
    }
    let returned = before - missing.len();
    if returned > 0 {
        tracing::warn!(pictures = returned, "moved pictures that the database knows back from {LOST}");
    }
    Ok(returned)
}
