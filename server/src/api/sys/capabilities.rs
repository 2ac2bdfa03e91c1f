//! `sys/capabilities`, `-self`, `-accessor`: what the policies of a token grant at some paths.

use crate::api::caller::Call;
use crate::api::envelope::{Envelope, Reply};
use crate::api::error::Refusal;
use crate::api::fields::Fields;
use crate::api::routes;
use crate::api::token::{by_accessor, by_text};
use leasehold_core::broker::{Granted, WhichToken};
use serde_json::{Map, Value, json};

pub(in crate::api) async fn own(call: &Call) -> Result<Reply, Refusal> {
    let paths = paths(&call.fields())?;
    tell(call, WhichToken::Own, paths).await
}

pub(in crate::api) async fn by_its_text(call: &Call) -> Result<Reply, Refusal> {
    let fields = call.fields();
    let which = by_text(&fields)?.ok_or_else(|| Refusal::bad("no token found"))?;
    tell(call, which, paths(&fields)?).await
}

pub(in crate::api) async fn by_its_accessor(call: &Call) -> Result<Reply, Refusal> {
    let fields = call.fields();
    let which = by_accessor(&fields)?;
    tell(call, which, paths(&fields)?).await
}

/// Reads which paths are asked about. `path` is what `paths` once was.
fn paths(fields: &Fields<'_>) -> Result<Vec<String>, Refusal> {
    let paths = fields.texts("paths")?.unwrap_or_default();
    let old = fields.texts("path")?.unwrap_or_default();
    let paths = if paths.is_empty() { old } else { paths };
    if paths.is_empty() {
        return Err(Refusal::bad("paths must be supplied"));
    }
    Ok(paths)
}

async fn tell(call: &Call, which: WhichToken, paths: Vec<String>) -> Result<Reply, Refusal> {
    // Policies are asked about the path that a request for this one would be taken for.
    let meant = paths.iter().map(|path| routes::meant(&call.broker, path.trim_start_matches('/')));
    let granted = call.broker.capabilities(&call.request, &which, meant.collect()).await?;

    let mut shown: Map<String, Value> = match granted {
        Granted::Root => paths.into_iter().map(|path| (path, json!(["root"]))).collect(),
        Granted::At(at) => {
            let words = at.into_iter().map(|(_, granted)| json!(granted.words()));
            paths.into_iter().zip(words).collect()
        }
    };
    if shown.len() == 1 {
        let only = shown.values().next().cloned();
        shown.extend(only.map(|only| ("capabilities".to_owned(), only)));
    }
    Ok(Envelope::with_data_on_top(call.id(), shown))
}
