//! Makes, shows and destroys secret ids, and removes those that are over.

use super::super::access::Rights;
use super::super::authenticate::{Caller, Recorded};
use super::super::{Broker, MethodError, Request};
use super::CHOSEN_MAX;
use crate::access::identity::check_metadata;
use crate::access::params::networks;
use crate::access::token::Wrapped;
use crate::audit::Answer;
use crate::ids::{AppRoleId, MountId, SecretIdAccessor};
use crate::limits::{CONFLICT_TRIES, READ_CHUNK, TTL_MAX};
use crate::mount::MountEntry;
use crate::secret::SecretText;
use crate::store::approles::AppRole;
use crate::store::secret_ids::{SecretId, SecretIdKey};
use crate::store::{Batch, StoreError};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// The longest list of accessors that is told, so that an answer has a bound.
const LISTED_MAX: usize = 100_000;

/// What a secret id is to be.
#[derive(Debug, Default)]
pub struct SecretIdWrite {
    /// Its text, if it is not to be drawn.
    pub text: Option<SecretText>,
    /// What is noted on it.
    pub meta: BTreeMap<String, String>,
    /// From where one may log in with it.
    pub cidr_list: Vec<String>,
    /// From where its tokens may be used.
    pub token_bound_cidrs: Vec<String>,
    /// How many logins it is good for, if not for as many as its role says.
    pub num_uses: Option<u32>,
    /// How long it is good, if not for as long as its role says.
    pub ttl: Option<Duration>,
}

/// A secret id, with its text: shown once.
#[derive(Debug)]
pub struct SecretIdMade {
    /// Its text.
    pub text: SecretText,
    /// What is kept of it.
    pub secret_id: SecretId,
    /// What ends with the wrapping token, if this is wrapped and nobody takes it out.
    pub made: Wrapped,
}

/// A secret id as it is now.
#[derive(Clone, Debug)]
pub struct SecretIdView {
    /// What is kept of it.
    pub secret_id: SecretId,
    /// How many logins it is good for; 0 for any number.
    pub uses_left: u32,
}

/// Which secret id of a role is meant.
#[derive(Debug)]
pub enum WhichSecretId {
    /// The one with this text.
    Text(SecretText),
    /// The one with this accessor, as it was written.
    Accessor(String),
}

impl Recorded for SecretIdMade {
    fn recorded(&self) -> Answer {
        Answer::data(Some(json!({
            "secret_id": self.text.reveal(),
            "secret_id_accessor": self.secret_id.accessor.to_string(),
        })))
    }
}

impl Recorded for Option<SecretIdView> {
    fn recorded(&self) -> Answer {
        let accessor = self.as_ref().map(|view| view.secret_id.accessor.to_string());
        Answer::data(accessor.map(|accessor| json!({ "secret_id_accessor": accessor })))
    }
}

impl Broker {
    /// Makes a secret id.
    pub async fn make_secret_id(
        self: &Arc<Self>,
        request: &Request,
        (mount, role): (&str, &str),
        mut wanted: SecretIdWrite,
    ) -> Result<SecretIdMade, MethodError> {
        let made = |made: &SecretIdMade| made.made;
        self.served_or_ended(request, made, async |caller| {
            let text = wanted.text.take().unwrap_or_else(|| self.draw_secret_id());
            if text.is_empty() || text.len() > CHOSEN_MAX {
                return Err(MethodError::Bad(format!("a secret_id has 1 to {CHOSEN_MAX} bytes")));
            }
            // They are noted on each token that it proves.
            check_metadata(&wanted.meta).map_err(|error| MethodError::Bad(error.to_string()))?;
            let put = async |caller: Caller| {
                self.put_secret_id(&caller.rights, (mount, role), &wanted, &text).await
            };
            let (secret_id, made) = self.until_kept(request, caller, put).await?;
            Ok(SecretIdMade { text, secret_id, made })
        })
        .await
    }

    /// Draws the text of a secret id: 256 bits.
    fn draw_secret_id(&self) -> SecretText {
        let mut bytes = zeroize::Zeroizing::new([0; 32]);
        self.chance.fill(&mut *bytes);
        SecretText::new(URL_SAFE_NO_PAD.encode(*bytes))
    }

    async fn put_secret_id(
        &self,
        rights: &Rights,
        (mount, role): (&str, &str),
        wanted: &SecretIdWrite,
        text: &SecretText,
    ) -> Result<(SecretId, Wrapped), MethodError> {
        let (entry, role) = self.approle_at(mount, role).await?;
        let (num_uses, ttl) = allowed(&entry, &role.record, wanted, self.limits.max_lease_ttl)?;
        let now = self.clock.now();
        let secret_id = SecretId {
            accessor: SecretIdAccessor::new(now, &*self.chance),
            meta: wanted.meta.clone(),
            cidr_list: wanted.cidr_list.clone(),
            token_bound_cidrs: wanted.token_bound_cidrs.clone(),
            num_uses,
            made_at: now,
            lapses_at: (!ttl.is_zero()).then(|| now.plus(ttl)),
        };
        let (mount, accessor) = (entry.mount.record.id, secret_id.accessor);
        let made = Wrapped::SecretId { mount, role: role.record.id, accessor };
        let key = SecretIdKey::of(&self.token_key, mount, role.record.id, text);
        let batch = rights.expected(Batch::default());
        let new = (&key, &secret_id);
        match self.records.put_secret_id(&entry.mount, &role, new, batch).await {
            Ok(()) => Ok((secret_id, made)),
            Err(StoreError::Conflict) if self.records.secret_id(&key).await?.is_some() => {
                Err(MethodError::Bad("SecretID is already registered".into()))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Shows a secret id; `None` if the role has none of that text.
    pub async fn lookup_secret_id(
        self: &Arc<Self>,
        request: &Request,
        (mount, role): (&str, &str),
        which: WhichSecretId,
    ) -> Result<Option<SecretIdView>, MethodError> {
        self.served(request, async |_| {
            let (entry, role) = self.approle_at(mount, role).await?;
            let key = self.which_secret_id(&entry, role.record.id, &which).await?;
            let found = self.records.secret_id(&key).await?;
            let now = self.clock.now();
            let Some(found) = found.filter(|found| found.record.is_good(now)) else {
                return Ok(None);
            };
            let uses_left = self.records.secret_id_uses(&key).await?.unwrap_or(0);
            Ok(Some(SecretIdView { secret_id: found.record, uses_left }))
        })
        .await
    }

    /// Destroys a secret id of this role; one that the role has not is destroyed already.
    pub async fn destroy_secret_id(
        self: &Arc<Self>,
        request: &Request,
        (mount, role): (&str, &str),
        which: WhichSecretId,
    ) -> Result<(), MethodError> {
        self.written(request, async |caller: Caller| {
            let (entry, role) = self.approle_at(mount, role).await?;
            let key = self.which_secret_id(&entry, role.record.id, &which).await?;
            let Some(found) = self.records.secret_id(&key).await? else { return Ok(()) };
            let batch = caller.rights.expected(Batch::default());
            Ok(self.records.remove_secret_id(&key, &found, batch).await?)
        })
        .await
    }

    /// Destroys a secret id that nobody was told, or one that is gone already.
    pub(in crate::broker) async fn end_secret_id(
        &self,
        mount: MountId,
        role: AppRoleId,
        accessor: SecretIdAccessor,
    ) -> Result<(), StoreError> {
        match self.records.secret_id_by_accessor(mount, role, accessor).await? {
            // It may be gone, and another one of the same text be there by now.
            Some(key) => self.drop_secret_id(&key, |found| found.accessor == accessor).await,
            None => Ok(()),
        }
    }

    async fn drop_secret_id(
        &self,
        key: &SecretIdKey,
        is_meant: impl Fn(&SecretId) -> bool,
    ) -> Result<(), StoreError> {
        for _ in 0..CONFLICT_TRIES {
            let found = self.records.secret_id(key).await?;
            let Some(found) = found.filter(|found| is_meant(&found.record)) else { return Ok(()) };
            match self.records.remove_secret_id(key, &found, Batch::default()).await {
                Err(StoreError::Conflict) => {}
                outcome => return outcome,
            }
        }
        Err(StoreError::Conflict)
    }

    /// An accessor is looked for under this role alone (CVE-2023-24999).
    async fn which_secret_id(
        &self,
        entry: &MountEntry,
        role: AppRoleId,
        which: &WhichSecretId,
    ) -> Result<SecretIdKey, MethodError> {
        let mount = entry.mount.record.id;
        match which {
            WhichSecretId::Text(text) => Ok(SecretIdKey::of(&self.token_key, mount, role, text)),
            WhichSecretId::Accessor(written) => {
                let found = match written.parse() {
                    Ok(accessor) => {
                        self.records.secret_id_by_accessor(mount, role, accessor).await?
                    }
                    Err(_) => None,
                };
                found.ok_or_else(|| {
                    let message = "failed to find accessor entry for secret_id_accessor";
                    MethodError::NotFound(format!("{message}: {written:?}"))
                })
            }
        }
    }

    /// Lists the accessors of a role's secret ids.
    pub async fn list_secret_ids(
        self: &Arc<Self>,
        request: &Request,
        (mount, role): (&str, &str),
    ) -> Result<Vec<String>, MethodError> {
        self.served(request, async |_| {
            let (entry, role) = self.approle_at(mount, role).await?;
            let accessors = self.all_accessors(entry.mount.record.id, role.record.id).await?;
            if accessors.is_empty() { Err(MethodError::Nothing) } else { Ok(accessors) }
        })
        .await
    }

    async fn all_accessors(
        &self,
        mount: MountId,
        role: AppRoleId,
    ) -> Result<Vec<String>, StoreError> {
        let (mut all, mut after) = (Vec::new(), None);
        while all.len() < LISTED_MAX {
            let found = self.records.secret_id_accessors(mount, role, after, READ_CHUNK).await?;
            let Some(last) = found.last() else { break };
            after = Some(*last);
            all.extend(found.iter().map(ToString::to_string));
        }
        Ok(all)
    }

    /// Removes secret ids that are over, and those of roles that were deleted, in bounded steps. Nobody can log in by them
    /// whenever that is.
    pub(in crate::broker) async fn forget_secret_ids(&self) -> Result<(), StoreError> {
        let now = self.clock.now();
        loop {
            match self.records.forget_secret_ids(now, READ_CHUNK).await {
                Ok(true) => {}
                // One of them was destroyed meanwhile: the next time finds the others.
                Ok(false) | Err(StoreError::Conflict) => break,
                Err(error) => return Err(error),
            }
        }
        for (mount, role) in self.records.gone_approles(READ_CHUNK).await? {
            loop {
                match self.records.clear_secret_ids(mount, Some(role), READ_CHUNK).await {
                    Ok(true) => {}
                    Ok(false) => {
                        self.records.forget_gone_approle(mount, role).await?;
                        break;
                    }
                    Err(StoreError::Conflict) => break,
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(())
    }
}

/// Decides how often and how long a secret id is good, within what its role allows.
fn allowed(
    entry: &MountEntry,
    role: &AppRole,
    wanted: &SecretIdWrite,
    system_max: Duration,
) -> Result<(u32, Duration), MethodError> {
    let bad = |message: &str| Err(MethodError::Bad(message.to_owned()));
    if !role.bind_secret_id {
        return bad("bind_secret_id is not set on the role");
    }
    let num_uses = wanted.num_uses.unwrap_or(role.secret_id_num_uses);
    let more = role.secret_id_num_uses > 0 && (num_uses == 0 || num_uses > role.secret_id_num_uses);
    if more {
        return bad("num_uses cannot be higher than the role's secret_id_num_uses");
    }
    let ttl = wanted.ttl.unwrap_or(role.secret_id_ttl);
    let longer = !role.secret_id_ttl.is_zero() && (ttl.is_zero() || ttl > role.secret_id_ttl);
    if longer {
        return bad("ttl cannot be longer than the role's secret_id_ttl");
    }
    if ttl > TTL_MAX {
        return bad("a ttl may be at most 876000h");
    }
    for (asked, role) in [
        (&wanted.cidr_list, &role.secret_id_bound_cidrs),
        (&wanted.token_bound_cidrs, &role.params.bound_cidrs),
    ] {
        let (asked, role) = (networks(asked)?, networks(role)?);
        let is_within = |one| role.is_empty() || role.iter().any(|each| each.includes(one));
        if !asked.into_iter().all(is_within) {
            return bad("the CIDR blocks of a secret ID must be within those of its role");
        }
    }
    let mount_max = entry.mount.record.max_lease_ttl;
    let max = if mount_max.is_zero() { system_max } else { mount_max };
    Ok((num_uses, ttl.min(max)))
}
