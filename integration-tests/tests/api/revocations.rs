//! Mass revocations at a real PostgreSQL: what is asked and answered.

use crate::lending::{Lending, until};
use leasehold_integration_tests::server::Answer;
use serde_json::json;
use sqlx::Executor as _;

async fn until_done(lending: &Lending, id: &str) -> Answer {
    let path = format!("sys/revocations/{id}");
    let is_done = async || lending.server.get(&path).await.at("/data/state") == "done";
    until("the mass revocation is done", is_done).await;
    lending.server.get(&path).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mass_revocation_answers_at_once_and_is_done_when_the_target_has_nothing_left() {
    let lending = Lending::start().await;
    for _ in 0..20 {
        lending.lend().await;
    }
    let of_target = json!({ "target": "database/pg" });
    let begun = lending.server.post("sys/revocations", of_target).await.expect(200);
    let id = begun.at("/data/id").to_owned();
    assert_eq!(begun.at("/data/target"), "database/pg");
    assert_eq!(begun.body["data"]["state"], "running");
    let done = until_done(&lending, &id).await;
    let data = &done.body["data"];
    assert_eq!(
        (&data["leases"], &data["marked"], &data["gone"]),
        (&json!(20), &json!(20), &json!(20))
    );
    assert_eq!(
        (&data["tried"], &data["waiting"], &data["errors"]),
        (&json!(0), &json!(0), &json!([]))
    );
    assert_eq!(lending.users().await, Vec::<String>::new());
    let listed = lending.server.list("sys/revocations").await.expect(200);
    assert_eq!(listed.body["data"]["keys"], json!([id]));
    assert_eq!(listed.body["data"]["key_info"][&id]["state"], "done");
    let over = lending.server.post(&format!("sys/revocations/{id}/pause"), json!({})).await;
    assert_eq!(over.status, 400, "{}", over.text);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mass_revocation_that_cannot_be_is_refused_with_what_to_do() {
    let lending = Lending::start().await;
    let lent = lending.lend().await;
    let server = &lending.server;
    let _ = server.post("sys/auth/userpass", json!({ "type": "userpass" })).await.expect(204);
    for (body, status, why) in [
        (json!({}), 400, "either `prefix`"),
        (json!({ "prefix": "database", "target": "database/pg" }), 400, "either `prefix`"),
        (json!({ "prefix": ["database"] }), 400, "prefix"),
        (json!({ "prefix": "none" }), 404, "leasehold lease list"),
        (json!({ "target": "database/none" }), 404, "leasehold list database/config"),
        (json!({ "prefix": lent.lease_id }), 400, "one lease"),
        (json!({ "prefix": "auth/userpass" }), 400, "tokens"),
    ] {
        let refused = server.post("sys/revocations", body.clone()).await;
        assert_eq!(refused.status, status, "{body}: {}", refused.text);
        assert!(refused.text.contains(why), "{body}: {}", refused.text);
    }
    for path in ["sys/revocations/none", "sys/revocations/01jdx3m5k8v2q7t4w9y6z1b0ce"] {
        let answer = server.get(path).await;
        assert!([400, 404].contains(&answer.status), "{path}: {}", answer.text);
    }
    assert_eq!(lending.users().await, [lent.username]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plan_shows_what_a_revocation_would_take_and_takes_nothing() {
    let lending = Lending::start().await;
    let lent = [lending.lend().await, lending.lend().await];
    let mut superuser = lending.target.superuser("postgres").await;
    superuser.execute("GRANT CREATE ON SCHEMA public TO PUBLIC").await.unwrap();
    let mut session = lending.log_in(&lent[0]).await.unwrap();
    session.execute("CREATE TABLE made (a int)").await.unwrap();

    let plan = json!({ "target": "database/pg" });
    let told = lending.server.post("sys/revocations/plan", plan.clone()).await.expect(200);
    let data = told.data();
    let totals = json!({
        "leases": 2, "in_use": 1, "sessions": 1, "sessions_unknown": 0, "owning": 1, "owned": 1,
        "missing": 0, "unknown": 0,
    });
    assert_eq!((&data["totals"], &data["after"]), (&totals, &json!(null)), "{}", told.text);
    let row = |answer: &Answer, username: &str| {
        let leases = answer.data()["leases"].as_array().unwrap();
        leases.iter().find(|lease| lease["username"] == username).unwrap().clone()
    };
    let used = row(&told, &lent[0].username);
    assert_eq!(used["lease_id"], lent[0].lease_id);
    assert_eq!((&used["target"], &used["state"]), (&json!("database/pg"), &json!("held")));
    assert!(used["ttl"].as_u64().unwrap() > 3500, "{used}");
    assert_eq!((&used["exists"], &used["sessions"]), (&json!(true), &json!(1)));
    let table = json!({ "kind": "table", "in": "postgres", "count": 1, "names": ["public.made"] });
    assert_eq!((&used["owns"], &used["error"]), (&json!([table]), &json!(null)));
    let idle = row(&told, &lent[1].username);
    assert_eq!((&idle["sessions"], &idle["owns"]), (&json!(0), &json!([])));

    let first = json!({ "prefix": "database", "limit": 1 });
    let first = lending.server.post("sys/revocations/plan", first).await.expect(200);
    let rest = json!({ "prefix": "database", "limit": 1, "after": first.at("/data/after") });
    let rest = lending.server.post("sys/revocations/plan", rest).await.expect(200);
    let one_each = [&first, &rest].map(|page| page.at("/data/leases/0/username").to_owned());
    assert_eq!(rest.data()["after"], json!(null));
    assert!(lent.iter().all(|lent| one_each.contains(&lent.username)), "{one_each:?}");

    assert!(session.execute("INSERT INTO made VALUES (1)").await.is_ok(), "nothing is revoked");
    assert_eq!(lending.users().await.len(), 2);
    lending.target.kill();
    let away = lending.server.post("sys/revocations/plan", plan).await.expect(200);
    assert_eq!(
        (&away.data()["totals"]["leases"], &away.data()["totals"]["unknown"]),
        (&json!(2), &json!(2))
    );
    let used = row(&away, &lent[0].username);
    assert_eq!(used["sessions"], json!(null));
    assert!(used["error"].as_str().is_some_and(|why| !why.is_empty()), "{used}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plan_that_cannot_be_is_refused_with_what_to_do_and_takes_sudo() {
    let lending = Lending::start().await;
    let lent = lending.lend().await;
    let server = &lending.server;
    for (body, status, why) in [
        (json!({}), 400, "either `prefix`"),
        (json!({ "prefix": "database", "lease_id": lent.lease_id }), 400, "say one of"),
        (json!({ "lease_id": "database/creds/app/x" }), 404, "leasehold lease list"),
        (json!({ "lease_id": ["x"] }), 400, "lease_id"),
        (json!({ "prefix": "none" }), 404, "leasehold lease list"),
        (json!({ "target": "database/none" }), 404, "leasehold list database/config"),
        (json!({ "prefix": "database", "limit": 0 }), 400, "from 1 to 1000"),
        (json!({ "prefix": "database", "limit": 1001 }), 400, "from 1 to 1000"),
        (json!({ "prefix": "database", "limit": "many" }), 400, "limit"),
        (json!({ "prefix": "database", "after": "database/creds/app" }), 400, "begin anew"),
    ] {
        let refused = server.post("sys/revocations/plan", body.clone()).await;
        assert_eq!(refused.status, status, "{body}: {}", refused.text);
        assert!(refused.text.contains(why), "{body}: {}", refused.text);
    }
    let one = json!({ "lease_id": lent.lease_id });
    let told = server.post("sys/revocations/plan", one.clone()).await.expect(200);
    assert_eq!(told.at("/data/leases/0/username"), lent.username);

    let rule = |more: &str| {
        format!("path \"sys/revocations/plan\" {{ capabilities = [\"update\"{more}] }}")
    };
    for (more, status) in [("", 403), (", \"sudo\"", 200)] {
        let policy = json!({ "policy": rule(more) });
        let _ = server.post("sys/policies/acl/planner", policy).await.expect(204);
        let token = json!({ "policies": ["planner"] });
        let token = server.post("auth/token/create", token).await.expect(200);
        let token = token.at("/auth/client_token").to_owned();
        let _ =
            server.ask(&token, "POST", "sys/revocations/plan", one.clone()).await.expect(status);
    }
    assert_eq!(lending.users().await, [lent.username]);
}
