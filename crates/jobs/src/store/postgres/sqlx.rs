//! The names of sqlx that the store uses, from its parts: see the workspace's dependencies.

pub(super) use sqlx_core::Error;
pub(super) use sqlx_core::connection::Connection;
pub(super) use sqlx_core::migrate;
pub(super) use sqlx_core::query::query;
pub(super) use sqlx_core::query_as::query_as;
pub(super) use sqlx_core::query_scalar::query_scalar;
pub(super) use sqlx_core::row::Row;
pub(super) use sqlx_core::sql_str::{AssertSqlSafe, SqlSafeStr};
pub(super) use sqlx_postgres::{PgConnectOptions, PgConnection, PgListener, PgPool, PgPoolOptions, PgRow};

/// sqlx's result, which becomes [`crate::Error::Postgres`].
pub(super) type Result<T> = std::result::Result<T, Error>;
