//! What users may do, as a comparison sees it: what somebody else gave them or took from them.

use crate::place::{Place, place, role_of_a_reader};
use leasehold_core::engine::{Engine as _, Issue};
use leasehold_engines::aws::Aws;
use leasehold_integration_tests::aws::Account;
use leasehold_integration_tests::engine_suite as suite;
use leasehold_integration_tests::server::Server;
use serde_json::json;
use std::collections::BTreeMap;
use std::time::Duration;

const POLICY: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:Get*","Resource":"*"}]}"#;

/// Returns what is told of the rights of each user by name.
async fn rights(engine: &Aws) -> BTreeMap<String, Vec<String>> {
    let listed = engine.list().await.expect("it lists");
    listed.into_iter().map(|one| (one.handle.name().to_owned(), one.rights)).collect()
}

async fn issued(place: &Place, users: usize) -> Vec<Issue<Aws>> {
    suite::issued(place, users).await.into_iter().map(|(issue, _)| issue).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_somebody_else_gave_a_user_or_took_from_it_is_told() {
    let place = place();
    place.account.judge(json!({"page": 2})).await;
    let users = issued(&place, 5).await;
    let before = rights(&place.engine).await;
    assert_eq!(before.len(), users.len(), "however many pages it takes");
    let usual = before[users[0].handle.name()].clone();
    assert_eq!(usual.len(), 1);
    assert!(usual[0].starts_with("policy `leasehold` of its own: {"), "{usual:?}");
    assert!(before.values().all(|rights| *rights == usual), "made alike, they tell the same");

    let iam = place.account.iam();
    let [attached, written, joined, stripped] = [0, 1, 2, 3].map(|at| users[at].handle.name());
    let made = iam.create_policy().policy_name("get").policy_document(POLICY).send().await;
    let arn = made.expect("a policy").policy.expect("it is told").arn.expect("it has one");
    let attach = iam.attach_user_policy().user_name(attached).policy_arn(&arn);
    attach.send().await.expect("a policy more");
    let put = iam.put_user_policy().user_name(written).policy_name("more").policy_document(POLICY);
    put.send().await.expect("a policy of its own more");
    iam.create_group().group_name("admins").send().await.expect("a group");
    let add = iam.add_user_to_group().user_name(joined).group_name("admins");
    add.send().await.expect("a group more");
    let delete = iam.delete_user_policy().user_name(stripped).policy_name("leasehold");
    delete.send().await.expect("a policy less");

    let after = rights(&place.engine).await;
    let and = |more: String| [vec![more], usual.clone()].concat();
    assert_eq!(after[joined], and("group `admins`".to_owned()));
    assert_eq!(after[attached], and(format!("policy `{arn}`")));
    assert!(after[written][1].starts_with("policy `more` of its own: {"), "{:?}", after[written]);
    assert_eq!((after[written].len(), after[stripped].len()), (2, 0));
    assert_eq!(after[users[4].handle.name()], usual);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_administrator_who_may_not_look_at_rights_lists_users_without_them() {
    let place = place();
    let users = issued(&place, 3).await;
    let iam = place.account.iam();
    let may = ["iam:ListUsers", "iam:GetUser", "iam:ListAccessKeys"];
    let statement = json!({"Effect": "Allow", "Action": may, "Resource": "*"});
    let document = json!({"Version": "2012-10-17", "Statement": [statement]}).to_string();
    iam.create_user().user_name("lister").send().await.expect("a user");
    let put = iam.put_user_policy().user_name("lister").policy_name("may");
    put.policy_document(document).send().await.expect("a policy");
    let made = iam.create_access_key().user_name("lister").send().await.expect("a key");
    let key = made.access_key.expect("it is told");
    let key = json!({"access_key": key.access_key_id, "secret_key": key.secret_access_key});
    let lister = place.open(place.origin, &key);
    let told = rights(&lister).await;
    let expected = users.iter().map(|one| (one.handle.name().to_owned(), Vec::new()));
    assert_eq!(told, expected.collect());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_that_was_given_more_than_the_others_of_its_role_is_shown_as_altered() {
    let account = Account::open();
    let server = Server::dev();
    let _ = server.post("sys/mounts/aws", json!({"type": "aws"})).await.expect(204);
    let _ = server.post("aws/config/root", account.config()).await.expect(204);
    let _ = server.post("aws/roles/app", role_of_a_reader()).await.expect(204);
    let mut names = Vec::new();
    for _ in 0..4 {
        let lent = server.get("aws/creds/app").await.expect(200);
        let (id, secret) = (lent.at("/data/access_key"), lent.at("/data/secret_key"));
        names.push(account.who_is(id, secret).await.expect("the key is good"));
    }
    let iam = account.iam();
    iam.create_group().group_name("admins").send().await.expect("a group");
    let add = iam.add_user_to_group().user_name(&names[2]).group_name("admins");
    add.send().await.expect("it is in the group");

    // What was issued just now may be on its way, and is not held against anybody yet.
    let found = async {
        loop {
            let told = server.post("sys/reconcile/aws/root", json!({})).await.expect(200);
            if told.data()["altered"] == 1 {
                return told;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let told = tokio::time::timeout(suite::PATIENCE, found).await.expect("it is found");
    let altered = &told.data()["differences"][0];
    assert_eq!(
        (&altered["username"], &altered["why"]),
        (&json!(names[2]), &json!(["+ group `admins`"]))
    );
}
