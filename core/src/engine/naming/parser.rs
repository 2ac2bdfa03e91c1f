//! Makes a tree of a template's tokens, and refuses all that could go wrong when it is rendered.

use super::expression::{Expression, HASH_CHARS, Piece};
use super::layout::Layout;
use super::scanner::{Kind, Stretch, Token, error, scan};
use super::{NESTING_MAX, TemplateError};
use std::iter::Peekable;

/// No name needs more chance than this: 256 characters are 1,500 bits.
const RANDOM_CHARS_MAX: u32 = 256;
const FIELDS: &str = "`.DisplayName`, `.RoleName` and `.LeaseID`";
const FUNCTIONS: &str = "base64, lowercase, printf, random, replace, sha256, timestamp, truncate, \
                         truncate_sha256, unix_time, unix_time_millis, uppercase and uuid";

/// Reads a whole template.
pub(super) fn parse(source: &str) -> Result<Vec<Expression>, TemplateError> {
    let read = |stretch| match stretch {
        Stretch::Literal(text) => Ok(Expression::Text(text)),
        Stretch::Action(at, tokens) => action(source, at, tokens),
    };
    scan(source)?.into_iter().map(read).collect()
}

fn action(source: &str, at: usize, tokens: Vec<Token<'_>>) -> Result<Expression, TemplateError> {
    let mut parser = Parser { source, tokens: tokens.into_iter().peekable(), last: at };
    let value = parser.pipeline(1)?;
    match parser.tokens.next() {
        None => Ok(value.expression),
        Some(extra) => Err(error(source, extra.at, "there is no `(` for this `)`")),
    }
}

struct Parser<'a> {
    source: &'a str,
    tokens: Peekable<std::vec::IntoIter<Token<'a>>>,
    /// Where the last token began, for errors at the end.
    last: usize,
}

/// What a part of an action amounts to.
struct Value {
    at: usize,
    depth: usize,
    expression: Expression,
}

impl<'a> Parser<'a> {
    fn error(&self, at: usize, problem: impl Into<String>) -> TemplateError {
        error(self.source, at, problem)
    }

    fn next(&mut self) -> Option<Token<'a>> {
        let token = self.tokens.next()?;
        self.last = token.at;
        Some(token)
    }

    /// Reads commands with `|` between them; each hands its value to the next as the last argument.
    fn pipeline(&mut self, parentheses: usize) -> Result<Value, TemplateError> {
        let mut value = self.command(None, parentheses)?;
        while let Some(pipe) = self.tokens.next_if(|token| token.kind == Kind::Pipe) {
            self.last = pipe.at;
            value = self.command(Some(value), parentheses)?;
        }
        Ok(value)
    }

    fn command(
        &mut self,
        piped: Option<Value>,
        parentheses: usize,
    ) -> Result<Value, TemplateError> {
        let Some(first) = self.next() else {
            return Err(self.error(self.last, "a value or a function is missing here"));
        };
        let mut arguments = Vec::new();
        let value = match first.kind {
            Kind::Function(_) => None,
            Kind::Text(_)
            | Kind::Number(_)
            | Kind::Field(_)
            | Kind::Open
            | Kind::Close
            | Kind::Pipe => Some(self.operand(first.clone(), parentheses)?),
        };
        while let Some(token) =
            self.tokens.next_if(|token| !matches!(token.kind, Kind::Pipe | Kind::Close))
        {
            self.last = token.at;
            arguments.push(self.operand(token, parentheses)?);
        }
        arguments.extend(piped);
        match (value, first.kind) {
            (None, Kind::Function(name)) => self.call(name, first.at, arguments),
            (Some(value), _) if arguments.is_empty() => Ok(value),
            _ => Err(self.error(first.at, "only a function takes arguments or a piped value")),
        }
    }

    fn operand(&mut self, token: Token<'a>, parentheses: usize) -> Result<Value, TemplateError> {
        let at = token.at;
        let expression = match token.kind {
            Kind::Text(text) => Expression::Text(text),
            Kind::Number(digits) => Expression::Number(digits.parse().map_err(|_| {
                self.error(at, format!("`{digits}` is not a whole number of at most 4294967295"))
            })?),
            Kind::Field("DisplayName") => Expression::DisplayName,
            Kind::Field("RoleName") => Expression::RoleName,
            Kind::Field("LeaseID") => Expression::LeaseId,
            Kind::Field(name) => {
                return Err(self.error(at, format!("there is no `.{name}`; there are {FIELDS}")));
            }
            Kind::Function(name) => return self.call(name, at, Vec::new()),
            Kind::Open => return self.parenthesis(at, parentheses.saturating_add(1)),
            Kind::Close | Kind::Pipe => {
                return Err(self.error(at, "a value or a function is missing here"));
            }
        };
        Ok(Value { at, depth: 1, expression })
    }

    fn parenthesis(&mut self, at: usize, parentheses: usize) -> Result<Value, TemplateError> {
        if parentheses > NESTING_MAX {
            return Err(self.too_deep(at));
        }
        let value = self.pipeline(parentheses)?;
        match self.next() {
            Some(Token { kind: Kind::Close, .. }) => Ok(Value { at, ..value }),
            _ => Err(self.error(at, "this `(` has no `)`")),
        }
    }

    fn too_deep(&self, at: usize) -> TemplateError {
        self.error(at, format!("functions are nested more than {NESTING_MAX} deep"))
    }

    fn call(&self, name: &str, at: usize, arguments: Vec<Value>) -> Result<Value, TemplateError> {
        let deepest = arguments.iter().map(|argument| argument.depth).max().unwrap_or(0);
        let depth = deepest.saturating_add(1);
        if depth > NESTING_MAX {
            return Err(self.too_deep(at));
        }
        let mut call = Call { source: self.source, name, at, arguments: arguments.into_iter() };
        let expression = call.expression()?;
        match call.arguments.next() {
            None => Ok(Value { at, depth, expression }),
            Some(extra) => Err(error(
                self.source,
                extra.at,
                format!("`{name}` does not take so many arguments"),
            )),
        }
    }
}

/// A function with the arguments that are not yet used.
struct Call<'a> {
    source: &'a str,
    name: &'a str,
    at: usize,
    arguments: std::vec::IntoIter<Value>,
}

impl Call<'_> {
    fn expression(&mut self) -> Result<Expression, TemplateError> {
        Ok(match self.name {
            "random" => Expression::Random(self.number(1, RANDOM_CHARS_MAX)?),
            "unix_time" => Expression::UnixTime,
            "unix_time_millis" => Expression::UnixTimeMillis,
            "uuid" => Expression::Uuid,
            "timestamp" => Expression::Timestamp(Layout::parse(&self.literal()?)),
            "truncate" => Expression::Truncate(self.number(1, u32::MAX)?, self.text()?),
            "truncate_sha256" => {
                let at_least = u32::try_from(HASH_CHARS).unwrap_or(0).saturating_add(1);
                Expression::TruncateSha256(self.number(at_least, u32::MAX)?, self.text()?)
            }
            "uppercase" => Expression::Uppercase(self.text()?),
            "lowercase" => Expression::Lowercase(self.text()?),
            "replace" => {
                Expression::Replace { find: self.text()?, with: self.text()?, of: self.text()? }
            }
            "sha256" => Expression::Sha256(self.text()?),
            "base64" => Expression::Base64(self.text()?),
            "printf" => Expression::Printf(self.printf()?),
            name => {
                let problem = format!("there is no function `{name}`; there are {FUNCTIONS}");
                return Err(error(self.source, self.at, problem));
            }
        })
    }

    fn argument(&mut self) -> Result<Value, TemplateError> {
        self.arguments.next().ok_or_else(|| {
            error(self.source, self.at, format!("`{}` needs another argument", self.name))
        })
    }

    /// Takes a number that is written out, so that it can be checked now.
    fn number(&mut self, at_least: u32, at_most: u32) -> Result<usize, TemplateError> {
        let value = self.argument()?;
        let written = if let Expression::Number(number) = value.expression {
            Some(number).filter(|number| (at_least..=at_most).contains(number))
        } else {
            None
        };
        let Some(number) = written else {
            let most = if at_most == u32::MAX { String::new() } else { format!(" to {at_most}") };
            let problem = format!("`{}` needs a number from {at_least}{most} here", self.name);
            return Err(error(self.source, value.at, problem));
        };
        Ok(usize::try_from(number).unwrap_or(usize::MAX))
    }

    fn text(&mut self) -> Result<Box<Expression>, TemplateError> {
        let value = self.argument()?;
        if matches!(value.expression, Expression::Number(_)) {
            let problem = format!("`{}` needs a text here, not a number", self.name);
            return Err(error(self.source, value.at, problem));
        }
        Ok(Box::new(value.expression))
    }

    fn literal(&mut self) -> Result<String, TemplateError> {
        let value = self.argument()?;
        if let Expression::Text(text) = value.expression {
            return Ok(text);
        }
        let problem = format!("`{}` needs a text in quotes here", self.name);
        Err(error(self.source, value.at, problem))
    }

    fn printf(&mut self) -> Result<Vec<Piece>, TemplateError> {
        let at = self.arguments.as_slice().first().map_or(self.at, |format| format.at);
        let format = self.literal()?;
        let mut pieces = Vec::new();
        let mut literal = String::new();
        let mut chars = format.chars();
        while let Some(char) = chars.next() {
            if char != '%' {
                literal.push(char);
                continue;
            }
            let verb = chars.next();
            if verb == Some('%') {
                literal.push('%');
                continue;
            }
            pieces.extend(piece(std::mem::take(&mut literal)));
            pieces.push(Piece::Value(self.verb(verb, at)?));
        }
        pieces.extend(piece(literal));
        Ok(pieces)
    }

    fn verb(&mut self, verb: Option<char>, at: usize) -> Result<Expression, TemplateError> {
        match verb {
            Some('v') => self.argument().map(|value| value.expression),
            Some('s') => self.text().map(|text| *text),
            Some('d') => {
                let number = self.number(0, u32::MAX)?;
                Ok(Expression::Number(u32::try_from(number).unwrap_or(u32::MAX)))
            }
            _ => Err(error(self.source, at, "after `%` comes `s`, `v`, `d` or `%`")),
        }
    }
}

fn piece(literal: String) -> Option<Piece> {
    (!literal.is_empty()).then_some(Piece::Literal(literal))
}
