//! Those who ask for the secrets of accounts at the desk, again and again, as applications do before they log in.

use super::{Crowd, ROOT, request};
use crate::worlds::desk::{CLERKS, MOUNT, password_of};
use leasehold_core::broker::StaticRoleError;
use std::sync::Arc;
use std::time::Duration;

impl Crowd {
    /// One of them, until `end`.
    pub async fn read_secrets(self: Arc<Self>, end: u64, pause: Duration) {
        while self.setting().executor.now() < end {
            let pause = self.setting().dice.span(Duration::ZERO, pause);
            self.setting().executor.sleep(pause).await;
            let name = *self.setting().dice.one_of(&CLERKS);
            self.read_secret(name).await;
        }
    }

    async fn read_secret(&self, name: &'static str) {
        let request = request(self.setting(), ROOT);
        let site = self.site.clone();
        let asked = self.ask(|broker| {
            Box::pin(async move {
                let asked_at = site.setting.now();
                let told = broker.static_credential(&request, MOUNT, name).await;
                let counters = &site.setting.counters;
                match told {
                    Ok(told) => {
                        site.judge.granted(&request.asked.id);
                        let password = password_of(&told.secret).unwrap();
                        site.judge.secret_is_told(name, &password, asked_at);
                        counters.secrets_told.one();
                    }
                    Err(StaticRoleError::BeingRotated(_)) => counters.secrets_withheld.one(),
                    Err(StaticRoleError::Older(_)) => counters.secrets_older.one(),
                    Err(StaticRoleError::Untried(_)) => counters.secrets_untried.one(),
                    Err(_) => {}
                }
            })
        });
        asked.await;
    }
}
