//! What users are in use for: their keys, and when one was last used.

use crate::place::{Place, config, place};
use leasehold_core::engine::in_use::{InUse, Owned};
use leasehold_core::engine::{Cause, Engine as _, Issue};
use leasehold_engines::aws::{Aws, Handle};
use leasehold_integration_tests::engine_suite::in_use::looked_at;
use leasehold_integration_tests::engine_suite::{self as suite, PATIENCE, Site as _, now};
use serde_json::json;

async fn seen(place: &Place, issue: &Issue<Aws>) -> InUse {
    looked_at(place, &[issue]).await.remove(0).expect("it is told")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_are_named_with_the_time_that_one_was_last_used() {
    let place = place();
    let (issue, login) = place.issue_by(&place.role).await;
    let (login, began) = (login.expect("it is issued"), now());
    let name = issue.handle.name();
    place.account.iam().create_access_key().user_name(name).send().await.expect("a second key");
    let mut client = place.log_in(&login).await.expect("the key is good");
    assert!(place.works(&mut client).await);
    let in_use = seen(&place, &issue).await;
    assert_eq!((in_use.is_there, in_use.sessions, &in_use.unseen), (Some(true), None, &vec![]));
    let owned = in_use.owned.expect("it is told");
    let [Owned { kind, count: 2, names, .. }] = owned.as_slice() else { panic!("{owned:?}") };
    assert_eq!(kind, "access key");
    assert!(names.len() == 2 && names.contains(&login.username), "{names:?}");
    let used = in_use.last_used_at.expect("it was used");
    assert!(used.plus(PATIENCE) > began && used < now().plus(PATIENCE), "{used:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_administrator_who_may_not_ask_when_keys_were_used_is_told_so() {
    let place = place();
    let (issue, login) = place.issue_by(&place.role).await;
    login.expect("it is issued");
    let iam = place.account.iam();
    iam.create_user().user_name("narrow").send().await.expect("a user");
    let statement = json!({"Effect": "Allow", "Action": "iam:ListAccessKeys", "Resource": "*"});
    let document = json!({"Version": "2012-10-17", "Statement": [statement]}).to_string();
    let may = iam.put_user_policy().user_name("narrow").policy_name("p").policy_document(document);
    may.send().await.expect("a policy");
    let key = iam.create_access_key().user_name("narrow").send().await.expect("a key");
    let key = key.access_key.expect("it is told");
    let mut fields = place.account.config();
    fields["access_key"] = json!(key.access_key_id());
    fields["secret_key"] = json!(key.secret_access_key());
    let engine = Aws::open(config(&fields), place.origin, suite::clock()).expect("it opens");
    let asked = [(issue.lease, issue.handle.clone())];
    let told = engine.in_use(&asked, now().plus(PATIENCE)).await.remove(0).expect("it is told");
    assert_eq!((told.is_there, told.last_used_at), (Some(true), None));
    let [why] = told.unseen.as_slice() else { panic!("{told:?}") };
    assert!(why.contains("iam:GetAccessKeyLastUsed"), "{why}");
}

/// Nobody can tell of a session whether anybody uses it.
#[tokio::test]
async fn of_a_session_nothing_is_told_and_aws_is_not_asked() {
    let place = place();
    let lease = suite::lease();
    let before = place.account.asked().await.len();
    let session = Handle::SessionToken { name: format!("vault-{lease}") };
    let told = place.engine.in_use(&[(lease, session)], now().plus(PATIENCE)).await;
    assert_eq!(told, [Ok(InUse::default())]);
    let stranger = Handle::IamUser { name: "somebody".to_owned() };
    let told = place.engine.in_use(&[(lease, stranger)], now().plus(PATIENCE)).await.remove(0);
    assert_eq!(told.expect_err("it is not ours").reason().cause, Cause::NeedsOperator);
    assert_eq!(place.account.asked().await.len(), before);
}
