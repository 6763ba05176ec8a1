//! Queries on pictures, each in the caller's transaction.

use super::rows::{self, Id, PICTURE, Time};
use super::{Sql, all, execute, number};
use crate::{NewPicture, Page, Picture, PictureQuery, TaskId};
use rusqlite::{Row, Transaction, params};
use sha2::{Digest, Sha256};

/// A picture's columns.
pub(super) struct Record {
    seed: u64,
    media_type: String,
    length: usize,
    /// SHA-256 in hexadecimal digits.
    digest: String,
}

impl Record {
    pub(super) fn of(picture: &NewPicture) -> Self {
        let digest = hex::encode(Sha256::digest(&picture.bytes));
        Self { seed: picture.seed, media_type: picture.media_type.clone(), length: picture.bytes.len(), digest }
    }
}

/// Adds the pictures of a task in the database.
pub(super) fn insert(transaction: &Transaction<'_>, id: TaskId, pictures: &[Record]) -> Sql<()> {
    let sql = "INSERT INTO picture (task, number, prompt, seed, media_type, length, digest, created_at)
               SELECT id, ?2, prompt, ?3, ?4, ?5, ?6, ?7 FROM task WHERE id = ?1";
    for (place, picture) in (0u32..).zip(pictures) {
        let Record { seed, media_type, length, digest } = picture;
        let row = params![Id(id), place, seed.cast_signed(), media_type, number(*length), digest, Time::now()];
        execute(transaction, sql, row)?;
    }
    Ok(())
}

/// A page of pictures, newest first; those of a single task in the order they were drawn.
pub(super) fn page(transaction: &Transaction<'_>, query: &PictureQuery) -> Sql<Page<Picture>> {
    let task = query.task.map(Id);
    let (filter, order) = match task {
        Some(_) => ("WHERE task = ?1", "number"),
        None => ("WHERE ?1 IS NULL", "id DESC"),
    };
    let count = format!("SELECT count(*) FROM picture {filter}");
    let total = transaction.prepare_cached(&count)?.query_row([&task], |row| row.get(0))?;
    let sql = format!("SELECT {PICTURE} FROM picture {filter} ORDER BY {order} LIMIT ?2 OFFSET ?3");
    let values = params![task, number(query.limit), number(query.offset)];
    Ok(Page { total, items: all(transaction, &sql, values, rows::picture)? })
}

/// The task and number that name a picture's file.
pub(super) fn file(row: &Row<'_>) -> Sql<(TaskId, u32)> {
    Ok((row.get::<_, Id>("task")?.0, row.get("number")?))
}
