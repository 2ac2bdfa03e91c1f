//! Paths that stand for many, and which of two is tried first.

use super::Grant;

/// A path that stands for many.
#[derive(Debug)]
pub(super) struct Pattern {
    /// Without the `*` at its end.
    pub(super) text: Box<str>,
    /// How much of it, in bytes, is its head.
    pub(super) head: usize,
    /// Anything may follow.
    pub(super) open: bool,
    /// How many segments are `+`.
    pub(super) pluses: usize,
    pub(super) grant: Grant,
}

/// What a path of a rule is.
pub(super) enum Shape<'a> {
    Exact,
    Pattern { text: &'a str, head: usize, open: bool, pluses: usize },
}

impl<'a> Shape<'a> {
    pub(super) fn of(path: &'a str) -> Self {
        let text = path.strip_suffix('*');
        let open = text.is_some();
        let text = text.unwrap_or(path);
        let mut head = None;
        let (mut at, mut pluses) = (0_usize, 0_usize);
        for segment in text.split('/') {
            if segment == "+" {
                head.get_or_insert(at);
                pluses = pluses.saturating_add(1);
            }
            at = at.saturating_add(segment.len()).saturating_add(1);
        }
        if !open && pluses == 0 {
            return Self::Exact;
        }
        Self::Pattern { text, head: head.unwrap_or(text.len()), open, pluses }
    }
}

impl Pattern {
    /// Which of two with the same head is tried first.
    pub(super) fn order(&self, other: &Self) -> std::cmp::Ordering {
        let later =
            |pattern: &Self| (pattern.open, pattern.pluses, std::cmp::Reverse(pattern.text.len()));
        later(self).cmp(&later(other)).then_with(|| other.text.cmp(&self.text))
    }

    /// Whether it stands for a path that begins with its head.
    pub(super) fn matches(&self, path: &str) -> bool {
        let tail = self.text.get(self.head..).unwrap_or_default();
        let Some(rest) = path.get(self.head..) else { return false };
        if self.pluses == 0 {
            return true;
        }
        let mut segments = rest.split('/');
        let mut wanted = tail.split('/').peekable();
        while let Some(want) = wanted.next() {
            let Some(segment) = segments.next() else { return false };
            let is_last = wanted.peek().is_none();
            let fits =
                want == "+" || want == segment || self.open && is_last && segment.starts_with(want);
            if !fits {
                return false;
            }
        }
        self.open || segments.next().is_none()
    }

    /// Whether it stands for any path at or below one that ends in `/`.
    pub(super) fn reaches(&self, path: &str) -> bool {
        let mut segments = path.trim_end_matches('/').split('/');
        let mut wanted = self.text.split('/').peekable();
        loop {
            match (wanted.next(), segments.next()) {
                (_, None) => return true,
                (None, Some(_)) => return false,
                (Some(want), Some(segment)) => {
                    if self.open && wanted.peek().is_none() && segment.starts_with(want) {
                        return true;
                    }
                    if want != "+" && want != segment {
                        return false;
                    }
                }
            }
        }
    }
}
