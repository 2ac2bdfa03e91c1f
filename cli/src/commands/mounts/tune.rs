//! `secrets tune` and `auth tune`: change how a mount is set up, while it is in use.

use super::Side;
use crate::client::Request;
use crate::commands::{FormatFlags, Session, text_of};
use crate::connection::ConnectionFlags;
use crate::data;
use crate::duration::parse_seconds;
use crate::failure::{Doing, Exit, Failure};
use serde_json::{Map, Value};

/// What may be changed of both.
#[derive(clap::Args)]
pub(in crate::commands) struct TuneFlags {
    /// Where it is mounted
    path: String,
    /// How long leases live if nobody says: seconds, or 90s, 15m, 1h30m, 7d, or system
    #[arg(long, value_name = "SPAN", value_parser = parse_ttl)]
    default_lease_ttl: Option<String>,
    /// How long leases may live at most: a span, or system
    #[arg(long, value_name = "SPAN", value_parser = parse_ttl)]
    max_lease_ttl: Option<String>,
    /// What it is for, for people; `@FILE` and `-` are read
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// Whether it is listed for those who may not see it: unauth or hidden
    #[arg(long, value_name = "VISIBILITY")]
    listing_visibility: Option<String>,
    /// Field of requests that the audit log shows as it is; may be given several times
    #[arg(long, value_name = "FIELD")]
    audit_non_hmac_request_keys: Vec<String>,
    /// Field of answers that the audit log shows as it is; may be given several times
    #[arg(long, value_name = "FIELD")]
    audit_non_hmac_response_keys: Vec<String>,
    /// Option of the engine; may be given several times
    #[arg(long, value_name = "KEY=VALUE")]
    options: Vec<String>,
    #[command(flatten)]
    format: FormatFlags,
    #[command(flatten)]
    connection: ConnectionFlags,
}

/// Reads what a mount's lease time may be set to, as it is sent.
fn parse_ttl(text: &str) -> Result<String, String> {
    if text == "system" {
        return Ok(text.to_owned());
    }
    let seconds = parse_seconds(text).map_err(|error| format!("{error}, or write `system`"))?;
    Ok(format!("{seconds}s"))
}

impl Side {
    /// Changes what is named of a mount; `more` is what only this side has.
    pub(in crate::commands) fn tune(
        self,
        mut flags: TuneFlags,
        more: Map<String, Value>,
        session: &mut Session<'_>,
    ) -> Result<Exit, Failure> {
        let format = flags.format.resolve(session.environment)?;
        let path = flags.path.trim_matches('/').to_owned();
        if path.is_empty() {
            return Err(Failure::Local("the path is empty".to_owned()));
        }
        let mut body = flags.body()?;
        body.extend(more);
        let (at, one) = (self.at(), self.one());
        if body.is_empty() {
            let command = match self {
                Self::Engines => "secrets",
                Self::Methods => "auth",
            };
            return Err(Failure::Local(format!(
                "Nothing to change was named\n\n`leasehold {command} tune -help` lists what can be, \
                 `leasehold read {at}/{path}/tune` shows how it is."
            )));
        }
        let answer = session
            .client(flags.connection)?
            .send(Request::post(format!("{at}/{path}/tune"), Value::Object(body)))
            .doing(|| format!("tuning {one} {path}/"))?;
        answer.warn(session.output);
        session.success(format, &format!("Success! Tuned the {one} at: {path}/"));
        Ok(Exit::Done)
    }
}

impl TuneFlags {
    fn body(&mut self) -> Result<Map<String, Value>, Failure> {
        let mut body = Map::new();
        for (key, text) in [
            ("default_lease_ttl", self.default_lease_ttl.take()),
            ("max_lease_ttl", self.max_lease_ttl.take()),
            ("description", self.description.as_deref().map(text_of).transpose()?),
            ("listing_visibility", self.listing_visibility.take()),
        ] {
            if let Some(text) = text {
                body.insert(key.to_owned(), Value::String(text));
            }
        }
        for (key, list) in [
            ("audit_non_hmac_request_keys", &mut self.audit_non_hmac_request_keys),
            ("audit_non_hmac_response_keys", &mut self.audit_non_hmac_response_keys),
        ] {
            if !list.is_empty() {
                body.insert(key.to_owned(), std::mem::take(list).into());
            }
        }
        let options = data::parse(&self.options, &mut std::io::stdin().lock())
            .map_err(|error| Failure::Local(format!("Failed to parse -options: {error}")))?;
        if !options.is_empty() {
            body.insert("options".to_owned(), Value::Object(options));
        }
        Ok(body)
    }
}
