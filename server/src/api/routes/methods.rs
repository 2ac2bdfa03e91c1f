//! The route tables of methods: what is behind the path of a mount under `auth/`.

use super::{Route, Tail, at};
use crate::api::{approle, userpass};

/// Behind the path of a mount of the type `userpass`.
pub(super) const USERPASS: [Route; 5] = [
    at("login/", Tail::Rest, "Lets a user in who knows their `password`.")
        .names_plainly()
        .login()
        .update(|call| Box::pin(userpass::login::update(call))),
    at("users", Tail::End, "Lists the users.").list(|call| Box::pin(userpass::users::list(call))),
    at("users/", Tail::NameBefore("/password"), "Changes the `password` of a user.")
        .names_plainly()
        .update(|call| Box::pin(userpass::users::write_password(call))),
    at("users/", Tail::NameBefore("/policies"), "Changes the policies of a user.")
        .names_plainly()
        .update(|call| Box::pin(userpass::users::write_policies(call))),
    at("users/", Tail::Name, "Writes, shows or deletes a user.")
        .names_plainly()
        .read(|call| Box::pin(userpass::users::read(call)))
        .update(|call| Box::pin(userpass::users::write(call)))
        .delete(|call| Box::pin(userpass::users::delete(call))),
];

/// One field of a role, by its path.
const fn field(path: &'static str) -> Route {
    at("role/", Tail::NameBefore(path), "Changes, shows or resets one field of a role.")
        .names_plainly()
        .read(|call| Box::pin(approle::role_fields::read(call)))
        .update(|call| Box::pin(approle::role_fields::write(call)))
        .delete(|call| Box::pin(approle::role_fields::delete(call)))
}

/// Behind the path of a mount of the type `approle`.
pub(super) const APPROLE: [Route; 23] = [
    at("login", Tail::End, "Lets an application in by its `role_id` and `secret_id`.")
        .login()
        .update(|call| Box::pin(approle::login::update(call))),
    at("role", Tail::End, "Lists the roles.").list(|call| Box::pin(approle::roles::list(call))),
    at("role/", Tail::Name, "Writes, shows or deletes a role.")
        .names_plainly()
        .read(|call| Box::pin(approle::roles::read(call)))
        .update(|call| Box::pin(approle::roles::write(call)))
        .delete(|call| Box::pin(approle::roles::delete(call))),
    at("role/", Tail::NameBefore("/role-id"), "Shows or changes what applications call a role.")
        .names_plainly()
        .read(|call| Box::pin(approle::roles::read_id(call)))
        .update(|call| Box::pin(approle::roles::write_id(call))),
    at(
        "role/",
        Tail::NameBefore("/secret-id"),
        "Makes a secret id, or lists the accessors of those there are.",
    )
    .names_plainly()
    .list(|call| Box::pin(approle::secret_ids::list(call)))
    .update(|call| Box::pin(approle::secret_ids::make(call))),
    at("role/", Tail::NameBefore("/custom-secret-id"), "Makes a secret id of a given text.")
        .names_plainly()
        .update(|call| Box::pin(approle::secret_ids::make_chosen(call))),
    at("role/", Tail::NameBefore("/secret-id/lookup"), "Shows what is known of a secret id.")
        .names_plainly()
        .update(|call| Box::pin(approle::secret_ids::lookup(call))),
    at("role/", Tail::NameBefore("/secret-id/destroy"), "Destroys a secret id.")
        .names_plainly()
        .update(|call| Box::pin(approle::secret_ids::destroy(call)))
        .delete(|call| Box::pin(approle::secret_ids::destroy(call))),
    at(
        "role/",
        Tail::NameBefore("/secret-id-accessor/lookup"),
        "Shows what is known of the secret id with an accessor.",
    )
    .names_plainly()
    .update(|call| Box::pin(approle::secret_ids::lookup_accessor(call))),
    at(
        "role/",
        Tail::NameBefore("/secret-id-accessor/destroy"),
        "Destroys the secret id with an accessor.",
    )
    .names_plainly()
    .update(|call| Box::pin(approle::secret_ids::destroy_accessor(call)))
    .delete(|call| Box::pin(approle::secret_ids::destroy_accessor(call))),
    at("tidy/secret-id", Tail::End, "Removes at once what is removed by itself now and then.")
        .update(|call| Box::pin(approle::secret_ids::tidy(call))),
    field("/policies"),
    field("/bound-cidr-list"),
    field("/secret-id-bound-cidrs"),
    field("/token-bound-cidrs"),
    field("/bind-secret-id"),
    field("/secret-id-num-uses"),
    field("/secret-id-ttl"),
    field("/period"),
    field("/token-num-uses"),
    field("/token-ttl"),
    field("/token-max-ttl"),
    at("role/", Tail::NameBefore("/local-secret-ids"), "Shows one field of a role.")
        .names_plainly()
        .read(|call| Box::pin(approle::role_fields::read(call))),
];
