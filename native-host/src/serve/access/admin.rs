//! A separate address for operators, if the deployment wants one: metrics and documentation are then served only there,
//! and that address serves nothing else but health.

use super::refusal;
use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use easel_contract::{Error, Settings};
use std::sync::Arc;

/// What a host that only draws has for operators.
const WORKERS: [&str; 3] = ["/metrics", "/health/live", "/health/ready"];

const OPERATORS: [&str; 3] = ["/metrics", "/docs", "/openapi.json"];

/// Which routes an address serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::serve) enum Part {
    /// All except those for operators.
    Clients,
    /// Those for operators, and health.
    Operators,
    /// Those of a host that only draws: metrics and health.
    Workers,
}

/// Keeps the routes of one part; the others are not found.
pub(in crate::serve) fn only(part: Part, routes: Router, settings: Settings) -> Router {
    routes.layer(from_fn_with_state((part, Arc::new(settings)), choose))
}

async fn choose(State((part, settings)): State<(Part, Arc<Settings>)>, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let is_here = match part {
        Part::Clients => !OPERATORS.contains(&path),
        Part::Operators => OPERATORS.contains(&path) || path == "/health" || path.starts_with("/health/"),
        Part::Workers => WORKERS.contains(&path),
    };
    match is_here {
        true => next.run(request).await,
        false => refusal(&settings, request, Error::RouteNotFound).await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;
    use axum::http::StatusCode;
    use tower::ServiceExt;

    #[tokio::test]
    async fn each_route_is_on_its_address() {
        let found = async |part, path: &str| {
            let routes = only(part, Router::new().fallback(async || "routes"), Settings::default());
            let answer = routes.oneshot(Request::get(path).body(Body::empty()).unwrap()).await.unwrap();
            answer.status() == StatusCode::OK
        };
        for path in OPERATORS {
            assert!(found(Part::Operators, path).await && !found(Part::Clients, path).await, "{path}");
        }
        for path in WORKERS {
            assert!(found(Part::Workers, path).await, "{path}");
        }
        for path in ["/", "/tasks", "/images/1", "/studio/0.1", "/docs", "/health/more"] {
            assert!(!found(Part::Workers, path).await, "{path}");
        }
        for path in ["/", "/tasks", "/images/1", "/studio/0.1"] {
            assert!(found(Part::Clients, path).await && !found(Part::Operators, path).await, "{path}");
        }
        assert!(found(Part::Clients, "/health").await && found(Part::Operators, "/health/ready").await);
    }
}
