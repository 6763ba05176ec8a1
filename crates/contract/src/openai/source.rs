//! The pictures in the JSON of an edit: base64 or `data:` URLs, as strings or in objects with an `image_url`.

use super::draw::Wish;
use crate::wire::Base64;
use axum::body::Bytes;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, de};
use std::fmt;
use utoipa::ToSchema;

/// The most pictures in a request.
const MOST: usize = 16;

/// An edit.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the body that `edits` reads in two parts")]
#[schema(as = OpenAiEditRequest)]
pub(crate) struct Upload {
    #[serde(flatten)]
    wish: Wish,
    /// The picture: a PNG, JPEG or WebP.
    #[schema(value_type = String, format = Binary)]
    image: Bytes,
    /// The mask, in the picture's size. Transparent areas are redrawn.
    #[schema(value_type = Option<String>, format = Binary)]
    mask: Option<Bytes>,
}

/// The pictures of a request.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Sources {
    pub(super) images: Vec<Bytes>,
    pub(super) mask: Option<Bytes>,
}

/// The fields of the JSON body.
#[derive(Deserialize)]
struct Fields {
    image: Option<Pictures>,
    images: Option<Pictures>,
    mask: Option<Pictures>,
}

impl<'de> Deserialize<'de> for Sources {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Fields { image, images, mask } = Fields::deserialize(deserializer)?;
        let images = [image, images].into_iter().flatten().flat_map(|pictures| pictures.0).collect();
        Ok(Self { images, mask: mask.and_then(|mask| mask.0.into_iter().next()) })
    }
}

/// One or more pictures.
#[derive(Debug, Default)]
struct Pictures(Vec<Bytes>);

impl<'de> Deserialize<'de> for Pictures {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Depth(0).deserialize(deserializer)
    }
}

/// How deeply a picture is nested in objects and lists.
#[derive(Clone, Copy)]
struct Depth(u8);

impl<'de> DeserializeSeed<'de> for Depth {
    type Value = Pictures;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Pictures, D::Error> {
        if self.0 > 3 {
            return Err(de::Error::custom("nested too deeply, expected a picture in base64"));
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Depth {
    type Value = Pictures;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a picture in base64 or as a data: URL")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Pictures, E> {
        if text.starts_with("http://") || text.starts_with("https://") {
            return Err(E::custom("pictures are not fetched from other servers, expected base64 or a data: URL"));
        }
        let Base64(bytes) = Base64(Bytes::new()).visit_str(text)?;
        Ok(Pictures(vec![bytes]))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Pictures, A::Error> {
        let mut all = Pictures::default();
        while let Some(Pictures(some)) = items.next_element_seed(Depth(self.0 + 1))? {
            all.0.extend(some);
            if all.0.len() > MOST {
                return Err(de::Error::custom(format_args!("more than {MOST} pictures")));
            }
        }
        Ok(all)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Pictures, A::Error> {
        let mut found = None;
        while let Some(name) = fields.next_key::<String>()? {
            match name.as_str() {
                "image_url" | "url" | "b64_json" => found = Some(fields.next_value_seed(Depth(self.0 + 1))?),
                _ => drop(fields.next_value::<IgnoredAny>()?),
            }
        }
        found.ok_or_else(|| de::Error::custom("expected an object with image_url"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::extract::parse;

    fn read(body: &str) -> Result<Sources, String> {
        parse(body.as_bytes()).map_err(|error| error.to_string())
    }

    #[test]
    fn pictures_come_in_every_shape_that_clients_send() {
        let one = |mask: Option<&'static [u8]>| Sources {
            images: vec![Bytes::from_static(&[1, 2, 3])],
            mask: mask.map(Bytes::from_static),
        };
        for body in [
            r#"{"image":"AQID","prompt":7}"#,
            r#"{"image":["data:image/png;base64,AQID"]}"#,
            r#"{"images":[{"image_url":"data:image/png;base64,AQID"}]}"#,
            r#"{"images":[{"type":"image_url","image_url":{"url":"AQID","detail":{"a":[]}}}]}"#,
        ] {
            assert_eq!(read(body), Ok(one(None)), "{body}");
        }
        assert_eq!(read(r#"{"image":"AQID","mask":{"image_url":"AQ=="}}"#), Ok(one(Some(&[1]))));
        assert_eq!(read("{}"), Ok(Sources::default()));
        assert_eq!(read(r#"{"image":null}"#), Ok(Sources::default()));
    }

    #[test]
    fn invalid_pictures_are_refused_and_named() {
        let refused = |body: &str| read(body).unwrap_err();
        assert_eq!(refused(r#"{"image":"!"}"#), "image: must be base64");
        assert_eq!(
            refused(r#"{"images":["AQID",7]}"#),
            "images[1]: invalid type: integer `7`, expected a picture in base64 or as a data: URL"
        );
        assert!(
            refused(r#"{"images":[{"image_url":"https://example.org/a.png"}]}"#)
                .contains("not fetched from other servers")
        );
        assert!(refused(r#"{"images":[{"file_id":"a"}]}"#).ends_with("expected an object with image_url"));
        assert!(refused(&format!(r#"{{"images":{}{}}}"#, "[".repeat(99), "]".repeat(99))).contains("too deep"));
        assert!(refused(&format!(r#"{{"images":["AQID"{}]}}"#, r#","AQID""#.repeat(16))).contains("more than 16"));
    }
}
