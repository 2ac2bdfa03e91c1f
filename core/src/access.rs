//! Who may do what: tokens, policies, logins, who is behind them, and the secrets they rest on.

pub mod cubbyhole;
pub mod hash_queue;
pub mod identity;
pub mod lockout;
pub mod login;
pub mod params;
pub mod password;
pub mod password_hash;
pub mod password_text;
pub mod policy;
pub mod throttle;
pub mod token;
