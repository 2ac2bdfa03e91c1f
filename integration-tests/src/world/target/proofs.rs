//! Proofs that lent credentials of a simulated target are dead, and what may go wrong with them.

use super::accounts::{one, password};
use super::{Seen, SimulatedEngine, SimulatedTarget};
use leasehold_core::engine::rotation::{Account, Intent, Verify};
use leasehold_core::engine::{Cause, EngineError};
use leasehold_core::ids::LeaseId;

/// What a target does to make a proof worth nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Twist {
    /// Nothing.
    #[default]
    None,
    /// Lets nobody log in who is not the administrator, whatever they show.
    RefusingLogins,
    /// The same, once it has removed something.
    RefusingLoginsAfterwards,
    /// Says that it has removed what it keeps.
    Lying,
    /// Sets no password.
    Unarmed,
    /// Says that it has set a password, and sets none.
    Forgetful,
}

impl SimulatedTarget {
    /// Changes what it does about proofs.
    pub fn twist(&self, twist: Twist) {
        self.seen.lock().unwrap().twist = twist;
    }

    pub(super) fn refuses_logins(&self) -> Result<(), EngineError> {
        if self.seen.lock().unwrap().twist == Twist::RefusingLogins {
            return Err(EngineError::refused(
                Cause::Unreachable,
                "no entry lets you in from there",
            ));
        }
        Ok(())
    }

    /// The passwords that credentials were given for the proof of their deaths.
    pub fn armed_with(&self) -> Vec<String> {
        self.seen.lock().unwrap().armed.values().cloned().collect()
    }
}

impl SimulatedEngine {
    /// Gives a lent credential another password.
    pub(super) async fn arm_lent(
        &self,
        lease: LeaseId,
        secret: &Intent,
    ) -> Result<Account, EngineError> {
        self.admitted()?;
        let password = password(secret.secret().unwrap());
        let armed = self.target.asked(1, move |seen| vec![seen.arm(lease, &password)]);
        one(armed.await)??;
        Ok(Account {
            name: lease.to_string(),
            administers: false,
            statements: Vec::new(),
            verify: Verify::Login,
        })
    }
}

impl Seen {
    fn arm(&mut self, lease: LeaseId, password: &str) -> Result<(), EngineError> {
        if self.twist == Twist::Unarmed || !self.credentials.contains_key(&lease) {
            return Err(EngineError::refused(Cause::Rejected, "no password is set there"));
        }
        if self.twist != Twist::Forgetful {
            self.armed.insert(lease, password.to_owned());
        }
        Ok(())
    }

    pub(super) fn lets_in(&self, lease: LeaseId) -> bool {
        self.credentials.contains_key(&lease)
    }

    /// Removes a credential; tells whether it was there.
    pub(super) fn remove(&mut self, lease: LeaseId) -> bool {
        match self.twist {
            Twist::Lying => self.credentials.contains_key(&lease),
            Twist::RefusingLoginsAfterwards => {
                self.twist = Twist::RefusingLogins;
                self.credentials.remove(&lease).is_some()
            }
            Twist::None | Twist::RefusingLogins | Twist::Unarmed | Twist::Forgetful => {
                self.credentials.remove(&lease).is_some()
            }
        }
    }
}
