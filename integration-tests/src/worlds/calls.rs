//! What each process asks of its ports at the moment, so that it is known where it died.

use super::executor::Whose;
use super::setting::Setting;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a process can ask of the world and has to wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Call {
    /// Something is read from the store.
    Read,
    /// A batch is committed.
    Commit,
    /// A line is recorded.
    Record,
    /// A server is asked to create.
    Issue,
    /// A server is asked to extend.
    Renew,
    /// A server is asked to remove.
    Revoke,
    /// A server is asked what it has, or who it is.
    Look,
}

/// All calls that are not answered.
#[derive(Debug, Default)]
pub struct Calls(Mutex<BTreeMap<(Whose, Call), u32>>);

/// One of them; it is over when this is dropped.
#[derive(Debug)]
pub struct Calling {
    setting: Arc<Setting>,
    of: (Whose, Call),
}

impl Calling {
    /// The process that runs now makes a call.
    pub fn begin(setting: &Arc<Setting>, call: Call) -> Self {
        let of = (setting.executor.running(), call);
        *setting.calls.0.lock().entry(of).or_default() += 1;
        Self { setting: Arc::clone(setting), of }
    }
}

impl Drop for Calling {
    fn drop(&mut self) {
        let mut calls = self.setting.calls.0.lock();
        if let Some(count) = calls.get_mut(&self.of) {
            *count -= 1;
            if *count == 0 {
                calls.remove(&self.of);
            }
        }
    }
}

impl Setting {
    /// Counts where a process dies: at each call that it waits for, or between all of them.
    pub fn count_death(&self, whose: Whose) {
        let calls = self.calls.0.lock();
        let mut is_between = true;
        for ((_, call), _) in calls.iter().filter(|((of, _), _)| *of == whose) {
            is_between = false;
            match call {
                Call::Read => self.counters.deaths_in_a_read.one(),
                Call::Commit => self.counters.deaths_in_a_commit.one(),
                Call::Record => self.counters.deaths_in_a_record.one(),
                Call::Issue => self.counters.deaths_in_an_issue.one(),
                Call::Renew => self.counters.deaths_in_a_renewal.one(),
                Call::Revoke => self.counters.deaths_in_a_revocation.one(),
                Call::Look => self.counters.deaths_in_a_look.one(),
            }
        }
        if is_between {
            self.counters.deaths_between.one();
        }
    }
}
