//! `identity/lookup/…`: an entity or a group by whatever is known of it; 204 if there is no such.

use super::{shown, some_text};
use crate::api::caller::Call;
use crate::api::envelope::{Envelope, Reply};
use crate::api::error::Refusal;
use leasehold_core::broker::{LookedFor, Which};
use serde_json::Value;

pub(in crate::api) async fn entity(call: &Call) -> Result<Reply, Refusal> {
    let (wanted, ignored) = looked_for(call)?;

    let found = call.broker.lookup_entity(&call.request, &wanted).await?;

    Ok(told(call, found.map(|view| shown::entity(call, &view)), ignored))
}

pub(in crate::api) async fn group(call: &Call) -> Result<Reply, Refusal> {
    let (wanted, ignored) = looked_for(call)?;

    let found = call.broker.lookup_group(&call.request, &wanted).await?;

    Ok(told(call, found.map(|view| shown::group(call, &view)), ignored))
}

fn told(call: &Call, found: Option<Value>, ignored: Option<String>) -> Reply {
    match found {
        Some(data) => Envelope::to(call.id()).data(data).warnings(ignored).reply(),
        None => Reply::done(),
    }
}

fn looked_for(call: &Call) -> Result<(LookedFor, Option<String>), Refusal> {
    let fields = call.fields();
    let id = some_text(&fields, "id")?.map(|id| LookedFor::Itself(Which::Id(id)));
    let name = some_text(&fields, "name")?.map(|name| LookedFor::Itself(Which::Name(name)));
    let alias = some_text(&fields, "alias_id")?.map(LookedFor::Alias);
    let known = (some_text(&fields, "alias_name")?, some_text(&fields, "alias_mount_accessor")?);
    let known = match known {
        (Some(name), Some(mount_accessor)) => Some(LookedFor::KnownAs { mount_accessor, name }),
        (None, None) => None,
        (Some(_), None) | (None, Some(_)) => {
            let message = "`alias_name` and `alias_mount_accessor` go together";
            return Err(Refusal::bad(message));
        }
    };
    let mut all = [id, name, alias, known].into_iter().flatten();
    let wanted = all.next().ok_or_else(|| Refusal::bad("query parameter not supplied"))?;
    if all.next().is_some() {
        return Err(Refusal::bad("one thing is looked for by one parameter; leave the others out"));
    }
    Ok((wanted, fields.ignored()))
}
