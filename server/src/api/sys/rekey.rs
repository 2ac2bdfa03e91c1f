//! `sys/rekey/init`, `update` and `verify`, and the same of `sys/rekey-recovery-key`: a key that is split anew.

use super::unseal::share;
use crate::api::envelope::Reply;
use crate::api::error::Refusal;
use crate::api::fields::Fields;
use crate::api::routes::Open;
use crate::api::token::shown::shares;
use actix_web::http::StatusCode;
use leasehold_core::broker::Rekeying;
use leasehold_core::seal::shares::Split;
use leasehold_core::seal::splits::Purpose;
use serde_json::{Map, Value, json};

pub(in crate::api) async fn read(open: &Open, of: Purpose) -> Result<Reply, Refusal> {
    let told = open.broker()?.rekeying(of).await?;

    Ok(shown(&told))
}

pub(in crate::api) async fn begin(open: &Open, of: Purpose) -> Result<Reply, Refusal> {
    let (broker, fields) = (open.broker()?, Fields::new(&open.body));
    let asked = fields.texts("pgp_keys")?.is_some_and(|keys| !keys.is_empty())
        || fields.flag("backup")?.unwrap_or(false);
    if asked {
        return Err(Refusal::bad("`pgp_keys` and `backup` are not supported; leave them out"));
    }
    let shares = fields.number("secret_shares")?.unwrap_or_default();
    let threshold = fields.number("secret_threshold")?.unwrap_or_default();
    let split = Split::new(shares, threshold)
        .map_err(|error| Refusal::bad(format!("invalid rekey seal configuration: {error}")))?;
    let must_verify = fields.flag("require_verification")?.unwrap_or(false);
    let share = share(&fields)?;

    let told = broker.begin_rekey(&open.request, of, split, must_verify, share.as_ref()).await?;

    Ok(shown(&told))
}

pub(in crate::api) async fn cancel(open: &Open, of: Purpose) -> Result<Reply, Refusal> {
    let share = share(&Fields::new(&open.body))?;

    open.broker()?.cancel_rekey(&open.request, of, share.as_ref()).await?;

    Ok(Reply::done())
}

pub(in crate::api) async fn update(open: &Open, of: Purpose) -> Result<Reply, Refusal> {
    go_on(open, of, false).await
}

pub(in crate::api) async fn verify(open: &Open, of: Purpose) -> Result<Reply, Refusal> {
    go_on(open, of, true).await
}

async fn go_on(open: &Open, of: Purpose, verifies: bool) -> Result<Reply, Refusal> {
    let (broker, fields) = (open.broker()?, Fields::new(&open.body));
    let share =
        share(&fields)?.ok_or(Refusal::bad("'key' must be specified in request body as JSON"))?;
    let nonce = fields.text("nonce")?.unwrap_or_default();

    let told = broker.go_on_with_rekey(&open.request, of, verifies, &nonce, share).await?;

    Ok(shown(&told))
}

fn shown(told: &Rekeying) -> Reply {
    let split = |of: fn(Split) -> usize| told.split.map_or(0, of);
    let mut shown = Map::from_iter([
        ("nonce".to_owned(), json!(told.nonce)),
        ("pgp_fingerprints".to_owned(), Value::Null),
        ("backup".to_owned(), json!(false)),
        ("verification_required".to_owned(), json!(told.must_verify)),
    ]);
    match &told.done {
        Some(new) => {
            shown.insert("complete".to_owned(), json!(true));
            if !new.is_empty() {
                shown.extend(shares(new, ""));
            }
        }
        None => shown.extend([
            ("started".to_owned(), json!(!told.nonce.is_empty())),
            ("t".to_owned(), json!(split(Split::threshold))),
            ("n".to_owned(), json!(split(Split::shares))),
            ("progress".to_owned(), json!(told.progress)),
            ("required".to_owned(), json!(told.required)),
        ]),
    }
    if told.verifying {
        shown.insert("verification_nonce".to_owned(), json!(told.nonce));
    }
    Reply::json(StatusCode::OK, &shown)
}
