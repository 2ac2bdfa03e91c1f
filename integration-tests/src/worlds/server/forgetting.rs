//! A server that restarts, and may forget what it does not keep, until that is put back.

use super::{Account, Name, Server};
use crate::worlds::flaws;
use leasehold_core::engine::Mark;
use leasehold_core::ids::LeaseId;
use leasehold_core::time::Timestamp;
use std::sync::Arc;
use std::time::Duration;

/// From one start of a server to its next.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Run {
    number: u32,
    began_at: Timestamp,
}

impl Server {
    /// Restarts; forgets what it does not keep, if that is in its nature. Strangers make anew what they had.
    pub fn restart(&self) {
        let (setting, now) = (&self.setting, self.setting.now());
        setting.note(None, || format!("server {} restarts", self.number));
        // Somebody had what was there written to its files, or nobody has.
        let kept = if setting.dice.happens(250) { 500 } else { 0 };
        let mut state = self.state.lock();
        state.run = Run { number: state.run.number + 1, began_at: now };
        state.accounts.restart();
        let forgets = self.nature.forgets;
        let lost = forgets.then(|| state.accounts.forget(|| setting.dice.happens(kept)));
        drop(state);
        setting.disturb(Duration::ZERO);
        setting.counters.targets_restarted.one();
        let Some(lost) = lost else { return };
        for id in &lost {
            self.judge.is_forgotten(self, *id);
            setting.counters.lost_at_target.one();
        }
        let (judge, machine) = (Arc::clone(&self.judge), Arc::clone(setting));
        if setting.fair && !lost.is_empty() {
            setting.executor.spawn_world(async move {
                machine.executor.sleep(judge.puts_back_within()).await;
                judge.are_back(&lost, now);
            });
        }
    }

    /// Which run of it this is, where whoever asks has to know; another after each restart.
    pub fn run(&self) -> Option<String> {
        let run = flaws::run(&self.setting, self.state.lock().run.number);
        self.nature.forgets.then(|| run.to_string())
    }

    /// Whether it may have forgotten the credential of a lease in a restart.
    pub fn may_have_forgotten(&self, id: LeaseId) -> bool {
        self.nature.forgets && id.made_at() < self.state.lock().run.began_at
    }

    /// A process is about to put a credential back, which may be set until then.
    pub fn is_to_be_put_back(&self, id: LeaseId, issue_by: Timestamp) {
        self.judge.is_to_be_put_back(id, issue_by);
    }

    /// Sets a credential again, if its name is free. It takes over nothing that exists.
    pub fn set_again(&self, mark: Mark, verifier: &str) {
        let id = mark.lease;
        let account = Account {
            mark: Some(mark),
            verifier: verifier.to_owned(),
            ends_at: Timestamp(u64::MAX),
            is_locked: false,
            sessions: 0,
        };
        let is_set = self.state.lock().accounts.create(account, id);
        if is_set {
            self.judge.was_put_back(self, id, verifier);
        }
    }

    /// Whether the name of a lease is free for its credential.
    pub fn is_free(&self, id: LeaseId) -> bool {
        self.look(Name::Lease(id)).is_none()
    }
}
