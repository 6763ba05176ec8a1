//! Models that do not fit: the denoiser's blocks streamed from disk make the same pictures, files that change meanwhile are
//! noticed, and what a plan says is what a run takes.

use easel_inference::families::{ModelFiles, OpenOptions};
use easel_inference::pipeline::{
    CancelToken, Keeping, LoadOptions, Phase, Pipeline, Progress, Request, SkipLayers, Unwatched, Watcher,
};
use easel_inference::tensor::{DeviceKind, GpuOptions, Products};
use easel_inference::{DType, Device, Result};
use easel_tests::files::repository;
use pollster::block_on;
use std::alloc::{GlobalAlloc, Layout, System};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, SystemTime};

/// The system's allocator, which notes the bytes that are held and the most that ever were.
struct Counting;

static HELD: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

/// Tests that count have the process to themselves.
static ALONE: Mutex<()> = Mutex::new(());

fn took(size: usize) {
    PEAK.fetch_max(HELD.fetch_add(size, Relaxed) + size, Relaxed);
}

// SAFETY: everything is passed on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        took(layout.size());
        // SAFETY: the caller keeps to the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        took(layout.size());
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Relaxed);
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn golden(folder: &str) -> PathBuf {
    repository().join("tests/golden").join(folder)
}

fn open(folder: &Path) -> ModelFiles {
    block_on(ModelFiles::open_path(folder, &OpenOptions::default())).unwrap()
}

fn request(side: usize, steps: usize) -> Request {
    Request {
        width: Some(side),
        height: Some(side),
        steps: Some(steps),
        guidance_scale: Some(3.0),
        ..Request::new("a red apple", Some("blue"), 3, 1)
    }
}

fn draw(files: &ModelFiles, options: &LoadOptions, request: &Request, watcher: &mut dyn Watcher) -> Result<Vec<u8>> {
    let cancel = CancelToken::default();
    let pipeline = block_on(Pipeline::load(files, options, watcher, &cancel))?;
    Ok(block_on(pipeline.generate(request, watcher, &cancel))?.remove(0).image.rgb8)
}

#[test]
fn streamed_blocks_make_the_same_picture() {
    let _alone = ALONE.lock().unwrap();
    for (folder, skipped) in
        [("sd15", None), ("sdxl", None), ("sd3", None), ("sd35-medium", Some(vec![1])), ("flux-dev", None)]
    {
        let files = open(&golden(folder));
        for products in [Products::F32, Products::Bf16] {
            let mut request = request(64, 3);
            request.skip_layers = skipped.clone().map(|layers| SkipLayers { stop: 1.0, ..SkipLayers::new(layers) });
            let held = LoadOptions { products: Some(products), ..LoadOptions::new(Device::Cpu) };
            let streamed = held.clone().keeping(Keeping::Offload);
            let expected = draw(&files, &held, &request, &mut Unwatched).unwrap();
            let got = draw(&files, &streamed, &request, &mut Unwatched).unwrap();
            assert!(got == expected, "{folder}, {products:?}");
        }
    }
}

#[test]
fn streamed_blocks_make_the_same_picture_on_a_gpu() {
    let _alone = ALONE.lock().unwrap();
    let options = GpuOptions { float: Some(DType::F32), ..GpuOptions::default() };
    let device = match block_on(Device::open(DeviceKind::Gpu, &options)) {
        Ok(device) => device,
        Err(error) if std::env::var_os("EASEL_REQUIRE_GPU").is_some() => panic!("EASEL_REQUIRE_GPU is set: {error}"),
        Err(error) => return println!("not tested: {error}"),
    };
    for folder in ["sd15", "sd3"] {
        let files = open(&golden(folder));
        let held = LoadOptions::new(device.clone());
        let expected = draw(&files, &held, &request(64, 2), &mut Unwatched).unwrap();
        let streamed = held.keeping(Keeping::Offload);
        let got = draw(&files, &streamed, &request(64, 2), &mut Unwatched).unwrap();
        assert!(got == expected, "{folder}");
    }
}

/// Does something to a file after the first step.
struct Meddler<F: FnMut()>(Option<F>);

impl<F: FnMut()> Watcher for Meddler<F> {
    fn progress(&mut self, progress: &Progress) {
        if progress.phase == Phase::Denoise
            && let Some(mut meddle) = self.0.take()
        {
            meddle();
        }
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let there = to.join(path.file_name().unwrap());
        if path.is_dir() { copy(&path, &there) } else { assert!(std::fs::copy(&path, there).is_ok()) }
    }
}

#[test]
fn a_file_that_changes_while_its_blocks_are_streamed_is_named() {
    let _alone = ALONE.lock().unwrap();
    let folder = tempfile::tempdir().unwrap();
    copy(&golden("sd15"), folder.path());
    let weights = folder.path().join("unet/diffusion_pytorch_model.safetensors");
    let options = LoadOptions::new(Device::Cpu).keeping(Keeping::Offload);
    let run = |meddle: &mut dyn FnMut()| {
        let files = open(folder.path());
        draw(&files, &options, &request(64, 3), &mut Meddler(Some(meddle)))
    };
    let name = weights.display().to_string();
    let file = || File::options().write(true).open(&weights).unwrap();
    let later = SystemTime::now() + Duration::from_secs(7);
    let text = run(&mut || file().set_modified(later).unwrap()).unwrap_err().to_string();
    assert_eq!(text, format!("{name}: the file was changed after it was opened: load the model again"));
    if cfg!(unix) {
        assert!(run(&mut || std::fs::rename(&weights, folder.path().join("elsewhere")).unwrap()).is_ok());
        std::fs::rename(folder.path().join("elsewhere"), &weights).unwrap();
    }
    let text = run(&mut || file().set_len(1000).unwrap()).unwrap_err().to_string();
    assert!(
        text.starts_with(&format!("{name}: expected bytes ")) && text.ends_with("the file has 1000 bytes"),
        "{text}"
    );
}

/// Bytes that a run held at most, beside what was held before it.
fn measured(files: &ModelFiles, options: &LoadOptions, request: &Request) -> usize {
    Device::Cpu.release_idle();
    let before = HELD.load(Relaxed);
    PEAK.store(before, Relaxed);
    draw(files, options, request, &mut Unwatched).unwrap();
    let peak = PEAK.load(Relaxed) - before;
    Device::Cpu.release_idle();
    peak
}

/// At a size at which activations are most of it: vocabularies are not planned for, and these models are tiny.
#[test]
fn a_run_takes_what_was_planned() {
    let _alone = ALONE.lock().unwrap();
    for (folder, side) in [("sd15", 512), ("sdxl", 512), ("sd3", 384), ("flux-dev", 256)] {
        let files = open(&golden(folder));
        for keeping in [Keeping::All, Keeping::InTurn, Keeping::Offload] {
            for products in [Products::F32, Products::Bf16] {
                let options =
                    LoadOptions { products: Some(products), ..LoadOptions::new(Device::Cpu).keeping(keeping) };
                let request = request(side, 2);
                let needs = Pipeline::new(&files, &options).unwrap().needs(&request).unwrap();
                let planned = needs.peak(keeping) as f64;
                let measured = measured(&files, &options, &request) as f64;
                let off = planned / measured - 1.0;
                println!(
                    "{folder}, {keeping:?}, {products:?}: planned {planned}, measured {measured}, {:.1} %",
                    off * 100.0
                );
                assert!(off.abs() < 0.1, "{folder}, {keeping:?}, {products:?}: planned {planned}, measured {measured}");
            }
        }
    }
}
