//! `GET sys/storage/backup`: everything in the store at one moment, as a stream.

use crate::api::caller::Call;
use crate::api::envelope::Reply;
use crate::api::error::Refusal;
use futures_util::{StreamExt, stream};
use std::time::Duration;
use tokio::sync::mpsc;
use tracing::Instrument;

/// Parts that are ready before the client has taken the ones before: each is about 1 MB.
const READY_MAX: usize = 2;
/// How long a client may take for one part. The store cannot use again what a backup still shows, so one that
/// has stopped reading is cut off.
const TAKES_WITHIN: Duration = Duration::from_mins(1);

pub(in crate::api) async fn read(call: &Call) -> Result<Reply, Refusal> {
    let mut backup = call.broker.back_up(&call.request).await?;

    let (ready, taken) = mpsc::channel(READY_MAX);
    let making = async move {
        while let Some(part) = backup.parts.next().await {
            if let Err(error) = &part {
                tracing::error!(%error, "a backup broke off");
            }
            if ready.send_timeout(part, TAKES_WITHIN).await.is_err() {
                // Whoever has read so far sees that the trailer is missing.
                tracing::warn!("a backup was cut off: its client left, or took too long");
                return;
            }
        }
    };
    tokio::spawn(making.in_current_span());
    let parts = stream::unfold(taken, async |mut taken| Some((taken.recv().await?, taken)));
    Ok(Reply::stream(parts.boxed()))
}
