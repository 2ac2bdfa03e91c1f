//! Those who give a target up for ever. At times they are wrong: its server comes back with all that it had.

use super::super::callers::{ROOT, request};
use super::super::server::{Mood, Server};
use super::Operators;
use leasehold_core::broker::{Abandon, AbandonError};
use std::sync::Arc;
use std::time::Duration;

impl Operators {
    /// A target is deleted and abandoned, and some time later there is one of its name again.
    pub(super) async fn abandon(&self) {
        let name = self.any_target();
        self.setting().note(None, || format!("target {name} is given up for ever"));
        self.crowd.site.judge.is_given_up(name);
        // Where everything has to be in time nothing is down, and they are wrong from the beginning.
        let server = self.server_of(name).filter(|_| !self.setting().fair);
        if let Some(server) = &server {
            server.set_mood(Mood::Down);
        }
        let asked = request(self.setting(), ROOT);
        self.ask(|broker| {
            Box::pin(async move {
                drop(broker.delete_target(&asked, "database/", name, false).await);
            })
        })
        .await;
        let others = self.abandon_one(name, None).await;
        if !others.is_empty() {
            // The others stay, and are asked as ever.
            let one = self.setting().dice.one_of(&others).clone();
            self.abandon_one(name, Some(one)).await;
        }
        self.pause(Duration::from_mins(10)).await;
        if let Some(server) = &server {
            server.set_mood(Mood::Well);
        }
        self.write_target(name, None).await;
        self.write_roles(name).await;
    }

    /// Abandons what had a name; returns what it could have meant, if there is doubt.
    async fn abandon_one(&self, name: &'static str, generation: Option<String>) -> Vec<String> {
        let (mount, reason) = ("database/".to_owned(), "its machine has burned".to_owned());
        let wanted = Abandon { mount, name: name.to_owned(), generation, reason };
        let asked = request(self.setting(), ROOT);
        let told = self.ask(|broker| {
            Box::pin(async move {
                match broker.abandon(&asked, wanted).await {
                    Err(AbandonError::Which { generations, .. }) => generations,
                    Ok(_) | Err(_) => Vec::new(),
                }
            })
        });
        told.await.unwrap_or_default()
    }

    fn server_of(&self, name: &str) -> Option<Arc<Server>> {
        let number = self.address_of(name)?.number;
        self.servers.iter().find(|server| server.number == number).map(Arc::clone)
    }
}
