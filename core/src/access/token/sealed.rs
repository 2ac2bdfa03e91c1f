//! Batch tokens: all of one is in its text, and none is stored.
//!
//! The text is sealed by a ring of keys that seals nothing else, and bound to the installation: a token of another one,
//! or of a copy, is unknown here. A new key takes over each day, and one is dropped when no token that it sealed can
//! still be good. So a text that was altered, cut or made up is told by its seal, before anything in it is believed.

use super::{Token, TokenKind, key_of};
use crate::access::login::LoginOrigin;
use crate::address::Network;
use crate::chance::Chance;
use crate::ids::{EntityId, InstallationId, TokenAccessor};
use crate::lease::term::Term;
use crate::seal::barrier::{SealingKey, Unreadable, id_of_key};
use crate::secret::{Locked, LockedKey, SecretText};
use crate::store::tokens::TokenKey;
use crate::store::{Key, Value};
use crate::time::Timestamp;
use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use zeroize::Zeroizing;

/// What every batch token begins with.
const BATCH_PREFIX: &str = "hvb.";
/// The longest text, in bytes: it has to fit into a header beside others.
pub const BATCH_TEXT_MAX: usize = 4096;
/// How long a key seals at least. Random nonces allow it 2^32 tokens: 49,000 a second for a day.
const KEY_SEALS_FOR: Duration = Duration::from_hours(24);
/// How many keys there may be, about: where tokens live for years, each key seals for longer.
const KEYS_MAX: u32 = 256;

/// The keys that seal batch tokens, the newest last.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BatchRing(Vec<BatchKey>);

#[derive(Clone, Serialize, Deserialize)]
struct BatchKey {
    id: u32,
    #[serde(with = "stored_key")]
    key: Arc<LockedKey>,
    since: Timestamp,
    /// No token that it sealed is good after this.
    until: Timestamp,
}

/// What is sealed: a letter for each name, for all of it travels with every request.
#[derive(Serialize, Deserialize)]
struct Inside {
    #[serde(rename = "o")]
    policies: Vec<String>,
    #[serde(rename = "n")]
    display_name: String,
    #[serde(rename = "f")]
    path: String,
    #[serde(rename = "m", default, skip_serializing_if = "BTreeMap::is_empty")]
    meta: BTreeMap<String, String>,
    #[serde(rename = "i")]
    issued_at: Timestamp,
    #[serde(rename = "e")]
    lapses_at: Timestamp,
    #[serde(rename = "p", default, skip_serializing_if = "Option::is_none")]
    parent: Option<TokenKey>,
    #[serde(rename = "b", default, skip_serializing_if = "Vec::is_empty")]
    bound_cidrs: Vec<Network>,
    #[serde(rename = "w", default, skip_serializing_if = "Option::is_none")]
    entity: Option<EntityId>,
    #[serde(rename = "l", default, skip_serializing_if = "Option::is_none")]
    login: Option<LoginOrigin>,
}

impl BatchRing {
    /// Returns the ring with a key that seals now, if it has none: for tokens that live for up to `ttl_max`.
    #[must_use]
    pub fn renewed(&self, ttl_max: Duration, now: Timestamp, chance: &dyn Chance) -> Option<Self> {
        let seals_for = ttl_max.checked_div(KEYS_MAX).unwrap_or_default().max(KEY_SEALS_FOR);
        let last = self.0.last();
        if last.is_some_and(|last| now < last.since.plus(seals_for)) {
            return None;
        }
        let mut key = Zeroizing::new([0; 32]);
        chance.fill(&mut *key);
        let key = Arc::new(Locked::new(key));
        let id = last.map_or(0, |last| last.id).wrapping_add(1);
        let until = now.plus(seals_for).plus(ttl_max);
        let kept = self.0.iter().filter(|key| now < key.until).cloned();
        let ring = kept.chain([BatchKey { id, key, since: now, until }]).collect();
        Some(Self(ring))
    }

    /// Writes a token into its text.
    pub fn seal(
        &self,
        token: &Token,
        installation: InstallationId,
        chance: &dyn Chance,
    ) -> Result<SecretText, Unreadable> {
        let inside = Inside {
            policies: token.policies.clone(),
            display_name: token.display_name.clone(),
            path: token.path.clone(),
            meta: token.meta.clone(),
            issued_at: token.issued_at,
            lapses_at: token.term.ok_or(Unreadable)?.lapses_at(),
            parent: token.parent,
            bound_cidrs: token.bound_cidrs.clone(),
            entity: token.entity,
            login: token.login.clone(),
        };
        let plain = Zeroizing::new(serde_json::to_vec(&inside).map_err(|_| Unreadable)?);
        let key = self.0.last().ok_or(Unreadable)?;
        let sealed = key.sealing().seal(&bound_to(installation), &plain, chance);
        let mut text = BATCH_PREFIX.to_owned();
        URL_SAFE_NO_PAD.encode_string(sealed.0, &mut text);
        Ok(SecretText::new(text))
    }

    /// Reads a token from its text; that it is held is for the caller to see.
    pub fn open(
        &self,
        text: &SecretText,
        installation: InstallationId,
        hashing: &hmac::Key,
    ) -> Result<Token, Unreadable> {
        let sealed = text.reveal().strip_prefix(BATCH_PREFIX).ok_or(Unreadable)?;
        if sealed.len() > BATCH_TEXT_MAX {
            return Err(Unreadable);
        }
        let sealed = Value(URL_SAFE_NO_PAD.decode(sealed).map_err(|_| Unreadable)?);
        let id = id_of_key(&sealed).ok_or(Unreadable)?;
        let key = self.0.iter().find(|key| key.id == id).ok_or(Unreadable)?;
        let plain = key.sealing().open(&bound_to(installation), &sealed)?;
        let inside: Inside = serde_json::from_slice(&plain).map_err(|_| Unreadable)?;
        Ok(Token {
            key: key_of(hashing, text),
            kind: TokenKind::Batch,
            accessor: TokenAccessor::from_bytes([0; 16]),
            policies: inside.policies,
            display_name: inside.display_name,
            path: inside.path,
            meta: inside.meta,
            issued_at: inside.issued_at,
            renewed_at: None,
            term: Some(Term::until(inside.lapses_at)),
            creation_ttl: inside.lapses_at.since(inside.issued_at),
            explicit_max_ttl: Duration::ZERO,
            period: Duration::ZERO,
            num_uses: 0,
            spent_at: None,
            renewable: false,
            parent: inside.parent,
            bound_cidrs: inside.bound_cidrs,
            login: inside.login,
            role: None,
            entity: inside.entity,
            ended: None,
            wraps: None,
        })
    }
}

impl BatchKey {
    fn sealing(&self) -> SealingKey {
        SealingKey::new(self.id, &self.key)
    }
}

impl fmt::Debug for BatchRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ids: Vec<_> = self.0.iter().map(|key| key.id).collect();
        f.debug_tuple("BatchRing").field(&ids).finish()
    }
}

/// A key is stored as its bytes.
mod stored_key {
    use super::{Arc, Locked, LockedKey, Zeroizing};
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(key: &Arc<LockedKey>, to: S) -> Result<S::Ok, S::Error> {
        (****key).serialize(to)
    }

    pub(super) fn deserialize<'de, D>(from: D) -> Result<Arc<LockedKey>, D::Error>
    where
        D: Deserializer<'de>,
    {
        Ok(Arc::new(Locked::new(Zeroizing::new(<[u8; 32]>::deserialize(from)?))))
    }
}

/// Whether a text is that of a batch token, good or not: no other token may begin so.
#[must_use]
pub fn is_batch(text: &SecretText) -> bool {
    text.reveal().starts_with(BATCH_PREFIX)
}

fn bound_to(installation: InstallationId) -> Key {
    Key([b"batch-token/", installation.bytes().as_slice()].concat())
}

#[cfg(test)]
mod tests {
    use super::super::tests::token;
    use super::*;
    use crate::chance::testing::Counting;

    const DAY: Duration = Duration::from_hours(24);

    fn batch() -> Token {
        let term = Some(Term::until(Timestamp(3_601_000)));
        let meta = BTreeMap::from([("team".to_owned(), "shop".to_owned())]);
        Token { kind: TokenKind::Batch, policies: vec!["app".into()], term, meta, ..token() }
    }

    #[test]
    fn a_token_reads_back_from_its_text_and_from_no_other() {
        let (chance, hashing) = (Counting::default(), hmac::Key::new(hmac::HMAC_SHA256, b"key"));
        let now = Timestamp(1_000);
        let ring = BatchRing::default().renewed(DAY, now, &chance).unwrap();
        let installation = InstallationId::new(now, &chance);
        let bound_cidrs = vec!["192.0.2.0/24".parse().unwrap()];
        let entity = Some(EntityId::from_bytes([9; 16]));
        let token = Token { parent: Some(TokenKey([7; 32])), bound_cidrs, entity, ..batch() };
        let text = ring.seal(&token, installation, &chance).unwrap();
        assert!(is_batch(&text) && !text.reveal().contains("app"));
        let read = ring.open(&text, installation, &hashing).unwrap();
        assert_eq!((&read.policies, &read.meta), (&token.policies, &token.meta));
        assert_eq!((read.parent, read.term, read.kind), (token.parent, token.term, token.kind));
        assert_eq!(read.entity, entity);
        assert_eq!(
            (read.creation_ttl, &read.bound_cidrs),
            (Duration::from_hours(1), &token.bound_cidrs)
        );

        let other = InstallationId::new(Timestamp(2_000), &chance);
        assert!(ring.open(&text, other, &hashing).is_err(), "another installation took it");
        let letters = text.reveal().as_bytes();
        for at in BATCH_PREFIX.len()..letters.len() {
            let mut altered = letters.to_vec();
            altered[at] = if altered[at] == b'A' { b'B' } else { b'A' };
            let altered = SecretText::new(String::from_utf8(altered).unwrap());
            // The last letter has bits that mean nothing, and whatever sets them is no text of ours either.
            assert!(ring.open(&altered, installation, &hashing).is_err(), "letter {at}");
            let cut = String::from_utf8(letters[..at].to_vec()).unwrap();
            assert!(ring.open(&SecretText::new(cut), installation, &hashing).is_err());
        }
        let none = BatchRing::default().renewed(DAY, now, &Counting::default()).unwrap();
        assert!(none.seal(&Token { term: None, ..batch() }, installation, &chance).is_err());
    }

    #[test]
    fn a_key_seals_for_a_day_and_opens_until_no_token_of_it_is_good() {
        let (chance, hashing) = (Counting::default(), hmac::Key::new(hmac::HMAC_SHA256, b"key"));
        let mut now = Timestamp(1_000);
        let first = BatchRing::default().renewed(DAY, now, &chance).unwrap();
        let installation = InstallationId::new(now, &chance);
        let text = first.seal(&batch(), installation, &chance).unwrap();
        assert!(first.renewed(DAY, now.plus(DAY / 2), &chance).is_none());
        let mut ring = first;
        for day in 1..10 {
            now = now.plus(DAY);
            ring = ring.renewed(DAY, now, &chance).unwrap();
            assert_eq!(ring.open(&text, installation, &hashing).is_ok(), day < 2, "day {day}");
            assert!(ring.0.len() <= 2);
        }
        let long = BatchRing::default().renewed(DAY * 36_500, now, &chance).unwrap();
        assert!(long.renewed(DAY * 36_500, now.plus(DAY * 100), &chance).is_none());
    }
}
