//! `easel models`: the short names of models, and which of them can be used immediately.

use crate::args::ModelsArgs;
use crate::terminal::{say, say_json, table};
use anyhow::Result;
use easel_host::model;
use easel_host::names::{KNOWN, KnownModel};
use serde_json::json;

/// Lists the models that have a short name.
pub(crate) fn models(args: &ModelsArgs) -> Result<()> {
    if args.json {
        let list = KNOWN.iter().map(|known| {
            let KnownModel { name, repository, about, size, licence, .. } = known;
            json!({
                "name": name, "repository": repository, "about": about, "size": size, "licence": licence,
                "family": known.family.map(|family| family.name), "supported": known.is_supported(),
                "state": state(known),
            })
        });
        return say_json(&list.collect::<Vec<_>>());
    }
    let heading = ["NAME", "STATE", "SIZE", "LICENCE", "WHAT", "REPOSITORY"].map(str::to_owned);
    let rows = KNOWN.iter().map(|known| {
        let KnownModel { name, repository, about, size, licence, .. } = *known;
        [name, state(known), size, licence, about, repository.unwrap_or("-")].map(str::to_owned)
    });
    say(table(&std::iter::once(heading).chain(rows).collect::<Vec<_>>(), &[2]))
}

/// Whether the model can be used: `built in`, `cached`, `not here` (`easel pull` fetches it) or `not supported yet`.
fn state(known: &KnownModel) -> &'static str {
    if !known.is_supported() {
        return "not supported yet";
    }
    match known.repository {
        None => "built in",
        Some(repository) if model::is_cached(repository) => "cached",
        Some(_) => "not here",
    }
}
