//! The id of a request: the client's if it sends a well-formed one in `x-request-id`, else a new one. It is in the answer, in
//! the log, and in the message of an internal error.
//!
//! It travels in the request's header, so that a component and the tasks that it queues know it too. What the service logs while
//! it answers finds it in [`current`], except behind a component.

use axum::http::{HeaderMap, HeaderValue};
use easel_contract::{REQUEST_ID, request_id};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// The id of the request with these headers, which have it afterwards.
pub(super) fn establish(headers: &mut HeaderMap) -> HeaderValue {
    if let Some(id) = request_id(headers) {
        return id.clone();
    }
    let id = next();
    headers.insert(REQUEST_ID, id.clone());
    id
}

/// Puts the id into the answer's headers.
pub(super) fn answer(headers: &mut HeaderMap, id: HeaderValue) {
    headers.entry(REQUEST_ID).or_insert(id);
}

tokio::task_local! {
    static CURRENT: HeaderValue;
}

/// Answers a request under its id.
pub(super) async fn within<T>(id: HeaderValue, answer: impl Future<Output = T>) -> T {
    CURRENT.scope(id, answer).await
}

/// The id of the request that is being answered, if this is known here.
pub(super) fn current() -> Option<HeaderValue> {
    CURRENT.try_with(HeaderValue::clone).ok()
}

/// Does work on this thread under an id.
pub(super) fn work<T>(id: Option<HeaderValue>, work: impl FnOnce() -> T) -> T {
    match id {
        Some(id) => CURRENT.sync_scope(id, work),
        None => work(),
    }
}

/// The id as text, for a log.
pub(super) fn text(id: &HeaderValue) -> &str {
    id.to_str().unwrap_or_default()
}

/// An id that no other request has: a random part for this process, and a number. Random bits for each request would need a
/// call of the system.
fn next() -> HeaderValue {
    static PROCESS: LazyLock<u64> = LazyLock::new(|| getrandom::u64().unwrap_or_default());
    static NUMBER: AtomicU64 = AtomicU64::new(1);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let id = format!("{:016x}{number:016x}", *PROCESS);
    HeaderValue::try_from(id).unwrap_or(HeaderValue::from_static("unknown"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_well_formed_id_stays_and_another_one_is_replaced() {
        let mut headers = HeaderMap::from_iter([(REQUEST_ID, HeaderValue::from_static("mine"))]);
        assert_eq!(establish(&mut headers), "mine");
        headers.insert(REQUEST_ID, HeaderValue::from_static("two words"));
        let made = establish(&mut headers);
        assert!(text(&made).len() == 32 && headers[REQUEST_ID] == made, "{made:?}");
        headers.remove(REQUEST_ID);
        assert_ne!(establish(&mut headers), made, "each request has its own");
    }

    #[tokio::test]
    async fn work_on_another_thread_has_the_id_of_its_request() {
        let id = HeaderValue::from_static("mine");
        let there = within(id.clone(), async {
            let id = current();
            tokio::task::spawn_blocking(|| work(id, current)).await.unwrap()
        });
        assert_eq!(there.await, Some(id));
        assert_eq!((current(), work(None, current)), (None, None));
    }

    #[test]
    fn an_answer_keeps_the_id_that_its_route_has_set() {
        let mut headers = HeaderMap::new();
        answer(&mut headers, HeaderValue::from_static("first"));
        answer(&mut headers, HeaderValue::from_static("second"));
        assert_eq!(headers[REQUEST_ID], "first");
    }
}
