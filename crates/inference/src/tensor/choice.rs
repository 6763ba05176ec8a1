//! Chooses a device if the user names none: CUDA, Metal, or a hardware GPU through WebGPU that passes a self-test;
//! otherwise the processor.
//!
//! A software GPU (llvmpipe, SwiftShader, WARP) is correct but slower than the processor's kernels, so it is only used
//! if [`GpuOptions::adapter`] names it.

use super::{Device, DeviceKind, Epilogue, GpuDevice, GpuOptions, Tensor};
use crate::{Error, Result};

/// An opened device, with a warning for the user.
#[derive(Clone, Debug)]
pub struct Selection {
    /// The device.
    pub device: Device,
    /// Its name for users.
    pub name: String,
    /// Why an existing GPU is not used.
    pub warning: Option<String>,
}

/// Rows, columns and inner length of the self-test's product: more than one tile of every kernel in each direction.
const ROWS: usize = 40;
const COLUMNS: usize = 72;
const INNER: usize = 160;

impl Device {
    /// Opens the device of this kind. `Auto` tries CUDA, Metal, a hardware GPU through WebGPU, and the processor, in
    /// this order. A GPU that cannot be opened or computes wrong numbers becomes a warning.
    ///
    /// # Errors
    /// [`Error::Device`] if `kind` names a missing device; `Auto` never fails.
    pub async fn select(kind: DeviceKind, options: &GpuOptions) -> Result<Selection> {
        match kind {
            DeviceKind::Auto => Ok(best(options).await),
            named => Device::open(named, options).await.map(selection),
        }
    }
}

/// The best available device.
async fn best(options: &GpuOptions) -> Selection {
    for kind in [DeviceKind::Cuda, DeviceKind::Metal] {
        if let Ok(device) = Device::open(kind, options).await {
            return selection(device);
        }
    }
    match real_gpu(options).await {
        Ok(Some(gpu)) => selection(gpu),
        Ok(None) => selection(Device::Cpu),
        Err(error) => {
            Selection { warning: Some(format!("{error}; the processor is used instead")), ..selection(Device::Cpu) }
        }
    }
}

/// The GPU that `options` name, or else the best hardware GPU, after a self-test. `None` if there is none.
async fn real_gpu(options: &GpuOptions) -> Result<Option<Device>> {
    let is_named = !options.adapter.is_empty();
    if !is_named && GpuDevice::list().await.iter().all(|gpu| gpu.software) {
        return Ok(None);
    }
    let gpu = GpuDevice::open(options).await?;
    if !is_named && gpu.is_software() {
        return Ok(None);
    }
    let device = Device::Gpu(gpu);
    self_test(&device).await?;
    Ok(Some(device))
}

/// Multiplies two small matrices and compares the result with the processor's.
async fn self_test(device: &Device) -> Result<()> {
    let expected = product(&Device::Cpu).await?;
    let got = product(device).await?;
    if agree(&expected, &got) {
        return Ok(());
    }
    Err(Error::Device { device: device.to_string(), reason: "it computes wrong numbers in a self-test".into() })
}

/// A product of matrices of small multiples of 1/4. Every float type represents these and their sums exactly.
async fn product(device: &Device) -> Result<Vec<f32>> {
    let input = Tensor::from_vec(quarters(ROWS * INNER, 7), &[ROWS, INNER], device)?.cast(device.float())?;
    let weight = Tensor::from_vec(quarters(COLUMNS * INNER, 5), &[COLUMNS, INNER], device)?.cast(device.float())?;
    input.linear(&weight, None, Epilogue::default())?.to_vec().await
}

/// `length` numbers from -1/2 to 1, in a pattern of this period.
fn quarters(length: usize, period: usize) -> Vec<f32> {
    (0..length).map(|i| (i * i % period) as f32 / 4.0 - 0.5).collect()
}

fn agree(expected: &[f32], got: &[f32]) -> bool {
    expected.len() == got.len() && expected.iter().zip(got).all(|(expected, got)| (expected - got).abs() <= 1e-3)
}

fn selection(device: Device) -> Selection {
    let name = match &device {
        Device::Cpu => "the processor".to_owned(),
        Device::Gpu(gpu) => gpu.name(),
        Device::Candle(_) | Device::Outline(_) => device.to_string(),
    };
    Selection { device, name, warning: None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pollster::block_on;

    #[test]
    fn the_processor_passes_the_self_test() {
        block_on(self_test(&Device::Cpu)).unwrap();
    }

    #[test]
    fn wrong_numbers_fail_the_self_test() {
        let right = block_on(product(&Device::Cpu)).unwrap();
        let mut wrong = right.clone();
        wrong[ROWS * COLUMNS - 1] += 0.25;
        assert!(agree(&right, &right));
        assert!(!agree(&right, &wrong));
        assert!(!agree(&right, &right[1..]));
        assert!(!agree(&right, &vec![f32::NAN; right.len()]));
    }

    #[test]
    fn a_missing_gpu_becomes_a_warning() {
        let options = GpuOptions { adapter: "no such adapter".into(), ..GpuOptions::default() };
        let selection = block_on(Device::select(DeviceKind::Auto, &options)).unwrap();
        if matches!(selection.device, Device::Cpu) {
            let warning = selection.warning.unwrap();
            assert!(warning.starts_with("device gpu is not available: "), "{warning}");
            assert!(warning.ends_with("; the processor is used instead"), "{warning}");
        }
        assert!(block_on(Device::select(DeviceKind::Gpu, &options)).is_err());
    }

    /// If the only GPU is a software GPU such as llvmpipe, it is correct, but only used by name.
    #[test]
    fn a_software_gpu_is_only_used_by_name() {
        let Some(gpu) = block_on(GpuDevice::list()).into_iter().find(|gpu| gpu.software) else { return };
        let index = gpu.id.trim_start_matches("gpu:").to_owned();
        let named = GpuOptions { adapter: index, ..GpuOptions::default() };
        let selection = block_on(Device::select(DeviceKind::Auto, &named)).unwrap();
        assert!(matches!(selection.device, Device::Gpu(_)) && selection.warning.is_none(), "{selection:?}");
        let selection = block_on(Device::select(DeviceKind::Auto, &GpuOptions::default())).unwrap();
        assert!(!matches!(&selection.device, Device::Gpu(gpu) if gpu.is_software()), "{selection:?}");
        assert_eq!(selection.warning, None);
    }
}
