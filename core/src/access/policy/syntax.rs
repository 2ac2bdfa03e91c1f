//! Reads HCL's first version, which policies are written in, and JSON into the same items.
//!
//! Vault's policies are HCL of the first version: several fields may stand in one line, which later versions refuse.
//! The little of it that a policy needs is read here, within bounds and with the line of every item.

use super::Fault;
use super::lexer::{Lexer, Token};
use crate::limits::POLICY_DEPTH_MAX;
use serde_json::Number;

/// A name, and what stands there: `name = …`, `name "label" { … }`, or `"name": …`.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::access) struct Item {
    pub(in crate::access) name: String,
    pub(in crate::access) labels: Vec<String>,
    /// The line of its name, the first one being 1.
    pub(in crate::access) line: usize,
    pub(in crate::access) node: Node,
}

/// What an item holds.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::access) enum Node {
    Null,
    Flag(bool),
    Number(Number),
    Text(String),
    List(Vec<Node>),
    Items(Vec<Item>),
}

/// Reads a text. One that begins with `{` is JSON, as nothing in HCL does.
pub(in crate::access) fn read(text: &str) -> Result<Vec<Item>, Fault> {
    let json = text.trim_start().starts_with('{');
    if json {
        // Whether it is JSON is for who knows JSON; below both are read alike.
        serde_json::from_str::<serde_json::Value>(text).map_err(|error| {
            let message = error.to_string();
            let message = message.split(" at line ").next().unwrap_or_default().to_owned();
            Fault { line: error.line(), message }
        })?;
    }
    let mut reader = Reader { lexer: Lexer::new(text), line: 1, token: Token::End, json };
    reader.step()?;
    if !json {
        return reader.items(&Token::End, 0, 1);
    }
    match reader.node(0)? {
        Node::Items(items) => Ok(items),
        Node::Null | Node::Flag(_) | Node::Number(_) | Node::Text(_) | Node::List(_) => {
            Err(reader.fault("a policy is an object"))
        }
    }
}

struct Reader<'a> {
    lexer: Lexer<'a>,
    /// The next word, and its line.
    token: Token,
    line: usize,
    json: bool,
}

impl Reader<'_> {
    /// Moves on to the next word that is no comment; returns the one of before.
    fn step(&mut self) -> Result<Token, Fault> {
        let was = std::mem::replace(&mut self.token, Token::End);
        loop {
            let (line, token) = self.lexer.next()?;
            if !matches!(token, Token::Comment(_)) {
                (self.line, self.token) = (line, token);
                return Ok(was);
            }
        }
    }

    fn fault(&self, message: impl Into<String>) -> Fault {
        Fault { line: self.line, message: message.into() }
    }

    /// Reads items to the word that ends them; they begin in the line `begun`.
    fn items(&mut self, end: &Token, depth: usize, begun: usize) -> Result<Vec<Item>, Fault> {
        let mut items = Vec::new();
        loop {
            if self.token == *end {
                if *end != Token::End {
                    self.step()?;
                }
                return Ok(items);
            }
            if self.token == Token::End {
                return Err(Fault {
                    line: begun,
                    message: "a `{` is not closed by a `}`".to_owned(),
                });
            }
            items.push(self.item(depth)?);
            if depth > 0 && self.token == Token::Sign(',') {
                self.step()?;
            }
        }
    }

    fn item(&mut self, depth: usize) -> Result<Item, Fault> {
        let line = self.line;
        let name = self.name()?;
        let mut labels = Vec::new();
        let node = loop {
            match &self.token {
                Token::Sign('=') if !self.json && labels.is_empty() => {
                    self.step()?;
                    break self.node(depth)?;
                }
                Token::Sign(':') if self.json => {
                    self.step()?;
                    break self.node(depth)?;
                }
                Token::Sign('{') => break self.node(depth)?,
                Token::Text(_) | Token::Name(_) => labels.push(self.name()?),
                Token::Number(_) | Token::Sign(_) | Token::Comment(_) | Token::End => {
                    return Err(self.fault(format!("behind {name:?} stands a `=` or a `{{`")));
                }
            }
        };
        Ok(Item { name, labels, line, node })
    }

    fn name(&mut self) -> Result<String, Fault> {
        let wrong = self.fault("a name should stand here");
        match self.step()? {
            Token::Name(name) | Token::Text(name) => Ok(name),
            Token::Number(_) | Token::Sign(_) | Token::Comment(_) | Token::End => Err(wrong),
        }
    }

    fn node(&mut self, depth: usize) -> Result<Node, Fault> {
        let depth = depth.saturating_add(1);
        if depth > POLICY_DEPTH_MAX {
            return Err(self.fault(format!("a policy nests at most {POLICY_DEPTH_MAX} deep")));
        }
        let wrong = self.fault("a value should stand here; put a text in quotes");
        let line = self.line;
        match self.step()? {
            Token::Text(text) => Ok(Node::Text(text)),
            Token::Number(number) => Ok(Node::Number(number)),
            Token::Name(name) if name == "true" => Ok(Node::Flag(true)),
            Token::Name(name) if name == "false" => Ok(Node::Flag(false)),
            Token::Name(name) if name == "null" && self.json => Ok(Node::Null),
            Token::Sign('{') => Ok(Node::Items(self.items(&Token::Sign('}'), depth, line)?)),
            Token::Sign('[') => self.list(depth),
            Token::Name(_) | Token::Sign(_) | Token::Comment(_) | Token::End => Err(wrong),
        }
    }

    fn list(&mut self, depth: usize) -> Result<Node, Fault> {
        let unclosed = self.fault("a `[` is not closed by a `]`");
        let mut nodes = Vec::new();
        loop {
            match &self.token {
                Token::Sign(']') => {
                    self.step()?;
                    return Ok(Node::List(nodes));
                }
                Token::End => return Err(unclosed),
                Token::Name(_)
                | Token::Text(_)
                | Token::Number(_)
                | Token::Sign(_)
                | Token::Comment(_) => {}
            }
            nodes.push(self.node(depth)?);
            match &self.token {
                Token::Sign(',') => {
                    self.step()?;
                }
                Token::Sign(']') => {}
                Token::End => return Err(unclosed),
                Token::Name(_)
                | Token::Text(_)
                | Token::Number(_)
                | Token::Sign(_)
                | Token::Comment(_) => {
                    return Err(self.fault("the values of a list are separated by commas"));
                }
            }
        }
    }
}
