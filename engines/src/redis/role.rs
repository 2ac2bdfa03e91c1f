//! What an operator sets for one kind of credential: ACL rules, as Vault takes them or as a plain list.

use crate::fields::Fields;
use leasehold_core::engine::FieldError;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Vault's rules where a role has none: reading everything.
const RULES_DEFAULT: [&str; 2] = ["~*", "+@read"];

/// Longer than any rule is, and far shorter than what a server takes.
const RULE_BYTES_MAX: usize = 4096;

/// What an operator sets for one kind of credential.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Role {
    creation_statements: Vec<String>,
}

impl Role {
    /// Parses and checks what an operator wrote.
    pub(super) fn parse(written: &Map<String, Value>) -> Result<Self, FieldError> {
        let mut fields = Fields::new(written);
        let role = Self { creation_statements: fields.texts("creation_statements")? };
        // Vault takes these and has no use for them here: a user is deleted whole, and knows no end.
        for ignored in ["revocation_statements", "renew_statements", "rollback_statements"] {
            fields.texts(ignored)?;
        }
        match fields.text("credential_type")?.as_str() {
            "" | "password" => {}
            other => {
                return Err(FieldError(format!(
                    "`credential_type` cannot be `{other}`; a Redis target issues `password`"
                )));
            }
        }
        if !fields.text("password_policy")?.is_empty() {
            return Err(FieldError(
                "`password_policy` is not supported by a Redis target; leave it out".to_owned(),
            ));
        }
        fields.finish("a role of a Redis target")?;
        for rule in role.rules() {
            check(&rule)?;
        }
        balanced(&role.rules())?;
        Ok(role)
    }

    /// Returns the rules, each as the server is sent it.
    pub(super) fn rules(&self) -> Vec<String> {
        match self.creation_statements.as_slice() {
            [] => RULES_DEFAULT.map(str::to_owned).to_vec(),
            // As Vault has it: one text, which holds a list in JSON, or else is a rule itself.
            [one] => serde_json::from_str(one).unwrap_or_else(|_| vec![one.clone()]),
            many => many.to_vec(),
        }
    }

    /// Says what of the rules should be thought over.
    pub(super) fn cautions(&self) -> Vec<String> {
        let rules = self.rules();
        let mut said = Vec::new();
        for (command, why) in [
            ("acl", "can give itself every permission, and make users that no lease removes"),
            ("config", "can read and change the server's settings, the files it writes among them"),
        ] {
            if allows(&rules, command) {
                said.push(format!(
                    "the rules allow `{}`: who borrows this {why}; add `-{command}` at the end unless that is meant",
                    command.to_uppercase()
                ));
            }
        }
        said
    }
}

/// Refuses rules that are not about what may be done but about who may log in, and how; and such as could not be kept in
/// the server's files.
fn check(rule: &str) -> Result<(), FieldError> {
    if rule.is_empty() || rule.len() > RULE_BYTES_MAX {
        return Err(FieldError(format!(
            "`creation_statements`: a rule has 1 to {RULE_BYTES_MAX} bytes"
        )));
    }
    if rule.chars().any(|char| char.is_control() || "\"'".contains(char)) {
        return Err(FieldError(
            "`creation_statements`: a rule cannot hold quotes or control characters: the server could not read its own file"
                .to_owned(),
        ));
    }
    let in_selector = rule.starts_with('(') || rule.ends_with(')');
    if !in_selector && rule.chars().any(char::is_whitespace) {
        // What stands after the space may be a password.
        return Err(FieldError(
            "`creation_statements`: a rule has a space in it; write each as one item of the list"
                .to_owned(),
        ));
    }
    let words = rule.split(|char: char| char.is_whitespace() || "()".contains(char));
    for word in words.filter(|word| !word.is_empty()) {
        let is_state = ["nopass", "reset", "resetpass", "on", "off"]
            .iter()
            .any(|state| word.eq_ignore_ascii_case(state));
        if is_state || word.starts_with(['>', '<', '#', '!']) {
            // What stands there may be a password.
            return Err(FieldError(
                "`creation_statements`: rules that set or clear a password or a user's state (`nopass`, `>`, `<`, `#`, \
                 `!`, `reset`, `resetpass`, `on`, `off`) are Leasehold's to send; leave them out"
                    .to_owned(),
            ));
        }
    }
    Ok(())
}

/// A selector that is opened and not closed would swallow what is sent after it.
fn balanced(rules: &[String]) -> Result<(), FieldError> {
    let each = rules.iter().all(|rule| rule.starts_with('(') == rule.ends_with(')'));
    if each {
        return Ok(());
    }
    Err(FieldError(
        "`creation_statements`: write each selector `( … )` as one item of the list".to_owned(),
    ))
}

/// Whether the rules, in their order, leave a command or a part of it allowed; selectors count as if they were rules.
fn allows(rules: &[String], command: &str) -> bool {
    let mut allowed = false;
    let words = rules.iter().flat_map(|rule| {
        rule.split(|char: char| char.is_whitespace() || "()".contains(char)).map(str::to_lowercase)
    });
    for word in words {
        let sign = word.chars().next();
        let rest = word.strip_prefix(['+', '-']).unwrap_or(&word);
        // The categories that both commands are in.
        let is_wide = ["@all", "@admin", "@dangerous", "@slow", "allcommands"].contains(&rest);
        let (name, part) =
            rest.split_once('|').map_or((rest, None), |(name, part)| (name, Some(part)));
        let harmless = ["whoami", "help", "cat", "genpass"];
        let is_part = part.is_some_and(|part| !harmless.contains(&part));
        match sign {
            Some('+') if is_wide || (name == command && (part.is_none() || is_part)) => {
                allowed = true;
            }
            Some('-') if is_wide || (name == command && part.is_none()) => allowed = false,
            Some(_) if rest == "allcommands" => allowed = true,
            Some(_) if rest == "nocommands" => allowed = false,
            Some(_) | None => {}
        }
    }
    allowed
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn parsed(statements: &Value) -> Result<Role, FieldError> {
        Role::parse(json!({ "creation_statements": statements }).as_object().unwrap())
    }

    #[test]
    fn rules_are_written_as_for_vault_or_as_a_list() {
        for (written, rules) in [
            (json!(null), vec!["~*", "+@read"]),
            (json!("[\"~a*\", \"+get\"]"), vec!["~a*", "+get"]),
            (json!(["[\"~a*\", \"+get\"]"]), vec!["~a*", "+get"]),
            (json!(["~a*", "+get"]), vec!["~a*", "+get"]),
            (json!("+@read"), vec!["+@read"]),
            (json!(["(+get ~b*)", "%R~x"]), vec!["(+get ~b*)", "%R~x"]),
        ] {
            assert_eq!(parsed(&written).unwrap().rules(), rules, "{written}");
        }
    }

    #[test]
    fn rules_about_passwords_and_state_are_refused_and_never_repeated() {
        for rule in [
            "nopass",
            "NoPass",
            ">geheim",
            "<geheim",
            "#geheim",
            "!geheim",
            "reset",
            "RESETPASS",
            "on",
            "OFF",
            "(+get off)",
            "(~x >geheim)",
            "+get >geheim",
            "+get\n>geheim",
            "~\"x",
            "~'x",
            "(+get",
            "+get)",
            "",
        ] {
            for written in [json!([rule, "~*"]), json!(serde_json::to_string(&[rule]).unwrap())] {
                if written == json!(["", "~*"]) {
                    continue; // An empty item of a list is no rule.
                }
                let refused = parsed(&written).expect_err(rule);
                assert!(!refused.0.contains("geheim"), "{refused}");
                assert!(refused.0.contains("creation_statements"), "{refused}");
            }
        }
    }

    #[test]
    fn rules_that_allow_acl_or_config_are_warned_about() {
        for (rules, warned) in [
            (json!(["~*", "+@read"]), 0),
            (json!(["+@all"]), 2),
            (json!(["allcommands", "-acl"]), 1),
            (json!(["+@all", "-@admin"]), 0),
            (json!(["+ACL|SETUSER"]), 1),
            (json!(["+acl|whoami"]), 0),
            (json!(["+config|get"]), 1),
            (json!(["+get", "(+@dangerous ~*)"]), 2),
            (json!(["+@all", "nocommands", "+get"]), 0),
        ] {
            let said = parsed(&rules).unwrap().cautions();
            assert_eq!(said.len(), warned, "{rules}: {said:?}");
        }
    }

    #[test]
    fn what_cannot_work_is_refused_by_name() {
        for (written, named) in [
            (json!({"credential_type": "rsa_private_key"}), "credential_type"),
            (json!({"password_policy": "x"}), "password_policy"),
            (json!({"grant_roles": "x"}), "grant_roles"),
            (json!({"creation_statements": 3}), "creation_statements"),
        ] {
            let refused = Role::parse(written.as_object().unwrap()).unwrap_err();
            assert!(refused.0.contains(named), "{refused}");
        }
    }
}
