//! Writes values into SQL so that they stay values, wherever they come from.

/// Returns a name as a quoted identifier.
pub(super) fn identifier(name: &str) -> String {
    format!("\"{}\"", inside_identifier(name))
}

/// Returns a text as a string literal. Right only with `standard_conforming_strings` on, which every
/// connection of ours switches on.
pub(super) fn literal(text: &str) -> String {
    format!("'{}'", inside_string(text))
}

/// Returns a text as it stands between double quotes.
pub(super) fn inside_identifier(text: &str) -> String {
    text.replace('"', "\"\"")
}

/// Returns a text as it stands between single quotes.
pub(super) fn inside_string(text: &str) -> String {
    text.replace('\'', "''")
}

/// Returns a text as it stands between `E'` and `'`, where a backslash escapes.
pub(super) fn inside_escape_string(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\'', "''")
}

/// Returns names as a list of identifiers.
pub(super) fn identifiers<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    names.into_iter().map(identifier).collect::<Vec<_>>().join(", ")
}

/// Returns texts as an array of type `text[]`.
pub(super) fn text_array<'a>(texts: impl IntoIterator<Item = &'a str>) -> String {
    let quoted: Vec<_> = texts.into_iter().map(literal).collect();
    format!("ARRAY[{}]::text[]", quoted.join(","))
}

/// Returns object ids as an array of type `oid[]`.
pub(super) fn oid_array(oids: impl IntoIterator<Item = u32>) -> String {
    let oids: Vec<_> = oids.into_iter().map(|oid| oid.to_string()).collect();
    format!("'{{{}}}'::oid[]", oids.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hostile_name_stays_a_name() {
        assert_eq!(identifier("a\"; DROP ROLE b; --"), "\"a\"\"; DROP ROLE b; --\"");
        assert_eq!(literal("it's"), "'it''s'");
        assert_eq!(inside_escape_string("\\'"), "\\\\''");
        assert_eq!(text_array(["a", "'"]), "ARRAY['a','''']::text[]");
        assert_eq!(oid_array([1, 2]), "'{1,2}'::oid[]");
    }
}
