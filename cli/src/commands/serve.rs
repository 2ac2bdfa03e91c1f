//! `server`: the flags of a server to be run.

use super::Session;
use crate::environment::Environment;
use crate::failure::{Exit, Failure};
use leasehold_server::{Checked, Dev, Finding, Options};
use std::path::PathBuf;

/// Where a server started with `-dev` listens if nobody says.
const DEV_LISTEN_ADDRESS: &str = "127.0.0.1:8200";

const EXAMPLES: &str = "\
Examples:
  Try things out; everything is forgotten when the server ends:
    leasehold server -dev -dev-root-token-id=root
  and in another terminal:
    export LEASEHOLD_ADDR=http://127.0.0.1:8200 LEASEHOLD_TOKEN=root
    leasehold status

  Run a server from its configuration:
    leasehold server -config=/etc/leasehold/leasehold.hcl

  See whether it could be started, and change nothing:
    leasehold server -config=/etc/leasehold/leasehold.hcl -check";

/// Run a server; `leasehold server -dev` runs one to try things with
///
/// Runs until it is told to end (SIGTERM, Ctrl-C). With -config it keeps what it knows in the
/// storage named there and is set up once with `leasehold operator init`. With -dev it is set up at
/// once, listens without TLS, keeps everything in memory, and is for trying things only.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Server {
    /// File or folder with the configuration; may be given several times
    #[arg(long, value_name = "FILE")]
    config: Vec<PathBuf>,
    /// Only check the configuration and what it names, and change nothing
    #[arg(long)]
    check: bool,
    /// How much to log: error, warn, info, debug or trace
    /// [env: LEASEHOLD_LOG_LEVEL, VAULT_LOG_LEVEL] [default: info, or what the configuration says]
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<String>,
    /// Run a server for trying things: in memory, unsealed, without TLS
    #[arg(long)]
    dev: bool,
    /// With -dev: the root token [env: LEASEHOLD_DEV_ROOT_TOKEN_ID, VAULT_DEV_ROOT_TOKEN_ID]
    /// [default: a new one, shown at the start]
    #[arg(long, value_name = "TOKEN")]
    dev_root_token_id: Option<String>,
    /// With -dev: where to listen [env: LEASEHOLD_DEV_LISTEN_ADDRESS, VAULT_DEV_LISTEN_ADDRESS]
    /// [default: 127.0.0.1:8200]
    #[arg(long, value_name = "ADDRESS:PORT")]
    dev_listen_address: Option<String>,
}

impl Server {
    pub(super) fn run(self, session: &mut Session<'_>) -> Result<Exit, Failure> {
        let only_check = self.check;
        let options = self.options(session.environment)?;
        if only_check {
            return check(&options, session);
        }
        leasehold_server::run(options)
            .map_err(|error| Failure::Local(format!("Error starting the server: {error}")))?;
        Ok(Exit::Done)
    }

    fn options(self, environment: &Environment) -> Result<Options, Failure> {
        if !self.dev {
            if self.dev_root_token_id.is_some() || self.dev_listen_address.is_some() {
                return Err(Failure::Local(
                    "-dev-root-token-id and -dev-listen-address are for servers started with -dev"
                        .to_owned(),
                ));
            }
            if self.config.is_empty() {
                return Err(Failure::Local(
                    "Must specify at least one config path using -config\n\nTo try things without \
                     one: `leasehold server -dev`."
                        .to_owned(),
                ));
            }
        }
        if self.dev && self.check {
            return Err(Failure::Local(
                "-check is for a server's configuration; leave -dev out".to_owned(),
            ));
        }
        let text = |flag: Option<String>, names: &[&'static str]| match flag {
            Some(text) => Ok(Some(text)),
            None => match environment.first(names) {
                Ok(found) => Ok(found.map(|(_, text)| text)),
                Err(error) => Err(Failure::Local(error.to_string())),
            },
        };
        let dev = self.dev.then(|| {
            let root_token_id = text(
                self.dev_root_token_id.filter(|text| !text.is_empty()),
                &["LEASEHOLD_DEV_ROOT_TOKEN_ID", "VAULT_DEV_ROOT_TOKEN_ID"],
            )?;
            if let Some(text) = &root_token_id
                && !text.bytes().all(|byte| byte.is_ascii_graphic())
            {
                // It would not fit into a header, and nobody could come with it.
                return Err(Failure::Local(
                    "the token of -dev-root-token-id can only have printable ASCII characters and no \
                     whitespace; leave it out and a new one is shown at the start"
                        .to_owned(),
                ));
            }
            let listen_address = text(
                self.dev_listen_address,
                &["LEASEHOLD_DEV_LISTEN_ADDRESS", "VAULT_DEV_LISTEN_ADDRESS"],
            )?;
            Ok(Dev {
                root_token_id,
                listen_address: listen_address.unwrap_or_else(|| DEV_LISTEN_ADDRESS.to_owned()),
            })
        });
        Ok(Options {
            config: self.config,
            dev: dev.transpose()?,
            log_level: text(self.log_level, &["LEASEHOLD_LOG_LEVEL", "VAULT_LOG_LEVEL"])?,
        })
    }
}

/// Shows what is found when everything is checked; fails if anything stands in the way of a start.
fn check(options: &Options, session: &mut Session<'_>) -> Result<Exit, Failure> {
    let all = leasehold_server::check(&options.config, options.log_level.as_deref());
    for Checked { what, found } in &all {
        let (mark, told) = match found {
            Finding::Good(told) => ("ok", told),
            Finding::Odd(told) => ("warning", told),
            Finding::Bad(told) => ("wrong", told),
        };
        session.output.line(&format!("{mark:<9}{what}: {told}"));
    }
    let bad = all.iter().filter(|checked| matches!(checked.found, Finding::Bad(_))).count();
    if bad > 0 {
        let are = if bad == 1 { "is 1 problem" } else { &format!("are {bad} problems") };
        return Err(Failure::Local(format!("There {are} to mend before the server can start.")));
    }
    session.output.line("\nThe server can be started.");
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags() -> Server {
        Server {
            config: Vec::new(),
            check: false,
            log_level: None,
            dev: false,
            dev_root_token_id: None,
            dev_listen_address: None,
        }
    }

    #[test]
    fn a_dev_server_listens_where_nobody_else_can_reach_it() {
        let options = Server { dev: true, ..flags() }.options(&Environment::of(&[])).unwrap();
        let dev = options.dev.unwrap();
        assert_eq!((dev.listen_address.as_str(), dev.root_token_id), ("127.0.0.1:8200", None));
    }

    #[test]
    fn a_dev_server_takes_its_token_from_a_flag_or_the_environment() {
        let environment = Environment::of(&[
            ("VAULT_DEV_ROOT_TOKEN_ID", "root"),
            ("VAULT_DEV_LISTEN_ADDRESS", "127.0.0.1:1"),
            ("LEASEHOLD_LOG_LEVEL", "debug"),
        ]);
        let options = Server { dev: true, ..flags() }.options(&environment).unwrap();
        assert_eq!(options.log_level.as_deref(), Some("debug"));
        let dev = options.dev.unwrap();
        assert_eq!(dev.root_token_id.as_deref(), Some("root"));
        assert_eq!(dev.listen_address, "127.0.0.1:1");
        let flag = Some("flag".to_owned());
        let server = Server { dev: true, dev_root_token_id: flag, ..flags() };
        let dev = server.options(&environment).unwrap().dev.unwrap();
        assert_eq!(dev.root_token_id.as_deref(), Some("flag"));
    }

    #[test]
    fn an_empty_root_token_is_none_and_one_that_fits_no_header_is_refused() {
        let options = |token: &str, environment: &Environment| {
            let token = Some(token.to_owned());
            Server { dev: true, dev_root_token_id: token, ..flags() }.options(environment)
        };
        let nothing = Environment::of(&[]);
        assert_eq!(options("", &nothing).unwrap().dev.unwrap().root_token_id, None);
        for token in [" ", "a b", "a\n", "a\tb", "\u{e9}"] {
            let Err(Failure::Local(refused)) = options(token, &nothing) else {
                panic!("{token:?} was taken")
            };
            assert!(refused.contains("no whitespace"), "{refused}");
        }
        let environment = Environment::of(&[("VAULT_DEV_ROOT_TOKEN_ID", "a b")]);
        assert!(options("", &environment).is_err());
    }

    #[test]
    fn a_server_with_a_configuration_is_no_dev_server() {
        let environment = Environment::of(&[("VAULT_DEV_ROOT_TOKEN_ID", "root")]);
        let config = vec![PathBuf::from("a.hcl"), PathBuf::from("b")];
        let options = Server { config: config.clone(), ..flags() }.options(&environment).unwrap();
        assert_eq!(options.config, config);
        assert!(options.dev.is_none());
    }
}
