//! Traces in a build without them (cargo feature `otel`): nothing is recorded.

use super::Result;
use axum::http::HeaderMap;
use easel_contract::Origin;
use std::time::SystemTime;

/// Never made.
pub enum Guard {}

/// Records nothing.
pub fn start() -> Result<Option<Guard>> {
    Ok(None)
}

#[derive(Default)]
pub(super) struct RequestTrace(());

impl RequestTrace {
    pub(super) fn begin(_method: &'static str, _route: Option<&str>, _headers: &mut HeaderMap) -> Self {
        Self(())
    }

    pub(super) fn end(self, _status: u16) {}
}

#[derive(Default)]
pub(super) struct TaskTrace(());

impl TaskTrace {
    pub(super) fn begin(_task: &easel_jobs::Task, _model: &str, _origin: Option<&Origin>) -> Self {
        Self(())
    }

    pub(super) fn phase(&self, _name: &'static str, _began: SystemTime, _ended: SystemTime) {}

    pub(super) fn failed(&self, _reason: &str) {}
}
