//! Order among the pictures at the start of a process: what a killed one had begun goes, what no row speaks of is put
//! aside, what was put aside and is missed comes back. Files with foreign names are nobody's business.

use super::names::{LOST, Name, PICTURES, picture};
use crate::TaskId;
use crate::store::dir::{Dir, Kind};
use std::collections::{HashMap, HashSet};
use std::io;

/// The most files that are named in the log.
const NAMED: usize = 100;

/// The pictures that the database knows, with their lengths in bytes.
pub(in crate::store) type Known = HashMap<(TaskId, u32), u64>;

/// Puts the folder in order. A picture is never removed.
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
        tracing::warn!(files = foreign, "files that are not Easel's lie among the pictures and are left alone");
    }
    let returned = bring_back(root, &pictures, known, &mut missing)?;
    put_aside(root, &pictures, &strays)?;
    if returned + strays.len() > 0 {
        pictures.sync()?;
    }
    if !missing.is_empty() {
        tracing::warn!(pictures = missing.len(), "pictures of the database have no file");
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
        tracing::warn!(name, "the database does not know this picture: it is in {LOST} now");
    }
    if strays.len() > NAMED {
        tracing::warn!(pictures = strays.len(), "the database does not know these pictures: all are in {LOST} now");
    }
    Ok(())
}

/// A name that nothing has yet: what was put aside before stays.
fn free_name(lost: &Dir, name: &str) -> io::Result<String> {
    let mut free = name.to_owned();
    let mut next = 1;
    while lost.kind(&free)?.is_some() {
        free = format!("{name}.{next}");
        next += 1;
    }
    Ok(free)
}

/// Moves pictures back that the database misses, after somebody has put its file back; returns how many.
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
        tracing::warn!(pictures = returned, "pictures came back from {LOST}: the database knows them again");
    }
    Ok(returned)
}
