//! The tools that agents call through the Model Context Protocol (<https://modelcontextprotocol.io>): their purpose, their
//! arguments, and the service's requests for them. The protocol itself is the host's.

mod analyze;
mod source;

pub use analyze::Look;
pub use source::whole;

use analyze::Analyze;
use source::Source;

use crate::error::Place;
use crate::extract;
use crate::field::{GuidanceScale, Integer, Name, NegativePrompt, Prompt, Seed, Size, Steps, Strength, Text};
use crate::openai::OutputFormat;
use crate::service::{ImageRequest, InitImage, Mask, Paste, Redraw, Result, Service};
use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::{PartialSchema, ToSchema};

/// The default strength of an edit.
const STRENGTH: f64 = 0.75;

/// The longest address or picture in base64. Bodies have a lower limit.
const SOURCE_MAX: usize = 64 << 20;

/// A tool in the list of tools.
#[derive(Clone, Debug, PartialEq)]
pub struct Tool {
    /// The name in calls.
    pub name: &'static str,
    /// The name for people.
    pub title: &'static str,
    /// Its purpose, for language models.
    pub description: &'static str,
    /// The JSON Schema of its arguments.
    pub arguments: Map<String, Value>,
    /// Whether it only reads.
    pub only_reads: bool,
}

/// A call of a tool.
#[derive(Clone, Debug, PartialEq)]
pub enum Call {
    /// Draw pictures.
    Draw(Box<ImageRequest>),
    /// Draw pictures from another one.
    Edit(Box<Edit>),
    /// Say what is in a picture, and where.
    Analyze(Box<Look>),
    /// List the models.
    ListModels,
}

/// A call of `edit_image`.
#[derive(Clone, Debug, PartialEq)]
pub struct Edit {
    request: ImageRequest,
    image: Source,
    mask: Option<Source>,
    strength: f64,
}

/// The arguments of `generate_image`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Generate {
    /// What to draw, in a few words or sentences.
    #[schema(inline)]
    prompt: Prompt,
    /// What not to draw.
    #[schema(inline)]
    negative_prompt: Option<NegativePrompt>,
    /// A name from list_models. Default: the first of them.
    #[schema(inline)]
    model: Option<Name>,
    /// In pixels. Default: the model's own.
    #[schema(inline)]
    width: Option<Size>,
    /// In pixels. Default: the model's own.
    #[schema(inline)]
    height: Option<Size>,
    /// Denoising steps. Default: the model's own number.
    #[schema(inline)]
    steps: Option<Steps>,
    /// How strongly to follow the prompt. Default: the model's own.
    #[schema(inline)]
    guidance_scale: Option<GuidanceScale>,
    /// The same seed draws the same picture. Default: a new one. Further pictures have the next seeds.
    #[schema(inline)]
    seed: Option<Seed>,
    /// The sampler, such as dpm++2m-karras. Default: the model's own.
    #[schema(inline)]
    scheduler: Option<Name>,
    /// How many pictures. Default: 1.
    #[schema(inline)]
    count: Option<Integer<1, 4>>,
    /// The kind of file. Default: png.
    #[schema(inline)]
    format: Option<OutputFormat>,
}

/// The arguments that only `edit_image` has.
#[derive(Deserialize, ToSchema)]
struct EditOnly {
    /// The picture to start from: the uri of a picture that was drawn here, a data: URL, or base64 of a PNG, JPEG or WebP.
    #[schema(inline)]
    image: Text<1, { SOURCE_MAX }>,
    /// A mask, given in the same ways: white areas are drawn anew, black ones stay. Default: everything is drawn anew.
    #[schema(inline)]
    mask: Option<Text<1, { SOURCE_MAX }>>,
    /// How much of the picture to change. Default: 0.75.
    #[schema(inline)]
    strength: Option<Strength>,
}

/// The names of these arguments.
const EDIT_ONLY: [&str; 3] = ["image", "mask", "strength"];

/// No arguments.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Nothing {}

/// Every tool of a host; `sees` says whether it has a model that looks at pictures.
pub fn all(sees: bool) -> Vec<Tool> {
    let mut tools = drawing().to_vec();
    if sees {
        tools.push(Tool {
            name: "analyze_image",
            title: "Analyse an image",
            description: "Says which of some texts a picture shows, and cuts regions out of it. The answer has the \
                          probability of each text, a small preview with the regions in colour, and a mask of each, \
                          which edit_image accepts.",
            arguments: schema::<Analyze>(),
            only_reads: true,
        });
    }
    tools
}

/// The tools of every host.
fn drawing() -> [Tool; 3] {
    [
        Tool {
            name: "generate_image",
            title: "Generate an image",
            description: "Draws pictures from a text. The answer has a small preview of each and a link to the full \
                          picture.",
            arguments: schema::<Generate>(),
            only_reads: false,
        },
        Tool {
            name: "edit_image",
            title: "Edit an image",
            description: "Draws pictures from another picture and a text, as a whole or where a mask is white. The answer is \
                          like that of generate_image.",
            arguments: edit_schema(),
            only_reads: false,
        },
        Tool {
            name: "list_models",
            title: "List the models",
            description: "Lists the models that generate_image and edit_image may name, with their usual size and steps. The \
                          first one is the default.",
            arguments: schema::<Nothing>(),
            only_reads: true,
        },
    ]
}

/// The JSON Schema of a type without references.
fn schema<T: PartialSchema>() -> Map<String, Value> {
    let schema = serde_json::to_value(T::schema()).unwrap_or_default();
    let Value::Object(mut schema) = schema else { return Map::new() };
    schema.entry("type").or_insert_with(|| "object".into());
    if let Some(Value::Object(properties)) = schema.get_mut("properties") {
        properties.values_mut().for_each(merge);
    }
    schema
}

/// Merges the two parts into which utoipa divides an argument with a description: what it may be, and an object with nothing
/// but the description. Nothing is both.
fn merge(property: &mut Value) {
    let Some(Value::Array(parts)) = property.get_mut("allOf").map(Value::take) else { return };
    let mut merged = Map::new();
    for part in parts {
        let Value::Object(part) = part else { continue };
        let is_description = part.contains_key("description") && part.len() == 2;
        merged.extend(part.into_iter().filter(|(key, _)| !is_description || key == "description"));
    }
    *property = Value::Object(merged);
}

/// The schema of `edit_image`: that of `generate_image` with more arguments.
fn edit_schema() -> Map<String, Value> {
    let mut edit = schema::<Generate>();
    let more = Value::Object(schema::<EditOnly>());
    for key in ["properties", "required"] {
        match (edit.get_mut(key), &more[key]) {
            (Some(Value::Object(all)), Value::Object(some)) => all.extend(some.clone()),
            (Some(Value::Array(all)), Value::Array(some)) => all.extend(some.clone()),
            _ => {}
        }
    }
    edit
}

/// Reads a call. `None` if there is no such tool.
///
/// # Errors
/// [`Error::InvalidField`] about an argument.
pub fn read(name: &str, mut arguments: Map<String, Value>) -> Result<Option<Call>> {
    Ok(Some(match name {
        "generate_image" => Call::Draw(Box::new(typed::<Generate>(arguments)?.into_request())),
        "edit_image" => {
            let own = EDIT_ONLY.iter().filter_map(|name| arguments.remove_entry(*name)).collect();
            let request = typed::<Generate>(arguments)?.into_request();
            let EditOnly { image, mask, strength } = typed(own)?;
            let image = Source::read("image", &image)?;
            let mask = mask.map(|mask| Source::read("mask", &mask)).transpose()?;
            let strength = strength.map_or(STRENGTH, Strength::get);
            Call::Edit(Box::new(Edit { request, image, mask, strength }))
        }
        "analyze_image" => Call::Analyze(Box::new(typed::<Analyze>(arguments)?.into_look()?)),
        "list_models" => {
            let Nothing {} = typed(arguments)?;
            Call::ListModels
        }
        _ => return Ok(None),
    }))
}

fn typed<T: serde::de::DeserializeOwned>(arguments: Map<String, Value>) -> Result<T> {
    extract::from_fields(arguments, Place::Body)
}

impl Generate {
    fn into_request(self) -> ImageRequest {
        ImageRequest {
            prompt: self.prompt.into_inner(),
            negative_prompt: self.negative_prompt.map(NegativePrompt::into_inner),
            width: self.width.map(u32::from),
            height: self.height.map(u32::from),
            steps: self.steps.map(u32::from),
            guidance_scale: self.guidance_scale.map(GuidanceScale::get),
            seed: self.seed.map(Seed::get),
            scheduler: self.scheduler.map(Name::into_inner),
            model: self.model.map(Name::into_inner),
            count: self.count.map_or(1, u32::from),
            encoding: Some(self.format.unwrap_or_default().encoding(None)),
            attended: true,
            ..ImageRequest::default()
        }
    }
}

impl Edit {
    /// The service's request with its pictures.
    ///
    /// # Errors
    /// [`Error::InvalidField`], [`Error::ImageNotFound`].
    pub async fn into_request(self, service: &dyn Service) -> Result<ImageRequest> {
        let bytes = self.image.bytes("image", service).await?;
        let mask = match self.mask {
            Some(mask) => {
                let bytes = mask.bytes("mask", service).await?;
                Some(Mask { bytes, redraw: Redraw::White, paste: Some(Paste::default()) })
            }
            None => None,
        };
        Ok(ImageRequest { init: Some(InitImage { bytes, strength: self.strength, mask }), ..self.request })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn call(name: &str, arguments: Value) -> Result<Option<Call>, String> {
        let Value::Object(arguments) = arguments else { panic!("arguments are an object") };
        read(name, arguments).map_err(|error| error.to_string())
    }

    /// The head of a PNG in base64.
    const PNG: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1Pe";

    #[test]
    fn the_tools_are_listed_with_their_arguments() {
        let names = |sees| all(sees).into_iter().map(|tool| tool.name).collect::<Vec<_>>();
        assert_eq!(names(false), ["generate_image", "edit_image", "list_models"]);
        assert_eq!(names(true), ["generate_image", "edit_image", "list_models", "analyze_image"]);
        let tools = all(true);
        for tool in &tools {
            assert_eq!(tool.arguments["type"], "object", "{}", tool.name);
            let text = Value::Object(tool.arguments.clone()).to_string();
            assert!(!text.contains("$ref") && !text.contains("allOf"), "{}: {text}", tool.name);
        }
        let [generate, edit, _, analyze] = &tools[..] else { panic!("four tools") };
        assert_eq!(analyze.arguments["required"], json!(["image", "texts"]));
        assert_eq!(generate.arguments["required"], json!(["prompt"]));
        assert_eq!(edit.arguments["required"], json!(["prompt", "image"]));
        let prompt = json!({
            "type": "string", "minLength": 1, "maxLength": 10_000,
            "description": "What to draw, in a few words or sentences.",
        });
        assert_eq!(generate.arguments["properties"]["prompt"], prompt);
        for tool in [edit, analyze] {
            assert_eq!(tool.arguments["properties"]["image"]["type"], "string");
        }
        let fields = |tool: &Tool| tool.arguments["properties"].as_object().unwrap().len();
        assert_eq!(fields(edit), fields(generate) + EDIT_ONLY.len());
        assert!(generate.arguments["properties"]["steps"].to_string().contains("\"maximum\":1000"));
    }

    #[test]
    fn calls_become_requests() {
        let Ok(Some(Call::Draw(request))) = call("generate_image", json!({ "prompt": "a cat", "seed": 5, "count": 2 }))
        else {
            panic!("a drawing")
        };
        assert_eq!(
            (request.prompt.as_str(), request.seed, request.count, request.attended),
            ("a cat", Some(5), 2, true)
        );
        let Ok(Some(Call::Edit(edit))) =
            call("edit_image", json!({ "prompt": "a cat", "image": PNG, "mask": "easel://images/7/0af1" }))
        else {
            panic!("an edit")
        };
        assert!(matches!(edit.image, Source::Bytes(_)) && matches!(edit.mask, Some(Source::Stored(_))));
        assert_eq!(call("list_models", json!({})), Ok(Some(Call::ListModels)));
        let regions = json!([[3, 4], [0, 0, 5, 6]]);
        let Ok(Some(Call::Analyze(look))) =
            call("analyze_image", json!({ "image": PNG, "texts": ["a cat"], "regions": regions }))
        else {
            panic!("an analysis")
        };
        assert_eq!(look.regions().len(), 2);
        assert_eq!(call("sing", json!({})), Ok(None));
    }

    #[test]
    fn wrong_arguments_are_named() {
        let refused = |name: &str, arguments: Value| call(name, arguments).unwrap_err();
        assert_eq!(refused("generate_image", json!({})), "prompt: required");
        assert!(refused("generate_image", json!({ "prompt": "a", "steps": 0 })).starts_with("steps: invalid value"));
        assert!(refused("generate_image", json!({ "prompt": "a", "count": 5 })).ends_with("an integer from 1 to 4"));
        assert!(refused("generate_image", json!({ "prompt": "a", "with": 64 })).starts_with("with: unknown field"));
        assert_eq!(refused("edit_image", json!({ "prompt": "a" })), "image: required");
        let refused_image = refused("edit_image", json!({ "prompt": "a", "image": "https://example.org/a.png" }));
        assert!(refused_image.starts_with("image: must be the uri of a picture"), "{refused_image}");
        assert_eq!(refused("analyze_image", json!({ "image": PNG })), "texts: required");
        let one = json!({ "image": PNG, "texts": ["a cat"], "regions": [[1]] });
        assert_eq!(refused("analyze_image", one), "regions[0]: 1 numbers, expected [x, y] or [x1, y1, x2, y2]");
        assert!(refused("list_models", json!({ "all": true })).starts_with("all: unknown field"));
    }
}
