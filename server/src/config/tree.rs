//! Reads HCL and JSON into the same blocks and fields.

use super::ConfigError;
use super::oneline::{self, Spread};
use hcl::eval::{Context, Evaluate};
use serde_json::{Map, Value};

/// What has labels in Vault's files, and how many. In JSON a block cannot be told from a field otherwise.
const LABELLED: [(&str, usize); 5] =
    [("storage", 1), ("backend", 1), ("listener", 1), ("seal", 1), ("audit", 2)];

/// A block: `name "label" { field = … }`.
#[derive(Debug, Default)]
pub(super) struct Block {
    pub(super) name: String,
    pub(super) labels: Vec<String>,
    pub(super) fields: Map<String, Value>,
    pub(super) blocks: Vec<Block>,
}

/// Reads a file. One that begins with `{` is JSON, as nothing in HCL does.
pub(super) fn parse(written: &str, file: &str) -> Result<Block, ConfigError> {
    if written.trim_start().starts_with('{') {
        let root = serde_json::from_str::<Map<String, Value>>(written)
            .map_err(|error| ConfigError(format!("{file}: {error}")))?;
        from_json(root, file)
    } else {
        let spread = oneline::spread(written);
        let body = hcl::parse(&spread.text);
        from_hcl(body.map_err(|error| not_hcl(&error, &spread, written, file))?, file)
    }
}

/// Says what is wrong and where, in the lines as they were written.
fn not_hcl(error: &hcl::Error, spread: &Spread, written: &str, file: &str) -> ConfigError {
    if let hcl::Error::Parse(error) = error {
        let (line, column) = spread.place(written, error.location().offset());
        let shown = written.lines().nth(line.saturating_sub(1)).unwrap_or_default();
        let message = error.message();
        return ConfigError(format!("{file}, line {line}, column {column}: {message}\n  {shown}"));
    }
    ConfigError(format!("{file}: {error}"))
}

fn from_hcl(body: hcl::Body, file: &str) -> Result<Block, ConfigError> {
    let mut read = Block::default();
    for structure in body {
        match structure {
            hcl::Structure::Attribute(attribute) => {
                let name = attribute.key.to_string();
                let plain = attribute.expr.evaluate(&Context::new()).ok();
                let plain = plain.and_then(|value| serde_json::to_value(value).ok());
                let plain = plain.ok_or_else(|| {
                    ConfigError(format!("{file}: `{name}` must be a plain value"))
                })?;
                if read.fields.insert(name.clone(), plain).is_some() {
                    return Err(ConfigError(format!("{file}: `{name}` is given twice")));
                }
            }
            hcl::Structure::Block(block) => {
                let inner = from_hcl(block.body, file)?;
                let labels = block.labels.into_iter().map(hcl::BlockLabel::into_inner);
                let name = block.identifier.to_string();
                read.blocks.push(Block { name, labels: labels.collect(), ..inner });
            }
        }
    }
    Ok(read)
}

fn from_json(root: Map<String, Value>, file: &str) -> Result<Block, ConfigError> {
    let mut read = Block::default();
    for (name, value) in root {
        match LABELLED.iter().find(|(known, _)| *known == name) {
            Some((_, labels)) => {
                labelled(&mut read.blocks, &name, Vec::new(), *labels, value, file)?;
            }
            None => {
                read.fields.insert(name, value);
            }
        }
    }
    Ok(read)
}

/// Takes labels off a value; what is written as a list is several blocks.
fn labelled(
    blocks: &mut Vec<Block>,
    name: &str,
    labels: Vec<String>,
    left: usize,
    value: Value,
    file: &str,
) -> Result<(), ConfigError> {
    match value {
        Value::Array(items) => items
            .into_iter()
            .try_for_each(|item| labelled(blocks, name, labels.clone(), left, item, file)),
        Value::Object(fields) if left == 0 => {
            blocks.push(Block { name: name.to_owned(), labels, fields, blocks: Vec::new() });
            Ok(())
        }
        Value::Object(fields) => fields.into_iter().try_for_each(|(label, value)| {
            let labels = labels.iter().cloned().chain([label]).collect();
            labelled(blocks, name, labels, left.saturating_sub(1), value, file)
        }),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            Err(ConfigError(format!("{file}: `{name}` must hold fields: `{{ … }}`")))
        }
    }
}
