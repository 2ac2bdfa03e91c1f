//! Cuts SQL into the pieces that matter here: what is quoted, how, and what is not.
//!
//! It follows the server's own scanner (`sql_lex.cc`) as far as quoting and comments go, in the `sql_mode`
//! of our sessions, so that a `;` or a placeholder is seen where the server would see it, and nowhere else.

/// What a piece of SQL is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A key word, a name, or a number.
    Word,
    /// One character with a meaning of its own, or white space.
    Sign(char),
    /// `'…'` or `"…"`, where a backslash escapes.
    String,
    /// `` `…` ``.
    Identifier,
    /// `-- …`, `# …` or `/* … */`.
    Comment,
    /// `{{…}}` outside all of these.
    Placeholder,
}

/// One piece, as it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Piece<'a> {
    pub(super) kind: Kind,
    pub(super) text: &'a str,
}

/// Cuts a text into pieces that together are the text. Fails with what is not closed.
pub(super) fn pieces(sql: &str) -> Result<Vec<Piece<'_>>, &'static str> {
    let mut found = Vec::new();
    let mut rest = sql;
    while let Some(first) = rest.chars().next() {
        let (kind, bytes) = measure(first, rest)?;
        let Some((text, tail)) = rest.split_at_checked(bytes.max(first.len_utf8())) else { break };
        found.push(Piece { kind, text });
        rest = tail;
    }
    Ok(found)
}

/// Returns what begins a text and how many bytes of it belong together.
fn measure(first: char, rest: &str) -> Result<(Kind, usize), &'static str> {
    if matches!(first, '\'' | '"') {
        let end = closed(rest, first, true).ok_or("a string is not closed")?;
        return Ok((Kind::String, end));
    }
    if first == '`' {
        let end = closed(rest, first, false).ok_or("a quoted name is not closed")?;
        return Ok((Kind::Identifier, end));
    }
    if rest.starts_with("/*!") || rest.starts_with("/*M!") {
        return Err("a comment that some servers run (`/*!`) cannot be judged; write it out");
    }
    if let Some(body) = rest.strip_prefix("/*") {
        let end = body.find("*/").ok_or("a comment is not closed")?;
        return Ok((Kind::Comment, end.saturating_add(4)));
    }
    if first == '#' || begins_a_line_comment(rest) {
        return Ok((Kind::Comment, rest.find('\n').unwrap_or(rest.len())));
    }
    if rest.starts_with("{{") {
        let end = rest.find("}}").ok_or("`{{` is not closed by `}}`")?;
        return Ok((Kind::Placeholder, end.saturating_add(2)));
    }
    if is_word(first) {
        return Ok((Kind::Word, rest.find(|char| !is_word(char)).unwrap_or(rest.len())));
    }
    Ok((Kind::Sign(first), first.len_utf8()))
}

/// Two dashes are a comment only before white space: `a--1` is a sum.
fn begins_a_line_comment(rest: &str) -> bool {
    let after = rest.strip_prefix("--").map(|after| after.chars().next());
    after.is_some_and(|next| next.is_none_or(|char| char.is_whitespace() || char.is_control()))
}

/// Returns how long a quoted text is; a doubled quote stands for itself.
fn closed(text: &str, quote: char, escapes: bool) -> Option<usize> {
    let mut chars = text.char_indices().skip(1).peekable();
    while let Some((at, char)) = chars.next() {
        if escapes && char == '\\' {
            chars.next();
        } else if char == quote && chars.next_if(|&(_, next)| next == quote).is_none() {
            return Some(at.saturating_add(1));
        }
    }
    None
}

fn is_word(char: char) -> bool {
    char.is_ascii_alphanumeric() || matches!(char, '_' | '$') || !char.is_ascii()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(sql: &str) -> Vec<(Kind, &str)> {
        pieces(sql).unwrap().into_iter().map(|piece| (piece.kind, piece.text)).collect()
    }

    #[test]
    fn quotes_end_where_the_server_ends_them() {
        for whole in ["'a;\\'b''c'", "\"a;'\"\"b\"", "`a;\\`", "'\\\\'", "/* a; ' */", "# a; '"] {
            assert_eq!(kinds(whole).len(), 1, "{whole}");
        }
        assert_eq!(kinds("`a\\`b").len(), 2, "a backslash in a name is a backslash");
        assert_eq!(kinds("-- a;\nb").len(), 3);
        assert_eq!(kinds("a--1").len(), 4, "two dashes before a digit are a sum");
        assert_eq!(kinds("{{name}}x"), [(Kind::Placeholder, "{{name}}"), (Kind::Word, "x")]);
    }

    #[test]
    fn what_is_not_closed_or_cannot_be_judged_is_refused() {
        for text in ["'a", "\"a", "`a", "/* a", "{{a", "'a\\'", "/*!50000 a */", "/*M! a */"] {
            assert!(pieces(text).is_err(), "{text}");
        }
    }
}
