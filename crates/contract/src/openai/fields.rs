//! Fields of OpenAI's requests. Each type reads JSON and the texts of a form alike, and describes itself for OpenAPI.

use crate::limits::{SIZE_MAX, SIZE_MIN, SIZE_STEP};
use crate::service::{Encoding, PictureFormat};
use serde::de::{Deserializer, Error as _, Unexpected, Visitor};
use serde::{Deserialize, Serialize};
use std::fmt;
use utoipa::openapi::schema::{ObjectBuilder, Schema, SchemaType, Type};
use utoipa::openapi::{RefOr, SchemaFormat};
use utoipa::{PartialSchema, ToSchema};

/// Width and height. `None` stands for `auto`: the model's own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Size(pub(crate) Option<(u32, u32)>);

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text == "auto" {
            return Ok(Self(None));
        }
        let side = |text: &str| text.parse::<u32>().ok().filter(|side| fits(*side));
        let sides = text.split_once(['x', 'X']).and_then(|(width, height)| Some((side(width)?, side(height)?)));
        sides.map(|sides| Self(Some(sides))).ok_or_else(|| {
            let expected = format!(
                "\"auto\" or WIDTHxHEIGHT such as \"512x512\", in multiples of {SIZE_STEP} from {SIZE_MIN} to {SIZE_MAX}"
            );
            D::Error::invalid_value(Unexpected::Str(&text), &expected.as_str())
        })
    }
}

fn fits(side: u32) -> bool {
    let side = u64::from(side);
    (SIZE_MIN..=SIZE_MAX).contains(&side) && side.is_multiple_of(SIZE_STEP)
}

impl ToSchema for Size {}

impl PartialSchema for Size {
    fn schema() -> RefOr<Schema> {
        let object = ObjectBuilder::new().schema_type(SchemaType::new(Type::String));
        object.pattern(Some("^(auto|[0-9]+x[0-9]+)$")).examples(["512x512"]).into()
    }
}

/// A number from `MIN` to `MAX`, which is text in a form.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Number<const MIN: i32, const MAX: i32>(pub(crate) f64);

impl<'de, const MIN: i32, const MAX: i32> Deserialize<'de> for Number<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Self(0.0))
    }
}

impl<const MIN: i32, const MAX: i32> Visitor<'_> for Number<MIN, MAX> {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a number from {MIN} to {MAX}")
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Self, E> {
        if (f64::from(MIN)..=f64::from(MAX)).contains(&value) {
            return Ok(Self(value));
        }
        Err(E::invalid_value(Unexpected::Float(value), &self))
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Self, E> {
        self.visit_f64(value as f64)
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<Self, E> {
        self.visit_f64(value as f64)
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<Self, E> {
        match value.parse() {
            Ok(value) => self.visit_f64(value),
            Err(_) => Err(E::invalid_value(Unexpected::Str(value), &self)),
        }
    }
}

impl<const MIN: i32, const MAX: i32> ToSchema for Number<MIN, MAX> {}

impl<const MIN: i32, const MAX: i32> PartialSchema for Number<MIN, MAX> {
    fn schema() -> RefOr<Schema> {
        let object = ObjectBuilder::new().schema_type(SchemaType::new(Type::Number));
        let object = object.format(Some(SchemaFormat::Custom("double".into())));
        object.minimum(Some(f64::from(MIN))).maximum(Some(f64::from(MAX))).into()
    }
}

/// How the answer carries the pictures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = OpenAiResponseFormat)]
pub(crate) enum ResponseFormat {
    Url,
    B64Json,
}

/// The format of the picture files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = OpenAiOutputFormat)]
pub(crate) enum OutputFormat {
    #[default]
    Png,
    Jpeg,
    Webp,
}

impl OutputFormat {
    /// The encoding with this quality in percent.
    pub(crate) fn encoding(self, quality: Option<u32>) -> Encoding {
        let format = match self {
            Self::Png => PictureFormat::Png,
            Self::Jpeg => PictureFormat::Jpeg,
            Self::Webp => PictureFormat::Webp,
        };
        // OpenAI's range begins with 0, but JPEG's begins with 1.
        Encoding { format, quality: quality.map(|quality| quality.max(1)) }
    }
}

/// The picture's background.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = OpenAiBackground)]
pub(crate) enum Background {
    #[default]
    Auto,
    Opaque,
    /// Refused: no model draws transparent pictures.
    Transparent,
}

/// How many steps to take: the model's default, half or twice that number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = OpenAiQuality)]
pub(crate) enum Quality {
    #[default]
    Auto,
    Low,
    Medium,
    Standard,
    High,
    Hd,
}

impl Quality {
    /// The number of steps for a model with this default. `None` leaves it to the model.
    pub(crate) fn steps(self, default: Option<u32>) -> Option<u32> {
        match self {
            Self::Auto | Self::Medium | Self::Standard => None,
            Self::Low => default.map(|steps| steps.div_ceil(2)),
            Self::High | Self::Hd => default.map(|steps| steps.saturating_mul(2)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, from_value, json};

    #[test]
    fn sizes_are_read_and_errors_say_what_is_expected() {
        assert_eq!(from_value::<Size>(json!("auto")).unwrap(), Size(None));
        assert_eq!(from_value::<Size>(json!("1024x64")).unwrap(), Size(Some((1024, 64))));
        for wrong in ["", "512", "512x", "513x512", "512x4096", "x", "-64x64", "64x64x64"] {
            let error = from_value::<Size>(json!(wrong)).unwrap_err().to_string();
            assert!(error.contains("multiples of 8 from 64 to 2048"), "{wrong}: {error}");
        }
        assert!(from_value::<Size>(json!(512)).is_err());
    }

    #[test]
    fn forms_have_numbers_as_text() {
        let number = |value: Value| from_value::<Number<0, 1>>(value).map(|number| number.0);
        assert_eq!(number(json!("0.5")).unwrap(), 0.5);
        assert_eq!(number(json!(1)).unwrap(), 1.0);
        assert!(number(json!("NaN")).is_err() && number(json!(1.5)).is_err() && number(json!("x")).is_err());
    }

    #[test]
    fn quality_is_a_share_of_the_models_steps() {
        assert_eq!(Quality::Low.steps(Some(25)), Some(13));
        assert_eq!(Quality::Low.steps(Some(1)), Some(1));
        assert_eq!(Quality::Hd.steps(Some(25)), Some(50));
        assert_eq!(Quality::High.steps(None), None);
        assert_eq!(Quality::Standard.steps(Some(25)), None);
    }
}
