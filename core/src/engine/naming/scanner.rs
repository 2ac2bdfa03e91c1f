//! Cuts a template into literal text and the tokens of its actions.

use super::TemplateError;

/// A token, and the byte at which it begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Token<'a> {
    pub(super) at: usize,
    pub(super) kind: Kind<'a>,
}

/// What a token is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind<'a> {
    Text(String),
    Number(&'a str),
    Field(&'a str),
    Function(&'a str),
    Open,
    Close,
    Pipe,
}

/// A stretch of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Stretch<'a> {
    Literal(String),
    /// What stands between `{{` and `}}`, with the byte at which it begins.
    Action(usize, Vec<Token<'a>>),
}

/// Makes an error of a place in the template.
pub(super) fn error(source: &str, at: usize, problem: impl Into<String>) -> TemplateError {
    let before = source.get(..at).unwrap_or(source);
    TemplateError::Syntax { at: before.chars().count().saturating_add(1), problem: problem.into() }
}

/// Cuts the whole template.
pub(super) fn scan(source: &str) -> Result<Vec<Stretch<'_>>, TemplateError> {
    let mut scanner = Scanner { source, at: 0 };
    let mut stretches = Vec::new();
    let mut trims = false;
    while !scanner.rest().is_empty() {
        let rest = scanner.rest();
        let opens = rest.find("{{");
        let text = opens.map_or(rest, |at| rest.get(..at).unwrap_or(rest));
        scanner.skip(text.len());
        let trims_before = opens.is_some() && scanner.opens_trimming();
        let mut literal = if trims { text.trim_start() } else { text };
        if trims_before {
            literal = literal.trim_end();
        }
        if !literal.is_empty() {
            stretches.push(Stretch::Literal(literal.to_owned()));
        }
        if opens.is_some() {
            let at = scanner.at;
            scanner.skip(if trims_before { 3 } else { 2 });
            let (tokens, closes_trimming) = scanner.action(at)?;
            trims = closes_trimming;
            stretches.extend(tokens.map(|tokens| Stretch::Action(at, tokens)));
        }
    }
    Ok(stretches)
}

struct Scanner<'a> {
    source: &'a str,
    at: usize,
}

impl<'a> Scanner<'a> {
    fn rest(&self) -> &'a str {
        self.source.get(self.at..).unwrap_or_default()
    }

    fn skip(&mut self, bytes: usize) {
        self.at = self.at.saturating_add(bytes);
    }

    fn opens_trimming(&self) -> bool {
        let mark = self.rest().strip_prefix("{{-");
        mark.is_some_and(|after| after.starts_with(char::is_whitespace))
    }

    /// Reads up to and with `}}`. Returns no tokens for a comment, and whether the text behind is to be
    /// trimmed.
    fn action(&mut self, opened: usize) -> Result<(Option<Vec<Token<'a>>>, bool), TemplateError> {
        if let Some(comment) = self.rest().trim_start().strip_prefix("/*") {
            return self.comment(comment, opened).map(|trims| (None, trims));
        }
        let mut tokens = Vec::new();
        loop {
            let before = self.at;
            self.skip(self.rest().len().saturating_sub(self.rest().trim_start().len()));
            let spaced = self.at > before;
            if spaced && self.rest().starts_with("-}}") {
                self.skip(3);
                return Ok((Some(tokens), true));
            }
            if self.rest().starts_with("}}") {
                self.skip(2);
                return Ok((Some(tokens), false));
            }
            let Some(first) = self.rest().chars().next() else {
                return Err(self.unclosed(opened));
            };
            let at = self.at;
            let kind = self.token(first)?;
            tokens.push(Token { at, kind });
        }
    }

    /// Reads the rest of a comment, and tells whether the text behind it is to be trimmed.
    fn comment(&mut self, comment: &'a str, opened: usize) -> Result<bool, TemplateError> {
        let (_, after) = comment.split_once("*/").ok_or_else(|| self.unclosed(opened))?;
        let end = after.trim_start();
        let trims = end.len() < after.len() && end.starts_with('-');
        let end = if trims { end.get(1..).unwrap_or_default() } else { end };
        let behind = end.strip_prefix("}}").ok_or_else(|| self.unclosed(opened))?;
        self.at = self.source.len().saturating_sub(behind.len());
        Ok(trims)
    }

    fn unclosed(&self, opened: usize) -> TemplateError {
        error(self.source, opened, "this `{{` has no `}}`")
    }

    fn token(&mut self, first: char) -> Result<Kind<'a>, TemplateError> {
        let single = match first {
            '(' => Some(Kind::Open),
            ')' => Some(Kind::Close),
            '|' => Some(Kind::Pipe),
            _ => None,
        };
        if let Some(kind) = single {
            self.skip(1);
            return Ok(kind);
        }
        match first {
            '"' => self.quoted(),
            '`' => self.raw(),
            '.' => {
                self.skip(1);
                Ok(Kind::Field(self.word()))
            }
            '0'..='9' => Ok(Kind::Number(self.word())),
            'a'..='z' | 'A'..='Z' | '_' => Ok(Kind::Function(self.word())),
            _ => Err(error(self.source, self.at, format!("`{first}` means nothing here"))),
        }
    }

    fn word(&mut self) -> &'a str {
        let rest = self.rest();
        let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        self.skip(end);
        rest.get(..end).unwrap_or_default()
    }

    fn raw(&mut self) -> Result<Kind<'a>, TemplateError> {
        let inner = self.rest().get(1..).unwrap_or_default();
        let Some((text, _)) = inner.split_once('`') else {
            return Err(error(self.source, self.at, "this text has no closing backtick"));
        };
        self.skip(text.len().saturating_add(2));
        Ok(Kind::Text(text.to_owned()))
    }

    fn quoted(&mut self) -> Result<Kind<'a>, TemplateError> {
        let unclosed = error(self.source, self.at, "this text has no closing `\"`");
        let mut chars = self.rest().char_indices().skip(1);
        let mut text = String::new();
        while let Some((place, char)) = chars.next() {
            match char {
                '"' => {
                    self.skip(place.saturating_add(1));
                    return Ok(Kind::Text(text));
                }
                '\n' => return Err(unclosed),
                '\\' => {
                    let escaped = chars.next().map(|(_, escaped)| escaped);
                    text.push(match escaped {
                        Some('"') => '"',
                        Some('\\') => '\\',
                        Some('n') => '\n',
                        Some('t') => '\t',
                        Some('r') => '\r',
                        _ => {
                            let at = self.at.saturating_add(place);
                            let problem =
                                "in a text, `\\` comes before `\"`, `\\`, `n`, `t` or `r`";
                            return Err(error(self.source, at, problem));
                        }
                    });
                }
                _ => text.push(char),
            }
        }
        Err(unclosed)
    }
}
