//! Bodies of the type `multipart/form-data` (RFC 7578, RFC 2046), read whole: each part is a slice of the body.

use crate::Error;
use crate::error::Place;
use crate::extract::{Body, is_json};
use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, header};

/// The most parts of a body: sixteen pictures and all fields.
const PARTS_MAX: usize = 64;

/// The longest head of a part in bytes.
const HEAD_MAX: usize = 8 << 10;

/// The accepted content types.
const ACCEPTED: &str = "multipart/form-data or application/json";

/// A form, or a JSON body that has not been parsed.
pub(crate) enum FormOrJson {
    Form(Vec<Part>),
    Json(Body),
}

impl<S: Send + Sync> FromRequest<S> for FormOrJson {
    type Rejection = Error;

    async fn from_request(request: Request, state: &S) -> Result<Self, Error> {
        let boundary = boundary(request.headers());
        let is_json = is_json(request.headers());
        if boundary.is_none() && !is_json {
            return Err(Error::UnsupportedMediaType { accepted: ACCEPTED });
        }
        let body = Body::read(request, state).await?;
        match boundary {
            Some(boundary) => parts(&body.bytes, &boundary).map(Self::Form),
            None => Ok(Self::Json(body)),
        }
    }
}

/// One part of a form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    /// The field's name.
    pub(crate) name: String,
    /// Its value: text or a file.
    pub(crate) value: Bytes,
}

/// The boundary in the content type. `None` for other content types.
pub(crate) fn boundary(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    let (essence, parameters) = value.split_once(';')?;
    if !essence.trim().eq_ignore_ascii_case("multipart/form-data") {
        return None;
    }
    let boundary = parameter(parameters, "boundary")?;
    (1..=70).contains(&boundary.len()).then_some(boundary)
}

/// Every part of a body.
///
/// # Errors
/// [`Error::UnreadableBody`] if it is not a form with this boundary.
pub(crate) fn parts(body: &Bytes, boundary: &str) -> Result<Vec<Part>, Error> {
    let delimiter = format!("\r\n--{boundary}").into_bytes();
    // The first delimiter may be at the very start, without a line break before it.
    let opening = &delimiter[2..];
    let mut at = match body.starts_with(opening) {
        true => opening.len(),
        false => find(body, &delimiter, 0).ok_or_else(|| malformed("it has no boundary"))? + delimiter.len(),
    };
    let mut parts = Vec::new();
    loop {
        if body[at..].starts_with(b"--") {
            return Ok(parts);
        }
        if parts.len() == PARTS_MAX {
            return Err(malformed(&format!("it has more than {PARTS_MAX} parts")));
        }
        let start = find(body, b"\r\n", at).ok_or_else(|| malformed("it ends early"))?;
        let end = find(body, &delimiter, start).ok_or_else(|| malformed("it ends early"))?;
        parts.push(part(body, start..end)?);
        at = end + delimiter.len();
    }
}

/// The part between two delimiters: a line break, its head, an empty line, its value.
fn part(body: &Bytes, range: std::ops::Range<usize>) -> Result<Part, Error> {
    let text = body.slice(range);
    let head_end = match text.starts_with(b"\r\n\r\n") {
        true => 0,
        false => find(&text, b"\r\n\r\n", 0).ok_or_else(|| malformed("a part has no head"))?,
    };
    if head_end > HEAD_MAX {
        return Err(malformed("the head of a part is too long"));
    }
    let head = String::from_utf8_lossy(&text[..head_end]).into_owned();
    let disposition = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.trim().eq_ignore_ascii_case("content-disposition").then_some(value)
    });
    let name = disposition.and_then(|value| parameter(value, "name"));
    let name = name.ok_or_else(|| malformed("a part has no name"))?;
    Ok(Part { name, value: text.slice(head_end + 4..) })
}

/// A parameter of a header: `name=value` or `name="value"` after a semicolon.
fn parameter(text: &str, wanted: &str) -> Option<String> {
    let mut rest = text;
    while !rest.is_empty() {
        let (name, after) = rest.split_once('=')?;
        let name = name.rsplit(';').next().unwrap_or_default().trim();
        let (value, after) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"')?,
            None => after.split_once(';').unwrap_or((after, "")),
        };
        if name.eq_ignore_ascii_case(wanted) {
            return Some(value.trim_end().to_owned());
        }
        rest = after;
    }
    None
}

/// The position of `wanted` in `text`, searched from `from`.
fn find(text: &[u8], wanted: &[u8], from: usize) -> Option<usize> {
    // Delimiters begin with a carriage return, which is rare even in pictures.
    let first = *wanted.first()?;
    let mut at = from;
    loop {
        at += text.get(at..)?.iter().position(|byte| *byte == first)?;
        if text[at..].starts_with(wanted) {
            return Some(at);
        }
        at += 1;
    }
}

fn malformed(reason: &str) -> Error {
    Error::UnreadableBody { message: format!("not multipart/form-data: {reason}") }
}

impl Part {
    /// The value as text.
    ///
    /// # Errors
    /// [`Error::InvalidField`] if it is not UTF-8.
    pub(crate) fn text(&self) -> Result<String, Error> {
        let text = std::str::from_utf8(&self.value).map(str::to_owned);
        text.map_err(|_| Error::InvalidField {
            place: Place::Body,
            field: self.name.clone(),
            message: "must be text in UTF-8".to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn read(body: &str) -> Result<Vec<(String, String)>, String> {
        let parts = parts(&Bytes::copy_from_slice(body.as_bytes()), "xy").map_err(|error| error.to_string())?;
        Ok(parts.into_iter().map(|part| (part.name.clone(), part.text().unwrap())).collect())
    }

    #[test]
    fn parts_are_read_as_clients_write_them() {
        let body = "--xy\r\nContent-Disposition: form-data; name=\"prompt\"\r\n\r\na cat\r\n--xy\r\n\
                    content-type: image/png\r\ncontent-disposition: form-data; filename=\"a; name=b.png\"; name=image[]\r\n\r\n\
                    \r\n--x\r\n\r\n--xy--\r\n";
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(read(body), Ok(vec![pair("prompt", "a cat"), pair("image[]", "\r\n--x\r\n")]));
        assert_eq!(read(&format!("preamble\r\n{body}")).map(|parts| parts.len()), Ok(2));
        assert_eq!(read("--xy--"), Ok(Vec::new()));
    }

    #[test]
    fn malformed_forms_are_refused() {
        let refused = |body: &str| read(body).unwrap_err();
        assert!(refused("").ends_with("not multipart/form-data: it has no boundary"));
        assert!(refused("--xy\r\nContent-Disposition: form-data; name=a\r\n\r\nb").ends_with("it ends early"));
        assert!(refused("--xy").ends_with("it ends early"));
        assert!(refused("--xy\r\n\r\nb\r\n--xy--").ends_with("a part has no name"));
        assert!(refused("--xy\r\nb\r\n--xy--").ends_with("a part has no head"));
        let many = "--xy\r\nContent-Disposition: form-data; name=a\r\n\r\n\r\n".repeat(65);
        assert!(refused(&format!("{many}--xy--")).ends_with("more than 64 parts"));
    }

    #[test]
    fn the_boundary_comes_from_the_content_type() {
        let of = |value: &'static str| {
            boundary(&HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static(value))]))
        };
        assert_eq!(of("multipart/form-data; boundary=xy"), Some("xy".into()));
        assert_eq!(of("Multipart/Form-Data; charset=utf-8; boundary=\"x y\""), Some("x y".into()));
        assert_eq!(of("multipart/mixed; boundary=xy"), None);
        assert_eq!(of("multipart/form-data"), None);
        assert_eq!(of("multipart/form-data; boundary="), None);
    }
}
