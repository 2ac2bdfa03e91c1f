//! What a command writes: `key=value`, `key=@file`, `key=-`, `@file` and `-`, as Vault reads them.

use crate::answer::{plain, sorted};
use serde_json::{Map, Value};
use std::io::Read;

/// How much is read from one file or from standard input, in bytes; no server takes a larger body.
const SOURCE_BYTES_MAX: u64 = 32 << 20;

/// Why the arguments are not data. No message repeats an argument without a name, which may be a
/// secret.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DataError {
    /// An argument has no `=`.
    #[error(
        "argument {0} of the data has no `=`: write key=value, key=@file, key=- for standard \
         input, or @file for a whole JSON object"
    )]
    NoEquals(usize),
    /// An argument has nothing before the `=`.
    #[error("argument {0} of the data has no name before the `=`")]
    NoName(usize),
    /// A file cannot be read.
    #[error("the file `{path}` cannot be read: {reason}")]
    File {
        /// The file.
        path: String,
        /// What the system says.
        reason: std::io::Error,
    },
    /// Standard input cannot be read.
    #[error("standard input cannot be read: {0}")]
    Stdin(std::io::Error),
    /// Standard input is asked for twice; it comes only once.
    #[error("standard input (`-`) can be used only once")]
    StdinTwice,
    /// What should be text is not.
    #[error("{0} is not UTF-8 text; encode it, for example with base64")]
    NotText(String),
    /// A source holds more than any server takes.
    #[error("{0} holds more than {SOURCE_BYTES_MAX} bytes")]
    TooLong(String),
    /// What should be a JSON object is not.
    #[error("{source_name} is not a JSON object: {reason}")]
    NotAnObject {
        /// Where it came from.
        source_name: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// Reads arguments as data; a key that is given several times becomes a list.
pub(crate) fn parse(
    arguments: &[String],
    stdin: &mut dyn Read,
) -> Result<Map<String, Value>, DataError> {
    let mut sources = Sources { stdin, used: false };
    let mut data = Map::new();
    for (index, argument) in arguments.iter().enumerate() {
        let position = index.saturating_add(1);
        if argument == "-" {
            let text = sources.stdin()?;
            data.extend(object(&text, "standard input")?);
        } else if let Some(path) = argument.strip_prefix('@') {
            data.extend(object(&file(path)?, &format!("the file `{path}`"))?);
        } else {
            let (key, value) = argument.split_once('=').ok_or(DataError::NoEquals(position))?;
            if key.is_empty() {
                return Err(DataError::NoName(position));
            }
            let value = sources.value(value)?;
            add(&mut data, key, value);
        }
    }
    Ok(data)
}

/// Reads arguments as the parameters of a request that has no body; a list gives its key several
/// times.
pub(crate) fn parse_query(
    arguments: &[String],
    stdin: &mut dyn Read,
) -> Result<Vec<(String, String)>, DataError> {
    let data = parse(arguments, stdin)?;
    let mut query = Vec::new();
    for (key, value) in sorted(&data) {
        match value {
            Value::Array(list) => query.extend(list.iter().map(|item| (key.clone(), plain(item)))),
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Object(_) => {
                query.push((key.clone(), plain(value)));
            }
        }
    }
    Ok(query)
}

/// Reads one argument as one line of text: as it stands, `@file`, or `-` for standard input.
pub(crate) fn parse_text(argument: &str, stdin: &mut dyn Read) -> Result<String, DataError> {
    let text = Sources { stdin, used: false }.value(argument)?;
    Ok(text.trim().to_owned())
}

/// Reads a whole file as it is, or standard input for `-`.
pub(crate) fn whole(name: &str, stdin: &mut dyn Read) -> Result<String, DataError> {
    if name == "-" { Sources { stdin, used: false }.stdin() } else { file(name) }
}

fn add(data: &mut Map<String, Value>, key: &str, value: String) {
    let value = Value::String(value);
    let value = match data.remove(key) {
        None => value,
        Some(Value::Array(mut list)) => {
            list.push(value);
            Value::Array(list)
        }
        Some(first) => Value::Array(vec![first, value]),
    };
    data.insert(key.to_owned(), value);
}

fn object(text: &str, source: &str) -> Result<Map<String, Value>, DataError> {
    let fail = |reason: String| DataError::NotAnObject { source_name: source.to_owned(), reason };
    // The parser's own words may repeat a part of the text; its place is enough.
    let parsed: Value = serde_json::from_str(text)
        .map_err(|error| fail(format!("line {}, column {}", error.line(), error.column())))?;
    match parsed {
        Value::Object(map) => Ok(map),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            Err(fail("it must begin with `{`".to_owned()))
        }
    }
}

struct Sources<'a> {
    stdin: &'a mut dyn Read,
    used: bool,
}

impl Sources<'_> {
    fn value(&mut self, text: &str) -> Result<String, DataError> {
        if text == "-" {
            return self.stdin();
        }
        if let Some(path) = text.strip_prefix('@') {
            return file(path);
        }
        // A value that does begin with `@` is written `\@…`.
        Ok(text.strip_prefix('\\').filter(|rest| rest.starts_with('@')).unwrap_or(text).to_owned())
    }

    fn stdin(&mut self) -> Result<String, DataError> {
        if std::mem::replace(&mut self.used, true) {
            return Err(DataError::StdinTwice);
        }
        read(&mut *self.stdin, || "standard input".to_owned(), DataError::Stdin)
    }
}

fn file(path: &str) -> Result<String, DataError> {
    let fail = |reason| DataError::File { path: path.to_owned(), reason };
    let file = std::fs::File::open(path).map_err(fail)?;
    read(file, || format!("the file `{path}`"), fail)
}

fn read(
    source: impl Read,
    name: impl Fn() -> String,
    fail: impl Fn(std::io::Error) -> DataError,
) -> Result<String, DataError> {
    let mut bytes = Vec::new();
    let read = source.take(SOURCE_BYTES_MAX.saturating_add(1)).read_to_end(&mut bytes);
    if read.map_err(fail)? as u64 > SOURCE_BYTES_MAX {
        return Err(DataError::TooLong(name()));
    }
    String::from_utf8(bytes).map_err(|_| DataError::NotText(name()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn data(arguments: &[&str], stdin: &str) -> Result<Value, DataError> {
        let arguments: Vec<_> = arguments.iter().map(ToString::to_string).collect();
        parse(&arguments, &mut stdin.as_bytes()).map(Value::Object)
    }

    #[test]
    fn values_are_text_and_a_repeated_key_is_a_list() {
        let parsed = data(&["a=1", "b=x=y", "c=", "s=one", "s=two", "s=three", r"d=\@x"], "");
        let expected =
            json!({"a": "1", "b": "x=y", "c": "", "s": ["one", "two", "three"], "d": "@x"});
        assert_eq!(parsed.unwrap(), expected);
    }

    #[test]
    fn standard_input_gives_a_value_or_an_object_once() {
        assert_eq!(data(&["a=-"], "line\n").unwrap(), json!({"a": "line\n"}));
        assert_eq!(data(&["-", "b=2"], r#"{"a": [1]}"#).unwrap(), json!({"a": [1], "b": "2"}));
        assert!(matches!(data(&["a=-", "b=-"], ""), Err(DataError::StdinTwice)));
    }

    #[test]
    fn parameters_are_read_like_data() {
        let arguments = ["b=1", "a=x", "a=-"].map(str::to_owned);
        let query = parse_query(&arguments, &mut "y".as_bytes()).unwrap();
        let expected = [("a", "x"), ("a", "y"), ("b", "1")];
        assert_eq!(query, expected.map(|(key, value)| (key.to_owned(), value.to_owned())));
    }

    #[test]
    fn one_text_may_come_from_standard_input_without_its_line_break() {
        assert_eq!(parse_text("-", &mut "hvs.x\n".as_bytes()).unwrap(), "hvs.x");
        assert_eq!(parse_text("hvs.y", &mut "".as_bytes()).unwrap(), "hvs.y");
        assert!(matches!(parse_text("@/nowhere", &mut "".as_bytes()), Err(DataError::File { .. })));
    }

    #[test]
    fn no_message_repeats_what_may_be_a_secret() {
        let errors = [
            data(&["a=1", "hunter2"], "").unwrap_err(),
            data(&["=hunter2"], "").unwrap_err(),
            data(&["-"], "hunter2").unwrap_err(),
            data(&["-"], r#"["hunter2"]"#).unwrap_err(),
        ];
        for error in errors {
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
    }
}
