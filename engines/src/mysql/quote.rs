//! Writes values into SQL so that they stay values, wherever they come from.
//!
//! Right only in a session whose `sql_mode` has neither `NO_BACKSLASH_ESCAPES` nor `ANSI_QUOTES`, which
//! every connection of ours sees to.

/// Returns a text as a string literal.
pub(super) fn literal(text: &str) -> String {
    format!("'{}'", inside_string(text))
}

/// Returns a name as a quoted identifier.
pub(super) fn identifier(name: &str) -> String {
    format!("`{}`", inside_identifier(name))
}

/// Returns a user of a host, as statements about accounts name it.
pub(super) fn account(name: &str, host: &str) -> String {
    format!("{}@{}", literal(name), literal(host))
}

/// Returns a text as it stands between single or double quotes.
pub(super) fn inside_string(text: &str) -> String {
    let mut inside = String::with_capacity(text.len());
    for char in text.chars() {
        if matches!(char, '\\' | '\'' | '"') {
            inside.push('\\');
        }
        inside.push(char);
    }
    inside
}

/// Returns a text as it stands between backticks.
pub(super) fn inside_identifier(text: &str) -> String {
    text.replace('`', "``")
}

/// Returns texts as a list of string literals.
pub(super) fn literals<'a>(texts: impl IntoIterator<Item = &'a str>) -> String {
    texts.into_iter().map(literal).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hostile_name_stays_a_name() {
        assert_eq!(literal("a'; DROP USER b; -- \\"), "'a\\'; DROP USER b; -- \\\\'");
        assert_eq!(literal("\"'"), "'\\\"\\''");
        assert_eq!(identifier("a`b"), "`a``b`");
        assert_eq!(account("it's", "%"), "'it\\'s'@'%'");
        assert_eq!(literals(["a", "b"]), "'a', 'b'");
    }
}
