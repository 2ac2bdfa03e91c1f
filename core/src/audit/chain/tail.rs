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
    /// Bytes after the last whole line.
    pub torn_bytes: u64,
}

/// Looks at the end of a record. `None`: more of it is needed, if there is `more` before this.
#[must_use]
pub fn look(end: &[u8], more: bool, kept: Head, key: &ChainKey) -> Option<Seen> {
    let mut lines = end.split(|byte| *byte == b'\n');
    let torn = lines.next_back().unwrap_or_default();
    let torn_bytes = u64::try_from(torn.len()).unwrap_or(u64::MAX);
    if more {
        // It may be the end of a longer line.
        lines.next();
    }
    let seen = |head, found| Some(Seen { head, found, torn_bytes });
    let mut walk = Walk::default();
    for line in lines.rev() {
        let line = std::str::from_utf8(line).unwrap_or_default();
        // What cannot be read was torn, or is of no chain.
        let Ok(Linked { chain: Some(place), signature, .. }) = serde_json::from_str(line) else {
            continue;
        };
        let head = Head { number: place.number, hash: Hash::of(line) };
        if signature.is_some() && walk.is_ours.is_none() {
            walk.is_ours = Some(is_signed(line, key.public_bytes()));
        }
        let last = *walk.last.get_or_insert(head);
        if walk.expected.is_some_and(|(number, hash)| (number, hash) != (head.number, head.hash)) {
            return seen(kept, Found::Other);
        }
        if last.number < kept.number {
            match walk.is_ours {
                None => continue,
                Some(false) => return seen(kept, Found::Other),
                Some(true) => {
                    let from = last.number.saturating_add(1);
                    return seen(kept, Found::Cut { from, to: kept.number });
                }
            }
        }
        if head.number == kept.number {
            let is_same = head.hash == kept.hash;
            return if is_same { seen(last, Found::Whole) } else { seen(kept, Found::Other) };
        }
        walk.expected = Some((place.number.saturating_sub(1), place.previous));
    }
    let leads_to_kept = walk.expected == Some((kept.number, kept.hash));
    match walk.last {
        _ if more => None,
        None if end.is_empty() => seen(kept, Found::Nothing),
        None => seen(kept, Found::Unchained),
        // The line that was kept is in a file that was moved away; every chain goes back to where nothing was.
        Some(last) if leads_to_kept && (kept.number > 0 || walk.is_ours == Some(true)) => {
            seen(last, Found::Whole)
        }
        Some(_) => seen(kept, Found::Other),
    }
}

/// What was seen on the way back from the end.
#[derive(Default)]
struct Walk {
    last: Option<Head>,
    /// What the line before the one that was seen must be.
    expected: Option<(u64, Hash)>,
    /// Whether the last signed line is signed by this device.
    is_ours: Option<bool>,
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
