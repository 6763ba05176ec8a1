//! The embedded model on a GPU: the same pictures as on the processor, also where the device grants nothing beyond what
//! WebGPU guarantees everywhere.

use easel_inference::pipeline::{CancelToken, LoadOptions, Picture, Pipeline, Request, Unwatched};
use easel_inference::tensor::{DeviceKind, GpuOptions};
use easel_inference::weights::{ModelFiles, OpenOptions};
use easel_inference::{DType, Device};
use easel_tests::files::repository;
use pollster::block_on;

fn draw(device: Device) -> Picture {
    let path = repository().join("models/easel-emoji");
    let files = block_on(ModelFiles::open_path(&path, &OpenOptions::default())).unwrap();
    let cancel = CancelToken::default();
    let pipeline = block_on(Pipeline::load(&files, &LoadOptions::new(device), &mut Unwatched, &cancel)).unwrap();
    let mut request = Request::new("a red apple", Some("blue"), 3, 1);
    request.steps = Some(4);
    block_on(pipeline.generate(&request, &mut Unwatched, &cancel)).unwrap().remove(0)
}

#[test]
fn a_gpu_draws_what_the_processor_draws() {
    let expected = draw(Device::Cpu).image.rgb8;
    for guaranteed_only in [false, true] {
        let options = GpuOptions { float: Some(DType::F32), guaranteed_only, ..GpuOptions::default() };
        let device = match block_on(Device::open(DeviceKind::Gpu, &options)) {
            Ok(device) => device,
            Err(error) if std::env::var_os("EASEL_REQUIRE_GPU").is_some() => {
                panic!("EASEL_REQUIRE_GPU is set: {error}")
            }
            Err(error) => return println!("not tested: {error}"),
        };
        let got = draw(device).image.rgb8;
        assert_eq!(got.len(), expected.len());
        let worst = got.iter().zip(&expected).map(|(a, b)| a.abs_diff(*b)).max();
        assert!(worst <= Some(3), "{worst:?} levels apart, guaranteed limits only: {guaranteed_only}");
    }
}
