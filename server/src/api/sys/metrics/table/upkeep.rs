//! What is done at targets by itself beside revocations, in numbers: rotations and put-backs.

use super::{MetricFamily, Readings, counter, counters, gauge, gauges, size};

/// What is done at targets by itself beside revocations.
pub(super) fn families(readings: &Readings) -> Vec<MetricFamily> {
    let (overdue, for_long) = readings.overdue;
    vec![
        counters(
            "leasehold_rotations_total",
            "Rotations of static accounts and administrators: those that succeeded, and tries that failed.",
            vec![
                counter(&[("result", "ok")], readings.rotated),
                counter(&[("result", "failed")], readings.unrotated),
            ],
        ),
        gauges(
            "leasehold_rotations_overdue",
            "Accounts that are due for a rotation that is not done yet.",
            vec![gauge(&[], size(overdue))],
        ),
        gauges(
            "leasehold_rotation_lateness_seconds",
            "For how long the first of them has been due.",
            vec![gauge(&[], for_long.as_secs_f64())],
        ),
        counters(
            "leasehold_put_backs_total",
            "Credentials that a target had forgotten in a restart, and that were set again.",
            vec![counter(&[], readings.put_back)],
        ),
    ]
}
