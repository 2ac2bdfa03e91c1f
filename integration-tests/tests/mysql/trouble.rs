//! Suspended servers, held locks, lost answers, dead processes.

use crate::place::{Place, by_statements, place, place_by_statements, run};
use leasehold_core::engine::{Cause, Engine as _, EngineError, Issue, Revocation};
use leasehold_engines::mysql::MySql;
use leasehold_integration_tests::engine_suite::{
    self as suite, PATIENCE, Site as _, prepared, revocation,
};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

fn unanswered(issue: &Issue<MySql>) -> Revocation<MySql> {
    Revocation { unanswered: suite::until(issue.issue_by), ..revocation(issue) }
}

/// Asks as the sweep asks: until it counts. Returns how often it was asked.
async fn revoked_in_the_end(place: &Place, engine: &MySql, issue: &Issue<MySql>) -> u32 {
    let deadline = suite::now().plus(PATIENCE);
    let mut turn = 0_u32;
    loop {
        turn = turn.saturating_add(1);
        match engine.revoke(&[unanswered(issue)]).await.remove(0) {
            Ok(()) => {
                let there = place.hosts(issue.handle.name()).await;
                assert_eq!(there, None, "what counts as revoked is not there");
                return turn;
            }
            Err(error) => assert!(suite::now() < deadline, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// A server that is suspended while it is asked creates nothing once it goes on after `issue_by`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_issue_at_a_suspended_server_creates_nothing_later() {
    let place = place().await;
    suite::issued(&*place, 1).await;
    let issue = prepared(&*place.engine, &place.role, ("tester", "app"), Duration::from_secs(1));
    place.server.suspend();
    let answer = place.engine.issue(std::slice::from_ref(&issue)).await.remove(0);
    place.server.resume();
    assert!(matches!(&answer, Err(EngineError::Uncertain(_))), "{answer:?}");
    revoked_in_the_end(&place, &place.engine, &issue).await;
    assert!(suite::now() > issue.issue_by, "it does not count before its time");
    assert_eq!(place.hosts(issue.handle.name()).await, None, "nothing came of it");
}

/// A `CREATE USER` that waits for a lock, sent by a process that has died, is found by the lock that it holds: it is
/// ended, and what it did is gone, before the revocation counts.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_creation_that_still_waits_is_ended_before_its_revocation_counts() {
    let place = place_by_statements().await;
    suite::issued(&*place, 1).await;
    let issue =
        prepared(&*place.engine, &place.role, ("tester", "app"), Duration::from_millis(500));
    // As the engine sends it, but ready to wait for ever; its client goes away in the middle.
    let mut dead = place.server.root().await;
    let sql = format!(
        "SET SESSION lock_wait_timeout = 1000; SELECT GET_LOCK('leasehold:{}', 0); CREATE USER '{}'@'%'",
        issue.lease,
        issue.handle.name()
    );
    let mut holder = place.server.root().await;
    run(&mut holder, "FLUSH TABLES WITH READ LOCK").await;
    let waiting = tokio::spawn(async move { run(&mut dead, &sql).await });
    let queued = "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE STATE LIKE 'Waiting for%' AND INFO LIKE 'CREATE USER%'";
    let deadline = suite::now().plus(PATIENCE);
    while place.ask(queued).await.as_deref() != Some("1") {
        assert!(suite::now() < deadline, "it never waits");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    waiting.abort();
    // Another process, which knows nothing of the first but the lease.
    let later = place.open(&json!({}));
    let revoking = revoked_in_the_end(&place, &later, &issue);
    let unlocked = async {
        // The locks of accounts wait as well, so the rest can only follow.
        tokio::time::sleep(Duration::from_millis(300)).await;
        run(&mut holder, "UNLOCK TABLES").await;
    };
    tokio::join!(revoking, unlocked);
    assert_eq!(place.ask(queued).await.as_deref(), Some("0"), "nobody waits to create any more");
    assert_eq!(place.hosts(issue.handle.name()).await, None);
}

/// The lock of a lease that somebody else took is no reason to end a session that is not ours.
#[tokio::test]
async fn a_session_of_somebody_else_is_never_ended() {
    let place = place().await;
    place.run("CREATE USER stranger@'%' IDENTIFIED BY 'stranger'").await;
    let issue = prepared(&*place.engine, &place.role, ("tester", "app"), PATIENCE);
    let mut stranger = place.server.log_in("stranger", "stranger").await.expect("it logs in");
    run(&mut stranger, &format!("DO GET_LOCK('leasehold:{}', 0)", issue.lease)).await;
    let answer = place.engine.issue(std::slice::from_ref(&issue)).await.remove(0);
    let error = answer.expect_err("the lock is taken");
    assert_eq!(
        (matches!(error, EngineError::Refused(_)), error.reason().cause),
        (true, Cause::Contended)
    );
    let answer = place.engine.revoke(&[unanswered(&issue)]).await.remove(0);
    let error = answer.expect_err("it cannot be known");
    assert_eq!(error.reason().cause, Cause::NeedsOperator, "{error}");
    run(&mut stranger, "DO 1").await;
}

/// A revocation that was asked first keeps an issue from beginning.
#[tokio::test]
async fn what_arrives_while_its_lease_is_revoked_creates_nothing() {
    let place = place_by_statements().await;
    let issue = prepared(&*place.engine, &place.role, ("tester", "app"), PATIENCE);
    let mut revoker = place.server.root().await;
    run(&mut revoker, &format!("DO GET_LOCK('leasehold:{}', 0)", issue.lease)).await;
    let answer = place.engine.issue(std::slice::from_ref(&issue)).await.remove(0);
    assert!(matches!(answer, Err(EngineError::Refused(_))), "{answer:?}");
    assert_eq!(place.hosts(issue.handle.name()).await, None);
    run(&mut revoker, &format!("DO RELEASE_LOCK('leasehold:{}')", issue.lease)).await;
    let answer = place.engine.issue(std::slice::from_ref(&issue)).await.remove(0);
    answer.expect("nothing is in the way any more, and no lock was left behind");
}

const WAITING: &str =
    "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE INFO LIKE 'CREATE USER%'";

/// What changes accounts waits for others' locks without an end of its own; the server breaks it off when time is up,
/// whoever holds what.
#[tokio::test]
async fn an_issue_that_waits_for_a_lock_is_broken_off_by_the_server_in_time() {
    for place in [place().await, place_by_statements().await] {
        suite::issued(&*place, 1).await;
        let mut holder = place.server.root().await;
        for held in ["FLUSH TABLES WITH READ LOCK", "LOCK TABLES mysql.global_priv READ"] {
            run(&mut holder, held).await;
            let ask =
                || prepared(&*place.engine, &place.role, ("tester", "app"), Duration::from_secs(1));
            let asked = [ask(), ask()];
            let answers = place.engine.issue(&asked).await;
            for answer in &answers {
                let error = answer.as_ref().expect_err("nobody can create");
                assert_eq!(error.reason().cause, Cause::TooLate, "{error}");
            }
            assert!(
                matches!(answers[0], Err(EngineError::Uncertain(_))),
                "it was begun: {answers:?}"
            );
            // The lock is held on; the server's own clock may strike a moment after ours.
            let deadline = suite::now().plus(PATIENCE);
            while place.ask(WAITING).await.as_deref() != Some("0") {
                assert!(suite::now() < deadline, "it waits on");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            run(&mut holder, "UNLOCK TABLES").await;
            for issue in &asked {
                revoked_in_the_end(&place, &place.engine, issue).await;
            }
        }
    }
}

/// A way to a server that breaks, as soon as a message of the client's has these words in it, once the server has it
/// or before.
async fn way_that_breaks(server: u16, words: &'static [u8], once_sent: bool) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("an address").port();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let mut server = TcpStream::connect(("127.0.0.1", server)).await.expect("it listens");
            tokio::spawn(async move {
                let (mut from, mut to) = (vec![0; 64 << 10], vec![0; 64 << 10]);
                loop {
                    tokio::select! {
                        read = client.read(&mut from) => {
                            let Ok(length @ 1..) = read else { break };
                            let sent = &from[..length];
                            let breaks = sent.windows(words.len()).any(|found| found == words);
                            if !breaks || once_sent {
                                let _ = server.write_all(sent).await;
                            }
                            if breaks { break; }
                        }
                        read = server.read(&mut to) => {
                            let Ok(length @ 1..) = read else { break };
                            let _ = client.write_all(&to[..length]).await;
                        }
                    }
                }
                // What was sent to the server is read there, since it is closed for writing only.
                drop(client);
                let _ = server.shutdown().await;
                while matches!(server.read(&mut to).await, Ok(1..)) {}
            });
        }
    });
    port
}

/// An answer that is lost leaves every member uncertain, and the lease finds what there is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_answers_are_uncertain_and_revoked() {
    let place = place_by_statements().await;
    for (role, once_sent) in [
        (Arc::clone(&place.role), true),
        (Arc::clone(&place.role), false),
        (crate::place::granting(), true),
    ] {
        let port = way_that_breaks(place.server.port(), b"CREATE USER", once_sent).await;
        let url = format!("{{{{username}}}}:{{{{password}}}}@tcp(127.0.0.1:{port})/");
        let engine = place.open(&json!({ "connection_url": url }));
        let time = Duration::from_secs(3);
        let asked: Vec<_> =
            (0..3).map(|_| prepared(&engine, &role, ("tester", "app"), time)).collect();
        for answer in engine.issue(&asked).await {
            assert!(matches!(answer, Err(EngineError::Uncertain(_))), "{answer:?}");
        }
        for issue in &asked {
            revoked_in_the_end(&place, &place.engine, issue).await;
        }
    }
}

/// A server that is stopped in the middle of any verb answers for nothing, and comes back to be asked again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_was_stopped_is_asked_again() {
    let place = place().await;
    let (issue, login) = suite::issued(&*place, 1).await.pop().expect("one was issued");
    place.server.kill();
    let asked = suite::asked(&*place, 1);
    let answer = place.engine.issue(&asked).await.remove(0);
    assert!(answer.is_err());
    let answer = place.engine.revoke(&[revocation(&issue)]).await.remove(0);
    assert_eq!(answer.expect_err("nobody is there").reason().cause, Cause::Unreachable);
    assert!(place.engine.list().await.is_err() && place.engine.identity().await.is_err());
    place.server.restart();
    assert!(place.log_in(&login).await.is_ok(), "it survived the server");
    assert_eq!(place.engine.revoke(&[revocation(&issue)]).await, [Ok(())]);
    assert!(place.log_in(&login).await.is_err());
    assert_eq!(place.hosts(asked[0].handle.name()).await, None);
}

/// Who has begun to log in when the account is locked is not let in afterwards.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_login_that_is_under_way_is_ended_as_well() {
    let place = place().await;
    let role = by_statements();
    let (issue, login) = place.issue_by(&role).await;
    let login = login.expect("it is issued");
    // It says who it is by a plugin that the account does not have, so the server asks back, and waits.
    let mut client =
        TcpStream::connect(("127.0.0.1", place.server.port())).await.expect("it listens");
    let mut piece = vec![0; 1024];
    assert!(client.read(&mut piece).await.expect("a greeting") > 0);
    let mut hello = Vec::new();
    // PROTOCOL_41, SECURE_CONNECTION, PLUGIN_AUTH; packets of 16 MiB; utf8mb4.
    hello.extend_from_slice(&0x0008_8200_u32.to_le_bytes());
    hello.extend_from_slice(&(1_u32 << 24).to_le_bytes());
    hello.push(45);
    hello.extend_from_slice(&[0; 23]);
    hello.extend_from_slice(login.username.as_bytes());
    hello.extend_from_slice(b"\0\0caching_sha2_password\0");
    let length = u8::try_from(hello.len()).expect("it is short");
    client.write_all(&[length, 0, 0, 1]).await.expect("it is sent");
    client.write_all(&hello).await.expect("it is sent");
    let read = client.read(&mut piece).await.expect("it asks back");
    assert_eq!(piece.get(4), Some(&0xfe), "it asks for another plugin: {:?}", &piece[..read]);
    assert_eq!(place.engine.revoke(&[revocation(&issue)]).await, [Ok(())]);
    let gone = client.read(&mut piece).await;
    assert!(!matches!(gone, Ok(1..)) || piece.get(4) == Some(&0xff), "it is let in no more");
}
