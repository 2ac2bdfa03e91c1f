//! What Leasehold decides, and nothing of how it reaches the world.
//!
//! A lease moves one way only:
//!
//! ```text
//!  Held ──renew──▶ Held ──attempt──▶ Revoking ──settle──▶ (gone; a history record stays for `whois`)
//!    └───────────── attempt ────────────▲   └─attempt─▶ Revoking
//! ```
//!
//! The laws, each with a test that breaks when it does:
//!
//! 1. **No orphan.** The lease is durable before the target is asked, and names the credential.
//! 2. **No forgetting.** A failed revocation is retried for as long as it takes.
//! 3. **No secret at rest.** A leased secret is shown to one caller, and kept nowhere.
//! 4. **No life past the ceiling.** Nothing moves `lapses_at` beyond `ceiling`, and no lease outlives its token.
//! 5. **Dead means dead.** A revocation ends the open sessions too.
//! 6. **A late effect cannot win.** A revocation counts only once the issue can no longer land.
//! 7. **One slow target slows itself.** Nothing is locked while a target is being asked.
//! 8. **No audit, no service.** What cannot be recorded is not done.
//! 9. **Only ours.** Every handle carries bits of its own lease, and nothing else is touched.
//!
//! **Invariant:** this crate does no I/O, reads no clock, and draws no chance. They come in through
//! [`store`], [`engine`], [`audit`], [`time`], [`chance`] and [`tasks`].

pub mod access;
pub mod address;
pub mod audit;
pub mod backup;
pub mod broker;
pub mod chance;
pub mod denial;
pub mod duration;
pub mod engine;
pub mod ids;
pub mod lease;
pub mod limits;
pub mod metrics;
pub mod mount;
pub mod pace;
pub mod quota;
pub mod restore;
pub mod schedule;
pub mod seal;
pub mod secret;
pub mod store;
pub mod tasks;
pub mod time;
