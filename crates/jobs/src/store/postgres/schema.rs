//! The database's tables and their migrations.

use super::sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use super::sqlx::{Connection, SqlSafeStr};
use super::{PgConnectOptions, PgConnection, PgPoolOptions};
use crate::{Error, Result};

/// Step `n` makes schema `n + 1`. Released steps are never changed.
const STEPS: [&str; 2] = ["
    -- All times are microseconds since 1970, as in the store of one host.
    CREATE FUNCTION easel_now() RETURNS bigint LANGUAGE sql VOLATILE
        AS 'SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint';
    CREATE SEQUENCE attempt;
    CREATE TABLE task (
        number       bigint   GENERATED ALWAYS AS IDENTITY PRIMARY KEY, -- in order of arrival
        id           uuid     NOT NULL UNIQUE,
        status       text     NOT NULL CHECK (status IN ('pending', 'processing', 'completed', 'cancelled', 'error')),
        priority     smallint NOT NULL,                                 -- 0 low, 1 normal, 2 high
        prompt       text     NOT NULL,
        seed         bigint   NOT NULL,                                 -- the 64 bits of an unsigned number
        model        text     NOT NULL DEFAULT '',                      -- what an engine loads for it; '' for nothing
        request      bytea    NOT NULL,                                 -- empty once the task has ended
        step         bigint   NOT NULL DEFAULT 0,
        steps        bigint   NOT NULL DEFAULT 0,
        attempts     bigint   NOT NULL DEFAULT 0,
        attempt      bigint,                                            -- the latest one's number, unique among all tasks
        host         uuid,                                              -- the host of that attempt
        lease_until  bigint,                                            -- when others may take the task from it
        last_event   bigint   NOT NULL DEFAULT 0,
        error        text,
        created_at   bigint   NOT NULL DEFAULT easel_now(),
        started_at   bigint,
        completed_at bigint
    );
    CREATE INDEX task_queue ON task (priority DESC, number) WHERE status = 'pending';
    CREATE INDEX task_model ON task (priority, model, number) WHERE status = 'pending';
    CREATE INDEX task_status ON task (status, number);
    CREATE INDEX task_lease ON task (lease_until) WHERE status = 'processing';
    CREATE TABLE picture (
        id         bigint  GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        task       uuid    NOT NULL,
        number     bigint  NOT NULL,
        object     text    NOT NULL,                                    -- its name in the object store
        prompt     text    NOT NULL,
        seed       bigint  NOT NULL,
        media_type text    NOT NULL,
        length     bigint  NOT NULL,
        digest     text    NOT NULL,
        created_at bigint  NOT NULL DEFAULT easel_now(),
        UNIQUE (task, number)
    );
    CREATE TABLE run (                                                  -- the latest run, if there was one
        place integer PRIMARY KEY CHECK (place = 1),
        task  uuid    NOT NULL,
        taken boolean NOT NULL
    );
    -- Progress: its loss in a crash of the database does no harm.
    CREATE UNLOGGED TABLE event (
        task    uuid   NOT NULL,
        id      bigint NOT NULL,
        status  text   NOT NULL,
        step    bigint NOT NULL,
        steps   bigint NOT NULL,
        preview bytea,
        PRIMARY KEY (task, id)
    );
    -- Objects without a picture: about to be written, written by a host that then died, or about to be deleted.
    CREATE TABLE stray (
        object text   PRIMARY KEY,
        since  bigint NOT NULL DEFAULT easel_now()
    );
    CREATE INDEX stray_since ON stray (since);
", "
    -- Whether the object is being deleted, so that no picture can have it any more.
    ALTER TABLE stray ADD COLUMN removing boolean NOT NULL DEFAULT false;
"];

/// Migrates to the current schema. sqlx holds an advisory lock meanwhile, so hosts that start together do so one after the
/// other.
pub(super) async fn migrate(options: &PgConnectOptions) -> Result<()> {
    let steps = (1..).zip(STEPS).map(|(version, sql)| {
        Migration::new(version, "easel".into(), MigrationType::Simple, sql.into_sql_str(), false)
    });
    let migrator = Migrator::with_migrations(steps.collect());
    // A pool tries again for a while if nobody listens; an operator who mistyped the address need not wait.
    PgConnection::connect_with(options).await?.close().await?;
    let pool = PgPoolOptions::new().max_connections(1).connect_with(options.clone()).await?;
    let migrated = migrator.run(&pool).await;
    pool.close().await;
    migrated.map_err(|error| match error {
        MigrateError::VersionMissing(found) => Error::NewerSchema {
            path: "store".into(),
            found: usize::try_from(found).unwrap_or(usize::MAX),
            newest: STEPS.len(),
        },
        MigrateError::Execute(reason) | MigrateError::ExecuteMigration(reason, _) => reason.into(),
        other => Error::Postgres { reason: other.to_string(), is_temporary: false },
    })
}
