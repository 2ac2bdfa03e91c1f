//! What the tests of the whole are made of: a simulated world, real servers, and suites that any adapter must pass.

#![expect(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "test support: whatever is not as expected fails the test at once"
)]

pub mod world;
pub mod worlds;

pub mod store_suite;

pub mod aws;
pub mod crash;
pub mod engine_suite;
pub mod mariadb;
pub mod outage;
pub mod postgres;
mod process;
pub mod redis;
pub mod server;
