//! What a server holds: the accounts that leases name, and beside them those of strangers, which nothing of ours may
//! touch (law 9).

use super::dice::Dice;
use leasehold_core::engine::{Mark, Origin};
use leasehold_core::ids::{InstallationId, LeaseId, TargetId};
use leasehold_core::time::Timestamp;
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

/// What an account is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Name {
    /// As a lease of this id would have it, whoever took the name.
    Lease(LeaseId),
    /// As people have it.
    Plain(&'static str),
}

/// An end, as a server is told it.
#[derive(Clone, Copy, Debug)]
pub struct ToldEnd {
    /// When it is, by the server's clock, which is right.
    pub at: Timestamp,
    /// How far the clock of the process that tells it is ahead.
    pub off_ms: i64,
}

/// An account, whoever created it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// What it says of who created it; people say nothing.
    pub mark: Option<Mark>,
    /// What it keeps instead of the password that lets its holder in.
    pub verifier: String,
    /// When it ends by itself, where the server knows ends.
    pub ends_at: Timestamp,
    /// Whether nobody is let in any more.
    pub is_locked: bool,
    /// How many are using it.
    pub sessions: u32,
}

/// All accounts of a server.
#[derive(Debug, Default)]
pub struct Accounts {
    all: BTreeMap<Name, Account>,
    /// What strangers have, as they left it.
    strangers: BTreeMap<Name, Account>,
}

/// Returns what a server keeps instead of a password.
pub fn verifier_of(password: &str) -> String {
    let mut hasher = DefaultHasher::new();
    password.hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

/// What operators made by hand.
const BY_HAND: [&str; 2] = ["postgres", "billing"];

/// How many credentials another installation has at every server.
const OF_ANOTHER: usize = 2;

impl Accounts {
    /// Only what is not ours: accounts that were made by hand, and the credentials of another installation.
    pub fn of_strangers(dice: &Dice) -> Self {
        let mut accounts = Self::default();
        for name in BY_HAND {
            accounts.settle(Name::Plain(name), None);
        }
        for _ in 0..OF_ANOTHER {
            accounts.settle_like(LeaseId::new(Timestamp(1), dice), dice);
        }
        accounts
    }

    /// A stranger takes a name that a lease of ours has or may get, and bears a mark that differs by the installation
    /// alone. False if the name is taken.
    pub fn settle_like(&mut self, lease: LeaseId, dice: &Dice) -> bool {
        let installation = InstallationId::new(Timestamp(1), dice);
        let origin = Origin { installation, target: TargetId::new(Timestamp(1), dice) };
        self.settle(Name::Lease(lease), Some(Mark { origin, lease }))
    }

    fn settle(&mut self, name: Name, mark: Option<Mark>) -> bool {
        if self.all.contains_key(&name) {
            return false;
        }
        let (verifier, ends_at) = (verifier_of("a stranger's"), Timestamp(u64::MAX));
        let account = Account { mark, verifier, ends_at, is_locked: false, sessions: 1 };
        self.all.insert(name, account.clone());
        self.strangers.insert(name, account);
        true
    }

    /// A stranger takes away what was theirs.
    pub fn leave(&mut self, lease: LeaseId) {
        if self.strangers.remove(&Name::Lease(lease)).is_some() {
            self.all.remove(&Name::Lease(lease));
        }
    }

    /// Returns the first account of a stranger that is not as they left it.
    pub fn touched(&self) -> Option<Name> {
        let is_touched = |(name, left): &(&Name, &Account)| self.all.get(*name) != Some(*left);
        self.strangers.iter().find(is_touched).map(|(name, _)| *name)
    }

    /// Keeps what strangers have, who come back at once, and of the rest what is kept. Returns what is not.
    pub fn forget(&mut self, keeps: impl Fn() -> bool) -> Vec<LeaseId> {
        let ours: Vec<_> = self.ours().map(|(id, _)| id).filter(|_| !keeps()).collect();
        for id in &ours {
            self.all.remove(&Name::Lease(*id));
        }
        for (name, account) in &self.strangers {
            self.all.insert(*name, account.clone());
        }
        ours
    }

    /// Ends all sessions but those of strangers, who come back at once.
    pub fn restart(&mut self) {
        for (name, account) in &mut self.all {
            if !self.strangers.contains_key(name) {
                account.sessions = 0;
            }
        }
    }

    /// Adds the credential of a lease; false if its name is taken.
    pub fn create(&mut self, account: Account, lease: LeaseId) -> bool {
        let name = Name::Lease(lease);
        let is_free = !self.all.contains_key(&name);
        if is_free {
            self.all.insert(name, account);
        }
        is_free
    }

    /// Returns the credential of a lease: nobody else's.
    pub fn of(&self, lease: LeaseId) -> Option<&Account> {
        let name = Name::Lease(lease);
        self.all.get(&name).filter(|_| !self.strangers.contains_key(&name))
    }

    /// Returns the account of this name, whosever it is.
    pub fn called(&self, name: Name) -> Option<&Account> {
        self.all.get(&name)
    }

    /// The same, to be changed.
    pub fn called_mut(&mut self, name: Name) -> Option<&mut Account> {
        self.all.get_mut(&name)
    }

    /// Removes the account of this name, whosever it is.
    pub fn remove(&mut self, name: Name) -> Option<Account> {
        self.all.remove(&name)
    }

    /// Returns all credentials of leases.
    pub fn ours(&self) -> impl Iterator<Item = (LeaseId, &Account)> {
        self.all.iter().filter_map(|(name, account)| match name {
            Name::Lease(id) if !self.strangers.contains_key(name) => Some((*id, account)),
            Name::Lease(_) | Name::Plain(_) => None,
        })
    }

    /// Returns what bears a mark, whosever it is.
    pub fn marked(&self) -> impl Iterator<Item = (Mark, &Account)> {
        self.all.values().filter_map(|account| Some((account.mark?, account)))
    }
}
