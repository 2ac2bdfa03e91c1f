//! What a server is asked that changes nothing: what it has, who it is, what is in use.

use super::{NetworkEngine, NetworkHandle};
use crate::worlds::calls::Call;
use leasehold_core::engine::in_use::InUse;
use leasehold_core::engine::{Cause, EngineError, Identity, Marked};
use leasehold_core::ids::LeaseId;
use leasehold_core::limits::ISSUE_WITHIN;
use leasehold_core::time::Timestamp;
use std::collections::BTreeMap;
use std::sync::Arc;

impl NetworkEngine {
    /// What bears the mark of this target.
    pub(super) async fn marked(&self) -> Result<Vec<Marked<Self>>, EngineError> {
        let (server, origin) = (Arc::clone(&self.server), self.origin);
        let answer_by = self.clock.now().plus(ISSUE_WITHIN);
        let effect = async move {
            let marked = |(lease, lapses_at)| {
                let handle = NetworkHandle { lease, note: String::new(), verifier: String::new() };
                let (may_log_in, rights, everywhere) = (true, Vec::new(), true);
                Marked { lease, handle, lapses_at, may_log_in, rights, everywhere }
            };
            vec![Ok(server.marked(origin).into_iter().map(marked).collect())]
        };
        let gone = || Err(EngineError::uncertain(Cause::Unreachable, "the engine broke off"));
        self.ask(Call::Look, 1, answer_by, effect).await.pop().unwrap_or_else(gone)
    }

    /// Which server it is, and which run of it where it may forget.
    pub(super) async fn who(&self) -> Result<Identity, EngineError> {
        let name = Some(format!("server-{}", self.server.number));
        let (server, clock) = (Arc::clone(&self.server), self.setting().now());
        let answer_by = self.clock.now().plus(ISSUE_WITHIN);
        let gone = || Err(EngineError::uncertain(Cause::Unreachable, "the engine broke off"));
        let effect = async move {
            let (version, run) = ("simulated".into(), server.run());
            vec![Ok(Identity { server: name, clock, version, run })]
        };
        self.ask(Call::Look, 1, answer_by, effect).await.pop().unwrap_or_else(gone)
    }

    /// Whether credentials are there.
    pub(super) async fn used(
        &self,
        asked: &[(LeaseId, NetworkHandle)],
        answer_by: Timestamp,
    ) -> Vec<Result<InUse, EngineError>> {
        let (server, origin) = (Arc::clone(&self.server), self.origin);
        let leases: Vec<_> = asked.iter().map(|(_, handle)| handle.lease).collect();
        let effect = async move {
            let there: BTreeMap<_, _> = server.marked(origin).into_iter().collect();
            let tell = |lease| {
                let is_there = Some(there.contains_key(lease));
                Ok(InUse { is_there, ..InUse::default() })
            };
            leases.iter().map(tell).collect()
        };
        self.ask(Call::Look, asked.len(), answer_by, effect).await
    }
}
