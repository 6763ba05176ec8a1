//! Memory, recording and readback on any adapter.

mod common;

use common::{axpy, floats, open, run_axpy, run_axpy_as, upload};
use easel_webgpu::{Choice, Context, Dispatch, Error, Options};

#[test]
fn an_adapter_that_is_not_there_is_named_with_those_that_are() {
    let options = Options { adapter: Choice::Name("no such card".to_owned()), ..Options::default() };
    let error = pollster::block_on(Context::open(&options)).unwrap_err();
    assert!(matches!(&error, Error::NoAdapter { wanted, .. } if wanted == "\"no such card\""), "{error}");
}

#[test]
fn the_listed_adapter_is_the_opened_one() {
    let Some(context) = open(&Options::default()) else { return };
    let index = context.capabilities().adapter.index;
    let listed = pollster::block_on(easel_webgpu::adapters());
    assert_eq!(listed[index].adapter, context.capabilities().adapter);
    eprintln!("{:#?}", context.capabilities());
}

#[test]
fn what_is_written_is_read_back() {
    let Some(context) = open(&Options::default()) else { return };
    let bytes: Vec<u8> = (0..1001).map(|i| (i * 7 % 251) as u8).collect();
    let buffer = context.upload(&bytes).unwrap();
    assert_eq!(pollster::block_on(context.read(&buffer, ..)).unwrap(), bytes);
    assert_eq!(pollster::block_on(context.read(&buffer, 3..=700)).unwrap(), bytes[3..=700]);
    assert_eq!(pollster::block_on(context.read(&buffer, 1001..1001)).unwrap(), []);
    let exact = context.resident(16).unwrap();
    assert_eq!(pollster::block_on(context.read(&exact, 16..)).unwrap(), []);
}

#[test]
fn commands_keep_their_order() {
    let Some(context) = open(&Options::default()) else { return };
    let x = upload(&context, &[1.0, 2.0, 3.0]);
    let y = upload(&context, &[0.0; 3]);
    run_axpy(&context, 2.0, 0.0, &x, &y).unwrap();
    // The write comes after the dispatch that reads the old values.
    context.write(&x, 4, bytemuck::bytes_of(&10.0_f32)).unwrap();
    run_axpy(&context, 1.0, 0.5, &x, &y).unwrap();
    let z = context.alloc(12).unwrap();
    context.copy(&y, 0, &z, 0, 12).unwrap();
    run_axpy(&context, 1.0, 0.0, &x, &y).unwrap();
    assert_eq!(floats(&context, &z).unwrap(), [3.5, 14.5, 9.5]);
    assert_eq!(floats(&context, &y).unwrap(), [4.5, 24.5, 12.5]);
}

#[test]
fn many_dispatches_are_cut_into_submits() {
    let Some(context) = open(&Options::default()) else { return };
    let x = upload(&context, &[1.0]);
    let y = upload(&context, &[0.0]);
    for _ in 0..1000 {
        run_axpy(&context, 1.0, 0.0, &x, &y).unwrap();
    }
    assert_eq!(floats(&context, &y).unwrap(), [1000.0]);
    let stats = context.stats();
    assert!(stats.submits >= 8, "{stats:?}");
    assert_eq!((stats.bind_groups, stats.pipelines), (1, 1));
}

#[test]
fn heavy_dispatches_go_alone() {
    let Some(context) = open(&Options::default()) else { return };
    let x = upload(&context, &[1.0]);
    let y = upload(&context, &[0.0]);
    let heavy = || (0..6).try_for_each(|_| run_axpy_as(&context, 1.0, 0.0, &x, &y, 1 << 50));
    heavy().unwrap();
    assert_eq!(context.stats().submits, 6);
    let (plan, ()) = context.capture(heavy).unwrap();
    assert_eq!(context.stats().submits, 12);
    plan.replay().unwrap();
    assert_eq!(context.stats().submits, 18);
    assert_eq!(floats(&context, &y).unwrap(), [18.0]);
}

#[test]
fn a_dispatch_over_a_limit_says_which() {
    let Some(context) = open(&Options::default()) else { return };
    let x = upload(&context, &[1.0]);
    let y = upload(&context, &[0.0]);
    let kernel = axpy(1.0);
    let good =
        Dispatch { kernel: &kernel, inputs: &[&x], outputs: &[&y], uniforms: &[], workgroups: [1, 1, 1], work: 1 };
    let reason = |dispatch: Dispatch<'_>| match context.dispatch(dispatch).unwrap_err() {
        Error::Dispatch { kernel: "axpy", reason } => reason,
        error => panic!("{error}"),
    };
    assert_eq!(reason(Dispatch { uniforms: &[0; 257], ..good }), "257 bytes of uniforms, but the limit is 256");
    assert!(reason(Dispatch { workgroups: [1, 1 << 20, 1], ..good }).contains("1048576"));
    assert_eq!(reason(Dispatch { inputs: &[&y], ..good }), "output 0 shares its buffer with another binding");
    assert!(reason(Dispatch { inputs: &[&x; 64], ..good }).starts_with("65 storage buffers"));
    context.dispatch(good).unwrap();
    assert!(reason(Dispatch { inputs: &[&x, &x], ..good }).starts_with("bound to 2 inputs"));
}

#[test]
fn handles_and_futures_may_cross_threads() {
    fn crosses<T: Send>(_: &T) {}
    fn shared<T: Send + Sync>() {}
    shared::<Context>();
    shared::<easel_webgpu::Buffer>();
    shared::<easel_webgpu::Plan>();
    let Some(context) = open(&Options::default()) else { return };
    let buffer = upload(&context, &[1.0]);
    crosses(&Context::open(&Options::default()));
    crosses(&context.read(&buffer, ..));
    crosses(&context.stream(&buffer, 0, &[]));
    crosses(&context.finish());
    crosses(&context.profile(|| Ok::<_, Error>(())));
    let seen = std::thread::scope(|scope| scope.spawn(|| floats(&context, &buffer)).join().unwrap());
    assert_eq!(seen.unwrap(), [1.0]);
}
