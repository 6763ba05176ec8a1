//! `easel inspect`: the contents of a model, without loading it.

use crate::args::InspectArgs;
use crate::contents::{self, Component, Contents, TensorInfo};
use crate::terminal::{bytes, say, say_json, table};
use anyhow::Result;
use easel_host::model::{self, LoadOptions};
use easel_host::names::{self, Place};
use easel_inference::Device;
use easel_inference::pipeline::{ComponentNeeds, Keeping, Needs, gibibytes};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Shows a model's family and components, and optionally their configurations and tensors.
pub(crate) fn inspect(args: &InspectArgs) -> Result<()> {
    let place = names::resolve(&args.model)?;
    let contents = contents::contents(&place, args)?;
    let memory = memory(&place, args);
    if args.json {
        let mut value = as_json(&contents, args);
        value["memory"] = memory.as_ref().map_or(Value::Null, memory_as_json);
        return say_json(&value);
    }
    say(format_args!("{}: {}", contents.name, contents.family))?;
    let heading = ["COMPONENT", "CLASS", "TENSORS", "PARAMETERS", "SIZE", "TYPES"].map(str::to_owned);
    let rows = contents.components.iter().map(summary);
    say(table(&std::iter::once(heading).chain(rows).collect::<Vec<_>>(), &[2, 3, 4]))?;
    if let Some(needs) = &memory {
        say(format_args!("\n{}\n{}", memory_table(needs), free()))?;
    }
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

/// The memory of the model on the processor for a picture of its default size; `None` if it is unknown, for example for
/// a single component.
fn memory(place: &Place, args: &InspectArgs) -> Option<Needs> {
    let variant = args.variant.clone();
    let options = LoadOptions { variant, components: args.component.clone(), ..LoadOptions::new(Device::Cpu) };
    model::needs(place, &options).ok()?
}

/// The ways of keeping the components, with the names of their options.
const KEEPING: [(&str, Keeping); 3] =
    [("all at once", Keeping::All), ("--low-memory", Keeping::InTurn), ("--offload", Keeping::Offload)];

fn memory_table(needs: &Needs) -> String {
    let [height, width] = needs.size;
    let heading = [format!("MEMORY AT {width}x{height}"), "WEIGHTS".into(), "WORK".into(), "PEAK".into()];
    let component = |component: &ComponentNeeds| {
        let ComponentNeeds { name, weights, work, loading, .. } = component;
        [name.clone(), gibibytes(*weights), gibibytes(*work), gibibytes((weights + work).max(*loading))]
    };
    let way = |(name, keeping): (&str, Keeping)| {
        [name.to_owned(), String::new(), String::new(), gibibytes(needs.peak(keeping))]
    };
    let rows = needs.components.iter().map(component).chain(KEEPING.map(way));
    table(&std::iter::once(heading).chain(rows).collect::<Vec<_>>(), &[1, 2, 3])
}

/// How much memory is free for it now.
fn free() -> String {
    let here = model::available().map_or("how much memory is free here, the system does not tell".into(), |bytes| {
        format!("{} of memory are free here now", gibibytes(bytes))
    });
    format!("{here}; how much a GPU has free, WebGPU does not tell: there the pipeline finds out as it loads")
}

fn memory_as_json(needs: &Needs) -> Value {
    let [height, width] = needs.size;
    let component = |component: &ComponentNeeds| {
        let ComponentNeeds { name, disk, weights, loading, work, .. } = component;
        json!({ "name": name, "disk": disk, "weights": weights, "loading": loading, "work": work })
    };
    json!({
        "width": width,
        "height": height,
        "disk": needs.disk(),
        "components": needs.components.iter().map(component).collect::<Value>(),
        "all_at_once": needs.peak(Keeping::All),
        "low_memory": needs.peak(Keeping::InTurn),
        "offload": needs.peak(Keeping::Offload),
        "free": model::available(),
    })
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

/// The number of tensors per type.
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

/// A readable number of parameters.
fn count(n: u64) -> String {
    match n as f64 {
        n if n < 1e3 => format!("{n}"),
        n if n < 1e6 => format!("{:.1} k", n / 1e3),
        n if n < 1e9 => format!("{:.2} M", n / 1e6),
        n => format!("{:.2} G", n / 1e9),
    }
}
