//! The table of the suite in `docs/ENGINES.md`: which cases each engine passes, where, and what is different there.

use super::cases::CASES;
use std::fmt::Write as _;

/// An engine in the table.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// What people call it.
    pub engine: &'static str,
    /// The file of its tests.
    pub tests: &'static str,
    /// The places that the suite runs at: the module of their tests, and what they are.
    pub places: &'static [(&'static str, &'static str)],
    /// Cases that go differently there, and how.
    pub notes: &'static [(&'static str, &'static str)],
}

/// PostgreSQL.
pub const POSTGRES: Column = Column {
    engine: "PostgreSQL",
    tests: "integration-tests/tests/postgres.rs",
    places: &[
        ("superuser_on_the_distributions_version", "the distribution's version, as superuser"),
        ("superuser_on_version_18", "18, as superuser"),
        (
            "createrole_on_the_distributions_version",
            "the distribution's version, with `CREATEROLE`",
        ),
        ("createrole_on_version_16", "16, with `CREATEROLE`"),
        ("createrole_on_version_18", "18, with `CREATEROLE`"),
        ("own_statements", "the distribution's version, by an operator's own statements"),
    ],
    notes: &[],
};

/// MySQL and MariaDB.
pub const MYSQL: Column = Column {
    engine: "MariaDB",
    tests: "integration-tests/tests/mysql.rs",
    places: &[
        ("root", "the distribution's version, as root"),
        ("no_more_than_is_needed", "by an administrator who may do no more than is needed"),
        ("own_statements", "by an operator's own statements"),
    ],
    notes: &[(
        "what_is_there_is_listed_as_it_is",
        "A user that is locked is listed no more: it is no credential. A comparison tells it as missing.",
    )],
};

/// Redis and Valkey.
pub const REDIS: Column = Column {
    engine: "Redis",
    tests: "integration-tests/tests/redis.rs",
    places: &[
        ("no_file", "a server that keeps no users"),
        ("aclfile", "a server with an `aclfile`"),
        ("configuration_file", "a server with a configuration file"),
        ("no_more_than_is_needed", "by an administrator who may do no more than is needed"),
    ],
    notes: &[(
        "a_target_that_dies_leaves_nothing",
        "Without an `aclfile` a server that was killed comes back without its users. That what is lent is put back, and \
         what was revoked is not, is shown by `integration-tests/tests/redis/restarts.rs`.",
    )],
};

/// AWS.
pub const AWS: Column = Column {
    engine: "AWS",
    tests: "integration-tests/tests/aws.rs",
    places: &[
        ("prompt", "moto, with the judge before it"),
        (
            "late_and_by_pages",
            "the same, knowing late what it was told, and listing three at a time",
        ),
    ],
    notes: &[
        (
            "what_exists_is_never_taken_over",
            "Each member of a batch is made by calls of its own and has its own answer; on the other engines the batch \
             is refused whole.",
        ),
        (
            "a_credential_lives_and_dies",
            "A key has no session: each call is signed. What is dead are its calls.",
        ),
        (
            "what_is_in_use_is_told",
            "AWS tells of no sessions, but of keys, and when one was last used.",
        ),
        (
            "a_target_that_dies_leaves_nothing",
            "AWS is not one server, and its stand-in keeps all it has in memory. So the way to it is cut instead, with \
             every connection.",
        ),
    ],
};

/// The engines, in the order of the table.
pub const COLUMNS: [Column; 4] = [POSTGRES, MYSQL, REDIS, AWS];

/// Renders the table with its footnotes and the list of the places.
#[must_use]
pub fn rendered() -> String {
    let mut text = String::from("| case |");
    for column in COLUMNS {
        write!(text, " {} |", column.engine).expect("a text takes it");
    }
    text.push_str("\n| --- |");
    text.push_str(&" --- |".repeat(COLUMNS.len()));
    let mut notes = Vec::new();
    for case in CASES {
        write!(text, "\n| {}: `{}` |", case.shows, case.name).expect("a text takes it");
        for column in COLUMNS {
            text.push_str(" yes");
            for (_, note) in column.notes.iter().filter(|(name, _)| *name == case.name) {
                notes.push(format!("{}. {}: {note}", notes.len() + 1, column.engine));
                write!(text, " ({})", notes.len()).expect("a text takes it");
            }
            text.push_str(" |");
        }
    }
    write!(text, "\n\nWhat is different:\n\n{}\n\nWhere it runs:\n", notes.join("\n"))
        .expect("a text takes it");
    for column in COLUMNS {
        let places: Vec<_> = column.places.iter().map(|(_, what)| *what).collect();
        write!(text, "\n- {} (`{}`): {}", column.engine, column.tests, places.join("; "))
            .expect("a text takes it");
    }
    text.push('\n');
    text
}
