//! Field types with limits. Deserialising checks them, and OpenAPI shows them.

use crate::limits;
use crate::service::Status;
use serde::de::{Deserializer, Error as _, Unexpected, Visitor};
use serde::{Deserialize, Serialize, Serializer};
use std::fmt;
use std::ops::Deref;
use utoipa::openapi::schema::{ObjectBuilder, Schema, SchemaType, Type};
use utoipa::openapi::{RefOr, SchemaFormat};
use utoipa::{PartialSchema, ToSchema};

/// A multiple of `STEP` from `MIN` to `MAX`. Query strings have it as text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Integer<const MIN: u64, const MAX: u64, const STEP: u64 = 1>(u64);

/// A width or height in pixels.
pub type Size = Integer<{ limits::SIZE_MIN }, { limits::SIZE_MAX }, { limits::SIZE_STEP }>;
/// A number of denoising steps.
pub type Steps = Integer<1, { limits::STEPS_MAX }>;
/// A seed: every 64-bit number.
pub type Seed = Integer<0, { u64::MAX }>;

impl<const MIN: u64, const MAX: u64, const STEP: u64> Integer<MIN, MAX, STEP> {
    /// The number.
    pub fn get(self) -> u64 {
        self.0
    }
}

impl<const MIN: u64, const MAX: u64, const STEP: u64> From<Integer<MIN, MAX, STEP>> for u32 {
    /// The number. Every integer field except the seed fits into a `u32`.
    fn from(integer: Integer<MIN, MAX, STEP>) -> u32 {
        u32::try_from(integer.0).unwrap_or(u32::MAX)
    }
}

impl<const MIN: u64, const MAX: u64, const STEP: u64> Visitor<'_> for Integer<MIN, MAX, STEP> {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match STEP {
            1 => write!(f, "an integer from {MIN} to {MAX}"),
            _ => write!(f, "a multiple of {STEP} from {MIN} to {MAX}"),
        }
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Self, E> {
        if (MIN..=MAX).contains(&value) && value.is_multiple_of(STEP) {
            return Ok(Self(value));
        }
        Err(E::invalid_value(Unexpected::Unsigned(value), &self))
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<Self, E> {
        match u64::try_from(value) {
            Ok(value) => self.visit_u64(value),
            Err(_) => Err(E::invalid_value(Unexpected::Signed(value), &self)),
        }
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Self, E> {
        // JavaScript and Python may write a whole number as 512.0. Above 2^53 not every integer is a float.
        if value.fract() == 0.0 && (0.0..=9_007_199_254_740_992.0).contains(&value) {
            return self.visit_u64(value as u64);
        }
        Err(E::invalid_value(Unexpected::Float(value), &self))
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<Self, E> {
        match value.parse() {
            Ok(value) => self.visit_u64(value),
            Err(_) => Err(E::invalid_value(Unexpected::Str(value), &self)),
        }
    }
}

impl<'de, const MIN: u64, const MAX: u64, const STEP: u64> Deserialize<'de> for Integer<MIN, MAX, STEP> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Self(0))
    }
}

impl<const MIN: u64, const MAX: u64, const STEP: u64> ToSchema for Integer<MIN, MAX, STEP> {}

impl<const MIN: u64, const MAX: u64, const STEP: u64> PartialSchema for Integer<MIN, MAX, STEP> {
    fn schema() -> RefOr<Schema> {
        let object = ObjectBuilder::new().schema_type(SchemaType::new(Type::Integer)).minimum(Some(MIN as f64));
        let object = match MAX {
            u64::MAX => object.format(Some(SchemaFormat::Custom("uint64".into()))).maximum(Some(LARGEST)),
            _ => object.maximum(Some(MAX as f64)),
        };
        object.multiple_of((STEP > 1).then_some(STEP as f64)).into()
    }
}

/// The largest 64-bit number. In a component, where the library has only `f64`, the largest float below it.
#[cfg(target_pointer_width = "64")]
const LARGEST: usize = usize::MAX;
#[cfg(not(target_pointer_width = "64"))]
const LARGEST: f64 = 18_446_744_073_709_549_568.0;

/// A number from `MIN` to `MAX`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Real<const MIN: i32, const MAX: i32>(f64);

/// How strongly to follow the prompt.
pub type GuidanceScale = Real<0, { limits::GUIDANCE_MAX }>;
/// How much of the initial picture to change.
pub type Strength = Real<0, 1>;

impl<const MIN: i32, const MAX: i32> Real<MIN, MAX> {
    /// The number.
    pub fn get(self) -> f64 {
        self.0
    }
}

impl<const MIN: i32, const MAX: i32> Visitor<'_> for Real<MIN, MAX> {
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
}

impl<'de, const MIN: i32, const MAX: i32> Deserialize<'de> for Real<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Self(0.0))
    }
}

impl<const MIN: i32, const MAX: i32> ToSchema for Real<MIN, MAX> {}

impl<const MIN: i32, const MAX: i32> PartialSchema for Real<MIN, MAX> {
    fn schema() -> RefOr<Schema> {
        let object = ObjectBuilder::new().schema_type(SchemaType::new(Type::Number));
        object.minimum(Some(f64::from(MIN))).maximum(Some(f64::from(MAX))).into()
    }
}

/// A boolean. Some clients send it as 0 or 1, and forms as text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flag(bool);

impl Flag {
    /// The boolean.
    pub fn get(self) -> bool {
        self.0
    }
}

impl<'de> Deserialize<'de> for Flag {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Self(false))
    }
}

impl Visitor<'_> for Flag {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("true or false")
    }

    fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<Self, E> {
        Ok(Self(value))
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Self, E> {
        match value {
            0 | 1 => Ok(Self(value == 1)),
            _ => Err(E::invalid_value(Unexpected::Unsigned(value), &self)),
        }
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<Self, E> {
        match value {
            "true" | "True" => Ok(Self(true)),
            "false" | "False" => Ok(Self(false)),
            _ => Err(E::invalid_value(Unexpected::Str(value), &self)),
        }
    }
}

impl ToSchema for Flag {}

impl PartialSchema for Flag {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new().schema_type(SchemaType::new(Type::Boolean)).into()
    }
}

/// A text with `MIN` to `MAX` characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text<const MIN: usize, const MAX: usize>(String);

/// What to draw.
pub type Prompt = Text<1, { limits::PROMPT_MAX }>;
/// What not to draw.
pub type NegativePrompt = Text<0, { limits::PROMPT_MAX }>;
/// The name of a model, a scheduler or a task.
pub type Name = Text<1, { limits::NAME_MAX }>;

impl<const MIN: usize, const MAX: usize> Text<MIN, MAX> {
    /// The text.
    pub fn into_inner(self) -> String {
        self.0
    }
}

impl<const MIN: usize, const MAX: usize> Deref for Text<MIN, MAX> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl<'de, const MIN: usize, const MAX: usize> Deserialize<'de> for Text<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Self(String::new()))
    }
}

/// The length is checked before the text is copied.
impl<const MIN: usize, const MAX: usize> Visitor<'_> for Text<MIN, MAX> {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self, E> {
        let length = text.chars().count();
        if (MIN..=MAX).contains(&length) {
            return Ok(Self(text.to_owned()));
        }
        Err(E::custom(format_args!("{length} characters, expected {MIN} to {MAX}")))
    }
}

impl<const MIN: usize, const MAX: usize> ToSchema for Text<MIN, MAX> {}

impl<const MIN: usize, const MAX: usize> PartialSchema for Text<MIN, MAX> {
    fn schema() -> RefOr<Schema> {
        let object = ObjectBuilder::new().schema_type(SchemaType::new(Type::String));
        object.min_length((MIN > 0).then_some(MIN)).max_length(Some(MAX)).into()
    }
}

/// A task's status on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatusName(pub Status);

impl Serialize for StatusName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.name())
    }
}

impl<'de> Deserialize<'de> for StatusName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = <Text<0, { limits::NAME_MAX }>>::deserialize(deserializer)?.into_inner();
        let found = Status::ALL.into_iter().find(|(_, known)| *known == name);
        found.map(|(status, _)| Self(status)).ok_or_else(|| {
            let names = Status::ALL.map(|(_, name)| name).join(", ");
            D::Error::custom(format_args!("expected one of {names}, got {name:?}"))
        })
    }
}

impl ToSchema for StatusName {}

impl PartialSchema for StatusName {
    fn schema() -> RefOr<Schema> {
        let names = Status::ALL.map(|(_, name)| name);
        ObjectBuilder::new().schema_type(SchemaType::new(Type::String)).enum_values(Some(names)).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, from_value, json};

    #[test]
    fn a_flag_is_a_boolean_a_digit_or_a_word() {
        let flag = |value: Value| from_value::<Flag>(value).map(Flag::get).ok();
        for yes in [json!(true), json!(1), json!("true"), json!("True")] {
            assert_eq!(flag(yes.clone()), Some(true), "{yes}");
        }
        for no in [json!(false), json!(0), json!("false"), json!("False")] {
            assert_eq!(flag(no.clone()), Some(false), "{no}");
        }
        for neither in [json!(2), json!("maybe"), json!(null), json!(-1), json!([])] {
            assert_eq!(flag(neither.clone()), None, "{neither}");
        }
    }
}
