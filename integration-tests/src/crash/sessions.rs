//! Sessions of credentials, kept open by those who never log out: a revocation has to end them.

use sqlx::{Connection as _, PgConnection};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// As many are kept open: the target takes 200 in all, and the server and the callers need theirs.
const KEPT_MAX: usize = 80;
/// How long a session may take to answer; one that takes longer is not claimed to be alive.
const ANSWERS_WITHIN: Duration = Duration::from_secs(5);

/// Open sessions by the leases of their credentials, one of each.
#[derive(Debug, Default)]
pub struct Sessions(Mutex<BTreeMap<String, Box<PgConnection>>>);

impl Sessions {
    fn kept(&self) -> MutexGuard<'_, BTreeMap<String, Box<PgConnection>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a session open, in place of another of the same credential.
    pub fn keep(&self, id: String, session: Box<PgConnection>) {
        let mut kept = self.kept();
        if kept.len() >= KEPT_MAX && !kept.contains_key(&id) {
            kept.pop_last();
        }
        kept.insert(id, session);
    }

    /// Returns one of these that has a session.
    #[must_use]
    pub fn one_of(&self, ids: &[String]) -> Option<String> {
        let kept = self.kept();
        ids.iter().find(|id| kept.contains_key(*id)).cloned()
    }

    /// Tells whether a credential's session answers; one that does not is forgotten.
    pub async fn answers(&self, id: &str) -> bool {
        let session = self.kept().remove(id);
        let Some(mut session) = session else { return false };
        let answers = answers(&mut session).await;
        if answers {
            self.kept().entry(id.to_owned()).or_insert(session);
        }
        answers
    }

    /// Returns those whose session answers, and forgets the others.
    pub async fn answering(&self) -> BTreeSet<String> {
        let mut answering = BTreeSet::new();
        let kept = std::mem::take(&mut *self.kept());
        for (id, mut session) in kept {
            if answers(&mut session).await {
                answering.insert(id.clone());
                self.kept().insert(id, session);
            }
        }
        answering
    }
}

async fn answers(session: &mut PgConnection) -> bool {
    let asked = tokio::time::timeout(ANSWERS_WITHIN, session.ping());
    matches!(asked.await, Ok(Ok(())))
}
