//! Spans of time, as people write and read them: `1h30m`.

/// Why a text is not a span of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DurationError {
    /// It has no number, an unknown unit, or something else in it.
    #[error("write a span of time as seconds (`3600`) or with units (`90s`, `15m`, `1h30m`, `7d`)")]
    NotADuration,
    /// It is below zero.
    #[error("a span of time here cannot be negative")]
    Negative,
    /// It does not fit.
    #[error("that span of time is too long")]
    TooLong,
}

/// Reads a span of time in seconds; a bare number counts seconds.
pub(crate) fn parse_seconds(text: &str) -> Result<u64, DurationError> {
    if text.starts_with('-') {
        return Err(DurationError::Negative);
    }
    let mut total: u64 = 0;
    let mut rest = text;
    while !rest.is_empty() || text.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (number, after) = rest.split_at(digits);
        if number.is_empty() {
            return Err(DurationError::NotADuration);
        }
        let number: u64 = number.parse().map_err(|_| DurationError::TooLong)?;
        let letters = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, after) = after.split_at(letters);
        let seconds = match unit {
            "s" => 1,
            "m" => 60,
            "h" => 3_600,
            "d" => 86_400,
            "" if rest == text => 1,
            _ => return Err(DurationError::NotADuration),
        };
        total = number
            .checked_mul(seconds)
            .and_then(|part| total.checked_add(part))
            .ok_or(DurationError::TooLong)?;
        rest = after;
    }
    Ok(total)
}

/// Writes seconds as Vault's tables do: hours, minutes and seconds, without trailing zeros.
pub(crate) fn show_seconds(seconds: u64) -> String {
    let (minutes, s) = (seconds / 60, seconds % 60);
    let (h, m) = (minutes / 60, minutes % 60);
    match (h, m, s) {
        (0, 0, s) => format!("{s}s"),
        (0, m, 0) => format!("{m}m"),
        (0, m, s) => format!("{m}m{s}s"),
        (h, 0, 0) => format!("{h}h"),
        (h, m, 0) => format!("{h}h{m}m"),
        (h, m, s) => format!("{h}h{m}m{s}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read_with_and_without_units() {
        for (text, seconds) in
            [("0", 0), ("3600", 3600), ("1h", 3600), ("1h30m", 5400), ("2d1s", 172_801)]
        {
            assert_eq!(parse_seconds(text), Ok(seconds), "{text}");
        }
    }

    #[test]
    fn what_is_no_span_is_refused() {
        use DurationError::{Negative, NotADuration, TooLong};
        for (text, error) in [
            ("", NotADuration),
            ("h", NotADuration),
            ("1h30", NotADuration),
            ("5x", NotADuration),
            ("1 h", NotADuration),
            ("500ms", NotADuration),
            ("-5", Negative),
            ("99999999999999999999", TooLong),
            ("9999999999999999999h", TooLong),
        ] {
            assert_eq!(parse_seconds(text), Err(error), "{text}");
        }
    }

    #[test]
    fn spans_are_written_without_trailing_zeros() {
        for (seconds, text) in [
            (0, "0s"),
            (59, "59s"),
            (60, "1m"),
            (90, "1m30s"),
            (3600, "1h"),
            (3605, "1h0m5s"),
            (5400, "1h30m"),
            (2_764_800, "768h"),
        ] {
            assert_eq!(show_seconds(seconds), text);
        }
    }
}
