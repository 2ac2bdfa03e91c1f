//! `auth`: mount, tune, move, unmount and list auth methods.

use super::Session;
use super::mounts::{DisableFlags, EnableFlags, ListFlags, MoveFlags, Side, TuneFlags};
use crate::duration::parse_seconds;
use crate::failure::{Exit, Failure};
use serde_json::{Map, Value, json};

/// Mount, tune, move, unmount and list auth methods
///
/// An auth method makes tokens for those who can prove who they are: people by name and password
/// (userpass), applications by role and secret id (approle). `leasehold login` uses one.
#[derive(clap::Subcommand)]
pub(super) enum Auth {
    List(List),
    Enable(Enable),
    Tune(Tune),
    Move(Move),
    Disable(Disable),
}

impl Auth {
    pub(super) fn run(self, session: &mut Session<'_>) -> Result<Exit, Failure> {
        match self {
            Self::List(list) => Side::Methods.list(list.flags, session),
            Self::Enable(Enable { kind, token_type, flags }) => {
                let config = token_type.map(|kind| ("token_type".to_owned(), json!(kind)));
                Side::Methods.enable(&kind, flags, config.into_iter().collect(), session)
            }
            Self::Tune(tune) => {
                let more = tune.own();
                Side::Methods.tune(tune.flags, more, session)
            }
            Self::Move(moving) => Side::Methods.move_mount(moving.flags, session),
            Self::Disable(disable) => Side::Methods.disable(disable.flags, session),
        }
    }
}

const LIST_EXAMPLES: &str = "\
Examples:
  leasehold auth list

  With token times and versions:
    leasehold auth list -detailed";

/// List which auth methods are where
///
/// Shows each method's path, kind, accessor and description.
#[derive(clap::Args)]
#[command(after_help = LIST_EXAMPLES)]
pub(super) struct List {
    #[command(flatten)]
    flags: ListFlags,
}

const ENABLE_EXAMPLES: &str = "\
Examples:
  Let people log in by name and password:
    leasehold auth enable userpass
    leasehold write auth/userpass/users/ann password=- token_policies=dba

  Let applications log in, with tokens of an hour:
    leasehold auth enable -default-lease-ttl=1h approle";

/// Mount an auth method
///
/// Mounts a method of the given type under auth/, at its type's name unless -path says otherwise.
/// Then write its users or roles under that path.
#[derive(clap::Args)]
#[command(after_help = ENABLE_EXAMPLES)]
pub(super) struct Enable {
    /// Kind of method: userpass or approle
    #[arg(value_name = "TYPE")]
    kind: String,
    /// How its tokens are kept: default-service, default-batch, service or batch
    #[arg(long, value_name = "TYPE")]
    token_type: Option<String>,
    #[command(flatten)]
    flags: EnableFlags,
}

const TUNE_EXAMPLES: &str = "\
Examples:
  Lock a name after three failed logins from one network, for an hour:
    leasehold auth tune -user-lockout-threshold=3 -user-lockout-duration=1h userpass

  Give tokens a working day at most:
    leasehold auth tune -max-lease-ttl=8h userpass

  See how it is set up now:
    leasehold read sys/auth/userpass/tune";

/// Change the token times, the lockout and the description of an auth method
///
/// Only what is named changes. Tokens made before keep their term. `leasehold read sys/locked-users`
/// shows the names that are locked.
#[derive(clap::Args)]
#[command(after_help = TUNE_EXAMPLES)]
pub(super) struct Tune {
    /// How its tokens are kept: default-service, default-batch, service or batch
    #[arg(long, value_name = "TYPE")]
    token_type: Option<String>,
    /// How many failed logins lock a name for the network that they came from
    #[arg(long, value_name = "NUMBER")]
    user_lockout_threshold: Option<u32>,
    /// How long a name stays locked: seconds, or 90s, 15m, 1h30m, 7d
    #[arg(long, value_name = "SPAN", value_parser = parse_seconds)]
    user_lockout_duration: Option<u64>,
    /// After how long without another one failed logins are forgotten
    #[arg(long, value_name = "SPAN", value_parser = parse_seconds)]
    user_lockout_counter_reset_duration: Option<u64>,
    /// Whether no name is ever locked: true or false
    #[arg(
        long,
        value_name = "BOOL",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        value_parser = clap::builder::BoolishValueParser::new(),
        hide_possible_values = true
    )]
    user_lockout_disable: Option<bool>,
    #[command(flatten)]
    flags: TuneFlags,
}

impl Tune {
    /// Returns what only methods have.
    fn own(&self) -> Map<String, Value> {
        let seconds = |span: Option<u64>| span.map(|span| json!(format!("{span}s")));
        let lockout: Map<_, _> = [
            ("lockout_threshold", self.user_lockout_threshold.map(|count| json!(count))),
            ("lockout_duration", seconds(self.user_lockout_duration)),
            ("lockout_counter_reset_duration", seconds(self.user_lockout_counter_reset_duration)),
            ("lockout_disable", self.user_lockout_disable.map(|disable| json!(disable))),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?)))
        .collect();
        let mut own = Map::new();
        own.extend(self.token_type.as_ref().map(|kind| ("token_type".to_owned(), json!(kind))));
        if !lockout.is_empty() {
            own.insert("user_lockout_config".to_owned(), Value::Object(lockout));
        }
        own
    }
}

const MOVE_EXAMPLES: &str = "\
Examples:
  leasehold auth move userpass people";

/// Move an auth method to another path
///
/// Its users, roles and tokens go with it; nothing lapses or is revoked by it. Policies name
/// paths, so those that name the old one grant nothing at the new one: write them first.
#[derive(clap::Args)]
#[command(after_help = MOVE_EXAMPLES)]
pub(super) struct Move {
    #[command(flatten)]
    flags: MoveFlags,
}

const DISABLE_EXAMPLES: &str = "\
Examples:
  leasehold auth disable userpass";

/// Unmount an auth method and end its tokens
///
/// The method is closed at once, and none of its tokens is good for anything from then on. What was
/// lent to them is revoked; a target that does not answer is tried again until it is gone.
#[derive(clap::Args)]
#[command(after_help = DISABLE_EXAMPLES)]
pub(super) struct Disable {
    #[command(flatten)]
    flags: DisableFlags,
}
