//! `easel devices`: the devices of this machine, why some cannot be used, and which one `--device auto` selects.

use crate::args::DevicesArgs;
use crate::terminal::{note, say, say_json, table};
use anyhow::Result;
use easel_host::model::select_device;
use easel_inference::Device;
use easel_inference::tensor::{DeviceInfo, DeviceKind, Selection};
use pollster::block_on;
use serde_json::json;

/// Lists the devices.
pub(crate) fn devices(args: &DevicesArgs) -> Result<()> {
    let devices = block_on(Device::list());
    let automatic = select_device(DeviceKind::Auto, None)?;
    if let Some(warning) = &automatic.warning {
        note(format_args!("easel: warning: {warning}"));
    }
    if args.json {
        let list = devices.iter().map(|device| {
            json!({
                "id": device.id, "name": device.name, "available": device.available, "reason": device.reason,
                "auto": is_same(device, &automatic),
            })
        });
        return say_json(&list.collect::<Vec<_>>());
    }
    let rows: Vec<_> = devices.into_iter().map(|device| row(device, &automatic)).collect();
    say(table(&rows, &[]))
}

/// A line of the list.
fn row(device: DeviceInfo, automatic: &Selection) -> [String; 3] {
    let state = match device.reason.clone() {
        Some(reason) => reason,
        None if is_same(&device, automatic) => "available, selected by auto".into(),
        None => "available".into(),
    };
    [device.id, device.name, state]
}

/// Whether an entry of the list is the selected device. Several GPUs are distinguished by name.
fn is_same(device: &DeviceInfo, selection: &Selection) -> bool {
    match &selection.device {
        Device::Gpu(_) => device.name == selection.name,
        other => device.id == other.to_string(),
    }
}
