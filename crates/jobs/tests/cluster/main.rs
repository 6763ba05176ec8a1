//! The store of several hosts: the tests of the store of one host, and what only several hosts can do.
//!
//! They need PostgreSQL, and are skipped without it unless `EASEL_REQUIRE_POSTGRES` is set.

#[path = "../jobs/cancel.rs"]
mod cancel;
#[path = "../jobs/engine.rs"]
mod engine;
mod faults;
mod home;
mod leases;
mod listing;
#[path = "../store/model.rs"]
mod model;
mod pictures;
#[path = "../jobs/queue.rs"]
mod queue;
mod server;
#[path = "../jobs/shutdown.rs"]
mod shutdown;
mod start;
mod tls;
#[path = "../jobs/watch.rs"]
mod watch;
mod watchers;
