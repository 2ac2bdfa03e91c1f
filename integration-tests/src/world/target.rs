//! A target that answers, refuses, hangs, loses answers and applies late, as it is told.

mod accounts;
mod denying;
mod forgetting;
mod looking;
mod meddling;
mod mood;
mod passing;
mod proofs;

pub use accounts::{ADMINISTRATOR, FIRST_PASSWORD};
pub use mood::Mood;
pub use proofs::Twist;

use accounts::Accounts;
use leasehold_core::access::password::PasswordPolicy;
use leasehold_core::chance::Chance;
use leasehold_core::engine::denial::{Deniable, Denial, Denied, Standing};
use leasehold_core::engine::naming::Naming;
use leasehold_core::engine::own_end::Choice;
use leasehold_core::engine::rotation::{
    Account, AccountSecret, Administrator, Intent, Rotated, Tested,
};
use leasehold_core::engine::{
    Cause, Engine, EngineError, FieldError, Identity, Issue, Marked, Origin, PrepareError, PutBack,
    Renewal, Renewed, Revocation, Sharing,
};
use leasehold_core::ids::LeaseId;
use leasehold_core::secret::{Field, Secret, SecretText};
use leasehold_core::time::{Clock, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

/// What one target holds and has seen.
#[derive(Debug, Default)]
pub struct SimulatedTarget {
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    mood: Mood,
    credentials: BTreeMap<LeaseId, Option<Timestamp>>,
    /// Whose they are; one that was planted is everybody's.
    marks: BTreeMap<LeaseId, Origin>,
    /// What somebody else has let them do, and those that somebody else has locked.
    rights: BTreeMap<LeaseId, Vec<String>>,
    locked: BTreeSet<LeaseId>,
    /// Whether it keeps ends, or only its owner knows them.
    endless: bool,
    asked: usize,
    batches: Vec<usize>,
    at_work: usize,
    at_work_most: usize,
    clock_ahead: Duration,
    clock_behind: Duration,
    accounts: Accounts,
    turned_down: Option<String>,
    /// Which run of it this is, and whether a restart forgets credentials.
    run: u32,
    /// Passwords that lent credentials were given for the proof of their deaths, and what goes wrong with that.
    armed: BTreeMap<LeaseId, String>,
    twist: Twist,
    forgetful: bool,
    /// What is not taken back once it was forgotten.
    never_taken_back: Option<LeaseId>,
    uses: looking::Uses,
    /// What refuses credentials that live on.
    denying: denying::Denying,
}

static TARGETS: LazyLock<Mutex<HashMap<u64, Arc<SimulatedTarget>>>> = LazyLock::new(Mutex::default);

impl SimulatedTarget {
    /// A fresh target, with the configuration that leads to it.
    pub fn named(_name: &str) -> (Arc<Self>, Map<String, Value>) {
        let mut targets = TARGETS.lock().unwrap();
        let number = u64::try_from(targets.len()).unwrap();
        let target = Arc::new(Self::default());
        targets.insert(number, Arc::clone(&target));
        let url = Value::from(format!("simulated://{number}"));
        let fields = [
            ("number", number.into()),
            ("connection_url", url),
            ("username", ADMINISTRATOR.into()),
            ("password", FIRST_PASSWORD.into()),
        ];
        (target, fields.map(|(name, value)| (name.to_owned(), value)).into_iter().collect())
    }

    /// Changes what it does.
    pub fn mood(&self, mood: Mood) {
        self.seen.lock().unwrap().mood = mood;
    }

    /// Sets its clock ahead.
    pub fn set_clock_ahead(&self, by: Duration) {
        self.seen.lock().unwrap().clock_ahead = by;
    }

    /// Sets its clock behind.
    pub fn set_clock_behind(&self, by: Duration) {
        self.seen.lock().unwrap().clock_behind = by;
    }

    /// What it holds.
    pub fn credentials(&self) -> BTreeMap<LeaseId, Option<Timestamp>> {
        self.seen.lock().unwrap().credentials.clone()
    }

    /// How often it was asked anything.
    pub fn asked_times(&self) -> usize {
        self.seen.lock().unwrap().asked
    }

    /// How many were asked for in each batch.
    pub fn batches(&self) -> Vec<usize> {
        self.seen.lock().unwrap().batches.clone()
    }

    /// The most batches it was at work on at once.
    pub fn at_work_most(&self) -> usize {
        self.seen.lock().unwrap().at_work_most
    }
}

/// The engine for simulated targets.
#[derive(Debug)]
pub struct SimulatedEngine {
    target: Arc<SimulatedTarget>,
    config: SimulatedConfig,
    origin: Origin,
    clock: Arc<dyn Clock>,
}

/// Which target, and what its administrator logs in with.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SimulatedConfig {
    number: u64,
    username: String,
    password: String,
    /// As many revocations at once as connections, unless it says otherwise.
    revoking_at_once: Option<usize>,
}

impl Engine for SimulatedEngine {
    const KIND: &'static str = "simulated";
    const ALIASES: &'static [&'static str] = &[];
    type Config = SimulatedConfig;
    type Role = Map<String, Value>;
    type Handle = LeaseId;
    type Draft = String;

    fn config(fields: &Map<String, Value>) -> Result<SimulatedConfig, FieldError> {
        let number = fields.get("number").and_then(Value::as_u64);
        let number = number.ok_or_else(|| FieldError("number is missing".into()))?;
        let password = fields.get("password").and_then(Value::as_str).unwrap_or(FIRST_PASSWORD);
        let revoking = fields.get("revoking_at_once").and_then(Value::as_u64);
        let revoking_at_once = revoking.and_then(|number| usize::try_from(number).ok());
        let username = fields.get("username").and_then(Value::as_str).unwrap_or(ADMINISTRATOR);
        let (username, password) = (username.to_owned(), password.to_owned());
        Ok(SimulatedConfig { number, username, password, revoking_at_once })
    }

    fn role(fields: &Map<String, Value>) -> Result<Self::Role, FieldError> {
        Ok(fields.clone())
    }

    fn shown(config: &SimulatedConfig) -> Map<String, Value> {
        let url = Value::from(format!("simulated://{}", config.number));
        let username = Value::from(config.username.as_str());
        Map::from_iter([("connection_url".into(), url), ("username".into(), username)])
    }

    fn open(
        config: SimulatedConfig,
        origin: Origin,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, FieldError> {
        let target = TARGETS.lock().unwrap().get(&config.number).map(Arc::clone);
        target
            .map(|target| Self { target, config, origin, clock })
            .ok_or_else(|| FieldError("no such target".into()))
    }

    fn connections(&self) -> usize {
        4
    }

    fn revoking_at_once(&self) -> usize {
        self.config.revoking_at_once.unwrap_or(self.connections())
    }

    fn prepare(
        &self,
        _role: &Self::Role,
        naming: &Naming<'_>,
        _passwords: &PasswordPolicy,
        _chance: &dyn Chance,
    ) -> Result<(LeaseId, String), PrepareError> {
        Ok((naming.lease, secret_of(naming.lease)))
    }

    fn derive(&self, _role: &Self::Role, _draft: &mut String) {}

    fn derives_for_long(&self, _role: &Self::Role) -> bool {
        true
    }

    fn sharing(&self, role: &Self::Role, _handle: &LeaseId) -> Sharing {
        Sharing { group: Some(0), one_lane: role.contains_key("one_lane") }
    }

    async fn issue(&self, asked: &[Issue<Self>]) -> Vec<Result<Secret, EngineError>> {
        let each: Vec<_> = asked
            .iter()
            .map(|issue| (issue.handle, issue.draft.0.clone(), issue.lapses_at))
            .collect();
        let is_kept = asked.iter().all(|issue| !passing::is_passing(&issue.role));
        let names_them = asked.iter().all(|issue| issue.role.contains_key("names_them"));
        let origin = self.origin;
        if let Err(denied) = self.admitted() {
            return asked.iter().map(|_| Err(denied.clone())).collect();
        }
        self.target
            .asked(asked.len(), move |seen| {
                let issue = |(lease, password, lapses_at): &(LeaseId, String, Timestamp)| {
                    if is_kept {
                        seen.credentials.insert(*lease, Some(*lapses_at));
                        seen.marks.insert(*lease, origin);
                    }
                    let password = Field::Hidden(SecretText::new(password.clone()));
                    let secret = Secret::new(vec![("password", password)]);
                    let own_name = format!("KEY{}", seen.credentials.len());
                    if names_them { secret.known_as(own_name) } else { secret }
                };
                each.iter().map(issue).collect()
            })
            .await
    }

    async fn renew(&self, asked: &[Renewal<Self>]) -> Vec<Result<Renewed, EngineError>> {
        if let Err(denied) = self.admitted() {
            return asked.iter().map(|_| Err(denied.clone())).collect();
        }
        let each: Vec<_> =
            asked.iter().map(|renewal| (renewal.handle, renewal.lapses_at)).collect();
        self.target
            .asked(asked.len(), move |seen| {
                let renew = |(lease, lapses_at): &(LeaseId, Timestamp)| match seen
                    .credentials
                    .get_mut(lease)
                {
                    Some(end) => {
                        *end = Some(*lapses_at);
                        Renewed::Extended
                    }
                    None => Renewed::Gone,
                };
                each.iter().map(renew).collect()
            })
            .await
    }

    async fn revoke(&self, asked: &[Revocation<Self>]) -> Vec<Result<(), EngineError>> {
        if let Err(denied) = self.admitted() {
            return asked.iter().map(|_| Err(denied.clone())).collect();
        }
        if self.target.seen.lock().unwrap().mood == Mood::RefusingRevocations {
            let refused = || Err(EngineError::refused(Cause::Rejected, "nothing is removed"));
            return asked.iter().map(|_| refused()).collect();
        }
        let now = self.clock.now();
        if let Some(lives) = asked.iter().find_map(|one| passing::lives(one, now)) {
            return asked.iter().map(|_| Err(lives.clone())).collect();
        }
        let may_land = |revocation: &Revocation<Self>| {
            revocation.unanswered.is_some_and(|unanswered| now < unanswered.settles_at)
        };
        let each: Vec<_> = asked.iter().map(|one| (one.handle, may_land(one))).collect();
        let removed = self.target.asked(asked.len(), move |seen| {
            // What is there is removed for good; what is not may still land.
            each.iter().map(|(lease, may_land)| seen.remove(*lease) || !may_land).collect()
        });
        let counts = |removed: bool| {
            let error = || EngineError::uncertain(Cause::Contended, "its issue may still land");
            removed.then_some(()).ok_or_else(error)
        };
        removed.await.into_iter().map(|answer| answer.and_then(counts)).collect()
    }

    async fn list(&self) -> Result<Vec<Marked<Self>>, EngineError> {
        self.admitted()?;
        let mut seen = self.target.seen.lock().unwrap();
        seen.asked += 1;
        if seen.mood == Mood::Down {
            return Err(EngineError::refused(Cause::Unreachable, "the target is down"));
        }
        let is_ours = |lease| seen.marks.get(lease).is_none_or(|mark| *mark == self.origin);
        let ours = seen.credentials.iter().filter(|(lease, _)| is_ours(lease));
        let end = |lapses_at: &Option<Timestamp>| lapses_at.filter(|_| !seen.endless);
        Ok(ours
            .map(|(lease, at)| Marked {
                lease: *lease,
                handle: *lease,
                lapses_at: end(at),
                may_log_in: !seen.locked.contains(lease),
                rights: seen.rights.get(lease).cloned().unwrap_or_default(),
                everywhere: true,
            })
            .collect())
    }

    async fn identity(&self) -> Result<Identity, EngineError> {
        self.admitted()?;
        let mood = {
            let mut seen = self.target.seen.lock().unwrap();
            seen.asked += 1;
            seen.mood
        };
        if let Mood::Slow(by) = mood {
            tokio::time::sleep(by).await;
        }
        if mood == Mood::Down {
            return Err(EngineError::refused(Cause::Unreachable, "the target is down"));
        }
        let server = Some(format!("{:p}", Arc::as_ptr(&self.target)));
        let seen = self.target.seen.lock().unwrap();
        Ok(Identity {
            server,
            clock: self.clock.wall().plus(seen.clock_ahead).minus(seen.clock_behind),
            version: "simulated".into(),
            run: seen.forgetful.then(|| seen.run.to_string()),
        })
    }

    async fn lacks(&self, _role: Option<&Self::Role>) -> Result<Vec<String>, EngineError> {
        self.target.seen.lock().unwrap().asked += 1;
        Ok(Vec::new())
    }

    fn check_account(_account: &Account) -> Result<(), FieldError> {
        Ok(())
    }

    fn administrator(config: &SimulatedConfig) -> Option<Administrator> {
        let password = SecretText::new(config.password.clone());
        let secret = AccountSecret::of_password(password);
        let at = config.number.to_string();
        Some(Administrator { name: ADMINISTRATOR.to_owned(), at, secret })
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
        _answer_by: Timestamp,
    ) -> Result<Rotated, EngineError> {
        self.set(account, intent).await
    }

    async fn tested(
        &self,
        account: &Account,
        secret: &AccountSecret,
        _answer_by: Timestamp,
    ) -> Result<Tested, EngineError> {
        self.try_login(account, secret).await
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

    fn forgets(config: &SimulatedConfig) -> bool {
        let targets = TARGETS.lock().unwrap();
        targets.get(&config.number).is_some_and(|target| target.seen.lock().unwrap().forgetful)
    }

    fn cautions(_role: &Self::Role) -> Vec<String> {
        Vec::new()
    }

    fn put_back_as(&self, handle: &LeaseId) -> LeaseId {
        *handle
    }

    async fn put_back(&self, asked: &[PutBack<Self>]) -> Vec<Result<(), EngineError>> {
        self.set_again(asked).await
    }

    fn choose(
        role: &Self::Role,
        said: &Map<String, Value>,
    ) -> Result<Option<Choice<Self>>, PrepareError> {
        Ok(passing::choose(role, said))
    }

    fn armed_as(&self, handle: &LeaseId, _answer_by: Timestamp) -> LeaseId {
        *handle
    }

    async fn arm(
        &self,
        lease: LeaseId,
        _handle: &LeaseId,
        secret: &Intent,
        _answer_by: Timestamp,
    ) -> Result<Account, EngineError> {
        self.arm_lent(lease, secret).await
    }

    async fn in_use(&self, asked: &[(LeaseId, LeaseId)], _: Timestamp) -> Vec<looking::Told> {
        self.tell_use(asked).await
    }

    fn deniable(role: Option<&Self::Role>, handle: &LeaseId) -> Option<Deniable<LeaseId>> {
        denying::deniable(role?, *handle)
    }

    async fn deny(&self, denial: &Denial<LeaseId>, _by: Timestamp) -> Result<Denied, EngineError> {
        self.write_denial(denial).await
    }

    async fn standing(&self, _by: &LeaseId, _at: Timestamp) -> Result<Standing, EngineError> {
        self.read_denial()
    }
}

/// The password of a credential.
fn secret_of(lease: LeaseId) -> String {
    format!("canary-secret-{lease}")
}
