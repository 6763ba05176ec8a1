//! Pictures in calls: sent along, or drawn here before.

use crate::links::Link;
use crate::service::{Image, Result, Service};
use crate::{Error, head, wire};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;

/// A picture in a call.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Source {
    Bytes(Bytes),
    Stored(Link),
}

impl Source {
    pub(super) fn read(field: &str, text: &str) -> Result<Self> {
        if let Some(link) = Link::read(text) {
            return Ok(Self::Stored(link));
        }
        let refused =
            || Error::invalid(field, "must be the uri of a picture that was drawn here, a data: URL, or base64");
        wire::from_base64(text).map(|bytes| Self::Bytes(bytes.into())).ok_or_else(refused)
    }

    pub(super) async fn bytes(self, field: &str, service: &dyn Service) -> Result<Bytes> {
        let bytes = match self {
            Self::Bytes(bytes) => bytes,
            Self::Stored(link) => whole(service, &link).await?.1,
        };
        match head::size(&bytes) {
            Some(_) => Ok(bytes),
            None => Err(Error::invalid(field, "must be a PNG, a JPEG or a WebP")),
        }
    }
}

/// A stored picture and its bytes.
///
/// # Errors
/// [`Error::ImageNotFound`].
pub async fn whole(service: &dyn Service, link: &Link) -> Result<(Image, Bytes)> {
    let image = link.find(service).await?;
    let mut bytes = BytesMut::new();
    let mut pieces = service.read_image(image.id, 0..image.size).await?;
    while let Some(piece) = pieces.next().await {
        bytes.extend_from_slice(&piece?);
    }
    Ok((image, bytes.freeze()))
}
