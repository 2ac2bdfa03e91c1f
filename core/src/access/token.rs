//! Tokens: who a caller is, for how long, and what ends with them.

use crate::chance::Chance;
use crate::ids::TokenAccessor;
use crate::lease::term::Term;
use crate::lease::{LeaseError, backoff};
use crate::secret::SecretText;
use crate::store::tokens::TokenKey;
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
    /// Names it to people.
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
    /// Whether it may be renewed at all.
    pub renewable: bool,
    /// Ends with this one; `None` for an orphan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<TokenKey>,
    /// Set once, when it ends; what lives under it is then ended, and its record goes last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Ended>,
}

/// The end of a token, while anything lives under it.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Ended {
    /// When it ended.
    pub since: Timestamp,
    /// How often the sweep has looked whether anything still lives under it.
    pub attempts: u32,
    /// When it looks again.
    pub retry_at: Timestamp,
}

impl Token {
    /// Whether the token is good now.
    #[must_use]
    pub fn is_held(&self, now: Timestamp) -> bool {
        self.ended.is_none() && self.term.is_none_or(|term| now < term.lapses_at())
    }

    /// When the sweep has to look at it; `None` for one that never ends by itself.
    #[must_use]
    pub fn due_at(&self) -> Option<Timestamp> {
        match (&self.ended, self.term) {
            (Some(ended), _) => Some(ended.retry_at),
            (None, term) => term.map(Term::lapses_at),
        }
    }

    /// The token ends, or the sweep looks again at one that has.
    #[must_use]
    pub fn end(mut self, now: Timestamp) -> Self {
        let before = self.ended.map_or((now, 0), |ended| (ended.since, ended.attempts));
        let attempts = before.1.saturating_add(1);
        let retry_at = now.plus(backoff::after(attempts));
        self.ended = Some(Ended { since: before.0, attempts, retry_at });
        self
    }

    /// The token ends because another did, unless it has ended already; the sweep is to look at it at once.
    #[must_use]
    pub fn end_soon(mut self, now: Timestamp) -> Self {
        self.ended.get_or_insert(Ended { since: now, attempts: 0, retry_at: now });
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
        self.term = Some(term.renewed(ttl, ceiling, now)?);
        self.renewed_at = Some(now);
        Ok(self)
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
