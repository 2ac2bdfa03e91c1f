//! Adapters of the port [`leasehold_core::audit::Audit`].

pub mod file;
