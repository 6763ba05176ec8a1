//! The ends of tasks that have pictures: first the objects, then, in one transaction, the pictures and the end.

use super::channel::News;
use super::{Inner, pictures, strays, tasks};
use crate::{Error, Last, NewPicture, Result, Status, Task, TaskId};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The number of the next call that cancels a task of this process. An attempt belongs to one process.
static CANCELLED: AtomicU64 = AtomicU64::new(0);

/// The pictures that a cancelled task keeps.
struct Kept<'a> {
    /// The attempt that drew them.
    attempt: i64,
    objects: &'a [String],
    pictures: &'a [NewPicture],
}

impl Inner {
    /// Completes a task that this host still holds. May be repeated if the answer of an earlier call was lost.
    pub(super) async fn complete(&self, id: TaskId, attempt: i64, pictures: &[NewPicture], last: Last) -> Result<bool> {
        let objects: Vec<String> = (0..pictures.len()).map(|number| format!("{id}/{attempt}-{number}")).collect();
        match tasks::of_attempt(&self.pool, id, attempt).await? {
            Some(Status::Processing) => {}
            Some(Status::Completed) => return Ok(true),
            _ => {
                // An earlier call may have written some.
                self.discard(&objects).await;
                return Ok(false);
            }
        }
        self.write(&objects, pictures).await?;
        let completed = self.commit(id, attempt, pictures, &objects, last).await?;
        if !completed {
            self.discard(&objects).await;
        }
        Ok(completed)
    }

    /// Cancels a task, and returns its previous state. If this host runs it, its finished pictures are kept, unless they
    /// cannot be written.
    pub(super) async fn cancel(&self, id: TaskId, last: Option<Last>, finished: &[NewPicture]) -> Result<Option<Task>> {
        let attempt = self.leases.attempt(id).filter(|_| !finished.is_empty());
        let Some(attempt) = attempt else { return self.commit_cancelled(id, last, None).await };
        // Each call has its own names: `complete` or another cancellation may be under way or done, and the late one removes
        // what it has written.
        let call = CANCELLED.fetch_add(1, Ordering::Relaxed);
        let name = |number| format!("{id}/{attempt}-kept-{call}-{number}");
        let objects: Vec<String> = (0..finished.len()).map(name).collect();
        if let Err(error) = self.write(&objects, finished).await {
            tracing::warn!(%id, %error, "the finished pictures of a cancelled task are lost");
            self.discard(&objects).await;
            return self.commit_cancelled(id, last, None).await;
        }
        let kept = Kept { attempt, objects: &objects, pictures: finished };
        let cancelled = self.commit_cancelled(id, last, Some(kept)).await;
        // Those that became pictures are not listed any more.
        self.discard(&objects).await;
        cancelled
    }

    async fn commit_cancelled(&self, id: TaskId, last: Option<Last>, kept: Option<Kept<'_>>) -> Result<Option<Task>> {
        let mut transaction = self.pool.begin().await?;
        let before = tasks::cancel(&mut transaction, id, last).await?;
        let was_running = before.as_ref().is_some_and(|task| task.status == Status::Processing);
        if let Some(Kept { attempt, objects, pictures }) = kept
            && was_running
            && tasks::is_latest(&mut transaction, id, attempt).await?
            && strays::take(&mut transaction, objects).await?
        {
            for (number, (object, picture)) in objects.iter().zip(pictures).enumerate() {
                pictures::insert(&mut transaction, id, number, object, picture).await?;
            }
        }
        self.tell(&mut transaction, News::Changed(id)).await?;
        transaction.commit().await?;
        Ok(before)
    }

    /// Writes objects, which are listed as strays until they belong to pictures.
    async fn write(&self, objects: &[String], pictures: &[NewPicture]) -> Result<()> {
        strays::list(&self.pool, objects).await?;
        for (object, picture) in objects.iter().zip(pictures) {
            self.pictures.write(object, picture.bytes.clone()).await?;
        }
        Ok(())
    }

    /// Removes objects that will never belong to a picture. What fails here, housekeeping does later.
    async fn discard(&self, objects: &[String]) {
        let abandoned = strays::abandon(&self.pool, objects).await.map_err(Error::from);
        let removed = if abandoned.is_ok() { strays::remove(self, Duration::ZERO).await } else { abandoned };
        if let Err(error) = removed {
            tracing::debug!(%error, "could not remove the pictures of a task that another host has");
        }
    }

    async fn commit(
        &self,
        id: TaskId,
        attempt: i64,
        pictures: &[NewPicture],
        objects: &[String],
        last: Last,
    ) -> Result<bool> {
        let writing = self.events.hold().await;
        let mut transaction = self.pool.begin().await?;
        self.events.write(&mut transaction, &writing, id).await?;
        if !tasks::finish(&mut transaction, id, attempt, Status::Completed, None, last).await? {
            return Ok(false);
        }
        for (number, (object, picture)) in objects.iter().zip(pictures).enumerate() {
            pictures::insert(&mut transaction, id, number, object, picture).await?;
        }
        if !strays::take(&mut transaction, objects).await? {
            let reason = "the pictures of a task were cleared away before it was completed".into();
            return Err(Error::Postgres { reason, is_temporary: true });
        }
        self.tell(&mut transaction, News::Changed(id)).await?;
        transaction.commit().await?;
        Ok(true)
    }
}
