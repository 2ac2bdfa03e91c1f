//! Runs the real binary against a server that answers as it was told, and checks both ends: what
//! was sent, and what the user got to see.

#![expect(clippy::expect_used, reason = "this crate is a test; what surprises it should end it")]

mod auth;
mod failures;
mod flags;
mod forms;
mod jobs;
mod leases;
mod logins;
mod operators;
mod plans;
mod policies;
mod reconcile;
mod shell;
mod support;
mod tls;
mod tokens;
mod values;
