//! How work is carried on beside the caller, and how it waits.

use crate::time::Timestamp;
use std::fmt;
use std::future::Future;
use std::pin::Pin;

/// A future whose type has been erased.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Starts and delays work.
pub trait Tasks: fmt::Debug + Send + Sync {
    /// Carries `work` on until it ends, whether or not anybody waits for it.
    fn spawn(&self, work: Pending<'static, ()>);

    /// Carries on work that computes for long (over 0.1 ms) and never waits, where it keeps nobody
    /// else from running.
    fn compute(&self, work: Box<dyn FnOnce() + Send>);

    /// Waits until [`crate::time::Clock::now`] is at or past `at`.
    fn sleep_until(&self, at: Timestamp) -> Pending<'static, ()>;
}
