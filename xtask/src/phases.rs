//! Runs several phases and prints how long each took, even if one failed.

use anyhow::{Context, Result};
use std::fmt::Write;
use std::time::{Duration, Instant};

/// One phase of a run.
pub(crate) struct Phase {
    pub(crate) name: &'static str,
    pub(crate) work: fn() -> Result<()>,
}

/// The result of a phase.
#[derive(Debug)]
enum Outcome {
    Passed(Cost),
    Failed(Cost),
    NotRun,
}

/// The time of a phase. Only Linux reports the processor time of child processes.
#[derive(Debug, Clone, Copy, Default)]
struct Cost {
    wall: Duration,
    processor: Option<Duration>,
}

/// Runs the phases in order until one fails, and prints a table of all of them.
pub(crate) fn run(phases: &[Phase]) -> Result<()> {
    let mut outcomes = Vec::new();
    let mut result = Ok(());
    for phase in phases {
        if result.is_err() {
            outcomes.push((phase.name, Outcome::NotRun));
            continue;
        }
        eprintln!("\n=== {} ===", phase.name);
        let started = Instant::now();
        let processor_before = processor_time_of_children();
        result = (phase.work)().with_context(|| format!("the phase {:?} failed", phase.name));
        let processor = processor_time_of_children().zip(processor_before).map(|(after, before)| after - before);
        let cost = Cost { wall: started.elapsed(), processor };
        outcomes.push((phase.name, if result.is_ok() { Outcome::Passed(cost) } else { Outcome::Failed(cost) }));
    }
    println!("\n{}", table(&outcomes));
    result
}

/// One line per phase, and a total.
fn table(outcomes: &[(&str, Outcome)]) -> String {
    let width = outcomes.iter().map(|(name, _)| name.len()).max().unwrap_or(0).max("phase".len());
    let mut lines = format!("{:<width$}  {:>8}  {:>9}\n", "phase", "time", "processor");
    let mut total = Cost { wall: Duration::ZERO, processor: Some(Duration::ZERO) };
    for (name, outcome) in outcomes {
        let (cost, note) = match outcome {
            Outcome::Passed(cost) => (cost, ""),
            Outcome::Failed(cost) => (cost, "  failed"),
            Outcome::NotRun => {
                let _ = writeln!(lines, "{name:<width$}  not run");
                continue;
            }
        };
        let _ = writeln!(lines, "{}{note}", line(name, *cost, width));
        total.wall += cost.wall;
        total.processor = total.processor.zip(cost.processor).map(|(sum, cost)| sum + cost);
    }
    lines + &line("all", total, width)
}

fn line(name: &str, cost: Cost, width: usize) -> String {
    let processor = cost.processor.map_or_else(|| "-".to_owned(), minutes);
    format!("{name:<width$}  {:>8}  {processor:>9}", minutes(cost.wall))
}

/// Minutes and seconds, as in "2:05".
fn minutes(time: Duration) -> String {
    let seconds = time.as_secs_f64().round() as u64;
    format!("{}:{:02}", seconds / 60, seconds % 60)
}

/// The processor time of all finished child processes and their children.
fn processor_time_of_children() -> Option<Duration> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    children_in_stat(&stat)
}

/// The fields `cutime` and `cstime` of proc(5), in Linux's hundredths of a second.
fn children_in_stat(stat: &str) -> Option<Duration> {
    // The second field is the program's name in parentheses; everything after it is numbers.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(13);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(Duration::from_millis((user + system) * 10))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cost(wall: u64, processor: u64) -> Cost {
        Cost { wall: Duration::from_secs(wall), processor: Some(Duration::from_secs(processor)) }
    }

    #[test]
    fn the_table_names_phases_that_failed_and_phases_that_did_not_run() {
        let outcomes = [
            ("formatting", Outcome::Passed(cost(1, 2))),
            ("tests", Outcome::Failed(cost(125, 240))),
            ("browser", Outcome::NotRun),
        ];
        let expected = "\
phase           time  processor
formatting      0:01       0:02
tests           2:05       4:00  failed
browser     not run
all             2:06       4:02";
        assert_eq!(table(&outcomes), expected);
    }

    #[test]
    fn an_unknown_processor_time_is_a_dash() {
        let outcomes = [("tests", Outcome::Passed(Cost { wall: Duration::from_secs(61), processor: None }))];
        assert_eq!(
            table(&outcomes),
            "phase      time  processor\ntests      1:01          -\nall        1:01          -"
        );
    }

    #[test]
    fn times_of_children_are_read_after_a_name_with_spaces_and_parentheses() {
        let stat = "7 (a (b) c) S 1 7 7 0 -1 4194560 100 200 0 0 11 12 150 50 20 0 1 0 100 0 0";
        assert_eq!(children_in_stat(stat), Some(Duration::from_secs(2)));
    }

    #[test]
    fn a_failure_stops_the_run() {
        fn fails() -> Result<()> {
            anyhow::bail!("no")
        }
        fn must_not_run() -> Result<()> {
            panic!("a phase after the failed one ran")
        }
        let phases = [Phase { name: "first", work: fails }, Phase { name: "second", work: must_not_run }];
        let error = run(&phases).unwrap_err();
        assert_eq!(format!("{error:#}"), "the phase \"first\" failed: no");
    }
}
