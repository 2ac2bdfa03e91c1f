//! Cuts SQL into the pieces that matter here: what is quoted, how, and what is not.
//!
//! It follows the server's own scanner (`scan.l`) as far as quoting and comments go, so that a `;` or a
//! placeholder is seen where the server would see it, and nowhere else.

/// What a piece of SQL is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A key word, a name, or a number.
    Word,
    /// One character with a meaning of its own, or white space.
    Sign(char),
    /// `'…'`.
    String,
    /// `E'…'`, where a backslash escapes.
    EscapeString,
    /// `"…"`.
    Identifier,
    /// `$tag$…$tag$`.
    DollarString,
    /// `-- …` or `/* … */`.
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
    let after = rest.get(1..).unwrap_or_default();
    if first == '\'' {
        return quoted(rest, 1, '\'', false).map(|bytes| (Kind::String, bytes));
    }
    if matches!(first, 'e' | 'E') && after.starts_with('\'') {
        return quoted(rest, 2, '\'', true).map(|bytes| (Kind::EscapeString, bytes));
    }
    if first == '"' {
        return quoted(rest, 1, '"', false).map(|bytes| (Kind::Identifier, bytes));
    }
    if first == '$'
        && let Some(tag) = dollar_tag(rest)
    {
        let body = rest.get(tag.len()..).unwrap_or_default();
        let end = body.find(tag).ok_or("a dollar-quoted string is not closed")?;
        return Ok((Kind::DollarString, end.saturating_add(tag.len().saturating_mul(2))));
    }
    if rest.starts_with("--") {
        return Ok((Kind::Comment, rest.find('\n').unwrap_or(rest.len())));
    }
    if rest.starts_with("/*") {
        return block_comment(rest).map(|bytes| (Kind::Comment, bytes));
    }
    if rest.starts_with("{{") {
        let end = rest.find("}}").ok_or("`{{` is not closed by `}}`")?;
        return Ok((Kind::Placeholder, end.saturating_add(2)));
    }
    if is_word_start(first) || first.is_ascii_digit() {
        let end = rest.find(|char| !is_word(char)).unwrap_or(rest.len());
        return Ok((Kind::Word, end));
    }
    Ok((Kind::Sign(first), first.len_utf8()))
}

/// Returns how long a quoted text is that begins with `open` bytes; a doubled quote stands for itself.
fn quoted(text: &str, open: usize, quote: char, escapes: bool) -> Result<usize, &'static str> {
    let mut chars = text.char_indices().skip(open).peekable();
    while let Some((at, char)) = chars.next() {
        if escapes && char == '\\' {
            chars.next();
        } else if char == quote && chars.next_if(|&(_, next)| next == quote).is_none() {
            return Ok(at.saturating_add(1));
        }
    }
    Err(if quote == '"' { "a quoted name is not closed" } else { "a string is not closed" })
}

/// Returns `$tag$` if the text begins with one.
fn dollar_tag(text: &str) -> Option<&str> {
    let body = text.get(1..)?;
    let end = body.find('$')?;
    let tag = body.get(..end)?;
    let named = tag.chars().next().is_none_or(is_word_start)
        && tag.chars().all(|char| is_word(char) && char != '$');
    named.then(|| text.get(..end.saturating_add(2))).flatten()
}

/// Returns how long a comment is; such comments nest.
fn block_comment(text: &str) -> Result<usize, &'static str> {
    let mut depth = 0_u32;
    let mut at = 0_usize;
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        if rest.starts_with("/*") {
            depth = depth.saturating_add(1);
            at = at.saturating_add(2);
        } else if rest.starts_with("*/") {
            depth = depth.saturating_sub(1);
            at = at.saturating_add(2);
            if depth == 0 {
                return Ok(at);
            }
        } else {
            at = at.saturating_add(rest.chars().next().map_or(1, char::len_utf8));
        }
    }
    Err("a comment is not closed")
}

fn is_word_start(char: char) -> bool {
    char.is_alphabetic() || char == '_' || !char.is_ascii()
}

fn is_word(char: char) -> bool {
    is_word_start(char) || char.is_ascii_digit() || char == '$'
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(sql: &str) -> Vec<(Kind, &str)> {
        pieces(sql)
            .unwrap()
            .into_iter()
            .filter(|piece| piece.kind != Kind::Sign(' '))
            .map(|piece| (piece.kind, piece.text))
            .collect()
    }

    #[test]
    fn quotes_and_comments_are_seen_as_the_server_sees_them() {
        assert_eq!(
            kinds("a 'it''s;' E'\\';' \"x\"\";\" $$;$$ $t$ $$;' $t$ --;\n/* ; /* ; */ ; */ ; $1"),
            [
                (Kind::Word, "a"),
                (Kind::String, "'it''s;'"),
                (Kind::EscapeString, "E'\\';'"),
                (Kind::Identifier, "\"x\"\";\""),
                (Kind::DollarString, "$$;$$"),
                (Kind::DollarString, "$t$ $$;' $t$"),
                (Kind::Comment, "--;"),
                (Kind::Sign('\n'), "\n"),
                (Kind::Comment, "/* ; /* ; */ ; */"),
                (Kind::Sign(';'), ";"),
                (Kind::Sign('$'), "$"),
                (Kind::Word, "1"),
            ]
        );
    }

    #[test]
    fn a_dollar_inside_a_word_opens_nothing() {
        assert_eq!(kinds("a$b$ c"), [(Kind::Word, "a$b$"), (Kind::Word, "c")]);
    }

    #[test]
    fn what_is_not_closed_is_refused() {
        for sql in ["'a", "\"a", "$$a", "$t$ $$", "/* /* */", "{{name}", "E'\\'"] {
            assert!(pieces(sql).is_err(), "{sql}");
        }
    }

    #[test]
    fn every_text_is_the_sum_of_its_pieces() {
        for sql in ["SELECT 'ü' || $ä$ö$ä$ -- é", "€;é$é", "{{name}}\"{{name}}\"", ""] {
            let glued: String = pieces(sql).unwrap().into_iter().map(|piece| piece.text).collect();
            assert_eq!(glued, sql);
        }
    }
}
