//! What a server does with what it is asked: creates, extends, removes.

use super::{Creation, Removal};
use crate::worlds::accounts::{Name, ToldEnd};
use crate::worlds::flaws;
use crate::worlds::server::Server;
use leasehold_core::engine::{Cause, EngineError, Mark, Origin, Renewed};
use leasehold_core::ids::LeaseId;
use leasehold_core::limits::SETTLE;
use leasehold_core::secret::{Field, Secret, SecretText};
use leasehold_core::time::Timestamp;
use std::sync::Arc;
use std::time::Duration;

/// Creates at a server. Nothing is begun after `issue_by`; what has begun may be committed later.
pub(super) async fn create(
    server: Arc<Server>,
    origin: Origin,
    asked: Vec<Creation>,
    issue_by: Timestamp,
    is_stuck: bool,
) -> Vec<Result<Secret, EngineError>> {
    let setting = Arc::clone(&server.setting);
    if setting.now() > issue_by {
        let late = EngineError::refused(Cause::TooLate, "time was up");
        return asked.iter().map(|_| Err(late.clone())).collect();
    }
    if is_stuck || setting.fails(setting.weather.slow / 2) {
        for one in &asked {
            server.begin(one.lease);
        }
        // A backup knows nothing of what hangs at a server for longer than anything may.
        let longest = if server.nature.shows_pending && !setting.restores {
            Duration::from_mins(10)
        } else {
            (issue_by.since(setting.now()) + SETTLE).saturating_sub(Duration::from_millis(1))
        };
        let stuck = setting.dice.span(Duration::ZERO, longest);
        setting.executor.sleep(stuck).await;
        let lands = setting.dice.happens(700);
        if lands && setting.now() > issue_by {
            setting.counters.late_effects.one();
        }
        let answers = land(&server, origin, &asked, lands);
        for one in &asked {
            server.end(one.lease);
        }
        return answers;
    }
    land(&server, origin, &asked, true)
}

fn land(
    server: &Arc<Server>,
    origin: Origin,
    asked: &[Creation],
    lands: bool,
) -> Vec<Result<Secret, EngineError>> {
    let each = asked.iter().map(|one| {
        if !lands {
            return Err(EngineError::refused(Cause::Contended, "the server rolled back"));
        }
        if server.setting.fails(server.setting.weather.strangers) {
            server.be_taken(one.lease);
        }
        let mark = Mark { origin, lease: one.lease };
        if !server.create(mark, &one.password, one.end) {
            return Err(EngineError::uncertain(Cause::Rejected, "it exists already"));
        }
        let password = SecretText::new(one.password.clone());
        Ok(Secret::new(vec![("password", Field::Hidden(password))]))
    });
    each.collect()
}

/// Whether the account of a lease is there. One whose mark names another lease or another installation is left alone
/// (law 9), as the engine for PostgreSQL does.
pub(super) fn look(server: &Server, origin: Origin, lease: LeaseId) -> Result<bool, EngineError> {
    let ours = Mark { origin, lease };
    match server.look(Name::Lease(lease)) {
        Some(Some(mark)) if mark != ours && flaws::minds_marks(&server.setting) => {
            Err(EngineError::refused(Cause::NeedsOperator, "it is a stranger's"))
        }
        found => Ok(found.is_some()),
    }
}

/// Extends at a server. Nothing is begun after `begin_by`; what has begun may be committed later, and until then
/// nobody else can change the same account.
pub(super) async fn extend(
    server: Arc<Server>,
    origin: Origin,
    asked: Vec<(LeaseId, ToldEnd)>,
    begin_by: Timestamp,
    stuck: Option<Duration>,
) -> Vec<Result<Renewed, EngineError>> {
    let setting = Arc::clone(&server.setting);
    if setting.now() > begin_by && flaws::extends_in_time(&setting) {
        let late = EngineError::refused(Cause::TooLate, "time was up");
        return asked.iter().map(|_| Err(late.clone())).collect();
    }
    let begun: Vec<_> = asked.iter().map(|(lease, _)| server.hold(*lease)).collect();
    if let Some(stuck) = stuck {
        setting.executor.sleep(stuck).await;
    }
    let each = asked.into_iter().zip(begun).map(|((lease, end), has_begun)| {
        if !has_begun {
            return Err(EngineError::refused(Cause::Contended, "somebody else is changing it"));
        }
        server.release(lease);
        let is_there = look(&server, origin, lease)? && server.extend(lease, end);
        if !is_there && server.is_free(lease) && server.may_have_forgotten(lease) {
            return Err(EngineError::refused(Cause::Contended, "it is put back soon"));
        }
        if is_there && setting.now() > begin_by {
            setting.counters.late_renewals.one();
        }
        Ok(if is_there { Renewed::Extended } else { Renewed::Gone })
    });
    each.collect()
}

/// Removes at a server: lock, end the sessions, drop, each a step of its own. It may come whenever it likes: what it
/// removes is not lent any more.
pub(super) async fn remove(
    server: Arc<Server>,
    origin: Origin,
    asked: Vec<Removal>,
    answer_by: Timestamp,
    pauses: [Duration; 2],
) -> Vec<Result<(), EngineError>> {
    let setting = Arc::clone(&server.setting);
    let is_there = |one: &Removal| look(&server, origin, one.lease) == Ok(true);
    let begun: Vec<_> = asked.iter().map(|one| server.hold(one.lease)).collect();
    let there: Vec<_> =
        asked.iter().zip(&begun).map(|(one, begun)| *begun && is_there(one)).collect();
    let locked = asked.iter().zip(&there).filter(|(_, was_there)| **was_there);
    locked.for_each(|(one, _)| server.lock(one.lease));
    setting.executor.sleep(pauses[0]).await;
    for (one, _) in asked.iter().zip(&begun).filter(|(one, begun)| **begun && is_there(one)) {
        if flaws::ends_sessions(&setting) {
            server.end_sessions(one.lease);
        }
    }
    setting.executor.sleep(pauses[1]).await;
    let each = asked.iter().zip(begun).zip(there).map(|((one, has_begun), was_there)| {
        if !has_begun {
            return Err(EngineError::uncertain(Cause::Contended, "somebody else is changing it"));
        }
        server.release(one.lease);
        if setting.now() > answer_by && server.has(one.lease) {
            setting.counters.late_revocations.one();
        }
        drop_one(&server, origin, one, was_there)
    });
    each.collect()
}

fn drop_one(
    server: &Server,
    origin: Origin,
    one: &Removal,
    was_there: bool,
) -> Result<(), EngineError> {
    let is_there = look(server, origin, one.lease)?;
    if was_there {
        server.drop_account(one.lease);
        // Where credentials are put back one that was there may have been set while another way to set it hung.
        if server.nature.forgets && server.is_pending(one.lease) {
            return Err(EngineError::uncertain(Cause::Contended, "it may be set again"));
        }
        return Ok(());
    }
    if is_there {
        // It has come since, and was not locked: the next attempt sees it.
        return Err(EngineError::uncertain(Cause::Contended, "its issue has just landed"));
    }
    let now = server.setting.now();
    let may_land = if server.nature.shows_pending {
        server.is_pending(one.lease) || one.unanswered.is_some_and(|it| now <= it.issue_by)
    } else {
        one.unanswered.is_some_and(|it| now < it.settles_at)
    };
    if may_land {
        return Err(EngineError::uncertain(Cause::Contended, "its issue may still land"));
    }
    Ok(())
}
