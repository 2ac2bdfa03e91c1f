//! Reads HCL and JSON into the same entries, each with the line it stands in.

use super::oneline::{self, Spread};
use hcl::edit::expr::{Expression, ObjectKey};
use hcl::edit::structure::{Body, Structure};
use hcl::edit::{Span, parser};
use hcl::eval::{Context, Evaluate};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;
use std::fmt;

/// What has labels in Vault's files, and how many. In JSON a block cannot be told from a field otherwise.
const LABELLED: [(&str, usize); 5] =
    [("storage", 1), ("backend", 1), ("listener", 1), ("seal", 1), ("audit", 2)];

/// A name and what is written there: `name = …`, or `name "label" { … }`.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) labels: Vec<String>,
    /// The line of its name, the first one being 1.
    pub(super) line: usize,
    pub(super) held: Held,
}

/// What an entry holds.
#[derive(Debug)]
pub(super) enum Held {
    /// A value; a list is one as well.
    Plain(Value),
    /// Further entries, be it a block or an object.
    Fields(Vec<Entry>),
    /// Something that only a running program could make a value of.
    Computed,
}

/// A text that is neither HCL nor JSON; says in which line, and why.
#[derive(Debug)]
pub(super) struct Malformed {
    pub(super) line: usize,
    pub(super) message: String,
}

/// Reads a file. One that begins with `{` is JSON, as nothing in HCL does.
pub(super) fn parse(written: &str) -> Result<Vec<Entry>, Malformed> {
    if written.trim_start().starts_with('{') {
        // The whole first: its errors tell the line, and it bounds how deep anything nests.
        serde_json::from_str::<Value>(written).map_err(|error| malformed_json(&error))?;
        let entries = Json { written }.entries(written).map_err(|error| malformed_json(&error))?;
        Ok(entries.into_iter().flat_map(labelled).collect())
    } else {
        let spread = oneline::spread(written);
        let body = parser::parse_body(&spread.text);
        let body = body.map_err(|error| {
            let (line, column) = spread.place(written, error.location().offset());
            let shown = written.lines().nth(line.saturating_sub(1)).unwrap_or_default();
            let message = format!("column {column}: {}\n    {shown}", error.message());
            Malformed { line, message }
        })?;
        let entries = Hcl { written, spread: &spread }.entries(body);
        Ok(entries.into_iter().flat_map(labelled).collect())
    }
}

fn malformed_json(error: &serde_json::Error) -> Malformed {
    let message = error.to_string();
    // The line is told before it.
    let message = message.split(" at line ").next().unwrap_or_default();
    Malformed { line: error.line(), message: format!("column {}: {message}", error.column()) }
}

/// Takes the labels off a block that is written as an object; what is written as a list is several blocks.
fn labelled(entry: Entry) -> Vec<Entry> {
    let known = LABELLED.iter().find(|(name, _)| *name == entry.name);
    match known {
        Some((_, labels)) if entry.labels.is_empty() => unfolded(entry, *labels),
        Some(_) | None => vec![entry],
    }
}

fn unfolded(entry: Entry, left: usize) -> Vec<Entry> {
    match entry.held {
        Held::Fields(fields) if left > 0 && !fields.is_empty() => {
            let inner = fields.into_iter().flat_map(|field| {
                let labels = entry.labels.iter().cloned().chain([field.name]).collect();
                let name = entry.name.clone();
                unfolded(Entry { name, labels, ..field }, left.saturating_sub(1))
            });
            inner.collect()
        }
        Held::Plain(_) | Held::Fields(_) | Held::Computed => vec![entry],
    }
}

struct Hcl<'a> {
    written: &'a str,
    spread: &'a Spread,
}

impl Hcl<'_> {
    fn line(&self, of: &impl Span) -> usize {
        let offset = of.span().map_or(0, |span| span.start);
        self.spread.place(self.written, offset).0
    }

    fn entries(&self, body: Body) -> Vec<Entry> {
        let entries = body.into_iter().map(|structure| match structure {
            Structure::Attribute(attribute) => Entry {
                line: self.line(&attribute.key),
                name: attribute.key.value().to_string(),
                labels: Vec::new(),
                held: self.held(attribute.value),
            },
            Structure::Block(block) => Entry {
                line: self.line(&block.ident),
                name: block.ident.value().to_string(),
                labels: block.labels.iter().map(|label| label.as_str().to_owned()).collect(),
                held: Held::Fields(self.entries(block.body)),
            },
        });
        entries.collect()
    }

    fn held(&self, written: Expression) -> Held {
        let Expression::Object(object) = written else {
            let value = hcl::Expression::from(written).evaluate(&Context::new()).ok();
            let value = value.and_then(|value| serde_json::to_value(value).ok());
            return value.map_or(Held::Computed, Held::Plain);
        };
        let mut fields = Vec::new();
        for (key, value) in object {
            let (name, line) = match &key {
                ObjectKey::Ident(name) => (Some(name.value().to_string()), self.line(name)),
                ObjectKey::Expression(name) => (name.as_str().map(str::to_owned), self.line(name)),
            };
            let Some(name) = name else { return Held::Computed };
            let held = self.held(value.into_expr());
            fields.push(Entry { name, labels: Vec::new(), line, held });
        }
        Held::Fields(fields)
    }
}

struct Json<'a> {
    /// The whole file.
    written: &'a str,
}

impl<'a> Json<'a> {
    /// Reads an object that is part of the file.
    fn entries(&self, object: &'a str) -> serde_json::Result<Vec<Entry>> {
        let Pairs(pairs) = serde_json::from_str(object)?;
        let entries = pairs.into_iter().map(|(name, value)| {
            let (line, name) = (self.line(name.get()), serde_json::from_str(name.get())?);
            let held = self.held(value.get())?;
            self.several(Entry { name, labels: Vec::new(), line, held }, value.get())
        });
        let entries = entries.collect::<serde_json::Result<Vec<_>>>()?;
        Ok(entries.into_iter().flatten().collect())
    }

    /// Takes a list of blocks apart: each counts as if it were written alone.
    fn several(&self, entry: Entry, list: &'a str) -> serde_json::Result<Vec<Entry>> {
        let is_block = LABELLED.iter().any(|(name, _)| *name == entry.name);
        if !is_block || !list.starts_with('[') {
            return Ok(vec![entry]);
        }
        let items: Vec<&RawValue> = serde_json::from_str(list)?;
        let entries = items.into_iter().map(|item| {
            let held = self.held(item.get())?;
            let line = self.line(item.get());
            Ok(Entry { name: entry.name.clone(), labels: Vec::new(), line, held })
        });
        entries.collect()
    }

    fn held(&self, value: &'a str) -> serde_json::Result<Held> {
        if value.starts_with('{') {
            return Ok(Held::Fields(self.entries(value)?));
        }
        serde_json::from_str(value).map(Held::Plain)
    }

    fn line(&self, part: &str) -> usize {
        let offset = part.as_ptr().addr().saturating_sub(self.written.as_ptr().addr());
        let before = self.written.as_bytes().get(..offset).unwrap_or_default();
        before.split(|byte| *byte == b'\n').count()
    }
}

/// The names and values of an object as they are written, each name as often as it is there.
struct Pairs<'a>(Vec<(&'a RawValue, &'a RawValue)>);

impl<'de> Deserialize<'de> for Pairs<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AsWritten;
        impl<'de> Visitor<'de> for AsWritten {
            type Value = Pairs<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(AsWritten)
    }
}
