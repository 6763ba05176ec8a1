//! The rules over made-up states.

use super::*;
use easel_inference::pipeline::ComponentNeeds;
use easel_inference::tensor::DeviceKind;
use std::time::Duration;

/// A model of one component.
fn needs(weights: u64, work: u64) -> [Needs; 1] {
    let component = ComponentNeeds { weights, loading: weights, work, ..ComponentNeeds::default() };
    [Needs { size: [64, 64], components: vec![component] }]
}

/// A model of two components, which takes less if they are held in turn.
fn large() -> [Needs; 1] {
    let [one] = needs(60, 10);
    let component = one.components[0].clone();
    [Needs { components: vec![component.clone(), component], ..one }]
}

/// An idle model with weights of 30, used as many seconds after the others as it says.
fn place(model: &str, used: u64) -> Place {
    let size = Size { weights: 30, work: 0 };
    // The same moment for all places of a test: only differences count.
    static BEGAN: std::sync::LazyLock<Instant> = std::sync::LazyLock::new(Instant::now);
    let used = *BEGAN + Duration::from_secs(used);
    Place {
        model: model.to_owned(),
        device: DeviceKind::Cpu.into(),
        keeping: Keeping::All,
        size,
        users: 0,
        is_loading: false,
        used,
    }
}

fn busy(model: &str, used: u64) -> Place {
    Place { users: 1, size: Size { weights: 30, work: 10 }, ..place(model, used) }
}

fn step(places: &[Place], model: &str, needs: &[Needs], memory: u64) -> Step {
    let bounds = Bounds { memory: Some(memory), models: usize::MAX };
    next(places, &Wanted { model, device: DeviceKind::Cpu.into(), needs, ways: Keeping::ways(None) }, bounds)
}

fn load(leave: &[usize]) -> Step {
    Step::Load { keeping: Keeping::All, size: Size { weights: 30, work: 10 }, leave: leave.to_vec() }
}

#[test]
fn a_loaded_model_is_used_and_a_model_for_which_there_is_room_is_loaded() {
    let places = [place("a", 0), place("b", 1)];
    assert_eq!(step(&places, "b", &needs(30, 10), 100), Step::Use { index: 1, leave: vec![], work: 10 });
    assert_eq!(step(&places, "c", &needs(30, 10), 100), load(&[]));
    assert_eq!(step(&[], "c", &needs(30, 10), 40), load(&[]));
}

#[test]
fn the_least_recently_used_models_leave_where_there_is_no_room() {
    let places = [place("a", 2), place("b", 1), place("c", 3)];
    assert_eq!(step(&places, "d", &needs(30, 10), 100), load(&[1]));
    assert_eq!(step(&places, "d", &needs(30, 10), 99), load(&[0, 1]));
    assert_eq!(step(&places, "d", &needs(30, 10), 40), load(&[0, 1, 2]));
    let large = step(&places, "b", &needs(30, 40), 100);
    assert_eq!(large, Step::Use { index: 1, leave: vec![0], work: 40 }, "for the work of a loaded one, too");
}

#[test]
fn models_at_work_stay_and_tasks_wait_for_them() {
    let places = [busy("a", 0), place("b", 1)];
    assert_eq!(step(&places, "c", &needs(30, 10), 110), load(&[]));
    assert_eq!(step(&places, "c", &needs(30, 10), 80), load(&[1]));
    assert_eq!(step(&places, "c", &needs(30, 10), 79), Step::Wait);
    assert_eq!(step(&places, "a", &needs(30, 10), 80), Step::Use { index: 0, leave: vec![], work: 10 });
    assert_eq!(step(&places, "a", &needs(30, 10), 50), Step::Use { index: 0, leave: vec![1], work: 10 });
    assert_eq!(step(&places, "a", &needs(30, 10), 49), Step::Wait);
}

#[test]
fn one_model_is_loaded_at_a_time_and_none_twice() {
    let loading = Place { is_loading: true, ..busy("a", 0) };
    let places = [loading, place("b", 1)];
    assert_eq!(step(&places, "a", &needs(30, 10), 1000), Step::Wait);
    assert_eq!(step(&places, "c", &needs(30, 10), 1000), Step::Wait);
    assert_eq!(step(&places, "b", &needs(30, 10), 1000), Step::Use { index: 1, leave: vec![], work: 10 });
    assert_eq!(step(&places, "b", &needs(30, 10), 79), Step::Wait, "what is loaded counts from the start");
}

#[test]
fn components_are_held_in_turn_where_all_do_not_fit_and_what_does_not_fit_at_all_is_refused() {
    let in_turn = |leave: &[usize]| {
        let size = Size { weights: 0, work: 70 };
        Step::Load { keeping: Keeping::InTurn, size, leave: leave.to_vec() }
    };
    assert_eq!(step(&[place("b", 0)], "a", &large(), 129), in_turn(&[]));
    assert_eq!(step(&[place("b", 0)], "a", &large(), 99), in_turn(&[0]));
    assert_eq!(step(&[place("b", 0)], "a", &large(), 69), Step::Refuse);
    assert_eq!(step(&[busy("b", 0)], "a", &large(), 69), Step::Wait, "until it is known what is free then");

    let held = Place { keeping: Keeping::InTurn, size: Size::default(), ..place("a", 0) };
    let all = Size { weights: 120, work: 10 };
    let anew = Step::Load { keeping: Keeping::All, size: all, leave: vec![0] };
    assert_eq!(step(std::slice::from_ref(&held), "a", &large(), 130), anew, "there is more memory now");
    let used = Place { users: 1, ..held };
    assert_eq!(step(&[used], "a", &large(), 130), Step::Wait);
}

#[test]
fn only_the_ways_that_were_asked_for_are_considered() {
    let needs = large();
    let wanted = |asked| {
        let ways = Keeping::ways(Some(asked));
        Wanted { model: "a", device: DeviceKind::Cpu.into(), needs: &needs, ways }
    };
    let plenty = Bounds { memory: Some(1000), models: usize::MAX };
    let size = Size { weights: 0, work: 70 };
    for keeping in [Keeping::InTurn, Keeping::Offload] {
        assert_eq!(next(&[], &wanted(keeping), plenty), Step::Load { keeping, size, leave: vec![] });
    }
    let little = Bounds { memory: Some(129), models: usize::MAX };
    assert_eq!(next(&[], &wanted(Keeping::All), little), Step::Refuse, "it fits in turn, which was not asked for");
}

#[test]
fn models_are_counted_where_memory_is_not_known() {
    let bounds = |models| Bounds { memory: None, models };
    let wanted = |model| Wanted { model, device: DeviceKind::Gpu.into(), needs: &[], ways: Keeping::ways(None) };
    let on_gpu = |place: Place| Place { device: DeviceKind::Gpu.into(), ..place };
    let places = [on_gpu(place("a", 1)), on_gpu(place("b", 0))];
    let load = |leave| Step::Load { keeping: Keeping::All, size: Size::default(), leave };
    assert_eq!(next(&places, &wanted("c"), bounds(3)), load(vec![]));
    assert_eq!(next(&places, &wanted("c"), bounds(2)), load(vec![1]));
    assert_eq!(next(&places, &wanted("c"), bounds(1)), load(vec![0, 1]));
    assert_eq!(next(&places, &wanted("a"), bounds(1)), Step::Use { index: 0, leave: vec![], work: 0 });
    let places = [on_gpu(busy("a", 0))];
    assert_eq!(next(&places, &wanted("c"), bounds(1)), Step::Wait);
}

#[test]
fn models_of_another_device_leave_when_one_is_loaded() {
    let places = [Place { device: DeviceKind::Gpu.into(), ..place("a", 0) }, place("b", 1)];
    assert_eq!(step(&places, "a", &needs(30, 10), 1000), load(&[0]));
}

#[test]
fn each_gpu_with_an_engine_of_its_own_has_its_models() {
    let device = |gpu| Target { kind: DeviceKind::Gpu, gpu: Some(gpu) };
    let at = |gpu, place: Place| Place { device: device(gpu), ..place };
    let wanted = |model, gpu| Wanted { model, device: device(gpu), needs: &[], ways: Keeping::ways(None) };
    let bounds = Bounds { memory: None, models: 1 };
    let load = |leave| Step::Load { keeping: Keeping::All, size: Size::default(), leave };
    let places = [at(0, place("a", 0))];
    assert_eq!(next(&places, &wanted("a", 1), bounds), load(vec![]), "another copy");
    let places = [at(0, place("a", 0)), at(1, place("a", 1))];
    assert_eq!(next(&places, &wanted("a", 1), bounds), Step::Use { index: 1, leave: vec![], work: 0 });
    assert_eq!(next(&places, &wanted("b", 1), bounds), load(vec![1]), "the one on the other GPU stays");
    let places = [at(0, busy("a", 0)), at(1, place("a", 1))];
    assert_eq!(next(&places, &wanted("b", 1), bounds), load(vec![1]), "work on the other GPU goes on");
}
