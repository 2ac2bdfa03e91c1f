//! `token create`: a token for somebody or something else.

use crate::client::Request;
use crate::commands::{FieldFlags, Session, text_of};
use crate::connection::ConnectionFlags;
use crate::data;
use crate::duration::parse_seconds;
use crate::failure::{Doing, Exit, Failure};
use serde_json::{Map, Value};

const EXAMPLES: &str = "\
Examples:
  Make a token for a service, with one policy, for a day:
    leasehold token create -policy=app -ttl=24h -display-name=billing

  Make one that lives as long as it is renewed every hour:
    leasehold token create -policy=app -period=1h -orphan

  Take only the token, for a script:
    TOKEN=$(leasehold token create -policy=app -use-limit=3 -field=token)";

/// Make a token
///
/// The new token is a child of the token that the command acts with and ends with it, unless it is
/// made with -orphan. It has the same policies unless some are named. It is shown this once.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(in crate::commands) struct Create {
    /// Policy of the token; may be given several times [default: those of the own token]
    #[arg(long, value_name = "NAME")]
    policy: Vec<String>,
    /// How long it lives unless it is renewed: seconds, or 90s, 15m, 1h30m, 7d
    /// [default: the system's]
    #[arg(long, value_name = "SPAN", value_parser = parse_seconds)]
    ttl: Option<u64>,
    /// How long it lives at most, however often it is renewed
    #[arg(long, value_name = "SPAN", value_parser = parse_seconds)]
    explicit_max_ttl: Option<u64>,
    /// Let it live as long as it is renewed within this span, without an end
    #[arg(long, value_name = "SPAN", value_parser = parse_seconds)]
    period: Option<u64>,
    /// Whether it can be renewed [default: true]
    #[arg(
        long,
        value_name = "BOOL",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        value_parser = clap::builder::BoolishValueParser::new(),
        hide_possible_values = true
    )]
    renewable: Option<bool>,
    /// How many requests it is good for [default: any number]
    #[arg(long, value_name = "NUMBER")]
    use_limit: Option<u32>,
    /// Let it live on when the own token ends
    #[arg(long)]
    orphan: bool,
    /// Leave out the policy `default`
    #[arg(long)]
    no_default_policy: bool,
    /// Name by which logs and the names of credentials tell it from others
    #[arg(long, value_name = "NAME")]
    display_name: Option<String>,
    /// What is to be known of it; may be given several times, with `@FILE` and `-` as in `write`
    #[arg(long, value_name = "KEY=VALUE")]
    metadata: Vec<String>,
    /// The token itself, `@FILE`, or `-` for standard input; to choose it takes `sudo`
    /// [default: a new one that nobody can guess]
    #[arg(long, value_name = "TOKEN")]
    id: Option<String>,
    /// Token role to make it by, which may decide on all the rest
    #[arg(long, value_name = "NAME")]
    role: Option<String>,
    /// Name to make it under, of those that the token role allows: whose it is goes by that
    #[arg(long, value_name = "NAME")]
    entity_alias: Option<String>,
    /// Kind of token: service or batch [default: service]
    #[arg(long = "type", value_name = "TYPE")]
    kind: Option<String>,
    #[command(flatten)]
    field: FieldFlags,
    #[command(flatten)]
    connection: ConnectionFlags,
}

impl Create {
    pub(super) fn run(mut self, session: &mut Session<'_>) -> Result<Exit, Failure> {
        if self.id.as_deref() == Some("-") && self.metadata.iter().any(|pair| pair.ends_with("=-"))
        {
            return Err(Failure::Local(data::DataError::StdinTwice.to_string()));
        }
        let body = self.body()?;
        let client = session.client(self.connection)?;
        let path = match &self.role {
            Some(role) => format!("auth/token/create/{role}"),
            None => "auth/token/create".to_owned(),
        };
        let answer = client
            .send(Request::post(path, Value::Object(body)))
            .doing(|| "creating token".to_owned())?;
        self.field.show(&answer, session)?;
        Ok(Exit::Done)
    }

    /// Says only what was said to us, so that the server's own defaults hold for the rest.
    fn body(&mut self) -> Result<Map<String, Value>, Failure> {
        let mut body = Map::new();
        let mut add = |key: &str, value: Option<Value>| {
            if let Some(value) = value {
                body.insert(key.to_owned(), value);
            }
        };
        let span = |seconds: Option<u64>| seconds.map(|seconds| format!("{seconds}s").into());
        add("ttl", span(self.ttl));
        add("explicit_max_ttl", span(self.explicit_max_ttl));
        add("period", span(self.period));
        add("renewable", self.renewable.map(Value::from));
        add("num_uses", self.use_limit.map(Value::from));
        add("no_parent", self.orphan.then_some(Value::Bool(true)));
        add("no_default_policy", self.no_default_policy.then_some(Value::Bool(true)));
        add("display_name", self.display_name.take().map(Value::String));
        add("entity_alias", self.entity_alias.take().map(Value::String));
        add("type", self.kind.take().map(Value::String));
        add("id", self.id.as_deref().map(text_of).transpose()?.map(Value::String));
        let policies = std::mem::take(&mut self.policy);
        add("policies", (!policies.is_empty()).then(|| policies.into()));
        let meta = data::parse(&self.metadata, &mut std::io::stdin().lock())
            .map_err(|error| Failure::Local(format!("Failed to parse -metadata: {error}")))?;
        add("meta", (!meta.is_empty()).then_some(Value::Object(meta)));
        Ok(body)
    }
}
