//! `<mount>/` of the type `database`: targets, roles, and credentials.

pub(super) mod config;
pub(super) mod creds;
pub(super) mod reset;
pub(super) mod roles;
