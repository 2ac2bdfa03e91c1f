//! Spans of time of every wrong kind, at every endpoint that takes one: each is refused, and nothing has changed.

use crate::lending::{Lending, config, role};
use serde_json::{Value, json};

/// What is no span of time, or none that can be.
fn wrong_kinds() -> Vec<Value> {
    let texts = [
        "-1",
        "-1h",
        "-0.5s",
        "1.5",
        "1e3",
        "0x10",
        "1_000",
        "h",
        "1x",
        "1hh",
        "1h-5m",
        "5 parsecs",
        " 5",
        "5 ",
        "1 h",
        "soon",
        "NaN",
        "inf",
        "true",
        "null",
        "[]",
        "\u{0}",
        "1h\u{0}",
        "1\u{200b}h",
        "\u{ff11}h",
        "\u{661}s",
        "1\u{ff48}",
        "99999999999999999999",
        "9223372036854775808",
        "9223372036854775807",
        "2562048h",
        "106752d",
        "99999999999999999999d",
        "1.5d",
        "-1d",
        "--1h",
        "+-1h",
        "1h 5m",
        "1,5h",
        "1:30",
        "P1D",
        "12:00:00",
        "2026-01-01T00:00:00Z",
    ];
    let texts = texts.into_iter().map(|text| json!(text));
    let others = [
        json!(-1),
        json!(-1.5),
        json!(1.5),
        json!(1e30),
        json!(-1e30),
        json!(u64::MAX),
        json!(i64::MAX),
        json!(i64::MIN),
        json!(true),
        json!(false),
        json!([]),
        json!(["1h"]),
        json!({}),
        json!({ "hours": 1 }),
    ];
    texts.chain(others).collect()
}

/// What there is, as far as a request with a span of time could have changed it.
async fn everything(lending: &Lending, child: &str, lease_id: &str) -> Vec<Value> {
    let server = &lending.server;
    let mut all = Vec::new();
    for path in
        ["sys/mounts", "sys/mounts/database/tune", "database/config/pg", "database/roles/app"]
    {
        all.push(server.get(path).await.expect(200).data().clone());
    }
    all.push(server.list("database/roles").await.expect(200).data().clone());
    all.push(server.list("database/config").await.expect(200).data().clone());
    let tokens = server.list("auth/token/accessors").await.expect(200).data().clone();
    all.push(json!(tokens.pointer("/keys").and_then(Value::as_array).unwrap().len()));
    let token = server.ask(child, "GET", "auth/token/lookup-self", Value::Null).await.expect(200);
    all.push(token.data()["expire_time"].clone());
    let lease = server.post("sys/leases/lookup", json!({ "lease_id": lease_id })).await.expect(200);
    all.push(lease.data()["expire_time"].clone());
    all.push(json!(lending.users().await));
    all
}

/// A request with a span of time in one of its fields: by which token, where, and with what besides.
struct Asks {
    token: String,
    path: &'static str,
    /// Where the span stands in the body.
    field: &'static str,
    body: Value,
}

impl Asks {
    fn with(&self, span: &Value) -> Value {
        let mut body = self.body.clone();
        let (within, name) = self.field.rsplit_once('/').unwrap_or(("", self.field));
        let place = if within.is_empty() { Some(&mut body) } else { body.get_mut(within) };
        let place = place.unwrap();
        place[name] = span.clone();
        body
    }
}

fn all_that_take_one(lending: &Lending, child: &str, accessor: &str, lease_id: &str) -> Vec<Asks> {
    let mount = json!({ "type": "database", "config": {} });
    let by_id = json!({ "lease_id": lease_id });
    let by_accessor = json!({ "accessor": accessor });
    let by_text = json!({ "token": child });
    let target = config(&lending.target);
    let recipe = role("1h", "24h");
    let root = &lending.server.token;
    let asks = [
        (root, "sys/mounts/other", "config/default_lease_ttl", &mount),
        (root, "sys/mounts/other", "config/max_lease_ttl", &mount),
        (root, "sys/mounts/database/tune", "default_lease_ttl", &Value::Null),
        (root, "sys/mounts/database/tune", "max_lease_ttl", &Value::Null),
        (root, "auth/token/create", "ttl", &Value::Null),
        (root, "auth/token/create", "lease", &Value::Null),
        (root, "auth/token/create", "period", &Value::Null),
        (root, "auth/token/create", "explicit_max_ttl", &Value::Null),
        (root, "auth/token/create-orphan", "ttl", &Value::Null),
        (root, "auth/token/create-orphan", "period", &Value::Null),
        (root, "auth/token/renew", "increment", &by_text),
        (root, "auth/token/renew-accessor", "increment", &by_accessor),
        (&child.to_owned(), "auth/token/renew-self", "increment", &Value::Null),
        (root, "sys/leases/renew", "increment", &by_id),
        (root, "sys/renew", "increment", &by_id),
        (root, "database/roles/app", "default_ttl", &recipe),
        (root, "database/roles/app", "max_ttl", &recipe),
        (root, "database/roles/other", "default_ttl", &recipe),
        (root, "database/config/pg", "max_connection_lifetime", &target),
        (root, "database/config/other", "max_connection_lifetime", &target),
    ];
    let owned = asks.into_iter().map(|(token, path, field, body)| Asks {
        token: token.clone(),
        path,
        field,
        body: body.clone(),
    });
    owned.collect()
}

#[tokio::test]
async fn a_span_of_time_of_any_wrong_kind_is_refused_everywhere_and_changes_nothing() {
    let lending = Lending::start().await;
    let server = &lending.server;
    let child = server.post("auth/token/create", json!({ "ttl": "10h" })).await.expect(200);
    let (child, accessor) = (child.at("/auth/client_token"), child.at("/auth/accessor"));
    let lent = lending.lend().await;
    let before = everything(&lending, child, &lent.lease_id).await;
    let mut wrong = Vec::new();
    for asks in all_that_take_one(&lending, child, accessor, &lent.lease_id) {
        for span in wrong_kinds() {
            let answer = server.ask(&asks.token, "POST", asks.path, asks.with(&span)).await;
            if answer.status != 400 || answer.errors().is_empty() {
                let (path, field, status) = (asks.path, asks.field, answer.status);
                wrong.push(format!("{path} {field} = {span}: {status} {}", answer.text.trim()));
            }
        }
    }
    assert!(wrong.is_empty(), "{} are not refused:\n{}", wrong.len(), wrong.join("\n"));
    assert_eq!(everything(&lending, child, &lent.lease_id).await, before);
}
