//! Reads a password policy as operators write it: Vault's HCL, or the same as JSON.

use super::password::{PasswordPolicy, PasswordPolicyError, Rule};
use super::policy::syntax::{self, Item, Node};

/// The shortest and the longest passwords that a policy may ask for: Vault's.
const LENGTHS: std::ops::RangeInclusive<usize> = 4..=100;
/// The longest text of a policy, in bytes: a few charsets of Unicode.
const BYTES_MAX: usize = 64 << 10;

/// A text is no password policy. The messages are Vault's where its clients know them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PasswordTextError {
    /// It is longer than anybody needs.
    #[error("a password policy has at most {BYTES_MAX} bytes")]
    TooLong,
    /// It is not HCL.
    #[error("invalid password policy: unable to decode: line {line}: {message}")]
    Syntax {
        /// Where.
        line: usize,
        /// What should stand there.
        message: String,
    },
    /// A field is not what it should be.
    #[error("invalid password policy: line {line}: {message}")]
    Field {
        /// Where.
        line: usize,
        /// What is wrong with it.
        message: String,
    },
    /// There is no length.
    #[error("invalid password policy: 1 error occurred:\n\t* length must be > 0\n\n")]
    NoLength,
    /// There is nothing to draw from.
    #[error("invalid password policy: 1 error occurred:\n\t* no charset specified\n\n")]
    NoCharset,
    /// The rules ask for more than there is room for.
    #[error(
        "invalid password policy: 1 error occurred:\n\t* specified rules require at least {asked} characters but {length} is specified\n\n"
    )]
    TooMuchAsked {
        /// The sum of the rules.
        asked: usize,
        /// The length of a password.
        length: usize,
    },
    /// The length is out of bounds.
    #[error("passwords must be between 4 and 100 characters")]
    Length,
}

/// Reads a password policy.
pub fn parse(text: &str) -> Result<PasswordPolicy, PasswordTextError> {
    if text.len() > BYTES_MAX {
        return Err(PasswordTextError::TooLong);
    }
    let items = syntax::read(text)
        .map_err(|fault| PasswordTextError::Syntax { line: fault.line, message: fault.message })?;
    let (mut length, mut rules) = (None, Vec::new());
    for item in items {
        match (item.name.as_str(), item.labels.as_slice()) {
            ("length", []) if length.is_none() => length = Some(number(&item)?),
            ("rule", [kind]) if kind == "charset" => rules.push(rule(&item)?),
            ("rule", [kind]) => {
                let message = format!("unable to parse rule {kind}: unrecognized rule type {kind}");
                return Err(wrong(&item, message));
            }
            ("rule", []) => rules_of(&item, &mut rules)?,
            _ => return Err(wrong(&item, format!("{:?} should not stand here", item.name))),
        }
    }
    let length = length.filter(|length| *length > 0).ok_or(PasswordTextError::NoLength)?;
    let policy = PasswordPolicy::new(length, rules).map_err(|error| match error {
        PasswordPolicyError::Length(_) => PasswordTextError::Length,
        PasswordPolicyError::NoCharset => PasswordTextError::NoCharset,
        PasswordPolicyError::TooMuchAsked { asked, length } => {
            PasswordTextError::TooMuchAsked { asked, length }
        }
    })?;
    LENGTHS.contains(&length).then_some(policy).ok_or(PasswordTextError::Length)
}

/// Reads rules as JSON has them: `"rule": {"charset": {…}}`, or a list of such.
fn rules_of(item: &Item, rules: &mut Vec<Rule>) -> Result<(), PasswordTextError> {
    let listed = if let Node::List(nodes) = &item.node {
        nodes.as_slice()
    } else {
        std::slice::from_ref(&item.node)
    };
    for node in listed {
        let Node::Items(kinds) = node else {
            return Err(wrong(item, "a rule is an object".into()));
        };
        for kind in kinds {
            if kind.name != "charset" {
                let name = &kind.name;
                let message = format!("unable to parse rule {name}: unrecognized rule type {name}");
                return Err(wrong(kind, message));
            }
            rules.push(rule(kind)?);
        }
    }
    Ok(())
}

fn rule(item: &Item) -> Result<Rule, PasswordTextError> {
    let Node::Items(fields) = &item.node else {
        return Err(wrong(item, "a rule is an object".into()));
    };
    let mut rule = Rule { charset: String::new(), min_chars: 0 };
    for field in fields {
        match (field.name.as_str(), &field.node) {
            ("charset", Node::Text(charset)) => rule.charset.clone_from(charset),
            ("min-chars" | "min_chars", _) => rule.min_chars = number(field)?,
            (name, _) => {
                return Err(wrong(field, format!("a rule has no field {name:?} of this kind")));
            }
        }
    }
    if rule.charset.chars().any(char::is_control) {
        return Err(wrong(item, "a charset has no control characters".into()));
    }
    Ok(rule)
}

fn number(item: &Item) -> Result<usize, PasswordTextError> {
    let number = match &item.node {
        Node::Number(number) => number.as_u64().and_then(|number| usize::try_from(number).ok()),
        Node::Null | Node::Flag(_) | Node::Text(_) | Node::List(_) | Node::Items(_) => None,
    };
    number.ok_or_else(|| wrong(item, format!("`{}` is a whole number", item.name)))
}

fn wrong(item: &Item, message: String) -> PasswordTextError {
    PasswordTextError::Field { line: item.line, message }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chance::testing::Counting;

    #[test]
    fn a_policy_is_written_as_for_vault() {
        let hcl = "length = 24\nrule \"charset\" { charset = \"abcdef\" min-chars = 2 }\nrule \"charset\" { charset = \"0123456789\" min-chars = 1 }";
        let json = r#"{"length": 24, "rule": [{"charset": {"charset": "abcdef", "min-chars": 2}}, {"charset": {"charset": "0123456789", "min-chars": 1}}]}"#;
        assert_eq!(parse(hcl).unwrap(), parse(json).unwrap());
        let drawn = parse(hcl).unwrap().generate(&Counting::default());
        assert!(parse(hcl).unwrap().accepts(drawn.reveal()) && drawn.len() == 24);
    }

    #[test]
    fn what_is_none_is_refused_as_vault_does() {
        for (text, told) in [
            ("length = 3\nrule \"charset\" { charset = \"abc\" }", "between 4 and 100"),
            ("length = 101\nrule \"charset\" { charset = \"abc\" }", "between 4 and 100"),
            ("length = 1000\nrule \"charset\" { charset = \"abc\" }", "between 4 and 100"),
            ("length = 20", "no charset specified"),
            ("rule \"charset\" { charset = \"abc\" }", "length must be > 0"),
            ("junk{", "unable to decode"),
            (
                "length = 5\nrule \"charset\" { charset = \"abc\" min-chars = 9 }",
                "at least 9 characters but 5",
            ),
            ("length = 20\nrule \"other\" { }", "unrecognized rule type other"),
            ("length = 20\nrule \"charset\" { charset = \"\" }", "no charset specified"),
            ("length = 20\nlenght = 3", "lenght"),
            ("length = \"x\"", "whole number"),
            ("length = 20\nrule \"charset\" { charset = \"a\\n\" }", "control"),
        ] {
            let refused = parse(text).unwrap_err().to_string();
            assert!(refused.contains(told), "{text}: {refused}");
        }
    }
}
