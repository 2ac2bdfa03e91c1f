//! `<mount>/config/root`: the account, and its administrator.

use super::ROOT;
use crate::api::caller::Call;
use crate::api::database::config::{OLDER, generation, kept, max_credentials};
use crate::api::database::static_roles::plan;
use crate::api::envelope::{Envelope, Reply};
use crate::api::error::Refusal;
use leasehold_core::broker::{TargetError, TargetWrite};

pub(in crate::api) async fn read(call: &Call) -> Result<Reply, Refusal> {
    let view = call.broker.read_target(&call.request, &call.mount, ROOT).await?;
    let mut shown = view.shown;
    shown.extend(kept(&view.target));
    if view.older.is_some() {
        shown.insert(OLDER.to_owned(), true.into());
    }
    let warning = view.older.map(|older| older.to_string());
    Ok(Envelope::to(call.id()).data(shown).warnings(warning).reply())
}

pub(in crate::api) async fn write(call: &Call) -> Result<Reply, Refusal> {
    let fields = call.fields();
    let wanted = TargetWrite {
        mount: call.mount.clone(),
        name: ROOT.to_owned(),
        plugin_name: Some("aws".to_owned()),
        // All roles of the mount are for it.
        allowed_roles: Some(vec!["*".to_owned()]),
        reconcile_period: fields.ttl("reconcile_period")?,
        reconcile_repair: fields.flag("reconcile_repair")?,
        max_credentials: max_credentials(&fields)?,
        rotation: plan(&fields)?,
        generation: generation(&fields)?,
        fields: fields.rest(),
        ..TargetWrite::default()
    };

    match call.broker.write_target(&call.request, wanted).await {
        Ok(()) => Ok(Reply::done()),
        // Nothing here is a database, as the words for these elsewhere have it.
        Err(error @ (TargetError::Bad(_) | TargetError::Verify(_))) => {
            Err(Refusal::bad(error.to_string()))
        }
        Err(error) => Err(error.into()),
    }
}
