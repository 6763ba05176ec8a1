//! Choosing an adapter and opening its device with every limit it has.

use crate::error::one_line;
use crate::{Capabilities, Error, Result};
#[cfg(all(unix, not(target_vendor = "apple")))]
use std::ffi::CStr;

/// Which adapter to open.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Choice {
    /// The fastest kind there is; a software rasteriser only where nothing else is.
    #[default]
    Best,
    /// The one at this place in [`adapters`].
    Index(usize),
    /// The first whose name contains this, whatever the case.
    Name(String),
}

/// How to open a device.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Options {
    /// Which adapter.
    pub adapter: Choice,
    /// Only what WebGPU guarantees everywhere: the default limits (128 MiB bindings, 8 storage buffers, 256 invocations) and no
    /// optional feature. For tests of odd hardware.
    pub guaranteed_only: bool,
    /// Bind at most this many bytes at once, where the device could bind more. For tests of odd hardware.
    pub storage_binding: Option<u64>,
    /// Use tensor cores where there are any. Off unless asked for: naga accepts the kernels, but the conformance table has
    /// not run on a device with such cores yet.
    pub cooperative: bool,
    /// Most bytes of GPU memory to hold; no interface of WebGPU tells how much there is.
    pub memory: Option<u64>,
}

/// The adapters of this machine with their capabilities. In a browser, the one adapter that the browser chooses.
pub async fn adapters() -> Vec<Capabilities> {
    enumerate().await.iter().enumerate().map(|(index, adapter)| Capabilities::of_adapter(adapter, index)).collect()
}

/// An open device and its capabilities.
pub(crate) struct Opened {
    pub(crate) device: wgpu::Device,
    pub(crate) queue: wgpu::Queue,
    pub(crate) capabilities: Capabilities,
}

pub(crate) async fn open(options: &Options) -> Result<Opened> {
    let found = enumerate().await;
    let (index, adapter) = choose(&found, &options.adapter)?;
    let offered = adapter.features();
    let mut wanted = if options.guaranteed_only { wgpu::Features::empty() } else { offered & useful_features() };
    wanted.set(COOPERATIVE, options.cooperative && wanted.contains(COOPERATIVE));
    let limits = if options.guaranteed_only { wgpu::Limits::default() } else { adapter.limits() };
    let descriptor = wgpu::DeviceDescriptor {
        label: Some("easel"),
        required_features: wanted,
        required_limits: limits,
        experimental_features: experimental(wanted),
        // The pool already keeps freed memory; large blocks inside wgpu would only hold more.
        memory_hints: wgpu::MemoryHints::MemoryUsage,
        trace: wgpu::Trace::Off,
    };
    let (device, queue) = adapter
        .request_device(&descriptor)
        .await
        .map_err(|error| Error::NoDevice { adapter: adapter.get_info().name, reason: one_line(&error.to_string()) })?;
    let cooperative = device.features().contains(COOPERATIVE);
    let shapes = if cooperative { adapter.cooperative_matrix_properties() } else { Vec::new() };
    let capabilities = Capabilities::new(&adapter.get_info(), index, device.features(), &device.limits(), shapes);
    #[cfg(target_arch = "wasm32")]
    let capabilities = Capabilities {
        subgroups: if options.guaranteed_only { None } else { crate::web::subgroups(&device) },
        ..capabilities
    };
    let binding = capabilities.limits.storage_binding.min(options.storage_binding.unwrap_or(u64::MAX));
    let limits = crate::Limits { storage_binding: binding, ..capabilities.limits };
    Ok(Opened { device, queue, capabilities: Capabilities { limits, ..capabilities } })
}

const COOPERATIVE: wgpu::Features = wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX;

fn useful_features() -> wgpu::Features {
    wgpu::Features::SHADER_F16 | wgpu::Features::SUBGROUP | wgpu::Features::TIMESTAMP_QUERY | COOPERATIVE
}

fn experimental(features: wgpu::Features) -> wgpu::ExperimentalFeatures {
    if features.contains(COOPERATIVE) {
        // SAFETY: the only experimental feature asked for is cooperative matrices, which only kernels of this crate
        // use; their loads and stores stay inside their tiles.
        unsafe { wgpu::ExperimentalFeatures::enabled() }
    } else {
        wgpu::ExperimentalFeatures::disabled()
    }
}

async fn enumerate() -> Vec<wgpu::Adapter> {
    let descriptor = wgpu::InstanceDescriptor {
        backends: wgpu::Backends::PRIMARY,
        flags: wgpu::InstanceFlags::empty(),
        // Beyond it, drivers that tell their budget start to page to host memory instead of failing.
        memory_budget_thresholds: wgpu::MemoryBudgetThresholds {
            for_resource_creation: Some(97),
            for_device_loss: None,
        },
        ..wgpu::InstanceDescriptor::new_without_display_handle()
    };
    let instance = instance(descriptor);
    #[cfg(target_arch = "wasm32")]
    {
        let options = wgpu::RequestAdapterOptions {
            power_preference: wgpu::PowerPreference::HighPerformance,
            ..Default::default()
        };
        crate::web::with_subgroups(|| instance.request_adapter(&options)).await.into_iter().collect()
    }
    #[cfg(not(target_arch = "wasm32"))]
    instance.enumerate_adapters(wgpu::Backends::PRIMARY).await
}

/// An instance of wgpu. On Linux and the like one of Vulkan without the extensions for windows: with
/// `VK_KHR_wayland_surface` on, Mesa's layer `device_select` asks libwayland for a display, which prints "error:
/// XDG_RUNTIME_DIR is invalid or not set in the environment" where there is no session (ssh, services, containers).
#[cfg(all(unix, not(target_vendor = "apple")))]
fn instance(descriptor: wgpu::InstanceDescriptor) -> wgpu::Instance {
    use wgpu::hal::vulkan;
    let plain = wgpu::hal::InstanceDescriptor {
        name: "easel",
        flags: descriptor.flags,
        memory_budget_thresholds: descriptor.memory_budget_thresholds,
        backend_options: descriptor.backend_options.clone(),
        telemetry: None,
        display: None,
    };
    const WINDOWS: [&CStr; 3] = [c"VK_KHR_wayland_surface", c"VK_KHR_xcb_surface", c"VK_KHR_xlib_surface"];
    let without_windows: Box<vulkan::CreateInstanceCallback<'_>> =
        Box::new(|arguments| arguments.extensions.retain(|name| !WINDOWS.contains(name)));
    // SAFETY: wgpu-hal asks not to remove extensions because it relies on some. These three it uses in the functions that
    // make a surface of a window alone, and each first looks whether its extension is in the list; nothing here makes a
    // surface. What the callback leaves is what wgpu-hal has found the loader to support.
    let opened = unsafe { vulkan::Instance::init_with_callback(&plain, Some(without_windows)) };
    match opened {
        // SAFETY: the instance is fresh, valid, and given away.
        Ok(vulkan) => unsafe { wgpu::Instance::from_hal::<wgpu::hal::api::Vulkan>(vulkan) },
        // No Vulkan on this machine: an instance without adapters.
        Err(_) => wgpu::Instance::new(descriptor),
    }
}

#[cfg(not(all(unix, not(target_vendor = "apple"))))]
fn instance(descriptor: wgpu::InstanceDescriptor) -> wgpu::Instance {
    wgpu::Instance::new(descriptor)
}

fn choose<'a>(found: &'a [wgpu::Adapter], choice: &Choice) -> Result<(usize, &'a wgpu::Adapter)> {
    let kind = |adapter: &wgpu::Adapter| Capabilities::of_adapter(adapter, 0).adapter.kind;
    let mut candidates = found.iter().enumerate();
    let chosen = match choice {
        Choice::Best => candidates.min_by_key(|(_, adapter)| kind(adapter)),
        Choice::Index(index) => candidates.nth(*index),
        Choice::Name(name) => {
            let name = name.to_lowercase();
            candidates.find(|(_, adapter)| adapter.get_info().name.to_lowercase().contains(&name))
        }
    };
    chosen.ok_or_else(|| {
        let names: Vec<String> = found.iter().map(|adapter| adapter.get_info().name).collect();
        Error::NoAdapter {
            wanted: match choice {
                Choice::Best => "any".to_owned(),
                Choice::Index(index) => format!("index {index}"),
                Choice::Name(name) => format!("\"{name}\""),
            },
            found: if names.is_empty() { "none".to_owned() } else { names.join(", ") },
        }
    })
}
