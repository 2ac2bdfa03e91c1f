//! What the server counts, and what it logs.

#![expect(
    clippy::float_cmp,
    clippy::indexing_slicing,
    reason = "the numbers are counts, and what is not there fails the test"
)]

use crate::exposition::Exposition;
use crate::lending::{Lending, config, role, until};
use leasehold_integration_tests::postgres::SUPERUSER_PASSWORD;
use leasehold_integration_tests::server::{Place, Server};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// What Prometheus says that it takes: today, without `OpenMetrics`, and with its binary form first.
const PROMETHEUS_TAKES: [&str; 3] = [
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
     text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
    "text/plain; version=0.0.4;q=0.5,*/*;q=0.1",
    "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited,\
     text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3",
];
const AT: [(&str, &str); 2] = [("mount", "database/"), ("target", "pg")];

async fn text(server: &Server) -> String {
    let answer = server.get("sys/metrics?format=prometheus").await.expect(200);
    assert_eq!(answer.headers["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    answer.text
}

pub(crate) async fn read(server: &Server) -> Exposition {
    Exposition::read(&text(server).await)
}

fn at<'a>(more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    AT.iter().chain(more).copied().collect()
}

/// Has the leases counted until the store is told to hold so many.
async fn until_counted(server: &Server, held: u32, revoking: u32) {
    let _ = server.post("sys/leases/tidy", json!({})).await.expect(202);
    until(&format!("{held} held and {revoking} revoking are counted"), async || {
        let told = read(server).await;
        let count = |state| told.value("leasehold_leases", &at(&[("state", state)]));
        count("held").unwrap_or(0.0) == f64::from(held)
            && count("revoking").unwrap_or(0.0) == f64::from(revoking)
    })
    .await;
}

#[tokio::test]
async fn the_numbers_follow_what_is_issued_renewed_revoked_and_fails() {
    let lending = Lending::start().await;
    let before = read(&lending.server).await;
    let answers = |told: &Exposition, verb, result| {
        let labels = at(&[("verb", verb), ("result", result)]);
        told.value("leasehold_target_answers_total", &labels).unwrap_or(0.0)
    };
    assert_eq!(answers(&before, "issue", "ok"), 0.0);
    let lent = futures_util::future::join_all((0..3).map(|_| lending.lend())).await;
    let named = |number: usize| json!({ "lease_id": lent[number].lease_id });
    let server = &lending.server;
    let _ = server.post("sys/leases/renew", named(0)).await.expect(200);
    let _ = server.post("sys/leases/revoke", named(1)).await.expect(204);

    let told = read(server).await;
    for (verb, count) in [("issue", 3.0), ("renew", 1.0), ("revoke", 1.0)] {
        assert_eq!(answers(&told, verb, "ok"), count, "{verb}");
        let labels = at(&[("verb", verb)]);
        assert_eq!(told.value("leasehold_target_batch_members_sum", &labels), Some(count));
        let batches = told.value("leasehold_target_batch_seconds_count", &labels).unwrap();
        assert!((1.0..=count).contains(&batches), "{verb}: {batches}");
        assert_eq!(told.value("leasehold_target_waiting", &labels), Some(0.0));
        assert_eq!(told.value("leasehold_target_in_flight", &labels), Some(0.0));
    }
    assert_eq!(told.value("leasehold_leases_made_total", &[]), Some(3.0));
    assert_eq!(told.value("leasehold_leases_settled_total", &[]), Some(1.0));
    let asked = told.value("leasehold_revocations_begun_total", &[("cause", "asked")]);
    assert_eq!(asked, Some(1.0));
    let of_class = |told: &Exposition, class| {
        told.value("leasehold_http_request_seconds_count", &[("status", class)]).unwrap()
    };
    assert!(of_class(&told, "2xx") >= of_class(&before, "2xx") + 5.0);
    let written = |told: &Exposition| {
        told.value("leasehold_store_commits_total", &[("result", "written")]).unwrap()
    };
    // An issue and a renewal are one each, a revocation two.
    assert_eq!(written(&told) - written(&before), 6.0);
    until_counted(server, 2, 0).await;

    lending.target.kill();
    let server = &lending.server;
    let _ = server.get("database/creds/app").await.expect(502);
    let _ = server.post("sys/leases/revoke", named(2)).await.expect(502);
    let told = read(server).await;
    assert_eq!(answers(&told, "issue", "unreachable"), 1.0);
    assert!(answers(&told, "revoke", "unreachable") >= 1.0);
    assert_eq!(told.value("leasehold_target_resting", &AT), Some(1.0));
    assert!(of_class(&told, "5xx") >= 2.0);
    until_counted(server, 1, 2).await;
    let told = read(server).await;
    assert!(told.value("leasehold_revocation_age_seconds", &AT).unwrap() > 0.0);
    let by_attempts = told.samples().filter(|(name, ..)| *name == "leasehold_revoking_leases");
    assert_eq!(by_attempts.map(|(.., count)| count).sum::<f64>(), 2.0);
}

/// Returns the metrics that operators are told of.
fn documented() -> BTreeSet<String> {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/OPERATING.md");
    let page = std::fs::read_to_string(page).unwrap();
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `leasehold_")?.split_once('`'));
    rows.filter(|(name, _)| name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'))
        .map(|(name, _)| format!("leasehold_{name}"))
        .collect()
}

#[tokio::test]
async fn vaults_json_and_the_text_of_prometheus_tell_the_same() {
    let place = Place::new();
    let lending = Lending::on(place.found().await).await;
    lending.lend().await;
    let server = &lending.server;
    let _ = server.post("database/config/pg", json!({ "max_credentials": 100 })).await.expect(204);
    let _ = server.post("sys/reconcile/database/pg", json!({})).await.expect(200);
    until_counted(server, 1, 0).await;
    let mut told = read(server).await;
    until("the clock of the target is measured", async || {
        told = read(server).await;
        told.value("leasehold_target_clock_ahead_seconds", &AT).is_some()
    })
    .await;
    assert_eq!(told.kinds.keys().cloned().collect::<BTreeSet<_>>(), documented());
    let answer = server.get("sys/metrics").await.expect(200);
    assert_eq!(answer.headers["content-type"], "application/json");
    let keys: BTreeSet<_> = answer.body.as_object().unwrap().keys().map(String::as_str).collect();
    let expected = ["Counters", "Gauges", "Points", "Samples", "Timestamp"];
    assert_eq!(keys, expected.into());
    let time = answer.at("/Timestamp");
    assert!(time.ends_with(" +0000 UTC") && time.len() == 29, "{time}");
    let names = |list: &str| -> BTreeSet<String> {
        let list = answer.body[list].as_array().unwrap().iter();
        list.map(|metric| metric["Name"].as_str().unwrap().to_owned()).collect()
    };
    for (list, kind) in [("Gauges", "gauge"), ("Counters", "counter"), ("Samples", "histogram")] {
        let kinds = told.kinds.iter().filter(|(_, of)| *of == kind);
        let kinds: BTreeSet<_> = kinds.map(|(name, _)| name.clone()).collect();
        assert_eq!(names(list), kinds, "{list}");
    }
    let mut counters = answer.body["Counters"].as_array().unwrap().iter();
    let made = counters.find(|metric| metric["Name"] == "leasehold_leases_made_total").unwrap();
    assert_eq!((&made["Count"], &made["Sum"]), (&json!(1), &json!(1.0)));
    let mut gauges = answer.body["Gauges"].as_array().unwrap().iter();
    let held = gauges.find(|metric| metric["Labels"]["state"] == "held").unwrap();
    let labels = json!({ "mount": "database/", "target": "pg", "state": "held" });
    assert_eq!((&held["Labels"], &held["Value"]), (&labels, &json!(1.0)));

    // Prometheus says what it takes where its configuration has no `format`; what is named goes before.
    let asked = async |path: &str, accept: &str| {
        let headers = [("Accept", accept)];
        let answer = server.send(&server.token, "GET", path, &headers, Vec::new()).await;
        answer.expect(200).headers["content-type"].to_str().unwrap().to_owned()
    };
    for accept in PROMETHEUS_TAKES {
        let kind = asked("sys/metrics", accept).await;
        assert_eq!(kind, "text/plain; version=0.0.4; charset=utf-8", "{accept}");
    }
    for accept in ["*/*", "application/json, text/plain, */*", "text/plain;version=1.0.0", ""] {
        assert_eq!(asked("sys/metrics", accept).await, "application/json", "{accept}");
    }

    let refused = server.get("sys/metrics?format=bad").await.expect(400);
    assert_eq!(refused.text, "metric response format \"bad\" unknown");
    assert_eq!(refused.headers["content-type"], "text/plain");
}

#[tokio::test]
async fn the_metrics_need_a_token_unless_the_listener_says_otherwise() {
    let place = Place::new();
    let server = place.found().await;
    for path in ["sys/metrics", "sys/metrics?format=prometheus", "sys/metrics?format=bad"] {
        let _ = server.ask("", "GET", path, Value::Null).await.expect(403);
        let _ = server.ask("hvs.nobody", "GET", path, Value::Null).await.expect(403);
    }
    let _ = server.post("sys/metrics", json!({})).await.expect(405);
    drop(server);

    let shown = Place::new();
    let written = std::fs::read_to_string(shown.path("config.hcl")).unwrap();
    let telemetry = "tls_disable = true\n telemetry { unauthenticated_metrics_access = true }";
    shown.configure(&written.replace("tls_disable = true", telemetry));
    let mut server = shown.start();
    // Before it is initialized there is no lease to count.
    let path = "sys/metrics?format=prometheus";
    let empty = server.ask("", "GET", path, Value::Null).await.expect(200);
    let empty = Exposition::read(&empty.text);
    assert!(empty.kinds.contains_key("leasehold_http_request_seconds"));
    assert!(!empty.kinds.contains_key("leasehold_leases_made_total"));
    let made = server.post("sys/init", json!({})).await.expect(200);
    made.at("/root_token").clone_into(&mut server.token);
    for token in ["", "hvs.nobody", &server.token] {
        let open = server.ask(token, "GET", path, Value::Null).await.expect(200);
        let told = Exposition::read(&open.text);
        assert_eq!(told.value("leasehold_leases_made_total", &[]), Some(0.0));
    }
    let _ = server.ask("", "GET", "sys/metrics?format=bad", Value::Null).await.expect(400);
    for accept in PROMETHEUS_TAKES {
        let headers = [("Accept", accept)];
        let open = server.send("", "GET", "sys/metrics", &headers, Vec::new()).await.expect(200);
        assert_eq!(
            Exposition::read(&open.text).value("leasehold_leases_made_total", &[]),
            Some(0.0)
        );
    }
    // Nothing else is open because of it.
    let _ = server.ask("", "GET", "sys/mounts", Value::Null).await.expect(403);
}

/// A server that logs all it can, as JSON, and lends.
async fn talkative() -> (Place, Lending) {
    let place = Place::with("log_level = \"trace\"\nlog_format = \"json\"");
    let server = place.found().await;
    (place, Lending::on(server).await)
}

/// Returns what a line of the log is about, if it is about a request.
fn request_of(line: &Value) -> Option<&str> {
    let mut spans = line["spans"].as_array()?.iter();
    spans.find_map(|span| span["request_id"].as_str())
}

#[tokio::test]
async fn no_password_and_no_token_is_in_the_metrics_or_the_log() {
    let (_place, lending) = talkative().await;
    let server = &lending.server;
    let made = server.post("auth/token/create", json!({ "policies": ["root"] })).await.expect(200);
    let child = made.at("/auth/client_token").to_owned();
    let lent = lending.lend().await;
    let named = json!({ "lease_id": lent.lease_id });
    let _ = server.post("sys/leases/renew", named.clone()).await.expect(200);
    // Where a token does not belong, too.
    for path in [format!("auth/token/lookup/{child}"), format!("nowhere/{child}")] {
        assert!(server.get(&path).await.status >= 400);
    }
    let _ = server.get(&format!("sys/health?token={child}")).await.expect(200);
    let _ = server.post("auth/token/lookup", json!({ "token": child })).await.expect(200);
    let wrong = json!({ "lease_id": lent.lease_id, "increment": lent.password });
    let _ = server.post("sys/leases/renew", wrong).await.expect(400);
    let mut broken = config(&lending.target);
    broken["password"] = json!("canary-of-an-administrator");
    let _ = server.post("database/config/broken", broken).await.expect(400);
    let mut broken = role("1h", "2h");
    broken["creation_statements"] = json!("SELECT '{{password}}' FROM nowhere");
    let _ = server.post("database/roles/broken", broken).await;
    assert!(server.get("database/creds/broken").await.status >= 400);
    lending.target.kill();
    let server = &lending.server;
    let _ = server.post("sys/leases/revoke", named).await.expect(502);
    until_counted(server, 0, 2).await;

    let json = server.get("sys/metrics").await.expect(200).text;
    let (log, metrics) = (server.log(), text(server).await + &json);
    assert!(log.lines().count() > 20, "{log}");
    let root = server.token.as_str();
    let secrets = [&*lent.password, root, &*child, SUPERUSER_PASSWORD, "canary-of-an"];
    for secret in secrets {
        assert!(secret.len() > 8, "{secret}");
        assert!(!log.contains(secret), "`{secret}` is in the log:\n{log}");
        assert!(!metrics.contains(secret), "`{secret}` is in the metrics:\n{metrics}");
    }
    let (_, id) = lent.lease_id.rsplit_once('/').unwrap();
    assert!(!metrics.contains(id) && !metrics.contains(&lent.username));
    assert!(!metrics.contains("broken\""), "roles and what was refused have no series: {metrics}");
}

#[tokio::test]
async fn every_line_of_a_request_says_which_in_the_words_of_its_answer_and_the_audit() {
    let (place, lending) = talkative().await;
    let server = &lending.server;
    let answer = server.get("database/creds/app").await.expect(200);
    let id = answer.at("/request_id");
    let audit = std::fs::read_to_string(place.path("audit")).unwrap();
    assert!(audit.contains(id), "the audit has another id");
    let log = server.log();
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let ours: Vec<_> = lines.iter().filter(|line| request_of(line) == Some(id)).collect();
    let answered = ours.iter().find(|line| line["fields"]["status"] == 200).unwrap();
    assert_eq!(answered["fields"]["message"], "a request was answered");
    assert_eq!(
        (&answered["fields"]["method"], &answered["level"]),
        (&json!("GET"), &json!("DEBUG"))
    );
    assert!(answered["fields"]["took_us"].is_number(), "{answered}");
    assert_eq!(answered["span"]["path"], "database/creds/app");

    // Each batch at a target is told with how long it took.
    let batch = lines.iter().find(|line| line["span"]["name"] == "batch").unwrap();
    assert_eq!((&batch["span"]["verb"], &batch["span"]["members"]), (&json!("issue"), &json!(1)));
    assert_eq!(
        (&batch["span"]["at"], &batch["span"]["mount"]),
        (&json!("pg"), &json!("database/"))
    );
    assert!(batch["fields"]["took_ms"].is_number(), "{batch}");
}
