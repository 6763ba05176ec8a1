//! Reads transcripts.

use anyhow::{Context, Result, bail};
use easel_contract::access::{Key, KeyRing};
use easel_contract::{Limits, Settings};

/// A conversation with one server.
#[derive(Clone, Debug)]
pub struct Transcript {
    /// The file's name.
    pub name: &'static str,
    /// The setup of its server.
    pub setup: Setup,
    pub(crate) steps: Vec<Step>,
}

/// The setup of a transcript's server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setup {
    /// The most waiting tasks.
    pub queue: usize,
    /// The longest body in bytes.
    pub body_limit: usize,
    /// The origins whose pages may send requests, as `easel_contract::Origins` reads them.
    pub origins: String,
    /// Its names, as `easel_contract::access::HostNames` reads them.
    pub host_names: String,
    /// Whether the transcript needs the request's host name, which not every host passes to a component.
    pub knows_its_name: bool,
    /// The valid keys: the key itself, and the models that it may use if not all.
    pub keys: Vec<(String, Option<Vec<String>>)>,
    /// Whether there is a CLIP.
    pub clip: bool,
    /// Whether there is a SAM.
    pub sam: bool,
    /// Whether the database is down.
    pub unhealthy: bool,
    /// Whether it is shutting down.
    pub stopping: bool,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            queue: 100,
            body_limit: 32 << 20,
            origins: "localhost".into(),
            host_names: String::new(),
            knows_its_name: false,
            keys: Vec::new(),
            clip: false,
            sam: false,
            unhealthy: false,
            stopping: false,
        }
    }
}

impl Setup {
    /// The settings of its interface.
    pub fn settings(&self) -> Settings {
        let key = |(key, models): &(String, _)| Key { models: Clone::clone(models), ..Key::new(key, key.as_bytes()) };
        let Ok(host_names) = self.host_names.parse();
        let Ok(origins) = self.origins.parse();
        let keys = (!self.keys.is_empty()).then(|| KeyRing::new(self.keys.iter().map(key).collect()));
        Settings { origins, host_names, keys, body_limit: self.body_limit, limits: Limits::default(), offload: None }
    }
}

/// One request and its answer.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) name: String,
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) without_content_type: bool,
    pub(crate) body: String,
    pub(crate) until: Option<String>,
    pub(crate) meanwhile: bool,
    pub(crate) status: u16,
    pub(crate) expected_headers: Vec<(String, Option<String>)>,
    pub(crate) expected_body: Option<String>,
}

/// All transcripts.
///
/// # Errors
/// If one of the files is malformed.
pub fn all() -> Result<Vec<Transcript>> {
    macro_rules! transcripts {
        ($($name:literal),*) => { [$(($name, include_str!(concat!("../transcripts/", $name, ".http")))),*] };
    }
    let files = transcripts!(
        "analysis",
        "analysis_invalid",
        "analysis_parts",
        "body_limit",
        "caikit",
        "caikit_cancelled",
        "caikit_invalid",
        "cancel",
        "cors",
        "devices",
        "failed",
        "foreign_pages",
        "host_names",
        "images",
        "imagine",
        "imagine_cancelled",
        "invalid",
        "keys",
        "libre_chat",
        "open_webui",
        "openai",
        "openai_cancelled",
        "openai_edits",
        "openai_invalid",
        "openai_stream",
        "pipeline",
        "queue_full",
        "request_ids",
        "service",
        "silly_tavern",
        "stopping",
        "stream",
        "tasks",
        "unhealthy",
        "webui",
        "webui_img2img",
        "webui_interrupted",
        "webui_invalid"
    );
    files.into_iter().map(|(name, text)| parse(name, text).with_context(|| format!("{name}.http"))).collect()
}

fn parse(name: &'static str, text: &str) -> Result<Transcript> {
    let mut sections = text.split("\n### ");
    let setup = setup(sections.next().unwrap_or_default())?;
    let step_of = |section: &str| {
        let (name, rest) = section.split_once('\n').context("a step needs a name and a request")?;
        step(name, rest).with_context(|| format!("step {name:?}"))
    };
    Ok(Transcript { name, setup, steps: sections.map(step_of).collect::<Result<_>>()? })
}

fn setup(head: &str) -> Result<Setup> {
    let mut setup = Setup::default();
    for line in head.lines().filter_map(|line| line.strip_prefix('@')) {
        match line.split_once(' ').unwrap_or((line, "")) {
            ("queue", count) => setup.queue = count.parse()?,
            ("body-limit", count) => setup.body_limit = count.parse()?,
            ("origins", list) => setup.origins = list.to_owned(),
            ("host-names", list) => setup.host_names = list.to_owned(),
            ("knows-its-name", "") => setup.knows_its_name = true,
            ("key", rest) => {
                let mut words = rest.split(' ');
                let key = words.next().unwrap_or_default().to_owned();
                let models: Vec<_> = words.map(str::to_owned).collect();
                setup.keys.push((key, Some(models).filter(|models| !models.is_empty())));
            }
            ("clip", "") => setup.clip = true,
            ("sam", "") => setup.sam = true,
            ("unhealthy", "") => setup.unhealthy = true,
            ("stopping", "") => setup.stopping = true,
            _ => bail!("@{line} is not a setup"),
        }
    }
    Ok(setup)
}

fn step(name: &str, text: &str) -> Result<Step> {
    let (request, answer) = text.split_once("\n>>>\n").context("no >>> between request and answer")?;
    let (head, body) = request.split_once("\n\n").unwrap_or((request, ""));
    let mut lines = head.lines();
    let line = lines.next().context("no request line")?;
    let (method, path) = line.split_once(' ').context("a request line is METHOD PATH")?;
    let (answer_head, answer_body) = answer.split_once("\n\n").unwrap_or((answer, ""));
    let mut answer_lines = answer_head.lines();
    let mut step = Step {
        name: name.to_owned(),
        method: method.to_owned(),
        path: path.to_owned(),
        headers: Vec::new(),
        without_content_type: false,
        body: body.trim_end().to_owned(),
        until: None,
        meanwhile: false,
        status: answer_lines.next().unwrap_or_default().trim().parse().context("an answer begins with its status")?,
        expected_headers: Vec::new(),
        expected_body: Some(answer_body.trim_end()).filter(|body| !body.is_empty()).map(str::to_owned),
    };
    for line in lines {
        match line.split_once(": ") {
            _ if line == "~meanwhile" => step.meanwhile = true,
            _ if line == "!content-type" => step.without_content_type = true,
            _ if line.starts_with("~until ") => step.until = Some(line["~until ".len()..].to_owned()),
            Some((name, value)) => step.headers.push((name.to_owned(), value.to_owned())),
            None => bail!("{line:?} is neither a header nor a directive"),
        }
    }
    for line in answer_lines {
        match (line.strip_prefix('!'), line.split_once(": ")) {
            (Some(name), _) => step.expected_headers.push((name.to_owned(), None)),
            (None, Some((name, value))) => step.expected_headers.push((name.to_owned(), Some(value.to_owned()))),
            (None, None) => bail!("{line:?} is not a header"),
        }
    }
    Ok(step)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn malformed_files_are_refused() {
        let refused = |text: &str| format!("{:#}", parse("name", text).unwrap_err());
        assert_eq!(refused("@colour blue\n"), "@colour blue is not a setup");
        assert_eq!(refused("\n### a\nGET /\n"), "step \"a\": no >>> between request and answer");
        assert_eq!(
            refused("\n### a\nGET /\nodd\n>>>\n200\n"),
            "step \"a\": \"odd\" is neither a header nor a directive"
        );
        assert!(refused("\n### a\nGET /\n>>>\nok\n").contains("an answer begins with its status"));
    }
}
