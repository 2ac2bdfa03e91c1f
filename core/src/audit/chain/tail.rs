//! Compares the end of a record with what was kept of it, when a process begins to write to it.

use super::{Found, Hash, Head, Linked, SIGNATURE};
use crate::audit::hex;
use crate::audit::keys::ChainKey;
use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};

/// What the end of a record shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Where the chain goes on.
    pub head: Head,
    /// How the record compares with what was kept.
    pub found: Found,
    /// Bytes of pieces after the last whole line.
    pub torn_bytes: u64,
}

/// Looks at the end of a record. `None`: more of it is needed, if there is `more` before this.
#[must_use]
pub fn look(end: &[u8], more: bool, kept: Head, key: &ChainKey) -> Option<Seen> {
    let mut lines = end.split(|byte| *byte == b'\n');
    let mut walk = Walk::default();
    if more {
        // It may be the end of a longer line.
        lines.next();
    }
    // What lacks only its newline is whole: whoever writes next begins with one.
    for line in lines.rev() {
        let Some((text, linked)) = read(line) else {
            walk.torn(line);
            continue;
        };
        walk.ends_within_line = false;
        let Some(place) = linked.chain else { continue };
        let head = Head { number: place.number, hash: Hash::of(text) };
        let is_ours = || is_signed(text, key.public_bytes());
        if linked.signature.is_some() && walk.is_ours.is_none() {
            walk.is_ours = Some(is_ours());
        }
        let last = *walk.last.get_or_insert(head);
        if walk.expected.is_some_and(|(number, hash)| (number, hash) != (head.number, head.hash)) {
            return Some(walk.seen(kept, Found::Other));
        }
        if last.number < kept.number {
            match walk.is_ours {
                None => continue,
                Some(false) => return Some(walk.seen(kept, Found::Other)),
                Some(true) => {
                    let from = last.number.saturating_add(1);
                    return Some(walk.seen(kept, Found::Cut { from, to: kept.number }));
                }
            }
        }
        if head.number == kept.number {
            let is_same = head.hash == kept.hash;
            let (head, found) = if is_same { (last, Found::Whole) } else { (kept, Found::Other) };
            return Some(walk.seen(head, found));
        }
        if linked.note.is_some_and(|note| note.tells_of_before()) && is_ours() {
            // It was written after the one that was kept, and nothing here leads further back.
            return Some(walk.seen(last, Found::Whole));
        }
        walk.expected = Some((place.number.saturating_sub(1), place.previous));
        walk.first = Some(text);
    }
    let leads_to_kept = walk.expected == Some((kept.number, kept.hash));
    // Lines that were kept may be in a file that was moved away: each file begins with a signed line. Or so many were
    // written since, as after a restore of an older store, that nobody looks that far back.
    let goes_on = || {
        let is_ours = |line| is_signed(line, key.public_bytes());
        walk.first.is_some_and(is_ours) || (walk.ends_within_line && walk.is_ours == Some(true))
    };
    match walk.last {
        _ if more => None,
        None if end.is_empty() => Some(walk.seen(kept, Found::Nothing)),
        None => Some(walk.seen(kept, Found::Unchained)),
        // Every chain goes back to where nothing was.
        Some(last) if leads_to_kept && (kept.number > 0 || walk.is_ours == Some(true)) => {
            Some(walk.seen(last, Found::Whole))
        }
        Some(last) if last.number > kept.number && goes_on() => Some(walk.seen(last, Found::Whole)),
        Some(_) => Some(walk.seen(kept, Found::Other)),
    }
}

/// What was seen on the way back from the end.
#[derive(Default)]
struct Walk<'a> {
    last: Option<Head>,
    /// The first line of the chain that was seen so far.
    first: Option<&'a str>,
    /// Whether the way back ends within a line: what is before that is not read.
    ends_within_line: bool,
    /// Bytes of pieces after the last line that is whole.
    torn_bytes: u64,
    /// What the line before the one that was seen must be.
    expected: Option<(u64, Hash)>,
    /// Whether the last signed line is signed by this device.
    is_ours: Option<bool>,
}

impl Walk<'_> {
    /// Notes what is no line. Several pieces stand after each other where processes have died while they began.
    fn torn(&mut self, piece: &[u8]) {
        self.ends_within_line = true;
        if self.last.is_none() {
            let more = u64::try_from(piece.len()).unwrap_or(u64::MAX);
            self.torn_bytes = self.torn_bytes.saturating_add(more);
        }
    }

    fn seen(&self, head: Head, found: Found) -> Seen {
        Seen { head, found, torn_bytes: self.torn_bytes }
    }
}

/// Reads a line, whosever it is.
fn read(line: &[u8]) -> Option<(&str, Linked)> {
    let text = std::str::from_utf8(line).ok()?;
    Some((text, serde_json::from_str(text).ok()?))
}

/// Tells whether a line is signed with this key.
pub(in crate::audit) fn is_signed(line: &str, public: &[u8]) -> bool {
    let Some((text, signature)) = line.rsplit_once(SIGNATURE) else { return false };
    // In one way only: another one of writing the digits would be another line with the same signature.
    let digits = signature.strip_suffix("\"}").filter(|it| !it.contains(char::is_uppercase));
    let signature = digits.and_then(hex::bytes::<64>);
    signature.is_some_and(|signature| {
        UnparsedPublicKey::new(&ED25519, public).verify(text.as_bytes(), &signature).is_ok()
    })
}
