//! Events and their lines in the text.

use super::*;

#[test]
fn f20_the_text_conforms_to_its_media_type() {
    let metrics = Metrics::default();
    metrics.answered("GET", None, 200, Duration::from_millis(2));
    let text = metrics.text(Counts::default(), None).unwrap();
    assert!(text.ends_with("# EOF\n") && text.matches("# EOF").count() == 1, "{text}");
    assert!(text.contains("# TYPE easel_http_requests counter\n"), "{text}");
}

#[test]
fn counted_events_are_in_the_text() {
    let metrics = Metrics::default();
    metrics.answered("GET", None, 404, Duration::from_millis(2));
    metrics.stepped();
    metrics.drawn(3, Duration::from_secs(1));
    metrics.waited(Duration::from_secs(2));
    metrics.worked(Stage::Load, Duration::from_secs(3));
    metrics.finished(Finish::Completed);
    metrics.models().held(2, 3 << 20);
    metrics.models().left(Reason::Idle);
    let mut counts = Counts::default();
    counts.set(Status::Pending, 2);
    counts.set_waiting(Priority::High, 2);
    let text = metrics.text(counts, Some(Duration::from_secs(4))).unwrap();
    for line in [
        "easel_http_requests_total{method=\"GET\",route=\"\",status=\"404\"} 1",
        "easel_http_request_duration_seconds_count 1",
        "easel_denoising_steps_total 1",
        "easel_pictures_total 3",
        "easel_drawing_seconds_sum 1.0",
        "easel_task_wait_seconds_sum 2.0",
        "easel_phase_seconds_sum{phase=\"load\"} 3.0",
        "easel_phase_seconds_count{phase=\"step\"} 0",
        "easel_tasks_finished_total{result=\"completed\"} 1",
        "easel_tasks_finished_total{result=\"error\"} 0",
        "easel_tasks{status=\"pending\"} 2",
        "easel_tasks{status=\"error\"} 0",
        "easel_waiting_tasks{priority=\"high\"} 2",
        "easel_waiting_tasks{priority=\"low\"} 0",
        "easel_engine_silence_seconds 4",
        "easel_models_loaded 2",
        "easel_models_memory_bytes 3145728",
        "easel_model_loads_total 0",
        "easel_model_unloads_total{reason=\"idle\"} 1",
        "easel_gpu_memory_bytes 0",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }
    assert!(text.contains("easel_build_info{version=\""), "{text}");
}

#[test]
fn the_process_is_measured() {
    let metrics = Metrics::default();
    let value = |text: &str, name: &str| -> f64 {
        let line = text.lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
        line.unwrap_or_else(|| panic!("{name} is not in\n{text}")).parse().unwrap()
    };
    let before = metrics.text(Counts::default(), None).unwrap();
    assert!(value(&before, "process_resident_memory_bytes") > 1e6, "{before}");
    assert!(value(&before, "process_start_time_seconds") > 1.5e9, "{before}");
    let after = metrics.text(Counts::default(), None).unwrap();
    assert!(value(&after, "process_cpu_seconds_total") >= value(&before, "process_cpu_seconds_total"));
}
