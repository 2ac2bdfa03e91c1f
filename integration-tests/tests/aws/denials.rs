//! Sessions that are denied everything once they are revoked: by one policy on their role, which opted in.

use crate::place::{Place, place, role};
use crate::sessions::{asked, iam, last, lent};
use aws_sdk_iam::Client;
use futures_util::StreamExt as _;
use leasehold_core::engine::denial::{Deniable, Denial, Denied, Standing};
use leasehold_core::engine::{Cause, Engine as _, EngineError};
use leasehold_engines::aws::{Aws, Handle};
use leasehold_integration_tests::aws::Account;
use leasehold_integration_tests::engine_suite::{self as suite, PATIENCE};
use leasehold_integration_tests::server::Server;
use serde_json::{Value, json};
use std::time::Duration;

const ACCOUNT: &str = "123456789012";

/// Makes a role that may be assumed, and one that may write into it what `docs/OPERATING.md` says, for whom the same is
/// asked. Returns what a role of ours says of both.
async fn opted_in(account: &Account, name: &str, condition: &Value) -> Value {
    let lent = account.role(name, condition, &["sts:AssumeRole"]).await;
    let writer = account.role(&format!("{name}-denies"), condition, &["sts:AssumeRole"]).await;
    let may = json!({"Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Action": ["iam:PutRolePolicy", "iam:GetRolePolicy", "iam:DeleteRolePolicy"],
        "Resource": format!("arn:aws:iam::{ACCOUNT}:role/{name}"),
    }]});
    let put = account.iam().put_role_policy().role_name(format!("{name}-denies"));
    let put = put.policy_name("may").policy_document(may.to_string()).send().await;
    put.expect("it may write");
    json!({"credential_type": "assumed_role", "role_arns": lent, "revocation_role_arn": writer})
}

fn deniable(handle: &Handle) -> Deniable<Handle> {
    Aws::deniable(None, handle).expect("its role opted in")
}

fn denial(of: &[&Handle]) -> Denial<Handle> {
    let names = of.iter().map(|handle| deniable(handle).name).collect();
    Denial { reached_by: deniable(of[0]).reached_by, names, older_than: None }
}

async fn deny(place: &Place, denial: &Denial<Handle>) -> Result<Denied, EngineError> {
    place.engine.deny(denial, suite::now().plus(PATIENCE)).await
}

async fn standing(place: &Place, handle: &Handle) -> Standing {
    let reached_by = deniable(handle).reached_by;
    let told = place.engine.standing(&reached_by, suite::now().plus(PATIENCE)).await;
    told.expect("it is told")
}

async fn works(session: &Client) -> bool {
    match session.get_account_summary().send().await {
        Ok(_) => true,
        Err(error) => {
            assert!(format!("{error:?}").contains("AccessDenied"), "{error:?}");
            false
        }
    }
}

async fn policies(account: &Account, role: &str) -> Vec<String> {
    let listed = account.iam().list_role_policies().role_name(role).send().await;
    listed.expect("they are listed").policy_names
}

#[tokio::test]
async fn an_open_session_that_is_denied_is_refused_and_the_others_of_its_role_go_on() {
    let place = place();
    let condition = json!({"StringEquals": {"sts:ExternalId": "ours"}});
    let mut fields = opted_in(&place.account, "deploy", &condition).await;
    fields["external_id"] = json!("ours");
    let (one, its) = lent(&place, &fields, &json!({})).await;
    let (other, others) = lent(&place, &fields, &json!({"role_session_name": "ann"})).await;
    let (its, others) = (its.expect("it is lent"), others.expect("it is lent"));
    let (its, others) = (iam(&place, &its), iam(&place, &others));
    assert!(works(&its).await && works(&others).await);

    assert_eq!(standing(&place, &one.handle).await, Standing::default());
    assert_eq!(deny(&place, &denial(&[&one.handle])).await, Ok(Denied::Written));
    assert!(!works(&its).await && works(&others).await);
    assert_eq!(standing(&place, &other.handle).await.names, [one.handle.name()]);
    let ours = format!("leasehold-deny-{}", place.origin.installation);
    assert_eq!(policies(&place.account, "deploy").await, ["may", &ours]);
    let put = last(&place, "PutRolePolicy").await;
    assert_eq!((&put["RoleName"], &put["PolicyName"]), (&json!("deploy"), &json!(ours)));

    assert_eq!(deny(&place, &denial(&[&one.handle, &other.handle])).await, Ok(Denied::Written));
    assert!(!works(&its).await && !works(&others).await);
    // Those that have ended are taken out, and the last one takes the policy with it; as often as it is asked.
    let none = Denial { names: Vec::new(), ..denial(&[&one.handle]) };
    for _ in 0..2 {
        assert_eq!(deny(&place, &none).await, Ok(Denied::Written));
        assert_eq!(policies(&place.account, "deploy").await, ["may"]);
    }
}

#[tokio::test]
async fn all_that_is_older_is_denied_and_what_is_made_later_works() {
    let place = place();
    let fields = opted_in(&place.account, "deploy", &json!({})).await;
    let (one, its) = lent(&place, &fields, &json!({})).await;
    let its = iam(&place, &its.expect("it is lent"));
    let older =
        Denial { names: Vec::new(), older_than: Some(suite::now()), ..denial(&[&one.handle]) };
    assert_eq!(deny(&place, &older).await, Ok(Denied::Written));
    assert!(!works(&its).await);
    place.account.judge(json!({"later": 5})).await;
    let (_, newer) = lent(&place, &fields, &json!({})).await;
    assert!(works(&iam(&place, &newer.expect("it is lent"))).await);
}

#[tokio::test]
async fn what_a_role_holds_otherwise_counts_against_the_room_for_sessions() {
    let place = place();
    let fields = opted_in(&place.account, "deploy", &json!({})).await;
    let of = |many: usize| -> Denial<Handle> {
        let one = asked(&place, &fields, &json!({})).handle;
        let names = (0..many).map(|n| format!("vault-token-deploy-{n:026}")).collect();
        Denial { names, ..denial(&[&one]) }
    };
    assert_eq!(deny(&place, &of(190)).await, Ok(Denied::Written));
    let before = place.account.asked().await.len();
    let full = deny(&place, &of(230)).await;
    let Ok(Denied::Full(why)) = &full else { panic!("{full:?}") };
    assert!(why.contains("revocation_when_full=end_older_sessions"), "{why}");
    assert_eq!(place.account.asked().await.len(), before, "that is known without asking");
    let another = json!({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": "s3:Get*", "Resource": format!("arn:aws:s3:::{}", "x".repeat(5000))},
    ]});
    assert_eq!(deny(&place, &of(1)).await, Ok(Denied::Written));
    let put = place.account.iam().put_role_policy().role_name("deploy").policy_name("more");
    put.policy_document(another.to_string()).send().await.expect("there is room for it");
    assert!(matches!(deny(&place, &of(190)).await, Ok(Denied::Full(_))));
    assert_eq!(deny(&place, &of(50)).await, Ok(Denied::Written));
}

#[tokio::test]
async fn who_may_not_write_is_told_so_and_changes_nothing() {
    let place = place();
    let mut fields = opted_in(&place.account, "deploy", &json!({})).await;
    // The other one may write into `deploy` alone, and this one may write nothing.
    let others = opted_in(&place.account, "other", &json!({})).await;
    let cases = [others["revocation_role_arn"].clone(), others["role_arns"].clone()];
    for writer in cases.into_iter().chain([json!(format!("arn:aws:iam::{ACCOUNT}:role/nobody"))]) {
        fields["revocation_role_arn"] = writer.clone();
        let one = asked(&place, &fields, &json!({})).handle;
        let error = deny(&place, &denial(&[&one])).await.expect_err("it may not");
        assert!(matches!(&error, EngineError::Refused(_)), "{error:?}");
        assert_eq!(error.reason().cause, Cause::NeedsOperator, "{error}");
        assert!(error.to_string().contains(writer.as_str().expect("a text")), "{error}");
    }
    assert_eq!(policies(&place.account, "deploy").await, ["may"]);
    let lacks = place.engine.lacks(Some(&role(&fields))).await.expect("it is asked").join("; ");
    assert!(lacks.contains("role/nobody") && lacks.contains("sts:AssumeRole"), "{lacks}");
}

/// That AWS does not know a role is no proof that its sessions are dead; but what denied them is gone with it.
#[tokio::test]
async fn a_session_of_a_role_that_is_gone_is_not_told_to_be_denied_and_keeps_no_policy() {
    let place = place();
    let fields = opted_in(&place.account, "deploy", &json!({})).await;
    let one = asked(&place, &fields, &json!({})).handle;
    let iam = place.account.iam();
    let may = iam.delete_role_policy().role_name("deploy").policy_name("may");
    may.send().await.expect("it has that policy");
    iam.delete_role().role_name("deploy").send().await.expect("it is there");
    let error = deny(&place, &denial(&[&one])).await.expect_err("there is no such role");
    assert!(matches!(&error, EngineError::Refused(_)), "{error:?}");
    assert!(error.to_string().contains("NoSuchEntity"), "{error}");
    assert_eq!(standing(&place, &one).await, Standing::default());
    let none = Denial { names: Vec::new(), ..denial(&[&one]) };
    assert_eq!(deny(&place, &none).await, Ok(Denied::Written));
}

#[tokio::test]
async fn a_write_whose_answer_is_lost_is_uncertain_and_is_sent_once() {
    let place = place();
    let fields = opted_in(&place.account, "deploy", &json!({})).await;
    let one = asked(&place, &fields, &json!({})).handle;
    place.account.judge(json!({"lost": {"PutRolePolicy": 1}})).await;
    let error = deny(&place, &denial(&[&one])).await.expect_err("nobody hears of it");
    assert!(matches!(error, EngineError::Uncertain(_)), "{error:?}");
    let of_ours = |(action, fields): &(String, Value)| {
        let policy = fields["PolicyName"].as_str().unwrap_or_default();
        action == "PutRolePolicy" && policy.starts_with("leasehold-deny-")
    };
    let sent = place.account.asked().await.iter().filter(|call| of_ours(call)).count();
    assert_eq!(sent, 1);
}

/// Lends sessions of the role `deploy`, each with its lease and its client.
async fn sessions(server: &Server, account: &Account, many: usize) -> Vec<(String, Client)> {
    let lend = async |_| {
        let lent = server.get("aws/sts/deploy?ttl=900").await.expect(200);
        let text = |name: &str| lent.data()[name].as_str().expect("it is told").to_owned();
        let key = (text("access_key"), text("secret_key"), text("session_token"));
        (lent.at("/lease_id").to_owned(), account.iam_in_session(&key.0, &key.1, &key.2))
    };
    futures_util::stream::iter(0..many).map(lend).buffer_unordered(8).collect().await
}

async fn configured(account: &Account, more: Value) -> Server {
    let server = Server::dev();
    let _ = server.post("sys/mounts/aws", json!({"type": "aws"})).await.expect(204);
    let _ = server.post("aws/config/root", account.config()).await.expect(204);
    let _ = server.post("aws/roles/deploy", more).await.expect(204);
    server
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_revokes_a_session_of_a_role_that_opted_in_is_told_that_it_is_done() {
    let account = Account::open();
    let fields = opted_in(&account, "deploy", &json!({})).await;
    let server = configured(&account, fields.clone()).await;
    let read = server.get("aws/roles/deploy").await.expect(200);
    assert_eq!(read.data()["revocation_role_arn"], fields["revocation_role_arn"]);
    assert_eq!(read.data()["revocation_when_full"], "refuse");
    let all = sessions(&server, &account, 3).await;
    let [(lease, its), others @ ..] = &all[..] else { panic!("there are three") };
    let revoke = json!({"lease_id": lease, "sync": true});
    let _ = server.post("sys/leases/revoke", revoke).await.expect(204);
    assert!(!works(its).await && works(&others[0].1).await && works(&others[1].1).await);
    let looked = server.post("sys/leases/lookup", json!({"lease_id": lease})).await.expect(200);
    let why = looked.data()["revoke_error"].as_str().expect("it is told").to_owned();
    assert!(why.contains("refuses it until it ends by itself"), "{why}");
    // Nobody waits for the sweep, and all are denied in the end.
    let unwaited = server.post("sys/leases/revoke-prefix/aws/", json!({"sync": false})).await;
    let _ = unwaited.expect(202);
    let denied = async { while works(&others[0].1).await || works(&others[1].1).await {} };
    tokio::time::timeout(Duration::from_mins(1), denied).await.expect("both are denied");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_that_opted_in_passes_its_rehearsal_and_one_whose_sessions_nothing_ends_does_not() {
    let account = Account::open();
    let server = configured(&account, opted_in(&account, "deploy", &json!({})).await).await;
    let last = async || {
        let rehearsed = server.post("sys/rehearse/aws/deploy", json!({})).await.expect(200);
        let last = rehearsed.data()["steps"].as_array().and_then(|steps| steps.last()).cloned();
        let last = last.expect("there are steps");
        assert_eq!(last["step"], "revoke", "{}", rehearsed.body);
        assert_eq!(rehearsed.data()["failed"], last["failed"]);
        (rehearsed.data()["ok"].clone(), last)
    };

    let (ok, revoked) = last().await;
    assert_eq!((ok, &revoked["failed"]), (json!(true), &json!(null)));
    let note = revoked["note"].as_str().expect("a login does not show it");
    assert!(note.contains("refused until it ends by itself"), "{note}");

    let opted_out = json!({"revocation_role_arn": ""});
    let _ = server.post("aws/roles/deploy", opted_out).await.expect(204);
    let (ok, revoked) = last().await;
    let why = revoked["failed"].as_str().expect("nothing ends it");
    assert!(ok == false && why.contains("AWS ends no session before its time"), "{why}");
    assert_eq!(revoked["note"], json!(null));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_sessions_fill_the_policy_and_who_revokes_more_is_told_what_to_do() {
    let account = Account::open();
    let mut fields = opted_in(&account, "deploy", &json!({})).await;
    let server = configured(&account, fields.clone()).await;
    let all = sessions(&server, &account, 230).await;
    let prefix = json!({"sync": true});
    let answer = server.post("sys/leases/revoke-prefix/aws/creds/deploy", prefix).await.expect(200);
    let left = answer.body["warnings"][0].as_str().expect("some are left").to_owned();
    let mut living = Vec::new();
    for (lease, session) in &all {
        if works(session).await {
            living.push((lease, session));
        }
    }
    let denied = all.len() - living.len();
    assert!((190..230).contains(&denied), "{denied}");
    assert!(left.starts_with(&format!("{} leases", living.len())), "{left}");
    let (lease, session) = living[0];
    let revoke = json!({"lease_id": lease, "sync": true});
    let told = server.post("sys/leases/revoke", revoke.clone()).await.expect(200);
    let why = told.body["warnings"][0].as_str().expect("it is told").to_owned();
    assert!(why.contains("revocation_when_full=end_older_sessions"), "{why}");
    assert!(works(session).await, "and nothing was done in silence");

    fields["revocation_when_full"] = json!("end_older_sessions");
    let _ = server.post("aws/roles/deploy", fields).await.expect(204);
    let told = server.post("sys/leases/revoke", revoke).await.expect(200);
    let why = told.body["warnings"][0].as_str().expect("it is told").to_owned();
    assert!(why.contains("all that is as old is refused with it"), "{why}");
    for (_, session) in &living {
        assert!(!works(session).await);
    }
    account.judge(json!({"later": 5})).await;
    let newer = sessions(&server, &account, 1).await;
    assert!(works(&newer[0].1).await, "what is made later works");
}
