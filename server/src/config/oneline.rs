//! Lets blocks be written on one line inside each other, and some that are objects as blocks, as Vault reads them and
//! HCL's second version does not.

/// What is an object, whose names may be any text, and is written as a block in Vault's files.
const OBJECTS: [&str; 1] = ["custom_response_headers"];

/// Where line breaks and equals signs are put in, and where that is in what was written.
#[derive(Debug)]
pub(super) struct Spread {
    /// The same text, every block over several lines.
    pub(super) text: String,
    /// What was put in, and where: bytes of what was written.
    put_in: Vec<(usize, char)>,
}

/// What an open bracket belongs to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Inside {
    /// A block, whose fields and blocks stand on lines of their own.
    Block,
    /// A value: a list, an object, what is in parentheses.
    Value,
}

/// Puts a line break behind the `{` of every block, and around its `}`, and a `=` before that of an object. Texts, comments and values stay as they are.
pub(super) fn spread(written: &str) -> Spread {
    let bytes = written.as_bytes();
    let mut put_in = Vec::new();
    let mut inside = Vec::new();
    // Behind `name =` a `{` begins an object, behind `name "label"` a block.
    let mut in_field = false;
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let next = at.saturating_add(1);
        let in_block = inside.last().is_none_or(|inside| *inside == Inside::Block);
        let mut end = next;
        match byte {
            b'"' => end = past_text(bytes, at),
            b'#' => end = past_line(bytes, at),
            b'/' if bytes.get(next) == Some(&b'/') => end = past_line(bytes, at),
            b'/' if bytes.get(next) == Some(&b'*') => end = past(bytes, at, b"*/"),
            b'<' if bytes.get(next) == Some(&b'<') => end = past_heredoc(bytes, at),
            b'=' if in_block => in_field = true,
            b'\n' if in_block => in_field = false,
            b'{' if in_block && !in_field && is_object(written, at) => {
                inside.push(Inside::Value);
                put_in.push((at, '='));
            }
            b'{' if in_block && !in_field => {
                inside.push(Inside::Block);
                put_in.push((next, '\n'));
            }
            b'{' | b'[' | b'(' => inside.push(Inside::Value),
            b'}' if in_block && !inside.is_empty() => {
                inside.pop();
                in_field = false;
                put_in.extend([(at, '\n'), (next, '\n')]);
            }
            b'}' | b']' | b')' => {
                inside.pop();
            }
            _ => {}
        }
        at = end;
    }
    Spread { text: with(written, &put_in), put_in }
}

impl Spread {
    /// Returns which line and column of what was written this byte of the text stands in.
    pub(super) fn place(&self, written: &str, offset: usize) -> (usize, usize) {
        let before = self.put_in.iter().enumerate().filter(|(count, (at, _))| {
            // The n-th of them stands n bytes further on than it would alone.
            at.saturating_add(*count) < offset
        });
        let offset = offset.saturating_sub(before.count()).min(written.len());
        let before = written.as_bytes().get(..offset).unwrap_or_default();
        let line = before.split(|byte| *byte == b'\n').next_back().unwrap_or_default();
        let column = String::from_utf8_lossy(line).chars().count().saturating_add(1);
        (before.split(|byte| *byte == b'\n').count(), column)
    }
}

/// Whether the `{` at `at` begins an object.
fn is_object(written: &str, at: usize) -> bool {
    let before = written.get(..at).unwrap_or_default().trim_end_matches([' ', '\t']);
    let name = before.rsplit(|c: char| !c.is_alphanumeric() && c != '_').next();
    name.is_some_and(|name| OBJECTS.contains(&name))
}

fn with(written: &str, put_in: &[(usize, char)]) -> String {
    let mut text = String::with_capacity(written.len().saturating_add(put_in.len()));
    let mut rest = written;
    let mut done = 0_usize;
    for (at, put) in put_in {
        let Some((before, after)) = rest.split_at_checked(at.saturating_sub(done)) else { break };
        text.push_str(before);
        text.push(*put);
        (rest, done) = (after, *at);
    }
    text.push_str(rest);
    text
}

/// Returns where a quoted text that begins at `at` is over. What stands in `${ }` may hold quotes of its own.
fn past_text(bytes: &[u8], at: usize) -> usize {
    /// What is open: the text itself, then whatever is in it.
    #[derive(PartialEq, Eq)]
    enum Open {
        Text,
        Template,
    }
    let mut open = vec![Open::Text];
    let mut at = at.saturating_add(1);
    while let (Some(byte), Some(innermost)) = (bytes.get(at), open.last()) {
        let next = bytes.get(at.saturating_add(1));
        let mut step = 1;
        match (innermost, byte) {
            (Open::Text, b'\\') => step = 2,
            // `$${` is a plain `${`.
            (Open::Text, b'$' | b'%') if next == Some(byte) => step = 2,
            (Open::Text, b'$' | b'%') if next == Some(&b'{') => {
                open.push(Open::Template);
                step = 2;
            }
            (Open::Text, b'"') | (Open::Template, b'}') => {
                open.pop();
            }
            (Open::Template, b'"') => open.push(Open::Text),
            (Open::Template, b'{') => open.push(Open::Template),
            _ => {}
        }
        at = at.saturating_add(step);
    }
    at
}

/// Returns where the line is over, its end not included.
fn past_line(bytes: &[u8], at: usize) -> usize {
    let rest = bytes.get(at..).unwrap_or_default();
    let length = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
    at.saturating_add(length)
}

fn past(bytes: &[u8], at: usize, end: &[u8]) -> usize {
    let rest = bytes.get(at..).unwrap_or_default();
    let found = rest.windows(end.len()).position(|window| window == end);
    at.saturating_add(found.map_or(rest.len(), |found| found.saturating_add(end.len())))
}

/// Returns where a text between `<<WORD` and `WORD` is over, the last line's end not included.
fn past_heredoc(bytes: &[u8], at: usize) -> usize {
    let mut end = past_line(bytes, at);
    let first = bytes.get(at..end).unwrap_or_default().strip_prefix(b"<<").unwrap_or_default();
    let word = first.strip_prefix(b"-").unwrap_or(first).trim_ascii();
    while !word.is_empty() && end < bytes.len() {
        let begin = end.saturating_add(1);
        end = past_line(bytes, begin);
        if bytes.get(begin..end).unwrap_or_default().trim_ascii() == word {
            break;
        }
    }
    end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_blocks_are_spread() {
        for (written, text) in [
            ("a \"b\" { c { d = 1 } }", "a \"b\" {\n c {\n d = 1 \n}\n \n}\n"),
            ("a {}", "a {\n\n}\n"),
            ("a = { b = { c = 1 } }", "a = { b = { c = 1 } }"),
            ("a {\n b = [{ c = 1 }]\n}", "a {\n\n b = [{ c = 1 }]\n\n}\n"),
            ("a = \"{ } \\\" { }\"", "a = \"{ } \\\" { }\""),
            ("a = \"${ f(\"}{\") }{\"", "a = \"${ f(\"}{\") }{\""),
            ("a = \"$${\"\nb {}", "a = \"$${\"\nb {\n\n}\n"),
            ("# a { b { } }\n// c {\n/* d {\n } */", "# a { b { } }\n// c {\n/* d {\n } */"),
            ("a = <<X\n b { c { } }\nX\nd {}", "a = <<X\n b { c { } }\nX\nd {\n\n}\n"),
            ("a = <<-X\n b {\n  X\n", "a = <<-X\n b {\n  X\n"),
            ("} a {", "} a {\n"),
            (
                "a { custom_response_headers { \"b\" = { c = 1 }, \"d\" = {} } }",
                "a {\n custom_response_headers ={ \"b\" = { c = 1 }, \"d\" = {} } \n}\n",
            ),
            ("custom_response_headers = {}", "custom_response_headers = {}"),
            ("my-custom_response_headers_too {}", "my-custom_response_headers_too {\n\n}\n"),
            ("\u{e9} { \u{e9} { \"", "\u{e9} {\n \u{e9} {\n \""),
        ] {
            assert_eq!(spread(written).text, text, "{written}");
        }
    }

    #[test]
    fn a_place_is_that_of_what_was_written() {
        let written = "a { b { c = 1 } }\nd { e { f ! } }\n";
        let spread = spread(written);
        let offset = spread.text.find('!').unwrap();
        assert_eq!(spread.place(written, offset), (2, 11));
        assert_eq!(spread.place(written, 0), (1, 1));
        assert_eq!(spread.place(written, usize::MAX), (3, 1));
    }
}
