//! Tells whose a credential is: which lease it is on, or was, who asked for it, and by what right.
//!
//! What somebody finds in the log of a target is a name. Every name carries its lease's id or its bits, so that one
//! or two records are read, however many leases there are. A name that the target itself chose, as AWS does the ids of
//! keys, is kept with the lease once it is told.

mod accounts;

pub use accounts::AccountKnown;

use super::access::held;
use super::authenticate::{AdmitError, Recorded};
use super::lookup::LeaseView;
use super::{Broker, Request};
use crate::access::token::Token;
use crate::audit::Answer;
use crate::ids::{EntityId, ID_CHARS, LeaseId, TokenAccessor};
use crate::lease::death::Death;
use crate::lease::{Lease, LeaseState};
use crate::store::StoreError;
use crate::store::abandonments::Abandonment;
use crate::store::leases::{History, of_token_leases};
use crate::store::records::Found;
use crate::time::Timestamp;
use std::collections::BTreeSet;
use std::sync::Arc;

/// The longest text that is looked at, in bytes: longer than a lease's name on the wire, and than names at targets.
const WHOIS_BYTES_MAX: usize = 1024;
/// Places in a text at which an id or its bits are looked for in the store.
const LOOKED_AT_MAX: usize = 64;
/// Leases that are told of one token.
const LEASES_MAX: usize = 100;

/// What is known of a name.
#[derive(Clone, Debug, Default)]
pub struct Whois {
    /// The leases that the name is about.
    pub leases: Vec<Whose>,
    /// The token, if the name is an accessor.
    pub token: Option<Holder>,
    /// The accounts of operators that are called so.
    pub accounts: Vec<AccountKnown>,
    /// Whether there are more leases than are told.
    pub more: bool,
}

/// Whose a lease is, or was.
#[derive(Clone, Debug)]
pub struct Whose {
    /// The lease.
    pub lease: LeaseView,
    /// Where it is in its life.
    pub state: Stage,
    /// How its credential was proven to be dead, where its role asked for that.
    pub death: Option<Death>,
    /// The mount of it, while that is there.
    pub mount: Option<String>,
    /// The role that it was made by.
    pub role: String,
    /// The target it is at, while its configuration is there.
    pub target: Option<String>,
    /// What the credential is called at the target.
    pub username: String,
    /// What the target itself calls it, where it chose that.
    pub known_as: Option<String>,
    /// Who asked.
    pub holder: Holder,
    /// The policies by whose rules it was lent, if that was kept.
    pub granted_by: Vec<String>,
    /// The request that asked, as the audit record has it.
    pub request: String,
    /// Who abandoned its target, if somebody did, when and why.
    pub abandonment: Option<Abandonment>,
}

/// Where a lease is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The credential is lent.
    Held,
    /// It is being removed.
    Revoking,
    /// It was seen to be gone then.
    Settled(Timestamp),
    /// Its target was abandoned, and it ended then. Nobody has seen it gone.
    Abandoned(Timestamp),
}

/// Who holds a token.
#[derive(Clone, Debug)]
pub struct Holder {
    /// What names the token to people.
    pub accessor: TokenAccessor,
    /// What the auth method calls its holder.
    pub display_name: String,
    /// Who is behind it, if anybody is, and how they are called while they are known.
    pub entity: Option<(EntityId, Option<String>)>,
    /// What it may do by; `None` once it is gone.
    pub policies: Option<Vec<String>>,
}

/// Nothing is told.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WhoisError {
    /// The request was not admitted.
    #[error(transparent)]
    Admit(#[from] AdmitError),
    /// The text is no name.
    #[error(
        "`name` must be a user name, the id of an access key, a lease id or the accessor of a token, of \
         {WHOIS_BYTES_MAX} bytes at most"
    )]
    BadName,
    /// Nobody is known by it.
    #[error(
        "nothing is known by this name: no lease, none that ended in the last 30 days, no token, and no account that is \
         rotated. the name may be incomplete, or not one of Leasehold's"
    )]
    Nobody,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Recorded for Whois {
    fn recorded(&self) -> Answer {
        let ids: Vec<_> = self.leases.iter().map(|whose| whose.lease.lease_id.as_str()).collect();
        Answer::data(Some(serde_json::json!({ "leases": ids })))
    }
}

impl Broker {
    /// Tells whose a user name, an access key, a lease or a token is.
    pub async fn whois(
        self: &Arc<Self>,
        request: &Request,
        name: &str,
    ) -> Result<Whois, WhoisError> {
        self.served(request, async |_| {
            if name.is_empty() || name.len() > WHOIS_BYTES_MAX {
                return Err(WhoisError::BadName);
            }
            let found = self.known_by(name).await?;
            let nobody = found.leases.is_empty() && found.token.is_none();
            if nobody && found.accounts.is_empty() { Err(WhoisError::Nobody) } else { Ok(found) }
        })
        .await
    }

    async fn known_by(&self, name: &str) -> Result<Whois, StoreError> {
        let mut whois = Whois::default();
        for id in self.ids_in(name).await? {
            whois.leases.extend(self.whose(id).await?);
        }
        if let Ok(accessor) = name.parse::<TokenAccessor>()
            && let Some(found) = self.records.token_by_accessor(accessor).await?
        {
            let token = found.record;
            let limit = LEASES_MAX.saturating_add(1);
            let of = of_token_leases(&token.key);
            let mut leases = self.records.leases_ending_with(&of, None, limit).await?;
            whois.more = leases.len() > LEASES_MAX;
            leases.truncate(LEASES_MAX);
            for (_, id) in leases {
                whois.leases.extend(self.whose(id).await?);
            }
            whois.token = Some(Holder {
                accessor,
                policies: Some(self.policies_of(&token).await?),
                entity: self.named_entity(token.entity).await?,
                display_name: token.display_name,
            });
        }
        if whois.leases.is_empty() && whois.token.is_none() {
            whois.accounts = self.accounts_known_by(name).await?;
        }
        Ok(whois)
    }

    /// Returns the leases whose ids, or bits, are in a text, and the one whose credential its target calls so.
    pub(super) async fn ids_in(&self, name: &str) -> Result<BTreeSet<LeaseId>, StoreError> {
        let mut ids = BTreeSet::from_iter(self.records.lease_known_as(name).await?);
        let name = name.to_ascii_lowercase();
        for id in windows(&name, ID_CHARS).take(LOOKED_AT_MAX) {
            ids.extend(id.parse::<LeaseId>());
        }
        for bits in windows(&name, ID_CHARS / 2).take(LOOKED_AT_MAX) {
            ids.extend(self.records.lease_of_bits(bits).await?);
        }
        Ok(ids)
    }

    /// Tells of a lease, if it is there or was.
    async fn whose(&self, id: LeaseId) -> Result<Option<Whose>, StoreError> {
        let (lease, state, death) = match self.records.lease(id).await? {
            Some(found) => match found.record.state() {
                LeaseState::Held => (found.record, Stage::Held, None),
                LeaseState::Revoking(_) => (found.record, Stage::Revoking, None),
            },
            None => match self.records.history(id).await? {
                Some(Found { record: History { lease, settled_at, abandoned, death }, .. }) => {
                    let over = if abandoned { Stage::Abandoned } else { Stage::Settled };
                    (lease, over(settled_at), death)
                }
                None => return Ok(None),
            },
        };
        Ok(Some(Whose { death, ..self.told(&lease, state).await? }))
    }

    /// Returns an entity with its name; one that was merged is the one that it was merged into.
    async fn named_entity(
        &self,
        id: Option<EntityId>,
    ) -> Result<Option<(EntityId, Option<String>)>, StoreError> {
        let Some(id) = id else { return Ok(None) };
        let entity = self.records.entity(id).await?;
        Ok(Some(entity.map_or((id, None), |entity| (entity.id, Some(entity.name)))))
    }

    /// Returns what a token's holder may do by now: its own policies, and those of who is behind it.
    async fn policies_of(&self, token: &Token) -> Result<Vec<String>, StoreError> {
        let identity = self.identity_of(token).await?;
        Ok(held(token, identity.as_deref()).into_owned())
    }

    async fn told(&self, lease: &Lease, state: Stage) -> Result<Whose, StoreError> {
        let (place, owner, catalog) = (lease.place(), lease.owner(), self.catalog());
        let policies = match self.records.token(&owner.token).await? {
            Some(token) => Some(self.policies_of(&token.record).await?),
            None => None,
        };
        let target = catalog.target(place.target, place.generation);
        let abandonment = catalog.abandonment(place.target, place.generation);
        Ok(Whose {
            lease: self.view(lease),
            state,
            death: None,
            mount: catalog.mount(place.mount).map(|entry| entry.mount.record.path.clone()),
            role: place.role.clone(),
            target: target
                .map(|target| &target.record.name)
                .or(abandonment.map(|abandonment| &abandonment.name))
                .cloned(),
            username: lease.handle().name(),
            known_as: lease.own_name().map(str::to_owned),
            holder: Holder {
                accessor: owner.accessor,
                display_name: owner.display_name.clone(),
                entity: self.named_entity(owner.entity).await?,
                policies,
            },
            granted_by: owner.granted_by.clone(),
            request: owner.request.clone(),
            abandonment: abandonment.cloned(),
        })
    }
}

/// Returns the pieces of a text that have so many characters of an id's alphabet; an id begins where a word does, or
/// ends where one ends, but a template may have put it anywhere.
fn windows(text: &str, chars: usize) -> impl Iterator<Item = &str> {
    let words = text.split(|char: char| !char.is_ascii_alphanumeric());
    words.flat_map(move |word| {
        let last = word.len().checked_sub(chars);
        last.into_iter().flat_map(move |last| {
            (0..=last).filter_map(move |from| word.get(from..from.saturating_add(chars)))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_looked_for_wherever_a_template_may_have_put_them() {
        let found = |text, chars| windows(text, chars).collect::<Vec<_>>();
        assert_eq!(found("v-abc-de-fgh_ij", 3), ["abc", "fgh"]);
        assert_eq!(found("vabcd", 3), ["vab", "abc", "bcd"]);
        assert!(found("é-ab", 3).is_empty() && found("", 3).is_empty());
    }
}
