//! Pooled and resident memory: reuse, limits, exhaustion, release.

mod common;

use common::{floats, open, run_axpy, upload};
use easel_webgpu::{Context, Error, Memory, Options};

fn memory(context: &Context) -> Memory {
    context.stats().memory
}

#[test]
fn freed_memory_is_used_again() {
    let Some(context) = open(&Options::default()) else { return };
    let first = context.alloc(100_000).unwrap();
    let kept = first.slice(0, 4).unwrap();
    drop(first);
    let second = context.alloc(100_000).unwrap();
    assert_eq!(memory(&context).created, 2, "a slice keeps its buffer");
    drop((kept, second));
    let Memory { in_use, allocated, peak, .. } = memory(&context);
    assert_eq!((in_use, peak), (0, allocated));
    let smaller = context.alloc(60_000).unwrap();
    assert_eq!(memory(&context).created, 2);
    let larger = context.alloc(1_000_000).unwrap();
    assert_eq!(memory(&context).created, 3);
    drop((smaller, larger));
    context.trim().unwrap();
    let after = memory(&context);
    assert_eq!((after.allocated, after.buffers, after.in_use), (0, 0, 0));
}

#[test]
fn memory_handed_out_again_does_not_disturb_what_is_recorded() {
    let Some(context) = open(&Options::default()) else { return };
    let y = upload(&context, &[0.0; 4]);
    for i in 0..10 {
        // Dropped while its dispatch is only recorded; the next upload gets the same memory.
        let x = upload(&context, &[i as f32; 4]);
        run_axpy(&context, 1.0, 0.0, &x, &y).unwrap();
    }
    assert_eq!(floats(&context, &y).unwrap(), [45.0; 4]);
    assert_eq!(memory(&context).created, 2);
}

#[test]
fn resident_memory_goes_back_to_the_driver() {
    let Some(context) = open(&Options::default()) else { return };
    let y = upload(&context, &[1.0; 4]);
    let before = memory(&context);
    let weights = context.resident(4 << 20).unwrap();
    context.write(&weights, 0, bytemuck::cast_slice(&[5.0_f32; 4])).unwrap();
    assert_eq!(memory(&context).allocated, before.allocated + (4 << 20));
    // Recorded, then dropped: the memory lives until the dispatch is submitted.
    run_axpy(&context, 1.0, 0.0, &weights, &y).unwrap();
    drop(weights);
    context.flush().unwrap();
    assert_eq!(memory(&context).allocated, before.allocated);
    assert_eq!(floats(&context, &y).unwrap(), [6.0; 4]);
}

#[test]
fn running_out_names_the_sizes_and_leaves_the_context_usable() {
    let options = Options { memory: Some(1 << 20), ..Options::default() };
    let Some(context) = open(&options) else { return };
    let held = context.alloc(512 << 10).unwrap();
    let error = context.alloc(600 << 10).unwrap_err();
    assert!(matches!(error, Error::OutOfMemory { in_use: 524_288, bytes: 614_400.. }), "{error}");
    drop(held);
    // Free memory in the pool is released to make room.
    let second = context.alloc(600 << 10).unwrap();
    assert_eq!(memory(&context).buffers, 1);
    assert!(matches!(context.resident(600 << 10), Err(Error::OutOfMemory { .. })));
    drop(second);
    context.resident(600 << 10).unwrap();
}

#[test]
fn a_buffer_over_the_limit_is_refused_before_the_driver_sees_it() {
    let Some(context) = open(&Options::default()) else { return };
    let limit = context.capabilities().limits.buffer;
    assert_eq!(context.alloc(limit + 1).unwrap_err(), Error::BufferTooLarge { bytes: limit + 1, limit });
    assert_eq!(context.resident(u64::MAX).unwrap_err(), Error::BufferTooLarge { bytes: u64::MAX, limit });
    // The driver may have less than the limit; then the test says so and continues.
    match context.resident(limit) {
        Ok(_) | Err(Error::OutOfMemory { .. }) => {}
        Err(error) => panic!("{error}"),
    }
    assert_eq!(floats(&context, &upload(&context, &[1.0])).unwrap(), [1.0]);
}

#[test]
fn ranges_outside_a_buffer_or_between_words_are_refused() {
    let Some(context) = open(&Options::default()) else { return };
    let a = context.alloc(1000).unwrap();
    let b = context.alloc(999).unwrap();
    let refused = |result: easel_webgpu::Result<()>, what| match result {
        Err(Error::Range { what: found, .. }) => assert_eq!(found, what),
        other => panic!("{other:?}"),
    };
    refused(context.write(&a, 996, &[0; 8]), "a write");
    refused(context.write(&a, 2, &[0; 4]), "a write");
    refused(context.write(&a, u64::MAX - 3, &[0; 4]), "a write");
    refused(context.copy(&a, 0, &b, 0, 1000), "a copy");
    refused(context.copy(&a, 0, &b, 2, 4), "a copy");
    refused(context.copy(&b, 0, &a, 0, 998), "a copy");
    refused(a.slice(128, 4).map(|_| ()), "a slice");
    refused(a.slice(768, 256).map(|_| ()), "a slice");
    refused(pollster::block_on(context.read(&a, 990..1001)).map(|_| ()), "a read");
    context.copy(&a, 0, &b, 0, 999).unwrap();
    assert!(matches!(context.copy(&a, 0, &a, 500, 4), Err(Error::Dispatch { kernel: "copy", .. })));
}

#[test]
fn slices_are_bound_where_they_are() {
    let Some(context) = open(&Options::default()) else { return };
    let whole = upload(&context, &(0..256).map(|i| i as f32).collect::<Vec<_>>());
    let x = whole.slice(512, 256).unwrap().slice(256, 16);
    assert!(x.is_err(), "256..272 is outside a slice of 256 bytes");
    let x = whole.slice(256, 512).unwrap().slice(256, 16).unwrap();
    let y = upload(&context, &[0.0; 4]);
    run_axpy(&context, 1.0, 0.0, &x, &y).unwrap();
    assert_eq!(floats(&context, &y).unwrap(), [128.0, 129.0, 130.0, 131.0]);
    assert_eq!(floats(&context, &x).unwrap(), [128.0, 129.0, 130.0, 131.0]);
}

#[test]
fn weights_stream_in_pieces_of_any_length() {
    let Some(context) = open(&Options::default()) else { return };
    let bytes: Vec<u8> = (0..(70 << 20) + 3).map(|i: u32| (i ^ (i >> 9)) as u8).collect();
    let weights = context.resident(bytes.len() as u64).unwrap();
    let (head, tail) = bytes.split_at(20 << 20);
    pollster::block_on(context.stream(&weights, 0, head)).unwrap();
    pollster::block_on(context.stream(&weights, 20 << 20, tail)).unwrap();
    pollster::block_on(context.finish()).unwrap();
    let found = pollster::block_on(context.read(&weights, ..)).unwrap();
    assert!(found == bytes);
}

#[test]
fn live_buffers_never_share_memory() {
    let Some(context) = open(&Options::default()) else { return };
    let mut live = Vec::new();
    let mut state = 1_u32;
    let mut random = |below: u32| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) % below
    };
    for tag in 0..400 {
        if random(5) < 2 && !live.is_empty() {
            live.swap_remove(random(live.len() as u32) as usize);
        }
        let values = vec![tag as f32; random(2000) as usize + 1];
        let buffer = upload(&context, &values);
        if random(10) == 0 {
            context.trim().unwrap();
        }
        live.push((buffer, values));
    }
    for (buffer, values) in &live {
        assert!(floats(&context, buffer).unwrap() == *values);
    }
    let Memory { in_use, allocated, peak, .. } = memory(&context);
    let asked: u64 = live.iter().map(|(buffer, _)| buffer.bytes()).sum();
    assert!(asked <= in_use && in_use <= peak && in_use <= allocated, "{:?}", memory(&context));
    drop(live);
    assert_eq!(memory(&context).in_use, 0);
}
