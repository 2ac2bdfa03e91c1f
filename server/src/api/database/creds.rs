//! `GET <mount>/creds/:role`: lends a credential. One of the two places where secrets are put into answers.

use crate::api::caller::Call;
use crate::api::envelope::{Envelope, Reply};
use crate::api::error::Refusal;
use leasehold_core::access::token::Wrapped;
use leasehold_core::broker::Issued;
use leasehold_core::duration::capped_warning;
use leasehold_core::quota::tallies::Filling;
use leasehold_core::secret::{Field, Secret};
use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

pub(in crate::api) async fn read(call: &Call) -> Result<Reply, Refusal> {
    lent(call, |_| Map::new()).await
}

/// Lends a credential, and answers it with what else the clients of the mount's type look for.
pub(in crate::api) async fn lent(
    call: &Call,
    more: impl FnOnce(&Issued) -> Map<String, Value>,
) -> Result<Reply, Refusal> {
    let issued = call.broker.issue(&call.request, &call.mount, &call.name).await?;

    let capped = issued.capped.map(|(ttl, max)| capped_warning(ttl, max));
    let warnings = capped.into_iter().chain(issued.filling.map(filling_warning));
    let more = more(&issued);
    Ok(Envelope::to(call.id())
        .data(Lent { secret: Shown(&issued.secret), more })
        .lease(&issued.lease_id, issued.ttl)
        .renewable(issued.renewable)
        .warnings(warnings)
        .reply()
        .made(Wrapped::Lease(issued.lease)))
}

fn filling_warning(Filling { used, max, .. }: Filling) -> String {
    format!(
        "the target has {used} of the {max} credentials that `max_credentials` of its configuration lets it have; \
         once it has all of them nobody is lent another"
    )
}

/// What is lent.
#[derive(Serialize)]
struct Lent<'a> {
    #[serde(flatten)]
    secret: Shown<'a>,
    #[serde(flatten)]
    more: Map<String, Value>,
}

/// A secret as its caller sees it. It is written straight into the answer: there is no copy that outlives it.
struct Shown<'a>(&'a Secret);

impl Serialize for Shown<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.fields().map(|(name, field)| {
            let value = match field {
                Field::Open(text) => text.as_str(),
                Field::Hidden(text) => text.reveal(),
            };
            (name, value)
        }))
    }
}
