//! The one timer: looks for what is due when something is. Beside it the house is kept.

use futures_util::future::{Either, select};
use futures_util::{FutureExt, Stream, StreamExt};
use leasehold_core::broker::Broker;
use leasehold_core::tasks::Tasks;
use std::sync::Arc;
use std::time::Duration;

/// The longest sleep: a wake-up that was missed, however that came about, costs no more than this.
const SLEEP_MAX: Duration = Duration::from_hours(1);
/// How often what is kept only for something else is looked at.
const HOUSEKEEP_EVERY: Duration = Duration::from_mins(1);
/// The wait after a sweep that failed, doubled each time.
const RETRY_FIRST: Duration = Duration::from_secs(1);
/// The longest such wait: a store that is back is swept within it.
const RETRY_LAST: Duration = Duration::from_secs(30);

/// Sweeps and keeps house for as long as the process lives. `woken` says that something may be due earlier than was
/// known.
pub async fn run(
    broker: Arc<Broker>,
    tasks: Arc<dyn Tasks>,
    woken: impl Stream<Item = ()> + Unpin,
) {
    // Beside each other: keeping house reads much, and what lapses meanwhile does not wait for it.
    let house = keep_house(&broker, &*tasks);
    let sweeping = sweep(&broker, &*tasks, woken);
    futures_util::future::join(house, sweeping).await;
}

async fn keep_house(broker: &Arc<Broker>, tasks: &dyn Tasks) {
    loop {
        passing!(HouseBefore);
        if let Err(error) = broker.housekeep().await {
            tracing::error!(%error, "housekeeping failed and will be tried again");
        }
        passing!(HouseAfter);
        tasks.sleep_until(broker.now().plus(HOUSEKEEP_EVERY)).await;
    }
}

async fn sweep(broker: &Arc<Broker>, tasks: &dyn Tasks, mut woken: impl Stream<Item = ()> + Unpin) {
    let mut failures = 0_u32;
    loop {
        passing!(SweepBefore);
        let until = match broker.sweep().await {
            Ok(swept) => {
                passing!(SweepAfter);
                failures = 0;
                swept.next.min(broker.now().plus(SLEEP_MAX))
            }
            Err(error) => {
                tracing::error!(%error, "a sweep failed and will be tried again");
                failures = failures.saturating_add(1);
                broker.now().plus(after(failures))
            }
        };
        if failures > 0 {
            // Nobody wakes this one: what woke it is what failed.
            tasks.sleep_until(until).await;
            continue;
        }
        match select(tasks.sleep_until(until), woken.next()).await {
            Either::Right((None, sleep)) => sleep.await,
            Either::Left(((), _)) | Either::Right((Some(()), _)) => {}
        }
        // One look serves all who asked for it so far.
        while let Some(Some(())) = woken.next().now_or_never() {}
    }
}

fn after(failures: u32) -> Duration {
    let doubled = failures.saturating_sub(1).min(16);
    RETRY_FIRST.saturating_mul(1_u32.checked_shl(doubled).unwrap_or(u32::MAX)).min(RETRY_LAST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_waits_after_failures_grow_up_to_a_bound() {
        let waits: Vec<_> = (1..=7).map(|failures| after(failures).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 30, 30]);
        assert_eq!(after(u32::MAX), RETRY_LAST);
    }
}
