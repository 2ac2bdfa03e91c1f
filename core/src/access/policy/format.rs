//! Writes the text of a policy as it is usually written: two blanks for each level, one field to a line.
//!
//! Comments stay where they are, and so does one blank line where there were any. What the policy says stays the same.

use super::Fault;
use super::lexer::{Lexer, Token};
use super::syntax::{Node, read};
use serde::{Serialize, Serializer};

/// A list that is no longer than this, in characters, stands in one line.
const LINE_MAX: usize = 100;

/// Returns the text of a policy as it is usually written. It must be one that can be read.
pub fn format(text: &str) -> Result<String, Fault> {
    if text.trim_start().starts_with('{') {
        let items = Node::Items(read(text)?);
        let told =
            |error: serde_json::Error| Fault { line: error.line(), message: error.to_string() };
        return serde_json::to_string_pretty(&Json(&items)).map(|text| text + "\n").map_err(told);
    }
    let mut lexer = Lexer::new(text);
    let mut words = Vec::new();
    loop {
        match lexer.next()? {
            (_, Token::End) => break,
            word => words.push(word),
        }
    }
    let mut writer = Writer { out: String::new(), depth: 0, last: 1 };
    writer.items(&words);
    Ok(writer.out.trim_start().to_owned())
}

/// JSON as it was read. What is written twice under one name is written twice: both count, and one may deny what the
/// other grants.
struct Json<'a>(&'a Node);

impl Serialize for Json<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Node::Null => serializer.serialize_unit(),
            Node::Flag(flag) => serializer.serialize_bool(*flag),
            Node::Number(number) => number.serialize(serializer),
            Node::Text(text) => serializer.serialize_str(text),
            Node::List(nodes) => serializer.collect_seq(nodes.iter().map(Json)),
            Node::Items(items) => {
                serializer.collect_map(items.iter().map(|item| (&item.name, Json(&item.node))))
            }
        }
    }
}

struct Writer {
    out: String,
    depth: usize,
    /// The line of the word before, as it was written.
    last: usize,
}

type Word = (usize, Token);

impl Writer {
    /// Writes words to their end, each item in a line of its own.
    fn items(&mut self, words: &[Word]) {
        let mut rest = words;
        let mut begins = true;
        while let Some(((line, token), after)) = rest.split_first() {
            match token {
                Token::Comment(comment) if *line == self.last && !self.out.is_empty() => {
                    self.out.truncate(self.out.trim_end().len());
                    self.out.push(' ');
                    self.out.push_str(comment);
                    self.end();
                    begins = true;
                }
                Token::Comment(comment) => {
                    self.begin(*line, begins);
                    self.out.push_str(comment);
                    self.end();
                    begins = true;
                }
                Token::Sign('{') => {
                    self.last = *line;
                    let blank = if self.out.ends_with([' ', '\n']) { "" } else { " " };
                    self.out.push_str(blank);
                    let (inner, behind) = within(after);
                    self.block(inner);
                    if let Some((closing, _)) = behind.first() {
                        self.last = *closing;
                    }
                    rest = behind.get(1..).unwrap_or_default();
                    self.end();
                    begins = true;
                    continue;
                }
                Token::Sign('[') => {
                    let (inner, behind) = within(after);
                    self.list(inner);
                    if let Some((closing, _)) = behind.first() {
                        self.last = *closing;
                    }
                    rest = behind.get(1..).unwrap_or_default();
                    self.end();
                    begins = true;
                    continue;
                }
                Token::Sign('=') => self.out.push_str(" = "),
                // Between items a comma says what the end of the line says.
                Token::Sign(_) | Token::End => {}
                Token::Name(_) | Token::Text(_) | Token::Number(_) => {
                    let is_value = self.out.ends_with("= ");
                    if begins {
                        self.begin(*line, true);
                    } else if !is_value {
                        self.out.push(' ');
                    }
                    self.out.push_str(&written(token));
                    begins = is_value;
                    if is_value {
                        self.last = *line;
                        self.end();
                    }
                }
            }
            self.last = *line;
            rest = after;
        }
    }

    fn block(&mut self, inner: &[Word]) {
        if inner.is_empty() {
            self.out.push_str("{}");
            return;
        }
        self.out.push_str("{\n");
        self.depth = self.depth.saturating_add(1);
        let from = self.out.len();
        self.items(inner);
        // Nothing is left blank behind the `{`.
        let body = self.out.split_off(from);
        self.out.push_str(body.trim_start_matches('\n'));
        self.depth = self.depth.saturating_sub(1);
        self.indent();
        self.out.push('}');
    }

    fn list(&mut self, inner: &[Word]) {
        let plain = inner.iter().all(|(_, token)| {
            matches!(token, Token::Text(_) | Token::Number(_) | Token::Name(_) | Token::Sign(','))
        });
        let values: Vec<_> = inner
            .iter()
            .filter(|(_, token)| !matches!(token, Token::Sign(',')))
            .map(|(_, token)| written(token))
            .collect();
        let line = self.out.lines().last().unwrap_or_default().chars().count();
        let one = values.join(", ");
        if plain && line.saturating_add(one.chars().count()).saturating_add(2) <= LINE_MAX {
            self.out.push('[');
            self.out.push_str(&one);
            self.out.push(']');
            return;
        }
        self.out.push_str("[\n");
        self.depth = self.depth.saturating_add(1);
        self.values(inner);
        self.depth = self.depth.saturating_sub(1);
        self.indent();
        self.out.push(']');
    }

    /// Writes the values of a list, each in a line of its own.
    fn values(&mut self, words: &[Word]) {
        let mut rest = words;
        while let Some(((_, token), after)) = rest.split_first() {
            rest = after;
            match token {
                Token::Sign(',') => continue,
                Token::Sign(open @ ('{' | '[')) => {
                    let (inner, behind) = within(after);
                    self.indent();
                    if *open == '{' {
                        self.block(inner);
                    } else {
                        self.list(inner);
                    }
                    rest = behind.get(1..).unwrap_or_default();
                    self.out.push(',');
                }
                Token::Comment(comment) => {
                    self.indent();
                    self.out.push_str(comment);
                }
                Token::Name(_)
                | Token::Text(_)
                | Token::Number(_)
                | Token::Sign(_)
                | Token::End => {
                    self.indent();
                    self.out.push_str(&written(token));
                    self.out.push(',');
                }
            }
            self.end();
        }
    }

    /// Begins an item, with a blank line before it where there was one.
    fn begin(&mut self, line: usize, begins: bool) {
        if begins && line > self.last.saturating_add(1) && !self.out.is_empty() {
            self.out.push('\n');
        }
        self.indent();
    }

    fn indent(&mut self) {
        self.out.extend(std::iter::repeat_n("  ", self.depth));
    }

    fn end(&mut self) {
        if !self.out.ends_with('\n') {
            self.out.push('\n');
        }
    }
}

/// Divides what follows an opening bracket into what is inside, and what begins with the closing one.
fn within(words: &[Word]) -> (&[Word], &[Word]) {
    let mut open = 1_usize;
    let closing = words.iter().position(|(_, token)| {
        match token {
            Token::Sign('{' | '[') => open = open.saturating_add(1),
            Token::Sign('}' | ']') => open = open.saturating_sub(1),
            Token::Name(_)
            | Token::Text(_)
            | Token::Number(_)
            | Token::Sign(_)
            | Token::Comment(_)
            | Token::End => {}
        }
        open == 0
    });
    words.split_at_checked(closing.unwrap_or(words.len())).unwrap_or((words, &[]))
}

fn written(token: &Token) -> String {
    match token {
        Token::Name(name) => name.clone(),
        Token::Text(text) => serde_json::Value::from(text.as_str()).to_string(),
        Token::Number(number) => number.to_string(),
        Token::Sign(sign) => sign.to_string(),
        Token::Comment(comment) => comment.clone(),
        Token::End => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::policy::{Policy, PolicyName};

    fn says(text: &str) -> Vec<String> {
        let policy = Policy::parse(PolicyName::parse("test").unwrap(), text).unwrap();
        // All of each rule but its line.
        policy
            .rules
            .iter()
            .map(|rule| {
                format!("{:?}", crate::access::policy::document::Rule { line: 0, ..rule.clone() })
            })
            .collect()
    }

    #[test]
    fn a_policy_is_written_as_it_is_usually_written() {
        for (text, usual) in [
            ("path \"a\" {}", "path \"a\" {}\n"),
            (
                "path   \"a\"{capabilities=[\"read\",\n\"list\"]}\n\n\n# why\npath \"b\" { policy=\"read\" # old\n}",
                "path \"a\" {\n  capabilities = [\"read\", \"list\"]\n}\n\n# why\npath \"b\" {\n  policy = \"read\" # old\n}\n",
            ),
            (
                "# first\n\npath \"a\" { capabilities = [\"update\"] allowed_parameters = { \"x\" = [\"1\", 2, true], \"y\" = [] } min_wrapping_ttl = 5 }",
                "# first\n\npath \"a\" {\n  capabilities = [\"update\"]\n  allowed_parameters = {\n    \"x\" = [\"1\", 2, true]\n    \"y\" = []\n  }\n  min_wrapping_ttl = 5\n}\n",
            ),
            (
                "path \"a\" {\n  capabilities = [\n    # why\n    \"read\",\n    \"list\"\n  ]\n}\n",
                "path \"a\" {\n  capabilities = [\n    # why\n    \"read\",\n    \"list\",\n  ]\n}\n",
            ),
            (
                "{\"path\":{\"a\":{\"policy\":\"read\"}}}",
                "{\n  \"path\": {\n    \"a\": {\n      \"policy\": \"read\"\n    }\n  }\n}\n",
            ),
            (
                "{\"path\":{\"b\":{\"policy\":\"deny\"},\"b\":{\"policy\":\"read\"}}}",
                "{\n  \"path\": {\n    \"b\": {\n      \"policy\": \"deny\"\n    },\n    \"b\": {\n      \"policy\": \"read\"\n    }\n  }\n}\n",
            ),
        ] {
            let written = format(text).unwrap();
            assert_eq!(written, usual, "{text}");
            assert_eq!(format(&written).unwrap(), usual, "written again");
            assert_eq!(says(&written), says(text), "{text}");
        }
        let default = include_str!("../../broker/access/default.hcl");
        assert_eq!(format(default).unwrap(), default);
    }
}
