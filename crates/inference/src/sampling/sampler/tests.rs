//! Cases that the golden files do not cover: late starts and refusals.

use super::*;
use crate::Device;
use serde_json::json;

fn config(class: SchedulerClass) -> SchedulerConfig {
    SchedulerConfig::from_json(&json!({"_class_name": class.name(), "skip_prk_steps": true})).unwrap()
}

fn sampler(class: SchedulerClass, options: impl Into<TimestepOptions>) -> Result<Sampler> {
    Sampler::new(&config(class), &options.into(), &StepOptions::default())
}

fn tensor(scale: f32) -> Tensor {
    let data = (0..16).map(|i| ((i * 7 % 16) as f32 / 8.0 - 1.0) * scale).collect();
    Tensor::from_vec(data, &[1, 2, 2, 4], &Device::Cpu).unwrap()
}

#[test]
fn a_run_can_start_late_with_any_sampler() {
    for class in SchedulerClass::ALL {
        let mut sampler = sampler(class, 10).unwrap();
        let start = sampler.start_for_strength(0.55);
        let skipped = if class.name().starts_with("FlowMatch") { 4 } else { 5 };
        assert_eq!(start, skipped * class.order(), "{class:?}");
        let mut sample = sampler.add_noise(&tensor(1.0), &tensor(0.7), start).unwrap();
        let mut noise = Noise::batch(1);
        for index in start..sampler.timesteps().len() {
            sampler.scale_model_input(index, &sample).unwrap();
            sample = sampler.step(index, &tensor(0.1), &sample, &mut noise).unwrap();
        }
        let values = pollster::block_on(sample.to_vec()).unwrap();
        assert!(values.iter().all(|value| value.is_finite()), "{class:?}");
    }
}

#[test]
fn the_ends_of_strength() {
    let sampler = sampler(SchedulerClass::Heun, 10).unwrap();
    assert_eq!(sampler.start_for_strength(1.0), 0);
    assert_eq!(sampler.start_for_strength(0.0), sampler.timesteps().len());
}

#[test]
fn calls_out_of_order_are_refused() {
    let mut sampler = sampler(SchedulerClass::Dpm2, 3).unwrap();
    let mut noise = Noise::batch(0);
    let invalid = |result: Result<Tensor>| matches!(result, Err(Error::Invalid { field: "index", .. }));
    assert!(invalid(sampler.step(5, &tensor(1.0), &tensor(1.0), &mut noise)));
    assert!(sampler.step(0, &tensor(1.0), &tensor(1.0), &mut noise).is_ok());
    assert!(invalid(sampler.step(0, &tensor(1.0), &tensor(1.0), &mut noise)));
    assert!(invalid(sampler.step(2, &tensor(1.0), &tensor(1.0), &mut noise)));
    assert!(sampler.step(1, &tensor(1.0), &tensor(1.0), &mut noise).is_ok());
}

#[test]
fn options_that_a_scheduler_does_not_accept_are_refused() {
    let field = |class, options: TimestepOptions| match sampler(class, options) {
        Err(Error::Invalid { field, .. }) => field,
        other => panic!("{other:?}"),
    };
    let none = TimestepOptions::default;
    use SchedulerClass::{Ddim, Ddpm, DpmMultistep, Euler, FlowMatchEuler, Lcm, Pndm};
    assert_eq!(field(Ddim, none()), "steps");
    assert_eq!(field(Ddim, 0.into()), "steps");
    assert_eq!(field(Ddim, 1001.into()), "steps");
    assert_eq!(field(Ddim, TimestepOptions { timesteps: Some(vec![9.0]), ..none() }), "timesteps");
    assert_eq!(field(Ddpm, TimestepOptions { timesteps: Some(vec![9.0, 10.0]), ..none() }), "timesteps");
    assert_eq!(field(Ddpm, TimestepOptions { timesteps: Some(vec![1000.0]), ..none() }), "timesteps");
    assert_eq!(field(Ddpm, TimestepOptions { timesteps: Some(vec![f64::NAN]), ..none() }), "timesteps");
    assert_eq!(field(Ddpm, TimestepOptions { steps: Some(2), timesteps: Some(vec![9.0]), ..none() }), "steps");
    assert_eq!(field(DpmMultistep, TimestepOptions { sigmas: Some(vec![9.0]), ..none() }), "sigmas");
    assert_eq!(field(Euler, TimestepOptions { sigmas: Some(vec![]), ..none() }), "sigmas");
    assert_eq!(field(Euler, TimestepOptions { mu: Some(1.0), ..5.into() }), "mu");
    assert_eq!(field(Euler, TimestepOptions { strength: Some(1.0), ..5.into() }), "strength");
    assert_eq!(field(Lcm, TimestepOptions { strength: Some(2.0), ..5.into() }), "strength");
    assert_eq!(field(Lcm, TimestepOptions { original_inference_steps: Some(3), ..5.into() }), "steps");
    assert_eq!(
        field(Lcm, TimestepOptions { original_inference_steps: Some(0), ..5.into() }),
        "original_inference_steps"
    );
    assert!(sampler(FlowMatchEuler, 5).is_ok());
    let prk = json!({"_class_name": Pndm.name(), "skip_prk_steps": false});
    let prk = Sampler::new(&SchedulerConfig::from_json(&prk).unwrap(), &3.into(), &StepOptions::default());
    assert!(matches!(prk, Err(Error::Invalid { field: "steps", .. })));
}

#[test]
fn step_options_out_of_range_are_refused() {
    let field = |step: StepOptions| match Sampler::new(&config(SchedulerClass::Euler), &5.into(), &step) {
        Err(Error::Invalid { field, .. }) => field,
        other => panic!("{other:?}"),
    };
    assert_eq!(field(StepOptions { eta: Some(1.5), ..StepOptions::default() }), "eta");
    assert_eq!(field(StepOptions { lms_order: 0, ..StepOptions::default() }), "lms_order");
    assert_eq!(field(StepOptions { s_churn: f64::NAN, ..StepOptions::default() }), "s_churn");
}

#[test]
fn a_schedule_that_is_not_finite_is_refused() {
    let json = json!({
        "_class_name": "EulerDiscreteScheduler", "use_exponential_sigmas": true, "sigma_min": 0.0,
    });
    let sampler = Sampler::new(&SchedulerConfig::from_json(&json).unwrap(), &5.into(), &StepOptions::default());
    assert!(matches!(sampler, Err(Error::NotFinite { .. })));
}
