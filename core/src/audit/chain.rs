//! The chain of one device: its lines are numbered, each names the hash of the one before it, and now and then a
//! line is signed. So a line that is removed, changed, added or moved is noticed by whoever has the public key.
//!
//! What is about the chain stands at the end of a line, where who reads Vault's records finds nothing in their way:
//!
//! ```text
//! {…,"chain":{"key":1,"number":7,"previous":"<the SHA-256 of line 6>"}}
//! {"time":…,"type":"checkpoint","note":{…},"chain":{…},"signature":"<of all before this field>"}
//! ```
//!
//! Lines that were handed to a device and did not arrive keep their numbers. The next signed line says which they
//! are, so that they can be told from lines that somebody has removed.

pub(super) mod tail;

pub use tail::{Seen, look};

use super::hex;
use super::keys::ChainKey;
use crate::ids::InstallationId;
use crate::time::Timestamp;
use aws_lc_rs::digest::{SHA256, digest};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt::Write as _;

/// Before the signature of a line; what stands before it is signed.
pub(super) const SIGNATURE: &str = ",\"signature\":\"";
/// Lines after which one is signed, even if a second has not passed.
pub const UNSIGNED_MAX: u64 = 4096;
/// By how much a chain is moved on where nobody can see which lines followed the last one that was kept: more than
/// are written in the seconds between two times of keeping.
const UNSEEN_MAX: u64 = 1_000_000;

/// A line of a chain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// Its number; the first line has 1.
    pub number: u64,
    /// The SHA-256 of its text without the newline; zeros before the first line.
    pub hash: Hash,
}

/// The hash of a line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hash([u8; 32]);

/// A chain that goes on.
#[derive(Debug)]
pub struct Chain {
    device: String,
    installation: InstallationId,
    key: ChainKey,
    head: Head,
    /// The last line that is known to have arrived.
    arrived: u64,
    /// Its hash, if it is a line of ours, or the one that was kept.
    arrived_as: Option<Hash>,
    /// The last line that is signed, or is before one that is.
    signed: u64,
}

/// Why a line is signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "reason")]
pub enum Note {
    /// A process begins to write, and says what it found.
    Began {
        /// How the record compares with what was kept of it.
        found: Found,
        /// Bytes at its end that are no whole line.
        #[serde(default, skip_serializing_if = "is_zero")]
        torn_bytes: u64,
    },
    /// Some lines, or some time, have passed.
    Checkpoint,
    /// The device missed lines.
    Gap {
        /// Those that never had a number.
        missed: u64,
        /// Bytes of lines that were cut off.
        #[serde(default, skip_serializing_if = "is_zero")]
        torn_bytes: u64,
    },
    /// The process ends; the next line says that one begins.
    Ended,
}

/// How a record compares with what was kept of it, when a process begins to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "is")]
pub enum Found {
    /// There is nothing: it is new, or was moved away.
    Nothing,
    /// There are only lines that are of no chain.
    Unchained,
    /// It ends where it was when that was kept, or goes on from there without a fault.
    Whole,
    /// It ends before that: these lines were cut off, or are in a file that was moved away.
    Cut {
        /// The first of them.
        from: u64,
        /// The last one that is known of.
        to: u64,
    },
    /// It is another record, or was altered.
    Other,
    /// What is there cannot be read by who writes it: a pipe, another machine.
    Unseen,
}

/// Lines that may not have arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lost {
    /// The first of them.
    pub from: u64,
    /// The last.
    pub to: u64,
    /// The hash of the line before the first, if this process has written it, or the one before has signed it: who named
    /// what it has only found would vouch for whoever had written it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Hash>,
}

/// What is about the chain in a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Link {
    pub(super) number: u64,
    pub(super) previous: Hash,
}

/// What is looked at of a line, whosever it is.
#[derive(Debug, Deserialize)]
pub(super) struct Linked {
    pub(super) chain: Option<Link>,
    #[serde(default)]
    pub(super) time: serde_json::Value,
    #[serde(default)]
    pub(super) note: Option<Noted>,
    #[serde(default)]
    pub(super) signature: Option<String>,
}

/// What a signed line says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Noted {
    pub(super) device: String,
    pub(super) installation: InstallationId,
    #[serde(flatten)]
    pub(super) note: Note,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) lost: Option<Lost>,
}

impl Noted {
    /// Whether this line says what became of those before it, which need not lead to it.
    pub(super) fn tells_of_before(&self) -> bool {
        self.lost.is_some() || matches!(self.note, Note::Began { .. })
    }

    /// Returns the line before those that may not have arrived, if it is named: by its hash, or, where a process begins that
    /// cannot know which ones followed what was kept, by the one that this line names as `previous`.
    pub(super) fn left(&self, previous: Hash) -> Option<Head> {
        let lost = self.lost?;
        let passes_over = matches!(self.note, Note::Began { found, .. } if found != Found::Whole);
        let hash = lost.after.or(passes_over.then_some(previous))?;
        Some(Head { number: lost.from.saturating_sub(1), hash })
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Hash {
    /// Returns the hash of a line.
    #[must_use]
    pub fn of(line: &str) -> Self {
        let hash = digest(&SHA256, line.as_bytes());
        Self(hash.as_ref().try_into().unwrap_or_default())
    }

    /// Reads its text.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        hex::bytes(text).map(Self)
    }

    /// Returns its text.
    #[must_use]
    pub fn text(&self) -> String {
        hex::text(&self.0)
    }
}

impl Serialize for Hash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text())
    }
}

impl<'de> Deserialize<'de> for Hash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        let wrong = || serde::de::Error::custom("a hash has 64 hexadecimal digits");
        Self::parse(&text).ok_or_else(wrong)
    }
}

impl Chain {
    /// Goes on after `head`. What processes before this one may have written after it without anybody knowing is
    /// passed over; so many of them are `unseen`.
    #[must_use]
    pub fn new(
        device: String,
        installation: InstallationId,
        key: ChainKey,
        head: Head,
        unseen: u64,
    ) -> Self {
        let arrived = head.number;
        let arrived_as = (unseen > 0).then_some(head.hash);
        let passed = UNSEEN_MAX.saturating_mul(unseen);
        let head = Head { number: head.number.saturating_add(passed), ..head };
        Self { device, installation, key, head, arrived, arrived_as, signed: arrived }
    }

    /// Appends a line to `text`, with what is about the chain at its end, and returns which one it is.
    pub fn link(&mut self, line: &str, text: &mut String) -> Head {
        let from = text.len();
        text.push_str(line.strip_suffix('}').unwrap_or(line));
        self.close(text);
        text.push('}');
        self.head.hash = Hash::of(text.get(from..).unwrap_or_default());
        self.head
    }

    /// Returns a signed line, which is part of the chain.
    pub fn note(&mut self, note: Note, now: Timestamp) -> String {
        let (device, installation) = (self.device.clone(), self.installation);
        let from = self.arrived.saturating_add(1);
        let (to, after) = (self.head.number, self.arrived_as);
        let lost = (from <= to).then_some(Lost { from, to, after });
        let noted = Noted { device, installation, note, lost };
        let noted = serde_json::to_string(&noted).unwrap_or_default();
        let mut line =
            format!(r#"{{"time":"{}","type":"checkpoint","note":{noted}"#, now.rfc3339());
        self.close(&mut line);
        let signature = self.key.sign(&line);
        line.push_str(SIGNATURE);
        line.push_str(&signature);
        line.push_str("\"}");
        self.head.hash = Hash::of(&line);
        line
    }

    fn close(&mut self, line: &mut String) {
        self.head.number = self.head.number.saturating_add(1);
        let (key, number) = (self.key.version, self.head.number);
        // Writing to a text cannot fail.
        let _ = write!(line, r#","chain":{{"key":{key},"number":{number},"previous":""#);
        hex::push(line, &self.head.hash.0);
        line.push_str("\"}");
    }

    /// Notes that all lines up to this one have arrived, or are known not to have.
    pub fn arrived(&mut self, line: Head) {
        if line.number > self.arrived {
            (self.arrived, self.arrived_as) = (line.number, Some(line.hash));
        }
    }

    /// Notes that all lines up to this one are signed.
    pub fn signed(&mut self, number: u64) {
        self.signed = self.signed.max(number);
    }

    /// Returns the last line.
    #[must_use]
    pub fn head(&self) -> Head {
        self.head
    }

    /// Returns how many lines are not signed yet.
    #[must_use]
    pub fn unsigned(&self) -> u64 {
        self.head.number.saturating_sub(self.signed)
    }

    /// Whether lines may not have arrived that no signed line tells of yet.
    #[must_use]
    pub fn has_lost(&self) -> bool {
        self.arrived < self.head.number
    }
}

#[cfg(test)]
#[path = "chain/tests.rs"]
mod tests;
