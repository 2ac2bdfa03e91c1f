//! Which metrics there are: their names, what they mean, and where their values come from.
//!
//! Labels name what operators set up, mounts and targets, and otherwise words from this code, so that nobody who only
//! borrows can make more series.

mod capacity;
mod upkeep;

use crate::meters::Meters;
use leasehold_core::audit::Load;
use leasehold_core::broker::{DifferenceKind, Readings};
use leasehold_core::metrics::{Shape, Tally, Verb, VerbMeter, float};
use leasehold_core::time::Timestamp;
use prometheus::proto::{
    Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType,
};

/// The revocations that go on, by how many attempts have failed.
const ATTEMPTS: [&str; 4] = ["0", "1", "2-9", "10+"];

/// Returns all metrics; without a broker only those that the server has by itself.
pub(super) fn families(
    readings: Option<&Readings>,
    meters: &Meters,
    now: Timestamp,
) -> Vec<MetricFamily> {
    let mut families = Vec::new();
    if let Some(readings) = readings {
        families.extend(of_leases(readings, now));
        families.extend(of_flow(readings));
        families.extend(upkeep::families(readings));
        families.extend(of_targets(readings));
        families.extend(of_lanes(readings));
        families.extend(of_broker(readings));
        families.extend(of_audit(readings));
        families.extend(of_clocks(readings));
        families.extend(of_comparisons(readings, now));
        families.extend(capacity::families(readings));
    }
    families.extend(of_server(meters));
    // The text format knows no metric without a sample: nothing was set up that it could be of.
    families.retain(|family| !family.get_metric().is_empty());
    families
}

/// What was in the store when it was last counted.
fn of_leases(readings: &Readings, now: Timestamp) -> Vec<MetricFamily> {
    let counted = &readings.counted;
    if counted.at == Timestamp::default() {
        return Vec::new();
    }
    let each = |value: fn(&Tally) -> f64| -> Vec<Metric> {
        let tallies = counted.leases.iter();
        tallies
            .map(|((mount, target), tally)| gauge(&at(mount, target, &[]), value(tally)))
            .collect()
    };
    let states = counted.leases.iter().flat_map(|((mount, target), tally)| {
        let revoking = tally.revoking.iter().copied().fold(0, u64::saturating_add);
        [("held", tally.held), ("revoking", revoking)]
            .map(|(state, count)| gauge(&at(mount, target, &[("state", state)]), float(count)))
    });
    let attempts = counted.leases.iter().flat_map(|((mount, target), tally)| {
        ATTEMPTS.iter().zip(tally.revoking).map(move |(attempts, count)| {
            gauge(&at(mount, target, &[("attempts", attempts)]), float(count))
        })
    });
    let age = now.since(counted.at).as_secs_f64();
    vec![
        gauges(
            "leasehold_leases",
            "Leases in the store: held ones are lent, revoking ones wait until their credential is gone.",
            states.collect(),
        ),
        gauges(
            "leasehold_revoking_leases",
            "Leases that are being revoked, by how many attempts have failed. Those with many are the ones to see to.",
            attempts.collect(),
        ),
        gauges(
            "leasehold_leases_due",
            "Leases whose term is over, or whose next attempt is due, and that nobody has taken up yet.",
            each(|tally| float(tally.due)),
        ),
        gauges(
            "leasehold_lease_lateness_seconds",
            "For how long the first of the leases that are due has been due. Grows while a target or the sweep does not keep up.",
            each(|tally| tally.late.as_secs_f64()),
        ),
        gauges(
            "leasehold_revocation_age_seconds",
            "For how long the revocation that lasts longest has gone on. A credential may still work that long after its end.",
            each(|tally| tally.revoking_for.as_secs_f64()),
        ),
        gauges("leasehold_tokens", "Tokens in the store.", vec![gauge(&[], float(counted.tokens))]),
        gauges(
            "leasehold_count_age_seconds",
            "How long ago leases and tokens were last counted; once a minute. What is counted then is as old as this.",
            vec![gauge(&[], age)],
        ),
    ]
}

/// How leases come and go.
fn of_flow(readings: &Readings) -> Vec<MetricFamily> {
    let begun = readings.begun.iter();
    let begun = begun.map(|(cause, count)| counter(&[("cause", cause)], *count));
    let deaths = readings.deaths.iter();
    let deaths = deaths.map(|(proof, count)| counter(&[("proof", proof)], *count));
    vec![
        counters(
            "leasehold_leases_made_total",
            "Leases that became durable, each before its target was asked.",
            vec![counter(&[], readings.made)],
        ),
        counters(
            "leasehold_leases_settled_total",
            "Leases that ended: their credential was seen to be gone.",
            vec![counter(&[], readings.settled)],
        ),
        counters(
            "leasehold_revocations_begun_total",
            "Leases taken from their holders, by what brought it about.",
            begun.collect(),
        ),
        counters(
            "leasehold_deaths_total",
            "Credentials of roles with proof_of_death that are gone, by how that was proven: by a login that worked before and was refused after, by the catalog, or not_proven.",
            deaths.collect(),
        ),
    ]
}

/// How targets do with what they are asked.
fn of_targets(readings: &Readings) -> Vec<MetricFamily> {
    let each = |value: fn(&VerbMeter, &[(&str, &str)]) -> Metric| -> Vec<Metric> {
        let meters = readings.targets.iter();
        let verbs = meters.flat_map(|meter| {
            Verb::ALL.map(|verb| {
                value(meter.of(verb), &at(&meter.mount, &meter.target, &[("verb", verb.name())]))
            })
        });
        verbs.collect()
    };
    let answers = readings.targets.iter().flat_map(|meter| {
        Verb::ALL.into_iter().flat_map(move |verb| {
            meter.of(verb).answers().map(|(result, count)| {
                let more = [("verb", verb.name()), ("result", result)];
                counter(&at(&meter.mount, &meter.target, &more), count)
            })
        })
    });
    vec![
        counters(
            "leasehold_target_answers_total",
            "Credentials that targets were asked to issue, renew or revoke, by what came of it: ok, or the cause of the failure.",
            answers.collect(),
        ),
        histograms(
            "leasehold_target_batch_seconds",
            "How long batches took at the target, tries within one included.",
            each(|meter, labels| histogram(labels, &meter.times.shape())),
        ),
        histograms(
            "leasehold_target_batch_members",
            "How many credentials shared one batch at the target.",
            each(|meter, labels| histogram(labels, &meter.members.shape())),
        ),
        gauges(
            "leasehold_target_waiting",
            "Credentials that were asked for and wait for the target to be free.",
            each(|meter, labels| {
                let (open, at_work) = (meter.open.value(), meter.at_work.value());
                gauge(labels, float(open.saturating_sub(at_work)))
            }),
        ),
        gauges(
            "leasehold_target_in_flight",
            "Credentials that the target is at work on.",
            each(|meter, labels| gauge(labels, float(meter.at_work.value()))),
        ),
    ]
}

/// What the sweep has in hand.
fn of_lanes(readings: &Readings) -> Vec<MetricFamily> {
    // A target with nothing in hand has no lane, and is told with zeros, so that no series comes and goes.
    let idle = readings.targets.iter().map(|meter| (meter.mount.as_str(), meter.target.as_str()));
    let busy = readings.lanes.keys().map(|(mount, target)| (mount.as_str(), target.as_str()));
    let places: std::collections::BTreeSet<_> = idle.chain(busy).collect();
    let each = |value: fn(leasehold_core::broker::InHand) -> usize| -> Vec<Metric> {
        let places = places.iter();
        let each = places.map(|(mount, target)| {
            let lane = readings.lanes.get(&((*mount).to_owned(), (*target).to_owned()));
            gauge(&at(mount, target, &[]), size(value(lane.copied().unwrap_or_default())))
        });
        each.collect()
    };
    vec![
        gauges(
            "leasehold_target_parked_leases",
            "Leases that are due and wait in the target's lane: while it rests, and while enough others are attempted.",
            each(|lane| lane.parked),
        ),
        gauges(
            "leasehold_target_attempted_leases",
            "Leases that the sweep is trying to revoke at the target now.",
            each(|lane| lane.attempted),
        ),
        gauges(
            "leasehold_target_resting",
            "1 while a target that could not be reached is left alone or probed, longer each time.",
            each(|lane| usize::from(lane.resting)),
        ),
    ]
}

/// The broker itself.
fn of_broker(readings: &Readings) -> Vec<MetricFamily> {
    let (leases, tokens) = readings.queued;
    let queues = [("leases", leases), ("tokens", tokens)];
    vec![
        gauges(
            "leasehold_queue_entries",
            "Entries in the queue of what is due within the hour. Renewals leave theirs behind until it comes up.",
            queues.map(|(queue, length)| gauge(&[("queue", queue)], size(length))).into(),
        ),
        gauges(
            "leasehold_unanswered_issues",
            "Issues that no target has answered for sure. Each is on a lease and is settled with it.",
            vec![gauge(&[], size(readings.unanswered))],
        ),
        gauges(
            "leasehold_targets_on_hold",
            "Targets at which a restore has left something to do: to compare them with the store, or, in a copy, to take them over.",
            readings
                .on_hold
                .map(|(cause, count)| gauge(&[("state", cause.name())], size(count)))
                .into(),
        ),
        gauges(
            "leasehold_targets_credential_older",
            "Targets of these that do not let their administrator in with what the store has: nothing is issued there until an operator gives the secret that it has now.",
            vec![gauge(&[], size(readings.older))],
        ),
        counters(
            "leasehold_audit_unrecorded_total",
            "Requests and revocations that no audit device recorded; such requests were refused.",
            vec![counter(&[], readings.unrecorded)],
        ),
        counters(
            "leasehold_audit_device_failures_total",
            "Lines that one audit device or another did not record.",
            vec![counter(&[], readings.audit_failures)],
        ),
    ]
}

/// How the audit devices do.
fn of_audit(readings: &Readings) -> Vec<MetricFamily> {
    let each = |value: fn(&[(&str, &str)], Load) -> Metric| -> Vec<Metric> {
        let devices = readings.audit_devices.iter();
        devices.map(|(name, load)| value(&[("device", name)], *load)).collect()
    };
    let undeclared = size(readings.audit_undeclared);
    vec![
        gauges(
            "leasehold_audit_devices",
            "Audit devices that are declared, and those that have recorded before and are not declared any more.",
            vec![
                gauge(&[("declared", "true")], size(readings.audit_devices.len())),
                gauge(&[("declared", "false")], undeclared),
            ],
        ),
        gauges(
            "leasehold_audit_device_waiting",
            "Lines that wait to be written by an audit device.",
            each(|labels, load| gauge(labels, float(load.waiting))),
        ),
        counters(
            "leasehold_audit_device_missed_total",
            "Lines that found no room in the queue of an audit device: it is too slow, or blocked.",
            each(|labels, load| counter(labels, load.missed)),
        ),
        counters(
            "leasehold_audit_device_failed_total",
            "Lines that an audit device could not write.",
            each(|labels, load| counter(labels, load.failed)),
        ),
    ]
}

/// The clocks.
fn of_clocks(readings: &Readings) -> Vec<MetricFamily> {
    let clock = &readings.clock;
    let wall_ahead = seconds(clock.wall.millis_after(clock.time));
    let skews = readings.skews.iter();
    let skews =
        skews.map(|((mount, target), ahead)| gauge(&at(mount, target, &[]), seconds(*ahead)));
    vec![
        gauges(
            "leasehold_clock_wall_ahead_seconds",
            "How far the system's wall clock is ahead of the time that terms go by; below zero where it is behind, accepted or not.",
            vec![gauge(&[], wall_ahead)],
        ),
        gauges(
            "leasehold_clock_off_seconds",
            "How far the system's wall clock and the time that terms go by are apart, beyond what an operator has accepted.",
            vec![gauge(&[], clock.off.as_secs_f64())],
        ),
        gauges(
            "leasehold_clock_refusing",
            "1 while issues and renewals are refused because the clock is in doubt.",
            vec![gauge(&[], size(usize::from(clock.doubt.is_some())))],
        ),
        gauges(
            "leasehold_target_clock_ahead_seconds",
            "How far the clock of a target in use is ahead of the system's; below zero where it is behind.",
            skews.collect(),
        ),
    ]
}

/// What was found when targets were compared with the leases.
fn of_comparisons(readings: &Readings, now: Timestamp) -> Vec<MetricFamily> {
    let differences = readings.compared.iter().flat_map(|compared| {
        let (mount, target) = &compared.label;
        DifferenceKind::ALL.map(|kind| {
            let count = size(compared.report.count(kind));
            gauge(&at(mount, target, &[("kind", kind.name())]), count)
        })
    });
    let ages = readings.compared.iter().map(|compared| {
        let (mount, target) = &compared.label;
        gauge(&at(mount, target, &[]), now.since(compared.report.at).as_secs_f64())
    });
    vec![
        gauges(
            "leasehold_target_differences",
            "Credentials that were not as their leases say when the target was last compared with them.",
            differences.collect(),
        ),
        gauges(
            "leasehold_target_comparison_age_seconds",
            "How long ago the target was last compared with the leases.",
            ages.collect(),
        ),
    ]
}

/// What the server has without a broker as well.
fn of_server(meters: &Meters) -> Vec<MetricFamily> {
    let times = meters.http.times().iter();
    let times = times.map(|(class, times)| histogram(&[("status", class)], &times.shape()));
    let outcomes = meters.store.outcomes();
    vec![
        gauges(
            "leasehold_build_info",
            "Always 1; the release is in the label.",
            vec![gauge(&[("version", env!("CARGO_PKG_VERSION"))], 1.0)],
        ),
        histograms(
            "leasehold_http_request_seconds",
            "How long requests took until they were answered, by the class of their status.",
            times.collect(),
        ),
        counters(
            "leasehold_store_commits_total",
            "Batches that the store was to write, by what came of it. A conflict is decided anew by whoever asked.",
            outcomes.map(|(result, count)| counter(&[("result", result)], count)).into(),
        ),
        histograms(
            "leasehold_store_commit_seconds",
            "How long the store took to make a group of batches durable.",
            vec![histogram(&[], &meters.store.times.shape())],
        ),
        histograms(
            "leasehold_store_group_batches",
            "How many batches shared one commit of the store.",
            vec![histogram(&[], &meters.store.groups.shape())],
        ),
    ]
}

/// The labels of something at a target.
fn at<'a>(mount: &'a str, target: &'a str, more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    [("mount", mount), ("target", target)].into_iter().chain(more.iter().copied()).collect()
}

#[expect(clippy::cast_precision_loss, reason = "a clock that is off by more is off by enough")]
fn seconds(ms: i64) -> f64 {
    ms as f64 / 1000.0
}

fn size(size: usize) -> f64 {
    float(u64::try_from(size).unwrap_or(u64::MAX))
}

fn gauges(name: &str, help: &str, metrics: Vec<Metric>) -> MetricFamily {
    family(name, help, MetricType::GAUGE, metrics)
}

fn counters(name: &str, help: &str, metrics: Vec<Metric>) -> MetricFamily {
    family(name, help, MetricType::COUNTER, metrics)
}

fn histograms(name: &str, help: &str, metrics: Vec<Metric>) -> MetricFamily {
    family(name, help, MetricType::HISTOGRAM, metrics)
}

fn family(name: &str, help: &str, kind: MetricType, metrics: Vec<Metric>) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(name.to_owned());
    family.set_help(help.to_owned());
    family.set_field_type(kind);
    family.set_metric(metrics);
    family
}

fn labelled(labels: &[(&str, &str)]) -> Metric {
    let pairs = labels.iter().map(|(name, value)| {
        let mut pair = LabelPair::default();
        pair.set_name((*name).to_owned());
        pair.set_value((*value).to_owned());
        pair
    });
    Metric::from_label(pairs.collect())
}

fn gauge(labels: &[(&str, &str)], value: f64) -> Metric {
    let mut gauge = Gauge::default();
    gauge.set_value(value);
    let mut metric = labelled(labels);
    metric.set_gauge(gauge);
    metric
}

fn counter(labels: &[(&str, &str)], value: u64) -> Metric {
    let mut counter = Counter::default();
    counter.set_value(float(value));
    let mut metric = labelled(labels);
    metric.set_counter(counter);
    metric
}

fn histogram(labels: &[(&str, &str)], shape: &Shape) -> Metric {
    let buckets = shape.up_to.iter().map(|(bound, count)| {
        let mut bucket = Bucket::default();
        bucket.set_upper_bound(*bound);
        bucket.set_cumulative_count(*count);
        bucket
    });
    let mut histogram = Histogram::default();
    histogram.set_bucket(buckets.collect());
    histogram.set_sample_count(shape.count);
    histogram.set_sample_sum(shape.sum);
    let mut metric = labelled(labels);
    metric.set_histogram(histogram);
    metric
}

#[cfg(test)]
mod tests {
    use super::*;
    use prometheus::TextEncoder;

    #[test]
    fn what_names_hold_is_escaped() {
        let name = "a\"b\\c\nd";
        let family = gauges("leasehold_x", "Helps.\nA lot.", vec![gauge(&at(name, "t", &[]), 1.0)]);
        let text = TextEncoder::new().encode_to_string(&[family]).unwrap();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(
            lines,
            [
                "# HELP leasehold_x Helps.\\nA lot.",
                "# TYPE leasehold_x gauge",
                "leasehold_x{mount=\"a\\\"b\\\\c\\nd\",target=\"t\"} 1",
            ]
        );
    }
}
