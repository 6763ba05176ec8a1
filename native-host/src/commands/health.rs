//! `easel health`: asks a service whether it is well, for containers and scripts without another HTTP client.

use crate::args::HealthArgs;
use crate::terminal::say;
use anyhow::{Context, Result, anyhow};
use serde_json::Value;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Prints the state of the service; fails if it is not ready, or with `--live` if it does not answer.
pub(crate) fn health(args: &HealthArgs) -> Result<()> {
    let base = args.url.clone().unwrap_or_else(|| address(args.listen));
    let path = if args.live { "/health/live" } else { "/health/ready" };
    let url = format!("{}{path}", base.trim_end_matches('/'));
    let config = ureq::Agent::config_builder().timeout_global(Some(PATIENCE)).http_status_as_error(false);
    let mut answer = config.build().new_agent().get(&url).call().with_context(|| url.clone())?;
    let text = answer.body_mut().read_to_string().with_context(|| url.clone())?;
    let report: Value = serde_json::from_str(&text).unwrap_or_default();
    let Some(status) = report["status"].as_str() else {
        return Err(anyhow!("{url}: this is not an Easel service: it answered {}", answer.status()));
    };
    if answer.status().is_success() {
        return say(status);
    }
    Err(anyhow!("{url}: {status}: {}", problems(&report["checks"])))
}

/// The parts that are not well.
fn problems(checks: &Value) -> String {
    let parts = checks.as_object().into_iter().flatten();
    let problems = parts.filter_map(|(part, problem)| Some(format!("{part}: {}", problem.as_str()?)));
    problems.filter(|problem| !problem.ends_with(": ok")).collect::<Vec<_>>().join(", ")
}

/// Where a service on this machine answers that listens there.
fn address(listen: SocketAddr) -> String {
    let ip: IpAddr = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    format!("http://{}", SocketAddr::new(ip, listen.port()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_service_that_listens_everywhere_answers_on_this_machine() {
        let of = |listen: &str| address(listen.parse().unwrap());
        assert_eq!(of("0.0.0.0:8100"), "http://127.0.0.1:8100");
        assert_eq!(of("[::]:80"), "http://[::1]:80");
        assert_eq!(of("192.168.1.7:8100"), "http://192.168.1.7:8100");
    }

    #[test]
    fn parts_that_are_well_are_left_out() {
        assert_eq!(problems(&json!({ "database": "it is locked", "disk": "ok" })), "database: it is locked");
        assert_eq!(problems(&Value::Null), "");
    }
}
