//! `auth/<mount>/` of the type `userpass`: users, and their logins.

pub(super) mod login;
pub(super) mod users;
