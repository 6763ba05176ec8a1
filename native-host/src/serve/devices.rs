//! The devices of this host, and the selected one.

use super::error;
use easel_contract::Error;
use easel_contract::service::{Device, DeviceKind, Result};
use easel_inference::tensor::{DeviceInfo, DeviceKind as Kind};
use parking_lot::Mutex;
use pollster::block_on;
use std::sync::OnceLock;

/// The devices of this host, enumerated once when the service starts.
pub struct Devices {
    available: Vec<(Kind, Device)>,
    selected: Mutex<Kind>,
    /// What `auto` means on this host, once it has been determined.
    automatic: OnceLock<Kind>,
}

impl Devices {
    /// Enumerates the devices and selects one. Fails if one of the numbered GPUs is not there.
    pub fn find(wanted: Kind, gpus: &[usize]) -> error::Result<Self> {
        let infos = block_on(easel_inference::Device::list());
        check_numbers(gpus, &infos)?;
        let selected = match gpus.first() {
            Some(_) => Kind::Gpu,
            None => select(wanted)?,
        };
        let mut available: Vec<(Kind, Device)> = Vec::new();
        // Software GPUs are slower than the processor itself. Of several GPUs, the best one is used.
        for info in infos.into_iter().filter(|info| info.available && !info.software) {
            let Some((own, kind)) = kinds(&info.id) else { continue };
            if available.iter().all(|(known, _)| *known != own) {
                let id = own_name(own).to_owned();
                available.push((own, Device { id, name: info.name, kind, memory_bytes: None, selected: false }));
            }
        }
        let automatic = OnceLock::new();
        if wanted == Kind::Auto {
            automatic.get_or_init(|| selected);
        }
        Ok(Self { available, selected: selected.into(), automatic })
    }

    /// The selected device.
    pub fn selected(&self) -> Kind {
        *self.selected.lock()
    }

    /// All devices.
    pub fn list(&self) -> Vec<Device> {
        let selected = self.selected();
        let mark = |(kind, device): &(Kind, Device)| Device { selected: *kind == selected, ..device.clone() };
        self.available.iter().map(mark).collect()
    }

    /// What `auto` means; the first call tries the devices.
    fn automatic(&self) -> Kind {
        *self.automatic.get_or_init(|| select(Kind::Auto).unwrap_or(Kind::Cpu))
    }

    /// Selects another device for the tasks from now on.
    pub fn select(&self, kind: Option<DeviceKind>) -> Result<Device> {
        // GPUs come after the processor, the best one first.
        let fits = |(own, device): &&(Kind, Device)| match kind {
            None => *own == self.automatic(),
            Some(DeviceKind::Gpu) => device.kind != DeviceKind::Cpu,
            Some(kind) => device.kind == kind,
        };
        let found = self.available.iter().find(fits);
        let (own, device) = found.ok_or_else(|| Error::DeviceUnavailable { device: name(kind) })?;
        *self.selected.lock() = *own;
        Ok(Device { selected: true, ..device.clone() })
    }
}

/// Fails with a list of those that are there if one of these GPUs is not.
fn check_numbers(gpus: &[usize], infos: &[DeviceInfo]) -> error::Result<()> {
    let there = infos.iter().filter(|info| info.available && info.id.starts_with("gpu:"));
    let missing = gpus.iter().find(|gpu| there.clone().all(|info| info.id != format!("gpu:{gpu}")));
    let Some(missing) = missing else {
        let names = there.filter(|info| gpus.iter().any(|gpu| info.id == format!("gpu:{gpu}")));
        names.for_each(|info| tracing::info!(device = info.id, name = info.name, "computing"));
        return Ok(());
    };
    let list: Vec<String> = there.map(|info| format!("{} ({})", info.id, info.name)).collect();
    let list = if list.is_empty() { "no GPU".to_owned() } else { list.join(", ") };
    Err(error::Error::Setting {
        field: "device",
        reason: format!("gpu:{missing} is not there; this machine has {list}"),
    })
}

/// Opens a device to check that it works, and logs its name.
fn select(wanted: Kind) -> easel_inference::Result<Kind> {
    let selection = crate::model::select_device(wanted, None)?;
    if let Some(warning) = &selection.warning {
        tracing::warn!("{warning}");
    }
    tracing::info!(device = %selection.device, name = selection.name, "computing");
    Ok(kind_of(&selection.device))
}

/// A device in the inference crate and in the contract, by its name in the list.
fn kinds(id: &str) -> Option<(Kind, DeviceKind)> {
    match id.split(':').next()? {
        "gpu" => Some((Kind::Gpu, DeviceKind::Gpu)),
        "cpu" => Some((Kind::Cpu, DeviceKind::Cpu)),
        "cuda" => Some((Kind::Cuda, DeviceKind::Cuda)),
        "metal" => Some((Kind::Metal, DeviceKind::Metal)),
        _ => None,
    }
}

fn own_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Auto => "auto",
        Kind::Cpu => "cpu",
        Kind::Gpu => "gpu",
        Kind::Cuda => "cuda",
        Kind::Metal => "metal",
    }
}

fn kind_of(device: &easel_inference::Device) -> Kind {
    kinds(&device.to_string()).map_or(Kind::Cpu, |(kind, _)| kind)
}

fn name(kind: Option<DeviceKind>) -> String {
    kind.map_or("auto", DeviceKind::name).to_uppercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gpu_that_is_not_there_is_refused_with_those_that_are() {
        let info = |id: &str, name: &str, available| DeviceInfo {
            id: id.into(),
            name: name.into(),
            available,
            reason: None,
            software: false,
        };
        let infos = [info("cpu", "processor", true), info("gpu:0", "large", true), info("gpu:1", "small", true)];
        assert!(check_numbers(&[], &[]).is_ok() && check_numbers(&[1, 0], &infos).is_ok());
        let said = |gpus: &[usize], infos: &[DeviceInfo]| check_numbers(gpus, infos).unwrap_err().to_string();
        assert_eq!(said(&[0, 7], &infos), "device gpu:7 is not there; this machine has gpu:0 (large), gpu:1 (small)");
        assert_eq!(said(&[0], &[info("gpu", "none", false)]), "device gpu:0 is not there; this machine has no GPU");
    }

    #[test]
    fn the_processor_is_always_listed_and_missing_devices_are_refused() {
        let devices = Devices::find(Kind::Cpu, &[]).unwrap();
        let selected: Vec<_> = devices.list().into_iter().filter(|device| device.selected).collect();
        assert_eq!((selected.len(), selected[0].id.as_str()), (1, "cpu"));
        assert_eq!(devices.select(Some(DeviceKind::Cpu)).unwrap().id, "cpu");
        if devices.list().len() == 1 {
            let refused = devices.select(Some(DeviceKind::Gpu)).unwrap_err();
            assert_eq!(refused, Error::DeviceUnavailable { device: "GPU".into() });
            assert_eq!(devices.select(None).unwrap().id, "cpu");
        }
    }
}
