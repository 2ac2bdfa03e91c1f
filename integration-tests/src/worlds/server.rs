//! A server that holds credentials: it has a catalog, sessions, and moods, and it keeps no promise but one. What
//! was to be created by a certain time is not begun after it.

mod forgetting;

use super::accounts::{Account, Accounts, Name, ToldEnd, verifier_of};
use super::flaws;
use super::judge::Judge;
use super::setting::Setting;
use forgetting::Run;
use leasehold_core::engine::{Mark, Origin};
use leasehold_core::ids::LeaseId;
use leasehold_core::time::Timestamp;
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Duration;

/// What kind of server it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nature {
    /// It ends credentials by itself when their time is over, as PostgreSQL does for logins.
    pub knows_ends: bool,
    /// Whoever asks sees a creation that is not yet committed, however long that takes. Otherwise it cannot be
    /// seen, and lands before it settles.
    pub shows_pending: bool,
    /// It forgets what it does not keep when it restarts, and knows no ends, as Redis does.
    pub forgets: bool,
}

/// What it does with what it is asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mood {
    /// What it should.
    #[default]
    Well,
    /// Cannot be reached.
    Down,
    /// Takes questions and never answers.
    Hanging,
}

/// One server, at one address.
#[derive(Debug)]
pub struct Server {
    /// Its address.
    pub number: u64,
    /// What kind of server it is.
    pub nature: Nature,
    /// The world it is in.
    pub setting: Arc<Setting>,
    judge: Arc<Judge>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    mood: Mood,
    accounts: Accounts,
    run: Run,
    /// Creations that have begun and are not committed.
    pending: BTreeMap<LeaseId, u32>,
    /// Accounts that somebody has begun to change and not yet committed: nobody else can.
    held: BTreeSet<LeaseId>,
    /// The accounts that people made and a process may rotate, with their passwords. No restart takes them.
    people: BTreeMap<String, String>,
    /// Leases that had an account here at some time.
    ever: HashSet<LeaseId>,
}

/// How long a stranger keeps a name that is a lease's of ours.
const STRANGER_STAYS: Duration = Duration::from_mins(30);

impl Server {
    /// A server that holds only what is not ours.
    pub fn new(number: u64, nature: Nature, setting: Arc<Setting>, judge: Arc<Judge>) -> Self {
        let accounts = Accounts::of_strangers(&setting.dice);
        let state = State { accounts, ..State::default() };
        Self { number, nature, setting, judge, state: Mutex::new(state) }
    }

    /// Changes what it does.
    pub fn set_mood(&self, mood: Mood) {
        self.state.lock().mood = mood;
        self.setting.disturb(Duration::ZERO);
        self.setting.note(None, || format!("server {} is {mood:?}", self.number));
    }

    /// What it does now.
    pub fn mood(&self) -> Mood {
        self.state.lock().mood
    }

    /// Whether it has a credential.
    pub fn has(&self, id: LeaseId) -> bool {
        self.state.lock().accounts.of(id).is_some()
    }

    /// Whether it ever had one.
    pub fn had(&self, id: LeaseId) -> bool {
        self.state.lock().ever.contains(&id)
    }

    /// Whether somebody is using one.
    pub fn has_session(&self, id: LeaseId) -> bool {
        self.state.lock().accounts.of(id).is_some_and(|account| account.sessions > 0)
    }

    /// All credentials of ours that it has.
    pub fn all(&self) -> Vec<LeaseId> {
        self.state.lock().accounts.ours().map(|(id, _)| id).collect()
    }

    /// What bears the mark of an installation's target, with its end.
    pub fn marked(&self, origin: Origin) -> Vec<(LeaseId, Option<Timestamp>)> {
        let state = self.state.lock();
        let ours = state.accounts.marked().filter(|(mark, _)| mark.origin == origin);
        let end = |ends_at: Timestamp| self.nature.knows_ends.then_some(ends_at);
        ours.map(|(mark, account)| (mark.lease, end(account.ends_at))).collect()
    }

    /// Whether there is an account of this name, and what it is marked with.
    pub fn look(&self, name: Name) -> Option<Option<Mark>> {
        self.state.lock().accounts.called(name).map(|account| account.mark)
    }

    /// Returns the first account of a stranger that is not as they left it.
    pub fn touched(&self) -> Option<Name> {
        self.state.lock().accounts.touched()
    }

    /// A stranger takes the name of a lease, if it is free, and leaves after a while.
    pub fn be_taken(self: &Arc<Self>, id: LeaseId) {
        if !self.state.lock().accounts.settle_like(id, &self.setting.dice) {
            return;
        }
        self.setting.counters.lookalikes.one();
        self.setting.note(id, || format!("a stranger takes its name at server {}", self.number));
        let server = Arc::clone(self);
        let stays = self.setting.dice.span(Duration::ZERO, STRANGER_STAYS);
        self.setting.disturb(stays);
        self.setting.executor.spawn_world(async move {
            server.setting.executor.sleep(stays).await;
            server.judge.check_strangers(&server);
            server.state.lock().accounts.leave(id);
            server.setting.note(id, || "the stranger has left".into());
        });
    }

    /// A creation has begun.
    pub fn begin(&self, id: LeaseId) {
        *self.state.lock().pending.entry(id).or_default() += 1;
    }

    /// A creation that had begun is over, whatever came of it.
    pub fn end(&self, id: LeaseId) {
        let mut state = self.state.lock();
        let left = state.pending.get_mut(&id).map_or(0, |count| {
            *count -= 1;
            *count
        });
        if left == 0 {
            state.pending.remove(&id);
        }
    }

    /// Begins to change an account; false if somebody else has, and has not committed.
    pub fn hold(&self, id: LeaseId) -> bool {
        self.state.lock().held.insert(id)
    }

    /// The change is committed, or rolled back.
    pub fn release(&self, id: LeaseId) {
        self.state.lock().held.remove(&id);
    }

    /// Whether a creation can be seen that is not over.
    pub fn is_pending(&self, id: LeaseId) -> bool {
        self.nature.shows_pending && self.state.lock().pending.contains_key(&id)
    }

    /// Creates a credential. It takes over nothing that exists.
    pub fn create(&self, mark: Mark, password: &str, end: ToldEnd) -> bool {
        let (id, ends_at) = (mark.lease, end.at);
        {
            let mut state = self.state.lock();
            let (mark, verifier) = (Some(mark), verifier_of(password));
            let account = Account { mark, verifier, ends_at, is_locked: false, sessions: 0 };
            if !state.accounts.create(account, id) {
                return false;
            }
            state.ever.insert(id);
        }
        self.judge.appeared(self, id, end);
        self.judge.has_secret(id, verifier_of(password));
        true
    }

    /// Sets the end of an account; false if there is none.
    pub fn extend(&self, id: LeaseId, end: ToldEnd) -> bool {
        let told = {
            let mut state = self.state.lock();
            let account = state.accounts.called_mut(Name::Lease(id));
            let account = account.filter(|account| !account.is_locked);
            let is_told = flaws::tells_renewals(&self.setting);
            account.map(|account| is_told.then(|| account.ends_at = end.at))
        };
        let was_there = told.is_some();
        if told.flatten().is_some() {
            self.judge.extended(self, id, end);
        }
        was_there
    }

    /// Lets nobody in any more; sessions go on.
    pub fn lock(&self, id: LeaseId) {
        let account_locked = {
            let mut state = self.state.lock();
            let account = state.accounts.called_mut(Name::Lease(id));
            account.is_some_and(|account| !std::mem::replace(&mut account.is_locked, true))
        };
        if account_locked {
            self.judge.disabled(self, id, "locked");
        }
    }

    /// Ends the sessions of an account.
    pub fn end_sessions(self: &Arc<Self>, id: LeaseId) {
        let mut state = self.state.lock();
        let account = state.accounts.called_mut(Name::Lease(id));
        let Some(account) = account.filter(|account| account.sessions > 0) else { return };
        self.setting.counters.sessions_ended.plus(account.sessions.into());
        account.sessions = 0;
        let verifier = account.verifier.clone();
        drop(state);
        self.judge.check_strangers(self);
        // A client that is thrown out comes back at once.
        let server = Arc::clone(self);
        let soon = self.setting.dice.span(Duration::ZERO, Duration::from_millis(5));
        self.setting.executor.spawn_world(async move {
            server.setting.executor.sleep(soon).await;
            server.setting.counters.reconnects.one();
            server.enter(id, &verifier);
        });
    }

    /// Drops an account; its sessions are not asked. They go on, as PostgreSQL's do.
    pub fn drop_account(&self, id: LeaseId) {
        let dropped = self.state.lock().accounts.remove(Name::Lease(id));
        if let Some(account) = dropped {
            self.judge.disabled(self, id, "dropped");
            if account.sessions > 0 {
                self.setting.broken(5, id, "a credential was dropped while it was in use");
            }
        }
    }

    /// Loses a credential by itself.
    pub fn lose(&self, id: LeaseId) {
        if self.has(id) {
            self.state.lock().accounts.remove(Name::Lease(id));
            self.judge.lost(id);
            self.setting.counters.lost_at_target.one();
            self.setting.note(id, || format!("lost by server {}", self.number));
        }
    }

    /// Sets the password of an account of people's; false if there is none.
    pub fn set_password(&self, name: &str, password: &str) -> bool {
        let mut state = self.state.lock();
        let account = state.people.get_mut(name);
        let is_there = account.map(|kept| password.clone_into(kept)).is_some();
        drop(state);
        if is_there {
            self.judge.was_set(name, password);
        }
        is_there
    }

    /// A person gives an account a password; makes it, if it is not there.
    pub fn set_by_hand(&self, name: &str, password: &str) {
        self.state.lock().people.insert(name.to_owned(), password.to_owned());
        self.judge.set_by_people(name, password);
    }

    /// Whether there is an account of people's.
    pub fn has_person(&self, name: &str) -> bool {
        self.state.lock().people.contains_key(name)
    }

    /// Whether an account of people's is let in with a password.
    pub fn lets_in(&self, name: &str, password: &str) -> bool {
        let is_let_in = self.state.lock().people.get(name).is_some_and(|kept| kept == password);
        if is_let_in {
            self.judge.was_let_in(name, password);
        }
        is_let_in
    }

    /// A process is about to ask it to set a password.
    pub fn is_to_set(&self, name: &str) {
        self.judge.is_to_be_set(name);
    }

    /// Somebody logs in. `None`: nobody answers.
    pub fn log_in(&self, id: LeaseId, password: &str) -> Option<bool> {
        self.enter(id, &verifier_of(password))
    }

    fn enter(&self, id: LeaseId, verifier: &str) -> Option<bool> {
        let mut state = self.state.lock();
        if state.mood != Mood::Well {
            return None;
        }
        let now = self.setting.now();
        let may_enter = |account: &&mut Account| {
            let is_over = self.nature.knows_ends && now >= account.ends_at;
            !account.is_locked && !is_over && account.verifier == verifier
        };
        let account = state.accounts.called_mut(Name::Lease(id));
        let is_in = account.filter(may_enter).map(|account| account.sessions += 1).is_some();
        drop(state);
        if is_in {
            self.setting.counters.logins.one();
        } else {
            self.setting.counters.logins_refused.one();
            self.judge.turned_away(self, id);
        }
        Some(is_in)
    }

    /// A session ends by itself.
    pub fn log_out(&self, id: LeaseId) {
        let mut state = self.state.lock();
        if state.accounts.of(id).is_some()
            && let Some(account) = state.accounts.called_mut(Name::Lease(id))
        {
            account.sessions = account.sessions.saturating_sub(1);
        }
    }
}
