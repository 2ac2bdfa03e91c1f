//! What MySQL and MariaDB say differently, in one place, decided by what the server says of itself.
//!
//! A credential of MySQL bears its mark as an attribute; MariaDB has nothing of the kind, so there the name
//! bears it ([`super::naming`]). MariaDB takes the hash of a password in the place of the password; MySQL keeps
//! passwords out of its logs itself, and its hashes belong to a plugin that its operator chooses.

use super::quote;
use std::fmt::Write as _;
use std::time::Duration;

/// Which of the two a server is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    MariaDb,
    MySql,
}

/// A server's family and version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Flavor {
    pub(super) family: Family,
    version: (u16, u16, u16),
}

/// One account to be created by default.
#[derive(Clone, Copy, Debug)]
pub(super) struct NewAccount<'a> {
    pub(super) name: &'a str,
    /// What goes after `IDENTIFIED BY`.
    pub(super) identified: &'a str,
    pub(super) mark: &'a str,
}

/// The attribute that holds the mark on MySQL.
const ATTRIBUTE: &str = "leasehold";

/// A rename of the version by which MariaDB passed for a replica of MySQL 5.5.
const DISGUISE: &str = "5.5.5-";

impl Flavor {
    /// Recognizes a server by `VERSION()` and `@@version_comment`.
    pub(super) fn of(version: &str, comment: &str) -> Self {
        let says = |text: &str| text.to_ascii_lowercase().contains("mariadb");
        let family = if says(version) || says(comment) { Family::MariaDb } else { Family::MySql };
        let version = version.strip_prefix(DISGUISE).unwrap_or(version);
        let mut numbers = version.split(|char: char| !char.is_ascii_digit());
        let mut number = || numbers.next().and_then(|text| text.parse().ok()).unwrap_or(0);
        Self { family, version: (number(), number(), number()) }
    }

    /// Says why a server cannot be worked with, if it cannot: an account has to be locked, and marked.
    pub(super) fn unfit(self) -> Option<String> {
        let (least, text) = match self.family {
            Family::MariaDb => ((10, 4, 2), "MariaDB 10.4.2"),
            Family::MySql => ((8, 0, 22), "MySQL 8.0.22"),
        };
        let (major, minor, patch) = self.version;
        (self.version < least).then(|| {
            format!("the server has version {major}.{minor}.{patch}; {text} is the oldest that is supported")
        })
    }

    /// Returns the most characters a user's name may have.
    pub(super) fn name_chars_max(self) -> usize {
        match self.family {
            Family::MariaDb => super::naming::LONG_CHARS_MAX,
            Family::MySql => super::naming::SHORT_CHARS_MAX,
        }
    }

    /// Returns what a session of ours begins with: whatever an operator of the server chose as a default, quotes
    /// and limits are what our statements rely on.
    pub(super) fn session(self) -> &'static str {
        match self.family {
            Family::MariaDb => {
                "SET SESSION autocommit = 1, sql_mode = 'STRICT_TRANS_TABLES,NO_ENGINE_SUBSTITUTION,NO_AUTO_CREATE_USER'"
            }
            Family::MySql => {
                "SET SESSION autocommit = 1, sql_mode = 'STRICT_TRANS_TABLES,NO_ENGINE_SUBSTITUTION'"
            }
        }
    }

    /// Returns how a message begins: with the limits that hold at the server, which goes on waiting after its
    /// client is gone.
    pub(super) fn limits(self, left: Duration, lock_wait: Duration) -> String {
        let wait = lock_wait.min(left).as_secs().max(1);
        match self.family {
            Family::MariaDb => {
                // Zero would mean no limit at all.
                let run = left.max(Duration::from_millis(1)).as_secs_f64();
                format!("SET SESSION lock_wait_timeout = {wait}, max_statement_time = {run:.3}; ")
            }
            Family::MySql => format!(
                "SET SESSION lock_wait_timeout = {wait}, innodb_lock_wait_timeout = {wait}; "
            ),
        }
    }

    /// Returns the table of accounts.
    pub(super) fn accounts(self) -> &'static str {
        match self.family {
            Family::MariaDb => "mysql.global_priv",
            Family::MySql => "mysql.user",
        }
    }

    /// Returns a query for accounts: their names, hosts, whether they are locked, and their marks.
    pub(super) fn select_accounts(self, condition: &str) -> String {
        let accounts = self.accounts();
        match self.family {
            Family::MariaDb => format!(
                "SELECT User AS name, Host AS host, IF(JSON_VALUE(Priv, '$.account_locked') = 1, 'Y', 'N') AS locked, \
                 NULL AS mark, \
                 JSON_VALUE(Priv, '$.access') AS access, \
                 CONCAT('default role ', NULLIF(JSON_VALUE(Priv, '$.default_role'), '')) AS role \
                 FROM {accounts} WHERE COALESCE(JSON_VALUE(Priv, '$.is_role'), 0) <> 1 AND {condition}"
            ),
            Family::MySql => format!(
                "SELECT User AS name, Host AS host, account_locked AS locked, \
                 JSON_UNQUOTE(JSON_EXTRACT(User_attributes, '$.metadata.{ATTRIBUTE}')) AS mark \
                 FROM {accounts} WHERE {condition}"
            ),
        }
    }

    /// Returns the condition that picks the accounts that may bear our mark.
    pub(super) fn may_be_marked(self, tag: &str, mark_prefix: &str) -> String {
        match self.family {
            Family::MariaDb => format!("User LIKE {}", quote::literal(&format!("%-{tag}"))),
            Family::MySql => format!(
                "JSON_UNQUOTE(JSON_EXTRACT(User_attributes, '$.metadata.{ATTRIBUTE}')) LIKE {}",
                quote::literal(&format!("{mark_prefix}%"))
            ),
        }
    }

    /// Returns the table of sessions. The newer one of MySQL's is empty where its operator has switched off what fills
    /// it: no session would seem to be open.
    pub(super) fn sessions(self, has_performance_schema: bool) -> &'static str {
        match self.family {
            Family::MySql if has_performance_schema => "performance_schema.processlist",
            Family::MySql | Family::MariaDb => "information_schema.PROCESSLIST",
        }
    }

    /// Returns the statements that create accounts by default.
    pub(super) fn create(self, accounts: &[NewAccount<'_>]) -> Vec<String> {
        let account = |new: &NewAccount<'_>| {
            format!("{} IDENTIFIED BY {}", quote::account(new.name, "%"), new.identified)
        };
        match self.family {
            Family::MariaDb => {
                let all: Vec<_> = accounts.iter().map(account).collect();
                vec![format!("CREATE USER {}", all.join(", "))]
            }
            // An attribute goes to all accounts of its statement.
            Family::MySql => accounts
                .iter()
                .map(|new| {
                    format!("CREATE USER {} ATTRIBUTE {}", account(new), attribute(new.mark))
                })
                .collect(),
        }
    }

    /// Returns the statements that grant roles and let them work from the login on.
    pub(super) fn grant(self, roles: &[String], names: &[&str]) -> Vec<String> {
        let to: Vec<_> = names.iter().map(|name| quote::account(name, "%")).collect();
        let to = to.join(", ");
        match self.family {
            Family::MariaDb => {
                let grants =
                    roles.iter().map(|role| format!("GRANT {} TO {to}", quote::identifier(role)));
                // It knows one default role.
                let default = roles.first().map(|role| quote::identifier(role)).unwrap_or_default();
                let defaults = names.iter().map(|name| {
                    format!("SET DEFAULT ROLE {default} FOR {}", quote::account(name, "%"))
                });
                grants.chain(defaults).collect()
            }
            Family::MySql => {
                let roles: Vec<_> = roles.iter().map(|role| quote::identifier(role)).collect();
                let roles = roles.join(", ");
                vec![format!("GRANT {roles} TO {to}"), format!("SET DEFAULT ROLE {roles} TO {to}")]
            }
        }
    }

    /// Returns the statement that marks accounts an operator's statements created; `None` where the name is the mark.
    pub(super) fn mark(self, name: &str, hosts: &[String], mark: &str) -> Option<String> {
        if self.family == Family::MariaDb || hosts.is_empty() {
            return None;
        }
        let accounts: Vec<_> = hosts.iter().map(|host| quote::account(name, host)).collect();
        Some(format!("ALTER USER {} ATTRIBUTE {}", accounts.join(", "), attribute(mark)))
    }

    /// Returns what the administrator must hold, each with what it is for.
    pub(super) fn needed(self) -> [(&'static str, &'static str); 3] {
        [
            ("CREATE USER", "create and drop users"),
            ("PROCESS", "see the sessions of a credential"),
            (self.ends_sessions(), "end the sessions of a credential"),
        ]
    }

    /// Returns the privilege that lets an administrator end the sessions of others.
    pub(super) fn ends_sessions(self) -> &'static str {
        match self.family {
            Family::MariaDb if self.version < (10, 5, 2) => "SUPER",
            Family::MariaDb => "CONNECTION ADMIN",
            Family::MySql => "CONNECTION_ADMIN",
        }
    }

    /// Tells whether an older privilege stands for a newer one.
    pub(super) fn includes(self, held: &str, needed: &str) -> bool {
        let in_super = self.family == Family::MySql || self.version < (10, 11, 0);
        held == needed || (held == "SUPER" && in_super && needed == self.ends_sessions())
    }

    /// Tells whether the hash of a password may stand for it after `IDENTIFIED BY`.
    pub(super) fn takes_hashes(self) -> bool {
        self.family == Family::MariaDb
    }
}

/// Writes the mark as an attribute of an account.
fn attribute(mark: &str) -> String {
    let mut json = String::new();
    // A mark is made of letters, digits and colons.
    let _ = write!(json, "{{\"{ATTRIBUTE}\": \"{mark}\"}}");
    quote::literal(&json)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mysql() -> Flavor {
        Flavor::of("8.0.36", "MySQL Community Server - GPL")
    }

    #[test]
    fn a_server_is_recognized_by_what_it_says() {
        for (version, comment, family, unfit) in [
            ("10.11.19-MariaDB-0+deb12u1", "Debian 12", Family::MariaDb, false),
            (
                "5.5.5-10.6.16-MariaDB-log",
                "mariadb.org binary distribution",
                Family::MariaDb,
                false,
            ),
            ("10.3.39-MariaDB", "", Family::MariaDb, true),
            ("11.4.2", "MariaDB Server", Family::MariaDb, false),
            ("8.0.36", "MySQL Community Server - GPL", Family::MySql, false),
            ("8.4.0-azure", "Source distribution", Family::MySql, false),
            ("8.0.mysql_aurora.3.04.0", "Source distribution", Family::MySql, true),
            ("5.7.44-log", "MySQL Community Server (GPL)", Family::MySql, true),
        ] {
            let flavor = Flavor::of(version, comment);
            assert_eq!((flavor.family, flavor.unfit().is_some()), (family, unfit), "{version}");
        }
    }

    #[test]
    fn mysql_is_told_in_its_own_words() {
        let new = NewAccount { name: "app-1", identified: "'pw'", mark: "leasehold:a:b:c" };
        assert_eq!(
            mysql().create(&[new]),
            [
                "CREATE USER 'app-1'@'%' IDENTIFIED BY 'pw' ATTRIBUTE '{\\\"leasehold\\\": \\\"leasehold:a:b:c\\\"}'"
            ]
        );
        assert_eq!(
            mysql().grant(&["r".to_owned(), "s".to_owned()], &["a", "b"]),
            ["GRANT `r`, `s` TO 'a'@'%', 'b'@'%'", "SET DEFAULT ROLE `r`, `s` TO 'a'@'%', 'b'@'%'"]
        );
        let hosts = ["%".to_owned(), "::1".to_owned()];
        assert_eq!(
            mysql().mark("a", &hosts, "m").unwrap(),
            "ALTER USER 'a'@'%', 'a'@'::1' ATTRIBUTE '{\\\"leasehold\\\": \\\"m\\\"}'"
        );
        assert!(mysql().select_accounts("User IN ('a')").contains("User_attributes"));
        assert_eq!(mysql().name_chars_max(), 32);
        assert_eq!(mysql().sessions(true), "performance_schema.processlist");
        assert_eq!(mysql().sessions(false), "information_schema.PROCESSLIST");
        let limits = mysql().limits(Duration::from_millis(300), Duration::from_secs(2));
        assert_eq!(limits, "SET SESSION lock_wait_timeout = 1, innodb_lock_wait_timeout = 1; ");
    }

    #[test]
    fn mariadb_creates_all_at_once_and_knows_one_default_role() {
        let mariadb = Flavor::of("10.11.19-MariaDB", "");
        let new = |name| NewAccount { name, identified: "PASSWORD '*0'", mark: "m" };
        assert_eq!(
            mariadb.create(&[new("a"), new("b")]),
            [
                "CREATE USER 'a'@'%' IDENTIFIED BY PASSWORD '*0', 'b'@'%' IDENTIFIED BY PASSWORD '*0'"
            ]
        );
        assert_eq!(
            mariadb.grant(&["r".to_owned(), "s".to_owned()], &["a"]),
            ["GRANT `r` TO 'a'@'%'", "GRANT `s` TO 'a'@'%'", "SET DEFAULT ROLE `r` FOR 'a'@'%'"]
        );
        assert_eq!(mariadb.mark("a", &["%".to_owned()], "m"), None);
    }
}
