//! What a user may do, as AWS tells it of all users of an account at once.

use super::policies;
use aws_sdk_iam::types::UserDetail;

/// Returns a text for each right: policies that AWS keeps, policies written into the user, groups, and its boundary. What
/// these groups and policies come to is not looked at: they are not the user's alone.
pub(super) fn of(user: &UserDetail) -> Vec<String> {
    let attached = user.attached_managed_policies().iter();
    let attached = attached.filter_map(|one| Some(format!("policy `{}`", one.policy_arn()?)));
    let written = user.user_policy_list().iter().map(|one| {
        let (name, document) = (one.policy_name(), one.policy_document());
        let document = policies::decoded(document.unwrap_or_default());
        format!("policy `{}` of its own: {document}", name.unwrap_or_default())
    });
    let groups = user.group_list().iter().map(|group| format!("group `{group}`"));
    let boundary = user.permissions_boundary().and_then(|one| one.permissions_boundary_arn());
    let boundary = boundary.map(|arn| format!("boundary `{arn}`"));
    let mut rights: Vec<_> = attached.chain(written).chain(groups).chain(boundary).collect();
    rights.sort();
    rights
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_iam::types::{AttachedPermissionsBoundary, AttachedPolicy, PolicyDetail};

    #[test]
    fn each_right_is_told_once_and_in_order() {
        let attached = AttachedPolicy::builder().policy_arn("arn:aws:iam::aws:policy/Reads");
        let written = PolicyDetail::builder().policy_name("leasehold").policy_document("%7B%7D");
        let boundary = AttachedPermissionsBoundary::builder()
            .permissions_boundary_arn("arn:aws:iam::1:policy/Bound");
        let user = UserDetail::builder()
            .group_list("writers")
            .group_list("readers")
            .attached_managed_policies(attached.build())
            .user_policy_list(written.build())
            .permissions_boundary(boundary.build());
        assert_eq!(
            of(&user.build()),
            [
                "boundary `arn:aws:iam::1:policy/Bound`",
                "group `readers`",
                "group `writers`",
                "policy `arn:aws:iam::aws:policy/Reads`",
                "policy `leasehold` of its own: {}",
            ]
        );
        assert_eq!(of(&UserDetail::builder().build()), Vec::<String>::new());
    }
}
