//! Those who restart servers that forget: at once, after a while, and again while what was forgotten is being put back.

use super::super::server::Mood;
use super::Operators;
use std::sync::Arc;
use std::time::Duration;

/// Somebody who restarts a server again does so about as soon as what it had forgotten is put back.
const AGAIN_WITHIN: Duration = Duration::from_secs(20);

impl Operators {
    /// Servers that forget are restarted, until `end`.
    pub async fn restart_forgetful(self: Arc<Self>, end: u64, pause: Duration) {
        let forgetful: Vec<_> =
            self.servers.iter().filter(|server| server.nature.forgets).collect();
        while self.setting().executor.now() < end && !forgetful.is_empty() {
            self.pause(pause).await;
            let dice = &self.setting().dice;
            let server = *dice.one_of(&forgetful);
            // Where everything has to be in time nobody notices more of it than what is forgotten.
            if !self.setting().fair && dice.happens(500) {
                server.set_mood(Mood::Down);
                self.pause(Duration::from_mins(3)).await;
                server.restart();
                server.set_mood(Mood::Well);
            } else {
                server.restart();
            }
            while dice.happens(400) {
                self.pause(AGAIN_WITHIN).await;
                server.restart();
            }
            if dice.happens(400) {
                let executor = &self.setting().executor;
                executor.spawn_world(Arc::clone(&self.crowd).give_back());
            }
        }
    }
}
