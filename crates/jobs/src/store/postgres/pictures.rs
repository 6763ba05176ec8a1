//! Pictures: their rows, and reading their objects.

use super::rows::{self, PICTURE, number};
use super::sqlx::AssertSqlSafe;
use super::wait::Waiter;
use super::{BATCH, Inner, PATIENCE, PgConnection, PgPool, Sql, sqlx};
use crate::{NewPicture, Page, Picture, PictureId, PictureQuery, Result, TaskId};
use bytes::{Buf, Bytes};
use sha2::{Digest, Sha256};
use std::io::{self, Read};
use std::sync::Arc;

/// How much of a picture is read at once: as much as the service sends at once.
const PIECE: u64 = 48 << 10;

/// Adds a picture.
pub(super) async fn insert(
    connection: &mut PgConnection,
    task: TaskId,
    place: usize,
    object: &str,
    picture: &NewPicture,
) -> Sql<()> {
    let sql = "INSERT INTO picture (task, number, object, prompt, seed, media_type, length, digest)
               SELECT id, $2, $3, prompt, $4, $5, $6, $7 FROM task WHERE id = $1";
    let query = sqlx::query(sql).bind(task).bind(number(place)).bind(object).bind(picture.seed.cast_signed());
    let query = query.bind(&picture.media_type).bind(number(picture.bytes.len()));
    query.bind(hex::encode(Sha256::digest(&picture.bytes))).execute(connection).await.map(|_| ())
}

/// A page of pictures, newest first; those of a single task in the order they were drawn.
pub(super) async fn page(pool: &PgPool, query: &PictureQuery) -> Sql<Page<Picture>> {
    let (filter, order) = match query.task {
        Some(_) => ("WHERE task = $1", "number"),
        None => ("WHERE $1::uuid IS NULL", "id DESC"),
    };
    let count = format!("SELECT count(*) FROM picture {filter}");
    let total: i64 = sqlx::query_scalar(AssertSqlSafe(count)).bind(query.task).fetch_one(pool).await?;
    let sql = format!("SELECT {PICTURE} FROM picture {filter} ORDER BY {order} LIMIT $2 OFFSET $3");
    let page = sqlx::query(AssertSqlSafe(sql)).bind(query.task).bind(number(query.limit)).bind(number(query.offset));
    let items = page.fetch_all(pool).await?.iter().map(rows::picture).collect::<Sql<_>>()?;
    Ok(Page { total: usize::try_from(total).unwrap_or_default(), items })
}

/// One picture.
pub(super) async fn find(pool: &PgPool, id: PictureId) -> Sql<Option<Picture>> {
    let sql = format!("SELECT {PICTURE} FROM picture WHERE id = $1");
    let row = sqlx::query(AssertSqlSafe(sql)).bind(id).fetch_optional(pool).await?;
    row.map(|row| rows::picture(&row)).transpose()
}

/// The name of a picture's object.
pub(super) async fn object(pool: &PgPool, id: PictureId) -> Sql<Option<String>> {
    sqlx::query_scalar("SELECT object FROM picture WHERE id = $1").bind(id).fetch_optional(pool).await
}

/// Deletes one picture or all, some at a time, and returns how many. Their objects are strays from now on, due at once.
pub(super) async fn delete(pool: &PgPool, id: Option<PictureId>) -> Sql<usize> {
    let sql = "WITH deleted AS (
                   DELETE FROM picture WHERE id = ANY(ARRAY(
                       SELECT id FROM picture WHERE $1 IS NULL OR id = $1 LIMIT $2 FOR UPDATE SKIP LOCKED)) RETURNING object)
               INSERT INTO stray (object, since) SELECT object, 0 FROM deleted";
    let mut deleted = 0;
    loop {
        match sqlx::query(sql).bind(id).bind(BATCH).execute(pool).await?.rows_affected() {
            0 => return Ok(deleted),
            some => deleted += usize::try_from(some).unwrap_or_default(),
        }
    }
}

/// Reads a picture, a piece for each request to the object store.
pub(super) struct Reader {
    inner: Arc<Inner>,
    waiter: Waiter,
    picture: Arc<Picture>,
    object: String,
    /// What was read and not asked for yet.
    piece: Bytes,
    /// The place after it.
    at: u64,
}

impl Reader {
    /// Opens a picture for reading from byte `from`. [`crate::Error::UnknownPicture`], [`crate::Error::DamagedPicture`].
    pub(super) async fn open(inner: Arc<Inner>, waiter: Waiter, picture: Picture, from: u64) -> Result<Self> {
        let object = inner.object(picture.id).await?;
        let end = picture.length.min(from.saturating_add(PIECE));
        let piece = inner.pictures.read(&picture, &object, from..end).await?;
        let at = from + piece.len() as u64;
        Ok(Self { inner, waiter, picture: Arc::new(picture), object, piece, at })
    }

    fn next(&self) -> io::Result<Bytes> {
        let inner = Arc::clone(&self.inner);
        let picture = Arc::clone(&self.picture);
        let object = self.object.clone();
        let range = self.at..self.picture.length.min(self.at + PIECE);
        let read = async move { inner.pictures.read(&picture, &object, range).await };
        let piece = self.waiter.wait(PATIENCE, read).ok_or_else(|| io::Error::from(io::ErrorKind::TimedOut))?;
        piece.map_err(io::Error::other)
    }
}

impl Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.piece.is_empty() && self.at < self.picture.length {
            self.piece = self.next()?;
            self.at += self.piece.len() as u64;
        }
        let length = buffer.len().min(self.piece.len());
        self.piece.copy_to_slice(&mut buffer[..length]);
        Ok(length)
    }
}
