//! `whois`: whose a credential is.

use super::{Format, FormatFlags, Session};
use crate::answer::{Answer, plain};
use crate::client::Request;
use crate::connection::ConnectionFlags;
use crate::failure::{Doing, Exit, Failure};
use serde_json::{Value, json};

const EXAMPLES: &str = "\
Examples:
  Somebody is in the database under this name:
    leasehold whois v-token-x-app-01jdx3m5k8v2q7t4w9y6z1b0ce-1764000000

  This access key is in CloudTrail:
    leasehold whois AKIAIOSFODNN7EXAMPLE

  What has this token, by the accessor in the audit record of its making?
    leasehold whois 01jdx3m5k8v2q7t4w9y6z1b0ce

  Its lines in the audit record:
    leasehold whois -format=json NAME | jq -r '.data.leases[].request_id' | xargs -I{} grep {} audit.log";

/// Tell whose a user name, an access key, a lease or a token is
///
/// Shows the lease that a credential is on, or was on in the last 30 days (ever, if its target was
/// abandoned), who asked for it by which token, by which policies, and in which request of the
/// audit record; and how it was shown to be dead, where its role asks for that. Takes a user name as
/// a target's log has it, the id of an access key of AWS, a lease id, or the accessor of a token, of
/// which it shows the leases that it has. Exit code 2 if nothing is known by the name.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Whois {
    /// User name, id of an access key, lease id, or accessor of a token
    name: String,
    #[command(flatten)]
    format: FormatFlags,
    #[command(flatten)]
    connection: ConnectionFlags,
}

impl Whois {
    pub(super) fn run(self, session: &mut Session<'_>) -> Result<Exit, Failure> {
        let format = self.format.resolve(session.environment)?;
        let client = session.client(self.connection)?;
        let answer = client
            .send(Request::put("sys/whois", json!({ "name": self.name })))
            .doing(|| format!("looking up {}", self.name))?;
        if format == Format::Table {
            show(&answer, session);
        } else {
            answer.show(format, session.output);
        }
        Ok(Exit::Done)
    }
}

fn show(answer: &Answer, session: &mut Session<'_>) {
    answer.warn(session.output);
    let field = |key| answer.data().and_then(|data| data.get(key));
    let heading = ["Key", "Value"];
    if let Some(token) = field("token").filter(|token| token.is_object()) {
        session.output.table(&heading, &holder(token));
        session.output.line("");
    }
    let leases = field("leases").and_then(Value::as_array);
    for (at, lease) in leases.into_iter().flatten().enumerate() {
        if at > 0 {
            session.output.line("");
        }
        let own = [
            "lease_id",
            "state",
            "username",
            "known_as",
            "mount",
            "role",
            "target",
            "issue_time",
            "last_renewal",
            "expire_time",
            "settle_time",
            "revoke_error",
            "granting_policies",
            "request_id",
        ];
        let mut rows: Vec<_> = own.iter().map(|name| row(name, lease.get(name))).collect();
        let proof = lease.get("proof_of_death").filter(|told| told.is_object());
        rows.extend(proof.map(|told| vec!["proof_of_death".to_owned(), proven(told)]));
        let abandoned = lease.get("abandoned").filter(|told| told.is_object());
        rows.extend(abandoned.into_iter().flat_map(|told| {
            [("at", "abandoned_at"), ("by", "abandoned_by"), ("reason", "abandoned_because")]
                .map(|(key, name)| row(name, told.get(key)))
        }));
        rows.extend(lease.get("holder").into_iter().flat_map(holder));
        session.output.table(&heading, &rows);
    }
    for account in field("accounts").and_then(Value::as_array).into_iter().flatten() {
        let own = ["username", "mount", "target", "static_role", "last_vault_rotation"];
        let mut rows: Vec<_> = own.iter().map(|name| row(name, account.get(name))).collect();
        if account.get("static_role").is_none_or(Value::is_null) {
            rows.push(vec!["administers".to_owned(), "the target".to_owned()]);
        }
        session.output.table(&heading, &rows);
    }
    if field("more").and_then(Value::as_bool).unwrap_or_default() {
        session.output.remark("There are more leases; `leasehold lease list` shows all of a role.");
    }
}

/// Says whether a credential was shown to be dead, and how, or why not.
fn proven(proof: &Value) -> String {
    let text = |key| proof.get(key).map(plain).unwrap_or_default();
    if proof.get("proven").and_then(Value::as_bool).unwrap_or_default() {
        format!("proven by {}, {}", text("by"), text("time"))
    } else {
        format!("not proven: {}", text("why"))
    }
}

fn holder(holder: &Value) -> Vec<Vec<String>> {
    let own = ["display_name", "accessor", "policies"].map(|name| row(name, holder.get(name)));
    let entity = holder
        .get("entity")
        .filter(|entity| entity.is_object())
        .map(|entity| [row("entity", entity.get("name")), row("entity_id", entity.get("id"))]);
    own.into_iter().chain(entity.into_iter().flatten()).collect()
}

fn row(name: &str, value: Option<&Value>) -> Vec<String> {
    let value = value.filter(|value| !value.is_null()).map(plain);
    vec![name.to_owned(), value.unwrap_or_default()]
}
