//! Clearing tasks and pictures on a schedule, as cron expressions in local time.

use crate::jobs::Shared;
use crate::{Error, Result, Selection};
use chrono::{DateTime, Local, TimeDelta};
use croner::Cron;
use croner::parser::{CronParser, Seconds};
use std::time::Duration;

/// The longest sleep: a changed clock or a suspended machine is noticed within this time.
const SLEEP: Duration = Duration::from_secs(30);

/// How often clearing is attempted while the store is busy.
const ATTEMPTS: u32 = 20;

/// The schedules, as cron expressions with five fields, or six with seconds in front. `None` never clears.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retention {
    /// When tasks that have ended are cleared.
    pub tasks: Option<String>,
    /// When pictures are cleared.
    pub pictures: Option<String>,
}

impl Default for Retention {
    /// Tasks at midnight, pictures at the end of the week.
    fn default() -> Self {
        Self { tasks: Some("0 0 0 * * *".into()), pictures: Some("59 59 23 * * SUN".into()) }
    }
}

impl Retention {
    /// Fails on a malformed expression: [`Error::Cron`].
    pub fn check(&self) -> Result<()> {
        Schedule::parse(self).map(|_| ())
    }
}

/// What a schedule clears.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Tasks,
    Pictures,
}

/// The schedules of a [`Retention`].
pub(crate) struct Schedule(Vec<(What, Cron)>);

impl Schedule {
    pub(crate) fn parse(retention: &Retention) -> Result<Self> {
        let fields = [(What::Tasks, "tasks", &retention.tasks), (What::Pictures, "pictures", &retention.pictures)];
        let set = fields.into_iter().filter_map(|(what, field, cron)| Some((what, field, cron.as_deref()?)));
        set.map(|(what, field, expression)| Ok((what, parse(field, expression)?))).collect::<Result<_>>().map(Self)
    }

    /// What is due after `from`, up to and including `to`.
    fn due(&self, from: DateTime<Local>, to: DateTime<Local>) -> impl Iterator<Item = What> {
        let is_due = move |cron: &Cron| cron.find_next_occurrence(&from, false).is_ok_and(|next| next <= to);
        self.0.iter().filter(move |(_, cron)| is_due(cron)).map(|(what, _)| *what)
    }

    /// How long to sleep before the next check.
    fn sleep(&self, now: DateTime<Local>) -> Duration {
        let next = self.0.iter().filter_map(|(_, cron)| cron.find_next_occurrence(&now, false).ok()).min();
        next.and_then(|next| (next - now).to_std().ok()).unwrap_or(SLEEP).min(SLEEP)
    }
}

fn parse(field: &'static str, expression: &str) -> Result<Cron> {
    let parser = CronParser::builder().seconds(Seconds::Optional).build();
    parser.parse(expression).map_err(|error| Error::Cron {
        field,
        expression: expression.to_owned(),
        reason: error.to_string(),
    })
}

/// The time by two clocks: the wall clock, which can be set, and a monotonic one.
#[derive(Clone, Copy, Debug)]
struct Moment {
    wall: DateTime<Local>,
    /// Monotonic time from an arbitrary start, including time suspended where the system counts it.
    steady: Duration,
}

/// How far the clocks may diverge between two checks before the wall clock counts as set.
const DRIFT: TimeDelta = TimeDelta::seconds(5);

impl Moment {
    fn now() -> Self {
        Self { wall: Local::now(), steady: steady() }
    }

    /// The start of the interval to check at this moment, after a check at `last`: no longer ago than the time that has
    /// really passed. Setting the clock back, or correcting it, makes nothing due.
    fn since(&self, last: &Self) -> DateTime<Local> {
        let passed = TimeDelta::from_std(self.steady.saturating_sub(last.steady)).unwrap_or(TimeDelta::MAX);
        let is_set = (self.wall - last.wall - passed).abs() > DRIFT;
        if is_set { self.wall - passed } else { last.wall }
    }
}

/// A clock that cannot be set.
fn steady() -> Duration {
    #[cfg(target_os = "linux")]
    {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        Duration::new(time.tv_sec.cast_unsigned(), time.tv_nsec as u32)
    }
    #[cfg(not(target_os = "linux"))]
    {
        use std::sync::LazyLock;
        use std::time::Instant;
        static BEGAN: LazyLock<Instant> = LazyLock::new(Instant::now);
        BEGAN.elapsed()
    }
}

/// Clears what is due and lets the store free space, until the queue closes.
pub(crate) fn run(shared: &Shared, schedule: &Schedule) {
    let mut last = Moment::now();
    while !shared.gate.sleep(schedule.sleep(Local::now())) {
        let now = Moment::now();
        for what in schedule.due(now.since(&last), now.wall) {
            clear(shared, what);
        }
        if let Err(error) = tidy(shared) {
            tracing::debug!(%error, "the store could not free space");
        }
        last = now;
    }
}

fn tidy(shared: &Shared) -> Result<()> {
    let keeping = shared.store.keep_house()?;
    if keeping.is_some() { shared.store.tidy() } else { Ok(()) }
}

/// Clears, retrying for a while if the store is busy: the next time may be a week away.
fn clear(shared: &Shared, what: What) {
    for attempt in 1..=ATTEMPTS {
        match clear_once(shared, what) {
            Ok(None) => return tracing::debug!(?what, "another host clears"),
            Ok(Some(count)) => return tracing::info!(?what, count, "cleared"),
            Err(error) if error.is_temporary() && attempt < ATTEMPTS => {
                if shared.gate.sleep(SLEEP) {
                    return;
                }
            }
            Err(error) => return tracing::error!(?what, %error, "could not be cleared"),
        }
    }
}

/// Clears, and returns how many; `None` if another host does it.
fn clear_once(shared: &Shared, what: What) -> Result<Option<usize>> {
    let keeping = shared.store.keep_house()?;
    if keeping.is_none() {
        return Ok(None);
    }
    let cleared = match what {
        What::Tasks => shared.store.delete_tasks(&Selection::default()),
        What::Pictures => shared.store.delete_pictures(),
    };
    cleared.map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeZone;

    fn due(from: [u32; 3], to: [u32; 3]) -> Vec<What> {
        // 21 November 2026 is a Saturday.
        let time = |[day, hour, second]: [u32; 3]| Local.with_ymd_and_hms(2026, 11, day, hour, 59, second).unwrap();
        Schedule::parse(&Retention::default()).unwrap().due(time(from), time(to)).collect()
    }

    #[test]
    fn the_default_schedules_clear_tasks_at_midnight_and_pictures_on_sunday() {
        assert_eq!(due([21, 12, 0], [21, 23, 59]), []);
        assert_eq!(due([21, 23, 59], [22, 0, 0]), [What::Tasks]);
        assert_eq!(due([22, 23, 58], [22, 23, 59]), [What::Pictures]);
        assert_eq!(due([22, 23, 59], [23, 0, 0]), [What::Tasks], "what was due at the last check is not due again");
        assert_eq!(due([22, 20, 0], [23, 1, 0]), [What::Tasks, What::Pictures], "a long sleep misses nothing");
        assert_eq!(due([23, 1, 0], [22, 1, 0]), [], "a clock that goes back clears nothing");
    }

    #[test]
    fn f20_a_clock_that_is_set_and_corrected_clears_nothing() {
        let schedule = Schedule::parse(&Retention::default()).unwrap();
        let noon = Local.with_ymd_and_hms(2026, 11, 24, 12, 0, 0).unwrap();
        let moment = |days: i64, steady| Moment {
            wall: noon + TimeDelta::days(days) + TimeDelta::seconds(steady),
            steady: Duration::from_secs(1000 + steady.cast_unsigned()),
        };
        let check = |last: Moment, now: Moment| schedule.due(now.since(&last), now.wall).count();
        for days in [-3, 3, -400, 400] {
            assert_eq!(check(moment(0, 0), moment(days, 30)), 0, "set by {days} days");
            assert_eq!(check(moment(days, 30), moment(0, 60)), 0, "corrected");
        }
        assert_eq!(check(moment(0, 0), moment(0, 24 * 3600)), 1, "a machine that slept for a day clears tasks");
        assert_eq!(check(moment(0, 0), moment(0, 6 * 24 * 3600)), 2, "and pictures after Sunday");
        let contiguous = moment(0, 30);
        assert_eq!(contiguous.since(&moment(0, 0)), moment(0, 0).wall, "no moment is checked twice or skipped");
    }

    #[test]
    fn five_fields_are_enough_and_none_turns_a_schedule_off() {
        let schedule = Schedule::parse(&Retention { tasks: Some("*/5 * * * *".into()), pictures: None }).unwrap();
        assert_eq!(schedule.0.len(), 1);
        assert!(schedule.sleep(Local::now()) <= SLEEP);
    }

    #[test]
    fn a_bad_expression_is_named() {
        let error = |retention| Schedule::parse(&retention).err().unwrap().to_string();
        let tasks = error(Retention { tasks: Some("at midnight".into()), pictures: None });
        assert!(tasks.starts_with("retention.tasks: `at midnight` is not a cron expression: "), "{tasks}");
        let pictures = error(Retention { tasks: None, pictures: Some("0 0 32 * *".into()) });
        assert!(pictures.starts_with("retention.pictures: `0 0 32 * *`"), "{pictures}");
    }
}
