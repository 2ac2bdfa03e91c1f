//! Who may do what: tokens, policies, and the secrets they rest on.

pub mod password;
pub mod policy;
pub mod token;
