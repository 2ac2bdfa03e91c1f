//! Lets somebody in who has no token yet: the one verb of all methods.
//!
//! Recorded; proven, by the method; decided and committed, with what decided it; recorded; answered. Methods differ in
//! what they take for proof, and in nothing else.

mod behind;
mod hashing;
mod password;
mod secret_id;

use behind::Behind;
pub(super) use hashing::Hashing;

use super::authenticate::Recorded;
use super::token::{NotSealed, Spans};
use super::{Broker, Request, TokenMade};
use crate::access::identity::Metadata;
use crate::access::login::{LoggedInAs, LoginOrigin, Proof};
use crate::access::params::{BadParams, TokenParams};
use crate::access::token::{EndCause, Token, TokenKind, draw, key_of};
use crate::address::ClientAddress;
use crate::audit::{Answer, AuditError};
use crate::ids::MountId;
use crate::limits::CONFLICT_TRIES;
use crate::mount::MountEntry;
use crate::store::approles::approle_at;
use crate::store::mounts::mount_at;
use crate::store::users::user_at;
use crate::store::{Key, Revision, StoreError};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Nobody was let in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoginError {
    /// No method is there.
    #[error("no handler for route {0:?}. route entry not found.")]
    NoMount(String),
    /// What was brought cannot be a proof.
    #[error("{0}")]
    Bad(String),
    /// It proves nothing. It is not told whether there is such a user or role.
    #[error("{0}")]
    Wrong(&'static str),
    /// Too many have failed before, or nobody may log in from there.
    #[error("permission denied")]
    Denied,
    /// Nobody may log in so from there.
    #[error("source address {0:?} unauthorized by CIDR restrictions on the role")]
    Elsewhere(String),
    /// Too many log in at once, or too many from there have failed.
    #[error("too many logins at once; try again in a few seconds")]
    Busy,
    /// The request or its answer could not be recorded.
    #[error(transparent)]
    Audit(#[from] AuditError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Who somebody has proven to be.
#[derive(Debug)]
struct Proven {
    by: LoggedInAs,
    /// Which of its secrets it was proven by, as [`Standing::secret`] has it.
    secret: u64,
    /// How the token is called, after the mount's path.
    name: Option<String>,
    /// What is noted on the token.
    meta: BTreeMap<String, String>,
    /// From where alone the token may be used, besides what its role says.
    bound_cidrs: Vec<String>,
    /// A record that it was proven by, which must still be there when something is committed that rests on it.
    by_record: Option<(Key, Revision)>,
    /// What is said to those who turn out not to be what they have proven.
    otherwise: LoginError,
}

/// What a method knows of somebody now.
#[derive(Debug)]
pub(super) struct Standing {
    pub(super) params: TokenParams,
    /// Under which name they log in here, whoever they are elsewhere.
    alias: String,
    /// What a login of theirs tells of itself, which its alias keeps.
    tells: Metadata,
    /// Tells one secret of theirs from the next.
    secret: u64,
    /// Whether their tokens are renewed only while they would be given the same policies.
    pub(super) keeps_policies: bool,
    /// What it was read from: must be the same when something is committed that rests on it.
    pub(super) read: Vec<(Key, Option<Revision>)>,
}

impl From<NotSealed> for LoginError {
    fn from(error: NotSealed) -> Self {
        match error {
            NotSealed::TooLong => Self::Bad(error.to_string()),
            NotSealed::Store(error) => error.into(),
        }
    }
}

impl Broker {
    /// Lets somebody in.
    pub async fn log_in(
        self: &Arc<Self>,
        request: &Request,
        mount: &str,
        proof: Proof,
    ) -> Result<TokenMade, LoginError> {
        self.recorded(self.trail.asked(&request.asked, None, self.clock.now())).await?;
        let outcome = self.let_in(request, mount, proof).await;
        let answer = match &outcome {
            Ok(made) => made.recorded(),
            Err(error) => Answer::error(error),
        };
        let record = self.trail.answered(&request.asked, None, &answer, self.clock.now());
        if let Err(unrecorded) = self.recorded(record).await {
            if let Ok(made) = &outcome {
                self.end_token_soon(made.token.key, EndCause::Untold);
            }
            return Err(unrecorded.into());
        }
        outcome
    }

    async fn let_in(
        self: &Arc<Self>,
        request: &Request,
        mount: &str,
        proof: Proof,
    ) -> Result<TokenMade, LoginError> {
        let entry = self.open_method(mount)?;
        let proven = match proof {
            Proof::Password { name, password } => {
                self.prove_by_password(&entry, request.network(), &name, password).await?
            }
            Proof::SecretId { role_id, secret_id } => {
                self.prove_by_secret_id(&entry, request, &role_id, secret_id).await?
            }
        };
        for _ in 0..CONFLICT_TRIES {
            match self.try_let_in(request, mount, &proven).await {
                Err(LoginError::Store(StoreError::Conflict)) => self.reload().await?,
                outcome => return outcome,
            }
        }
        Err(StoreError::Conflict.into())
    }

    fn open_method(&self, mount: &str) -> Result<Arc<MountEntry>, LoginError> {
        let entry = self.catalog().at(mount).map(Arc::clone);
        entry.ok_or_else(|| LoginError::NoMount(mount.to_owned()))
    }

    /// Decides on the token and commits the decision, if what it rests on is still so.
    async fn try_let_in(
        &self,
        request: &Request,
        mount: &str,
        proven: &Proven,
    ) -> Result<TokenMade, LoginError> {
        let entry = self.open_method(mount)?;
        let mount = &entry.mount;
        let standing = self.standing(mount.record.id, &proven.by).await?;
        let standing = standing.filter(|standing| standing.secret == proven.secret);
        let Standing { params, mut read, alias, tells, .. } =
            standing.ok_or_else(|| proven.otherwise.clone())?;
        if let Some((at, revision)) = &proven.by_record {
            if self.records.revision(at).await? != Some(*revision) {
                return Err(proven.otherwise.clone());
            }
            read.push((at.clone(), Some(*revision)));
        }
        let from = request.asked.from.map(ClientAddress::ip);
        let bound_cidrs = params.bound_networks(&proven.bound_cidrs, from);
        let bound_cidrs = bound_cidrs.ok_or(LoginError::Denied)?;

        let at = (mount.record.id, mount.record.accessor());
        let behind = self.behind(at, &alias, &tells).await?.ok_or(LoginError::Denied)?;
        let Behind { identity, mut batch } = behind;

        let now = self.clock.now();
        let mut warnings = Vec::new();
        let (kind, spans) = self.kept(&entry, &params)?;
        let spans = spans.capped(&mut warnings);
        let (term, creation_ttl) = spans.term(now, &mut warnings);
        let text = draw(&*self.chance);
        let token = Token {
            policies: params.token_policies(),
            display_name: display_name(&mount.record.path, proven.name.as_deref()),
            path: request.asked.path.clone(),
            meta: proven.meta.clone(),
            term: Some(term),
            creation_ttl,
            explicit_max_ttl: spans.explicit_max_ttl,
            period: spans.period,
            num_uses: params.num_uses,
            renewable: true,
            bound_cidrs,
            login: Some(LoginOrigin { mount: mount.record.id, by: proven.by.clone() }),
            entity: Some(identity.entity.id),
            ..Token::blank(key_of(&self.token_key, &text), now, &*self.chance)
        };
        batch.expected.push((mount_at(mount.record.id), Some(mount.revision)));
        if kind == TokenKind::Batch {
            // It is stored nowhere; whom it names is, if nobody was known by that alias, or told something else.
            if !batch.puts.is_empty() {
                batch.expected.extend(read);
                self.records.commit(batch).await?;
            }
            let (text, token) = self.sealed_token(token).await?;
            return Ok(TokenMade { text, token, identity: Some(identity), warnings });
        }
        batch.expected.extend(read);
        self.mint(&token, batch).await?;
        Ok(TokenMade { text, token, identity: Some(identity), warnings })
    }

    /// Decides how the token of a login is kept, and how long it lives.
    fn kept(
        &self,
        entry: &MountEntry,
        params: &TokenParams,
    ) -> Result<(TokenKind, Spans), LoginError> {
        let method = entry.mount.record.method.as_ref();
        let of_mount = method.map(|method| method.token_type).unwrap_or_default();
        let kind = params.token_type.kind(of_mount);
        let mut spans = self.login_spans(entry, params);
        if kind == TokenKind::Batch {
            params.check_for_batch().map_err(|BadParams(message)| LoginError::Bad(message))?;
            // The keys that seal batch tokens are kept for so long.
            spans.max_ttl = spans.max_ttl.min(self.limits.max_lease_ttl);
        }
        Ok((kind, spans))
    }

    /// Returns what a method knows of somebody; `None` if it does not know them any more.
    pub(super) async fn standing(
        &self,
        mount: MountId,
        by: &LoggedInAs,
    ) -> Result<Option<Standing>, StoreError> {
        match by {
            LoggedInAs::User(name) => {
                let user = self.records.user(mount, name).await?;
                Ok(user.map(|user| Standing {
                    params: user.record.params,
                    alias: user.record.name,
                    tells: Metadata::new(),
                    secret: user.record.password_set,
                    keeps_policies: true,
                    read: vec![(user_at(mount, name), Some(user.revision))],
                }))
            }
            LoggedInAs::Role { id, name } => {
                let role = self.records.approle(mount, name).await?;
                let role = role.filter(|role| role.record.id == *id);
                Ok(role.map(|role| Standing {
                    params: role.record.params,
                    alias: role.record.role_id,
                    tells: Metadata::from([("role_name".to_owned(), role.record.name)]),
                    secret: 0,
                    keeps_policies: false,
                    read: vec![(approle_at(mount, name), Some(role.revision))],
                }))
            }
        }
    }

    /// How long a token lives that a login makes.
    pub(super) fn login_spans(&self, entry: &MountEntry, params: &TokenParams) -> Spans {
        let (default_ttl, max_ttl) = entry.bounded(params.ttl, params.max_ttl, &self.limits);
        Spans {
            ttl: None,
            explicit_max_ttl: params.explicit_max_ttl,
            period: params.period,
            default_ttl,
            max_ttl,
        }
    }
}

/// Names a token after the mount and whoever logged in there: `userpass-ann`.
fn display_name(mount: &str, name: Option<&str>) -> String {
    let mount = mount.strip_prefix("auth/").unwrap_or(mount).trim_end_matches('/');
    let mount = mount.replace('/', "-");
    name.map_or_else(|| mount.clone(), |name| format!("{mount}-{name}"))
}
