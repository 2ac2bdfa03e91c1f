//! An operator's statements: cut apart, judged, and filled in.
//!
//! Vault replaces placeholders as text and splits at every `;`. Here each value is quoted for the place
//! it stands in, and a `;` inside a string, a comment or a function's body splits nothing.

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
    EscapeString,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Hole(Value, Place),
}

/// How far a statement reaches, which decides with what else it may be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Reach {
    /// Creates or alters its own role and that role's memberships.
    Own,
    /// Touches what others touch as well, by grants alone.
    Shared,
    /// May leave something behind in its session, or do whatever else.
    Session,
    /// Begins or ends transactions, or refuses to run inside one.
    Transactions,
}

/// One statement with holes where values go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Statement {
    parts: Vec<Part>,
    words: Vec<String>,
}

/// What goes into the holes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Values<'a> {
    pub(super) name: &'a str,
    /// The password or its verifier; there is none when a credential is renewed or revoked.
    pub(super) password: &'a str,
    pub(super) expiration: &'a str,
}

/// Cuts the texts of a field into statements. The error names the field.
pub(super) fn statements(field: &str, texts: &[String]) -> Result<Vec<Statement>, FieldError> {
    let mut all = Vec::new();
    for text in texts {
        let wrong = |why: &str| FieldError(format!("`{field}`: {why}"));
        let pieces = pieces(text).map_err(wrong)?;
        for statement in split(&pieces) {
            if let Some(statement) = parse(statement).map_err(|why| wrong(&why))? {
                all.push(statement);
            }
        }
    }
    Ok(all)
}

/// Splits at every `;` that ends a statement: not in parentheses (`CREATE RULE`), and not in the body
/// of a function (`BEGIN ATOMIC … END`), as psql does.
fn split<'p, 'a>(pieces: &'p [Piece<'a>]) -> Vec<&'p [Piece<'a>]> {
    let mut found = Vec::new();
    let (mut from, mut parens, mut blocks) = (0, 0_u32, 0_u32);
    let mut previous = "";
    for (at, piece) in pieces.iter().enumerate() {
        match piece.kind {
            Kind::Sign('(') => parens = parens.saturating_add(1),
            Kind::Sign(')') => parens = parens.saturating_sub(1),
            Kind::Sign(';') if parens == 0 && blocks == 0 => {
                found.extend(pieces.get(from..at));
                from = at.saturating_add(1);
            }
            Kind::Word => {
                let word = piece.text;
                let opens = if blocks == 0 {
                    word.eq_ignore_ascii_case("atomic") && previous.eq_ignore_ascii_case("begin")
                } else {
                    word.eq_ignore_ascii_case("case") || word.eq_ignore_ascii_case("begin")
                };
                if opens {
                    blocks = blocks.saturating_add(1);
                } else if word.eq_ignore_ascii_case("end") {
                    blocks = blocks.saturating_sub(1);
                }
                previous = word;
            }
            Kind::Sign(_)
            | Kind::String
            | Kind::EscapeString
            | Kind::Identifier
            | Kind::DollarString
            | Kind::Comment
            | Kind::Placeholder => {}
        }
    }
    found.extend(pieces.get(from..));
    found
}

/// Makes a statement of its pieces; `None` if there is nothing in them but white space and comments.
fn parse(pieces: &[Piece<'_>]) -> Result<Option<Statement>, String> {
    let mut statement = Statement { parts: Vec::new(), words: Vec::new() };
    let mut says_something = false;
    for piece in pieces {
        match piece.kind {
            Kind::Sign(sign) => {
                says_something |= !sign.is_whitespace();
                statement.text(piece.text);
                continue;
            }
            Kind::Comment | Kind::DollarString if piece.text.contains("{{") => {
                return Err(format!(
                    "a placeholder in a comment or a dollar-quoted string cannot be quoted safely; \
                     use it outside, or in '…' (near `{}`)",
                    piece.text.chars().take(40).collect::<String>()
                ));
            }
            Kind::Comment => {
                // A space in its place keeps apart what it kept apart.
                statement.text(" ");
                continue;
            }
            Kind::DollarString => statement.text(piece.text),
            Kind::Word => {
                statement.words.push(piece.text.to_ascii_uppercase());
                statement.text(piece.text);
            }
            Kind::String => statement.fill(piece.text, Place::String)?,
            Kind::EscapeString => statement.fill(piece.text, Place::EscapeString)?,
            Kind::Identifier => statement.fill(piece.text, Place::Identifier)?,
            Kind::Placeholder => statement.fill(piece.text, Place::Bare)?,
        }
        says_something = true;
    }
    Ok(says_something.then_some(statement))
}

impl Statement {
    fn text(&mut self, text: &str) {
        if let Some(Part::Text(last)) = self.parts.last_mut() {
            last.push_str(text);
        } else {
            self.parts.push(Part::Text(text.to_owned()));
        }
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

    fn holds(&self, value: Value) -> bool {
        self.parts.iter().any(|part| matches!(part, Part::Hole(held, _) if *held == value))
    }

    fn begins(&self, words: &[&str]) -> bool {
        self.words.iter().zip(words).filter(|(word, wanted)| word == wanted).count() == words.len()
    }

    fn says(&self, word: &str) -> bool {
        self.words.iter().any(|said| said == word)
    }

    /// Tells whether the statement says anything of a password.
    pub(super) fn sets_a_password(&self) -> bool {
        self.holds(Value::Password)
    }

    /// Tells whether the statement creates the credential itself.
    pub(super) fn creates_the_role(&self) -> bool {
        (self.begins(&["CREATE", "ROLE"]) || self.begins(&["CREATE", "USER"]))
            && self.holds(Value::Name)
    }

    /// Returns how far the statement reaches. What is not known to reach only so far reaches further.
    pub(super) fn reach(&self) -> Reach {
        let first = self.words.first().map(String::as_str).unwrap_or_default();
        let own = self.holds(Value::Name);
        match first {
            "BEGIN" | "START" | "COMMIT" | "END" | "ROLLBACK" | "ABORT" | "SAVEPOINT"
            | "RELEASE" | "PREPARE" | "VACUUM" | "CLUSTER" | "CALL" => Reach::Transactions,
            _ if self.refuses_a_block() => Reach::Transactions,
            "CREATE" | "ALTER" if own && self.is_about_a_role() && !self.says("ALL") => Reach::Own,
            "GRANT" | "REVOKE" if own && !self.says("ON") => Reach::Own,
            "GRANT" | "REVOKE" | "COMMENT" => Reach::Shared,
            "ALTER" if self.begins(&["ALTER", "DEFAULT", "PRIVILEGES"]) => Reach::Shared,
            _ => Reach::Session,
        }
    }

    fn is_about_a_role(&self) -> bool {
        self.words.get(1).is_some_and(|second| matches!(second.as_str(), "ROLE" | "USER"))
    }

    fn refuses_a_block(&self) -> bool {
        const REFUSING: [&[&str]; 7] = [
            &["CREATE", "DATABASE"],
            &["DROP", "DATABASE"],
            &["CREATE", "TABLESPACE"],
            &["DROP", "TABLESPACE"],
            &["ALTER", "SYSTEM"],
            &["CREATE", "SUBSCRIPTION"],
            &["DROP", "SUBSCRIPTION"],
        ];
        REFUSING.iter().any(|words| self.begins(words)) || self.says("CONCURRENTLY")
    }
}

fn filled(value: Value, place: Place, values: &Values<'_>) -> String {
    let text = match value {
        Value::Name => values.name,
        Value::Password => values.password,
        Value::Expiration => values.expiration,
    };
    match (place, value) {
        (Place::Identifier, _) => quote::inside_identifier(text),
        (Place::String, _) => quote::inside_string(text),
        (Place::EscapeString, _) => quote::inside_escape_string(text),
        (Place::Bare, Value::Name) => quote::identifier(text),
        (Place::Bare, Value::Password | Value::Expiration) => quote::literal(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTILE: Values<'_> =
        Values { name: "a\"b'c\\", password: "p'w", expiration: "2026-11-22 00:00:00+0000" };

    fn all(texts: &[&str]) -> Vec<Statement> {
        let texts: Vec<_> = texts.iter().map(|&text| text.to_owned()).collect();
        statements("creation_statements", &texts).unwrap()
    }

    fn rendered(text: &str) -> Vec<String> {
        all(&[text]).iter().map(|statement| statement.render(&HOSTILE)).collect()
    }

    #[test]
    fn every_value_is_quoted_for_its_place() {
        assert_eq!(
            rendered(
                "CREATE ROLE \"{{name}}\" PASSWORD '{{password}}' VALID UNTIL '{{expiration}}'"
            ),
            ["CREATE ROLE \"a\"\"b'c\\\" PASSWORD 'p''w' VALID UNTIL '2026-11-22 00:00:00+0000'"]
        );
        assert_eq!(
            rendered(
                "CREATE ROLE {{ username }} PASSWORD {{password}}; SELECT E'{{name}}', '{{name}}'"
            ),
            ["CREATE ROLE \"a\"\"b'c\\\" PASSWORD 'p''w'", "SELECT E'a\"b''c\\\\', 'a\"b''c\\'"]
        );
    }

    #[test]
    fn only_a_semicolon_that_ends_a_statement_splits() {
        assert_eq!(rendered("A; 'b;b'; \"c;c\"; $$d;d$$ ; -- e;e\n; /* f;f */ G;").len(), 5);
        assert_eq!(
            rendered("CREATE RULE r AS ON INSERT TO t DO (DELETE FROM a; DELETE FROM b); X").len(),
            2
        );
        assert_eq!(
            rendered(
                "CREATE FUNCTION f() BEGIN ATOMIC SELECT CASE WHEN a THEN 1 END; SELECT 2; END; X"
            )
            .len(),
            2
        );
        assert!(rendered(" ; ;; -- nothing\n").is_empty());
    }

    #[test]
    fn a_placeholder_where_nothing_can_be_quoted_is_refused() {
        for text in [
            "-- {{name}}\nSELECT 1",
            "/* {{password}} */",
            "DO $$ '{{name}}' $$",
            "SELECT {{nme}}",
            "SELECT '{{name}'",
        ] {
            assert!(statements("creation_statements", &[text.to_owned()]).is_err(), "{text}");
        }
    }

    #[test]
    fn what_reaches_past_its_own_role_is_told_from_what_does_not() {
        for (text, reach) in [
            ("CREATE ROLE \"{{name}}\" LOGIN", Reach::Own),
            ("create user {{name}}", Reach::Own),
            ("ALTER ROLE \"{{name}}\" SET search_path = a", Reach::Own),
            ("GRANT readonly TO \"{{name}}\"", Reach::Own),
            ("GRANT readonly TO app", Reach::Shared),
            ("GRANT SELECT ON ALL TABLES IN SCHEMA public TO \"{{name}}\"", Reach::Shared),
            ("ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO \"{{name}}\"", Reach::Shared),
            ("ALTER ROLE app NOLOGIN", Reach::Session),
            ("ALTER ROLE ALL IN DATABASE \"{{name}}\" SET a = b", Reach::Session),
            ("SET ROLE app", Reach::Session),
            ("RESET ALL", Reach::Session),
            ("DO $$ BEGIN END $$", Reach::Session),
            ("SELECT make('{{name}}')", Reach::Session),
            ("COMMIT", Reach::Transactions),
            ("CREATE DATABASE \"{{name}}\"", Reach::Transactions),
            ("CREATE INDEX CONCURRENTLY i ON t (a)", Reach::Transactions),
        ] {
            assert_eq!(all(&[text])[0].reach(), reach, "{text}");
        }
    }
}
