//! The engine for simulated servers: what it asks goes through a network that delays, loses, and delivers late.

mod accounts;
mod config;
mod effects;
mod look;
mod put_back;

use super::accounts::{ToldEnd, verifier_of};
use super::calls::{Call, Calling};
use super::flaws;
use super::server::{Mood, Server};
use super::setting::Setting;
use config::{Config, Login};
use effects::{create, extend, remove};
use futures_channel::oneshot;
use futures_util::future::{Either, select};
use leasehold_core::access::password::PasswordPolicy;
use leasehold_core::chance::Chance;
use leasehold_core::engine::denial::{Deniable, Denial, Denied, Standing};
use leasehold_core::engine::in_use::InUse;
use leasehold_core::engine::naming::Naming;
use leasehold_core::engine::own_end::Choice;
use leasehold_core::engine::rotation::{
    Account, AccountSecret, Administrator, Intent, Rotated, Tested,
};
use leasehold_core::engine::{
    Cause, Engine, EngineError, FieldError, Identity, Issue, Marked, Origin, PrepareError, PutBack,
    Renewal, Renewed, Revocation, Sharing, Unanswered,
};
use leasehold_core::ids::LeaseId;
use leasehold_core::limits::{ISSUE_WITHIN, SETTLE};
use leasehold_core::secret::Secret;
use leasehold_core::time::{Clock, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

thread_local! {
    /// The servers of the world that runs on this thread, by address: an engine is opened with nothing but that.
    static SERVERS: RefCell<BTreeMap<u64, Arc<Server>>> = const { RefCell::new(BTreeMap::new()) };
}

/// Makes servers reachable by their addresses, and all others not.
pub fn connect(servers: &[Arc<Server>]) {
    let by_number = servers.iter().map(|server| (server.number, Arc::clone(server)));
    SERVERS.with_borrow_mut(|reachable| *reachable = by_number.collect());
}

/// Reaches one server.
#[derive(Debug)]
pub struct NetworkEngine {
    server: Arc<Server>,
    login: Option<Login>,
    origin: Origin,
    clock: Arc<dyn Clock>,
}

/// What a credential is called.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NetworkHandle {
    lease: LeaseId,
    note: String,
    /// What the server keeps instead of the password; nothing of it is secret.
    pub(super) verifier: String,
}

/// By how much at most something lands after nobody waits for it any more.
const LATE_MAX: Duration = Duration::from_mins(5);

/// What becomes of a question on its way to a server and back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Well,
    Refused,
    /// Nobody hears the answer.
    AnswerLost,
    /// Lost on the way there.
    Hung,
    /// Comes there after nobody waits any more.
    Late,
}

/// One creation, as it goes over the network.
#[derive(Clone, Debug)]
struct Creation {
    lease: LeaseId,
    password: String,
    end: ToldEnd,
}

/// One revocation, as it goes over the network.
#[derive(Clone, Copy, Debug)]
pub(super) struct Removal {
    lease: LeaseId,
    /// Set while its issue is not known to be answered.
    unanswered: Option<Unanswered>,
}

impl NetworkEngine {
    fn setting(&self) -> &Arc<Setting> {
        &self.server.setting
    }

    fn way(&self) -> Way {
        let setting = self.setting();
        let way = match self.server.mood() {
            Mood::Down => Way::Refused,
            Mood::Hanging => Way::Hung,
            Mood::Well if setting.fails(setting.weather.target_fails) => {
                *setting.dice.one_of(&[Way::Refused, Way::AnswerLost, Way::Hung, Way::Late])
            }
            Mood::Well => Way::Well,
        };
        let counters = &setting.counters;
        match way {
            Way::Well | Way::Late => {}
            Way::Refused => counters.targets_refused.one(),
            Way::AnswerLost => counters.answers_lost.one(),
            Way::Hung => counters.targets_hung.one(),
        }
        way
    }

    /// What the server's clock says when ours says `at`: the skew is measured, as a real engine does.
    fn in_server_time(&self, at: Timestamp) -> Timestamp {
        let (ours, theirs) = (self.clock.now(), self.setting().now());
        if ours > theirs { at.minus(ours.since(theirs)) } else { at.plus(theirs.since(ours)) }
    }

    /// The end of a term, as the server is told it.
    fn end(&self, lapses_at: Timestamp) -> ToldEnd {
        let at = self.in_server_time(flaws::end_to_tell(self.setting(), lapses_at));
        let (ours, theirs) = (self.clock.now(), self.setting().now());
        let ms = |span: Duration| i64::try_from(span.as_millis()).unwrap();
        ToldEnd { at, off_ms: ms(ours.since(theirs)) - ms(theirs.since(ours)) }
    }

    fn late(&self) -> Duration {
        // A backup knows nothing of what hangs at a server for longer than anything may.
        let settles = SETTLE.saturating_sub(Duration::from_secs(1));
        let longest = if self.setting().restores { settles } else { LATE_MAX };
        self.setting().dice.span(Duration::ZERO, longest)
    }

    fn latency(&self) -> Duration {
        let slow = self.setting().fails(self.setting().weather.slow);
        let longest = if slow { Duration::from_secs(6) } else { Duration::from_millis(6) };
        self.setting().dice.span(Duration::ZERO, longest)
    }

    /// Sends a question, as the administrator if there is one whom the server knows.
    async fn ask<A: Send + 'static>(
        &self,
        call: Call,
        members: usize,
        answer_by: Timestamp,
        effect: impl Future<Output = Vec<Result<A, EngineError>>> + Send + 'static,
    ) -> Vec<Result<A, EngineError>> {
        let (server, login) = (Arc::clone(&self.server), self.login.clone());
        let effect = async move {
            if login.is_none_or(|login| server.lets_in(&login.name, &login.password)) {
                return effect.await;
            }
            let refused = EngineError::refused(Cause::Unreachable, "the server does not let us in");
            (0..members).map(|_| Err(refused.clone())).collect()
        };
        self.send(call, members, answer_by, effect).await
    }

    /// Sends a question and waits for its answer, until nobody waits any longer.
    async fn send<A: Send + 'static>(
        &self,
        call: Call,
        members: usize,
        answer_by: Timestamp,
        effect: impl Future<Output = Vec<Result<A, EngineError>>> + Send + 'static,
    ) -> Vec<Result<A, EngineError>> {
        super::restores::check_origin(self.setting(), self.origin.installation);
        let _turn = flaws::turn(self.setting()).await;
        let _calling = Calling::begin(self.setting(), call);
        let way = self.way();
        if way == Way::Refused {
            let refused = EngineError::refused(Cause::Unreachable, "the server is down");
            return (0..members).map(|_| Err(refused.clone())).collect();
        }
        let (tell, told) = oneshot::channel();
        let (there, back) = (self.latency(), self.latency());
        let wait = answer_by.since(self.clock.now()) + Duration::from_secs(1);
        let later = if way == Way::Late { wait + self.late() } else { Duration::ZERO };
        let setting = Arc::clone(self.setting());
        self.setting().executor.spawn_world(async move {
            setting.executor.sleep(later).await;
            setting.executor.sleep(there).await;
            if way == Way::Hung {
                setting.executor.sleep(Duration::from_mins(5)).await;
                return;
            }
            let answers = effect.await;
            setting.executor.sleep(back).await;
            if way == Way::Well {
                let _ = tell.send(answers);
            }
        });
        let lost = || {
            let error = EngineError::uncertain(Cause::TooLate, "the answer was lost");
            (0..members).map(|_| Err(error.clone())).collect()
        };
        match select(told, self.setting().executor.sleep(wait)).await {
            Either::Left((Ok(answers), _)) => answers,
            Either::Left((Err(oneshot::Canceled), _)) | Either::Right(_) => lost(),
        }
    }
}

impl Engine for NetworkEngine {
    const KIND: &'static str = "simulated";
    const ALIASES: &'static [&'static str] = &[];
    type Config = Config;
    type Role = Map<String, Value>;
    type Handle = NetworkHandle;
    type Draft = String;

    fn config(fields: &Map<String, Value>) -> Result<Config, FieldError> {
        Config::read(fields)
    }

    fn role(fields: &Map<String, Value>) -> Result<Self::Role, FieldError> {
        Ok(fields.clone())
    }

    fn shown(config: &Config) -> Map<String, Value> {
        config.shown()
    }

    fn open(config: Config, origin: Origin, clock: Arc<dyn Clock>) -> Result<Self, FieldError> {
        let (number, login) = (config.address.number, config.login);
        let number = if login.is_some() { number } else { flaws::address(number) };
        let server = SERVERS.with_borrow(|servers| servers.get(&number).map(Arc::clone));
        let server = server.ok_or_else(|| FieldError("no such server".into()))?;
        Ok(Self { server, login, origin, clock })
    }

    fn connections(&self) -> usize {
        4
    }

    fn revoking_at_once(&self) -> usize {
        self.connections()
    }

    fn prepare(
        &self,
        _role: &Self::Role,
        naming: &Naming<'_>,
        _passwords: &PasswordPolicy,
        chance: &dyn Chance,
    ) -> Result<(NetworkHandle, String), PrepareError> {
        let password = format!("{}{:08x}", super::judge::CANARY, chance.below(u32::MAX));
        let note = flaws::note_in_handle(self.setting(), &password);
        let verifier = verifier_of(&password);
        Ok((NetworkHandle { lease: naming.lease, note, verifier }, password))
    }

    fn derive(&self, _role: &Self::Role, _draft: &mut String) {}

    fn derives_for_long(&self, role: &Self::Role) -> bool {
        role.contains_key("derives_for_long")
    }

    fn sharing(&self, role: &Self::Role, _handle: &NetworkHandle) -> Sharing {
        Sharing { group: Some(0), one_lane: role.contains_key("one_lane") }
    }

    async fn issue(&self, asked: &[Issue<Self>]) -> Vec<Result<Secret, EngineError>> {
        let issue_by = asked.iter().map(|one| one.issue_by).min().unwrap_or_default();
        let setting = Arc::clone(self.setting());
        if asked.len() > 1 && setting.fails(setting.weather.target_fails) {
            let poisoned = EngineError::refused(Cause::Rejected, "one of them is not right");
            return asked.iter().map(|_| Err(poisoned.clone())).collect();
        }
        let begin_by = self.in_server_time(issue_by);
        let creations: Vec<_> = asked
            .iter()
            .map(|one| Creation {
                lease: one.lease,
                password: one.draft.0.clone(),
                end: self.end(one.lapses_at),
            })
            .collect();
        let is_stuck = setting.fails(setting.weather.target_fails / 2);
        let server = Arc::clone(&self.server);
        let again = flaws::sends_again(&setting)
            .then(|| create(Arc::clone(&server), self.origin, creations.clone(), begin_by, false));
        let effect = create(server, self.origin, creations, begin_by, is_stuck);
        let answers = self.ask(Call::Issue, asked.len(), issue_by, effect).await;
        match again {
            Some(again) if answers.iter().any(Result::is_err) => {
                self.ask(Call::Issue, asked.len(), issue_by.plus(ISSUE_WITHIN), again).await
            }
            Some(_) | None => flaws::issued(&setting, answers),
        }
    }

    async fn renew(&self, asked: &[Renewal<Self>]) -> Vec<Result<Renewed, EngineError>> {
        let setting = self.setting();
        let each: Vec<_> =
            asked.iter().map(|one| (one.handle.lease, self.end(one.lapses_at))).collect();
        let answer_by = asked.iter().map(|one| one.answer_by).min().unwrap_or_default();
        let begin_by = self.in_server_time(answer_by);
        let stuck = setting.fails(setting.weather.target_fails / 4).then(|| self.late());
        let effect = extend(Arc::clone(&self.server), self.origin, each, begin_by, stuck);
        self.ask(Call::Renew, asked.len(), answer_by, effect).await
    }

    async fn revoke(&self, asked: &[Revocation<Self>]) -> Vec<Result<(), EngineError>> {
        let setting = Arc::clone(self.setting());
        let in_server_time = |it: Unanswered| Unanswered {
            issue_by: self.in_server_time(it.issue_by),
            settles_at: self.in_server_time(it.settles_at),
        };
        let removal = |one: &Revocation<Self>| Removal {
            lease: one.handle.lease,
            unanswered: flaws::what_may_land(&setting, one.unanswered.map(in_server_time)),
        };
        let mut removals: Vec<_> = asked.iter().map(removal).collect();
        let answer_by = asked.iter().map(|one| one.answer_by).min().unwrap_or_default();
        flaws::before_revoke(&setting, &mut removals);
        let stuck = setting.fails(setting.weather.target_fails / 4).then(|| self.late());
        let pauses = [self.latency(), self.latency() + stuck.unwrap_or_default()];
        let by = self.in_server_time(answer_by);
        let effect = remove(Arc::clone(&self.server), self.origin, removals, by, pauses);
        let answers = self.ask(Call::Revoke, asked.len(), answer_by, effect).await;
        flaws::revoked(&setting, answers, asked.len())
    }

    async fn list(&self) -> Result<Vec<Marked<Self>>, EngineError> {
        self.marked().await
    }

    async fn identity(&self) -> Result<Identity, EngineError> {
        self.who().await
    }

    async fn lacks(&self, _role: Option<&Self::Role>) -> Result<Vec<String>, EngineError> {
        Ok(Vec::new())
    }

    fn check_account(_account: &Account) -> Result<(), FieldError> {
        Ok(())
    }

    fn administrator(config: &Config) -> Option<Administrator> {
        config.administrator()
    }

    fn with_secret(
        fields: &Map<String, Value>,
        secret: &AccountSecret,
    ) -> Result<Map<String, Value>, FieldError> {
        let password = secret.part("password").map(|password| Value::from(password.reveal()));
        let mut fields = fields.clone();
        fields.extend(password.map(|password| ("password".to_owned(), password)));
        Ok(fields)
    }

    async fn intend(
        &self,
        _account: &Account,
        chosen: Intent,
        _answer_by: Timestamp,
    ) -> Result<Intent, EngineError> {
        Ok(chosen)
    }

    async fn rotate(
        &self,
        account: &Account,
        intent: &Intent,
        answer_by: Timestamp,
    ) -> Result<Rotated, EngineError> {
        self.set(account, intent, answer_by).await
    }

    async fn tested(
        &self,
        account: &Account,
        secret: &AccountSecret,
        answer_by: Timestamp,
    ) -> Result<Tested, EngineError> {
        self.try_login(account, secret, answer_by).await
    }

    async fn drop_replaced(
        &self,
        _account: &Account,
        _intent: &Intent,
        _secret: &AccountSecret,
        _answer_by: Timestamp,
    ) -> Result<(), EngineError> {
        Ok(())
    }

    fn forgets(config: &Self::Config) -> bool {
        put_back::forgets(config)
    }

    fn cautions(_role: &Self::Role) -> Vec<String> {
        Vec::new()
    }

    fn put_back_as(&self, handle: &NetworkHandle) -> NetworkHandle {
        flaws::put_back_as(self.setting(), handle.clone())
    }

    async fn put_back(&self, asked: &[PutBack<Self>]) -> Vec<Result<(), EngineError>> {
        self.set_again(asked).await
    }

    fn choose(
        _role: &Self::Role,
        _said: &Map<String, Value>,
    ) -> Result<Option<Choice<Self>>, PrepareError> {
        Ok(None)
    }

    fn armed_as(&self, handle: &NetworkHandle, _answer_by: Timestamp) -> NetworkHandle {
        handle.clone()
    }

    async fn arm(
        &self,
        _lease: LeaseId,
        _handle: &NetworkHandle,
        _secret: &Intent,
        _answer_by: Timestamp,
    ) -> Result<Account, EngineError> {
        Err(EngineError::refused(
            Cause::Rejected,
            "these servers' credentials keep their passwords",
        ))
    }

    async fn in_use(
        &self,
        asked: &[(LeaseId, NetworkHandle)],
        answer_by: Timestamp,
    ) -> Vec<Result<InUse, EngineError>> {
        self.used(asked, answer_by).await
    }

    fn deniable(
        _role: Option<&Self::Role>,
        _handle: &NetworkHandle,
    ) -> Option<Deniable<NetworkHandle>> {
        None
    }

    async fn deny(
        &self,
        _denial: &Denial<NetworkHandle>,
        _answer_by: Timestamp,
    ) -> Result<Denied, EngineError> {
        Err(EngineError::refused(Cause::Rejected, "these servers end what they have made"))
    }

    async fn standing(
        &self,
        _reached_by: &NetworkHandle,
        _answer_by: Timestamp,
    ) -> Result<Standing, EngineError> {
        Ok(Standing::default())
    }
}
