//! Tokens: who a caller is, for how long, and what ends with them.

use super::login::LoginOrigin;
use crate::address::Network;
mod role;
mod sealed;

pub use role::{RoleTokenType, TokenRole};
pub use sealed::{BATCH_TEXT_MAX, BatchRing, is_batch};

use crate::chance::Chance;
use crate::ids::{AppRoleId, EntityId, LeaseId, MountId, SecretIdAccessor, TokenAccessor};
use crate::lease::term::Term;
use crate::lease::{LeaseError, backoff};
use crate::limits::SPENT_WITHIN;
use crate::secret::SecretText;
use crate::store::Key;
use crate::store::mounts::mount_at;
use crate::store::tokens::{TokenKey, token_at};
use crate::time::Timestamp;
use aws_lc_rs::hmac;
use base64::Engine;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// The policy that allows everything.
pub const ROOT_POLICY: &str = "root";

/// What is kept of a token: everything but its text.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Token {
    /// The keyed hash of its text.
    pub key: TokenKey,
    /// Whether it is stored.
    #[serde(default, skip_serializing_if = "TokenKind::is_service")]
    pub kind: TokenKind,
    /// Names it to people; nothing names a batch token.
    pub accessor: TokenAccessor,
    /// What decides what it may do.
    pub policies: Vec<String>,
    /// What the auth method calls its holder.
    pub display_name: String,
    /// Where it was made.
    pub path: String,
    /// What its maker noted on it.
    #[serde(default)]
    pub meta: BTreeMap<String, String>,
    /// When it was made.
    pub issued_at: Timestamp,
    /// When it was last renewed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renewed_at: Option<Timestamp>,
    /// How long it lives; `None` for ever, which only a root token may.
    pub term: Option<Term>,
    /// What it was first given.
    pub creation_ttl: Duration,
    /// The bound its maker set.
    #[serde(default)]
    pub explicit_max_ttl: Duration,
    /// Renewed by this much each time, without a maximum of the system's.
    #[serde(default)]
    pub period: Duration,
    /// How many requests it is good for; 0 for any number.
    #[serde(default)]
    pub num_uses: u32,
    /// When the last of them was spent: it ends with that request, or soon after if the process dies over it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spent_at: Option<Timestamp>,
    /// Whether it may be renewed at all.
    pub renewable: bool,
    /// Ends with this one; `None` for an orphan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<TokenKey>,
    /// From where it may be used; none for from everywhere.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bound_cidrs: Vec<Network>,
    /// Which login made it, if one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login: Option<LoginOrigin>,
    /// The token role that it was made by, if any was: its renewals go by what that says then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// Who is behind it, if anybody is: while that entity is disabled, or once it is gone, it is good for nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entity: Option<EntityId>,
    /// Set once, when it ends; what lives under it is then ended, and its record goes last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Ended>,
    /// Set for a token that is good for one thing only: to open, once, the answer that is wrapped in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wraps: Option<Wrapped>,
}

/// How a token is kept; Vault's words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenKind {
    /// In the store.
    #[default]
    Service,
    /// Nowhere: all of it is in its text.
    Batch,
}

impl TokenKind {
    /// Returns Vault's word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Service => "service",
            Self::Batch => "batch",
        }
    }

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
    fn is_service(&self) -> bool {
        *self == Self::Service
    }
}

/// What the request made whose answer is wrapped. It ends with the wrapping token, unless the answer is taken out
/// first: what nobody can have seen is of no use to anybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wrapped {
    /// Nothing: there is only the answer.
    Answer,
    /// A lease.
    Lease(LeaseId),
    /// A token.
    Token(TokenKey),
    /// A secret id, by what operators know it by: another one of the same text is another one.
    SecretId {
        /// The method that it is of.
        mount: MountId,
        /// The role that it is of.
        role: AppRoleId,
        /// Which one of that role.
        accessor: SecretIdAccessor,
    },
}

/// What a token rests on, of all that is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RestsOn {
    /// A token: itself, or the one that made a batch token.
    Token(TokenKey),
    /// The method whose login made a batch token.
    Method(MountId),
    /// An orphan that is stored nowhere rests on nothing.
    Nothing,
}

impl RestsOn {
    /// Returns where it is stored.
    #[must_use]
    pub fn at(self) -> Option<Key> {
        match self {
            Self::Token(key) => Some(token_at(&key)),
            Self::Method(mount) => Some(mount_at(mount)),
            Self::Nothing => None,
        }
    }
}

/// The end of a token, while anything lives under it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// When it ended.
    pub since: Timestamp,
    /// Why.
    #[serde(default)]
    pub cause: EndCause,
    /// Whether that is on record. It is told once its record is read again otherwise.
    #[serde(default)]
    pub is_told: bool,
    /// How often the sweep has looked whether anything still lives under it.
    pub attempts: u32,
    /// When it looks again.
    pub retry_at: Timestamp,
    /// The tokens it made become orphans and live on, instead of ending with it. Decided when it ends, and kept, so
    /// that whoever goes on after a crash does the same.
    #[serde(default)]
    pub frees_children: bool,
}

/// Why a token ended, as the audit tells it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndCause {
    /// It ended before causes were kept.
    #[default]
    Unknown,
    /// A caller asked.
    Asked,
    /// Its term is over.
    Lapsed,
    /// It had no uses left.
    Spent,
    /// The token that made it has ended.
    ParentEnded,
    /// The method is disabled whose login made it.
    MethodDisabled,
    /// Nobody could be told of it.
    Untold,
}

impl Token {
    /// A token that is good for nothing and never lapses: what every token begins as.
    #[must_use]
    pub fn blank(key: TokenKey, now: Timestamp, chance: &dyn Chance) -> Self {
        Self {
            key,
            kind: TokenKind::Service,
            accessor: TokenAccessor::new(now, chance),
            policies: Vec::new(),
            display_name: String::new(),
            path: String::new(),
            meta: BTreeMap::new(),
            issued_at: now,
            renewed_at: None,
            term: None,
            creation_ttl: Duration::ZERO,
            explicit_max_ttl: Duration::ZERO,
            period: Duration::ZERO,
            num_uses: 0,
            spent_at: None,
            renewable: false,
            parent: None,
            bound_cidrs: Vec::new(),
            login: None,
            role: None,
            entity: None,
            ended: None,
            wraps: None,
        }
    }

    /// Whether the token is good now.
    #[must_use]
    pub fn is_held(&self, now: Timestamp) -> bool {
        self.ended.is_none() && self.term.is_none_or(|term| now < term.lapses_at())
    }

    /// What is stored and must be as it was read when something is decided for this token.
    #[must_use]
    pub fn rests_on(&self) -> RestsOn {
        match (self.kind, self.parent, &self.login) {
            (TokenKind::Service, ..) => RestsOn::Token(self.key),
            (TokenKind::Batch, Some(parent), _) => RestsOn::Token(parent),
            (TokenKind::Batch, None, Some(login)) => RestsOn::Method(login.mount),
            (TokenKind::Batch, None, None) => RestsOn::Nothing,
        }
    }

    /// The token under which what is lent to it is found.
    #[must_use]
    pub fn owner_key(&self) -> TokenKey {
        match self.rests_on() {
            RestsOn::Token(key) => key,
            RestsOn::Method(mount) => self.key.of_login_at(mount),
            RestsOn::Nothing => self.key,
        }
    }

    /// The latest end of what is lent to it: what it cannot take with it, for it is not stored, ends before it does.
    #[must_use]
    pub fn bounds_leases(&self) -> Option<Timestamp> {
        match self.kind {
            TokenKind::Service => None,
            TokenKind::Batch => self.term.map(Term::lapses_at),
        }
    }

    /// Returns what names it to people; nothing names a batch token.
    #[must_use]
    pub fn accessor_text(&self) -> String {
        match self.kind {
            TokenKind::Service => self.accessor.to_string(),
            TokenKind::Batch => String::new(),
        }
    }

    /// When the sweep has to look at it; `None` for one that never ends by itself.
    #[must_use]
    pub fn due_at(&self) -> Option<Timestamp> {
        let spent = self.spent_at.map(|at| at.plus(SPENT_WITHIN));
        match &self.ended {
            Some(ended) => Some(ended.retry_at),
            None => self.term.map(Term::lapses_at).into_iter().chain(spent).min(),
        }
    }

    /// The token ends, or the sweep looks again at one that has. Why, and what becomes of the tokens it made, is
    /// decided once, by the first who ends it; what a wrapping token wraps always ends with it.
    #[must_use]
    pub fn end(mut self, cause: EndCause, frees_children: bool, now: Timestamp) -> Self {
        let frees_children = frees_children && self.wraps.is_none();
        let first =
            Ended { since: now, cause, is_told: false, attempts: 0, retry_at: now, frees_children };
        let before = self.ended.unwrap_or(first);
        let attempts = before.attempts.saturating_add(1);
        let retry_at = now.plus(backoff::after(attempts));
        self.ended = Some(Ended { attempts, retry_at, ..before });
        self
    }

    /// Its term starts again. A `ttl_max` of zero sets no bound of the system's.
    pub fn renew(
        mut self,
        asked: Option<Duration>,
        ttl_max: Duration,
        now: Timestamp,
    ) -> Result<Self, LeaseError> {
        if !self.is_held(now) {
            return Err(LeaseError::Lapsed);
        }
        let Some(term) = self.term else { return Ok(self) };
        let (ttl, ceiling) = if self.period > Duration::ZERO {
            (self.period, term.ceiling())
        } else {
            (asked.unwrap_or(self.creation_ttl), self.issued_at.plus(ttl_max))
        };
        let explicit = self.explicit_max_ttl;
        let bound = (!explicit.is_zero()).then(|| self.issued_at.plus(explicit));
        let ceiling = bound.map_or(ceiling, |bound| ceiling.min(bound));
        self.term = Some(term.renewed(ttl, ceiling, now)?);
        self.renewed_at = Some(now);
        Ok(self)
    }

    /// What renewals a restored store has forgotten nobody can know: a token that was good when the backup was taken,
    /// and can be renewed, gets one more term from now. `None`: it keeps the term it has.
    #[must_use]
    pub fn given_another_term(
        mut self,
        taken_at: Timestamp,
        ttl_max: Duration,
        now: Timestamp,
    ) -> Option<Self> {
        let term = self.term.filter(|_| self.renewable && self.is_held(taken_at))?;
        let last = term.lapses_at().since(self.renewed_at.unwrap_or(self.issued_at));
        let (ttl, ceiling) = if self.period > Duration::ZERO {
            (self.period, term.ceiling())
        } else {
            (self.creation_ttl.max(last), self.issued_at.plus(ttl_max))
        };
        let another = term.renewed(ttl, ceiling, now).ok()?;
        self.term = Some(another);
        // As if it had been renewed now: what another restore gives it is the same, and not twice as much.
        self.renewed_at = Some(now);
        (another.lapses_at() > term.lapses_at()).then_some(self)
    }

    /// Whether it may do everything.
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.policies.iter().any(|policy| policy == ROOT_POLICY)
    }

    /// Returns the whole seconds that are left; 0 for one that never ends.
    #[must_use]
    pub fn seconds_left(&self, now: Timestamp) -> u64 {
        self.term.map_or(0, |term| term.seconds_left(now))
    }
}

/// The length of the text that is drawn for a token.
pub const TEXT_CHARS: usize = 47;

/// Draws the text of a token: 256 bits.
pub fn draw(chance: &dyn Chance) -> SecretText {
    let mut bytes = zeroize::Zeroizing::new([0; 32]);
    chance.fill(&mut *bytes);
    let mut text = String::with_capacity(48);
    text.push_str("hvs.");
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode_string(*bytes, &mut text);
    SecretText::new(text)
}

/// Returns under which key a token of this text is kept.
#[must_use]
pub fn key_of(hashing: &hmac::Key, text: &SecretText) -> TokenKey {
    let tag = hmac::sign(hashing, text.reveal().as_bytes());
    let mut key = [0; 32];
    key.iter_mut().zip(tag.as_ref()).for_each(|(to, from)| *to = *from);
    TokenKey(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chance::testing::Counting;

    pub(super) fn token() -> Token {
        Token::blank(TokenKey([1; 32]), Timestamp(1_000), &Counting::default())
    }

    #[test]
    fn why_it_ends_and_what_becomes_of_the_children_is_decided_by_the_first_end() {
        for first in [true, false] {
            let ended = token().end(EndCause::Asked, first, Timestamp(1_000));
            let again = ended.end(EndCause::Lapsed, !first, Timestamp(9_000));
            let ended = again.ended.unwrap();
            assert_eq!((ended.frees_children, ended.attempts), (first, 2));
            assert_eq!((ended.since, ended.cause), (Timestamp(1_000), EndCause::Asked));
            assert!(!again.is_held(Timestamp(1_000)));
        }
    }

    #[test]
    fn the_end_of_a_token_as_it_was_first_stored_still_reads() {
        let stored = r#"{"since":1,"attempts":2,"retry_at":3}"#;
        let ended: Ended = serde_json::from_str(stored).unwrap();
        assert!(!ended.frees_children);
    }
}
