//! Field types that only AUTOMATIC1111's requests have.

use crate::limits::{SIZE_MAX, SIZE_STEP};
use serde::de::{Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Unexpected, Visitor};
use serde::{Deserialize, de};
use std::fmt;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, SchemaType, Type};
use utoipa::{PartialSchema, ToSchema};

/// A seed. `None` stands for -1: the service chooses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seed(pub(crate) Option<u64>);

impl<'de> Deserialize<'de> for Seed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Self(None))
    }
}

impl Visitor<'_> for Seed {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an integer from -1 to {}", u64::MAX)
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Self, E> {
        Ok(Self(Some(value)))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Self, E> {
        match value {
            -1 => Ok(Self(None)),
            _ => u64::try_from(value)
                .map(|seed| Self(Some(seed)))
                .map_err(|_| E::invalid_value(Unexpected::Signed(value), &self)),
        }
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Self, E> {
        // Above 2^53 not every integer is a float.
        if value.fract() == 0.0 && (-1.0..=9_007_199_254_740_992.0).contains(&value) {
            return self.visit_i64(value as i64);
        }
        Err(E::invalid_value(Unexpected::Float(value), &self))
    }
}

impl ToSchema for Seed {}

impl PartialSchema for Seed {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new().schema_type(SchemaType::new(Type::Integer)).minimum(Some(-1)).into()
    }
}

/// A width or height of the enlarged picture. `None` stands for 0: the scale decides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct LargeSize(pub(crate) Option<u32>);

impl<'de> Deserialize<'de> for LargeSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let size = crate::field::Integer::<0, SIZE_MAX, SIZE_STEP>::deserialize(deserializer)?;
        match u32::from(size) {
            0 => Ok(Self(None)),
            size if size >= 64 => Ok(Self(Some(size))),
            size => Err(D::Error::invalid_value(Unexpected::Unsigned(size.into()), &"0 or at least 64")),
        }
    }
}

impl ToSchema for LargeSize {}

impl PartialSchema for LargeSize {
    fn schema() -> RefOr<Schema> {
        let object = ObjectBuilder::new().schema_type(SchemaType::new(Type::Integer));
        object.minimum(Some(0)).maximum(Some(SIZE_MAX as f64)).multiple_of(Some(SIZE_STEP as f64)).into()
    }
}

/// A field for an unsupported feature. Only null, false, 0 and empty values are accepted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Neutral;

impl<'de> Deserialize<'de> for Neutral {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Self)
    }
}

/// The message for all other values.
const NOT_DONE: &str = "not supported: leave the field out";

impl<'de> Visitor<'de> for Neutral {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("nothing: this is not supported")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Self, E> {
        if value { Err(E::custom(NOT_DONE)) } else { Ok(self) }
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Self, E> {
        self.visit_bool(value != 0)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Self, E> {
        // "None" is the first entry in the web UI's menu of scripts.
        self.visit_bool(!matches!(text, "" | "None"))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self, A::Error> {
        match items.next_element::<IgnoredAny>()? {
            None => Ok(self),
            Some(_) => Err(de::Error::custom(NOT_DONE)),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Self, A::Error> {
        match fields.next_key::<IgnoredAny>()? {
            None => Ok(self),
            Some(_) => Err(de::Error::custom(NOT_DONE)),
        }
    }
}

impl ToSchema for Neutral {}

impl PartialSchema for Neutral {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new().description(Some("Not supported: must be empty.")).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, from_value, json};

    #[test]
    fn minus_one_leaves_the_seed_to_the_service() {
        let seed = |value: Value| from_value::<Seed>(value).map(|seed| seed.0).map_err(|error| error.to_string());
        assert_eq!(seed(json!(-1)), Ok(None));
        assert_eq!(seed(json!(-1.0)), Ok(None));
        assert_eq!(seed(json!(u64::MAX)), Ok(Some(u64::MAX)));
        assert_eq!(seed(json!(7.0)), Ok(Some(7)));
        for wrong in [json!(-2), json!(0.5), json!("7"), json!(1e300)] {
            assert!(seed(wrong.clone()).unwrap_err().contains("an integer from -1"), "{wrong}");
        }
    }

    #[test]
    fn unsupported_fields_accept_only_neutral_values() {
        let is_neutral = |value: &Value| from_value::<Neutral>(value.clone()).is_ok();
        for value in [json!(null), json!(false), json!(0), json!(""), json!("None"), json!([]), json!({})] {
            assert!(is_neutral(&value), "{value}");
        }
        for value in [json!(true), json!(1), json!("x"), json!([0]), json!({"a": {}}), json!(0.5), json!(-1)] {
            assert!(!is_neutral(&value), "{value}");
        }
    }

    #[test]
    fn a_size_of_0_is_none() {
        assert_eq!(from_value::<LargeSize>(json!(0)).unwrap(), LargeSize(None));
        assert_eq!(from_value::<LargeSize>(json!(1024)).unwrap(), LargeSize(Some(1024)));
        assert!(from_value::<LargeSize>(json!(8)).is_err() && from_value::<LargeSize>(json!(70)).is_err());
    }
}
