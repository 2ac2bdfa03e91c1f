//! Vault's `token_*` fields, as users and roles of every method have them: read, and shown.

use super::error::Refusal;
use super::fields::Fields;
use leasehold_core::access::params::{ParamsWrite, TokenParams, TokenType};
use serde_json::{Map, Value, json};
use std::time::Duration;

/// A name that a field once had, beside the one that it has.
pub(super) type OldName = (&'static str, &'static str);

/// Reads what is written of the tokens that logins make, each field by its name or by an older one.
pub(super) fn written(fields: &Fields<'_>, old_names: &[OldName]) -> Result<ParamsWrite, Refusal> {
    let mut told = Vec::new();
    let mut name_of = |name: &'static str| {
        let Some((_, old)) = old_names.iter().find(|(new, _)| *new == name) else { return name };
        let (is_new, is_old) = (fields.has(name), fields.has(old));
        if is_new || is_old {
            told.push(((*old).to_owned(), !is_new));
        }
        if is_new { name } else { old }
    };
    let (ttl, max_ttl) = (name_of("token_ttl"), name_of("token_max_ttl"));
    let (policies, period) = (name_of("token_policies"), name_of("token_period"));
    let bound_cidrs = name_of("token_bound_cidrs");
    Ok(ParamsWrite {
        policies: fields.texts(policies)?,
        no_default_policy: fields.flag("token_no_default_policy")?,
        ttl: span(fields, ttl)?,
        max_ttl: span(fields, max_ttl)?,
        explicit_max_ttl: span(fields, "token_explicit_max_ttl")?,
        period: span(fields, period)?,
        num_uses: uses(fields, "token_num_uses")?,
        bound_cidrs: fields.texts(bound_cidrs)?,
        strictly_bind_ip: fields.flag("token_strictly_bind_ip")?,
        token_type: token_type(fields, "invalid 'token_type' value")?,
        old_names: told,
    })
}

/// Reads a TTL; here Vault's message has no prefix.
pub(super) fn span(fields: &Fields<'_>, name: &'static str) -> Result<Option<Duration>, Refusal> {
    fields.span(name).map_err(|error| Refusal::bad(error.in_field(name)))
}

/// Reads how often something is good.
pub(super) fn uses(fields: &Fields<'_>, name: &'static str) -> Result<Option<u32>, Refusal> {
    let uses = fields.number(name)?;
    let whole = |uses: i64| {
        u32::try_from(uses).map_err(|_| {
            Refusal::bad(format!("'{name}' cannot be negative, nor more than {}", u32::MAX))
        })
    };
    uses.map(whole).transpose()
}

/// Reads how tokens are to be kept.
pub(super) fn token_type(fields: &Fields<'_>, unknown: &str) -> Result<Option<TokenType>, Refusal> {
    let Some(word) = fields.text("token_type")? else { return Ok(None) };
    TokenType::parse(&word).map(Some).ok_or_else(|| Refusal::bad(unknown))
}

/// What logins make, as operators see it.
pub(super) fn shown(params: &TokenParams, old_names: &[OldName]) -> Map<String, Value> {
    let mut shown = Map::from_iter([
        ("token_bound_cidrs".to_owned(), json!(params.bound_cidrs)),
        ("token_explicit_max_ttl".to_owned(), json!(params.explicit_max_ttl.as_secs())),
        ("token_max_ttl".to_owned(), json!(params.max_ttl.as_secs())),
        ("token_no_default_policy".to_owned(), json!(params.no_default_policy)),
        ("token_num_uses".to_owned(), json!(params.num_uses)),
        ("token_period".to_owned(), json!(params.period.as_secs())),
        ("token_policies".to_owned(), json!(params.policies)),
        ("token_strictly_bind_ip".to_owned(), json!(params.strictly_bind_ip)),
        ("token_ttl".to_owned(), json!(params.ttl.as_secs())),
        ("token_type".to_owned(), json!(params.token_type.word())),
    ]);
    for (name, old) in old_names {
        if params.old_names.contains(*old) {
            let value = shown.get(*name).cloned().unwrap_or_default();
            shown.insert((*old).to_owned(), value);
        }
    }
    shown
}
