//! What whoever asks says of a record: which lines it must have.

use super::{Kind, Verifier};
use crate::audit::chain::{Hash, Head};
use std::collections::BTreeSet;

/// The text is no public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a public key has 64 hexadecimal digits; the server logs it when it starts, and `sys/audit` shows it"
)]
pub struct BadPublicKey;

/// The text does not name a line of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a line is told by its number, or by that and its hash: `1234` or `1234:<64 digits>`")]
pub struct BadLine;

impl Verifier {
    /// Tells whether whoever asks has named this line with its hash.
    pub(super) fn is_named(&mut self, head: Head) -> bool {
        let named = [self.expected, self.before].into_iter().flatten();
        let mut is_named = false;
        for (number, hash) in named.filter(|(number, _)| *number == head.number) {
            if hash.is_some_and(|hash| hash != head.hash) {
                let message = format!("line {} is not the one that it was", head.number);
                self.fault(Kind::Changed, &message);
            }
            is_named |= hash == Some(head.hash);
            self.met.push(number);
        }
        is_named
    }

    /// Looks whether the record is sound as far as it must reach.
    pub(super) fn reached(&mut self) {
        let [last, proven] =
            [self.last, self.proven].map(|head| head.map_or(0, |head| head.number));
        match self.expected {
            Some((number, _)) if number > last => self.fault(
                Kind::Cut,
                &format!(
                    "the record ends with line {last}; the server has written up to line {number}"
                ),
            ),
            Some((number, _)) if number > proven => self.fault(
                Kind::Unsigned,
                &format!("the record is signed up to line {proven} only, and line {number} could be anybody's: name it with its hash, `NUMBER:HASH`, as `chain` of `sys/audit` has it"),
            ),
            Some(_) | None => {}
        }
        // A line whose hash somebody had was there, whatever was lost at its place.
        let is_given = self.report.first.unwrap_or(u64::MAX)..=last;
        let named = [self.expected, self.before].into_iter().flatten();
        let hashed: BTreeSet<_> = named.filter_map(|(number, hash)| hash.map(|_| number)).collect();
        for number in hashed.into_iter().filter(|number| is_given.contains(number)) {
            if !self.met.contains(&number) {
                self.fault(Kind::Removed, &format!("line {number} was named, and is not there"));
            }
        }
        if let Some((before, _)) = self.before.filter(|(before, _)| (1..*before).contains(&last)) {
            let message =
                format!("the record ends with line {last}; it was checked up to line {before}");
            self.fault(Kind::Cut, &message);
        }
    }
}

/// Reads which line is meant: by its number, or by its hash as well.
pub(super) fn named_line(text: &str) -> Result<(u64, Option<Hash>), BadLine> {
    let (number, hash) = text.split_once(':').map_or((text, None), |(n, h)| (n, Some(h)));
    let number = number.trim().parse().map_err(|_| BadLine)?;
    let hash = hash.map(|hash| Hash::parse(hash.trim()).ok_or(BadLine)).transpose()?;
    Ok((number, hash))
}
