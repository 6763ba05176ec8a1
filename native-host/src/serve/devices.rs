//! The devices of this host, and which one is computed on.

use easel_contract::Error;
use easel_contract::service::{Device, DeviceChoice, DeviceKind, Result};
use easel_inference::tensor::DeviceKind as Kind;
use pollster::block_on;
use std::sync::{Mutex, PoisonError};

/// The devices of this host. They are looked for once, when the service starts.
pub struct Devices {
    available: Vec<(Kind, Device)>,
    selected: Mutex<Kind>,
}

impl Devices {
    /// Looks for devices, and selects one.
    pub fn find(wanted: Kind) -> easel_inference::Result<Self> {
        let selected = kind_of(&crate::model::open_device(wanted, None)?);
        let infos = block_on(easel_inference::Device::list());
        let mut available: Vec<(Kind, Device)> = Vec::new();
        // A GPU in software is slower than the processor itself, and of several the best one is used.
        for info in infos.into_iter().filter(|info| info.available && !info.software) {
            let Some((own, kind)) = kinds(&info.id) else { continue };
            if available.iter().all(|(known, _)| *known != own) {
                let id = own_name(own).to_owned();
                available.push((own, Device { id, name: info.name, kind, memory_bytes: None, selected: false }));
            }
        }
        Ok(Self { available, selected: selected.into() })
    }

    /// The device that is computed on.
    pub fn selected(&self) -> Kind {
        *self.selected.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All devices.
    pub fn list(&self) -> Vec<Device> {
        let selected = self.selected();
        let mark = |(kind, device): &(Kind, Device)| Device { selected: *kind == selected, ..device.clone() };
        self.available.iter().map(mark).collect()
    }

    /// Computes on another device from now on.
    pub fn select(&self, choice: DeviceChoice) -> Result<Device> {
        // The GPUs come after the processor, the best one first.
        let fits = |device: &Device| match choice {
            DeviceChoice::Auto => true,
            DeviceChoice::Kind(DeviceKind::Gpu) => device.kind != DeviceKind::Cpu,
            DeviceChoice::Kind(kind) => device.kind == kind,
        };
        let mut fitting = self.available.iter().filter(|(_, device)| fits(device));
        let first = fitting.next();
        let found = if choice == DeviceChoice::Auto { fitting.next().or(first) } else { first };
        let (kind, device) = found.ok_or_else(|| Error::DeviceUnavailable { device: name(choice) })?;
        *self.selected.lock().unwrap_or_else(PoisonError::into_inner) = *kind;
        Ok(Device { selected: true, ..device.clone() })
    }
}

/// What a device is called in the list, in the inference crate and in the contract.
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

fn name(choice: DeviceChoice) -> String {
    match choice {
        DeviceChoice::Auto => "AUTO".into(),
        DeviceChoice::Kind(kind) => kind.name().to_uppercase(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_processor_is_always_there_and_what_is_not_there_is_refused() {
        let devices = Devices::find(Kind::Cpu).unwrap();
        let selected: Vec<_> = devices.list().into_iter().filter(|device| device.selected).collect();
        assert_eq!((selected.len(), selected[0].id.as_str()), (1, "cpu"));
        assert_eq!(devices.select(DeviceChoice::Kind(DeviceKind::Cpu)).unwrap().id, "cpu");
        if devices.list().len() == 1 {
            let refused = devices.select(DeviceChoice::Kind(DeviceKind::Gpu)).unwrap_err();
            assert_eq!(refused, Error::DeviceUnavailable { device: "GPU".into() });
            assert_eq!(devices.select(DeviceChoice::Auto).unwrap().id, "cpu");
        }
    }
}
