//! Moves a mount to another path. Whatever is under it is kept by its id and stays as it is: targets, roles, leases,
//! users, tokens. What goes by paths goes by the new one from then on; only quotas follow, in the same write.

use super::access::Rights;
use super::authenticate::{Caller, Recorded};
use super::mount::{Side, checked_path, full_path, is_reserved};
use super::{Broker, MountError, Request};
use crate::audit::Answer;
use crate::mount::nest;
use crate::store::Batch;
use crate::store::quotas::QuotaKind;
use std::sync::Arc;

/// How many moves are remembered, for whoever asks how one went.
const MOVES_MAX: usize = 100;

/// A mount that was moved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moved {
    /// Names the move.
    pub id: String,
    /// Where it was.
    pub from: String,
    /// Where it is.
    pub to: String,
}

impl Recorded for Moved {
    fn recorded(&self) -> Answer {
        let Self { id, from, to } = self;
        Answer::data(Some(serde_json::json!({ "migration_id": id, "from": from, "to": to })))
    }
}

impl Broker {
    /// Moves a mount: an engine's to where engines are, a method's to where methods are.
    pub async fn remount(
        self: &Arc<Self>,
        request: &Request,
        from: &str,
        to: &str,
    ) -> Result<Moved, MountError> {
        self.written(request, async |caller: Caller| {
            let ((from_side, from), (side, to)) = (sided(from), sided(to));
            let from = full_path(from_side, from);
            if is_reserved(from_side, &from) {
                return Err(MountError::Bad(format!("cannot remount {from:?}")));
            }
            if from_side != side {
                return Err(MountError::Bad(
                    "a mount is moved from `auth/` to `auth/`, or from elsewhere to elsewhere"
                        .into(),
                ));
            }
            self.moved(from, checked_path(side, to)?, &caller.rights).await
        })
        .await
    }

    async fn moved(&self, from: String, to: String, rights: &Rights) -> Result<Moved, MountError> {
        // Nothing else is mounted meanwhile, and no quota is written for the path that it leaves.
        let _mounting = self.mounting.lock().await;
        let _writing = self.counted.writing.lock().await;
        let catalog = self.catalog();
        let none = || MountError::Bad(format!("no matching mount at {from:?}"));
        let was = &catalog.at(&from).ok_or_else(none)?.mount;
        let mut others = catalog.mounts().map(|entry| entry.mount.record.path.as_str());
        let in_the_way = |other: &&str| nest(other, &to) && (*other != from || to == from);
        if let Some(other) = others.find(in_the_way) {
            return Err(MountError::Bad(format!("path already in use at {other:?}")));
        }
        let kinds = [QuotaKind::RateLimit, QuotaKind::LeaseCount];
        let quotas = kinds.into_iter().flat_map(|kind| catalog.quotas().all(kind));
        let quotas = quotas.filter(|quota| quota.record.scope.mount == from);
        let quotas = quotas.map(|quota| &**quota);
        let batch = rights.expected(Batch::default());
        self.records.move_mount(was, &to, quotas, batch).await?;
        self.reload().await?;
        Ok(self.remember_move(from, to))
    }

    fn remember_move(&self, from: String, to: String) -> Moved {
        let mut bytes = [0; 16];
        self.chance.fill(&mut bytes);
        let id = uuid::Builder::from_random_bytes(bytes).into_uuid().to_string();
        let moved = Moved { id, from, to };
        let mut remembered = self.moves.lock();
        remembered.truncate(MOVES_MAX.saturating_sub(1));
        remembered.push_front(moved.clone());
        moved
    }

    /// Tells of a move that was made since the start, if it is remembered.
    pub async fn move_made(
        self: &Arc<Self>,
        request: &Request,
        id: &str,
    ) -> Result<Moved, MountError> {
        self.served(request, async |_| {
            let found = self.moves.lock().iter().find(|moved| moved.id == id).cloned();
            found.ok_or(MountError::NoMove)
        })
        .await
    }
}

/// Tells where a path is, and what of it is the mount's own.
fn sided(path: &str) -> (Side, &str) {
    let path = path.trim_matches('/');
    path.strip_prefix("auth/").map_or((Side::Engines, path), |rest| (Side::Methods, rest))
}
