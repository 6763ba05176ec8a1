//! Chooses an adapter and opens its device with all of its limits.

use crate::error::one_line;
use crate::{Capabilities, Error, Result};
#[cfg(all(unix, not(target_vendor = "apple")))]
use std::ffi::CStr;

/// The choice of an adapter.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Choice {
    /// The fastest kind; a software rasteriser only if there is nothing else.
    #[default]
    Best,
    /// The one at this position in [`adapters`].
    Index(usize),
    /// The first one whose name contains this text, in any case.
    Name(String),
}

/// How to open a device.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Options {
    /// The choice of the adapter.
    pub adapter: Choice,
    /// Use only what WebGPU guarantees: the default limits (128 MiB bindings, 8 storage buffers, 256 invocations) and
    /// no optional features. For tests.
    pub guaranteed_only: bool,
    /// A lower binding limit in bytes. For tests.
    pub storage_binding: Option<u64>,
    /// Use tensor cores if there are any. Off by default: naga accepts the kernels, but the conformance table has not
    /// yet run on such a device.
    pub cooperative: bool,
    /// The most bytes of GPU memory to use. WebGPU does not say how much there is.
    pub memory: Option<u64>,
}

/// The adapters of this machine with their capabilities. In a browser, the one that the browser chooses.
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
        // The pool already keeps freed memory; large blocks inside wgpu would only keep more.
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
        // SAFETY: the only experimental feature requested is cooperative matrices. Only kernels of this crate use it,
        // and their loads and stores stay inside their tiles.
        unsafe { wgpu::ExperimentalFeatures::enabled() }
    } else {
        wgpu::ExperimentalFeatures::disabled()
    }
}

async fn enumerate() -> Vec<wgpu::Adapter> {
    let descriptor = wgpu::InstanceDescriptor {
        backends: wgpu::Backends::PRIMARY,
        flags: wgpu::InstanceFlags::empty(),
        // Above this part of the budget, drivers start to page to host memory instead of failing.
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

/// An instance of wgpu. On Linux and similar systems it is a Vulkan instance without the extensions for windows: with
/// `VK_KHR_wayland_surface`, Mesa's layer `device_select` opens a display through libwayland, which prints "error:
/// XDG_RUNTIME_DIR is invalid or not set in the environment" if there is no session (ssh, services, containers).
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
    // SAFETY: wgpu-hal forbids removing extensions because it relies on some. These three are only used by the
    // functions that create a surface for a window, and each of them first checks that its extension is in the list;
    // nothing here creates a surface. wgpu-hal has checked that the loader supports the remaining ones.
    let opened = unsafe { vulkan::Instance::init_with_callback(&plain, Some(without_windows)) };
    match opened {
        // SAFETY: the instance is new, valid, and passed on.
        Ok(vulkan) => unsafe { wgpu::Instance::from_hal::<wgpu::hal::api::Vulkan>(vulkan) },
        // Without Vulkan on this machine, the instance has no adapters.
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
