//! Sees everything at once, which nobody in the world does, and says when a law is broken.

mod abandoned;
mod askers;
mod commits;
mod end;
mod known;
mod passwords;
mod put_back;
mod secrets;
mod unwanted;

use super::accounts::ToldEnd;
use super::clock::Reading;
use super::disk::{COMMIT_LATE_MAX, Disk, Records};
use super::executor::Whose;
use super::journal::Journal;
use super::server::Server;
use super::setting::Setting;
use known::{Known, Shown, Unrenewed};
use leasehold_core::access::token::Token;
use leasehold_core::broker::{RenewError, RenewedLease};
use leasehold_core::ids::{LeaseId, TokenAccessor};
use leasehold_core::lease::{Lease, LeaseState};
use leasehold_core::limits::RENEW_WITHIN;
use leasehold_core::seal::barrier::Barrier;
use leasehold_core::store::{Key, Revision, Value};
use leasehold_core::time::Timestamp;
use parking_lot::Mutex;
pub use secrets::CANARY;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;
pub use unwanted::{Asking, Whole};

/// In a world where nothing goes wrong, what is due is done within this: a lease that lapsed is revoked, one that is
/// revoked is settled, and a token that lapsed is ended.
const LATE_MAX: Duration = Duration::from_secs(5);

/// The record of a token that has ended goes after what lived under it: at the second look, or at the third.
const GONE_MAX: Duration = Duration::from_secs(20);

/// No lease of these worlds may live longer.
pub const LIFE_MAX: Duration = Duration::from_hours(4);

/// Compares what is stored, what is at the targets, what is recorded, and what callers were told.
#[derive(Debug)]
pub struct Judge {
    setting: Arc<Setting>,
    journal: Arc<Journal>,
    barrier: Mutex<Option<Arc<Barrier>>>,
    servers: Mutex<Vec<Arc<Server>>>,
    known: Mutex<Known>,
}

/// What makes a request the same as another: who asked, for what, and by which key.
pub type Repeat = (String, &'static str, u32);

impl Judge {
    /// Judges a world.
    pub fn new(setting: Arc<Setting>, journal: Arc<Journal>) -> Self {
        Self {
            setting,
            journal,
            barrier: Mutex::default(),
            servers: Mutex::default(),
            known: Mutex::default(),
        }
    }

    /// Reads what is sealed: the tokens that are there, and whatever is written from now on.
    pub fn read_with(&self, barrier: Arc<Barrier>, disk: &Disk) {
        *self.barrier.lock() = Some(barrier);
        for (key, _) in disk.under("token/") {
            if let Some(token) = self.opened::<Token>(disk, &key, b"token/") {
                self.token_put(token, Reading::right(&self.setting));
            }
        }
    }

    /// There is one more server.
    pub fn add_server(&self, server: &Arc<Server>) {
        self.servers.lock().push(Arc::clone(server));
    }

    /// The world ends: judge and servers hold each other.
    pub fn forget_servers(&self) {
        self.servers.lock().clear();
    }

    /// All servers there are.
    pub fn servers(&self) -> Vec<Arc<Server>> {
        self.servers.lock().clone()
    }

    /// Returns a lease as it is stored.
    pub fn lease(&self, id: LeaseId) -> Option<Lease> {
        self.known.lock().leases.get(&id).cloned()
    }

    /// How many leases are stored.
    pub fn leases(&self) -> usize {
        self.known.lock().leases.len()
    }

    /// Returns some stored leases that are held, for those who want to disturb one.
    pub fn held(&self) -> Vec<LeaseId> {
        let known = self.known.lock();
        let held = known.leases.values().filter(|lease| lease.state() == &LeaseState::Held);
        held.map(Lease::id).collect()
    }

    /// Somebody is about to ask for the end of a lease.
    pub fn unwant(&self, id: LeaseId) {
        self.known.lock().unwanted.insert(id);
    }

    /// The same for a token.
    pub fn unwant_token(&self, accessor: TokenAccessor) {
        self.known.lock().unwanted_tokens.insert(accessor);
    }

    /// The store is about to become that of a backup. What it says from now on is what it said then.
    pub fn forget(&self, records: &Records) {
        let opened = |key: &Key, (value, _): &(Value, Revision)| {
            self.barrier.lock().as_ref()?.open(key, value).ok().map(|plain| plain.to_vec())
        };
        let mut known = self.known.lock();
        let (mut leases, mut tokens) = (BTreeMap::new(), HashMap::new());
        for (key, kept) in records {
            let Some(plain) = opened(key, kept) else { continue };
            if key.0.starts_with(b"lease/") {
                let lease: Lease = serde_json::from_slice(&plain).unwrap();
                leases.insert(lease.id(), lease);
            } else if key.0.starts_with(b"token/") {
                let token: Token = serde_json::from_slice(&plain).unwrap();
                tokens.insert(token.key, token);
            }
        }
        // What was revoked since is lost as far as the backup knows, and what was issued since is on no lease.
        let is_gone = |id: &&LeaseId| !known.leases.contains_key(*id);
        let gone: Vec<_> = leases.keys().filter(is_gone).copied().collect();
        let is_new = |id: &&LeaseId| {
            let settled = Key([b"history/".as_slice(), id.bytes()].concat());
            !leases.contains_key(*id) && !records.contains_key(&settled)
        };
        let since: Vec<_> = known.ever.iter().filter(is_new).copied().collect();
        let revoking = known.leases.values().filter(|lease| lease.state() != &LeaseState::Held);
        let revoking: Vec<_> = revoking.map(Lease::id).collect();
        known.lost.extend(gone);
        known.lost.extend(revoking);
        known.forgotten.extend(since);
        known.put_backs.restored();
        self.journal.forget_revocations();
        known.repeated.clear();
        for shown in known.shown.values_mut() {
            shown.repeat = None;
        }
        (known.leases, known.tokens) = (leases, tokens);
        self.doubt_passwords(&mut known, records);
    }

    /// A target has lost a credential by itself.
    pub fn lost(&self, id: LeaseId) {
        self.known.lock().lost.insert(id);
    }

    /// How late the last lease of a server was settled at most, in milliseconds.
    pub fn late_most(&self, server: u64) -> u64 {
        self.known.lock().late_most.get(&server).copied().unwrap_or(0)
    }

    /// A credential has appeared at a server.
    pub fn appeared(&self, server: &Server, id: LeaseId, end: ToldEnd) {
        self.setting.note(id, || format!("appears at server {}", server.number));
        self.check_strangers(server);
        let mut known = self.known.lock();
        known.told.insert(id, end.at);
        if known.forgotten.contains(&id) || self.appears_too_late(&mut known, id) {
            return;
        }
        let Some(lease) = known.leases.get(&id) else {
            self.setting.broken(1, id, "a credential appeared that no lease names");
            return;
        };
        self.check_end(&known, lease, end);
        if !self.journal.has_asked(&lease.owner().request) {
            self.setting.broken(8, id, "a credential appeared before its request was recorded");
        }
    }

    /// A server was told a new end.
    pub fn extended(&self, server: &Server, id: LeaseId, end: ToldEnd) {
        self.setting
            .note(id, || format!("server {} knows it until {}", server.number, told(end.at)));
        self.check_strangers(server);
        let mut known = self.known.lock();
        known.told.insert(id, end.at);
        // What was left behind may be extended by what was asked before.
        if known.forgotten.contains(&id) || known.abandoned.was_gone(id) {
            return;
        }
        let Some(lease) = known.leases.get(&id) else {
            self.setting.broken(1, id, "a credential was extended that no lease names");
            return;
        };
        self.check_end(&known, lease, end);
        let mut requests = known.renewed_by.get(&id).into_iter().flatten();
        if !requests.any(|request| self.journal.has_asked(request)) {
            self.setting.broken(8, id, "a credential was extended before its request was recorded");
        }
        let is_held = lease.state() == &LeaseState::Held;
        known.ends_by_clock(id, end);
        // Terms are whole seconds, and an answer that comes late seems to promise as much more.
        // What a process had asked before it died may come after what the next one asks (decision 0006).
        let may_be_told = known.may_be_told.get(&id);
        let may_be_late = may_be_told.is_some_and(|until| self.setting.now() <= *until);
        let is_open = known.is_renewing(id) || may_be_late;
        let at = end.at.plus(Duration::from_secs(15));
        let is_promised = known.promised.get(&id).is_some_and(|until| at < *until);
        if is_promised && !is_open && is_held && !self.setting.restores {
            let what = "a server was told an end before what its holder was told";
            self.setting.broken(2, id, what);
        }
    }

    /// By the true time, which is the target's, no credential lives longer than its lease could at most.
    fn check_end(&self, known: &Known, lease: &Lease, end: ToldEnd) {
        let life = lease.term().ceiling().since(lease.issued_at());
        let Some(stored) = known.stored.get(&lease.id()) else { return };
        // A process that began by a wall clock that was wrong, and died before it was set right, has left times that
        // nobody can tell from right ones.
        let off = ahead(stored.off_ms - end.off_ms);
        if end.at > stored.at.plus(life).plus(off) {
            self.setting.broken(4, lease.id(), "a target was told an end past the ceiling");
        }
    }

    /// A server was made to drop a credential, or to let nobody use it.
    pub fn disabled(&self, server: &Server, id: LeaseId, how: &str) {
        self.setting.note(id, || format!("{how} at server {}", server.number));
        self.check_strangers(server);
        let known = self.known.lock();
        match known.leases.get(&id).map(Lease::state) {
            // What was asked for before a restore may come after it.
            Some(LeaseState::Held) if !known.lost.contains(&id) => {
                self.setting.broken(2, id, "a credential was taken while its lease was held");
            }
            // One without a lease was dropped for the second time.
            Some(LeaseState::Held | LeaseState::Revoking(_)) | None => {}
        }
    }

    /// A caller is shown a secret.
    pub fn shown(&self, id: LeaseId, request: &str, repeat: Option<&Repeat>, ttl: Duration) {
        self.setting.note(id, || format!("shown to {request}"));
        let mut known = self.known.lock();
        if !known.ever.contains(&id) {
            self.setting.broken(1, id, "a secret was shown that was never on a lease");
        }
        let at = self.setting.now();
        let asked_at = known.asked_at.get(request).copied().unwrap_or(at);
        match known.shown.get(&id) {
            Some(before) if !before.may_be_repeated(repeat, asked_at) => {
                let why =
                    format!("a secret was shown to {} and again to {request}", before.request);
                self.setting.broken(3, id, why);
            }
            Some(_) => self.setting.counters.repeated.one(),
            None => {
                let shown = Shown { request: request.to_owned(), repeat: repeat.cloned(), at };
                known.shown.insert(id, shown);
            }
        }
        let is_held = |known: &Known, id: &LeaseId| {
            known.leases.get(id).is_some_and(|lease| lease.state() == &LeaseState::Held)
        };
        if repeat.is_some() && is_held(&known, &id) {
            // Of two leases under one key only one is held.
            let others = known
                .shown
                .iter()
                .filter(|(other, it)| **other != id && it.repeat.as_ref() == repeat);
            let held = others.filter(|(other, _)| is_held(&known, other));
            if let Some((other, _)) = held.min_by_key(|(other, _)| **other) {
                let why = format!("a repetition was shown a second lease beside {other}");
                self.setting.broken(3, id, why);
            }
        }
        known.issuing.remove(&id);
        self.check_told(&known, id, at.plus(ttl));
        // A repetition says what is stored, and promises no more than was promised.
        known.promise(id, at.plus(ttl));
        if !self.journal.has_answered(request) {
            self.setting.broken(8, id, "a secret was shown before the answer was recorded");
        }
    }

    /// Somebody is about to make a request that may be repeated.
    pub fn asked_with(&self, repeat: &Repeat, request: &str) {
        let mut known = self.known.lock();
        known.asked_at.insert(request.to_owned(), self.setting.now());
        *known.repeated.entry(repeat.clone()).or_default() += 1;
    }

    /// A holder has asked the process that runs now for a new term.
    pub fn asks_for_more(&self, id: LeaseId, request: &str) {
        let mut known = self.known.lock();
        known.renewed_by.entry(id).or_default().push(request.to_owned());
        known.renewal_begins(id, self.setting.executor.running(), self.setting.now());
    }

    /// A holder is told what became of a request for a new term, which is the new term if there is one.
    pub fn renewal_is_answered(
        &self,
        id: LeaseId,
        request: &str,
        renewed: Result<RenewedLease, RenewError>,
    ) -> Result<Duration, RenewError> {
        match &renewed {
            Ok(renewed) => {
                self.granted(request);
                self.prolonged(id, renewed.ttl);
            }
            Err(error) => self.not_prolonged(id, Unrenewed::after(error)),
        }
        renewed.map(|renewed| renewed.ttl)
    }

    /// A holder is told that the credential lives for so long.
    fn prolonged(&self, id: LeaseId, ttl: Duration) {
        let mut known = self.known.lock();
        let others = known.renewal_over(id, self.setting.executor.running());
        let until = self.setting.now().plus(ttl);
        // Of renewals that meet nobody knows which came last: what was promised is the shortest.
        if others == 0 {
            if !known.met.contains(&id) {
                self.check_told(&known, id, until);
            }
            known.promised.remove(&id);
            known.promise(id, until);
            // One that nobody heard of may have made it shorter by the time that this is told.
            if known.met.contains(&id) {
                known.promise_what_is_stored(id);
            }
        } else if let Some(promised) = known.promised.get_mut(&id) {
            *promised = until.min(*promised);
        }
    }

    /// A server that ends credentials by itself was told an end that is no earlier than what the holder is told now.
    fn check_told(&self, known: &Known, id: LeaseId, until: Timestamp) {
        let Some(told) = known.told.get(&id) else { return };
        // An answer that comes late seems to promise more than was stored.
        let Some(stored) = known.stored_end(id) else { return };
        let knows_ends = |server: &Arc<Server>| server.nature.knows_ends && server.has(id);
        let is_early = until.min(stored) > told.plus(Duration::from_secs(15));
        if is_early
            && !self.setting.restores
            && !known.lost.contains(&id)
            && self.servers.lock().iter().any(knows_ends)
        {
            let what = "a holder was told an end after what the server was told";
            self.setting.broken(2, id, what);
        }
    }

    /// A holder is told that the credential was not renewed.
    fn not_prolonged(&self, id: LeaseId, left: Unrenewed) {
        let mut known = self.known.lock();
        known.renewal_over(id, self.setting.executor.running());
        match left {
            // What the target has lost is marked after the renewal was stored, and that may be refused.
            Unrenewed::Untouched if known.lost.contains(&id) => known.promise_what_is_stored(id),
            Unrenewed::Untouched => {}
            Unrenewed::HalfDone => known.promise_what_is_stored(id),
            Unrenewed::Unknown => known.is_unheard(id, self.setting.now().plus(COMMIT_LATE_MAX)),
        }
    }

    /// A process dies, and nobody hears any more of the renewals that it was asked for.
    pub fn process_dies(&self, whose: Whose) {
        let now = self.setting.now();
        let (stored_until, told_until) = (now.plus(COMMIT_LATE_MAX), now.plus(RENEW_WITHIN));
        self.known.lock().renewals_die(whose, stored_until, told_until);
    }

    /// The holder of a credential was refused.
    pub fn turned_away(&self, server: &Server, id: LeaseId) {
        let known = self.known.lock();
        let now = self.setting.now();
        let is_held = known.leases.get(&id).is_some_and(|lease| lease.is_held(now));
        // Renewals that meet may leave the server with the shorter of two ends, and nobody knows which is promised.
        let is_told = known.told.get(&id).is_some_and(|until| now < *until);
        let is_open = known.is_renewing(id);
        let is_promised = known.promised.get(&id).is_some_and(|until| now < *until);
        let is_promised = is_promised && (is_told || !is_open);
        if is_held && is_promised && !known.lost.contains(&id) {
            let why = format!("server {} refused a credential whose lease is held", server.number);
            self.setting.broken(2, id, why);
        }
    }

    /// What is not ours is as it was left (law 9).
    pub fn check_strangers(&self, server: &Server) {
        if let Some(name) = server.touched() {
            let what = format!("server {}: what is not ours was touched: {name:?}", server.number);
            self.setting.broken(9, None, what);
        }
    }
}

/// How far one clock was ahead of another, if it was.
fn ahead(ms: i64) -> Duration {
    Duration::from_millis(u64::try_from(ms).unwrap_or(0))
}

/// A point in time, as the story tells it.
fn told(at: Timestamp) -> String {
    super::setting::clock(Setting::machine_time(at))
}
