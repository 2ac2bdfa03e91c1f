//! When an account is rotated: every so often, or by a cron schedule with a window, in UTC.
//!
//! Everything is computed from a time that is given. The libraries that read cron patterns bring a dozen crates into
//! this one, for five fields.

use crate::time::Timestamp;
use chrono::{DateTime, Datelike, Days, NaiveDate, Utc};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The shortest period: Vault's.
pub const PERIOD_MIN: Duration = Duration::from_secs(5);
/// The shortest window: Vault's. A shorter one could pass while the server is being restarted.
pub const WINDOW_MIN: Duration = Duration::from_hours(1);
/// How far ahead a schedule is looked at, in days: the 29th of February comes within eight years.
const DAYS_AHEAD: u64 = 8 * 366;
const MINUTE: Duration = Duration::from_mins(1);

/// When an account is rotated.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// How long after the last time; zero for never.
    #[serde(default)]
    pub period: Duration,
    /// When, by the calendar; goes before the period.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<Schedule>,
    /// For how long after its time a scheduled rotation may begin; zero for as long as it takes.
    #[serde(default)]
    pub window: Duration,
}

/// What of a plan an operator writes; what is `None` stays as it was.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PlanWrite {
    /// How long after the last time; zero for never.
    pub period: Option<Duration>,
    /// When, by the calendar; empty for never.
    pub schedule: Option<String>,
    /// For how long after its time a scheduled rotation may begin.
    pub window: Option<Duration>,
}

impl PlanWrite {
    /// Returns the plan that comes of it. A period takes the place of a schedule, and the other way round.
    pub fn onto(&self, was: Option<&Plan>) -> Result<Plan, String> {
        let was = was.cloned().unwrap_or_default();
        let schedule = self.schedule.as_deref().map(str::trim).filter(|text| !text.is_empty());
        let period = self.period.filter(|period| !period.is_zero());
        if schedule.is_some() && period.is_some() {
            return Err("mutually exclusive fields rotation_period and rotation_schedule were both specified; only one of them can be provided".into());
        }
        if period.is_some_and(|period| period < PERIOD_MIN) {
            return Err("rotation_period must be 5 seconds or more".into());
        }
        let schedule = schedule.map(Schedule::parse).transpose();
        let schedule =
            schedule.map_err(|error| format!("could not parse rotation_schedule: {error}"))?;
        let plan = Plan {
            period: if schedule.is_some() {
                Duration::ZERO
            } else {
                self.period.unwrap_or(was.period)
            },
            schedule: match (&self.schedule, period) {
                (Some(_), _) => schedule,
                (None, Some(_)) => None,
                (None, None) => was.schedule,
            },
            window: self.window.unwrap_or(if period.is_some() {
                Duration::ZERO
            } else {
                was.window
            }),
        };
        if !plan.window.is_zero() && plan.schedule.is_none() {
            return Err("rotation_window does not apply to period".into());
        }
        if !plan.window.is_zero() && plan.window < WINDOW_MIN {
            return Err("rotation_window must be 3600 seconds or more".into());
        }
        Ok(plan)
    }
}

/// A span in which an account is to be rotated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    /// When it begins.
    pub from: Timestamp,
    /// When it is over, if it ever is.
    pub to: Option<Timestamp>,
}

impl Plan {
    /// Returns the first slot after `last`; `None` for what is only rotated when somebody asks.
    #[must_use]
    pub fn next(&self, last: Timestamp) -> Option<Slot> {
        match &self.schedule {
            Some(schedule) => {
                let from = schedule.next(last)?;
                let to = (!self.window.is_zero()).then(|| from.plus(self.window));
                Some(Slot { from, to })
            }
            None => {
                (!self.period.is_zero()).then(|| Slot { from: last.plus(self.period), to: None })
            }
        }
    }

    /// Returns the longest delay by which rotations that are due at once are spread.
    #[must_use]
    pub fn spread(&self) -> Duration {
        let of_period = self.period.checked_div(20).unwrap_or_default();
        let most = if self.schedule.is_some() { MINUTE } else { of_period.min(MINUTE) };
        if self.window.is_zero() { most } else { most.min(self.window) }
    }
}

/// A cron pattern of five fields: minute, hour, day of the month, month, day of the week. Stored as its text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Schedule {
    text: String,
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    weekdays: u64,
    /// Whether a day has to be right by both of its fields: one of them says nothing.
    both_days: bool,
}

/// A text is no schedule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    /// It has not five fields.
    #[error(
        "a schedule has five fields: minute, hour, day of the month, month, day of the week; this one has {0}"
    )]
    Fields(usize),
    /// A field cannot be read.
    #[error(
        "`{field}` is no {what}; it is `*`, a number from {from} to {to}, a range `a-b`, a step `*/n`, or a list of these"
    )]
    Field {
        /// The field.
        field: String,
        /// What it should say.
        what: &'static str,
        /// The least.
        from: u32,
        /// The most.
        to: u32,
    },
    /// There is no such day.
    #[error("a schedule that never comes rotates nothing")]
    Never,
}

const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

impl Schedule {
    /// Reads a pattern.
    pub fn parse(text: &str) -> Result<Self, ScheduleError> {
        let fields: Vec<_> = text.split_whitespace().collect();
        let [minutes, hours, days, months, weekdays] = fields.as_slice() else {
            return Err(ScheduleError::Fields(fields.len()));
        };
        let of_week = read(weekdays, "day of the week", (0, 7), &WEEKDAYS, 0)?;
        let schedule = Self {
            text: text.to_owned(),
            minutes: read(minutes, "minute", (0, 59), &[], 0)?,
            hours: read(hours, "hour", (0, 23), &[], 0)?,
            days: read(days, "day of the month", (1, 31), &[], 0)?,
            months: read(months, "month", (1, 12), &MONTHS, 1)?,
            // Sunday is 0 and 7.
            weekdays: (of_week | of_week >> 7) & 0x7f,
            both_days: days.starts_with('*') || weekdays.starts_with('*'),
        };
        schedule.next(Timestamp(0)).map(|_| schedule.clone()).ok_or(ScheduleError::Never)
    }

    /// Returns the text it was read from.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Returns the first minute after `after` that it names.
    #[must_use]
    pub fn next(&self, after: Timestamp) -> Option<Timestamp> {
        let begin = after.plus(MINUTE).utc();
        let minute_of_begin = of_day(&begin);
        let first = begin.date_naive();
        (0..DAYS_AHEAD).find_map(|ahead| {
            let day = first.checked_add_days(Days::new(ahead))?;
            let from = if ahead == 0 { minute_of_begin } else { 0 };
            let minute = self.names_day(day).then(|| self.minute_from(from)).flatten()?;
            let midnight = day.and_hms_opt(0, 0, 0)?.and_utc().timestamp_millis();
            let midnight = Timestamp(u64::try_from(midnight).ok()?);
            Some(midnight.plus(MINUTE.checked_mul(minute)?))
        })
    }

    fn names_day(&self, day: NaiveDate) -> bool {
        let by_month = has(self.days, day.day());
        let by_week = has(self.weekdays, day.weekday().num_days_from_sunday());
        let is_named = if self.both_days { by_month && by_week } else { by_month || by_week };
        is_named && has(self.months, day.month())
    }

    /// Returns the first minute of a day, from this one on, that it names.
    fn minute_from(&self, from: u32) -> Option<u32> {
        (from..24 * 60)
            .find(|minute| has(self.hours, minute / 60) && has(self.minutes, minute % 60))
    }
}

fn of_day(at: &DateTime<Utc>) -> u32 {
    use chrono::Timelike as _;
    at.hour().saturating_mul(60).saturating_add(at.minute())
}

fn has(set: u64, number: u32) -> bool {
    set.checked_shr(number).unwrap_or(0) & 1 == 1
}

fn read(
    field: &str,
    what: &'static str,
    (from, to): (u32, u32),
    names: &[&str],
    first: u32,
) -> Result<u64, ScheduleError> {
    let wrong = || ScheduleError::Field { field: field.to_owned(), what, from, to };
    let number = |text: &str| {
        let at = names.iter().position(|name| name.eq_ignore_ascii_case(text));
        let at = at.and_then(|at| u32::try_from(at).ok()?.checked_add(first));
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let number = at.or_else(|| digits.then(|| text.parse().ok()).flatten());
        number.filter(|number| (from..=to).contains(number)).ok_or_else(wrong)
    };
    let mut set = 0_u64;
    for part in field.split(',') {
        let (span, step) = match part.split_once('/') {
            Some((span, step)) => {
                (span, step.parse().ok().filter(|step| *step > 0).ok_or_else(wrong)?)
            }
            None => (part, 1_usize),
        };
        let (low, high) = match (span, span.split_once('-')) {
            ("*", _) => (from, to),
            (_, Some((low, high))) => (number(low)?, number(high)?),
            // `5/15` begins at 5 and goes on.
            (one, None) => (number(one)?, if part.contains('/') { to } else { number(one)? }),
        };
        if low > high {
            return Err(wrong());
        }
        for number in (low..=high).step_by(step) {
            set |= 1_u64.checked_shl(number).unwrap_or(0);
        }
    }
    Ok(set)
}

impl TryFrom<String> for Schedule {
    type Error = ScheduleError;

    fn try_from(text: String) -> Result<Self, ScheduleError> {
        Self::parse(&text)
    }
}

impl From<Schedule> for String {
    fn from(schedule: Schedule) -> Self {
        schedule.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        let millis = DateTime::parse_from_rfc3339(text).unwrap().timestamp_millis();
        Timestamp(u64::try_from(millis).unwrap())
    }

    #[test]
    fn a_schedule_names_the_next_minute_that_fits() {
        // The 22nd of November 2026 is a Sunday.
        for (pattern, next) in [
            ("* * * * *", "2026-11-22T02:27:00Z"),
            ("*/15 * * * *", "2026-11-22T02:30:00Z"),
            ("26 2 * * *", "2026-11-23T02:26:00Z"),
            ("0 0 * * SAT", "2026-11-28T00:00:00Z"),
            ("0 9-17/4 * * 1-5", "2026-11-23T09:00:00Z"),
            ("30 4 1,15 * *", "2026-12-01T04:30:00Z"),
            ("0 0 13 * fri", "2026-11-27T00:00:00Z"),
            ("5/20 3 * jan *", "2027-01-01T03:05:00Z"),
            ("0 0 29 2 *", "2028-02-29T00:00:00Z"),
            ("0 12 * * 7", "2026-11-22T12:00:00Z"),
        ] {
            let schedule = Schedule::parse(pattern).unwrap();
            assert_eq!(schedule.next(at("2026-11-22T02:26:15Z")), Some(at(next)), "{pattern}");
        }
    }

    #[test]
    fn what_is_no_schedule_is_refused() {
        for pattern in [
            "",
            "* * * *",
            "* * * * * *",
            "60 * * * *",
            "* 24 * * *",
            "* * 0 * *",
            "* * * 13 *",
            "* * * * 8",
            "*/0 * * * *",
            "5-1 * * * *",
            "a * * * *",
            "-1 * * * *",
            "+1 * * * *",
            "1, * * * *",
            "* * * * moon",
            "0 0 31 2 *",
            "@daily",
        ] {
            assert!(Schedule::parse(pattern).is_err(), "{pattern}");
        }
    }

    #[test]
    fn a_plan_is_a_period_or_a_schedule_with_a_window() {
        let now = at("2026-11-22T02:26:15Z");
        assert_eq!(Plan::default().next(now), None);
        let period = Plan { period: Duration::from_hours(1), ..Plan::default() };
        assert_eq!(period.next(now), Some(Slot { from: at("2026-11-22T03:26:15Z"), to: None }));
        let schedule = Some(Schedule::parse("0 4 * * *").unwrap());
        let nightly = Plan { schedule, window: Duration::from_hours(2), ..period };
        let slot = Slot { from: at("2026-11-22T04:00:00Z"), to: Some(at("2026-11-22T06:00:00Z")) };
        assert_eq!(nightly.next(now), Some(slot));
        let read: Plan = serde_json::from_str(&serde_json::to_string(&nightly).unwrap()).unwrap();
        assert_eq!(read, nightly);
    }
}
