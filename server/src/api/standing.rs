//! The mounts that are always there: where they are, and how clients and the audit know them.

use leasehold_core::broker::Broker;
use leasehold_core::mount::{accessor, token_accessor, token_mount};

/// A mount that is always there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// The server itself.
    System,
    /// The auth method of tokens.
    Tokens,
    /// What each token keeps for itself.
    Cubbyhole,
    /// Entities and groups.
    Identity,
}

impl Standing {
    /// Those of them that `sys/mounts` lists, with the mounts of engines.
    pub(super) const ENGINES: [Self; 3] = [Self::System, Self::Cubbyhole, Self::Identity];
    const ALL: [Self; 4] = [Self::System, Self::Tokens, Self::Cubbyhole, Self::Identity];

    /// Returns the one that a path leads to.
    pub(super) fn of(path: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|standing| path.starts_with(standing.point()))
    }

    /// Returns the one that is at exactly this path.
    pub(super) fn at(path: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|standing| path == standing.point())
    }

    /// Returns where it is.
    pub(super) fn point(self) -> &'static str {
        match self {
            Self::System => "sys/",
            Self::Tokens => "auth/token/",
            Self::Cubbyhole => "cubbyhole/",
            Self::Identity => "identity/",
        }
    }

    /// Returns Vault's word for what it is.
    pub(super) fn kind(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Tokens => "token",
            Self::Cubbyhole => "cubbyhole",
            Self::Identity => "identity",
        }
    }

    /// Returns what Vault says of it.
    pub(super) fn description(self) -> &'static str {
        match self {
            Self::System => "system endpoints used for control, policy and debugging",
            Self::Tokens => "token based credentials",
            Self::Cubbyhole => "per-token private secret storage",
            Self::Identity => "identity store",
        }
    }

    /// Returns the header of a request that the code behind it sees; no other mount sees any.
    pub(super) fn sees_header(self) -> Option<&'static str> {
        match self {
            Self::System => Some("Accept"),
            Self::Identity => Some("Authorization"),
            Self::Tokens | Self::Cubbyhole => None,
        }
    }

    /// Returns what tells it from those of other installations.
    pub(super) fn id(self, broker: &Broker) -> [u8; 16] {
        let mut id = *broker.installation().bytes();
        // One installation, one of each: its id is the installation's, told apart from that of `sys/`.
        match self {
            Self::System => {}
            Self::Tokens => id = *token_mount(broker.installation()).bytes(),
            Self::Cubbyhole => id.iter_mut().skip(10).for_each(|byte| *byte ^= 0x55),
            Self::Identity => id.iter_mut().skip(10).for_each(|byte| *byte ^= 0xaa),
        }
        id
    }

    /// Returns its accessor.
    pub(super) fn accessor(self, broker: &Broker) -> String {
        match self {
            Self::Tokens => token_accessor(broker.installation()),
            Self::System | Self::Cubbyhole | Self::Identity => {
                accessor(self.kind(), &self.id(broker))
            }
        }
    }
}
