//! Takes the text of a policy apart into words, each with the line it stands in.

use super::Fault;
use serde_json::Number;

/// A word of HCL or JSON.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    /// A name without quotes.
    Name(String),
    /// A text, unquoted.
    Text(String),
    /// A number.
    Number(Number),
    /// A bracket, `=`, `:` or a comma.
    Sign(char),
    /// A comment, as it was written.
    Comment(String),
    /// Nothing more.
    End,
}

/// Reads words from a text.
#[derive(Clone, Debug)]
pub(super) struct Lexer<'a> {
    rest: &'a str,
    line: usize,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { rest: text, line: 1 }
    }

    /// Returns the next word, with the line it begins in.
    pub(super) fn next(&mut self) -> Result<(usize, Token), Fault> {
        while self.peek().is_some_and(char::is_whitespace) {
            self.bump();
        }
        let line = self.line;
        let token = match self.peek() {
            None => Token::End,
            Some('"') => Token::Text(self.text()?),
            Some('#') => Token::Comment(self.line_comment()),
            Some('/') if self.rest.starts_with("//") => Token::Comment(self.line_comment()),
            Some('/') if self.rest.starts_with("/*") => Token::Comment(self.long_comment()?),
            Some('<') if self.rest.starts_with("<<") => Token::Text(self.heredoc()?),
            Some(sign @ ('{' | '}' | '[' | ']' | '=' | ':' | ',')) => {
                self.bump();
                Token::Sign(sign)
            }
            Some(first) if first == '-' || first.is_ascii_digit() => Token::Number(self.number()?),
            Some(first) if first.is_ascii_alphabetic() || first == '_' => {
                Token::Name(self.take_while(|char| {
                    char.is_ascii_alphanumeric() || matches!(char, '_' | '-' | '.')
                }))
            }
            Some(other) => return Err(self.fault(format!("{other:?} means nothing here"))),
        };
        Ok((line, token))
    }

    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn bump(&mut self) -> Option<char> {
        let mut chars = self.rest.chars();
        let first = chars.next()?;
        self.rest = chars.as_str();
        if first == '\n' {
            self.line = self.line.saturating_add(1);
        }
        Some(first)
    }

    fn take_while(&mut self, wanted: impl Fn(char) -> bool) -> String {
        let mut taken = String::new();
        while let Some(char) = self.peek().filter(|char| wanted(*char)) {
            taken.push(char);
            self.bump();
        }
        taken
    }

    fn fault(&self, message: impl Into<String>) -> Fault {
        Fault { line: self.line, message: message.into() }
    }

    fn line_comment(&mut self) -> String {
        self.take_while(|char| char != '\n').trim_end().to_owned()
    }

    fn long_comment(&mut self) -> Result<String, Fault> {
        let begun = self.clone();
        let Some((comment, _)) = self.rest.split_once("*/") else {
            return Err(begun.fault("a comment that begins with `/*` does not end"));
        };
        let comment = format!("{comment}*/");
        for _ in comment.chars() {
            self.bump();
        }
        Ok(comment)
    }

    fn number(&mut self) -> Result<Number, Fault> {
        let written =
            self.take_while(|char| char.is_ascii_alphanumeric() || matches!(char, '-' | '+' | '.'));
        serde_json::from_str(&written)
            .map_err(|_| self.fault(format!("`{written}` is no number; put a text in quotes")))
    }

    fn text(&mut self) -> Result<String, Fault> {
        let unended = self.fault("a text that begins with `\"` does not end in its line");
        self.bump();
        let mut text = String::new();
        loop {
            match self.bump() {
                Some('"') => return Ok(text),
                Some('\\') => text.push(self.escaped()?),
                None | Some('\n') => return Err(unended),
                Some(char) => text.push(char),
            }
        }
    }

    fn escaped(&mut self) -> Result<char, Fault> {
        match self.bump() {
            Some(same @ ('"' | '\\' | '/')) => Ok(same),
            Some('n') => Ok('\n'),
            Some('t') => Ok('\t'),
            Some('r') => Ok('\r'),
            Some('b') => Ok('\u{8}'),
            Some('f') => Ok('\u{c}'),
            Some('u') => self.escaped_unit(),
            _ => Err(self.fault("a `\\` in a text stands before \" \\ / n t r b f or u")),
        }
    }

    /// Reads four hexadecimal digits; of a character that JSON writes as a pair, both.
    fn escaped_unit(&mut self) -> Result<char, Fault> {
        let high = self.hexadecimal()?;
        let mut units = vec![high];
        if (0xD800..0xDC00).contains(&high) && self.rest.starts_with("\\u") {
            self.bump();
            self.bump();
            units.push(self.hexadecimal()?);
        }
        let mut read = char::decode_utf16(units);
        match (read.next(), read.next()) {
            (Some(Ok(char)), None) => Ok(char),
            _ => Err(self.fault("a `\\u` in a text stands for no character")),
        }
    }

    fn hexadecimal(&mut self) -> Result<u16, Fault> {
        let digits: String =
            std::iter::repeat_with(|| self.bump()).take(4).map_while(|digit| digit).collect();
        let read = u16::from_str_radix(&digits, 16).ok().filter(|_| digits.len() == 4);
        read.ok_or_else(|| self.fault("a `\\u` in a text needs four hexadecimal digits"))
    }

    /// Reads `<<END` to the line that holds nothing but `END`; after `<<-` the indentation is taken off.
    fn heredoc(&mut self) -> Result<String, Fault> {
        let unended = self.fault("a text that begins with `<<` does not end");
        self.bump();
        self.bump();
        let indented = self.peek() == Some('-');
        if indented {
            self.bump();
        }
        let marker = self.take_while(|char| char != '\n').trim().to_owned();
        self.bump();
        if marker.is_empty() {
            return Err(self.fault("a `<<` needs a word that ends the text"));
        }
        let mut lines = Vec::new();
        loop {
            if self.rest.is_empty() {
                return Err(unended);
            }
            let line = self.take_while(|char| char != '\n');
            // The end of the line belongs to what follows the text.
            if line.trim() == marker {
                break;
            }
            self.bump();
            lines.push(line);
        }
        let indent = |line: &String| line.chars().take_while(|char| char.is_whitespace()).count();
        let shortest = lines.iter().filter(|line| !line.trim().is_empty()).map(indent).min();
        let off = shortest.filter(|_| indented).unwrap_or(0);
        Ok(lines
            .into_iter()
            .map(|line| line.chars().skip(off).chain(['\n']).collect::<String>())
            .collect())
    }
}
