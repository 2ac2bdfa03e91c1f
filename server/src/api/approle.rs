//! `auth/<mount>/` of the type `approle`: roles, their secret ids, and logins.

pub(super) mod login;
pub(super) mod role_fields;
pub(super) mod roles;
pub(super) mod secret_ids;
