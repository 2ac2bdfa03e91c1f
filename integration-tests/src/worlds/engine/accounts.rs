//! What is asked of a server about the accounts that operators made there.

use super::NetworkEngine;
use crate::worlds::calls::Call;
use leasehold_core::engine::rotation::{Account, AccountSecret, Intent, Rotated, Tested};
use leasehold_core::engine::{Cause, EngineError};
use leasehold_core::time::Timestamp;
use std::sync::Arc;

impl NetworkEngine {
    /// Sets a password. What is held up on its way comes too late, as everything else.
    pub(super) async fn set(
        &self,
        account: &Account,
        intent: &Intent,
        answer_by: Timestamp,
    ) -> Result<Rotated, EngineError> {
        let server = Arc::clone(&self.server);
        let (name, by) = (account.name.clone(), self.in_server_time(answer_by));
        let password = password(intent.secret().unwrap());
        let effect = async move {
            let refused = |cause, why: &str| Err(EngineError::refused(cause, why));
            vec![if server.setting.now() > by {
                refused(Cause::TooLate, "time was up")
            } else if server.set_password(&name, &password) {
                Ok(Rotated::AsIntended)
            } else {
                refused(Cause::Rejected, "there is no such account")
            }]
        };
        self.ask(Call::Look, 1, answer_by, effect).await.pop().unwrap_or_else(gone)
    }

    /// Tries a login.
    pub(super) async fn try_login(
        &self,
        account: &Account,
        secret: &AccountSecret,
        answer_by: Timestamp,
    ) -> Result<Tested, EngineError> {
        let (server, name, password) =
            (Arc::clone(&self.server), account.name.clone(), password(secret));
        let effect = async move {
            let works = server.lets_in(&name, &password);
            vec![Ok(if works { Tested::Works } else { Tested::Denied })]
        };
        self.ask(Call::Look, 1, answer_by, effect).await.pop().unwrap_or_else(gone)
    }
}

fn gone<A>() -> Result<A, EngineError> {
    Err(EngineError::uncertain(Cause::Unreachable, "the engine broke off"))
}

fn password(secret: &AccountSecret) -> String {
    secret.part("password").unwrap().reveal().to_owned()
}
