//! The engines that are built in: one module for each kind of target.

pub mod aws;
mod deadline;
mod fields;
mod hidden;
pub mod mysql;
mod percent;
pub mod postgres;
pub mod redis;
mod skew;
