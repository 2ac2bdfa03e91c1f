//! `secrets`: mount, tune, move, unmount and list secrets engines.

use super::Session;
use super::mounts::{DisableFlags, EnableFlags, ListFlags, MoveFlags, Side, TuneFlags};
use crate::failure::{Exit, Failure};
use serde_json::Map;

/// Mount, tune, move, unmount and list secrets engines
///
/// A secrets engine knows one kind of target. Mounted at a path, it answers every request under it.
#[derive(clap::Subcommand)]
pub(super) enum Secrets {
    List(List),
    Enable(Enable),
    Tune(Tune),
    Move(Move),
    Disable(Disable),
}

impl Secrets {
    pub(super) fn run(self, session: &mut Session<'_>) -> Result<Exit, Failure> {
        match self {
            Self::List(list) => Side::Engines.list(list.flags, session),
            Self::Enable(Enable { kind, flags }) => {
                Side::Engines.enable(&kind, flags, Map::new(), session)
            }
            Self::Tune(tune) => Side::Engines.tune(tune.flags, Map::new(), session),
            Self::Move(moving) => Side::Engines.move_mount(moving.flags, session),
            Self::Disable(disable) => Side::Engines.disable(disable.flags, session),
        }
    }
}

const LIST_EXAMPLES: &str = "\
Examples:
  leasehold secrets list

  With lease times and versions:
    leasehold secrets list -detailed";

/// List what is mounted where
///
/// Shows each mount's path, kind, accessor and description.
#[derive(clap::Args)]
#[command(after_help = LIST_EXAMPLES)]
pub(super) struct List {
    #[command(flatten)]
    flags: ListFlags,
}

const ENABLE_EXAMPLES: &str = "\
Examples:
  Mount the database engine at database/:
    leasehold secrets enable database

  Mount it once more, with shorter leases:
    leasehold secrets enable -path=reports -default-lease-ttl=15m -max-lease-ttl=8h database";

/// Mount a secrets engine
///
/// Mounts an engine of the given type at a path, at its type's name unless -path says otherwise.
/// Then write its configuration and roles under that path.
#[derive(clap::Args)]
#[command(after_help = ENABLE_EXAMPLES)]
pub(super) struct Enable {
    /// Kind of engine: database
    #[arg(value_name = "TYPE")]
    kind: String,
    #[command(flatten)]
    flags: EnableFlags,
}

const TUNE_EXAMPLES: &str = "\
Examples:
  Give leases of a mount an hour, and a day at most:
    leasehold secrets tune -default-lease-ttl=1h -max-lease-ttl=24h database

  Go back to the system's times:
    leasehold secrets tune -default-lease-ttl=system -max-lease-ttl=system database

  See how it is set up now:
    leasehold read sys/mounts/database/tune";

/// Change the lease times and the description of a mount
///
/// Only what is named changes. Leases issued before keep their term.
#[derive(clap::Args)]
#[command(after_help = TUNE_EXAMPLES)]
pub(super) struct Tune {
    #[command(flatten)]
    flags: TuneFlags,
}

const MOVE_EXAMPLES: &str = "\
Examples:
  leasehold secrets move database team/db";

/// Move a secrets engine to another path
///
/// Its targets, roles and leases go with it; nothing lapses or is revoked by it. Policies name
/// paths, so those that name the old one grant nothing at the new one: write them first.
#[derive(clap::Args)]
#[command(after_help = MOVE_EXAMPLES)]
pub(super) struct Move {
    #[command(flatten)]
    flags: MoveFlags,
}

const DISABLE_EXAMPLES: &str = "\
Examples:
  leasehold secrets disable reports";

/// Unmount a secrets engine and revoke its leases
///
/// The mount is closed at once and its configuration and roles are deleted. Its leases are revoked;
/// one whose target does not answer is tried again until it is gone.
#[derive(clap::Args)]
#[command(after_help = DISABLE_EXAMPLES)]
pub(super) struct Disable {
    #[command(flatten)]
    flags: DisableFlags,
}
