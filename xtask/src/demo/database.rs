//! A throwaway PostgreSQL server, with a shop in it.

use crate::commands::quiet;
use crate::failure::{During, Failure};
use crate::scratch::{Scratch, wait_for};
use std::io::Write as _;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

const SHOP: &str = "\
CREATE TABLE orders (id int PRIMARY KEY, item text, paid boolean);
INSERT INTO orders VALUES (1, 'lamp', true), (2, 'chair', false), (3, 'rug', true);
CREATE ROLE readonly NOLOGIN;
GRANT SELECT ON orders TO readonly;
CREATE ROLE readwrite NOLOGIN;
GRANT SELECT, INSERT, UPDATE, DELETE ON orders TO readwrite;";

/// The server and its programs.
pub(crate) struct Database {
    pub(crate) programs: PathBuf,
    pub(crate) port: u16,
    superuser_password: String,
}

impl Database {
    /// Starts a server that asks everybody for a password, on a free port of this machine only.
    pub(crate) fn start(scratch: &mut Scratch, programs: PathBuf) -> Result<Self, Failure> {
        let folder = scratch.folder().join("postgres");
        let user = Unprivileged::find()?;
        std::fs::create_dir(&folder).during(format_args!("making {}", folder.display()))?;
        let superuser_password = random_password()?;
        let password = PasswordFile::write(folder.join("password"), &superuser_password)?;
        for path in [&folder, &password.path] {
            user.give(path)?;
        }
        let data = folder.join("data");
        let mut initdb = Command::new(programs.join("initdb"));
        initdb.args(["--username=postgres", "--auth=scram-sha-256", "--encoding=UTF8"]);
        initdb.args(["--locale=C", "--no-sync", "--pwfile"]).arg(&password.path);
        initdb.arg("--pgdata").arg(&data).current_dir(&folder);
        quiet(user.run(&mut initdb))?;
        drop(password);
        let port = free_port()?;
        let mut server = Command::new(programs.join("postgres"));
        server.arg("-D").arg(&data).current_dir(&folder);
        for setting in [
            format!("port={port}"),
            "listen_addresses=127.0.0.1".to_owned(),
            "unix_socket_directories=".to_owned(),
            // Nothing in this database outlives the demo.
            "fsync=off".to_owned(),
        ] {
            server.arg("-c").arg(setting);
        }
        server.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log(&folder.join("log"))?);
        scratch.start(user.run(&mut server))?;
        let database = Self { programs, port, superuser_password };
        let answers = || {
            scratch.all_running()?;
            Ok(database.superuser("postgres", "SELECT 1").ok())
        };
        wait_for("PostgreSQL does not answer", Duration::from_secs(20), answers)?;
        Ok(database)
    }

    /// Makes the shop, and the account through which Leasehold works: no superuser.
    pub(crate) fn set_up(&self, password: &str) -> Result<(), Failure> {
        self.superuser("postgres", "CREATE DATABASE shop")?;
        self.superuser("shop", SHOP)?;
        self.superuser("shop", &administrator(password))?;
        Ok(())
    }

    /// Runs SQL as the superuser and returns rows of columns with `|` between them.
    pub(crate) fn superuser(&self, database: &str, sql: &str) -> Result<String, Failure> {
        let mut psql = self.psql("postgres", &self.superuser_password, database);
        psql.args(["--no-align", "--tuples-only", "--quiet", "--set=ON_ERROR_STOP=1", "-c", sql]);
        quiet(&mut psql)
    }

    /// Makes a `psql` that logs in to a database.
    pub(crate) fn psql(&self, user: &str, password: &str, database: &str) -> Command {
        let mut psql = Command::new(self.programs.join("psql"));
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("PG") {
                psql.env_remove(name);
            }
        }
        // `-X`: whatever the user's own psqlrc says, the output is as expected.
        psql.args(["-X", "-d"])
            .arg(format!("postgresql://{user}@127.0.0.1:{}/{database}", self.port));
        psql.env("PGPASSWORD", password).env("PGCONNECT_TIMEOUT", "10");
        psql
    }
}

/// The statements that give Leasehold what it needs, and nothing more.
fn administrator(password: &str) -> String {
    format!(
        "CREATE ROLE leasehold LOGIN CREATEROLE PASSWORD '{password}';
         GRANT pg_signal_backend TO leasehold;
         GRANT readonly, readwrite TO leasehold WITH ADMIN OPTION;"
    )
}

/// Draws a password of hexadecimal digits.
pub(crate) fn random_password() -> Result<String, Failure> {
    use std::io::Read as _;
    let mut bytes = [0_u8; 16];
    std::fs::File::open("/dev/urandom")
        .and_then(|mut source| source.read_exact(&mut bytes))
        .during("reading /dev/urandom")?;
    Ok(format!("{:032x}", u128::from_le_bytes(bytes)))
}

/// Returns a port that nobody listens on now.
pub(crate) fn free_port() -> Result<u16, Failure> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).during("looking for a free port")?;
    Ok(listener.local_addr().during("looking for a free port")?.port())
}

/// Opens a file for what a server has to say.
pub(crate) fn log(path: &Path) -> Result<Stdio, Failure> {
    let file = std::fs::File::create(path).during(format_args!("making {}", path.display()))?;
    Ok(Stdio::from(file))
}

/// A password in a file, which nobody else can read and which is gone once it was used: the folder around it can be
/// passed through by everybody, and `--keep` leaves it.
struct PasswordFile {
    path: PathBuf,
}

impl PasswordFile {
    fn write(path: PathBuf, password: &str) -> Result<Self, Failure> {
        let mut options = std::fs::File::options();
        let file = options.write(true).create_new(true).mode(0o600).open(&path);
        let mut file = file.during(format_args!("making {}", path.display()))?;
        // From here on the file goes, whatever happens.
        let written = Self { path };
        file.write_all(password.as_bytes()).during("writing a password file")?;
        Ok(written)
    }
}

impl Drop for PasswordFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Whom PostgreSQL runs as: it refuses to run as root.
struct Unprivileged(Option<(u32, u32)>);

impl Unprivileged {
    fn find() -> Result<Self, Failure> {
        let id = |arguments: &[&str]| -> Result<u32, Failure> {
            let written = quiet(Command::new("id").args(arguments))?;
            written.trim().parse().map_err(|_| Failure::new(format!("`id` wrote {written}")))
        };
        if id(&["-u"])? != 0 {
            return Ok(Self(None));
        }
        let user = if id(&["-u", "postgres"]).is_ok() { "postgres" } else { "nobody" };
        Ok(Self(Some((id(&["-u", user])?, id(&["-g", user])?))))
    }

    fn give(&self, path: &Path) -> Result<(), Failure> {
        let Some((user, group)) = self.0 else { return Ok(()) };
        std::os::unix::fs::chown(path, Some(user), Some(group))
            .during(format_args!("giving {} away", path.display()))
    }

    fn run<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        match self.0 {
            Some((user, group)) => command.uid(user).gid(group),
            None => command,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_password_file_is_read_by_nobody_else_and_is_gone_after_its_use() {
        let name = format!("leasehold-password-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let file = PasswordFile::write(path.clone(), "secret").unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "secret");
        assert!(PasswordFile::write(path.clone(), "other").is_err());
        drop(file);
        assert!(!path.exists());
    }
}
