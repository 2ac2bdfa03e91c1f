//! The engines that are built in: one module for each kind of target.

pub mod postgres;
