//! What a user can hold, and that all of it is removed, and nothing else.

use crate::place::{place, prepared, role, role_of_a_reader};
use aws_sdk_iam::error::ProvideErrorMetadata as _;
use leasehold_core::engine::{Engine as _, Mark};
use leasehold_integration_tests::engine_suite::{self as suite, Site as _, revocation};
use serde_json::json;

const POLICY: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:Get*","Resource":"*"}]}"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_that_a_role_says_is_given_with_the_mark_in_the_first_call() {
    let place = place();
    let iam = place.account.iam();
    let made = iam.create_policy().policy_name("get").policy_document(POLICY).send().await;
    let made = made.expect("a policy").policy.expect("it is told");
    let arn = made.arn().expect("it has one").to_owned();
    iam.create_group().group_name("readers").send().await.expect("a group");
    let mut fields = role_of_a_reader();
    let more = json!({
        "policy_arns": [arn], "iam_groups": ["readers"], "iam_tags": {"team": "shop"}, "user_path": "/apps/",
        "permissions_boundary_arn": arn,
    });
    fields
        .as_object_mut()
        .expect("it is an object")
        .extend(more.as_object().expect("so is this").clone());
    let (issue, login) = place.issue_by(&role(&fields)).await;
    login.expect("it is issued");
    let name = issue.handle.name();

    let user =
        iam.get_user().user_name(name).send().await.expect("it is there").user.expect("told");
    assert_eq!(user.path(), format!("/apps/leasehold/{}/", place.origin.target));
    let tag =
        |key| user.tags().iter().find(|tag| tag.key() == key).map(|tag| tag.value().to_owned());
    let mark = Mark { origin: place.origin, lease: issue.lease };
    assert_eq!((tag("team").as_deref(), tag("leasehold")), (Some("shop"), Some(mark.to_string())));
    let groups = iam.list_groups_for_user().user_name(name).send().await.expect("they are listed");
    assert_eq!(groups.groups()[0].group_name(), "readers");
    let attached = iam.list_attached_user_policies().user_name(name).send().await.expect("listed");
    assert_eq!(attached.attached_policies()[0].policy_arn(), Some(arn.as_str()));
    // A user without its mark, or with more than its boundary, is never there for an instant.
    let asked = place.account.asked().await;
    let of_user = asked.iter().filter(|(_, fields)| fields["UserName"] == name);
    let (of_user, fields): (Vec<_>, Vec<_>) =
        of_user.map(|(action, fields)| (action.as_str(), fields)).unzip();
    assert_eq!(of_user[0], "CreateUser");
    assert_eq!(fields[0]["PermissionsBoundary"], arn);
    assert!(!of_user.contains(&"TagUser") && !of_user.contains(&"PutUserPermissionsBoundary"));

    assert_eq!(place.engine.revoke(&[revocation(&issue)]).await, [Ok(())]);
    assert!(!place.credentials().await.contains(name));
    iam.get_group().group_name("readers").send().await.expect("the group is still there");
    iam.get_policy().policy_arn(&arn).send().await.expect("the policy is still there");
}

/// Whatever came to a user after it was lent, it is removed with it, however many there are on a page.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_that_a_user_can_hold_goes_with_it() {
    let place = place();
    place.account.judge(json!({"page": 1})).await;
    let (issue, login) = place.issue_by(&place.role).await;
    let (iam, name, login) = (place.account.iam(), issue.handle.name(), login.expect("issued"));
    iam.create_access_key().user_name(name).send().await.expect("a second key");
    iam.create_login_profile()
        .user_name(name)
        .password("a-Password-1")
        .send()
        .await
        .expect("a password");
    for at in 0..3 {
        let policy = iam.put_user_policy().user_name(name).policy_name(format!("more-{at}"));
        policy.policy_document(POLICY).send().await.expect("an inline policy");
        let policy = iam.create_policy().policy_name(format!("p-{at}")).policy_document(POLICY);
        let policy = policy.send().await.expect("a policy").policy.expect("it is told");
        let attach = iam.attach_user_policy().user_name(name).set_policy_arn(policy.arn);
        attach.send().await.expect("an attached policy");
        iam.create_group().group_name(format!("g-{at}")).send().await.expect("a group");
        let add = iam.add_user_to_group().user_name(name).group_name(format!("g-{at}"));
        add.send().await.expect("a group more");
    }
    let key = "ssh-rsa-AAAAB3NzaC1yc2EAAAADAQABAAABAQC7";
    let ssh = iam.upload_ssh_public_key().user_name(name).ssh_public_key_body(key);
    ssh.send().await.expect("an SSH key");
    let device = iam.create_virtual_mfa_device().virtual_mfa_device_name("phone").send().await;
    let device = device.expect("a device").virtual_mfa_device.expect("it is told");
    let enable = iam.enable_mfa_device().user_name(name).serial_number(device.serial_number());
    enable
        .authentication_code1("123456")
        .authentication_code2("234567")
        .send()
        .await
        .expect("it is enabled");
    let of_service = iam.create_service_specific_credential().user_name(name);
    of_service.service_name("codecommit.amazonaws.com").send().await.expect("of a service");
    let bystander = suite::issued(&*place, 1).await.remove(0);

    assert_eq!(place.engine.revoke(&[revocation(&issue)]).await, [Ok(())]);
    assert!(!place.credentials().await.contains(name));
    assert!(place.log_in(&login).await.is_err());
    let devices = iam.list_virtual_mfa_devices().send().await.expect("they are listed");
    assert!(devices.virtual_mfa_devices().is_empty(), "the device was nobody else's");
    place.log_in(&bystander.1).await.expect("nobody else lost anything");
    // Ways in go before rights, and the user last.
    let asked = place.account.asked().await;
    let at = |action: &str| {
        asked.iter().position(|(its, fields)| its == action && fields["UserName"] == name)
    };
    let order = [
        "DeleteAccessKey",
        "DeleteLoginProfile",
        "DeleteUserPolicy",
        "DetachUserPolicy",
        "DeleteUser",
    ];
    let order = order.map(|action| at(action).unwrap_or_else(|| panic!("{action} was not asked")));
    assert!(order.is_sorted(), "{order:?}");
}

/// Somebody else's user of the same name is left alone, whatever the lease says.
#[tokio::test]
async fn a_user_without_our_mark_is_left_alone() {
    let place = place();
    let never = suite::asked(&*place, 1).remove(0);
    place.plant(never.handle.name()).await;
    let answer = place.engine.revoke(&[revocation(&never)]).await.remove(0);
    let error = answer.expect_err("it is somebody else's");
    assert_eq!(error.reason().cause, leasehold_core::engine::Cause::NeedsOperator, "{error}");
    assert!(place.credentials().await.contains(never.handle.name()));
    assert!(place.engine.list().await.expect("it lists").is_empty(), "nor is it taken for ours");
}

#[tokio::test]
async fn an_administrator_who_may_not_is_told_what_to_allow() {
    let place = place();
    let (_, login) = place.issue_by(&place.role).await;
    let login = login.expect("it is issued");
    let key = json!({"access_key": login.username, "secret_key": login.password});
    let weak = place.open(place.origin, &key);
    let lacks = weak.lacks(None).await.expect("it is asked").join("; ");
    assert!(lacks.ends_with("allow it `iam:ListUsers`"), "{lacks}");
    let issue = prepared(&weak, &place.role, ("tester", "app"), suite::PATIENCE);
    let error = weak.issue(std::slice::from_ref(&issue)).await.remove(0).expect_err("it may not");
    assert!(matches!(error, leasehold_core::engine::EngineError::Refused(_)), "{error}");
    assert!(error.to_string().contains("iam:CreateUser"), "{error}");
    let missing = place.account.iam().get_user().user_name(issue.handle.name()).send().await;
    let missing = missing.expect_err("nothing was made");
    assert_eq!(missing.code(), Some("NoSuchEntity"));
}
