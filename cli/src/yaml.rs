//! Writes a value as YAML, as Vault's commands do: keys in order, lists at the depth of their key.
//!
//! Only writing is needed, and of JSON's values only, so that the whole emitter is smaller than the
//! bindings to any parser. What could be read as something else than text is quoted.

use crate::answer::sorted;
use serde_json::Value;
use std::fmt::Write;

/// Words that some reader of YAML takes for a truth or for nothing, in lower case.
const WORDS_WITH_MEANING: [&str; 9] = ["y", "n", "yes", "no", "on", "off", "true", "false", "null"];

/// Writes `value` as one document, ended by a line break.
pub(crate) fn written(value: &Value) -> String {
    let mut text = String::new();
    if has_parts(value) {
        block(value, 0, &mut text);
    } else {
        text.push_str(&scalar(value));
        text.push('\n');
    }
    text
}

fn has_parts(value: &Value) -> bool {
    match value {
        Value::Array(list) => !list.is_empty(),
        Value::Object(map) => !map.is_empty(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

/// Writes what has parts, one to a line. The parser of JSON bounds the depth of what comes here.
fn block(value: &Value, depth: usize, text: &mut String) {
    let indent = " ".repeat(depth);
    let inner = depth.saturating_add(2);
    match value {
        Value::Object(map) => {
            for (key, value) in sorted(map) {
                let key = word(key);
                if has_parts(value) {
                    let _ = writeln!(text, "{indent}{key}:");
                    block(value, if value.is_array() { depth } else { inner }, text);
                } else {
                    let _ = writeln!(text, "{indent}{key}: {}", scalar(value));
                }
            }
        }
        Value::Array(list) => {
            for item in list {
                let mut parts = String::new();
                if has_parts(item) {
                    block(item, inner, &mut parts);
                } else {
                    let _ = writeln!(parts, "{}", scalar(item));
                }
                // The first part stands beside its dash.
                let _ = write!(text, "{indent}- {}", parts.trim_start_matches(' '));
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn scalar(value: &Value) -> String {
    match value {
        Value::String(text) => word(text),
        Value::Array(_) => "[]".to_owned(),
        Value::Object(_) => "{}".to_owned(),
        Value::Null | Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}

/// Writes text bare where every reader takes it for text, and quoted as in JSON otherwise.
fn word(text: &str) -> String {
    let harmless = |c: char| c.is_ascii_alphanumeric() || "_-./ ".contains(c);
    let bare = text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(harmless)
        && !text.ends_with(' ')
        && !WORDS_WITH_MEANING.contains(&text.to_ascii_lowercase().as_str());
    if bare { text.to_owned() } else { quoted(text) }
}

fn quoted(text: &str) -> String {
    let mut written = String::from("\"");
    // JSON's escapes are YAML's; YAML wants a few more characters escaped.
    for c in text.chars() {
        match c {
            '"' => written.push_str("\\\""),
            '\\' => written.push_str("\\\\"),
            '\n' => written.push_str("\\n"),
            '\t' => written.push_str("\\t"),
            '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}' => {
                escape(c, &mut written);
            }
            c if c.is_control() => escape(c, &mut written),
            c => written.push(c),
        }
    }
    written.push('"');
    written
}

fn escape(c: char, written: &mut String) {
    let _ = write!(written, "\\u{:04x}", u32::from(c));
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn parts_are_nested_and_lists_stand_at_the_depth_of_their_key() {
        let value = json!({
            "list": ["a", {"c": 1, "b": [true, null]}, [["x"], []]], "map": {"k": {}, "j": {"i": 0.5}}
        });
        let expected = "\
list:
- a
- b:
  - true
  - null
  c: 1
- - - x
  - []
map:
  j:
    i: 0.5
  k: {}
";
        assert_eq!(written(&value), expected);
    }

    #[test]
    fn text_that_could_be_read_as_something_else_is_quoted() {
        for (text, expected) in [
            ("database/creds/app", "database/creds/app"),
            ("a person", "a person"),
            ("", "\"\""),
            ("yes", "\"yes\""),
            ("Null", "\"Null\""),
            ("1e3", "\"1e3\""),
            ("2026-11-22T02:26:05Z", "\"2026-11-22T02:26:05Z\""),
            ("- a", "\"- a\""),
            ("a: b", "\"a: b\""),
            ("a ", "\"a \""),
            ("hunter2#", "\"hunter2#\""),
            ("a\"b\\c\nd\te", r#""a\"b\\c\nd\te""#),
            ("\u{1b}\u{7f}\u{85}\u{2028}é", "\"\\u001b\\u007f\\u0085\\u2028é\""),
        ] {
            assert_eq!(written(&json!(text)), format!("{expected}\n"), "{text:?}");
        }
    }

    #[test]
    fn keys_are_quoted_like_text() {
        assert_eq!(
            written(&json!({"secret/": 1, "on": [], "a:": {}})),
            "\"a:\": {}\n\"on\": []\nsecret/: 1\n"
        );
    }
}
