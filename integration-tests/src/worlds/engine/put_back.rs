//! Sets again what a server has forgotten, by what it keeps instead of a password. It may land as late as a creation.

use super::config::Config;
use super::effects::look;
use super::{NetworkEngine, SERVERS};
use crate::worlds::calls::Call;
use crate::worlds::flaws;
use crate::worlds::server::Server;
use leasehold_core::engine::{Cause, EngineError, Mark, Origin, PutBack};
use leasehold_core::ids::LeaseId;
use leasehold_core::limits::SETTLE;
use leasehold_core::time::Timestamp;
use std::sync::Arc;
use std::time::Duration;

/// Whether the server of a target forgets.
pub(super) fn forgets(config: &Config) -> bool {
    SERVERS.with_borrow(|servers| {
        servers.get(&config.address.number).is_some_and(|server| server.nature.forgets)
    })
}

impl NetworkEngine {
    pub(super) async fn set_again(&self, asked: &[PutBack<Self>]) -> Vec<Result<(), EngineError>> {
        let setting = Arc::clone(self.setting());
        for one in asked {
            self.server.is_to_be_put_back(one.lease, one.issue_by);
        }
        let issue_by = asked.iter().map(|one| one.issue_by).min().unwrap_or_default();
        let each = asked.iter().map(|one| (one.lease, one.handle.verifier.clone())).collect();
        let is_stuck = setting.fails(setting.weather.target_fails);
        let begin_by = self.in_server_time(issue_by);
        let effect = set(Arc::clone(&self.server), self.origin, each, begin_by, is_stuck);
        // It may be held up on its way as well, until nobody waits for it any more.
        let held_up = setting.fails(setting.weather.target_fails).then(|| self.late());
        let effect = async move {
            setting.executor.sleep(held_up.unwrap_or_default()).await;
            effect.await
        };
        self.ask(Call::PutBack, asked.len(), issue_by, effect).await
    }
}

/// Sets at a server. Nothing is begun after `issue_by`; what has begun may be committed later.
async fn set(
    server: Arc<Server>,
    origin: Origin,
    asked: Vec<(LeaseId, String)>,
    issue_by: Timestamp,
    is_stuck: bool,
) -> Vec<Result<(), EngineError>> {
    let setting = Arc::clone(&server.setting);
    if setting.now() > issue_by && flaws::puts_back_in_time(&setting) {
        let late = EngineError::refused(Cause::TooLate, "time was up");
        return asked.iter().map(|_| Err(late.clone())).collect();
    }
    let mut lands = true;
    let is_stuck = is_stuck || setting.fails(setting.weather.slow / 2);
    if is_stuck {
        for (lease, _) in &asked {
            server.begin(*lease);
        }
        // A backup knows nothing of what hangs at a server for longer than anything may.
        let longest = if server.nature.shows_pending && !setting.restores {
            Duration::from_mins(10)
        } else {
            (issue_by.since(setting.now()) + SETTLE).saturating_sub(Duration::from_millis(1))
        };
        setting.executor.sleep(setting.dice.span(Duration::ZERO, longest)).await;
        lands = setting.dice.happens(700);
    }
    let answers = asked.iter().map(|(lease, verifier)| {
        if !lands {
            return Err(EngineError::refused(Cause::Contended, "the server rolled back"));
        }
        if look(&server, origin, *lease)? {
            return Ok(());
        }
        if setting.now() > issue_by {
            setting.counters.late_put_backs.one();
        }
        server.set_again(Mark { origin, lease: *lease }, verifier);
        Ok(())
    });
    let answers = answers.collect();
    if is_stuck {
        for (lease, _) in &asked {
            server.end(*lease);
        }
    }
    answers
}
