//! Engines in other processes.
//!
//! A plugin answers the same verbs as an engine that is built in: [`port`] is what its author writes, and one
//! conformance suite holds for both. The host that starts such processes and speaks with them comes here.

pub use leasehold_core::engine as port;
