//! The special tokens around a prompt, from the post-processor of a `tokenizer.json`.

use serde_json::Value;

/// The tokens around a prompt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Around {
    pub(super) start: Option<u32>,
    pub(super) end: Option<u32>,
}

/// The tokens that the post-processor puts around a prompt: at most one before it and one after it.
pub(super) fn read(value: &Value) -> Result<Around, String> {
    match value.get("type").and_then(Value::as_str) {
        None | Some("ByteLevel") => Ok(Around::default()),
        Some("BertProcessing" | "RobertaProcessing") => {
            let id = |field: &str| {
                let id = value.get(field).and_then(|pair| u32::try_from(pair.get(1)?.as_u64()?).ok());
                id.map(Some).ok_or_else(|| format!("expected a token and its id as {field}"))
            };
            Ok(Around { start: id("cls")?, end: id("sep")? })
        }
        Some("TemplateProcessing") => template(value),
        Some("Sequence") => {
            let steps = value.get("processors").and_then(Value::as_array).ok_or("expected a list of processors")?;
            let mut all = Around::default();
            for step in steps {
                let around = read(step)?;
                all = Around { start: all.start.or(around.start), end: all.end.or(around.end) };
            }
            Ok(all)
        }
        Some(other) => Err(format!("type {other} is not supported")),
    }
}

/// The template for a single text, a list of pieces: special tokens and the text.
fn template(value: &Value) -> Result<Around, String> {
    let pieces = value.get("single").and_then(Value::as_array).ok_or("expected a template for a single text")?;
    let mut around = Around::default();
    let mut text_seen = false;
    for piece in pieces {
        let Some(token) = piece.get("SpecialToken") else {
            text_seen = true;
            continue;
        };
        let name = token.get("id").and_then(Value::as_str).ok_or("expected special tokens with an id")?;
        let ids = value.get("special_tokens").and_then(|tokens| tokens.get(name)?.get("ids")?.as_array());
        let id = match ids.map(Vec::as_slice) {
            Some([id]) => id.as_u64().and_then(|id| u32::try_from(id).ok()),
            _ => None,
        };
        let place = if text_seen { &mut around.end } else { &mut around.start };
        if place.is_some() {
            return Err("expected at most one token before and after the text".into());
        }
        *place = Some(id.ok_or_else(|| format!("expected one id for the special token {name:?}"))?);
    }
    Ok(around)
}
