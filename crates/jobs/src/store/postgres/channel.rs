//! What hosts tell each other, by PostgreSQL's `NOTIFY`: <https://www.postgresql.org/docs/current/sql-notify.html>.

use super::sqlx::{PgListener, PgPoolOptions};
use super::{Inner, PgConnectOptions, PgConnection, Sql, sqlx};
use crate::{Notice, TaskId};
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::Duration;
use uuid::Uuid;

/// The channel of all hosts.
const CHANNEL: &str = "easel";

/// How long to wait before connecting again.
const RETRY: Duration = Duration::from_millis(500);

/// What a host has to tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum News {
    /// A task waits.
    Waiting,
    /// A task has changed, or has new events.
    Changed(TaskId),
    /// A watcher wants previews of this task.
    Previews(TaskId),
}

/// Tells all hosts, once the transaction is committed.
pub(super) async fn tell(connection: &mut PgConnection, host: Uuid, news: News) -> Sql<()> {
    let sql = "SELECT pg_notify($1, $2)";
    sqlx::query(sql).bind(CHANNEL).bind(write(host, news)).execute(connection).await.map(|_| ())
}

fn write(host: Uuid, news: News) -> String {
    match news {
        News::Waiting => format!("waiting {host}"),
        News::Changed(task) => format!("changed {host} {task}"),
        News::Previews(task) => format!("previews {host} {task}"),
    }
}

/// What the news of another host mean for this one. That a task waits wakes the host that said so, too.
fn read(payload: &str, own: Uuid) -> Option<Notice> {
    let mut words = payload.split(' ');
    let kind = words.next()?;
    let host: Uuid = words.next()?.parse().ok()?;
    let task = words.next().and_then(|task| task.parse().ok());
    match kind {
        "waiting" => Some(Notice::Waiting),
        "changed" if host != own => task.map(Notice::Changed),
        "previews" if host != own => task.map(Notice::Previews),
        _ => None,
    }
}

/// Passes on what other hosts tell, for as long as the store is open.
pub(super) async fn listen(options: PgConnectOptions, inner: Arc<Inner>, notices: Sender<Notice>) {
    loop {
        if let Err(error) = hear(&options, &inner, &notices).await {
            tracing::warn!(%error, "cannot hear other hosts");
        }
        tokio::time::sleep(RETRY).await;
    }
}

/// Passes on what other hosts tell, for as long as the connection holds.
async fn hear(options: &PgConnectOptions, inner: &Inner, notices: &Sender<Notice>) -> Sql<()> {
    // A pool of its own, so that a connection that hangs takes none from the calls.
    let pool = PgPoolOptions::new().max_connections(1).connect_with(options.clone()).await?;
    let mut listener = PgListener::connect_with(&pool).await?;
    listener.listen(CHANNEL).await?;
    let _ = notices.send(Notice::Missed);
    loop {
        tokio::select! {
            heard = listener.try_recv() => {
                let notice = match heard? {
                    Some(heard) => read(heard.payload(), inner.leases.host()),
                    None => Some(Notice::Missed),
                };
                // Without a queue, nobody receives it.
                notice.into_iter().for_each(|notice| { let _ = notices.send(notice); });
            }
            () = inner.leases.reconnected() => return Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn news_are_read_as_they_are_written() {
        let own = Uuid::from_u128(1);
        let other = Uuid::from_u128(2);
        let task = Uuid::from_u128(3);
        assert_eq!(read(&write(own, News::Waiting), own), Some(Notice::Waiting));
        assert_eq!(read(&write(other, News::Changed(task)), own), Some(Notice::Changed(task)));
        assert_eq!(read(&write(other, News::Previews(task)), own), Some(Notice::Previews(task)));
        assert_eq!(read(&write(own, News::Changed(task)), own), None, "it knows that already");
        for foreign in
            ["", "waiting", "waiting me", "changed", &format!("changed {other} task"), &format!("sold {other}")]
        {
            assert_eq!(read(foreign, own), None, "{foreign}");
        }
    }
}
