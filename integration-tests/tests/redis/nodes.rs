//! Several nodes: each has users of its own, replicas and primaries that were demoted included.

use crate::place::{eventually, issue_at, log_in, opened, role, works};
use leasehold_core::engine::{Cause, Engine as _, EngineError, Origin, PutBack};
use leasehold_engines::redis::Redis;
use leasehold_integration_tests::engine_suite::{self as suite, PATIENCE, now, revocation};
use leasehold_integration_tests::redis::{Server, Users};
use serde_json::{Value, json};

/// A primary with a replica, and the Sentinel that watches them.
pub(crate) struct Watched {
    pub(crate) primary: Server,
    pub(crate) replica: Server,
    sentinel: Server,
    origin: Origin,
}

impl Watched {
    pub(crate) async fn start(users: Users) -> Self {
        let primary = Server::start(users);
        let replica = Server::replica_of(&primary, users);
        eventually("the replica is in step", async || {
            replica.says(&["INFO", "replication"], "master_link_status:up").await
        })
        .await;
        let sentinel = Server::sentinel_of(&primary);
        let watched = Self { primary, replica, sentinel, origin: suite::origin() };
        eventually("the Sentinel knows the replica", async || watched.told("slaves=1").await).await;
        watched
    }

    async fn told(&self, word: &str) -> bool {
        let connection = redis::Client::open(format!("redis://127.0.0.1:{}", self.sentinel.port()));
        let connection = connection.expect("an address").get_multiplexed_async_connection().await;
        let mut connection = connection.expect("the Sentinel answers");
        let said: String =
            redis::cmd("INFO").arg("sentinel").query_async(&mut connection).await.expect("it says");
        said.contains(word)
    }

    pub(crate) fn engine(&self, more: &Value) -> Redis {
        let mut fields = json!({
            "sentinels": [format!("127.0.0.1:{}", self.sentinel.port())], "sentinel_master": "it",
        });
        let more = more.as_object().cloned().unwrap_or_default();
        fields.as_object_mut().expect("it is an object").extend(more);
        opened(&self.primary, self.origin, &fields)
    }
}

async fn has(server: &Server, name: &str) -> bool {
    server.users().await.iter().any(|user| user == name)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_is_set_at_and_revoked_from_primary_and_replica_through_a_failover() {
    let watched = Watched::start(Users::Nowhere).await;
    let engine = watched.engine(&Value::Null);
    let role = role(&Value::Null);
    // What is set only where a stored handle knows it could not be revoked there: the nodes are looked for first.
    let (_, first) = issue_at(&engine, &role).await;
    let refused = first.expect_err("the nodes were not known when it was named");
    assert!(matches!(refused, EngineError::Refused(_)), "{refused:?}");
    assert_eq!(engine.lacks(None).await, Ok(vec![]));
    let (issue, login) = issue_at(&engine, &role).await;
    let login = login.expect("it is issued");
    let name = issue.handle.name().to_owned();
    let mut sessions = Vec::new();
    for server in [&watched.primary, &watched.replica] {
        let mut session = log_in(server, &login).await.expect("it logs in at both");
        assert!(works(&mut session).await);
        sessions.push(session);
    }
    let before = engine.identity().await.expect("it says").run;

    watched.primary.kill();
    eventually("the replica takes over", async || {
        watched.replica.says(&["INFO", "replication"], "role:master").await
    })
    .await;
    eventually("the Sentinel tells of it", async || {
        engine.identity().await.is_ok_and(|said| said.run != before)
    })
    .await;
    // The primary of before may come back with the user: until it was asked, nothing counts.
    let answer = engine.revoke(&[revocation(&issue)]).await.remove(0);
    let error = answer.expect_err("one node is away");
    assert_eq!(error.reason().cause, Cause::Unreachable, "{error}");
    assert!(error.to_string().contains("retired_nodes"), "{error}");
    assert!(!has(&watched.replica, &name).await, "where it can be, it is gone at once");
    assert!(!works(&mut sessions[1]).await);

    watched.primary.restart();
    let answers = engine.revoke(&[revocation(&issue)]).await;
    assert_eq!(answers, [Ok(())]);
    for server in [&watched.primary, &watched.replica] {
        assert!(!has(server, &name).await && log_in(server, &login).await.is_err());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_gone_for_good_can_be_given_up_by_an_operator() {
    let watched = Watched::start(Users::Nowhere).await;
    let engine = watched.engine(&Value::Null);
    let role = role(&Value::Null);
    assert_eq!(engine.lacks(None).await, Ok(vec![]));
    let (issue, login) = issue_at(&engine, &role).await;
    login.expect("it is issued");
    let place = format!("127.0.0.1:{}", watched.replica.port());
    watched.replica.kill();
    assert!(engine.revoke(&[revocation(&issue)]).await[0].is_err());
    let written = watched.engine(&json!({"retired_nodes": [place]}));
    assert_eq!(written.revoke(&[revocation(&issue)]).await, [Ok(())]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_was_away_gets_what_was_issued_meanwhile() {
    let watched = Watched::start(Users::Nowhere).await;
    let engine = watched.engine(&Value::Null);
    let role = role(&Value::Null);
    let first = engine.identity().await.expect("it says").run;
    watched.replica.kill();
    let (issue, login) = issue_at(&engine, &role).await;
    let login = login.expect("a replica that is away stops nobody");
    let away = engine.identity().await.expect("it says").run;
    assert_ne!(away, first);
    watched.replica.restart();
    eventually("the replica has read its data", async || {
        engine.identity().await.is_ok_and(|said| said.run.is_some_and(|run| !run.contains("away")))
    })
    .await;
    assert_ne!(engine.identity().await.expect("it says").run, away, "it is to be compared");
    let listed = engine.list().await.expect("it lists");
    assert!(listed.len() == 1 && !listed[0].everywhere, "{listed:?}");
    let put_back = PutBack {
        lease: issue.lease,
        handle: engine.put_back_as(&issue.handle),
        issue_by: now().plus(PATIENCE),
    };
    assert_eq!(engine.put_back(&[put_back]).await, [Ok(())]);
    assert!(log_in(&watched.replica, &login).await.is_ok());
    assert!(engine.list().await.expect("it lists")[0].everywhere);
    assert_eq!(engine.revoke(&[revocation(&issue)]).await, [Ok(())]);
    assert!(log_in(&watched.replica, &login).await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_has_the_user_at_every_node() {
    let nodes = [Server::cluster_node(), Server::cluster_node(), Server::cluster_node()];
    let ranges = [("0", "5460"), ("5461", "10922"), ("10923", "16383")];
    for (node, (from, to)) in nodes.iter().zip(ranges) {
        node.ask(&["CLUSTER", "ADDSLOTSRANGE", from, to]).await.expect("slots are given");
        let bus = node.text(&["CLUSTER", "NODES"]).await;
        let bus = bus.split(['@', ' ', ',']).nth(2).expect("a port of the bus").to_owned();
        let port = node.port().to_string();
        let met = nodes[0].ask(&["CLUSTER", "MEET", "127.0.0.1", &port, &bus]).await;
        met.expect("the nodes meet");
    }
    for node in &nodes {
        eventually("the cluster is up", async || {
            let said = node.text(&["CLUSTER", "INFO"]).await;
            said.contains("cluster_state:ok") && said.contains("cluster_known_nodes:3")
        })
        .await;
    }
    let engine = opened(&nodes[0], suite::origin(), &json!({"cluster": true}));
    assert_eq!(engine.lacks(None).await, Ok(vec![]));
    let (issue, login) = issue_at(&engine, &role(&Value::Null)).await;
    let login = login.expect("it is issued");
    let mut sessions = Vec::new();
    for node in &nodes {
        sessions.push(log_in(node, &login).await.expect("it logs in everywhere"));
    }
    assert_eq!(engine.list().await.expect("it lists").len(), 1);
    assert_eq!(engine.revoke(&[revocation(&issue)]).await, [Ok(())]);
    for (node, session) in nodes.iter().zip(&mut sessions) {
        assert!(!works(session).await && log_in(node, &login).await.is_err());
    }
}
