//! `<mount>/` of the type `aws`: its one target, roles, and credentials.

pub(super) mod creds;
pub(super) mod lease;
pub(super) mod roles;
pub(super) mod root;
pub(super) mod rotate_root;
pub(super) mod static_roles;

/// What the one target of a mount is called: `config/root` writes it, and all roles are for it.
const ROOT: &str = "root";
