//! What the server counts beside the broker: what it was asked over HTTP, and what the store took.

use crate::store::meter::StoreMeter;
use actix_web::http::StatusCode;
use leasehold_core::metrics::Histogram;
use std::sync::Arc;
use std::time::Duration;

/// All that the server counts.
#[derive(Debug, Default)]
pub(crate) struct Meters {
    pub(crate) http: HttpMeter,
    pub(crate) store: Arc<StoreMeter>,
}

/// How requests went, by the class of their status.
#[derive(Debug)]
pub(crate) struct HttpMeter {
    classes: [(&'static str, Histogram); 4],
}

impl Default for HttpMeter {
    fn default() -> Self {
        Self { classes: ["2xx", "3xx", "4xx", "5xx"].map(|class| (class, Histogram::of_times())) }
    }
}

impl HttpMeter {
    /// Notes a request that was answered.
    pub(crate) fn answered(&self, status: StatusCode, took: Duration) {
        let [ok, elsewhere, refused, failed] = &self.classes;
        let (_, times) = match status.as_u16() {
            ..300 => ok,
            300..400 => elsewhere,
            400..500 => refused,
            500.. => failed,
        };
        times.time(took);
    }

    /// Returns how long requests took, by the class of their status.
    pub(crate) fn times(&self) -> &[(&'static str, Histogram)] {
        &self.classes
    }
}
