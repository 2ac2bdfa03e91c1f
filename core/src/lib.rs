//! What Leasehold decides, and nothing of how it reaches the world.
pub mod chance;
pub mod engine;
pub mod ids;
pub mod secret;
pub mod store;
pub mod tasks;
pub mod time;
