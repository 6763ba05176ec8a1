//! Limits on the rate and concurrency of keys. They need a clock and state, so they stand in front of router and
//! component.

use super::refusal;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use axum::response::Response;
use easel_contract::access::{Key, needs_key};
use easel_contract::{Error, Settings};
use http_body::{Frame, SizeHint};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

/// The period of rates.
const MINUTE: Duration = Duration::from_secs(60);

/// The `retry-after` of a client with too many requests in progress, in seconds.
const BUSY: u32 = 1;

/// What the keys have used up.
pub(in crate::serve) struct Quotas {
    settings: Settings,
    used: Mutex<HashMap<String, Used>>,
}

/// What a key has used up.
struct Used {
    /// When the request bucket is full again (the generic cell rate algorithm's theoretical arrival time).
    full: Instant,
    running: u32,
}

impl Quotas {
    /// Unused quotas.
    pub(in crate::serve) fn new(settings: Settings) -> Self {
        Self { settings, used: Mutex::default() }
    }

    /// Counts a request whose key has a quota, or refuses it. The router refuses requests without a valid key.
    ///
    /// # Errors
    /// [`Error::ConcurrencyExceeded`], [`Error::RateExceeded`].
    pub(in crate::serve) fn begin(self: &Arc<Self>, request: &Request) -> Result<Option<Running>, Error> {
        let keys = self.settings.keys.as_ref().filter(|_| needs_key(request));
        let key = keys.and_then(|keys| keys.get().of(request.headers()).ok());
        match key.filter(|key| key.rate.is_some() || key.concurrency.is_some()) {
            Some(key) => self.admit(&key, Instant::now()).map(Some),
            None => Ok(None),
        }
    }

    /// The answer to a request beyond its key's quota.
    pub(in crate::serve) async fn refuse(&self, request: Request, error: Error) -> Response {
        tracing::debug!(%error, "refused");
        refusal(&self.settings, request, error).await
    }

    /// Counts a request, or refuses it.
    fn admit(self: &Arc<Self>, key: &Key, now: Instant) -> Result<Running, Error> {
        let mut used = self.used.lock();
        let used = used.entry(key.name.clone()).or_insert(Used { full: now, running: 0 });
        if let Some(most) = key.concurrency.filter(|most| used.running >= most.get()) {
            return Err(Error::ConcurrencyExceeded { most: most.get(), retry_after: BUSY });
        }
        if let Some(rate) = key.rate {
            let each = MINUTE / rate.get();
            let full = used.full.max(now) + each;
            let over = full.saturating_duration_since(now).saturating_sub(MINUTE.max(each));
            if !over.is_zero() {
                let retry_after = u32::try_from(over.as_millis().div_ceil(1000)).unwrap_or(u32::MAX).max(1);
                return Err(Error::RateExceeded { rate: rate.get(), retry_after });
            }
            used.full = full;
        }
        used.running += 1;
        Ok(Running { quotas: Arc::clone(self), name: key.name.clone() })
    }
}

/// A request in progress; dropping it ends it.
pub(in crate::serve) struct Running {
    quotas: Arc<Quotas>,
    name: String,
}

impl Running {
    /// The answer to the request, which is in progress until its body is read or the client has left.
    pub(in crate::serve) fn until_read(self, response: Response) -> Response {
        response.map(|body| Body::new(Counted { body, _running: self }))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(used) = self.quotas.used.lock().get_mut(&self.name) {
            used.running = used.running.saturating_sub(1);
        }
    }
}

/// The body of an answer to a request in progress.
struct Counted {
    body: Body,
    _running: Running,
}

impl HttpBody for Counted {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::{StatusCode, header};
    use axum::response::IntoResponse;
    use easel_contract::access::KeyRing;

    fn key(rate: u32, concurrency: u32) -> Key {
        Key { rate: rate.try_into().ok(), concurrency: concurrency.try_into().ok(), ..Key::new("a", b"secret") }
    }

    fn quotas(key: &Key) -> Arc<Quotas> {
        let keys = Some(KeyRing::new([key.clone()].into_iter().collect()));
        Arc::new(Quotas::new(Settings { keys, ..Settings::default() }))
    }

    #[test]
    fn a_key_has_a_number_of_requests_per_minute() {
        let key = key(6, 0);
        let quotas = quotas(&key);
        let start = Instant::now();
        let ask = |seconds| quotas.admit(&key, start + Duration::from_secs(seconds)).map(drop);
        for _ in 0..6 {
            ask(0).unwrap();
        }
        assert_eq!(ask(0), Err(Error::RateExceeded { rate: 6, retry_after: 10 }));
        assert_eq!(ask(7), Err(Error::RateExceeded { rate: 6, retry_after: 3 }));
        assert_eq!(ask(10), Ok(()));
        assert!(ask(10).is_err());
        for _ in 0..6 {
            ask(600).unwrap();
        }
        assert!(ask(600).is_err(), "waiting longer does not save up more");
    }

    #[test]
    fn once_in_a_minute_is_once() {
        let key = key(1, 0);
        let quotas = quotas(&key);
        let start = Instant::now();
        quotas.admit(&key, start).map(drop).unwrap();
        assert_eq!(quotas.admit(&key, start).err(), Some(Error::RateExceeded { rate: 1, retry_after: 60 }));
        quotas.admit(&key, start + MINUTE).map(drop).unwrap();
    }

    #[tokio::test]
    async fn a_request_is_in_progress_until_its_answer_is_read() {
        let quotas = quotas(&key(0, 1));
        let ask = async |path: &str| {
            let request = Request::get(path).header("x-api-key", "secret").body(Body::empty()).unwrap();
            match quotas.begin(&request) {
                Ok(Some(running)) => running.until_read("an answer".into_response()),
                Ok(None) => "an answer".into_response(),
                Err(error) => quotas.refuse(request, error).await,
            }
        };
        let first = ask("/tasks").await;
        assert_eq!(first.status(), StatusCode::OK);
        let refused = ask("/tasks").await;
        assert_eq!(
            (refused.status(), &refused.headers()[header::RETRY_AFTER]),
            (StatusCode::TOO_MANY_REQUESTS, &"1".parse().unwrap())
        );
        let body = axum::body::to_bytes(refused.into_body(), 1000).await.unwrap();
        assert!(body.starts_with(b"{\"detail\":\"this key may have 1 requests in progress"), "{body:?}");
        assert_eq!(ask("/health").await.status(), StatusCode::OK, "it needs no key");
        drop(first);
        assert_eq!(ask("/tasks").await.status(), StatusCode::OK);
    }
}
