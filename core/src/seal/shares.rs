//! Splits a key among people, so that any so many of them have it together and fewer have nothing: Shamir's scheme
//! over GF(2^8), byte by byte.
//!
//! The field is that of AES (`x^8 + x^4 + x^3 + x + 1`), and a share is written as Vault's are: the 32 values of the
//! polynomials, and then the point at which they were taken. A key that is not split is its own only share, without a
//! point. No operation takes a time, or reads from a place, that depends on what is secret.

use crate::chance::Chance;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use std::fmt;
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// The bytes of a key that can be split.
pub const KEY_BYTES: usize = 32;
/// The bytes of a share: the key's, and its point.
const SHARE_BYTES_MAX: usize = KEY_BYTES + 1;
/// Vault's bound: below it a text that is hexadecimal is taken for base64.
const SHARE_BYTES_MIN: usize = 16;

/// A key that can be split.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct WholeKey([u8; KEY_BYTES]);

/// What one person has of a key.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Share(Vec<u8>);

/// Into how many shares a key is split, and how many of them are needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Split {
    shares: u8,
    threshold: u8,
}

/// A key cannot be split so. The messages are Vault's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SplitError {
    /// Nobody would have it.
    #[error("shares must be at least one")]
    NoShares,
    /// There are no more points.
    #[error("shares must be less than 256")]
    TooManyShares,
    /// It would need nobody.
    #[error("threshold must be at least one")]
    NoThreshold,
    /// Nobody could ever have it again.
    #[error("threshold cannot be larger than shares")]
    ThresholdPastShares,
    /// Everybody would have all of it.
    #[error("threshold must be greater than one for multiple shares")]
    CopiesOnly,
}

/// A text is no share. The messages are Vault's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShareTextError {
    /// It is in no form that shares are written in.
    #[error("'key' must be a valid hex or base64 string")]
    NoShare,
    /// It is too short for a key.
    #[error("invalid key: key is shorter than minimum {SHARE_BYTES_MIN} bytes")]
    TooShort,
    /// It is too long for a share.
    #[error("invalid key: key is longer than maximum {SHARE_BYTES_MAX} bytes")]
    TooLong,
}

impl Split {
    /// Splits a key into so many shares, of which so many are needed.
    pub fn new(shares: i64, threshold: i64) -> Result<Self, SplitError> {
        if shares < 1 {
            return Err(SplitError::NoShares);
        }
        let shares = u8::try_from(shares).map_err(|_| SplitError::TooManyShares)?;
        if threshold < 1 {
            return Err(SplitError::NoThreshold);
        }
        let threshold = u8::try_from(threshold).unwrap_or(u8::MAX);
        if threshold > shares {
            return Err(SplitError::ThresholdPastShares);
        }
        if threshold == 1 && shares > 1 {
            return Err(SplitError::CopiesOnly);
        }
        Ok(Self { shares, threshold })
    }

    /// Into how many.
    #[must_use]
    pub fn shares(self) -> usize {
        usize::from(self.shares)
    }

    /// How many are needed.
    #[must_use]
    pub fn threshold(self) -> usize {
        usize::from(self.threshold)
    }
}

impl WholeKey {
    /// Draws a key.
    pub fn draw(chance: &dyn Chance) -> Self {
        let mut bytes = [0; KEY_BYTES];
        chance.fill(&mut bytes);
        Self(bytes)
    }

    /// Shows the key, for making a cipher of it.
    pub(super) fn expose(&self) -> &[u8; KEY_BYTES] {
        &self.0
    }

    /// Splits the key.
    pub fn split(&self, split: Split, chance: &dyn Chance) -> Vec<Share> {
        if split.shares == 1 {
            return vec![Share(self.0.to_vec())];
        }
        let mut shares: Vec<_> =
            (1..=split.shares).map(|_| Share(Vec::with_capacity(SHARE_BYTES_MAX))).collect();
        // A polynomial for each byte: the byte, and as many drawn coefficients as leave one share too few with nothing.
        let drawn = usize::from(split.threshold.saturating_sub(1));
        let mut coefficients = Zeroizing::new(vec![0; drawn]);
        for byte in &self.0 {
            chance.fill(&mut coefficients);
            for (point, share) in (1..=split.shares).zip(&mut shares) {
                let rest = coefficients.iter().fold(0, |sum, of| mul(sum, point) ^ of);
                share.0.push(mul(rest, point) ^ byte);
            }
        }
        for (point, share) in (1..=split.shares).zip(&mut shares) {
            share.0.push(point);
        }
        shares
    }

    /// Joins shares. Of too few, or of different keys, it makes a key that is nobody's; nothing if they cannot belong
    /// together at all.
    pub fn join(shares: &[&Share]) -> Option<Self> {
        if let [whole] = shares {
            return whole.0.as_slice().try_into().ok().map(Self);
        }
        let parts: Vec<_> = shares.iter().map(|share| share.parts()).collect::<Option<_>>()?;
        let mut bytes = Zeroizing::new([0; KEY_BYTES]);
        for (point, values) in &parts {
            let weight = weight(*point, &parts)?;
            for (byte, value) in bytes.iter_mut().zip(values.iter()) {
                *byte ^= mul(weight, *value);
            }
        }
        (!parts.is_empty()).then(|| Self(*bytes))
    }
}

/// Lagrange's factor of the value at a point, for the value at zero; none if two points are the same. Points are not
/// secret.
fn weight(at: u8, parts: &[(u8, &[u8; KEY_BYTES])]) -> Option<u8> {
    let mut weight = 1;
    let mut same = 0_usize;
    for (point, _) in parts {
        if *point == at {
            same = same.saturating_add(1);
        } else {
            weight = mul(weight, mul(*point, inverse(*point ^ at)));
        }
    }
    (same == 1).then_some(weight)
}

impl Share {
    /// Reads a share as people write it: in hexadecimal, or else in base64.
    pub fn parse(text: &str) -> Result<Self, ShareTextError> {
        let lengths = SHARE_BYTES_MIN..=SHARE_BYTES_MAX;
        let share = match from_hex(text).filter(|share| lengths.contains(&share.0.len())) {
            Some(share) => share,
            None => STANDARD.decode(text).map(Self).map_err(|_| ShareTextError::NoShare)?,
        };
        if share.0.len() < SHARE_BYTES_MIN {
            Err(ShareTextError::TooShort)
        } else if share.0.len() > SHARE_BYTES_MAX {
            Err(ShareTextError::TooLong)
        } else {
            Ok(share)
        }
    }

    /// Writes the share in hexadecimal, to be told to its holder.
    #[must_use]
    pub fn hex(&self) -> Zeroizing<String> {
        let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).unwrap_or('0');
        let digits = self.0.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]);
        let mut text = Zeroizing::new(String::with_capacity(SHARE_BYTES_MAX * 2));
        text.extend(digits);
        text
    }

    /// Writes the share in base64, to be told to its holder.
    #[must_use]
    pub fn base64(&self) -> Zeroizing<String> {
        Zeroizing::new(STANDARD.encode(&self.0))
    }

    /// Shows the share, for hashing it.
    pub(super) fn expose(&self) -> &[u8] {
        &self.0
    }

    /// Tells whether two shares are the same.
    pub(super) fn is(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }

    /// Returns the point and the values of a share.
    fn parts(&self) -> Option<(u8, &[u8; KEY_BYTES])> {
        let (point, values) = self.0.split_last()?;
        Some((*point, values.try_into().ok()?)).filter(|_| *point != 0)
    }
}

impl fmt::Debug for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Share(..)")
    }
}

impl fmt::Debug for WholeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WholeKey(..)")
    }
}

fn from_hex(text: &str) -> Option<Share> {
    let mut share = Share(Vec::with_capacity(SHARE_BYTES_MAX));
    let mut digits = text.chars();
    // Longer texts are none, and are not read to their end.
    while share.0.len() <= SHARE_BYTES_MAX {
        let Some(high) = digits.next() else { return Some(share) };
        let value = |digit: char| digit.to_digit(16).and_then(|value| u8::try_from(value).ok());
        share.0.push((value(high)? << 4) | value(digits.next()?)?);
    }
    None
}

/// Multiplies in the field.
fn mul(a: u8, b: u8) -> u8 {
    let (mut a, mut b, mut product) = (a, b, 0_u8);
    for _ in 0..8 {
        product ^= 0_u8.wrapping_sub(b & 1) & a;
        a = (a << 1) ^ (0_u8.wrapping_sub(a >> 7) & 0x1b);
        b >>= 1;
    }
    product
}

/// Returns what makes one of it, which is its 254th power; zero has none and gives zero.
fn inverse(a: u8) -> u8 {
    // 254 is 11111110 in binary.
    let mut power = a;
    for _ in 0..6 {
        power = mul(mul(power, power), a);
    }
    mul(power, power)
}

#[cfg(test)]
#[path = "shares/tests.rs"]
mod tests;
