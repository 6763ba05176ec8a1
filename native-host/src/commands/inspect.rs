//! `easel inspect`: the contents of a model, without loading it.

use crate::args::InspectArgs;
use crate::contents::{self, Component, Contents, TensorInfo};
use crate::terminal::{bytes, say, say_json, table};
use anyhow::Result;
use easel_host::names;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Shows a model's family and components, and on request their configurations and tensors.
pub(crate) fn inspect(args: &InspectArgs) -> Result<()> {
    let contents = contents::contents(&names::resolve(&args.model)?, args)?;
    if args.json {
        return say_json(&as_json(&contents, args));
    }
    say(format_args!("{}: {}", contents.name, contents.family))?;
    let heading = ["COMPONENT", "CLASS", "TENSORS", "PARAMETERS", "SIZE", "TYPES"].map(str::to_owned);
    let rows = contents.components.iter().map(summary);
    say(table(&std::iter::once(heading).chain(rows).collect::<Vec<_>>(), &[2, 3, 4]))?;
    if args.config {
        for component in &contents.components {
            say(format_args!("\n{} configuration:\n{:#}", component.name, component.config))?;
        }
        say(format_args!("\nscheduler configuration:\n{:#}", contents.scheduler))?;
    }
    if args.tensors {
        contents.components.iter().try_for_each(tensors)?;
    }
    Ok(())
}

fn summary(component: &Component) -> [String; 6] {
    let types = types(component);
    let types: Vec<String> = types.iter().map(|(name, count)| format!("{name} ({count})")).collect();
    [
        component.name.clone(),
        component.class().to_owned(),
        component.tensors.len().to_string(),
        count(component.parameters()),
        bytes(component.bytes()),
        types.join(", "),
    ]
}

/// How many tensors there are of each type.
fn types(component: &Component) -> BTreeMap<&'static str, usize> {
    let mut types = BTreeMap::new();
    for tensor in &component.tensors {
        *types.entry(tensor.dtype).or_default() += 1;
    }
    types
}

fn tensors(component: &Component) -> Result<()> {
    let rows: Vec<_> = component
        .tensors
        .iter()
        .map(|tensor| {
            let name = format!("{}/{}", component.name, tensor.name);
            [name, tensor.dtype.to_owned(), format!("{:?}", tensor.shape), bytes(tensor.bytes)]
        })
        .collect();
    say(format_args!("\n{}", table(&rows, &[3])))
}

fn as_json(contents: &Contents, args: &InspectArgs) -> Value {
    let component = |component: &Component| {
        let mut value = json!({
            "name": component.name,
            "class": component.class(),
            "parameters": component.parameters(),
            "bytes": component.bytes(),
            "types": types(component),
            "config": component.config,
        });
        if args.tensors {
            let tensor = |tensor: &TensorInfo| json!({ "name": tensor.name, "dtype": tensor.dtype, "shape": tensor.shape, "bytes": tensor.bytes });
            value["tensors"] = component.tensors.iter().map(tensor).collect();
        }
        value
    };
    json!({
        "name": contents.name,
        "family": contents.family,
        "components": contents.components.iter().map(component).collect::<Value>(),
        "scheduler": contents.scheduler,
    })
}

/// A number of parameters as people say it.
fn count(n: u64) -> String {
    match n as f64 {
        n if n < 1e3 => format!("{n}"),
        n if n < 1e6 => format!("{:.1} k", n / 1e3),
        n if n < 1e9 => format!("{:.2} M", n / 1e6),
        n => format!("{:.2} G", n / 1e9),
    }
}
