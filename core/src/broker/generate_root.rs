//! Makes a root token for the holders of key shares: for an installation whose root tokens are all revoked, as they
//! should be.
//!
//! The token is told exclusive-ored with a one-time password that only whoever began it has, so that neither who shows
//! the last share nor who reads along gets it.

use super::authenticate::AdmitError;
use super::holders::{HolderError, Holders};
use super::token::root_token_of;
use super::{Broker, Request};
use crate::access::token::{EndCause, TEXT_CHARS, draw, key_of};
use crate::seal::shares::Share;
use crate::seal::splits::{Gathered, Joined};
use crate::secret::SecretText;
use crate::store::Batch;
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use std::sync::Arc;
use zeroize::Zeroizing;

const WHAT: &str = "root generation";
/// What a one-time password is drawn from.
const LETTERS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// A root token that was asked for.
#[derive(Debug)]
pub(super) struct RootWanted {
    gathered: Gathered,
    otp: SecretText,
}

/// How far it is.
#[derive(Debug, Default)]
pub struct RootGeneration {
    /// Names it; empty if it has not begun.
    pub nonce: String,
    /// How many shares were shown.
    pub progress: usize,
    /// How many are needed.
    pub required: usize,
    /// The one-time password, told once, to whoever began.
    pub otp: Option<SecretText>,
    /// The token, exclusive-ored with it, once there were enough shares.
    pub encoded: Option<SecretText>,
}

/// How long a one-time password is.
pub const OTP_CHARS: usize = TEXT_CHARS;

impl Broker {
    /// Tells how far it is.
    pub async fn root_generation(&self) -> Result<RootGeneration, HolderError> {
        let required = self.deciders().await?.required();
        let begun = self.begun.root.lock().await;
        let told = |begun: &RootWanted| (begun.gathered.nonce.clone(), begun.gathered.progress());
        let (nonce, progress) = begun.as_ref().map(told).unwrap_or_default();
        Ok(RootGeneration { nonce, progress, required, ..RootGeneration::default() })
    }

    /// Begins, with a one-time password of the caller's or one that is drawn.
    pub async fn begin_root_generation(
        self: &Arc<Self>,
        request: &Request,
        share: Option<&Share>,
        otp: Option<SecretText>,
    ) -> Result<RootGeneration, HolderError> {
        let holders = self.deciders().await?;
        let caller = self.admit_holder(request, share, &holders).await?;
        let outcome = self.store_wanted(&holders, otp).await;
        self.conclude_holder(request, caller.as_ref(), &outcome).await?;
        outcome
    }

    async fn store_wanted(
        &self,
        holders: &Holders,
        otp: Option<SecretText>,
    ) -> Result<RootGeneration, HolderError> {
        let required = holders.required();
        if required == 0 {
            return Err(HolderError::NoHolders);
        }
        let otp = otp.unwrap_or_else(|| self.drawn_otp());
        if otp.reveal().len() != OTP_CHARS {
            return Err(HolderError::Bad(format!("`otp` must have {OTP_CHARS} characters")));
        }
        let mut begun = self.begun.root.lock().await;
        if begun.is_some() {
            return Err(HolderError::InProgress(WHAT));
        }
        let gathered = Gathered::new(&*self.chance);
        let nonce = gathered.nonce.clone();
        let told = SecretText::new(otp.reveal().to_owned());
        *begun = Some(RootWanted { gathered, otp });
        Ok(RootGeneration { nonce, required, otp: Some(told), ..RootGeneration::default() })
    }

    /// Gives up what was begun; where nothing was there is nothing to be allowed.
    pub async fn cancel_root_generation(
        self: &Arc<Self>,
        request: &Request,
        share: Option<&Share>,
    ) -> Result<(), HolderError> {
        if self.begun.root.lock().await.is_none() {
            return Ok(());
        }
        let holders = self.deciders().await?;
        let caller = self.admit_holder(request, share, &holders).await?;
        *self.begun.root.lock().await = None;
        self.conclude_holder(request, caller.as_ref(), &Ok(())).await
    }

    /// Takes a share; with enough of them there is a token.
    pub async fn go_on_with_root_generation(
        self: &Arc<Self>,
        request: &Request,
        nonce: &str,
        share: Share,
    ) -> Result<RootGeneration, HolderError> {
        let holders = self.deciders().await?;
        self.admit_holder(request, Some(&share), &holders).await?;
        let outcome = self.shown_for_root(&holders, nonce, share).await;
        let concluded = self.conclude_holder(request, None, &outcome).await;
        match (outcome, concluded) {
            (Ok((generation, made)), Err(error)) => {
                // Nobody will know of it.
                if let Some(text) = made {
                    self.end_token_soon(key_of(&self.token_key, &text), EndCause::Untold);
                }
                drop(generation);
                Err(error)
            }
            (Ok((generation, _)), Ok(())) => Ok(generation),
            (Err(error), _) => Err(error),
        }
    }

    async fn shown_for_root(
        self: &Arc<Self>,
        holders: &Holders,
        nonce: &str,
        share: Share,
    ) -> Result<(RootGeneration, Option<SecretText>), HolderError> {
        let mut begun = self.begun.root.lock().await;
        let wanted = begun.as_mut().ok_or(HolderError::NotInProgress(WHAT))?;
        if wanted.gathered.nonce != nonce {
            let nonce = wanted.gathered.nonce.clone();
            return Err(HolderError::OtherNonce { what: WHAT, nonce });
        }
        let (nonce, required) = (nonce.to_owned(), holders.required());
        let told = RootGeneration { nonce, required, ..RootGeneration::default() };
        let Some(joined) = self.gather(&mut wanted.gathered, holders, share)? else {
            let progress = wanted.gathered.progress();
            return Ok((RootGeneration { progress, ..told }, None));
        };
        let text = draw(&*self.chance);
        if let Err(error) = self.store_root_token(&text, holders, &joined).await {
            // It may be kept, and nobody has it.
            self.end_token_soon(key_of(&self.token_key, &text), EndCause::Untold);
            return Err(error);
        }
        let encoded = Some(encoded(&text, &wanted.otp));
        *begun = None;
        Ok((RootGeneration { progress: required, encoded, ..told }, Some(text)))
    }

    async fn store_root_token(
        &self,
        text: &SecretText,
        holders: &Holders,
        joined: &Joined,
    ) -> Result<(), HolderError> {
        let (now, chance) = (self.clock.now(), &*self.chance);
        let token = root_token_of(&self.token_key, text, "root", now, chance);
        let mut batch = self.records.put_new_token(Batch::default(), &token)?;
        if joined.is_first_showing() {
            let shown = holders.stored.splits.once_shown(joined);
            batch = self.keep_holders(batch, holders, &shown)?;
        }
        self.records.commit(batch).await.map_err(AdmitError::from)?;
        Ok(())
    }

    fn drawn_otp(&self) -> SecretText {
        let letter = || {
            let place = self.chance.below(62);
            let place = usize::try_from(place).unwrap_or_default();
            LETTERS.get(place).map_or('0', |letter| char::from(*letter))
        };
        SecretText::new((0..OTP_CHARS).map(|_| letter()).collect())
    }
}

/// Makes of what the holder of the last share is told, and the one-time password, the token. Nothing, if they do not
/// fit.
#[must_use]
pub fn decoded_root_token(encoded: &str, otp: &str) -> Option<SecretText> {
    let bytes = Zeroizing::new(STANDARD_NO_PAD.decode(encoded.trim_end_matches('=')).ok()?);
    let pairs = bytes.iter().zip(otp.bytes());
    let text = pairs.map(|(one, other)| one ^ other).collect();
    (bytes.len() == otp.len()).then(|| String::from_utf8(text).ok().map(SecretText::new)).flatten()
}

fn encoded(text: &SecretText, otp: &SecretText) -> SecretText {
    let pairs = text.reveal().bytes().zip(otp.reveal().bytes());
    let bytes: Zeroizing<Vec<u8>> = Zeroizing::new(pairs.map(|(one, other)| one ^ other).collect());
    SecretText::new(STANDARD_NO_PAD.encode(&*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_decoded_with_its_one_time_password_and_nothing_else() {
        let token = SecretText::new("hvs.abc".to_owned());
        let told = encoded(&token, &SecretText::new("0123456".to_owned()));
        let decoded = |otp: &str| decoded_root_token(told.reveal(), otp);
        assert_eq!(decoded("0123456").unwrap().reveal(), "hvs.abc");
        assert!(decoded("012345").is_none() && decoded("01234567").is_none());
        assert!(decoded_root_token("not base64!", "0123456").is_none());
        // As a real server told it, to a client that decoded it so.
        let real =
            decoded_root_token("Q0gsNxtkK0QEKXI3UyQ+djk9Blw0Lm8KJCA", "0fdrCWcquk3Y8HMDHh64LVYxIm");
        assert!(real.unwrap().reveal().starts_with("s."));
    }
}
