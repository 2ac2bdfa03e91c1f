//! `<mount>/` of the type `database`: targets, roles, and credentials.

pub(super) mod config;
pub(super) mod creds;
pub(super) mod reset;
pub(super) mod roles;
pub(super) mod rotate_root;
pub(super) mod static_creds;
pub(super) mod static_roles;
