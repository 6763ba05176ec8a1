//! Errors that come from the device: kernels that do not compile, and the device going away.

mod common;

use common::{axpy, floats, open, run_axpy, upload};
use easel_webgpu::shader::Kernel;
use easel_webgpu::{Error, Options};

#[test]
fn a_kernel_that_does_not_compile_says_where() {
    let Some(context) = open(&Options::default()) else { return };
    let broken =
        Kernel { name: "broken", source: "@compute @workgroup_size(1) fn broken() { let x: u32 = 1.5; }", ..axpy(1.0) };
    let error = context.warm(&[(axpy(2.0), 1, 1), (broken, 1, 1)]).unwrap_err();
    let Error::Kernel { kernel: "broken", reason } = &error else { panic!("{error}") };
    assert!(reason.contains("u32") && !reason.contains('\n'), "{reason}");
    assert_eq!(context.stats().pipelines, 1);
    let x = upload(&context, &[1.0]);
    let y = upload(&context, &[0.0]);
    run_axpy(&context, 2.0, 0.0, &x, &y).unwrap();
    assert_eq!(floats(&context, &y).unwrap(), [2.0]);
    assert_eq!(context.stats().pipelines, 1, "warmed");
}

#[test]
fn after_a_loss_every_call_says_so_and_a_new_context_works() {
    let Some(context) = open(&Options::default()) else { return };
    let x = upload(&context, &[1.0]);
    let y = upload(&context, &[0.0]);
    let (plan, ()) = context.capture(|| run_axpy(&context, 1.0, 0.0, &x, &y)).unwrap();
    let on_its_way = context.read(&y, ..);
    run_axpy(&context, 1.0, 0.0, &x, &y).unwrap();
    context.destroy();
    assert!(context.is_lost());
    let lost = Error::DeviceLost { reason: "destroyed".to_owned() };
    assert_eq!(pollster::block_on(on_its_way).unwrap_err(), lost);
    assert_eq!(context.alloc(4).unwrap_err(), lost);
    assert_eq!(context.resident(4).unwrap_err(), lost);
    assert_eq!(context.write(&x, 0, &[0; 4]).unwrap_err(), lost);
    assert_eq!(context.copy(&x, 0, &y, 0, 4).unwrap_err(), lost);
    assert_eq!(run_axpy(&context, 1.0, 0.0, &x, &y).unwrap_err(), lost);
    assert_eq!(plan.replay().unwrap_err(), lost);
    assert_eq!(context.flush().unwrap_err(), lost);
    assert_eq!(pollster::block_on(context.finish()).unwrap_err(), lost);
    assert_eq!(floats(&context, &y).unwrap_err(), lost);

    let fresh = pollster::block_on(context.reopen()).unwrap();
    assert_eq!(fresh.capabilities(), context.capabilities());
    let x = upload(&fresh, &[1.0]);
    let y = upload(&fresh, &[0.0]);
    run_axpy(&fresh, 4.0, 0.0, &x, &y).unwrap();
    assert_eq!(floats(&fresh, &y).unwrap(), [4.0]);
}

#[test]
fn readings_overlap_and_may_be_given_up() {
    let Some(context) = open(&Options::default()) else { return };
    let x = upload(&context, &[1.0; 1000]);
    let y = upload(&context, &[0.0; 1000]);
    let readings: Vec<_> = (0..8)
        .map(|_| {
            run_axpy(&context, 1.0, 0.0, &x, &y).unwrap();
            context.read(&y, ..4)
        })
        .collect();
    for (step, mut reading) in readings.into_iter().enumerate() {
        if step % 2 == 1 {
            continue;
        }
        while !reading.is_ready() {
            std::thread::yield_now();
        }
        let bytes = pollster::block_on(reading).unwrap();
        assert_eq!(bytes, (step as f32 + 1.0).to_le_bytes());
    }
    assert_eq!(floats(&context, &y).unwrap()[999], 8.0);
}

#[test]
fn with_only_what_is_guaranteed_there_is_no_option_and_it_works() {
    let options = Options { guaranteed_only: true, ..Options::default() };
    let Some(context) = open(&options) else { return };
    let capabilities = context.capabilities();
    assert_eq!((capabilities.f16, capabilities.subgroups, capabilities.timestamps), (false, None, false));
    let limits = capabilities.limits;
    assert_eq!((limits.storage_binding, limits.buffer, limits.storage_buffers), (128 << 20, 256 << 20, 8));
    assert_eq!((limits.workgroup_storage, limits.invocations), (16_384, 256));
    let x = upload(&context, &[1.0]);
    let y = upload(&context, &[0.0]);
    run_axpy(&context, 4.0, 0.0, &x, &y).unwrap();
    assert_eq!(floats(&context, &y).unwrap(), [4.0]);
}
