//! Capture and replay, and profiles of both.

mod common;

use common::{axpy, floats, open, run_axpy, upload};
use easel_webgpu::{Buffer, Context, Error, Options, Result};

/// `3 * (2 * x + 1) + 10` through two temporaries and two uploads.
fn ops(context: &Context, x: &Buffer) -> Result<Buffer> {
    let constant = |value| upload(context, &vec![value; (x.bytes() / 4) as usize]);
    let zero = constant(0.0);
    let ten = constant(10.0);
    let doubled = context.alloc(x.bytes())?;
    context.copy(&zero, 0, &doubled, 0, x.bytes())?;
    run_axpy(context, 2.0, 1.0, x, &doubled)?;
    let tripled = context.alloc(x.bytes())?;
    context.copy(&ten, 0, &tripled, 0, x.bytes())?;
    run_axpy(context, 3.0, 0.0, &doubled, &tripled)?;
    drop((zero, ten, doubled));
    // Reuses the memory of `doubled`, but not that of the uploads: their content has to last.
    let result = context.alloc(x.bytes())?;
    context.copy(&tripled, 0, &result, 0, x.bytes())?;
    Ok(result)
}

#[test]
fn a_replay_computes_with_new_inputs_and_allocates_nothing() {
    let Some(context) = open(&Options::default()) else { return };
    let x = upload(&context, &[1.0, 2.0, 3.0]);
    let (plan, result) = context.capture(|| ops(&context, &x)).unwrap();
    assert_eq!(floats(&context, &result).unwrap(), [19.0, 25.0, 31.0]);
    assert_eq!(plan.dispatches(), 2);
    let before = context.stats();
    for i in 0..5 {
        let i = i as f32;
        context.write(&x, 0, bytemuck::cast_slice(&[i, 10.0 * i, -i])).unwrap();
        plan.replay().unwrap();
        // Other work in between does not use the plan's memory.
        drop(upload(&context, &[777.0; 3]));
        assert_eq!(floats(&context, &result).unwrap(), [6.0 * i + 13.0, 60.0 * i + 13.0, 13.0 - 6.0 * i]);
    }
    let after = context.stats();
    assert_eq!((before.bind_groups, before.pipelines), (after.bind_groups, after.pipelines));
    assert_eq!(before.memory.created + 1, after.memory.created, "only the upload in between");
}

#[test]
fn a_plan_keeps_its_memory_and_gives_it_back() {
    let Some(context) = open(&Options::default()) else { return };
    let x = upload(&context, &[1.0; 1000]);
    let before = context.stats().memory.in_use;
    let (plan, result) = context.capture(|| ops(&context, &x)).unwrap();
    drop((x, result));
    assert_eq!(context.stats().memory.in_use, before + plan.bytes(), "input and temporaries belong to the plan");
    plan.replay().unwrap();
    drop(plan);
    assert_eq!(context.stats().memory.in_use, 0);
}

#[test]
fn temporaries_are_reused_inside_a_plan() {
    let Some(context) = open(&Options::default()) else { return };
    let y = upload(&context, &[0.0; 1000]);
    let (plan, ()) = context
        .capture(|| {
            for _ in 0..50 {
                let x = context.alloc(4000)?;
                context.copy(&y, 0, &x, 0, 4000)?;
                run_axpy(&context, 0.5, 1.0, &x, &y)?;
            }
            Ok::<_, Error>(())
        })
        .unwrap();
    assert!(plan.bytes() < 8192, "{}", plan.bytes());
    let expected = (0..100).fold(0.0_f32, |y, _| y + 0.5 * y + 1.0);
    plan.replay().unwrap();
    let found = floats(&context, &y).unwrap()[999];
    assert!((found / expected - 1.0).abs() < 1e-5, "{found} {expected}");
}

#[test]
fn a_long_plan_is_cut_into_submits() {
    let Some(context) = open(&Options::default()) else { return };
    let x = upload(&context, &[1.0]);
    let y = upload(&context, &[0.0]);
    let run = || (0..600).try_for_each(|_| run_axpy(&context, 1.0, 0.0, &x, &y));
    let before = context.stats().submits;
    let (plan, ()) = context.capture(run).unwrap();
    plan.replay().unwrap();
    assert!(context.stats().submits >= before + 10);
    assert_eq!(floats(&context, &y).unwrap(), [1200.0]);
}

#[test]
fn what_cannot_be_replayed_is_refused() {
    let Some(context) = open(&Options::default()) else { return };
    let x = upload(&context, &[1.0]);
    let y = upload(&context, &[0.0]);
    let refused = |ops: &dyn Fn() -> Result<()>, name: &str| match context.capture(ops) {
        Err(Error::Capture { what }) => assert_eq!(what, name),
        other => panic!("{other:?}"),
    };
    refused(&|| floats(&context, &x).map(|_| ()), "a read");
    refused(&|| context.capture(|| Ok::<_, Error>(())).map(|_| ()), "a capture");
    let late_write = || {
        run_axpy(&context, 1.0, 0.0, &x, &y)?;
        context.write(&x, 0, &[0; 4])
    };
    refused(&late_write, "a write to a buffer in use");
    let (plan, ()) = context.capture(|| run_axpy(&context, 1.0, 0.0, &x, &y)).unwrap();
    refused(&|| plan.replay(), "a replay");
    // After all these the context records as before.
    run_axpy(&context, 1.0, 0.0, &x, &y).unwrap();
    assert_eq!(floats(&context, &y).unwrap(), [2.0]);
}

#[test]
fn a_failed_capture_runs_nothing_and_keeps_nothing() {
    let Some(context) = open(&Options::default()) else { return };
    let x = upload(&context, &[1.0]);
    let y = upload(&context, &[0.0]);
    let before = context.stats().memory.in_use;
    let failing = || {
        let z = ops(&context, &x)?;
        run_axpy(&context, 1.0, 0.0, &z, &y)?;
        Err::<(), _>(Error::Unsupported { feature: "luck" })
    };
    assert_eq!(context.capture(failing).map(|_| ()), Err(Error::Unsupported { feature: "luck" }));
    assert_eq!(context.stats().memory.in_use, before);
    assert_eq!(floats(&context, &y).unwrap(), [0.0]);
}

#[test]
fn a_profile_counts_every_dispatch() {
    let Some(context) = open(&Options::default()) else { return };
    let x = upload(&context, &[1.0; 100]);
    let y = upload(&context, &[0.0; 100]);
    let run = || (0..300).try_for_each(|_| run_axpy(&context, 1.0, 0.0, &x, &y));
    if !context.capabilities().timestamps {
        let error = pollster::block_on(context.profile(run)).unwrap_err();
        assert!(matches!(error, Error::Unsupported { .. }));
        return;
    }
    let (profile, ()) = pollster::block_on(context.profile(run)).unwrap();
    let [row] = &profile.rows[..] else { panic!("{profile}") };
    assert_eq!((row.kernel, row.count, row.work), (axpy(1.0).name, 300, 30_000));
    assert!(!row.time.is_zero());
    assert_eq!(floats(&context, &y).unwrap(), [300.0; 100]);
    eprintln!("{profile}");
}
