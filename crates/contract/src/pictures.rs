//! Pictures in base64 inside a text, written while they are read.
//!
//! JSON and events contain whole pictures. An answer with a hundred of them holds only one piece of one picture in
//! memory, however large they are and however slowly the client reads.

use crate::Error;
use crate::service::{ByteStream, Image, Result, Service};
use axum::body::Bytes;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::StreamExt;
use futures_util::stream::{self, Stream};
use serde::Serialize;
use std::sync::Arc;
use std::vec;

/// A text that contains one picture.
pub(crate) struct Framed {
    before: String,
    picture: Image,
    after: String,
}

impl Framed {
    /// A JSON string.
    pub(crate) fn string(picture: Image) -> Self {
        Self { before: "\"".into(), picture, after: "\"".into() }
    }

    /// The JSON of a value with the picture in a field. The value must have only one field of this name, and it must be
    /// empty. Quotation marks inside other strings are escaped, so the field is found reliably.
    pub(crate) fn json(value: &impl Serialize, field: &str, picture: Image) -> Result<Self> {
        let text = serde_json::to_string(value).map_err(Error::internal)?;
        let place = format!("\"{field}\":\"\"");
        let (before, after) = text.split_once(&place).ok_or_else(|| Error::internal("no place for the picture"))?;
        let before = format!("{before}{}", &place[..place.len() - 1]);
        Ok(Self { before, picture, after: format!("\"{after}") })
    }

    /// Adds text before and after.
    pub(crate) fn between(self, before: &str, after: &str) -> Self {
        Self { before: format!("{before}{}", self.before), after: format!("{}{after}", self.after), ..self }
    }

    /// The text in pieces. Fails if the picture cannot be opened.
    pub(crate) async fn open(self, service: &dyn Service) -> Result<impl Stream<Item = Result<Bytes>> + Send + use<>> {
        let written = Writing::open(self, service, String::new()).await?;
        Ok(stream::unfold(written, async |mut written| Some((written.next().await?, written))))
    }
}

/// Texts with pictures between `head` and `tail`, separated by commas.
pub(crate) struct List {
    pub(crate) head: String,
    pub(crate) items: Vec<Framed>,
    pub(crate) tail: String,
    /// Whether to leave out pictures that cannot be opened because they are damaged or were deleted in the meantime.
    /// Otherwise the answer breaks off.
    pub(crate) skips: bool,
}

impl List {
    /// The list in pieces. Without `skips`, fails if the first picture cannot be opened.
    pub(crate) async fn open(self, service: Arc<dyn Service>) -> Result<impl Stream<Item = Result<Bytes>> + Send> {
        let mut items = self.items.into_iter();
        let mut state = Listing {
            service,
            written: None,
            text: self.head,
            is_first: true,
            skips: self.skips,
            tail: Some(self.tail),
            items: Vec::new().into_iter(),
        };
        if !state.skips
            && let Some(first) = items.next()
        {
            state.begin(first).await?;
        }
        state.items = items;
        Ok(stream::unfold(state, async |mut state| Some((state.next().await?, state))))
    }
}

/// A partly written list.
struct Listing {
    service: Arc<dyn Service>,
    /// The item in progress.
    written: Option<Writing>,
    /// The text before the next item.
    text: String,
    is_first: bool,
    skips: bool,
    items: vec::IntoIter<Framed>,
    /// `None` once the list has ended.
    tail: Option<String>,
}

impl Listing {
    /// Opens an item.
    async fn begin(&mut self, item: Framed) -> Result<()> {
        let separator = if self.is_first { "" } else { "," };
        let text = format!("{}{separator}", self.text);
        self.written = Some(Writing::open(item, &*self.service, text).await?);
        self.text.clear();
        self.is_first = false;
        Ok(())
    }

    async fn next(&mut self) -> Option<Result<Bytes>> {
        loop {
            if let Some(written) = &mut self.written {
                match written.next().await {
                    Some(Ok(piece)) => return Some(Ok(piece)),
                    Some(Err(error)) => return Some(Err(self.fail(error))),
                    None => self.written = None,
                }
            }
            let Some(item) = self.items.next() else {
                return self.tail.take().map(|tail| Ok(format!("{}{tail}", self.text).into()));
            };
            match self.begin(item).await {
                Err(error) if !self.skips => return Some(Err(self.fail(error))),
                _ => {}
            }
        }
    }

    /// Ends the list after an error.
    fn fail(&mut self, error: Error) -> Error {
        self.written = None;
        self.items = Vec::new().into_iter();
        self.tail = None;
        error
    }
}

/// A partly written text with a picture.
struct Writing {
    pieces: ByteStream,
    /// The text before the next piece.
    text: String,
    /// Bytes that do not yet fill a group of three.
    rest: Vec<u8>,
    /// How many bytes of the picture are still to come.
    missing: u64,
    /// The text after the picture; `None` once it is written.
    after: Option<String>,
}

impl Writing {
    async fn open(framed: Framed, service: &dyn Service, text: String) -> Result<Self> {
        let Framed { before, picture, after } = framed;
        let pieces = service.read_image(picture.id, 0..picture.size).await?;
        Ok(Self { pieces, text: text + &before, rest: Vec::new(), missing: picture.size, after: Some(after) })
    }

    async fn next(&mut self) -> Option<Result<Bytes>> {
        self.after.as_ref()?;
        while let Some(piece) = self.pieces.next().await {
            let piece = match piece {
                Ok(piece) => piece,
                Err(error) => return self.fail(error),
            };
            self.missing = self.missing.saturating_sub(piece.len() as u64);
            let mut text = std::mem::take(&mut self.text);
            self.encode(&piece, &mut text);
            if !text.is_empty() {
                return Some(Ok(text.into()));
            }
        }
        if self.missing > 0 {
            return self.fail(Error::internal("a picture is shorter than its record says"));
        }
        let after = self.after.take()?;
        let mut text = std::mem::take(&mut self.text);
        STANDARD.encode_string(&self.rest, &mut text);
        Some(Ok((text + &after).into()))
    }

    /// Encodes whole groups of three bytes, and keeps the rest.
    fn encode(&mut self, mut piece: &[u8], text: &mut String) {
        if !self.rest.is_empty() {
            let (filling, others) = piece.split_at(piece.len().min(3 - self.rest.len()));
            self.rest.extend_from_slice(filling);
            piece = others;
            if self.rest.len() < 3 {
                return;
            }
            STANDARD.encode_string(&self.rest, text);
            self.rest.clear();
        }
        let (whole, rest) = piece.split_at(piece.len() / 3 * 3);
        STANDARD.encode_string(whole, text);
        self.rest.extend_from_slice(rest);
    }

    fn fail(&mut self, error: Error) -> Option<Result<Bytes>> {
        self.after = None;
        Some(Err(error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::SystemTime;

    fn writing(pieces: Vec<Vec<u8>>, size: u64) -> Writing {
        let pieces = stream::iter(pieces.into_iter().map(|piece| Ok(piece.into()))).boxed();
        Writing { pieces, text: "[".into(), rest: Vec::new(), missing: size, after: Some("]".into()) }
    }

    async fn written(mut writing: Writing) -> Result<String> {
        let mut text = String::new();
        while let Some(piece) = writing.next().await {
            text += std::str::from_utf8(&piece?).unwrap();
        }
        Ok(text)
    }

    #[test]
    fn pieces_of_any_length_make_one_base64() {
        let bytes: Vec<u8> = (0..=255).collect();
        for length in [0, 1, 2, 3, 4, 100, 256] {
            let bytes = &bytes[..length];
            for piece in [1, 2, 3, 7, 64] {
                let pieces = bytes.chunks(piece).map(<[u8]>::to_vec).collect();
                let text = futures_util::FutureExt::now_or_never(written(writing(pieces, length as u64))).unwrap();
                assert_eq!(text, Ok(format!("[{}]", STANDARD.encode(bytes))));
            }
        }
    }

    #[test]
    fn f13_a_picture_that_ends_early_breaks_the_answer_off() {
        let text = futures_util::FutureExt::now_or_never(written(writing(vec![vec![1, 2, 3]], 4))).unwrap();
        assert!(text.unwrap_err().to_string().contains("shorter"));
    }

    #[test]
    fn the_place_of_a_picture_is_found_whatever_other_fields_contain() {
        #[derive(Serialize)]
        struct Entry {
            prompt: &'static str,
            image_url: &'static str,
            created_at: u8,
        }
        let picture = Image {
            id: 1,
            task_id: String::new(),
            prompt: String::new(),
            seed: 0,
            created_at: SystemTime::UNIX_EPOCH,
            size: 0,
            digest: String::new(),
            media_type: String::new(),
        };
        let entry = Entry { prompt: "\"image_url\":\"\"", image_url: "", created_at: 7 };
        let framed = Framed::json(&entry, "image_url", picture).unwrap();
        let whole = format!("{}AQID{}", framed.before, framed.after);
        let value: serde_json::Value = serde_json::from_str(&whole).unwrap();
        assert_eq!(value["prompt"], entry.prompt);
        assert_eq!((&value["image_url"], &value["created_at"]), (&"AQID".into(), &7.into()));
    }
}
