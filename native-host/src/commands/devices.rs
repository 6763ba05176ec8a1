//! `easel devices`: what can compute here, and why the rest cannot.

use crate::args::DevicesArgs;
use crate::terminal::{say, say_json, table};
use anyhow::Result;
use easel_inference::Device;
use pollster::block_on;
use serde_json::json;

/// Lists the devices.
pub(crate) fn devices(args: &DevicesArgs) -> Result<()> {
    let devices = block_on(Device::list());
    if args.json {
        let list = devices.iter().map(|device| {
            json!({ "id": device.id, "name": device.name, "available": device.available, "reason": device.reason })
        });
        return say_json(&list.collect::<Vec<_>>());
    }
    let rows: Vec<_> = devices
        .into_iter()
        .map(|device| {
            let state = device.reason.unwrap_or_else(|| "available".into());
            [device.id, device.name, state]
        })
        .collect();
    say(table(&rows, &[]))
}
