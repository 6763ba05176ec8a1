//! `easel-compose SOCKET PLUG OUT`: composes two components, satisfying the imports of `SOCKET` with the exports of
//! `PLUG`.

use anyhow::{Context, Result, bail};
use wac_graph::types::Package;
use wac_graph::{CompositionGraph, EncodeOptions, plug};

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [socket_file, plug_file, out] = args.as_slice() else { bail!("usage: easel-compose SOCKET PLUG OUT") };
    let mut graph = CompositionGraph::new();
    let mut register = |name: &str, file: &str| {
        let package = Package::from_file(name, None, file, graph.types_mut()).with_context(|| file.to_owned())?;
        anyhow::Ok(graph.register_package(package)?)
    };
    let socket_id = register("easel:edge", socket_file)?;
    let plug_id = register("easel:plug", plug_file)?;
    plug(&mut graph, vec![plug_id], socket_id)
        .with_context(|| format!("{plug_file} exports nothing that {socket_file} imports"))?;
    std::fs::write(out, graph.encode(EncodeOptions::default())?).with_context(|| format!("cannot write {out}"))
}
