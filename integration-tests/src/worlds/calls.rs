//! What each process asks of its ports at the moment, so that it can die there, and is known to have.

use super::executor::Whose;
use super::node::Node;
use super::setting::Setting;
use futures_channel::mpsc::{self, UnboundedSender};
use futures_util::StreamExt;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// How long after a question its process dies at the latest, unless it does so at once: about as long as answers take.
const DIES_WITHIN: Duration = Duration::from_millis(4);
/// How long nothing runs in its place at the longest.
const DOWN_MAX: Duration = Duration::from_mins(1);

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
    /// A server is asked to set a password.
    Rotate,
    /// A server is asked to set again what it has forgotten.
    PutBack,
    /// A server is asked what it has, or who it is.
    Look,
}

impl Call {
    /// In how many of a thousand the process dies: the rarer a call, the more of them, so that deaths in each are
    /// common. What is only read is met often enough by deaths at any time.
    fn deadly_per_mille(self) -> u32 {
        match self {
            Self::Read | Self::Look => 0,
            Self::Commit | Self::Record => 4,
            Self::Issue => 20,
            Self::Renew | Self::Rotate | Self::PutBack => 60,
            Self::Revoke => 10,
        }
    }
}

/// All calls that are not answered.
#[derive(Debug, Default)]
pub struct Calls {
    open: Mutex<BTreeMap<(Whose, Call), u32>>,
    /// Is told in which its process is to die, in a world where processes do.
    deadly: OnceLock<UnboundedSender<(Whose, Call)>>,
}

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
        *setting.calls.open.lock().entry(of).or_default() += 1;
        if let Some(deadly) = setting.calls.deadly.get()
            && setting.fails(call.deadly_per_mille())
        {
            let _ = deadly.unbounded_send(of);
        }
        Self { setting: Arc::clone(setting), of }
    }
}

impl Drop for Calling {
    fn drop(&mut self) {
        let mut calls = self.setting.calls.open.lock();
        if let Some(count) = calls.get_mut(&self.of) {
            *count -= 1;
            if *count == 0 {
                calls.remove(&self.of);
            }
        }
    }
}

/// Kills processes while they wait for an answer, each time another is drawn, and starts the next in their place.
pub async fn kill_inside(setting: Arc<Setting>, nodes: Vec<Arc<Node>>) {
    let (tell, mut told) = mpsc::unbounded();
    let _ = setting.calls.deadly.set(tell);
    while let Some(of) = told.next().await {
        // At once, so that even the quickest answer finds nobody, or when what was asked may have been done.
        if setting.dice.happens(500) {
            setting.executor.sleep(setting.dice.span(Duration::ZERO, DIES_WITHIN)).await;
        }
        let is_open = setting.calls.open.lock().contains_key(&of);
        let Some(node) = nodes.iter().find(|node| is_open && node.whose() == of.0) else {
            continue;
        };
        node.die();
        setting.executor.sleep(setting.dice.span(Duration::ZERO, DOWN_MAX)).await;
        node.start();
    }
}

impl Setting {
    /// Counts where a process dies: at each call that it waits for, or between all of them.
    pub fn count_death(&self, whose: Whose) {
        let calls = self.calls.open.lock();
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
                Call::Rotate => self.counters.deaths_in_a_rotation.one(),
                Call::PutBack => self.counters.deaths_in_a_put_back.one(),
                Call::Look => self.counters.deaths_in_a_look.one(),
            }
        }
        if is_between {
            self.counters.deaths_between.one();
        }
    }
}
