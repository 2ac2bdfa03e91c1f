//! The route tables behind the mounts of engines.

use super::{Route, Tail, at};
use crate::api::{aws, database};

/// Behind the path of a mount of the type `database`.
pub(super) const DATABASE: [Route; 11] = [
    at("creds/", Tail::Name, "Lends a credential of a role.")
        .lends()
        .read(|call| Box::pin(database::creds::read(call))),
    at("config", Tail::End, "Lists the targets.")
        .list(|call| Box::pin(database::config::list(call))),
    at("config/", Tail::Name, "Writes, shows or deletes a target.")
        .read(|call| Box::pin(database::config::read(call)))
        .update(|call| Box::pin(database::config::write(call)))
        .delete(|call| Box::pin(database::config::delete(call))),
    at(
        "reset/",
        Tail::Name,
        "Closes the connections to a target; they are opened anew when needed.",
    )
    .update(|call| Box::pin(database::reset::update(call))),
    at("roles", Tail::End, "Lists the roles.").list(|call| Box::pin(database::roles::list(call))),
    at("roles/", Tail::Name, "Writes, shows or deletes a role.")
        .read(|call| Box::pin(database::roles::read(call)))
        .update(|call| Box::pin(database::roles::write(call)))
        .delete(|call| Box::pin(database::roles::delete(call))),
    at("static-creds/", Tail::Name, "Tells the secret of a static role.")
        .read(|call| Box::pin(database::static_creds::read(call))),
    at("static-roles", Tail::End, "Lists the static roles.")
        .list(|call| Box::pin(database::static_roles::list(call))),
    at("static-roles/", Tail::Name, "Writes, shows or deletes a static role.")
        .read(|call| Box::pin(database::static_roles::read(call)))
        .update(|call| Box::pin(database::static_roles::write(call)))
        .delete(|call| Box::pin(database::static_roles::delete(call))),
    at("rotate-role/", Tail::Name, "Rotates the account of a static role now.")
        .update(|call| Box::pin(database::static_roles::rotate(call))),
    at(
        "rotate-root/",
        Tail::Name,
        "Gives the administrator of a target a new password, which nobody is told.",
    )
    .update(|call| Box::pin(database::rotate_root::update(call))),
];

/// Behind the path of a mount of the type `aws`.
pub(super) const AWS: [Route; 11] = [
    at("creds/", Tail::Name, "Lends a credential of a role.")
        .lends()
        .read(|call| Box::pin(aws::creds::read(call)))
        .update(|call| Box::pin(aws::creds::read(call))),
    at("config/root", Tail::End, "Writes or shows the account and its administrator.")
        .read(|call| Box::pin(aws::root::read(call)))
        .update(|call| Box::pin(aws::root::write(call))),
    at("config/lease", Tail::End, "Writes or shows how long leases live.")
        .read(|call| Box::pin(aws::lease::read(call)))
        .update(|call| Box::pin(aws::lease::write(call))),
    at("roles", Tail::End, "Lists the roles.").list(|call| Box::pin(aws::roles::list(call))),
    at("roles/", Tail::Name, "Writes, shows or deletes a role.")
        .read(|call| Box::pin(aws::roles::read(call)))
        .update(|call| Box::pin(aws::roles::write(call)))
        .delete(|call| Box::pin(aws::roles::delete(call))),
    at("sts/", Tail::Name, "Lends a credential of a role, as `creds` does.")
        .lends()
        .read(|call| Box::pin(aws::creds::read(call)))
        .update(|call| Box::pin(aws::creds::read(call))),
    at("config/rotate-root", Tail::End, "Gives the administrator another key; tells its id.")
        .update(|call| Box::pin(aws::rotate_root::update(call))),
    at("static-creds/", Tail::Name, "Tells the key of a static role.")
        .read(|call| Box::pin(database::static_creds::read(call))),
    at("static-roles", Tail::End, "Lists the static roles.")
        .list(|call| Box::pin(database::static_roles::list(call))),
    at("static-roles/", Tail::Name, "Writes, shows or deletes a static role.")
        .read(|call| Box::pin(aws::static_roles::read(call)))
        .update(|call| Box::pin(aws::static_roles::write(call)))
        .delete(|call| Box::pin(database::static_roles::delete(call))),
    at("rotate-role/", Tail::Name, "Rotates the key of a static role now.")
        .update(|call| Box::pin(database::static_roles::rotate(call))),
];
