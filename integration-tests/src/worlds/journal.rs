//! The audit device of a world, which may refuse, hang, or record and not say so.

use super::calls::{Call, Calling};
use super::flaws;
use super::judge::CANARY;
use super::setting::Setting;
use futures_channel::oneshot;
use leasehold_core::audit::{Audit, AuditError};
use leasehold_core::ids::LeaseId;
use leasehold_core::tasks::Pending;
use parking_lot::Mutex;
use serde::Deserialize;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

/// What was recorded, whoever wrote it.
#[derive(Debug)]
pub struct Journal {
    setting: Arc<Setting>,
    recorded: Mutex<Recorded>,
}

#[derive(Debug, Default)]
struct Recorded {
    asked: HashSet<String>,
    answered: HashSet<String>,
    revoked: HashSet<LeaseId>,
    put_back: HashSet<LeaseId>,
    /// Everything, to be searched at the end.
    text: String,
}

/// What is looked at of a line.
#[derive(Deserialize)]
struct Line<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    #[serde(borrow)]
    request: RequestOf<'a>,
}

#[derive(Deserialize)]
struct RequestOf<'a> {
    id: &'a str,
    operation: &'a str,
    path: std::borrow::Cow<'a, str>,
}

impl<'a> Line<'a> {
    fn of(text: &'a str) -> Self {
        serde_json::from_str(text).unwrap()
    }
}

/// Which lease a path ends with.
fn lease_at(path: &str) -> Option<LeaseId> {
    path.rsplit('/').next()?.parse().ok()
}

impl Journal {
    /// An empty one.
    pub fn new(setting: Arc<Setting>) -> Self {
        Self { setting, recorded: Mutex::default() }
    }

    /// Whether a request is recorded.
    pub fn has_asked(&self, request: &str) -> bool {
        self.recorded.lock().asked.contains(request)
    }

    /// Whether the answer to a request is.
    pub fn has_answered(&self, request: &str) -> bool {
        self.recorded.lock().answered.contains(request)
    }

    /// Whether the revocation of a lease is.
    pub fn has_revocation(&self, lease: LeaseId) -> bool {
        self.recorded.lock().revoked.contains(&lease)
    }

    /// Whether it is that the credential of a lease is put back.
    pub fn has_put_back(&self, lease: LeaseId) -> bool {
        self.recorded.lock().put_back.contains(&lease)
    }

    /// The store is older than what is recorded: what is settled again has to be recorded again.
    pub fn forget_revocations(&self) {
        self.recorded.lock().revoked.clear();
    }

    /// An answer is recorded by whoever gives it, without a line.
    pub fn note_answer(&self, request: &str) {
        self.recorded.lock().answered.insert(request.to_owned());
    }

    /// Whether all of it, as one text, is like this.
    pub fn is_any(&self, is_like: impl Fn(&str) -> bool) -> bool {
        is_like(&self.recorded.lock().text)
    }

    fn keep(&self, text: &str) {
        if text.contains(CANARY) {
            self.setting.broken(3, None, "a secret is in the audit");
        }
        let line = Line::of(text);
        let mut recorded = self.recorded.lock();
        recorded.text.push_str(text);
        match (line.kind, line.request.operation) {
            ("request", _) => {
                recorded.asked.insert(line.request.id.to_owned());
                // Nothing else is asked at the path of a lease.
                recorded.put_back.extend(lease_at(&line.request.path));
            }
            (_, "revoke") => {
                flaws::was_recorded(&self.setting, &line.request.path);
                recorded.revoked.extend(lease_at(&line.request.path));
            }
            _ => {
                recorded.answered.insert(line.request.id.to_owned());
            }
        }
    }
}

/// One process's way to the journal.
#[derive(Debug)]
pub struct Device(pub Arc<Journal>);

impl Audit for Device {
    fn name(&self) -> &'static str {
        "journal"
    }

    fn record(&self, line: String) -> Pending<'_, Result<(), AuditError>> {
        let setting = Arc::clone(&self.0.setting);
        let fails = setting.fails(setting.weather.audit_fails);
        if fails {
            setting.counters.audit_failed.one();
        }
        // Half of those that fail have recorded, or never answer.
        let (records, answers) = (!fails || setting.dice.happens(300), setting.dice.happens(800));
        let slow = setting.fails(setting.weather.slow);
        let longest = Duration::from_millis(if slow { 3000 } else { 2 });
        let latency = setting.dice.span(Duration::ZERO, longest);
        let (tell, told) = oneshot::channel();
        let journal = Arc::clone(&self.0);
        let Line { request: RequestOf { operation, path, .. }, .. } = Line::of(&line);
        if flaws::drops_record(&setting, operation, &path) {
            return Box::pin(async { Ok(()) });
        }
        if let Some(after) = flaws::records_after(&setting, operation) {
            let machine = Arc::clone(&setting);
            setting.executor.spawn_world(async move {
                machine.executor.sleep(after).await;
                journal.keep(&line);
            });
            return Box::pin(async { Ok(()) });
        }
        setting.clone().executor.spawn_world(async move {
            setting.executor.sleep(latency).await;
            if records {
                journal.keep(&line);
            }
            if !fails {
                let _ = tell.send(());
            } else if !answers {
                setting.executor.sleep(Duration::from_secs(30)).await;
            }
        });
        let calling = Calling::begin(&self.0.setting, Call::Record);
        Box::pin(async move {
            let _calling = calling;
            let refused =
                AuditError { device: "journal".into(), reason: "the disk is full".into() };
            told.await.map_err(|_| refused)
        })
    }
}
