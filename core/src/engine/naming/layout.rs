//! Times as Go's layouts write them: by the example of 2006-01-02 15:04:05.

use crate::time::Timestamp;
use chrono::format::{DelayedFormat, Item, StrftimeItems};

/// How a time is written, always in UTC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Layout(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Literal(char),
    /// A part of the time, in chrono's notation.
    Field(&'static str),
    /// The fraction of a second to so many digits; `trimmed` leaves out zeros at the end.
    Fraction {
        mark: char,
        digits: usize,
        trimmed: bool,
    },
}

/// The longer of two that begin alike comes first.
const FIELDS: &[(&str, &str)] = &[
    ("January", "%B"),
    ("Monday", "%A"),
    ("-07:00:00", "+00:00:00"),
    ("-070000", "+000000"),
    ("-07:00", "+00:00"),
    ("-0700", "+0000"),
    ("-07", "+00"),
    ("Z07:00:00", "Z"),
    ("Z070000", "Z"),
    ("Z07:00", "Z"),
    ("Z0700", "Z"),
    ("Z07", "Z"),
    ("_2006", "_%Y"),
    ("2006", "%Y"),
    ("__2", "%_j"),
    ("002", "%j"),
    ("Jan", "%b"),
    ("Mon", "%a"),
    ("MST", "UTC"),
    ("01", "%m"),
    ("02", "%d"),
    ("03", "%I"),
    ("04", "%M"),
    ("05", "%S"),
    ("06", "%y"),
    ("15", "%H"),
    ("_2", "%e"),
    ("PM", "%p"),
    ("pm", "%P"),
    ("1", "%-m"),
    ("2", "%-d"),
    ("3", "%-I"),
    ("4", "%-M"),
    ("5", "%-S"),
];

impl Layout {
    /// Reads a layout; what is no example of a part of a time stands for itself.
    pub(super) fn parse(layout: &str) -> Self {
        let mut parts = Vec::new();
        let mut rest = layout;
        while let Some(first) = rest.chars().next() {
            if let Some((part, after)) = fraction(rest).or_else(|| field(rest)) {
                parts.push(part);
                rest = after;
            } else {
                parts.push(Part::Literal(first));
                rest = rest.get(first.len_utf8()..).unwrap_or_default();
            }
        }
        Self(parts)
    }

    /// Writes a time.
    pub(super) fn write(&self, at: Timestamp) -> String {
        let mut text = String::new();
        for part in &self.0 {
            match part {
                Part::Literal(char) => text.push(*char),
                Part::Field(format) => {
                    let items: Vec<Item<'_>> = StrftimeItems::new(format).collect();
                    let utc = at.utc();
                    let written =
                        DelayedFormat::new(Some(utc.date_naive()), Some(utc.time()), items.iter());
                    text.push_str(&written.to_string());
                }
                Part::Fraction { mark, digits, trimmed } => {
                    push_fraction(&mut text, at, *mark, *digits, *trimmed);
                }
            }
        }
        text
    }
}

fn push_fraction(text: &mut String, at: Timestamp, mark: char, digits: usize, trimmed: bool) {
    let nanos = format!("{:03}000000", at.0 % 1000);
    let all = nanos.get(..digits).unwrap_or(&nanos);
    let shown = if trimmed { all.trim_end_matches('0') } else { all };
    if !shown.is_empty() {
        text.push(mark);
        text.push_str(shown);
    }
}

fn field(rest: &str) -> Option<(Part, &str)> {
    FIELDS.iter().find_map(|(example, format)| {
        let after = rest.strip_prefix(example)?;
        // As in Go, `Jan` in `Janet` is no month.
        let in_a_word = matches!(*example, "Jan" | "Mon")
            && after.starts_with(|c: char| c.is_ascii_lowercase());
        (!in_a_word).then_some((Part::Field(format), after))
    })
}

/// Reads `.000` or `,999`: digits of one kind, nine at most, and no other digit after them.
fn fraction(rest: &str) -> Option<(Part, &str)> {
    let mark = rest.chars().next().filter(|mark| matches!(mark, '.' | ','))?;
    let digits_on = rest.get(1..)?;
    let kind = digits_on.chars().next().filter(|kind| matches!(kind, '0' | '9'))?;
    let after = digits_on.trim_start_matches(kind);
    let digits = digits_on.len().saturating_sub(after.len());
    let ends = digits <= 9 && !after.starts_with(|c: char| c.is_ascii_digit());
    ends.then_some((Part::Fraction { mark, digits, trimmed: kind == '9' }, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layout_writes_the_time_as_go_does() {
        // 2026-03-04 05:06:07.089 UTC, a Wednesday.
        let at = Timestamp(1_772_600_767_089);
        for (layout, written) in [
            ("2006-01-02T15:04:05Z", "2026-03-04T05:06:07Z"),
            ("2006-01-02T15:04:05Z07:00", "2026-03-04T05:06:07Z"),
            ("20060102150405", "20260304050607"),
            ("Mon Jan _2 15:04:05 2006", "Wed Mar  4 05:06:07 2026"),
            ("Monday, 02-Jan-06 15:04:05 MST", "Wednesday, 04-Mar-26 05:06:07 UTC"),
            ("3:04PM", "5:06AM"),
            ("1/2 3:4:5 pm", "3/4 5:6:7 am"),
            ("15:04:05.000 -0700", "05:06:07.089 +0000"),
            ("05.999999", "07.089"),
            ("05.00", "07.08"),
            ("002", "063"),
            ("Janet 100%", "Janet 300%"),
            ("é%n", "é%n"),
        ] {
            assert_eq!(Layout::parse(layout).write(at), written, "{layout}");
        }
    }
}
