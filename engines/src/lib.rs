//! The engines that are built in: one module for each kind of target.

mod fields;
mod hidden;
pub mod postgres;
