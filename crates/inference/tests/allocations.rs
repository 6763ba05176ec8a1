//! From its second step on, a sampling loop on the CPU allocates no memory for activations: a counting allocator only
//! sees handles (shapes, names, reference counts), the same number for small and large pictures. In the second step the
//! pool may also register new lengths. The buffers depend on the level of the kernels, so all levels are tested.

use easel_cpu::Level;
use easel_inference::models::unet::{UNet, UNetConditioning, UNetConfig};
use easel_inference::sampling::{Guidance, Noise, Sampler, SchedulerConfig, StepOptions, TimestepOptions};
use easel_inference::weights::Weights;
use easel_inference::{DType, Device, Result};
use serde_json::json;
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// The system's allocator, with counters of the allocated bytes and the largest allocation.
struct Counting;

static BYTES: AtomicUsize = AtomicUsize::new(0);
static LARGEST: AtomicUsize = AtomicUsize::new(0);

fn note(size: usize) {
    BYTES.fetch_add(size, Relaxed);
    LARGEST.fetch_max(size, Relaxed);
}

// SAFETY: all calls are forwarded to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(layout.size());
        // SAFETY: the caller fulfils the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        note(layout.size());
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        note(size);
        // SAFETY: as above.
        unsafe { System.realloc(pointer, layout, size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The allocations in the steps of a run.
struct Seen {
    /// Bytes allocated in the first step.
    first: usize,
    /// Bytes allocated in the second step.
    second: usize,
    /// The most bytes allocated in a later step.
    later: usize,
    /// The largest allocation after the first step.
    largest: usize,
}

/// Runs five steps and counts the allocations of each.
fn steps(unet: &UNet, side: usize) -> Result<Seen> {
    let options = TimestepOptions { steps: Some(5), ..TimestepOptions::default() };
    let scheduler = SchedulerConfig::from_json(&json!({"_class_name": "EulerDiscreteScheduler"}))?;
    let mut sampler = Sampler::new(&scheduler, &options, &StepOptions::default())?;
    let guidance = Guidance::new(7.5);
    let mut noise = Noise::batch(1);
    let text = noise.draw(&[2, 77, 32], &Device::Cpu)?;
    let mut latents = noise.draw(&[1, 4, side, side], &Device::Cpu)?.to_channels_last()?;
    let mut seen = Seen { first: 0, second: 0, later: 0, largest: 0 };
    for (call, timestep) in sampler.timesteps().to_vec().into_iter().enumerate() {
        BYTES.store(0, Relaxed);
        LARGEST.store(0, Relaxed);
        let input = sampler.scale_model_input(call, &latents)?.repeat(2)?;
        let prediction = unet.forward(&input, timestep, &text, &UNetConditioning::default())?;
        latents = sampler.step(call, &guidance.apply(&prediction)?, &latents, &mut noise)?;
        let bytes = BYTES.load(Relaxed);
        match call {
            0 => seen.first = bytes,
            1 => seen.second = bytes,
            _ => seen.later = seen.later.max(bytes),
        }
        if call > 0 {
            seen.largest = seen.largest.max(LARGEST.load(Relaxed));
        }
    }
    Ok(seen)
}

fn check(level: Level) {
    let config = json!({
        "block_out_channels": [32, 64], "layers_per_block": 1, "cross_attention_dim": 32, "attention_head_dim": 4,
        "down_block_types": ["CrossAttnDownBlock2D", "DownBlock2D"],
        "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D"],
    });
    let config = UNetConfig::from_json("unet/config.json", &config).unwrap();
    let unet = UNet::new(&Weights::random(DType::F16, &Device::Cpu), config).unwrap();
    Device::Cpu.release_idle();
    let mut small = 0;
    for side in [16, 48] {
        let Seen { first, second, later, largest } = steps(&unet, side).unwrap();
        println!(
            "{level:?}, {side}x{side}: {first} bytes in the first step, {second} in the second, {later} in each later one, \
             at most {largest} at once"
        );
        assert!(first > 1 << 20, "the first step takes {first} bytes");
        assert!(second <= later + 1024, "the second step takes {second} bytes, the later ones {later}");
        assert!(largest <= 1024, "a later step takes {largest} bytes at once");
        assert!(side == 16 || later == small, "{later} bytes for {side}x{side}, {small} for 16x16");
        small = later;
    }
}

#[test]
fn later_steps_allocate_no_memory_for_activations() {
    // One thread: with more, a thread may meet a kernel for the first time in a later step.
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    pool.install(|| {
        for level in Level::available() {
            level.with(|| check(level));
        }
    });
}
