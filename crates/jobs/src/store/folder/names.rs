//! The names of the data folder's files. What has another name was not written by Easel, and is left alone.

use crate::TaskId;

/// Says that the folder is Easel's, and which version of this layout it has.
pub(super) const MARKER: &str = "easel-data";
/// The database, and what SQLite keeps beside it.
pub(super) const DATABASE: [&str; 3] = ["easel.db", "easel.db-wal", "easel.db-shm"];
/// Held by the process that has the folder open.
pub(super) const LOCK: &str = "lock";
/// The folder of the pictures.
pub(super) const PICTURES: &str = "pictures";
/// The folder of pictures that no row of the database speaks of.
pub(super) const LOST: &str = "lost+found";
/// Room on the disk, kept for the time when there is none.
pub(super) const BALLAST: &str = "ballast";
/// Written and removed to see whether that is possible.
pub(super) const PROBE: &str = "probe";
/// What an operator may put into a folder before Easel uses it; a new disk has the other one.
pub(super) const HARMLESS: [&str; 3] = ["easel.toml", LOST, LOCK];

/// A file in the folder of the pictures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Name {
    /// A whole picture of this task, with its place among the task's pictures.
    Picture(TaskId, u32),
    /// One that was being written when the process was killed.
    Partial,
    /// Somebody else's.
    Foreign,
}

/// The name says nothing of the encoding, so that a second attempt at a task overwrites what the first left.
pub(super) fn picture(task: TaskId, number: u32) -> String {
    format!("{task}-{number}")
}

/// A picture that is not whole yet.
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

/// Only what [`picture`] writes: neither capitals nor leading zeros.
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
