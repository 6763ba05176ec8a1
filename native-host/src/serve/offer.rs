//! What the page is told about the server that it comes from: the model that would draw, where that is worth more to a
//! visitor than what the page draws itself.

use super::Config;
use crate::{embedded, names};
use axum::http::HeaderValue;
use easel_contract::Service;
use easel_contract::service::{Device, DeviceKind, Model};

/// The header of the page's files that says it (`web/site/app/served.js`).
pub(super) const HEADER: &str = "x-easel-draws";

/// The default model as JSON; nothing for a server that wants keys, which the page does not have.
pub async fn offer(service: &dyn Service, config: &Config) -> Option<HeaderValue> {
    if config.keys.is_some() {
        return None;
    }
    let model = service.models().await.ok()?.into_iter().next()?;
    let devices = service.devices().await.unwrap_or_default();
    let json = is_worth_more(&model, &devices).then(|| serde_json::to_string(&model))?.ok()?;
    HeaderValue::try_from(json).ok()
}

/// Whether the server has another model than the page, or a graphics device.
fn is_worth_more(model: &Model, devices: &[Device]) -> bool {
    let has_gpu = devices.iter().any(|device| device.selected && device.kind != DeviceKind::Cpu);
    model.name != names::STUB && (has_gpu || model.name != embedded::NAME)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_model_or_a_graphics_device_is_worth_more() {
        let model = |name: &str| Model { name: name.into(), ..Model::default() };
        let device = |kind, selected| Device { id: "0".into(), name: "x".into(), kind, memory_bytes: None, selected };
        let cpu = [device(DeviceKind::Cpu, true), device(DeviceKind::Gpu, false)];
        let gpu = [device(DeviceKind::Gpu, true)];
        assert!(!is_worth_more(&model(embedded::NAME), &cpu));
        assert!(is_worth_more(&model(embedded::NAME), &gpu));
        assert!(is_worth_more(&model("sd-turbo"), &cpu));
        assert!(!is_worth_more(&model(names::STUB), &gpu));
    }
}
