//! Adapters of the port [`leasehold_core::store::Store`].

pub mod embedded;
pub mod meter;
