//! Spans of time as Vault's clients write them, and as they expect to read them.

use serde_json::Value;
use std::fmt::Write as _;
use std::time::Duration;

const NANOS_PER_SECOND: u128 = 1_000_000_000;
/// The longest span Go can name (about 292 years): Vault's clients cannot read a longer one.
const NANOS_MAX: u128 = i64::MAX as u128;

const UNITS: [(&str, u128); 8] = [
    ("ns", 1),
    ("us", 1_000),
    // The micro sign and the Greek letter look alike; Go reads both.
    ("\u{b5}s", 1_000),
    ("\u{3bc}s", 1_000),
    ("ms", 1_000_000),
    ("s", NANOS_PER_SECOND),
    ("m", 60 * NANOS_PER_SECOND),
    ("h", 3600 * NANOS_PER_SECOND),
];

/// A text or number is no span of time that can be used. The messages are Vault's, because its
/// clients show them and some look for them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// It is below zero.
    #[error("cannot provide negative value '{seconds}'")]
    Negative {
        /// In whole seconds.
        seconds: i64,
    },
    /// What stands before `d` is no whole number.
    #[error("strconv.ParseInt: parsing {}: invalid syntax", quoted(.0))]
    Days(String),
    /// What stands before `d` is a number past all bounds.
    #[error("strconv.ParseInt: parsing {}: value out of range", quoted(.0))]
    DaysOutOfRange(String),
    /// It does not begin with a number, or is longer than can be named.
    #[error("time: invalid duration {}", quoted(.0))]
    Invalid(String),
    /// A number has no unit.
    #[error("time: missing unit in duration {}", quoted(.0))]
    MissingUnit(String),
    /// A number has a unit that is none.
    #[error("time: unknown unit {} in duration {}", quoted(.unit), quoted(.duration))]
    UnknownUnit {
        /// The unit.
        unit: String,
        /// The whole text.
        duration: String,
    },
    /// It is neither a text nor a number.
    #[error("could not parse duration from input")]
    NoDuration,
}

impl DurationError {
    /// Returns the message for a field of a request.
    #[must_use]
    pub fn in_field(&self, field: &str) -> String {
        format!("error converting input for field {}: {self}", quoted(field))
    }
}

/// Reads what a client sent as a TTL: seconds as a number or its text, a span as Go writes it
/// (`1h30m`), or whole days (`7d`). Nothing and an empty text are zero, which callers take for "not
/// given", as Vault does.
///
/// Fractions of a second are kept: whoever rounds a term must round so that it stays above zero and
/// below its ceiling, and that cannot be known here.
pub fn parse_seconds(value: &Value) -> Result<Duration, DurationError> {
    match value {
        Value::Null => Ok(Duration::ZERO),
        Value::Number(number) => parse(&number.to_string()),
        Value::String(text) => parse(text),
        Value::Bool(_) | Value::Array(_) | Value::Object(_) => Err(DurationError::NoDuration),
    }
}

/// Reads a TTL from a text, as [`parse_seconds`] does.
pub fn parse(text: &str) -> Result<Duration, DurationError> {
    if text.is_empty() {
        return Ok(Duration::ZERO);
    }
    let invalid = || DurationError::Invalid(text.to_owned());
    if let Ok(seconds) = text.parse::<i64>() {
        return whole(seconds, 1, invalid);
    }
    if let Some(days) = text.strip_suffix('d') {
        let count = days.parse::<i64>().map_err(|error| {
            use std::num::IntErrorKind::{NegOverflow, PosOverflow};
            if matches!(error.kind(), NegOverflow | PosOverflow) {
                DurationError::DaysOutOfRange(days.to_owned())
            } else {
                DurationError::Days(days.to_owned())
            }
        })?;
        return whole(count, 24 * 3600, invalid);
    }
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let nanos = if unsigned == "0" { 0 } else { nanos(unsigned, text)? };
    let span = duration(nanos).ok_or_else(invalid)?;
    if text.starts_with('-') && nanos > 0 {
        let seconds = i64::try_from(span.as_secs()).unwrap_or(i64::MAX).saturating_neg();
        return Err(DurationError::Negative { seconds });
    }
    Ok(span)
}

fn whole(
    count: i64,
    unit_seconds: i64,
    invalid: impl Fn() -> DurationError,
) -> Result<Duration, DurationError> {
    let seconds = count.checked_mul(unit_seconds).ok_or_else(&invalid)?;
    let Ok(unsigned) = u64::try_from(seconds) else {
        return Err(DurationError::Negative { seconds });
    };
    duration(u128::from(unsigned).saturating_mul(NANOS_PER_SECOND)).ok_or_else(invalid)
}

fn duration(nanos: u128) -> Option<Duration> {
    let rest = u32::try_from(nanos % NANOS_PER_SECOND).ok()?;
    let seconds = u64::try_from(nanos / NANOS_PER_SECOND).ok()?;
    (nanos <= NANOS_MAX).then(|| Duration::new(seconds, rest))
}

/// Adds up numbers with units, such as `1h30m` or `1.5h`.
fn nanos(unsigned: &str, whole: &str) -> Result<u128, DurationError> {
    let invalid = || DurationError::Invalid(whole.to_owned());
    let mut rest = unsigned;
    let mut sum = 0_u128;
    loop {
        let (integer, after) = digits(rest);
        let (fraction, after) = after.strip_prefix('.').map_or(("", after), digits);
        if integer.is_empty() && fraction.is_empty() {
            return Err(invalid());
        }
        let end = after.find(|c: char| c == '.' || c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, after) = after.split_at_checked(end).ok_or_else(invalid)?;
        if unit.is_empty() {
            return Err(DurationError::MissingUnit(whole.to_owned()));
        }
        let Some((_, scale)) = UNITS.iter().find(|(name, _)| *name == unit) else {
            let (unit, duration) = (unit.to_owned(), whole.to_owned());
            return Err(DurationError::UnknownUnit { unit, duration });
        };
        let part = scaled(integer, fraction, *scale).ok_or_else(invalid)?;
        sum = sum.saturating_add(part);
        if sum > NANOS_MAX {
            return Err(invalid());
        }
        if after.is_empty() {
            return Ok(sum);
        }
        rest = after;
    }
}

fn digits(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text.split_at_checked(end).unwrap_or((text, ""))
}

/// Returns `integer.fraction` times `scale`, rounded down; `None` where it is past all bounds.
fn scaled(integer: &str, fraction: &str, scale: u128) -> Option<u128> {
    let number = |digits: &str| if digits.is_empty() { Ok(0) } else { digits.parse::<u128>() };
    let whole = number(integer).ok()?.checked_mul(scale)?;
    // No unit has as many as 18 digits of nanoseconds, so that the ones behind count for nothing.
    let fraction = fraction.get(..18).unwrap_or(fraction);
    let places = u32::try_from(fraction.len()).ok()?;
    let part =
        number(fraction).ok()?.checked_mul(scale)?.checked_div(10_u128.checked_pow(places)?)?;
    whole.checked_add(part)
}

/// Writes a span as Go does: `24h0m0s`, `1.5s`, `250ms`, `0s`.
#[must_use]
pub fn go_string(span: Duration) -> String {
    let nanos = span.subsec_nanos();
    if span < Duration::from_secs(1) {
        return match nanos {
            0 => "0s".to_owned(),
            1..1_000 => format!("{nanos}ns"),
            1_000..1_000_000 => decimal(u64::from(nanos / 1_000), nanos % 1_000, 3, "\u{b5}s"),
            _ => decimal(u64::from(nanos / 1_000_000), nanos % 1_000_000, 6, "ms"),
        };
    }
    let minutes = span.as_secs() / 60;
    let seconds = decimal(span.as_secs() % 60, nanos, 9, "s");
    match (minutes / 60, minutes % 60) {
        (0, 0) => seconds,
        (0, minutes) => format!("{minutes}m{seconds}"),
        (hours, minutes) => format!("{hours}h{minutes}m{seconds}"),
    }
}

/// Writes a span as Vault's warnings do: as [`go_string`], without zeros at the end (`24h`, `30m`).
#[must_use]
pub fn short_string(span: Duration) -> String {
    let mut text = go_string(span);
    for (zero, kept) in [("m0s", 1), ("h0m", 1)] {
        if let Some(before) = text.strip_suffix(zero) {
            text.truncate(before.len().saturating_add(kept));
        }
    }
    text
}

/// Returns the warning for a TTL that was cut to its ceiling.
#[must_use]
pub fn capped_warning(asked: Duration, ceiling: Duration) -> String {
    format!(
        "TTL of \"{}\" exceeded the effective max_ttl of \"{}\"; TTL value is capped accordingly",
        short_string(asked),
        short_string(ceiling)
    )
}

fn decimal(whole: u64, fraction: u32, places: usize, unit: &str) -> String {
    if fraction == 0 {
        return format!("{whole}{unit}");
    }
    let digits = format!("{fraction:0places$}");
    format!("{whole}.{}{unit}", digits.trim_end_matches('0'))
}

/// Quotes as Go's `time` package does: what is not plain ASCII is written as bytes.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for char in text.chars() {
        match char {
            '"' | '\\' => quoted.extend(['\\', char]),
            ' '..='~' => quoted.push(char),
            _ => {
                for byte in char.encode_utf8(&mut [0; 4]).bytes() {
                    // Writing to a `String` cannot fail.
                    let _ = write!(quoted, "\\x{byte:02x}");
                }
            }
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn a_ttl_is_read_as_vault_reads_it() {
        let ms = Duration::from_millis;
        for (value, span) in [
            (json!(null), ms(0)),
            (json!(""), ms(0)),
            (json!(0), ms(0)),
            (json!("0"), ms(0)),
            (json!("-0"), ms(0)),
            (json!(3600), ms(3_600_000)),
            (json!("3600"), ms(3_600_000)),
            (json!("+5"), ms(5_000)),
            (json!("1h30m"), ms(5_400_000)),
            (json!("1.5h"), ms(5_400_000)),
            (json!(".5s"), ms(500)),
            (json!("1.s"), ms(1_000)),
            (json!("250ms"), ms(250)),
            (json!("1500us"), Duration::from_micros(1_500)),
            (json!("2\u{b5}s3ns"), Duration::from_nanos(2_003)),
            (json!("0.1234567891234567891h"), Duration::from_nanos(444_444_440_844)),
            (json!("7d"), ms(7 * 86_400_000)),
            (json!("99999h"), ms(99_999 * 3_600_000)),
        ] {
            assert_eq!(parse_seconds(&value), Ok(span), "{value}");
        }
    }

    #[test]
    fn what_is_no_ttl_is_refused_in_vaults_words() {
        for (value, refusal) in [
            (json!(-5), "cannot provide negative value '-5'"),
            (json!("-5"), "cannot provide negative value '-5'"),
            (json!("-1h"), "cannot provide negative value '-3600'"),
            (json!("-1d"), "cannot provide negative value '-86400'"),
            (json!("bad"), "strconv.ParseInt: parsing \"ba\": invalid syntax"),
            (json!("1.5d"), "strconv.ParseInt: parsing \"1.5\": invalid syntax"),
            (json!("d"), "strconv.ParseInt: parsing \"\": invalid syntax"),
            (
                json!("99999999999999999999d"),
                "strconv.ParseInt: parsing \"99999999999999999999\": value out of range",
            ),
            (json!("abc"), "time: invalid duration \"abc\""),
            (json!("."), "time: invalid duration \".\""),
            (json!("-"), "time: invalid duration \"-\""),
            (json!(" 1h"), "time: invalid duration \" 1h\""),
            (json!("1.5"), "time: missing unit in duration \"1.5\""),
            (json!(1.5), "time: missing unit in duration \"1.5\""),
            (json!("5x"), "time: unknown unit \"x\" in duration \"5x\""),
            (json!("1\u{e9}"), "time: unknown unit \"\\xc3\\xa9\" in duration \"1\\xc3\\xa9\""),
            (json!(i64::MAX), "time: invalid duration \"9223372036854775807\""),
            (json!("2562048h"), "time: invalid duration \"2562048h\""),
            (json!("106752d"), "time: invalid duration \"106752d\""),
            (json!(true), "could not parse duration from input"),
            (json!([1]), "could not parse duration from input"),
        ] {
            assert_eq!(parse_seconds(&value).unwrap_err().to_string(), refusal, "{value}");
        }
    }

    #[test]
    fn the_message_for_a_field_is_vaults() {
        // As recorded from a real server.
        for (value, message) in [
            (
                json!(-5),
                "error converting input for field \"increment\": cannot provide negative value '-5'",
            ),
            (
                json!("bad"),
                "error converting input for field \"increment\": strconv.ParseInt: parsing \"ba\": \
                 invalid syntax",
            ),
        ] {
            assert_eq!(parse_seconds(&value).unwrap_err().in_field("increment"), message);
        }
    }

    #[test]
    fn a_span_is_written_as_go_writes_it() {
        for (span, long, short) in [
            (Duration::ZERO, "0s", "0s"),
            (Duration::from_nanos(7), "7ns", "7ns"),
            (Duration::from_nanos(1_100), "1.1\u{b5}s", "1.1\u{b5}s"),
            (Duration::from_millis(250), "250ms", "250ms"),
            (Duration::from_micros(250_500), "250.5ms", "250.5ms"),
            (Duration::from_millis(1_500), "1.5s", "1.5s"),
            (Duration::from_secs(59), "59s", "59s"),
            (Duration::from_mins(30), "30m0s", "30m"),
            (Duration::from_secs(3_599), "59m59s", "59m59s"),
            (Duration::from_secs(3_605), "1h0m5s", "1h0m5s"),
            (Duration::from_mins(90), "1h30m0s", "1h30m"),
            (Duration::from_hours(24), "24h0m0s", "24h"),
        ] {
            assert_eq!(go_string(span), long);
            assert_eq!(short_string(span), short);
        }
    }

    #[test]
    fn the_warning_about_a_capped_ttl_is_vaults() {
        // As recorded from a real server.
        for (asked, ceiling, warning) in [
            (
                "99999h",
                86_400,
                "TTL of \"99999h\" exceeded the effective max_ttl of \"24h\"; TTL value is capped \
                 accordingly",
            ),
            (
                "5h",
                3_599,
                "TTL of \"5h\" exceeded the effective max_ttl of \"59m59s\"; TTL value is capped \
                 accordingly",
            ),
            (
                "5h",
                1_800,
                "TTL of \"5h\" exceeded the effective max_ttl of \"30m\"; TTL value is capped \
                 accordingly",
            ),
        ] {
            let asked = parse(asked).unwrap();
            assert_eq!(capped_warning(asked, Duration::from_secs(ceiling)), warning);
        }
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(nanos in 0..i64::MAX.unsigned_abs()) {
            let span = Duration::from_nanos(nanos);
            prop_assert_eq!(parse(&go_string(span)), Ok(span));
            prop_assert_eq!(parse(&short_string(span)), Ok(span));
        }

        #[test]
        fn any_text_is_read_or_refused(text in "[-+0-9.a-z\u{b5}\u{e9}]{0,30}") {
            let _outcome = parse(&text);
        }
    }
}
