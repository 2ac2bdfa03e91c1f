//! Where names are the same in any case.
//!
//! The broker knows users, roles of methods, policies, entities and groups by name, headers and locked names in lower
//! case, however they are written. So whoever writes a rule for one means it in any case as well: a `deny` that
//! speaks of `Root-Admin` is no less a `deny` for it. Everywhere else two ways of writing are two things.

use std::borrow::Cow;

/// What the paths of such names begin with. The tables of routes are compared with it by a test.
const PLACES: [&str; 7] = [
    "auth/",
    "identity/entity/name/",
    "identity/group/name/",
    "sys/config/auditing/request-headers/",
    "sys/locked-users/",
    "sys/policies/acl/",
    "sys/policy/",
];

/// What is not among them, though it begins like one: roles of tokens.
const NOT: &str = "auth/token/";

/// Whether what a path names is the same in any case.
#[must_use]
pub fn is_caseless(path: &str) -> bool {
    !path.starts_with(NOT) && PLACES.iter().any(|place| path.starts_with(place))
}

/// Returns a path as it is compared there.
pub(super) fn folded(path: &str) -> Cow<'_, str> {
    let is_plain = path.bytes().all(|byte| byte.is_ascii() && !byte.is_ascii_uppercase());
    if is_plain { Cow::Borrowed(path) } else { Cow::Owned(path.to_lowercase()) }
}
