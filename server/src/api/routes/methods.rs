//! The route tables of methods: what is behind the path of a mount under `auth/`.

use super::{Route, Tail, at};
use crate::api::userpass;

/// Behind the path of a mount of the type `userpass`.
pub(super) const USERPASS: [Route; 5] = [
    at("login/", Tail::Rest, "Lets a user in who knows their `password`.")
        .login()
        .update(|call| Box::pin(userpass::login::update(call))),
    at("users", Tail::End, "Lists the users.").list(|call| Box::pin(userpass::users::list(call))),
    at("users/", Tail::NameBefore("/password"), "Changes the `password` of a user.")
        .update(|call| Box::pin(userpass::users::write_password(call))),
    at("users/", Tail::NameBefore("/policies"), "Changes the policies of a user.")
        .update(|call| Box::pin(userpass::users::write_policies(call))),
    at("users/", Tail::Name, "Writes, shows or deletes a user.")
        .read(|call| Box::pin(userpass::users::read(call)))
        .update(|call| Box::pin(userpass::users::write(call)))
        .delete(|call| Box::pin(userpass::users::delete(call))),
];
