//! Uploads of weights to a GPU: the data equals the processor's, also for tensors above the binding limit, and the host
//! never holds a large tensor. A counting allocator measures the host's memory.

use bytes::Bytes;
use easel_inference::tensor::{BlockFormat, DeviceKind, GpuOptions};
use easel_inference::weights::{BoxFuture, Source, TensorIndex, Weights};
use easel_inference::{DType, Device, Error, Result, Tensor};
use half::f16;
use pollster::block_on;
use serde_json::json;
use std::alloc::{GlobalAlloc, Layout, System};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// The system's allocator, with counters of the current and the peak bytes.
struct Counting;

static HELD: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

fn took(size: usize) {
    PEAK.fetch_max(HELD.fetch_add(size, Relaxed) + size, Relaxed);
}

// SAFETY: all calls are forwarded to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        took(layout.size());
        // SAFETY: the caller fulfils the contract of `alloc`.
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

/// A safetensors file with `f16` numbers between -2 and 2, which are generated when they are read.
struct Made {
    header: Vec<u8>,
    length: u64,
}

fn number(place: u64) -> f16 {
    f16::from_f32((place * 7919 % 4093) as f32 / 1024.0 - 2.0)
}

impl Source for Made {
    fn name(&self) -> &str {
        "made"
    }

    fn len(&self) -> u64 {
        self.length
    }

    fn read(&self, range: Range<u64>) -> BoxFuture<'_, Result<Bytes>> {
        let header = self.header.len() as u64;
        let mut bytes = Vec::with_capacity((range.end - range.start) as usize);
        let [start, end] = [range.start, range.end].map(|at| at.min(header) as usize);
        bytes.extend_from_slice(&self.header[start..end]);
        let [start, end] = [range.start, range.end].map(|at| at.saturating_sub(header) / 2);
        bytes.extend((start..end).flat_map(|place| number(place).to_le_bytes()));
        Box::pin(std::future::ready(Ok(bytes.into())))
    }
}

/// A checkpoint with these tensors, one after another.
fn checkpoint(tensors: &[(&str, &[usize])]) -> TensorIndex {
    let mut end = 0;
    let mut entries = serde_json::Map::new();
    for (name, shape) in tensors {
        let start = end;
        end += shape.iter().product::<usize>() as u64 * 2;
        entries.insert((*name).into(), json!({"dtype": "F16", "shape": shape, "data_offsets": [start, end]}));
    }
    let mut json = serde_json::Value::Object(entries).to_string();
    json.extend(std::iter::repeat_n(' ', json.len() % 2));
    let header = [&(json.len() as u64).to_le_bytes()[..], json.as_bytes()].concat();
    let length = header.len() as u64 + end;
    block_on(TensorIndex::open(Arc::new(Made { header, length }))).unwrap()
}

fn load(index: &TensorIndex, device: &Device, dtype: Option<DType>) -> Weights {
    block_on(index.load(device, dtype)).unwrap()
}

/// Opens a GPU with the limits that WebGPU guarantees, or prints why there is none.
fn open() -> Option<Device> {
    let options = GpuOptions { guaranteed_only: true, ..GpuOptions::default() };
    match block_on(Device::open(DeviceKind::Gpu, &options)) {
        Ok(device) => Some(device),
        Err(error) if std::env::var_os("EASEL_REQUIRE_GPU").is_some() => panic!("EASEL_REQUIRE_GPU is set: {error}"),
        Err(error) => {
            println!("not tested: {error}");
            None
        }
    }
}

fn values(tensor: &Tensor) -> Vec<f32> {
    block_on(tensor.to_vec()).unwrap()
}

/// Rows of a table, read by the op that handles tables in parts.
fn rows(table: &Tensor, ids: &[u32]) -> Result<Vec<f32>> {
    let ids = Tensor::from_ids(ids.to_vec(), &[ids.len()], &table.device())?;
    table.embedding(&ids).map(|rows| values(&rows))
}

// A single test, so that nothing else allocates memory in the meantime.
#[test]
fn weights_arrive_in_pieces() -> Result<(), Error> {
    let Some(device) = open() else { return Ok(()) };
    let height = 41_003;
    let width = 2048;
    // An odd row ends at an offset where no write may start. The table exceeds the binding limit of 128 MiB.
    let index = checkpoint(&[("odd", &[1_000_003, 9]), ("table", &[height, width]), ("kernel", &[640, 640, 3, 3])]);
    let before = HELD.load(Relaxed);
    PEAK.store(before, Relaxed);
    let weights = load(&index, &device, None);
    let peak = PEAK.load(Relaxed) - before;
    println!("the host held {} MiB at most", peak >> 20);
    assert!(peak < 100 << 20, "the host held {peak} bytes");

    let table = weights.get("table", &[height, width])?;
    let ids = [0, 1, 4095, 4096, 4097, 32_767, 32_768, 32_769, height as u32 - 1];
    let first = 1_000_003 * 9;
    let expected: Vec<f32> = ids
        .iter()
        .flat_map(|row| (0..width as u64).map(move |x| number(first + u64::from(*row) * width as u64 + x).to_f32()))
        .collect();
    assert!(rows(&table, &ids)? == expected, "rows of the table");
    let odd = values(&weights.get("odd", &[1_000_003, 9])?);
    assert!(odd.iter().enumerate().all(|(place, value)| *value == number(place as u64).to_f32()), "odd rows");

    let on_cpu = load(&checkpoint(&[("kernel", &[640, 640, 3, 3])]), &Device::Cpu, None);
    let on_gpu = load(&checkpoint(&[("kernel", &[640, 640, 3, 3])]), &device, Some(DType::F32));
    let kernel = |weights: &Weights| weights.conv("kernel", [640, 640, 3, 3]).map(|kernel| values(&kernel));
    assert!(kernel(&on_cpu)? == kernel(&on_gpu)?, "a kernel laid out anew, as f32");

    let blocks = checkpoint(&[("m", &[20_001, 1056])]);
    let ids = [0, 1, 127, 128, 15_871, 15_872, 15_873, 20_000];
    let matrix = |weights: &Weights| weights.get("m", &[20_001, 1056]).and_then(|matrix| rows(&matrix, &ids));
    // Rows with an odd number of blocks, while two blocks make a unit of words. For such rows the second type is Q5_0.
    for format in [BlockFormat::Q8_0, BlockFormat::Q4K] {
        let dtype = Some(DType::Blocks(format));
        let [on_cpu, on_gpu] = [&Device::Cpu, &device].map(|device| load(&blocks, device, dtype));
        assert!(matrix(&on_cpu)? == matrix(&on_gpu)?, "blocks of {format:?}");
    }
    Ok(())
}
