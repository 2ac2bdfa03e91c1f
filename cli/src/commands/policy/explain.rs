//! `policy explain`: which rule of which policy decides, and why.

use super::{files, path_of};
use crate::client::Request;
use crate::commands::{Format, FormatFlags, Session};
use crate::connection::ConnectionFlags;
use crate::data;
use crate::failure::{Doing, Exit, Failure};
use leasehold_core::access::policy::{
    Acl, Capability, Decision, Facts, Grant, Policy, Question, Right,
};
use leasehold_core::access::token::ROOT_POLICY;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::Duration;

const EXAMPLES: &str = "\
Examples:
  What the own token may do:
    leasehold policy explain database/creds/app read

  What a token with these policies could do:
    leasehold policy explain -policy=app -policy=default sys/leases/renew update

  From files, without a server:
    leasehold policy explain -file=app.hcl auth/token/create update policies=ops

  For somebody of whom a template speaks:
    leasehold policy explain -policy=own \
        -fact=identity.entity.name=ann \
        -fact=identity.entity.metadata.team=shop \
        -fact=identity.groups.names.ops.id=01kawh4mkpe0g9gjnyws1k4x0d \
        -fact=identity.entity.aliases.auth_userpass_1c2d3e4f.name=ann \
        database/creds/ann read

  For an answer that is to be wrapped:
    leasehold policy explain -wrap-ttl=5m database/creds/app read

  For what only `sudo` opens:
    leasehold policy explain -sudo sys/leases/revoke-prefix/database update";

/// Tell which rule of which policy decides, and why
///
/// Asks as the server does: the one rule that speaks of the path most exactly decides alone. Also
/// shown are the rules that speak of it and yield. Without -policy and -file it is about the
/// policies of the token that the command acts with, which must be allowed to read them. What the
/// templates in policies are filled with is said by -fact, under the name that stands in them; a rule
/// that cannot be filled in is listed, since it grants nothing. With -wrap-ttl it is about a request whose
/// answer is to be wrapped for so long.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(in crate::commands) struct Explain {
    /// The path, without `/v1/`
    path: String,
    /// What is to be done: create, read, update, delete, list, patch
    #[arg(value_parser = capability)]
    capability: Capability,
    /// Parameters of the request: key=value
    parameters: Vec<String>,
    /// A policy of whoever asks, read from the server; may be given several times
    #[arg(long, value_name = "NAME")]
    policy: Vec<String>,
    /// A policy of whoever asks, read from a file; may be given several times
    #[arg(long, value_name = "FILE", conflicts_with = "policy")]
    file: Vec<String>,
    /// What is known of whoever asks, for the templates in policies: NAME=VALUE; may be given several times
    #[arg(long, value_name = "NAME=VALUE", value_parser = fact)]
    fact: Vec<(String, String)>,
    /// Ask for `sudo` as well, as protected paths do
    #[arg(long)]
    sudo: bool,
    #[command(flatten)]
    format: FormatFlags,
    #[command(flatten)]
    connection: ConnectionFlags,
}

fn capability(word: &str) -> Result<Capability, String> {
    let known = Capability::of_word(word)
        .filter(|known| !matches!(known, Capability::Deny | Capability::Sudo));
    known.ok_or_else(|| "it is create, read, update, delete, list or patch".to_owned())
}

fn fact(text: &str) -> Result<(String, String), String> {
    let fact = text.split_once('=').filter(|(name, _)| !name.is_empty());
    let (name, value) = fact.ok_or_else(|| "it is NAME=VALUE".to_owned())?;
    Ok((name.to_owned(), value.to_owned()))
}

impl Explain {
    pub(super) fn run(mut self, session: &mut Session<'_>) -> Result<Exit, Failure> {
        let format = self.format.resolve(session.environment)?;
        let parameters = data::parse(&self.parameters, &mut std::io::stdin().lock())
            .map_err(|error| Failure::Local(error.to_string()))?;
        // It is about the request that is explained, and not about those that read policies.
        let wrap_ttl = self.connection.wrap_ttl.replace(0).filter(|seconds| *seconds > 0);
        let policies = if self.file.is_empty() {
            fetched(session, self.connection, self.policy)?
        } else {
            Some(files::policies(&self.file)?)
        };
        let facts = self.fact.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let facts = Facts::named(facts).map_err(Failure::Local)?;
        let acl =
            policies.as_ref().map_or_else(Acl::root, |policies| Acl::compile(policies, &facts));
        let unfilled = policies.iter().flatten().flat_map(|policy| {
            let of = |fault| format!("{} in policy {}", fault, policy.name);
            policy.unfilled(&facts).into_iter().map(of)
        });
        let unfilled: Vec<_> = unfilled.collect();
        let question = Question {
            path: self.path.trim_start_matches('/'),
            capability: self.capability,
            parameters: Some(&parameters),
            wrap_ttl: wrap_ttl.map(Duration::from_secs),
            right: if self.sudo { Right::Sudo } else { Right::Policy },
        };
        let decision = acl.decide(&question);
        let yielding: Vec<_> = acl.speaking(&question).into_iter().skip(1).collect();
        show(session, format, &decision, &yielding, &unfilled);
        Ok(Exit::Done)
    }
}

/// Reads policies from the server: those that are named, or those of the own token. `None` for those that allow all.
fn fetched(
    session: &Session<'_>,
    connection: ConnectionFlags,
    mut names: Vec<String>,
) -> Result<Option<Vec<Policy>>, Failure> {
    let client = session.client(connection)?;
    if names.is_empty() {
        let own = client
            .send(Request::get("auth/token/lookup-self"))
            .doing(|| "looking up the own token".to_owned())?;
        let listed = |name: &str| own.data()?.get(name)?.as_array().cloned();
        // What the token carries, and what its entity and their groups give.
        let lists = ["policies", "identity_policies"].into_iter().filter_map(listed);
        let carried: BTreeSet<_> =
            lists.flatten().filter_map(|name| name.as_str().map(str::to_owned)).collect();
        names = carried.into_iter().collect();
    }
    if names.iter().any(|name| name == ROOT_POLICY) {
        return Ok(None);
    }
    let mut policies = Vec::with_capacity(names.len());
    for name in names {
        let answer = client
            .send(Request::get(path_of(&name)?))
            .doing(|| format!("reading the policy {name}"))?;
        let text = answer.data().and_then(|data| data.get("policy")).and_then(Value::as_str);
        policies.push(files::parsed(&name, text.unwrap_or_default())?);
    }
    Ok(Some(policies))
}

fn show(
    session: &mut Session<'_>,
    format: Format,
    decision: &Decision<'_>,
    yielding: &[&Grant],
    unfilled: &[String],
) {
    let allowed = decision.verdict.is_allowed();
    let rules = |grants: &[&Grant]| -> Vec<Value> {
        let sources = grants.iter().flat_map(|grant| grant.sources());
        sources
            .map(|source| {
                json!({
                    "policy": source.policy.as_str(),
                    "line": source.line,
                    "path": source.path,
                    "capabilities": source.capabilities.words(),
                })
            })
            .collect()
    };
    let deciding: Vec<_> = decision.grant.into_iter().collect();
    let told = json!({
        "allowed": allowed,
        "why": decision.to_string(),
        "rules": rules(&deciding),
        "yielding": rules(yielding),
        "unfilled": unfilled,
    });
    match format {
        Format::Table => {
            let word = if allowed { "Allowed" } else { "Refused" };
            session.output.line(&format!("{word}: {decision}"));
            for source in yielding.iter().flat_map(|grant| grant.sources()) {
                let granted = source.capabilities.words().join(", ");
                session.output.line(&format!("  yields: {source} ({granted})"));
            }
            for rule in unfilled {
                session.output.line(&format!("  says nothing: {rule}"));
            }
            if !unfilled.is_empty() {
                session.output.line("  -fact=NAME=VALUE says what is known of whoever asks.");
            }
        }
        Format::Yaml => session.output.yaml(&told),
        Format::Json | Format::Raw => session.output.json(&told),
    }
}
