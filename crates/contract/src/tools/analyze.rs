//! `analyze_image`: which of some texts a picture shows, and masks of its regions.

use super::SOURCE_MAX;
use super::source::Source;
use crate::Error;
use crate::analysis::{AtMost, Roi};
use crate::field::Text;
use crate::limits::{REGIONS_MAX, TEXTS_MAX};
use crate::service::{AnalysisRequest, Region, Result, Service};
use serde::Deserialize;
use utoipa::ToSchema;

/// The arguments of `analyze_image`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Analyze {
    /// The picture: the uri of a picture that was drawn here, a data: URL, or base64 of a PNG, JPEG or WebP.
    #[schema(inline)]
    image: Text<1, { SOURCE_MAX }>,
    /// What the picture may show: 1 to 256 texts. Their probabilities add up to 1.
    #[schema(value_type = Vec<String>)]
    texts: AtMost<TEXTS_MAX, String>,
    /// What to cut out, at most 64 regions in pixels: [x, y] for a point, [left, top, right, bottom] for a box. Default:
    /// everything that is found.
    #[serde(default)]
    #[schema(value_type = Vec<Vec<f64>>)]
    regions: AtMost<REGIONS_MAX, Roi>,
}

/// A call of `analyze_image`.
#[derive(Clone, Debug, PartialEq)]
pub struct Look {
    image: Source,
    texts: Vec<String>,
    regions: Vec<Region>,
}

impl Analyze {
    pub(super) fn into_look(self) -> Result<Look> {
        let image = Source::read("image", &self.image)?;
        let regions = self.regions.0.into_iter().map(|Roi(region)| region).collect();
        Ok(Look { image, texts: self.texts.0, regions })
    }
}

impl Look {
    /// What to cut out.
    pub fn regions(&self) -> &[Region] {
        &self.regions
    }

    /// An error of the service under the names of the tool's arguments.
    pub fn refusal(error: Error) -> Error {
        error.renamed(&[("roi", "regions")])
    }

    /// The service's request with its picture.
    ///
    /// # Errors
    /// [`Error::InvalidField`], [`Error::ImageNotFound`].
    pub async fn into_request(self, service: &dyn Service) -> Result<AnalysisRequest> {
        let image = self.image.bytes("image", service).await?;
        Ok(AnalysisRequest { image, texts: self.texts, regions: self.regions, mask: None, each: false })
    }
}
