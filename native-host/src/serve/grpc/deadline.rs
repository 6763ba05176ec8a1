//! Deadlines of calls (<https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>): at most eight digits and a unit.

use std::time::Duration;
use tonic::Status;
use tonic::metadata::MetadataMap;

/// The answer of `work`, which is dropped if the call's deadline passes before.
pub(super) async fn before<T>(
    metadata: &MetadataMap,
    work: impl Future<Output = Result<T, Status>>,
) -> Result<T, Status> {
    let Some(value) = metadata.get("grpc-timeout") else { return work.await };
    let limit = value.to_str().ok().and_then(parse);
    let refused =
        || Status::invalid_argument("grpc-timeout: must be up to 8 digits and one of the units H, M, S, m, u, n");
    let limit = limit.ok_or_else(refused)?;
    let expired = |_| Status::deadline_exceeded(format!("the picture took longer than {} ms", limit.as_millis()));
    tokio::time::timeout(limit, work).await.map_err(expired)?
}

fn parse(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let is_number = (1..=8).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
    let amount = digits.parse().ok().filter(|_| is_number)?;
    match unit {
        "H" => Some(Duration::from_secs(amount * 3600)),
        "M" => Some(Duration::from_secs(amount * 60)),
        "S" => Some(Duration::from_secs(amount)),
        "m" => Some(Duration::from_millis(amount)),
        "u" => Some(Duration::from_micros(amount)),
        "n" => Some(Duration::from_nanos(amount)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deadlines_are_digits_and_a_unit() {
        assert_eq!(parse("60S"), Some(Duration::from_secs(60)));
        assert_eq!(parse("99999999H"), Some(Duration::from_secs(99_999_999 * 3600)));
        assert_eq!(parse("250m"), Some(Duration::from_millis(250)));
        for wrong in ["", "S", "60", "60s", "123456789m", "+1S", "1é"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}
