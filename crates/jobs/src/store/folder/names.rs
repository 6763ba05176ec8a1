//! The names of the data folder's files. Easel leaves files with other names alone.

use crate::TaskId;

/// Marks the folder as Easel's, with its layout version.
pub(super) const MARKER: &str = "easel-data";
/// The database, and the files that SQLite keeps beside it.
pub(super) const DATABASE: [&str; 3] = ["easel.db", "easel.db-wal", "easel.db-shm"];
/// Locked by the process that has the folder open.
pub(super) const LOCK: &str = "lock";
/// The folder of pictures.
pub(super) const PICTURES: &str = "pictures";
/// The folder of pictures that the database does not know.
pub(super) const LOST: &str = "lost+found";
/// Reserved disk space, freed when the disk is full.
pub(super) const BALLAST: &str = "ballast";
/// Written and removed to test the disk.
pub(super) const PROBE: &str = "probe";
/// Files that a folder may have before Easel uses it; a new disk has `lost+found`.
pub(super) const HARMLESS: [&str; 3] = ["easel.toml", LOST, LOCK];

/// A file in the folder of pictures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Name {
    /// A complete picture of this task, with its number among the task's pictures.
    Picture(TaskId, u32),
    /// A partial picture, from a killed process.
    Partial,
    /// A file that is not Easel's.
    Foreign,
}

/// The name does not depend on the encoding, so that a second attempt at a task overwrites the first.
pub(super) fn picture(task: TaskId, number: u32) -> String {
    format!("{task}-{number}")
}

/// The name of a picture while it is being written.
pub(super) fn partial(task: TaskId, number: u32) -> String {
    format!("{task}-{number}.partial")
}

impl Name {
    pub(super) fn read(name: &str) -> Self {
        let whole = name.strip_suffix(".partial");
        match split(whole.unwrap_or(name)) {
            Some(_) if whole.is_some() => Self::Partial,
            Some((task, number)) => Self::Picture(task, number),
            None => Self::Foreign,
        }
    }
}

/// Accepts only what [`picture`] writes: no capitals, no leading zeros.
fn split(name: &str) -> Option<(TaskId, u32)> {
    let (task, number) = name.rsplit_once('-')?;
    let task = task.parse().ok()?;
    let number = number.parse().ok()?;
    (picture(task, number) == name).then_some((task, number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        let task = TaskId::from_u128(0x5e7b_8a0e);
        assert_eq!(Name::read(&picture(task, 0)), Name::Picture(task, 0));
        assert_eq!(Name::read(&partial(task, 12)), Name::Partial);
        for foreign in ["holiday0.jpg", "", "-0", "lost+found", ".partial", "holiday-1", "holiday-1.partial"] {
            assert_eq!(Name::read(foreign), Name::Foreign, "{foreign}");
        }
        assert_eq!(Name::read(&format!("{task}-01")), Name::Foreign);
        assert_eq!(Name::read(&format!("{task}-0.jpg")), Name::Foreign);
        assert_eq!(Name::read(&picture(task, 0).to_uppercase().replace('0', "A")), Name::Foreign);
    }
}
