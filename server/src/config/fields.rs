//! Reads the fields of one block, each once, and complains about all that cannot be as it is.

use super::tree::{Entry, Held};
use leasehold_core::duration;
use serde_json::Value;
use std::cell::RefCell;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// What was found while reading: problems, which are told together, and warnings.
#[derive(Debug, Default)]
pub(super) struct Findings {
    pub(super) problems: RefCell<Vec<String>>,
    pub(super) warnings: RefCell<Vec<String>>,
}

impl Findings {
    pub(super) fn problem(&self, problem: String) {
        self.problems.borrow_mut().push(problem);
    }
}

/// The fields of one block that nobody has read yet.
pub(super) struct Fields<'a> {
    left: Vec<Entry>,
    /// What is looked for: all that is known.
    known: Vec<&'static str>,
    file: &'a str,
    /// The block, as it is written; empty for the file itself.
    block: String,
    /// The line of the block.
    line: usize,
    findings: &'a Findings,
}

/// A value that was found, and in which line.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found<T> {
    pub(super) value: T,
    pub(super) line: usize,
}

impl<'a> Fields<'a> {
    /// Takes up the fields of a file or a block. What is there twice is complained about, and counts once.
    pub(super) fn new(
        entries: Vec<Entry>,
        file: &'a str,
        block: &str,
        line: usize,
        findings: &'a Findings,
    ) -> Self {
        let block = block.to_owned();
        let mut fields = Self { left: Vec::new(), known: Vec::new(), file, block, line, findings };
        for entry in entries {
            let first = fields.left.iter().find(|earlier| earlier.name == entry.name);
            let first = first.map(|earlier| earlier.line);
            if !entry.labels.is_empty() {
                let name = &entry.name;
                fields.complain(entry.line, &format!("`{name}` takes no label here"));
            } else if let Some(first) = first {
                let message = format!("`{}` is given twice, first in line {first}", entry.name);
                fields.complain(entry.line, &message);
                continue;
            }
            fields.left.push(entry);
        }
        fields
    }

    fn complain(&self, line: usize, message: &str) {
        self.findings.problem(format!("{}{message}", self.place(line)));
    }

    fn place(&self, line: usize) -> String {
        let within = if self.block.is_empty() { "" } else { ": " };
        format!("{}:{line}{within}{}: ", self.file, self.block)
    }

    /// Says that a field in this line cannot be as it is, and how it could be written.
    pub(super) fn wrong(&self, line: usize, name: &str, message: &str, example: &str) {
        self.complain(line, &format!("`{name}` {message}; for example `{name} = {example}`"));
    }

    /// Says what is wrong with the block as a whole because of a field, and how that could be written.
    pub(super) fn wrong_here(&self, name: &str, message: &str, example: &str) {
        self.wrong(self.line, name, message, example);
    }

    /// Complains if the same was given before, and keeps where it is given now.
    pub(super) fn only_one(&self, what: &str, at: &mut Option<String>) {
        let here = format!("{}:{}", self.file, self.line);
        if let Some(first) = at.replace(here) {
            self.complain(self.line, &format!("`{what}` is given twice, first at {first}"));
        }
    }

    /// Tells whether a field is there.
    pub(super) fn has(&self, name: &str) -> bool {
        self.left.iter().any(|entry| entry.name == name)
    }

    fn take(&mut self, name: &'static str) -> Option<Entry> {
        self.known.push(name);
        let at = self.left.iter().position(|entry| entry.name == name)?;
        Some(self.left.remove(at))
    }

    /// Reads a field by a function that returns nothing for what cannot be.
    fn read<T>(
        &mut self,
        name: &'static str,
        must_be: &str,
        example: &str,
        read: impl FnOnce(&Value) -> Result<T, String>,
    ) -> Option<Found<T>> {
        let Entry { line, held, .. } = self.take(name)?;
        let value = match held {
            Held::Plain(Value::Null) => return None,
            Held::Plain(value) => read(&value),
            Held::Fields(_) => Err(format!("must be {must_be}, not a block")),
            Held::Computed => Err(format!("must be {must_be}, written out")),
        };
        match value {
            Ok(value) => Some(Found { value, line }),
            Err(message) => {
                self.wrong(line, name, &message, example);
                None
            }
        }
    }

    /// Drops what is Vault's and does nothing here, with a warning.
    pub(super) fn ignore(&mut self, names: &[&'static str]) {
        for name in names {
            let Some(entry) = self.take(name) else { continue };
            self.known.pop();
            let warning =
                format!("{}`{name}` is accepted and does nothing", self.place(entry.line));
            self.findings.warnings.borrow_mut().push(warning);
        }
    }

    /// Reads a text.
    pub(super) fn text(&mut self, name: &'static str, example: &str) -> Option<Found<String>> {
        self.read(name, "a text", example, |value| match value {
            Value::String(text) => Ok(text.clone()),
            Value::Null | Value::Bool(_) | Value::Number(_) => {
                Err(format!("must be a text, not `{value}`"))
            }
            Value::Array(_) | Value::Object(_) => Err("must be a text, not a list".to_owned()),
        })
    }

    /// Reads a text that must be there.
    pub(super) fn needed(&mut self, name: &'static str, example: &str) -> Option<Found<String>> {
        let there = self.has(name);
        let text = self.text(name, example);
        let is_empty = text.as_ref().is_some_and(|text| text.value.is_empty());
        if !there || is_empty {
            self.wrong_here(name, "is needed", example);
        }
        text.filter(|_| !is_empty)
    }

    /// Reads one of some words; an empty text is the first of them.
    pub(super) fn word<T: Copy>(
        &mut self,
        name: &'static str,
        words: &[(&str, T)],
        example: &str,
    ) -> Option<Found<T>> {
        let text = self.text(name, example)?;
        let written = text.value.to_ascii_lowercase();
        let found = words.iter().find(|(word, _)| *word == written || written.is_empty());
        let Some((_, value)) = found else {
            let words: Vec<_> = words.iter().map(|(word, _)| format!("`{word}`")).collect();
            let message = format!("must be {}, not `{}`", words.join(" or "), text.value);
            self.wrong(text.line, name, &message, example);
            return None;
        };
        Some(Found { value: *value, line: text.line })
    }

    /// Reads yes or no, in the ways that Vault's files have it.
    pub(super) fn flag(&mut self, name: &'static str) -> Option<Found<bool>> {
        self.read(name, "`true` or `false`", "true", |value| {
            let written = match value {
                Value::String(text) => text.to_ascii_lowercase(),
                Value::Null
                | Value::Bool(_)
                | Value::Number(_)
                | Value::Array(_)
                | Value::Object(_) => value.to_string(),
            };
            match written.as_str() {
                "true" | "1" => Ok(true),
                "false" | "0" | "" => Ok(false),
                _ => Err(format!("must be `true` or `false`, not `{written}`")),
            }
        })
    }

    /// Reads a span of time that is longer than none.
    pub(super) fn ttl(&mut self, name: &'static str, example: &str) -> Option<Found<Duration>> {
        self.read(name, "a span of time", example, |value| {
            let span = duration::parse_seconds(value)
                .map_err(|error| format!("must be a span of time: {error}"))?;
            if span.is_zero() { Err("cannot be zero".to_owned()) } else { Ok(span) }
        })
    }

    /// Reads a whole number up to `most`.
    pub(super) fn number(&mut self, name: &'static str, most: usize) -> Option<Found<usize>> {
        let must_be = format!("a whole number of at most {most}");
        self.read(name, &must_be, "1", |value| {
            let written = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            let number = written.parse().ok().filter(|number| *number <= most);
            number.ok_or_else(|| format!("must be {must_be}, not `{written}`"))
        })
    }

    /// Reads a list that is not empty, or a text with commas.
    pub(super) fn list<T: FromStr>(
        &mut self,
        name: &'static str,
        example: &str,
    ) -> Option<Found<Vec<T>>>
    where
        T::Err: fmt::Display,
    {
        self.read(name, "a list", example, |value| {
            let items: Option<Vec<_>> = match value {
                Value::String(text) => Some(text.split(',').map(str::trim).collect()),
                Value::Array(items) => {
                    items.iter().map(|item| item.as_str().map(str::trim)).collect()
                }
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => None,
            };
            let items = items.filter(|items| !items.is_empty());
            let items = items.ok_or("must be a list of texts that is not empty")?;
            let read = |item: &str| item.parse().map_err(|error| format!("{error}, not `{item}`"));
            items.into_iter().map(read).collect()
        })
    }

    /// Reads permissions: octal, as a text or as they look like a number.
    pub(super) fn mode(&mut self, name: &'static str, example: &str) -> Option<Found<u32>> {
        self.read(name, "permissions in octal", example, |value| {
            let written = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            let mode = u32::from_str_radix(&written, 8).ok().filter(|mode| *mode <= 0o777);
            mode.ok_or_else(|| format!("must be permissions in octal, not `{written}`"))
        })
    }

    /// Takes all that nobody has read yet: its names are for the reader to make sense of.
    pub(super) fn take_all(&mut self) -> Vec<Entry> {
        std::mem::take(&mut self.left)
    }

    /// Reads fields within a field.
    pub(super) fn nested(&mut self, name: &'static str, example: &str) -> Option<Fields<'a>> {
        let entry = self.take(name)?;
        match entry.held {
            Held::Fields(fields) => {
                let block = format!("{} {name}", self.block).trim().to_owned();
                Some(Fields::new(fields, self.file, &block, entry.line, self.findings))
            }
            Held::Plain(_) | Held::Computed => {
                let message = format!("`{name}` must be a block; for example `{name} {example}`");
                self.complain(entry.line, &message);
                None
            }
        }
    }

    /// Reads fields within a field that must be there.
    pub(super) fn needed_nested(
        &mut self,
        name: &'static str,
        example: &str,
    ) -> Option<Fields<'a>> {
        if !self.has(name) {
            self.wrong_here(name, "is needed", example);
        }
        self.nested(name, example)
    }

    /// Reads fields within a field that may be left out.
    pub(super) fn nested_or_empty(&mut self, name: &'static str, example: &str) -> Fields<'a> {
        let block = format!("{} {name}", self.block);
        let nested = self.nested(name, example);
        nested
            .unwrap_or_else(|| Fields::new(Vec::new(), self.file, &block, self.line, self.findings))
    }

    /// Complains about what is left over.
    pub(super) fn finish(self) {
        let mut known = self.known.clone();
        known.dedup();
        let known: Vec<_> = known.iter().map(|name| format!("`{name}`")).collect();
        for entry in &self.left {
            let message = match &entry.held {
                Held::Fields(_) if self.block.is_empty() => {
                    format!("unknown block `{}`", entry.name)
                }
                Held::Fields(_) | Held::Plain(_) | Held::Computed => {
                    format!("unknown key `{}`; known here: {}", entry.name, known.join(", "))
                }
            };
            self.complain(entry.line, &message);
        }
    }
}
