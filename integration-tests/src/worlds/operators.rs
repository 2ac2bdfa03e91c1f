//! Those who change what leases live under while they live, and the accidents that befall machines and servers.

mod abandons;
mod desk;
mod restarts;

use super::address::Address;
use super::callers::{Crowd, ROOT, request};
use super::disk::COMMIT_LATE_MAX;
use super::flaws;
use super::judge::Whole;
use super::node::Node;
use super::server::{Mood, Server};
use super::setting::Setting;
use leasehold_core::broker::{Broker, MountTune, MountWrite, RoleWrite, Side, TargetWrite};
use leasehold_core::tasks::Pending;
use serde_json::Map;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// No machine is suspended for longer.
pub const STANDS_STILL_MAX: Duration = Duration::from_mins(15);

/// Changes things, one after the other.
#[derive(Debug)]
pub struct Operators {
    /// Those whom it befalls.
    pub crowd: Arc<Crowd>,
    /// All servers there are, those that no target points at included.
    pub servers: Vec<Arc<Server>>,
    /// Whether wall clocks are stepped. Nodes that share a store share the time, and a backup is restored to the time
    /// it was taken in.
    pub steps_clocks: bool,
    /// The longest that a term may be in this world.
    pub term_max: Duration,
    /// A target was written and nobody heard of it, so that nobody knows where it points.
    pub is_unsure: AtomicBool,
}

impl Operators {
    fn setting(&self) -> &Setting {
        &self.crowd.site.setting
    }

    fn pause(&self, longest: Duration) -> impl Future<Output = ()> + Send + use<> {
        let setting = Arc::clone(&self.crowd.site.setting);
        async move {
            let pause = setting.dice.span(Duration::ZERO, longest);
            setting.executor.sleep(pause).await;
        }
    }

    /// Changes what there is, until `end`.
    pub async fn change(self: Arc<Self>, end: u64, pause: Duration) {
        while self.setting().executor.now() < end {
            self.pause(pause).await;
            self.setting().counters.operator_changes.one();
            match self.setting().dice.below(14) {
                0..4 => self.write_role().await,
                4..6 => self.delete_role().await,
                6 => self.tune_mount().await,
                7..9 => self.point_elsewhere().await,
                9 => self.delete_target().await,
                10 => self.write_target(self.any_target(), None).await,
                11 => self.fail_over().await,
                12 => self.disable_mount().await,
                _ => self.abandon().await,
            }
        }
        self.set_up().await;
    }

    /// Everything is there that callers ask for; tried until it is.
    pub async fn set_up(&self) {
        let wanted = MountWrite {
            path: "database".into(),
            kind: "database".into(),
            ..MountWrite::default()
        };
        let mount = request(self.setting(), ROOT);
        let enable = |broker: Arc<Broker>| -> Pending<'static, ()> {
            Box::pin(async move { drop(broker.enable_mount(&mount, wanted).await) })
        };
        self.ask(enable).await;
        for name in self.target_names() {
            self.write_target(name, None).await;
            self.write_roles(name).await;
        }
    }

    fn target_names(&self) -> &'static [&'static str] {
        if self.servers.len() > 3 { &["app", "other"] } else { &["app"] }
    }

    fn any_target(&self) -> &'static str {
        let names: &[&'static str] = self.target_names();
        names[self.setting().dice.below(names.len())]
    }

    async fn ask<T: Send + 'static>(
        &self,
        verb: impl FnOnce(Arc<Broker>) -> Pending<'static, T>,
    ) -> Option<T> {
        let node: &Arc<Node> = self.crowd.nodes.first()?;
        node.ask(verb).await.ok()
    }

    async fn write_roles(&self, target: &'static str) {
        for role in &self.crowd.roles {
            let is_other = role.starts_with("other");
            if is_other == (target == "other") {
                self.write_role_of(role, target).await;
            }
        }
    }

    async fn write_role(&self) {
        self.write_role_called(self.crowd.any_role()).await;
    }

    /// Writes a role, at times for another target than the leases that it has made are at.
    async fn write_role_called(&self, role: &str) {
        let is_other = role.starts_with("other") && self.servers.len() > 3;
        let target = if is_other { "other" } else { "app" };
        if self.servers.len() > 3 && self.setting().dice.happens(250) {
            let elsewhere = if is_other { "app" } else { "other" };
            self.setting().note(None, || format!("role {role} is pointed at {elsewhere}"));
            self.setting().counters.roles_repointed.one();
            return self.write_role_of(role, elsewhere).await;
        }
        self.write_role_of(role, target).await;
    }

    async fn write_role_of(&self, role: &str, target: &str) {
        let dice = &self.setting().dice;
        let max = dice.span(Duration::from_secs(30), self.term_max);
        let ttl = dice.span(Duration::from_secs(5), max);
        let mut fields = Map::new();
        if dice.happens(200) {
            fields.insert("one_lane".into(), true.into());
        }
        if dice.happens(300) {
            fields.insert("derives_for_long".into(), true.into());
        }
        let write = RoleWrite {
            mount: "database/".into(),
            name: role.to_owned(),
            target: Some(target.to_owned()),
            default_ttl: Some(ttl),
            max_ttl: Some(max),
            fields,
            ..RoleWrite::default()
        };
        let request = request(self.setting(), ROOT);
        self.ask(|broker| Box::pin(async move { drop(broker.write_role(&request, write).await) }))
            .await;
    }

    /// A role is deleted, and made anew under the same name, while what it has made lives on.
    async fn delete_role(&self) {
        let role = self.crowd.any_role();
        let revokes = self.setting().dice.happens(300);
        let mount = self.crowd.mount_id().filter(|_| revokes);
        let asking = mount.map(|mount| self.crowd.site.judge.unwant_all(Whole::Role(mount, role)));
        self.setting().note(None, || format!("role {role} is deleted, revokes: {revokes}"));
        let asked = request(self.setting(), ROOT);
        let deleted = self.ask(|broker| {
            Box::pin(
                async move { broker.delete_role(&asked, "database/", role, revokes).await.is_ok() },
            )
        });
        if let (Some(true), Some(asking)) = (deleted.await, asking) {
            asking.is_done();
        }
        self.pause(Duration::from_secs(30)).await;
        self.write_role_called(role).await;
    }

    /// A mount that leases live under gets other bounds.
    async fn tune_mount(&self) {
        let max = self.setting().dice.span(Duration::from_mins(1), self.term_max);
        let tune = MountTune {
            default_lease_ttl: Some(max),
            max_lease_ttl: Some(max),
            ..MountTune::default()
        };
        let request = request(self.setting(), ROOT);
        self.ask(|broker| {
            Box::pin(async move {
                drop(broker.tune_mount(&request, (Side::Engines, "database/"), tune).await);
            })
        })
        .await;
    }

    /// A target with live leases gets the address of another server.
    async fn point_elsewhere(&self) {
        let server = self.setting().dice.one_of(&self.servers).number;
        self.write_target(self.any_target(), Some(server)).await;
    }

    async fn write_target(&self, name: &'static str, server: Option<u64>) {
        let usual = if name == "other" { 3 } else { 0 };
        let number = server.unwrap_or(usual);
        self.setting().note(None, || format!("target {name} is written: server {number}"));
        flaws::moved(self.setting(), usual, number);
        self.point_to(name, Address::usual(number), false).await;
    }

    /// A server is reached by another of its addresses, and its logins are what they were.
    async fn fail_over(&self) {
        let name = self.any_target();
        // What is stored may change for so long after whoever changed it was answered.
        self.setting().executor.sleep(COMMIT_LATE_MAX).await;
        let is_unsure = self.is_unsure.load(Ordering::Relaxed) || self.setting().restores;
        let Some(now) = self.address_of(name).filter(|_| !is_unsure) else { return };
        self.setting().note(None, || format!("target {name} fails over: {:?}", now.other()));
        self.setting().counters.failovers.one();
        self.point_to(name, now.other(), true).await;
    }

    fn address_of(&self, name: &str) -> Option<Address> {
        let broker = self.crowd.nodes.first()?.broker()?;
        let catalog = broker.catalog();
        let target = catalog.at("database/")?.targets.get(name)?;
        Address::read(&target.record.fields.0).ok()
    }

    async fn point_to(&self, name: &str, address: Address, is_the_same: bool) {
        let write = TargetWrite {
            mount: "database/".into(),
            name: name.into(),
            plugin_name: Some("simulated".into()),
            allowed_roles: Some(vec!["*".into()]),
            verify_connection: Some(self.setting().dice.happens(300)),
            moved: Some(is_the_same),
            fields: address.fields(),
            ..TargetWrite::default()
        };
        let request = request(self.setting(), ROOT);
        let told = self
            .ask(|broker| {
                Box::pin(async move { broker.write_target(&request, write).await.map_err(drop) })
            })
            .await;
        if told != Some(Ok(())) {
            self.is_unsure.store(true, Ordering::Relaxed);
        }
    }

    async fn delete_target(&self) {
        let revokes = self.setting().dice.happens(500);
        let name = self.any_target();
        let mount = self.crowd.mount_id().filter(|_| revokes);
        let asking =
            mount.map(|mount| self.crowd.site.judge.unwant_all(Whole::Target(mount, name)));
        self.setting().note(None, || format!("target {name} is deleted, revokes: {revokes}"));
        let asked = request(self.setting(), ROOT);
        let deleted = self.ask(|broker| {
            Box::pin(async move {
                broker.delete_target(&asked, "database/", name, revokes).await.is_ok()
            })
        });
        let is_deleted = deleted.await == Some(true);
        if let (true, Some(asking)) = (is_deleted, &asking) {
            asking.is_done();
        }
        // Whoever was not told may still see it deleted, with what is lent until then.
        self.setting().executor.sleep(COMMIT_LATE_MAX).await;
        drop(asking);
        self.pause(Duration::from_mins(1)).await;
        self.write_target(name, None).await;
        self.write_roles(name).await;
    }

    async fn disable_mount(&self) {
        let mount = self.crowd.mount_id();
        let asking = mount.map(|mount| self.crowd.site.judge.unwant_all(Whole::Mount(mount)));
        self.setting().note(None, || "the mount is disabled".into());
        let asked = request(self.setting(), ROOT);
        let disabled = self.ask(|broker| {
            Box::pin(async move {
                broker.disable_mount(&asked, (Side::Engines, "database/")).await.is_ok()
            })
        });
        let is_disabled = disabled.await == Some(true);
        // Whoever was not told may still see it disabled. What was told is that it ends soon, beside the caller.
        self.setting().executor.sleep(COMMIT_LATE_MAX).await;
        if let (true, true, Some(asking)) = (is_disabled, self.setting().fair, &asking) {
            asking.is_done();
        }
        drop(asking);
        self.pause(Duration::from_mins(1)).await;
        self.set_up().await;
    }

    /// Processes die and stand still, until `end`.
    pub async fn break_machines(self: Arc<Self>, end: u64, pause: Duration) {
        while self.setting().executor.now() < end {
            self.pause(pause).await;
            let node = Arc::clone(self.setting().dice.one_of(&self.crowd.nodes));
            if self.steps_clocks && self.setting().dice.happens(250) {
                self.step_clock(&node).await;
                continue;
            }
            if self.setting().dice.happens(250) {
                let span = self.setting().dice.span(Duration::from_secs(1), STANDS_STILL_MAX);
                node.stand_still(span);
                continue;
            }
            node.die();
            let downtime = self.setting().dice.span(Duration::ZERO, Duration::from_mins(5));
            self.setting().executor.sleep(downtime).await;
            node.start();
        }
    }

    /// A wall clock is stepped by up to an hour, as NTP does, and set right again some time later. Somebody may look
    /// at it and accept it once it is.
    async fn step_clock(&self, node: &Arc<Node>) {
        let dice = &self.setting().dice;
        self.setting().counters.clock_steps.one();
        let step = i64::try_from(dice.below(3_600_000)).unwrap();
        let off_ms = if dice.happens(500) { step } else { -step };
        self.setting().note(None, || format!("the wall clock is stepped by {} s", off_ms / 1000));
        node.wall.set_off(off_ms);
        if dice.happens(300) {
            node.die();
            node.start();
        }
        self.pause(Duration::from_mins(20)).await;
        node.wall.set_off(0);
        self.setting().note(None, || "the wall clock is right again".into());
        if dice.happens(500) {
            self.pause(Duration::from_mins(2)).await;
            self.accept_clock().await;
        }
    }

    async fn accept_clock(&self) {
        let request = request(self.setting(), ROOT);
        self.ask(|broker| Box::pin(async move { drop(broker.accept_clock(&request).await) })).await;
    }

    /// Servers go down, hang, restart, and lose what they had, until `end`.
    pub async fn break_servers(self: Arc<Self>, end: u64, pause: Duration) {
        while self.setting().executor.now() < end {
            self.pause(pause).await;
            let dice = &self.setting().dice;
            let server = Arc::clone(dice.one_of(&self.servers));
            match dice.below(8) {
                0..3 => server.set_mood(Mood::Down),
                3..5 => server.set_mood(Mood::Hanging),
                5 => server.restart(),
                _ => {
                    let all = server.all();
                    if !all.is_empty() {
                        let id = *dice.one_of(&all);
                        server.lose(id);
                        if dice.happens(300) {
                            server.be_taken(id);
                        }
                    }
                }
            }
            let span = dice.span(Duration::from_secs(1), Duration::from_mins(10));
            self.setting().executor.sleep(span).await;
            server.set_mood(Mood::Well);
        }
    }
}
