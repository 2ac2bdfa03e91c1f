//! How full the targets are that may have only so many credentials.

use super::{MetricFamily, Readings, at, float, gauge, gauges};

pub(super) fn families(readings: &Readings) -> Vec<MetricFamily> {
    let each = |number: fn(&(u64, u64)) -> u64| {
        let all = readings.capacities.iter();
        let all = all.map(|((mount, target), capacity)| {
            gauge(&at(mount, target, &[]), float(number(capacity)))
        });
        all.collect()
    };
    vec![
        gauges(
            "leasehold_target_credentials",
            "Credentials at a target that may have only so many, those that are being revoked included.",
            each(|(used, _)| *used),
        ),
        gauges("leasehold_target_credentials_max", "How many it may have.", each(|(_, max)| *max)),
    ]
}
