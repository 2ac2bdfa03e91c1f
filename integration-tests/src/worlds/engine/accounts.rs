//! What is asked of a server about the accounts that operators made there.

use super::NetworkEngine;
use crate::worlds::calls::Call;
use crate::worlds::flaws;
use crate::worlds::server::Server;
use leasehold_core::engine::rotation::{Account, AccountSecret, Intent, Rotated, Tested};
use leasehold_core::engine::{Cause, EngineError};
use leasehold_core::limits::SETTLE;
use leasehold_core::time::Timestamp;
use std::sync::Arc;
use std::time::Duration;

impl NetworkEngine {
    /// Sets a password. Nothing is begun after `answer_by`; what has begun may be committed until it settles.
    pub(super) async fn set(
        &self,
        account: &Account,
        intent: &Intent,
        answer_by: Timestamp,
    ) -> Result<Rotated, EngineError> {
        let server = Arc::clone(&self.server);
        let (name, by) = (account.name.clone(), self.in_server_time(answer_by));
        let password = password(intent.secret().unwrap());
        let is_stuck = self.setting().fails(self.setting().weather.target_fails / 2);
        let effect = async move { vec![set_there(&server, &name, &password, by, is_stuck).await] };
        self.server.is_to_set(&account.name);
        let answers = self.ask(Call::Rotate, 1, answer_by, effect).await;
        flaws::rotated(self.setting(), answers.into_iter().next().unwrap_or_else(gone))
    }

    /// Tries a login, for which nobody else has to be let in.
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
        if flaws::takes_for_tested(self.setting()) {
            return Ok(Tested::Works);
        }
        self.send(Call::Look, 1, answer_by, effect).await.pop().unwrap_or_else(gone)
    }
}

async fn set_there(
    server: &Server,
    name: &str,
    password: &str,
    by: Timestamp,
    is_stuck: bool,
) -> Result<Rotated, EngineError> {
    let setting = &server.setting;
    if setting.now() > by {
        return Err(EngineError::refused(Cause::TooLate, "time was up"));
    }
    if is_stuck {
        let longest = by.since(setting.now()) + SETTLE;
        let longest = longest.saturating_sub(Duration::from_millis(1));
        let stuck = setting.dice.span(Duration::ZERO, longest);
        setting.executor.sleep(stuck).await;
        if setting.dice.happens(300) {
            return Err(EngineError::refused(Cause::Contended, "the server rolled back"));
        }
        if setting.now() > by {
            setting.counters.late_rotations.one();
        }
    }
    if server.set_password(name, password) {
        Ok(Rotated::AsIntended)
    } else {
        Err(EngineError::refused(Cause::Rejected, "there is no such account"))
    }
}

fn gone<A>() -> Result<A, EngineError> {
    Err(EngineError::uncertain(Cause::Unreachable, "the engine broke off"))
}

fn password(secret: &AccountSecret) -> String {
    secret.part("password").unwrap().reveal().to_owned()
}
