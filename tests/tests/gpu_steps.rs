//! A denoising step on a GPU takes hardly more dispatches than the model has fused ops, and from the second step on
//! allocates no memory and no bind groups.

use easel_inference::families::{ModelFiles, OpenOptions};
use easel_inference::models::unet::{UNet, UNetConditioning, UNetConfig};
use easel_inference::tensor::{DeviceKind, GpuDevice, GpuOptions, Replay};
use easel_inference::weights::ComponentFiles;
use easel_inference::{DType, Device, Result, Tensor};
use easel_tests::files::repository;
use pollster::block_on;

fn open() -> Option<(Device, GpuDevice)> {
    let options = GpuOptions { float: Some(DType::F32), ..GpuOptions::default() };
    match block_on(Device::open(DeviceKind::Gpu, &options)) {
        Ok(Device::Gpu(gpu)) => Some((Device::Gpu(gpu.clone()), gpu)),
        Ok(other) => panic!("{other} is not a GPU"),
        Err(error) if std::env::var_os("EASEL_REQUIRE_GPU").is_some() => panic!("EASEL_REQUIRE_GPU is set: {error}"),
        Err(error) => {
            println!("not tested: {error}");
            None
        }
    }
}

/// The expected dispatches for the tensors of a UNet. A convolution or linear layer is one, with its bias, activation
/// and residual; a layer norm is one; a group norm with its activation is three, since its moments come first.
fn counted(unet: &ComponentFiles) -> usize {
    let of = |name: &str| {
        let Some(layer) = name.strip_suffix(".weight") else { return 0 };
        let last = |part: &str| layer.ends_with(part);
        let in_transformer = layer.contains("transformer_blocks");
        if last("norm1") || last("norm2") || last("norm3") || last(".norm") || last("norm_out") {
            return if in_transformer { 1 } else { 3 };
        }
        // Ops without tensors: attention before its output, GEGLU after its product, the time embedding's addition, and
        // the concatenation of a skip connection on the way up.
        let also = last("to_out.0") || last("ff.net.0.proj") || last("time_emb_proj");
        let joins = layer.starts_with("up_blocks") && last("conv1");
        1 + usize::from(also || joins)
    };
    // The time embedding's activation.
    unet.tensors.iter().map(|(name, _)| of(name)).sum::<usize>() + 1
}

#[test]
fn a_step_runs_its_fused_ops_and_allocates_nothing() -> Result<()> {
    for model in ["tests/golden/sd15", "models/easel-emoji"] {
        let Some((device, gpu)) = open() else { return Ok(()) };
        let files = block_on(ModelFiles::open_path(&repository().join(model), &OpenOptions::default()))?;
        let component = files.component("unet")?;
        let config = UNetConfig::from_json(&component.config_file, &component.config)?;
        let text_width = component.config["cross_attention_dim"].as_u64().unwrap_or_default() as usize;
        let unet = UNet::new(&block_on(component.weights(&device, None))?, config)?;

        let wave = |shape: &[usize]| {
            let data = (0..shape.iter().product::<usize>()).map(|i| (i as f32 * 0.37).sin()).collect();
            Tensor::from_vec(data, shape, &device)
        };
        let sample = wave(&[2, 16, 16, 4])?;
        let states = wave(&[2, 77, text_width])?;
        let conditioning = UNetConditioning::default();
        let step = |inputs: &[Tensor]| unet.forward_features(&inputs[0], &inputs[1], &states, &conditioning);

        let time = unet.timestep_features(500.0, &device)?;
        let (plan, _) = gpu.context().capture(|| step(&[sample.clone(), time.clone()]))?;
        let dispatches = plan.dispatches();
        let counted = counted(component);
        println!("{model}: {dispatches} dispatches, {counted} counted");
        assert!(dispatches * 10 <= counted * 11, "{model}: {dispatches} dispatches, expected about {counted}");
        drop(plan);

        let mut replay = Replay::default();
        let mut run = |timestep| {
            let time = unet.timestep_features(timestep, &device)?;
            block_on(replay.run(&[&sample, &time], step)?.to_vec())
        };
        run(900.0)?;
        let second = run(500.0)?;
        let made = || {
            let stats = gpu.context().stats();
            [stats.memory.created, stats.bind_groups, stats.pipelines as u64]
        };
        let before = made();
        assert_ne!(run(100.0)?, second, "{model}: the timestep is an input");
        assert_eq!(run(500.0)?, second, "{model}: a replay costs the same");
        assert_eq!(made(), before, "{model}: memory, bind groups or kernels made in later steps");
    }
    Ok(())
}
