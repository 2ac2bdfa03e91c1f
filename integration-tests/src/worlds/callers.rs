//! Those who ask: applications that log in and stay, scripts that retry, people who hang up and revoke twice.

mod secrets;
mod tokens;

use super::flaws;
use super::judge::{Repeat, Whole};
use super::node::{Node, Site};
use super::server::Server;
use super::setting::Setting;
use futures_util::future::{Either, select};
use leasehold_core::audit::{Asked, Operation};
use leasehold_core::broker::{
    Broker, IdempotencyKey, IssueError, Issued, Request, StillTried, Until,
};
use leasehold_core::ids::{LeaseId, MountId, TokenAccessor};
use leasehold_core::secret::{Field, SecretText};
use leasehold_core::tasks::Pending;
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;

/// The token that may do everything and never ends.
pub const ROOT: &str = "root";

/// What callers know.
#[derive(Debug)]
pub struct Crowd {
    /// Where everything happens.
    pub site: Site,
    /// Whom they can ask.
    pub nodes: Vec<Arc<Node>>,
    /// The roles they may ask for: some are there only at times.
    pub roles: Vec<&'static str>,
    credentials: Mutex<Vec<Credential>>,
    tokens: Mutex<Vec<(String, TokenAccessor)>>,
}

/// What somebody asks for.
#[derive(Clone, Debug)]
struct Wanted {
    token: String,
    role: &'static str,
    /// What makes a request the same as another.
    key: Option<u32>,
}

/// A secret that somebody was shown.
#[derive(Clone, Debug)]
struct Credential {
    lease: LeaseId,
    lease_id: String,
    password: String,
    ttl: Duration,
}

/// Makes a request that no other is.
pub fn request(setting: &Setting, token: &str) -> Request {
    let asked = Asked {
        id: setting.next_request(),
        operation: Operation::Update,
        path: "a/path".into(),
        ..Asked::default()
    };
    Request { asked, token: Some(SecretText::new(token.into())), ..Request::default() }
}

impl Crowd {
    /// Callers who have nothing yet.
    pub fn new(site: Site, nodes: Vec<Arc<Node>>, roles: Vec<&'static str>) -> Arc<Self> {
        let (credentials, tokens) = (Mutex::default(), Mutex::default());
        Arc::new(Self { site, nodes, roles, credentials, tokens })
    }

    fn setting(&self) -> &Setting {
        &self.site.setting
    }

    /// One of them, until `end`.
    pub async fn live(self: Arc<Self>, end: u64, pause: Duration) {
        while self.setting().executor.now() < end {
            let pause = self.setting().dice.span(Duration::ZERO, pause);
            self.setting().executor.sleep(pause).await;
            self.act().await;
        }
    }

    async fn act(self: &Arc<Self>) {
        match self.setting().dice.below(100) {
            0..32 => self.issue().await,
            32..40 => self.issue_repeatedly().await,
            40..55 => self.renew().await,
            55..58 => self.collide().await,
            58..70 => self.revoke().await,
            70..73 => self.revoke_role().await,
            73..83 => self.make_token().await,
            83..88 => self.renew_token().await,
            88..93 => self.end_token().await,
            93..98 => self.look_up().await,
            _ => self.list().await,
        }
    }

    /// Asks a node, and waits as long as a caller's patience goes. `None`: nobody knows.
    async fn ask<T: Send + 'static>(
        &self,
        verb: impl FnOnce(Arc<Broker>) -> Pending<'static, T>,
    ) -> Option<T> {
        let setting = self.setting();
        let node = setting.dice.one_of(&self.nodes);
        let answer = node.ask(verb);
        let hangs_up = setting.dice.happens(50);
        let longest = if hangs_up { Duration::from_millis(50) } else { Duration::from_mins(3) };
        let patience = if hangs_up { setting.dice.span(Duration::ZERO, longest) } else { longest };
        match select(answer, setting.executor.sleep(patience)).await {
            Either::Left((answer, _)) => answer.ok(),
            Either::Right(_) => None,
        }
    }

    /// A token: the root token, or one that somebody made.
    fn any_token(&self) -> String {
        let tokens = self.tokens.lock();
        if tokens.is_empty() || self.setting().dice.happens(250) {
            return ROOT.to_owned();
        }
        self.setting().dice.one_of(&tokens).0.clone()
    }

    /// Returns one of the roles.
    pub fn any_role(&self) -> &'static str {
        let roles: &[&'static str] = &self.roles;
        roles[self.setting().dice.below(roles.len())]
    }

    fn any_credential(&self) -> Option<Credential> {
        let credentials = self.credentials.lock();
        (!credentials.is_empty()).then(|| self.setting().dice.one_of(&credentials).clone())
    }

    /// Issues, and uses what it was shown for a while.
    async fn issue(self: &Arc<Self>) {
        let wanted = Wanted { token: self.any_token(), role: self.any_role(), key: None };
        self.issue_as_wanted(wanted).await;
    }

    /// Issues with a key, again and again: at once, after a pause, or after another process has started.
    async fn issue_repeatedly(self: &Arc<Self>) {
        let setting = self.setting();
        let key = Some(u32::try_from(setting.dice.below(8)).unwrap());
        let role = self.any_role();
        let wanted = Wanted { token: self.any_token(), role, key };
        let times = 1 + setting.dice.below(3);
        if setting.dice.happens(500) {
            let at_once = (0..times).map(|_| self.issue_as_wanted(wanted.clone()));
            futures_util::future::join_all(at_once).await;
            return;
        }
        for _ in 0..times {
            self.issue_as_wanted(wanted.clone()).await;
            let pause = setting.dice.span(Duration::ZERO, Duration::from_mins(4));
            setting.executor.sleep(pause).await;
        }
    }

    async fn issue_as_wanted(self: &Arc<Self>, wanted: Wanted) {
        let mut request = request(self.setting(), &wanted.token);
        self.site.judge.asks_as(&request.asked.id, &wanted.token);
        let Wanted { token, role, key } = wanted;
        request.asked.path = format!("database/creds/{role}");
        let repeat = key.map(|key| (token, role, key));
        if let Some(repeat) = &repeat {
            let key = IdempotencyKey::parse(format!("key-{}", repeat.2).as_bytes());
            request.idempotency_key = key.ok();
            self.site.judge.asked_with(repeat, &request.asked.id);
        }
        let id = request.asked.id.clone();
        if let Some(lease) = flaws::remembered(self.setting(), key) {
            self.site.journal.note_answer(&id);
            self.site.judge.shown(lease, &id, repeat.as_ref(), Duration::ZERO);
            return;
        }
        let (site, troubles) = (self.site.clone(), self.setting().store_troubles());
        let asked = self.ask(|broker| {
            Box::pin(async move {
                let answer = broker.issue(&request, "database/", role).await;
                // What the HTTP layer would send now, whether or not anybody reads it.
                site.answered((&id, troubles), answer, repeat.as_ref())
            })
        });
        match asked.await {
            Some(Some(credential)) => self.use_credential(credential),
            Some(None) => self.setting().counters.issues_failed.one(),
            None => self.setting().counters.issues_unheard.one(),
        }
    }

    /// Does things at once that are in each other's way: with one lease, or with one token.
    async fn collide(self: &Arc<Self>) {
        let setting = self.setting();
        let soon =
            || setting.executor.sleep(setting.dice.span(Duration::ZERO, Duration::from_millis(30)));
        if setting.dice.happens(500) {
            let Some((token, accessor)) = self.made_token() else { return };
            let role = self.any_role();
            let issues = (0..3).map(|_| async {
                soon().await;
                let (token, key) = (token.clone(), None);
                self.issue_as_wanted(Wanted { token, role, key }).await;
            });
            let ends = async {
                soon().await;
                self.end_token_of(accessor).await;
            };
            futures_util::future::join(futures_util::future::join_all(issues), ends).await;
            return;
        }
        let Some(credential) = self.any_credential() else { return };
        let renews = async {
            soon().await;
            self.renew_one(&credential).await;
        };
        let revokes = async {
            soon().await;
            self.revoke_one(&credential).await;
        };
        futures_util::future::join(renews, revokes).await;
    }

    /// An application logs in, stays a while, and comes back when it is thrown out.
    fn use_credential(self: &Arc<Self>, credential: Credential) {
        self.credentials.lock().push(credential.clone());
        if self.credentials.lock().len() > 40 {
            self.credentials.lock().swap_remove(0);
        }
        let Some(server) = self.server_of(credential.lease) else { return };
        if self.setting().dice.happens(400) {
            let crowd = Arc::clone(self);
            let ttl = credential.ttl;
            let renewing = crowd.keep_renewing(credential.clone(), ttl);
            self.site.setting.executor.spawn_world(renewing);
        }
        let crowd = Arc::clone(self);
        self.site.setting.executor.spawn_world(async move {
            for _ in 0..3 {
                let (setting, lease) = (crowd.setting(), credential.lease);
                let is_in = server.log_in(lease, &credential.password);
                if is_in == Some(false) {
                    crowd.credentials.lock().retain(|other| other.lease != lease);
                    return;
                }
                if is_in == Some(true) {
                    let stays = setting.dice.span(Duration::ZERO, Duration::from_mins(20));
                    setting.executor.sleep(stays).await;
                    if setting.dice.happens(300) {
                        server.log_out(lease);
                    }
                }
                let pause = setting.dice.span(Duration::ZERO, Duration::from_mins(2));
                setting.executor.sleep(pause).await;
            }
        });
    }

    fn server_of(&self, lease: LeaseId) -> Option<Arc<Server>> {
        self.site.judge.servers().into_iter().find(|server| server.had(lease))
    }

    async fn renew(&self) {
        if let Some(credential) = self.any_credential() {
            self.renew_one(&credential).await;
        }
    }

    async fn renew_one(&self, credential: &Credential) -> Option<Duration> {
        let credential = credential.clone();
        let dice = &self.setting().dice;
        let asks = dice.happens(500);
        let increment = asks.then(|| dice.span(Duration::ZERO, Duration::from_hours(5)));
        let token = self.any_token();
        let mut request = request(self.setting(), &token);
        request.asked.path = "sys/leases/renew".into();
        let judge = Arc::clone(&self.site.judge);
        judge.asks_as(&request.asked.id, &token);
        let renewed = self.ask(|broker| {
            Box::pin(async move {
                judge.asks_for_more(credential.lease, &request.asked.id);
                let renewed = broker.renew(&request, &credential.lease_id, increment).await;
                judge.renewal_is_answered(credential.lease, &request.asked.id, renewed).ok()
            })
        });
        let counters = &self.setting().counters;
        let renewed = renewed.await?;
        if renewed.is_some() {
            counters.renewed.one();
        } else {
            counters.renewals_failed.one();
        }
        renewed
    }

    /// An application renews what it uses, sometimes at the last moment, and sometimes too late.
    async fn keep_renewing(self: Arc<Self>, credential: Credential, mut ttl: Duration) {
        for _ in 0..6 {
            let margin = self.setting().dice.span(Duration::ZERO, ttl / 2);
            let early =
                Duration::from_millis(u64::try_from(self.setting().dice.below(40)).unwrap());
            let wait = if self.setting().dice.happens(500) { margin } else { early };
            let wait = ttl.saturating_sub(wait);
            self.setting().executor.sleep(wait).await;
            let Some(renewed) = self.renew_one(&credential).await else { return };
            ttl = renewed;
        }
    }

    async fn revoke(&self) {
        if let Some(credential) = self.any_credential() {
            self.revoke_one(&credential).await;
        }
    }

    async fn revoke_one(&self, credential: &Credential) {
        self.credentials.lock().retain(|other| other.lease != credential.lease);
        self.site.judge.unwant(credential.lease);
        let setting = self.setting();
        setting.note(credential.lease, || "somebody asks for its end".into());
        let twice = setting.dice.happens(200);
        for _ in 0..=u32::from(twice) {
            let until = *setting.dice.one_of(&[Until::Marked, Until::Settled]);
            let request = request(setting, ROOT);
            let id = credential.lease_id.clone();
            let (site, lease) = (self.site.clone(), credential.lease);
            let revoked = self.ask(|broker| {
                Box::pin(async move {
                    let outcome = broker.revoke(&request, &id, until).await;
                    if outcome.is_ok() {
                        site.judge.granted(&request.asked.id);
                        site.judge.lease_is_said_to_end(lease);
                        if until == Until::Settled {
                            site.is_said_to_be_gone(lease);
                        }
                    }
                    outcome.is_ok()
                })
            });
            if revoked.await == Some(true) {
                setting.counters.revoked_by_callers.one();
            }
        }
    }

    /// Those who are kept out because a server has forgotten them give back what they had, while it is put back.
    pub async fn give_back(self: Arc<Self>) {
        let missing = self.site.judge.missing();
        let credentials = self.credentials.lock().clone();
        for credential in credentials.iter().filter(|one| missing.contains(&one.lease)) {
            let pause = self.setting().dice.span(Duration::ZERO, Duration::from_secs(20));
            self.setting().executor.sleep(pause).await;
            self.revoke_one(credential).await;
        }
    }

    /// Revokes everything of one role, while others have names that begin alike.
    async fn revoke_role(&self) {
        let role = self.any_role();
        let Some(mount) = self.mount_id() else { return };
        let (setting, site) = (Arc::clone(&self.site.setting), self.site.clone());
        let asking = self.site.judge.unwant_all(Whole::Role(mount, role));
        let request = request(self.setting(), ROOT);
        let forced = setting.dice.happens(300);
        let until = *setting.dice.one_of(&[Until::Marked, Until::Settled]);
        let asked = self.ask(|broker| {
            Box::pin(async move {
                let prefix = format!("database/creds/{role}");
                // A process that has not heard yet of a new mount ends what the one before has lent.
                let is_known = mount_of(&broker) == Some(mount);
                let outcome = broker.revoke_prefix(&request, &prefix, until, forced).await;
                if let Ok(StillTried(failed)) = outcome {
                    site.judge.granted(&request.asked.id);
                    if failed == 0 && is_known {
                        asking.is_done();
                        if until == Until::Settled {
                            asking.before().for_each(|lease| site.is_said_to_be_gone(lease));
                        }
                    }
                    setting.counters.revoked_by_prefix.one();
                }
            })
        });
        asked.await;
    }

    /// Returns which mount is there, as far as a process knows.
    pub fn mount_id(&self) -> Option<MountId> {
        let broker = self.nodes.iter().find_map(|node| node.broker())?;
        mount_of(&broker)
    }

    async fn look_up(&self) {
        let Some(credential) = self.any_credential() else { return };
        let request = request(self.setting(), ROOT);
        let asked = self.ask(|broker| {
            Box::pin(
                async move { broker.lookup_lease(&request, &credential.lease_id).await.is_ok() },
            )
        });
        asked.await;
    }

    async fn list(&self) {
        let request = request(self.setting(), ROOT);
        let asked = self.ask(|broker| {
            Box::pin(async move {
                broker.list_leases(&request, "database/creds/app").await.is_ok()
                    && broker.failed_leases(&request, 100).await.is_ok()
            })
        });
        asked.await;
    }
}

impl Site {
    /// The answer to an issue leaves the process: a secret is shown here, or never.
    fn answered(
        &self,
        (id, troubles): (&str, u64),
        answer: Result<Issued, IssueError>,
        repeat: Option<&Repeat>,
    ) -> Option<Credential> {
        match answer {
            Ok(issued) => {
                let lease_id = issued.lease_id;
                let lease = lease_id.rsplit('/').next().unwrap().parse().unwrap();
                flaws::remember(&self.setting, repeat.map(|(.., key)| *key), lease);
                self.judge.granted(id);
                self.judge.shown(lease, id, repeat, issued.ttl);
                self.setting.counters.issued.one();
                let fields = issued.secret.fields().find(|(name, _)| *name == "password");
                let Some((_, Field::Hidden(password))) = fields else { return None };
                let password = password.reveal().to_owned();
                Some(Credential { lease, lease_id, password, ttl: issued.ttl })
            }
            Err(error) => {
                let told = error.to_string();
                if told.contains(super::judge::CANARY) {
                    self.setting.broken(3, None, "an error shows a secret");
                }
                self.setting.note(None, || format!("{id} is told: {told}"));
                self.judge.not_issued(id, troubles);
                None
            }
        }
    }

    /// Somebody is told that a credential is gone: by an operator's word, if that has ended its lease.
    fn is_said_to_be_gone(&self, lease: LeaseId) {
        let is_there = self.judge.servers().iter().any(|server| server.has(lease));
        if is_there && !self.judge.is_left_behind(lease) {
            self.setting.broken(5, lease, "somebody was told that a credential is gone");
        }
    }
}

fn mount_of(broker: &Broker) -> Option<MountId> {
    Some(broker.catalog().at("database/")?.mount.record.id)
}
