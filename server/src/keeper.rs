//! Keeps how far the audit record reaches, so that a later start can tell whether its end is still there.

use leasehold_core::broker::Broker;
use leasehold_core::tasks::Tasks;
use std::sync::Arc;
use std::time::Duration;

/// How often: what follows the last time can be cut off without a trace, and each time costs a commit.
const KEEP_EVERY: Duration = Duration::from_secs(1);

/// Keeps it for as long as the process lives.
pub(crate) async fn run(broker: Arc<Broker>, tasks: Arc<dyn Tasks>) {
    let mut failed = false;
    loop {
        tasks.sleep_until(broker.now().plus(KEEP_EVERY)).await;
        let outcome = broker.keep_audit(false).await;
        if let (Err(error), false) = (&outcome, failed) {
            tracing::warn!(%error, "how far the audit record reaches could not be kept; it is tried every second");
        }
        failed = outcome.is_err();
    }
}
