//! The names of the server (RFC 9110, section 7.2). Requests under other names are refused, because a page can make any
//! domain that it owns point to this machine. It cannot do that with an address or `localhost`.

use crate::Error;
use crate::service::Result;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, Uri, header};
use std::convert::Infallible;
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// The most characters of a name that a message repeats.
const REPEATED: usize = 80;

/// The names of the server, besides addresses and `localhost`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostNames {
    /// Any name: for a server behind a proxy that checks the name.
    Any,
    /// Only these names.
    List(Vec<String>),
}

impl Default for HostNames {
    /// Only addresses and `localhost`.
    fn default() -> Self {
        Self::List(Vec::new())
    }
}

/// `*`, or names separated by commas. `localhost` and addresses are always allowed, and may be listed too.
impl FromStr for HostNames {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        if text.trim() == "*" {
            return Ok(Self::Any);
        }
        let names = text.split(',').map(|name| comparable(name.trim())).filter(|name| !name.is_empty());
        Ok(Self::List(names.collect()))
    }
}

/// As [`FromStr`] reads it.
impl fmt::Display for HostNames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::List(names) => f.write_str(&names.join(",")),
        }
    }
}

impl HostNames {
    /// Refuses a request under another name.
    pub(super) fn check(&self, uri: &Uri, headers: &HeaderMap) -> Result<()> {
        // A server in front may have checked either of the two, so both must be ours.
        let named = [uri.authority().cloned(), host_header(headers)?];
        match named.into_iter().flatten().find(|authority| !self.allow(authority.host())) {
            None => Ok(()),
            Some(other) => Err(Error::HostNotAllowed { host: other.host().chars().take(REPEATED).collect() }),
        }
    }

    fn allow(&self, host: &str) -> bool {
        let Self::List(names) = self else { return true };
        let host = comparable(host);
        is_address(&host) || host == "localhost" || host.ends_with(".localhost") || names.contains(&host)
    }
}

/// A name in the form in which names are compared: lower case, without the final dot of an absolute name.
fn comparable(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

fn is_address(host: &str) -> bool {
    match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(address) => address.parse::<Ipv6Addr>().is_ok(),
        None => host.parse::<Ipv4Addr>().is_ok(),
    }
}

/// The name and port that a request was sent to: `:authority` of HTTP/2, otherwise `host`. `None` if the request has
/// neither.
///
/// # Errors
/// [`Error::InvalidHost`] if there are several `host` headers, or the header is not a name.
pub fn authority(uri: &Uri, headers: &HeaderMap) -> Result<Option<Authority>> {
    let host = host_header(headers)?;
    Ok(uri.authority().cloned().or(host))
}

fn host_header(headers: &HeaderMap) -> Result<Option<Authority>> {
    let mut values = headers.get_all(header::HOST).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Error::InvalidHost { reason: "there is more than one" });
    }
    let authority = Authority::try_from(value.as_bytes()).ok().filter(is_host_and_port);
    authority.map(Some).ok_or(Error::InvalidHost { reason: "it is not a name or an address with or without a port" })
}

/// Whether it is a plain host with an optional port. The library also accepts user names and any text as a port.
fn is_host_and_port(authority: &Authority) -> bool {
    match authority.as_str().strip_prefix(authority.host()) {
        Some("") => !authority.host().is_empty(),
        Some(port) => port.strip_prefix(':').is_some_and(|port| port.is_empty() || port.parse::<u16>().is_ok()),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn check(names: &str, uri: &str, hosts: &[&str]) -> Result<()> {
        let mut headers = HeaderMap::new();
        for host in hosts {
            headers.append(header::HOST, HeaderValue::try_from(*host).unwrap());
        }
        let Ok(names) = names.parse::<HostNames>();
        names.check(&uri.parse().unwrap(), &headers)
    }

    #[test]
    fn f7_a_rebound_host_name_is_refused() {
        for host in ["evil.example", "evil.example:8100", "localhost.evil.example", "127.0.0.1.evil.example", "0x7f.1"]
        {
            let refused = check("draw.example", "/", &[host]).unwrap_err();
            assert!(matches!(&refused, Error::HostNotAllowed { host: named } if host.starts_with(named)), "{refused}");
        }
        // HTTP/2 has the name in the URI, as has HTTP/1.1 when it talks to a proxy.
        assert!(check("", "http://evil.example/generate", &["localhost"]).is_err());
        assert!(check("", "http://localhost/generate", &["evil.example"]).is_err());
    }

    #[test]
    fn addresses_local_and_configured_names_are_allowed() {
        let hosts = ["localhost", "LOCALHOST:8100", "app.localhost", "127.0.0.1:8100", "192.168.1.7", "[::1]:8100"];
        for host in hosts.into_iter().chain(["draw.example", "Draw.Example.:443"]) {
            assert_eq!(check("other.example, Draw.example", "/", &[host]), Ok(()), "{host}");
        }
        assert_eq!(check("*", "/", &["evil.example"]), Ok(()));
        assert_eq!(check("", "/", &[]), Ok(()), "HTTP/1.0 and calls within a process name none");
        assert_eq!(check("", "http://[::1]:8100/", &[]), Ok(()));
    }

    #[test]
    fn f20_two_hosts_and_malformed_hosts_are_refused() {
        for hosts in [&["localhost", "localhost"][..], &["a b"], &["user@localhost"], &[""], &["localhost:port"]] {
            assert!(matches!(check("*", "/", hosts), Err(Error::InvalidHost { .. })), "{hosts:?}");
        }
    }

    #[test]
    fn names_are_written_as_they_are_read() {
        for text in ["*", "", "a.example,b.example"] {
            let Ok(names) = text.parse::<HostNames>();
            assert_eq!(names.to_string(), text);
        }
    }
}
