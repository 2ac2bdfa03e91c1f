//! What a template says, as a tree that only has to be walked.

use super::layout::Layout;
use super::{NAME_BYTES_MAX, Naming};
use crate::chance::Chance;
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::fmt::Write as _;

const RANDOM_CHARS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// How much of a hash `truncate_sha256` puts in place of what it cuts off.
pub(super) const HASH_CHARS: usize = 8;

/// Something that becomes text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Expression {
    Text(String),
    Number(u32),
    DisplayName,
    RoleName,
    LeaseId,
    UnixTime,
    UnixTimeMillis,
    Timestamp(Layout),
    Random(usize),
    Uuid,
    Truncate(usize, Box<Expression>),
    TruncateSha256(usize, Box<Expression>),
    Uppercase(Box<Expression>),
    Lowercase(Box<Expression>),
    Replace { find: Box<Expression>, with: Box<Expression>, of: Box<Expression> },
    Sha256(Box<Expression>),
    Base64(Box<Expression>),
    Printf(Vec<Piece>),
}

/// One piece of what `printf` puts together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    Literal(String),
    Value(Expression),
}

impl Expression {
    /// Returns the text, never longer than [`NAME_BYTES_MAX`].
    pub(super) fn render(&self, naming: &Naming<'_>, chance: &dyn Chance) -> String {
        let text = |of: &Self| of.render(naming, chance);
        let mut whole = match self {
            Self::Text(text) => text.clone(),
            Self::Number(number) => number.to_string(),
            Self::DisplayName => cut(naming.display_name, NAME_BYTES_MAX).to_owned(),
            Self::RoleName => cut(naming.role_name, NAME_BYTES_MAX).to_owned(),
            Self::LeaseId => naming.lease.to_string(),
            Self::UnixTime => naming.now.seconds().to_string(),
            Self::UnixTimeMillis => naming.now.0.to_string(),
            Self::Timestamp(layout) => layout.write(naming.now),
            Self::Random(chars) => random(*chars, chance),
            Self::Uuid => {
                let mut bytes = [0; 16];
                chance.fill(&mut bytes);
                uuid::Builder::from_random_bytes(bytes).into_uuid().to_string()
            }
            Self::Truncate(bytes, of) => cut(&text(of), *bytes).to_owned(),
            Self::TruncateSha256(bytes, of) => truncate_sha256(text(of), *bytes),
            Self::Uppercase(of) => text(of).to_uppercase(),
            Self::Lowercase(of) => text(of).to_lowercase(),
            Self::Replace { find, with, of } => replace(&text(of), &text(find), &text(with)),
            Self::Sha256(of) => sha256(&text(of)),
            Self::Base64(of) => STANDARD.encode(text(of)),
            Self::Printf(pieces) => {
                let mut whole = String::new();
                for piece in pieces {
                    match piece {
                        Piece::Literal(literal) => push(&mut whole, literal),
                        Piece::Value(value) => push(&mut whole, &text(value)),
                    }
                }
                whole
            }
        };
        let bytes = cut(&whole, NAME_BYTES_MAX).len();
        whole.truncate(bytes);
        whole
    }
}

/// Returns the beginning of `text`, at most `bytes_max` bytes of it and no half character.
pub(super) fn cut(text: &str, bytes_max: usize) -> &str {
    text.get(..text.floor_char_boundary(bytes_max)).unwrap_or(text)
}

/// Appends as much of `text` as [`NAME_BYTES_MAX`] leaves room for.
pub(super) fn push(whole: &mut String, text: &str) {
    let room = NAME_BYTES_MAX.saturating_sub(whole.len());
    whole.push_str(cut(text, room));
}

fn random(chars: usize, chance: &dyn Chance) -> String {
    let bound = u32::try_from(RANDOM_CHARS.len()).unwrap_or(0);
    let char = || {
        let place = usize::try_from(chance.below(bound)).unwrap_or(0);
        char::from(*RANDOM_CHARS.get(place).unwrap_or(&b'0'))
    };
    std::iter::repeat_with(char).take(chars).collect()
}

/// Replaces every occurrence, as far as [`NAME_BYTES_MAX`] reaches: what is put in may be as long as
/// the text itself, so the whole is never built.
fn replace(of: &str, find: &str, with: &str) -> String {
    let mut whole = String::new();
    let mut done = 0;
    for (at, found) in of.match_indices(find) {
        push(&mut whole, of.get(done..at).unwrap_or_default());
        push(&mut whole, with);
        done = at.saturating_add(found.len());
    }
    push(&mut whole, of.get(done..).unwrap_or_default());
    whole
}

fn sha256(text: &str) -> String {
    digest(&SHA256, text.as_bytes()).as_ref().iter().fold(String::new(), |mut hex, byte| {
        // Writing to a `String` cannot fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// Cuts like Vault: the last eight characters become the beginning of the hash of what is cut off.
fn truncate_sha256(text: String, bytes_max: usize) -> String {
    if text.len() <= bytes_max {
        return text;
    }
    let kept = cut(&text, bytes_max.saturating_sub(HASH_CHARS));
    let hash = sha256(text.get(kept.len()..).unwrap_or_default());
    format!("{kept}{}", cut(&hash, HASH_CHARS))
}
