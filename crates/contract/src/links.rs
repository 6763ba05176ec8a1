//! Addresses of stored pictures that need no key. They contain the hash of the picture's bytes, so that nobody can guess them.

use crate::access::authority;
use crate::service::{Image, Result, Service};
use crate::{Error, wire};
use axum::http::{HeaderMap, Uri};
use subtle::ConstantTimeEq;

/// The start of this server's addresses as the client sees them. A proxy in front sets the scheme in a header.
///
/// # Errors
/// [`Error::InvalidHost`].
pub fn base(uri: &Uri, headers: &HeaderMap) -> Result<String> {
    let host = authority(uri, headers)?;
    let host = host.map_or_else(|| "localhost".to_owned(), |host| host.to_string());
    let forwarded = headers.get("x-forwarded-proto").and_then(|value| value.to_str().ok());
    let scheme = forwarded.and_then(|value| value.split(',').next()).map(str::trim).or(uri.scheme_str());
    let scheme = if scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case("https")) { "https" } else { "http" };
    Ok(format!("{scheme}://{host}"))
}

/// The address of a stored picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    id: u64,
    digest: String,
}

impl Link {
    /// The link to a picture.
    pub fn to(image: &Image) -> Self {
        Self { id: image.id, digest: image.digest.clone() }
    }

    /// The address that begins with `base`.
    pub fn under(&self, base: &str) -> String {
        format!("{base}/images/{}/{}", self.id, self.digest)
    }

    /// The link in an address, whatever it begins with. `None` if it is not the address of a picture.
    pub fn read(address: &str) -> Option<Self> {
        let (before, digest) = address.rsplit_once('/')?;
        let (before, id) = before.rsplit_once('/')?;
        if !before.ends_with("/images") || !wire::is_hex(digest) {
            return None;
        }
        Some(Self { id: id.parse().ok()?, digest: digest.to_owned() })
    }

    /// A link from the two parts of a path.
    pub(crate) fn new(id: u64, digest: String) -> Self {
        Self { id, digest }
    }

    /// The record of the picture.
    ///
    /// # Errors
    /// [`Error::ImageNotFound`], also if the hash differs.
    pub async fn find(&self, service: &dyn Service) -> Result<Image> {
        let image = service.image(self.id).await?;
        if !bool::from(image.digest.as_bytes().ct_eq(self.digest.as_bytes())) {
            return Err(Error::ImageNotFound { id: self.id });
        }
        Ok(image)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::{HeaderName, HeaderValue};

    #[test]
    fn addresses_begin_as_the_client_called_the_server() {
        let base = |uri: &str, headers: &[(&'static str, &'static str)]| {
            let pairs =
                headers.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
            base(&uri.parse().unwrap(), &pairs.collect()).unwrap()
        };
        assert_eq!(base("/v1/images/generations", &[("host", "127.0.0.1:8100")]), "http://127.0.0.1:8100");
        assert_eq!(base("https://draw.example/", &[]), "https://draw.example");
        let proxied = [("host", "draw.example"), ("x-forwarded-proto", "https, http")];
        assert_eq!(base("/", &proxied), "https://draw.example");
        assert_eq!(base("/", &[("host", "draw.example"), ("x-forwarded-proto", "gopher")]), "http://draw.example");
        assert_eq!(base("/", &[]), "http://localhost");
    }

    #[test]
    fn an_address_is_read_whatever_it_begins_with() {
        let link = Link::new(7, "0af1".to_owned());
        for base in ["http://localhost:8100", "easel:/", "https://draw.example/easel", ""] {
            assert_eq!(Link::read(&link.under(base)), Some(link.clone()), "{base}");
        }
        for other in
            ["", "0af1", "/images/7", "/images/x/0af1", "/pictures/7/0af1", "/images/7/0af1/", "/images/7/../0a"]
        {
            assert_eq!(Link::read(other), None, "{other}");
        }
    }
}
