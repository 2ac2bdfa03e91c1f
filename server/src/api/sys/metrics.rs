//! `GET sys/metrics`: what the server counts, in the text that Prometheus reads or in Vault's JSON.
//!
//! Both are written from the same table. Nothing below a mount and a target is named: no role, no lease, no caller.

mod table;

use crate::api::caller::Call;
use crate::api::envelope::Reply;
use crate::api::error::Refusal;
use crate::api::routes::Open;
use crate::wiring::{Node, Server};
use actix_web::http::StatusCode;
use leasehold_core::broker::Readings;
use leasehold_core::metrics::float;
use leasehold_core::time::Timestamp;
use prometheus::TextEncoder;
use prometheus::proto::{Metric, MetricFamily, MetricType};
use serde_json::{Map, Value, json};

/// What Prometheus is told that it gets.
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";
/// What Vault says of an error here, which is no JSON.
const PLAIN: &str = "text/plain";

/// How the metrics are written.
enum Format {
    Json,
    Prometheus,
}

pub(in crate::api) async fn read(call: &Call) -> Result<Reply, Refusal> {
    let fields = call.fields();
    let asked = fields.text("format")?.unwrap_or_default();
    let Some(format) = Format::asked(&asked, &call.accept) else {
        call.broker.let_pass(&call.request).await?;
        return Ok(unknown(&asked));
    };
    let readings = call.broker.metrics(&call.request).await?;
    Ok(written(&format, Some(&readings), &call.server))
}

/// The same without a token, where a listener is told to show it so.
pub(in crate::api) fn read_without_token(open: &Open) -> Reply {
    let asked = open.query.get("format").and_then(Value::as_str).unwrap_or_default();
    let Some(format) = Format::asked(asked, &open.accept) else { return unknown(asked) };
    let readings = match open.server.node() {
        Node::Uninitialized | Node::Sealed => None,
        Node::Unsealed(broker) => Some(broker.readings()),
    };
    written(&format, readings.as_ref(), &open.server)
}

impl Format {
    /// Returns what is named, or else what the client takes.
    fn asked(name: &str, accept: &str) -> Option<Self> {
        match name {
            "" if accept.split(',').any(is_of_prometheus) => Some(Self::Prometheus),
            "" => Some(Self::Json),
            "prometheus" => Some(Self::Prometheus),
            _ => None,
        }
    }
}

/// Tells whether a kind of answer is one that only Prometheus asks for. Any client may take plain text; the version
/// is what makes it the text of Prometheus.
fn is_of_prometheus(kind: &str) -> bool {
    let mut parts = kind.split(';').map(|part| part.trim().to_ascii_lowercase());
    match parts.next().as_deref() {
        Some("application/openmetrics-text" | "prometheus/telemetry") => true,
        Some("text/plain") => parts.any(|part| part == "version=0.0.4"),
        _ => false,
    }
}

fn unknown(format: &str) -> Reply {
    let message = format!("metric response format {format:?} unknown");
    Reply::text(StatusCode::BAD_REQUEST, PLAIN, message)
}

fn written(format: &Format, readings: Option<&Readings>, server: &Server) -> Reply {
    let now = server.clock().now();
    let families = table::families(readings, &server.meters, now);
    match format {
        Format::Json => Reply::json(StatusCode::OK, &in_json(&families, now)),
        Format::Prometheus => match TextEncoder::new().encode_to_string(&families) {
            Ok(text) => Reply::text(StatusCode::OK, PROMETHEUS, text),
            Err(error) => {
                tracing::error!(%error, "the metrics could not be written");
                Refusal::told(StatusCode::INTERNAL_SERVER_ERROR, "internal error").into_reply()
            }
        },
    }
}

/// Vault's shape. It tells what happened in its last interval of ten seconds; this tells what happened since the
/// start, so that whoever asks takes the difference, and nothing between two looks is missed.
fn in_json(families: &[MetricFamily], now: Timestamp) -> Value {
    let of_kind = |kind: MetricType| -> Vec<Value> {
        let families = families.iter().filter(|family| family.get_field_type() == kind);
        let each = families.flat_map(|family| {
            family.get_metric().iter().map(|metric| one_in_json(family.name(), kind, metric))
        });
        each.collect()
    };
    json!({
        "Timestamp": now.utc().format("%Y-%m-%d %H:%M:%S +0000 UTC").to_string(),
        "Gauges": of_kind(MetricType::GAUGE),
        "Points": [],
        "Counters": of_kind(MetricType::COUNTER),
        "Samples": of_kind(MetricType::HISTOGRAM),
    })
}

fn one_in_json(name: &str, kind: MetricType, metric: &Metric) -> Value {
    let labels = metric.get_label().iter();
    let labels: Map<String, Value> =
        labels.map(|label| (label.name().to_owned(), json!(label.value()))).collect();
    match kind {
        MetricType::GAUGE => {
            json!({ "Name": name, "Value": metric.get_gauge().get_value(), "Labels": labels })
        }
        MetricType::COUNTER => {
            let sum = metric.get_counter().get_value();
            json!({ "Name": name, "Count": whole(sum), "Sum": sum, "Labels": labels })
        }
        MetricType::HISTOGRAM | MetricType::SUMMARY | MetricType::UNTYPED => {
            let histogram = metric.get_histogram();
            let (count, sum) = (histogram.get_sample_count(), histogram.get_sample_sum());
            let mean = if count == 0 { 0.0 } else { sum / float(count) };
            json!({ "Name": name, "Count": count, "Sum": sum, "Mean": mean, "Labels": labels })
        }
    }
}

/// Vault's clients read counts as whole numbers, and refuse `1.0`.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "it was made of a count"
)]
fn whole(count: f64) -> u64 {
    count as u64
}
