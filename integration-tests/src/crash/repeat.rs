//! An issue that its caller repeats under one `Idempotency-Key`: the process that answered it tells the same lease
//! again, and any later one a fresh lease in place of the first, which is dead from then on.

use super::Role;
use super::callers::{Scene, borrow_under};
use super::judge::Violation;
use crate::engine_suite::now;
use serde_json::json;

/// An issue that was asked for under a key.
#[derive(Clone, Debug)]
pub struct Keyed {
    /// The key.
    pub key: String,
    /// The role that was asked for.
    pub role: Role,
    /// The accessor of the token that asked, unless it was the root token.
    pub owner: Option<String>,
    /// The lease that was told, if any was.
    pub lease: Option<String>,
    /// Whether its process is dead.
    pub outlived: bool,
}

impl Keyed {
    /// Tells whether its caller is still waiting for an answer that cannot come.
    #[must_use]
    pub fn was_cut_off(&self) -> bool {
        self.outlived && self.lease.is_none()
    }

    /// Asks, for the first time or again, and judges the answer. Returns the lease that is told, as often as there is
    /// one; `None` if the server is dead, which changes nothing: it can be asked again.
    pub async fn ask(&mut self, scene: &Scene) -> Option<Option<String>> {
        let first = self.lease.clone();
        if self.outlived {
            // From here on the next answer may be a fresh lease, whether it arrives or not.
            scene.told().doom(|id, _| first.as_deref() == Some(id));
        }
        let told = borrow_under(scene, self.role, self.owner.clone(), Some(&self.key)).await?.pop();
        let Some(id) = told else { return Some(None) };
        let outlived = std::mem::replace(&mut self.outlived, false);
        self.lease = Some(id.clone());
        if outlived {
            scene.told().count("issues repeated after a restart");
        }
        match first {
            Some(first) if first == id && outlived => {
                let what = format!("the secret of `{id}` was known to a later process");
                scene.told().accuse(Violation::Broken(what));
            }
            Some(first) if first == id => scene.told().count("issues told again"),
            Some(first) if outlived => must_be_replaced(scene, &first).await?,
            Some(first) => {
                let mut told = scene.told();
                if told.must_live(&first, now()) {
                    let what = format!("`{first}` lives, and its request got `{id}`");
                    told.accuse(Violation::Broken(what));
                }
            }
            None => {}
        }
        Some(Some(id))
    }
}

/// Judges a lease whose request has got another one: nobody can renew it any more. `None` if the server is dead.
pub async fn must_be_replaced(scene: &Scene, id: &str) -> Option<()> {
    let Some(lent) = scene.told().leases.get(id).cloned() else { return Some(()) };
    let body = json!({ "lease_id": lent.lease });
    let answer = scene.door.ask(&scene.root, "POST", "sys/leases/renew", body).await?;
    if answer.status == 200 {
        let what = format!("lease `{}`, in whose place its caller has another", lent.lease);
        scene.told().accuse(Violation::LivesOn(what));
    }
    Some(())
}
