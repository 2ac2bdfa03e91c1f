//! An operator's statements: cut apart, judged, and filled in.
//!
//! Vault replaces placeholders as text and splits at every `;`. Here each value is quoted for the place
//! it stands in, and a `;` inside a string or a comment splits nothing. `IDENTIFIED BY '{{password}}'` is
//! filled with a hash where the server takes one, which means the same and keeps the password out of its logs.

use super::lexer::{Kind, Piece, pieces};
use super::quote;
use leasehold_core::engine::FieldError;

/// What a placeholder stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Value {
    Name,
    Password,
    Expiration,
}

/// Where a placeholder stands, which decides how its value is quoted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Bare,
    Identifier,
    String,
    /// The whole of a string after `IDENTIFIED BY`.
    Identified,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Hole(Value, Place),
}

/// How far a statement reaches, which decides with what else it may be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Reach {
    /// Is answered in one piece and leaves its session as it was.
    Own,
    /// May leave something behind in its session, or be answered in several pieces.
    Session,
}

/// One statement with holes where values go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Statement {
    parts: Vec<Part>,
    words: Vec<String>,
    hosts: Vec<String>,
}

/// What goes into the holes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Values<'a> {
    pub(super) name: &'a str,
    /// There is none when a credential is renewed or revoked.
    pub(super) password: &'a str,
    /// What goes after `IDENTIFIED BY`: the password as a string, or what stands for it.
    pub(super) identified: &'a str,
    pub(super) expiration: &'a str,
}

/// Cuts the texts of a field into statements. The error names the field.
pub(super) fn statements(field: &str, texts: &[String]) -> Result<Vec<Statement>, FieldError> {
    let mut all = Vec::new();
    for text in texts {
        let wrong = |why: &str| FieldError(format!("`{field}`: {why}"));
        let pieces = pieces(text).map_err(wrong)?;
        for statement in pieces.split(|piece| piece.kind == Kind::Sign(';')) {
            if let Some(statement) = parse(statement).map_err(|why| wrong(&why))? {
                all.push(statement);
            }
        }
    }
    Ok(all)
}

/// Makes a statement of its pieces; `None` if there is nothing in them but white space and comments.
fn parse(pieces: &[Piece<'_>]) -> Result<Option<Statement>, String> {
    let mut statement =
        Statement { parts: Vec::new(), words: Vec::new(), hosts: hosts_of_the_name(pieces) };
    let mut says_something = false;
    for piece in pieces {
        match piece.kind {
            Kind::Sign(sign) => {
                says_something |= !sign.is_whitespace();
                statement.text(piece.text);
                continue;
            }
            Kind::Comment if piece.text.contains("{{") => {
                return Err(format!(
                    "a placeholder in a comment cannot be quoted safely; use it outside (near `{}`)",
                    piece.text.chars().take(40).collect::<String>()
                ));
            }
            Kind::Comment => {
                // A space in its place keeps apart what it kept apart.
                statement.text(" ");
                continue;
            }
            Kind::Word => {
                statement.words.push(piece.text.to_ascii_uppercase());
                statement.text(piece.text);
            }
            Kind::String if statement.identifies() && is_only(piece.text, "password") => {
                statement.parts.push(Part::Hole(Value::Password, Place::Identified));
            }
            Kind::String => statement.fill(piece.text, Place::String)?,
            Kind::Identifier => statement.fill(piece.text, Place::Identifier)?,
            Kind::Placeholder => statement.fill(piece.text, Place::Bare)?,
        }
        says_something = true;
    }
    if statement.words.iter().any(|word| word == "RELEASE_LOCK" || word == "RELEASE_ALL_LOCKS") {
        return Err(
            "a statement must not release named locks: Leasehold holds one while it creates"
                .to_owned(),
        );
    }
    Ok(says_something.then_some(statement))
}

/// Returns the hosts for which a statement names the credential: `'{{name}}'@'HOST'`.
fn hosts_of_the_name(pieces: &[Piece<'_>]) -> Vec<String> {
    let words = pieces.iter().filter(|piece| {
        piece.kind != Kind::Comment
            && !matches!(piece.kind, Kind::Sign(sign) if sign.is_whitespace())
    });
    let words: Vec<_> = words.collect();
    let mut hosts = Vec::new();
    for (at, piece) in words.iter().enumerate() {
        if !is_only(piece.text, "name") && !is_only(piece.text, "username") {
            continue;
        }
        let after = |by: usize| words.get(at.saturating_add(by));
        let host = match (after(1).map(|sign| sign.kind), after(2)) {
            (Some(Kind::Sign('@')), Some(host)) => bare(host.text).to_owned(),
            _ => "%".to_owned(),
        };
        if !host.contains("{{") && !hosts.contains(&host) {
            hosts.push(host);
        }
    }
    hosts
}

/// Returns a text without the quotes around it.
fn bare(text: &str) -> &str {
    let quoted = ['\'', '"', '`']
        .iter()
        .find_map(|&quote| text.strip_prefix(quote).and_then(|text| text.strip_suffix(quote)));
    quoted.unwrap_or(text)
}

/// Tells whether a piece is one placeholder, quoted or not, and nothing else.
fn is_only(text: &str, placeholder: &str) -> bool {
    let inner = bare(text).strip_prefix("{{").and_then(|text| text.strip_suffix("}}"));
    inner.is_some_and(|inner| inner.trim() == placeholder)
}

impl Statement {
    fn text(&mut self, text: &str) {
        if let Some(Part::Text(last)) = self.parts.last_mut() {
            last.push_str(text);
        } else {
            self.parts.push(Part::Text(text.to_owned()));
        }
    }

    /// Tells whether what comes next is a password: after `IDENTIFIED BY`.
    fn identifies(&self) -> bool {
        self.words.ends_with(&["IDENTIFIED".to_owned(), "BY".to_owned()])
            && matches!(self.parts.last(), Some(Part::Text(text))
                if text.trim_end().to_ascii_uppercase().ends_with("BY"))
    }

    /// Takes in a text that may hold placeholders.
    fn fill(&mut self, text: &str, place: Place) -> Result<(), String> {
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("{{") {
            let (inner, tail) = after.split_once("}}").ok_or("`{{` is not closed by `}}`")?;
            let value = match inner.trim() {
                "name" | "username" => Value::Name,
                "password" => Value::Password,
                "expiration" => Value::Expiration,
                other => {
                    return Err(format!(
                        "there is no placeholder `{{{{{other}}}}}`; there are `{{{{name}}}}`, \
                         `{{{{password}}}}` and `{{{{expiration}}}}`"
                    ));
                }
            };
            self.text(before);
            self.parts.push(Part::Hole(value, place));
            rest = tail;
        }
        self.text(rest);
        Ok(())
    }

    /// Returns the statement with its holes filled.
    pub(super) fn render(&self, values: &Values<'_>) -> String {
        let mut sql = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => sql.push_str(text),
                Part::Hole(value, place) => sql.push_str(&filled(*value, *place, values)),
            }
        }
        sql.trim().to_owned()
    }

    /// Tells whether the statement does nothing but create the credential itself, so that its refusal proves
    /// that nothing was created.
    pub(super) fn creates_the_user(&self) -> bool {
        let named = self.parts.iter().any(|part| matches!(part, Part::Hole(Value::Name, _)));
        named && self.begins(&["CREATE", "USER"])
    }

    /// Tells whether the statement takes in a password.
    pub(super) fn sets_a_password(&self) -> bool {
        self.parts.iter().any(|part| matches!(part, Part::Hole(Value::Password, _)))
    }

    /// Returns for which hosts it creates the credential.
    pub(super) fn hosts(&self) -> &[String] {
        if self.creates_the_user() { &self.hosts } else { &[] }
    }

    fn begins(&self, words: &[&str]) -> bool {
        self.words.iter().zip(words).filter(|(word, wanted)| word == wanted).count() == words.len()
    }

    /// Returns how far the statement reaches. What is not known to reach only so far reaches further.
    pub(super) fn reach(&self) -> Reach {
        let first = self.words.first().map(String::as_str).unwrap_or_default();
        let temporary = self.words.iter().any(|word| word == "TEMPORARY");
        match first {
            "SET" if self.begins(&["SET", "DEFAULT", "ROLE"]) => Reach::Own,
            "CREATE" | "ALTER" | "DROP" | "GRANT" | "REVOKE" | "INSERT" | "UPDATE" | "DELETE"
            | "REPLACE" | "FLUSH"
                if !temporary =>
            {
                Reach::Own
            }
            _ => Reach::Session,
        }
    }
}

/// Returns how far a row of statements reaches.
pub(super) fn reach(statements: &[Statement]) -> Reach {
    statements.iter().map(Statement::reach).max().unwrap_or(Reach::Own)
}

fn filled(value: Value, place: Place, values: &Values<'_>) -> String {
    let text = match value {
        Value::Name => values.name,
        Value::Password => values.password,
        Value::Expiration => values.expiration,
    };
    match (place, value) {
        (Place::Identified, _) => values.identified.to_owned(),
        (Place::Identifier, _) => quote::inside_identifier(text),
        (Place::String, _) => quote::inside_string(text),
        (Place::Bare, Value::Name) => quote::identifier(text),
        (Place::Bare, Value::Password | Value::Expiration) => quote::literal(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALUES: Values<'static> = Values {
        name: "a'`\"\\",
        password: "it's",
        identified: "PASSWORD '*0'",
        expiration: "2026-11-22 02:26:05+0000",
    };

    fn rendered(text: &str) -> Vec<String> {
        let statements = statements("f", &[text.to_owned()]).unwrap();
        statements.iter().map(|statement| statement.render(&VALUES)).collect()
    }

    #[test]
    fn values_are_quoted_for_their_place() {
        for (text, wanted) in [
            ("DROP USER '{{name}}'@'%';", "DROP USER 'a\\'`\\\"\\\\'@'%'"),
            ("DROP USER \"{{ username }}\"@'%'", "DROP USER \"a\\'`\\\"\\\\\"@'%'"),
            ("CREATE DATABASE `{{name}}`", "CREATE DATABASE `a'``\"\\`"),
            ("DROP USER {{name}}", "DROP USER `a'``\"\\`"),
            ("SELECT {{password}}", "SELECT 'it\\'s'"),
            (
                "CREATE USER x IDENTIFIED BY '{{password}}'",
                "CREATE USER x IDENTIFIED BY PASSWORD '*0'",
            ),
            (
                "create user x identified /* ; */ by \"{{ password }}\" account lock",
                "create user x identified   by PASSWORD '*0' account lock",
            ),
            (
                "CREATE USER x IDENTIFIED BY 'x{{password}}'",
                "CREATE USER x IDENTIFIED BY 'xit\\'s'",
            ),
            (
                "CREATE USER x IDENTIFIED VIA ed25519 USING PASSWORD('{{password}}')",
                "CREATE USER x IDENTIFIED VIA ed25519 USING PASSWORD('it\\'s')",
            ),
            ("SELECT 'IDENTIFIED BY', '{{password}}'", "SELECT 'IDENTIFIED BY', 'it\\'s'"),
            (
                "INSERT INTO a VALUES ('{{expiration}}')",
                "INSERT INTO a VALUES ('2026-11-22 02:26:05+0000')",
            ),
        ] {
            assert_eq!(rendered(text), [wanted]);
        }
    }

    #[test]
    fn a_semicolon_splits_only_where_it_ends_a_statement() {
        assert_eq!(rendered("A ';' ; -- b; c\n ;; # d\n B `;` /* ; */"), ["A ';'", "B `;`"]);
    }

    #[test]
    fn what_cannot_be_filled_in_is_refused() {
        for (text, why) in [
            ("SELECT '{{nonsense}}'", "there is no placeholder"),
            ("SELECT 1 -- {{name}}", "comment"),
            ("SELECT 'a", "not closed"),
            ("/*!50000 CREATE USER x */", "/*!"),
            ("DO RELEASE_ALL_LOCKS()", "named locks"),
        ] {
            let refused = statements("creation_statements", &[text.to_owned()]).unwrap_err();
            assert!(
                refused.0.contains(why) && refused.0.contains("creation_statements"),
                "{refused}"
            );
        }
    }

    #[test]
    fn a_statement_says_how_far_it_reaches_and_for_which_hosts_it_creates() {
        let one = |text: &str| statements("f", &[text.to_owned()]).unwrap().remove(0);
        assert_eq!(one("GRANT SELECT ON *.* TO '{{name}}'@'%'").reach(), Reach::Own);
        for further in [
            "CALL make('{{name}}')",
            "SET GLOBAL a = 1",
            "USE b",
            "BEGIN NOT ATOMIC",
            "CREATE TEMPORARY TABLE a (b int)",
        ] {
            assert_eq!(one(further).reach(), Reach::Session, "{further}");
        }
        let creates = one(
            "CREATE USER '{{name}}'@'10.%' IDENTIFIED BY 'x', `{{name}}` @ localhost, '{{name}}'",
        );
        assert_eq!(creates.hosts(), ["10.%", "localhost", "%"]);
        assert!(one("GRANT ALL ON *.* TO '{{name}}'@'%'").hosts().is_empty());
        assert!(!one("CREATE USER other").creates_the_user());
    }
}
