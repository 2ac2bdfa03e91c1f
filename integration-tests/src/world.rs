//! A world in which the real `core` runs: simulated clock, store, audit and targets, in one thread.
//!
//! Time is tokio's paused time: it moves on only when nothing else can, so a day passes in
//! milliseconds and every run of a test is the same.

pub mod clock;
pub mod store;
pub mod target;

use crate::world::clock::{WorldClock, WorldTasks};
use crate::world::store::MemoryStore;
use crate::world::target::{SimulatedEngine, SimulatedTarget};
use futures_util::StreamExt;
use futures_util::future::{LocalBoxFuture, join};
use leasehold_core::audit::{Asked, Audit, AuditError, Operation};
use leasehold_core::backup::{BackupKey, Decoder};
use leasehold_core::broker::{
    Broker, IssueError, Issued, MountWrite, Ports, Request, RoleWrite, TargetWrite, TokenRequest,
    found,
};
use leasehold_core::chance::Chance;
use leasehold_core::engine::erased::KindOf;
use leasehold_core::limits::Limits;
use leasehold_core::restore::{FromBackup, goes_into_a_copy};
use leasehold_core::seal::{self, RootKey};
use leasehold_core::secret::SecretText;
use leasehold_core::store::{Batch, Key, Store};
use leasehold_core::tasks::Pending;
use leasehold_core::time::Clock;
use serde_json::{Map, Value, json};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The token that may do everything.
pub const ROOT: &str = "root";

/// One installation in its world.
#[derive(Debug)]
pub struct World {
    /// What is durable.
    pub store: Arc<MemoryStore>,
    /// What is recorded.
    pub audit: Arc<MemoryAudit>,
    /// The time.
    pub clock: Arc<WorldClock>,
    chance: Arc<Dice>,
    process: Mutex<Process>,
}

/// One process of the installation, with all that it is doing; it dies when this is dropped.
#[derive(Debug)]
struct Process {
    broker: Arc<Broker>,
    sweeper: tokio::task::AbortHandle,
    tasks: Arc<WorldTasks>,
}

/// Keeps every line, or refuses.
#[derive(Debug, Default)]
pub struct MemoryAudit {
    lines: Mutex<Vec<String>>,
    refusing: AtomicBool,
    refusing_answers: AtomicBool,
    hanging: AtomicBool,
    delay: Mutex<Duration>,
}

/// A small generator with a fixed seed (xorshift64*).
#[derive(Debug)]
pub struct Dice(AtomicU64);

impl Chance for Dice {
    fn fill(&self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            let mut drawn = self.0.load(Ordering::Relaxed);
            drawn ^= drawn >> 12;
            drawn ^= drawn << 25;
            drawn ^= drawn >> 27;
            self.0.store(drawn, Ordering::Relaxed);
            let drawn = drawn.wrapping_mul(0x2545_f491_4f6c_dd1d).to_le_bytes();
            chunk.copy_from_slice(&drawn[..chunk.len()]);
        }
    }
}

impl Audit for MemoryAudit {
    fn name(&self) -> &'static str {
        "memory"
    }

    fn record(&self, line: String) -> Pending<'_, Result<(), AuditError>> {
        if self.hanging.load(Ordering::Relaxed) {
            return Box::pin(std::future::pending());
        }
        let is_answer = line.contains(r#""type":"response""#);
        let refuses = self.refusing.load(Ordering::Relaxed)
            || (is_answer && self.refusing_answers.load(Ordering::Relaxed));
        if !refuses {
            self.lines.lock().unwrap().push(line);
        }
        let error = AuditError { device: "memory".into(), reason: "told to refuse".into() };
        let delay = *self.delay.lock().unwrap();
        Box::pin(async move {
            if !delay.is_zero() {
                tokio::time::sleep(delay).await;
            }
            if refuses { Err(error) } else { Ok(()) }
        })
    }
}

impl MemoryAudit {
    /// Refuses everything, or not.
    pub fn refuse(&self, refusing: bool) {
        self.refusing.store(refusing, Ordering::Relaxed);
    }

    /// Refuses answers, or not.
    pub fn refuse_answers(&self, refusing: bool) {
        self.refusing_answers.store(refusing, Ordering::Relaxed);
    }

    /// Never answers again, or does.
    pub fn hang(&self, hanging: bool) {
        self.hanging.store(hanging, Ordering::Relaxed);
    }

    /// Takes this long for each record from now on.
    pub fn delay(&self, delay: Duration) {
        *self.delay.lock().unwrap() = delay;
    }

    /// What was recorded.
    pub fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap().clone()
    }
}

impl World {
    /// A world with one mount `database/`.
    pub async fn new() -> Self {
        let store = Arc::new(MemoryStore::default());
        let chance = Arc::new(Dice(AtomicU64::new(0x9e37_79b9_7f4a_7c15)));
        let clock = Arc::new(WorldClock::starting());
        let audit = Arc::new(MemoryAudit::default());
        let (ports, _) = ports(&store, &chance, &clock, &audit);
        found(&ports, &root_key(), Some(SecretText::new(ROOT.into())), "token").await.unwrap();
        let process = Process::boot(&store, &chance, &clock, &audit).await;
        let mount = MountWrite {
            path: "database".into(),
            kind: "database".into(),
            ..MountWrite::default()
        };
        process.broker.enable_mount(&request(ROOT), mount).await.unwrap();
        Self { store, audit, clock, chance, process: Mutex::new(process) }
    }

    /// The process as it is now.
    pub fn broker(&self) -> Arc<Broker> {
        Arc::clone(&self.process.lock().unwrap().broker)
    }

    /// The process dies and another one starts on the same store. What the dead one had asked of a target may
    /// still take effect.
    pub async fn restart(&self) {
        self.process.lock().unwrap().die();
        self.clock.read_wall();
        let process = Process::boot(&self.store, &self.chance, &self.clock, &self.audit).await;
        *self.process.lock().unwrap() = process;
    }

    /// Takes a backup, as an operator does.
    pub async fn back_up(&self) -> Vec<u8> {
        self.back_up_as(ROOT).await
    }

    /// The same by another token.
    pub async fn back_up_as(&self, token: &str) -> Vec<u8> {
        let backup = self.broker().back_up(&request(token)).await.unwrap();
        let parts: Vec<_> = backup.parts.collect().await;
        parts.into_iter().flat_map(Result::unwrap).collect()
    }

    /// The same world with a process on the store of a backup. This one must have ended, and its store is lost.
    pub async fn restored(&self, backup: &[u8]) -> Self {
        self.stop_sweeping();
        let (from, store) = self.read_backup(backup, |_| true).await;
        from.prepare(&root_key(), &Limits::default()).await.unwrap();
        self.clock.read_wall();
        self.beside(store).await
    }

    /// A copy of the backup in the same world, beside this one, with its root token.
    pub async fn copied(&self, backup: &[u8]) -> (Self, String) {
        let (from, store) = self.read_backup(backup, goes_into_a_copy).await;
        let copy = from.prepare_copy(&root_key()).await.unwrap();
        (self.beside(store).await, copy.root.reveal().to_owned())
    }

    async fn read_backup(
        &self,
        backup: &[u8],
        goes_in: impl Fn(&Key) -> bool,
    ) -> (FromBackup, Arc<MemoryStore>) {
        let mut decoder = Decoder::new(Some(BackupKey::of(&root_key())));
        let mut batch = Batch::default();
        batch
            .puts
            .extend(decoder.feed(backup).unwrap().into_iter().filter(|(key, _)| goes_in(key)));
        let (header, _) = decoder.end().unwrap();
        let store = Arc::new(MemoryStore::default());
        store.commit(batch).await.unwrap();
        let from = FromBackup {
            store: Arc::clone(&store) as _,
            chance: Arc::clone(&self.chance) as _,
            taken_at: header.taken_at,
            wall: self.clock.wall(),
        };
        (from, store)
    }

    /// Another process in this world, on this store or on another one.
    pub async fn beside(&self, store: Arc<MemoryStore>) -> Self {
        let (clock, audit) = (Arc::clone(&self.clock), Arc::new(MemoryAudit::default()));
        let chance = Arc::clone(&self.chance);
        let process = Process::boot(&store, &chance, &clock, &audit).await;
        Self { store, audit, clock, chance, process: Mutex::new(process) }
    }

    /// The sweep stops, as in a process that hangs.
    pub fn stop_sweeping(&self) {
        self.process.lock().unwrap().sweeper.abort();
    }

    /// Configures a target and one role of the same name for it.
    pub async fn target(&self, name: &str, ttl: &str, max_ttl: &str) -> Arc<SimulatedTarget> {
        let (target, fields) = SimulatedTarget::named(name);
        self.configure(name, fields).await;
        self.role(name, name, ttl, max_ttl).await;
        target
    }

    /// Configures a target, by what an operator writes for its engine.
    pub async fn configure(&self, name: &str, fields: Map<String, Value>) {
        let write = TargetWrite {
            mount: "database/".into(),
            name: name.into(),
            plugin_name: Some("simulated".into()),
            allowed_roles: Some(vec!["*".into()]),
            fields,
            ..TargetWrite::default()
        };
        self.broker().write_target(&request(ROOT), write).await.unwrap();
    }

    /// Writes a role.
    pub async fn role(&self, name: &str, target: &str, ttl: &str, max_ttl: &str) {
        let span = |text: &str| Some(leasehold_core::duration::parse(text).unwrap());
        let write = RoleWrite {
            mount: "database/".into(),
            name: name.into(),
            target: Some(target.into()),
            default_ttl: span(ttl),
            max_ttl: span(max_ttl),
            ..RoleWrite::default()
        };
        self.broker().write_role(&request(ROOT), write).await.unwrap();
    }

    /// The leases of a role do not end with the tokens that they are lent to.
    pub async fn orphan_leases(&self, role: &str) {
        let (mount, name) = ("database/".to_owned(), role.to_owned());
        let write = RoleWrite { mount, name, orphan_leases: Some(true), ..RoleWrite::default() };
        self.broker().write_role(&request(ROOT), write).await.unwrap();
    }

    /// The death of a role's credentials is to be proven.
    pub async fn prove_deaths(&self, role: &str) {
        let (mount, name) = ("database/".to_owned(), role.to_owned());
        let write = RoleWrite { mount, name, proof_of_death: Some(true), ..RoleWrite::default() };
        self.broker().write_role(&request(ROOT), write).await.unwrap();
    }

    /// Issues as root.
    pub async fn issue(&self, role: &str) -> Result<Issued, IssueError> {
        self.issue_as(ROOT, role).await
    }

    /// Issues as the holder of a token.
    pub async fn issue_as(&self, token: &str, role: &str) -> Result<Issued, IssueError> {
        self.broker().issue(&request(token), "database/", role).await
    }

    /// Makes a token that may do everything and ends after `ttl`; returns its text.
    pub async fn token(&self, wanted: TokenRequest) -> String {
        let wanted = TokenRequest { policies: vec!["root".into()], ..wanted };
        let made = self.broker().create_token(&request(ROOT), wanted).await.unwrap();
        made.text.reveal().to_owned()
    }

    /// Lets time pass, with all that happens in it.
    pub async fn pass(&self, span: Duration) {
        tokio::time::sleep(span).await;
    }

    /// Asks something, and changes something once that is decided and waits for its record.
    pub fn ask_amid<'a, T: 'a>(
        &'a self,
        asked: impl Future<Output = T> + 'a,
        change: impl Future<Output = ()> + 'a,
    ) -> LocalBoxFuture<'a, T> {
        let changed = async {
            self.pass(Duration::from_secs(1)).await;
            self.audit.delay(Duration::ZERO);
            change.await;
        };
        self.audit.delay(Duration::from_secs(5));
        Box::pin(async { join(asked, changed).await.0 })
    }

    /// Everything in the store that its seal opens, by its key.
    pub async fn opened(&self) -> Vec<(Key, String)> {
        let barrier = seal::unseal(&*self.store, &root_key()).await.unwrap().barrier;
        let chunks: Vec<_> = self.store.snapshot().collect().await;
        let records = chunks.into_iter().flat_map(Result::unwrap);
        let opened = records.filter_map(|(key, value, _)| {
            let plain = barrier.open(&key, &value).ok()?;
            Some((key, String::from_utf8_lossy(&plain).into_owned()))
        });
        opened.collect()
    }

    /// Puts a record into the store, as another process would.
    pub async fn put(&self, key: &str, plain: &str) {
        let at = Key(key.as_bytes().to_vec());
        let barrier = seal::unseal(&*self.store, &root_key()).await.unwrap().barrier;
        let sealed = barrier.seal(&at, plain.as_bytes(), &*self.chance).unwrap();
        self.store.commit(Batch::default().put(at, sealed)).await.unwrap();
    }

    /// How many leases are stored.
    pub fn leases(&self) -> usize {
        self.store.count("lease/")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.die();
    }
}

fn root_key() -> RootKey {
    RootKey::new([7; 32])
}

fn ports(
    store: &Arc<MemoryStore>,
    chance: &Arc<Dice>,
    clock: &Arc<WorldClock>,
    audit: &Arc<MemoryAudit>,
) -> (Ports, Arc<WorldTasks>) {
    let tasks = Arc::new(WorldTasks::new(clock));
    let ports = Ports {
        store: Arc::clone(store) as _,
        clock: Arc::clone(clock) as _,
        chance: Arc::clone(chance) as _,
        tasks: Arc::clone(&tasks) as _,
        audit: vec![Arc::clone(audit) as _],
    };
    (ports, tasks)
}

impl Process {
    async fn boot(
        store: &Arc<MemoryStore>,
        chance: &Arc<Dice>,
        clock: &Arc<WorldClock>,
        audit: &Arc<MemoryAudit>,
    ) -> Self {
        let (ports, tasks) = ports(store, chance, clock, audit);
        let unsealed = seal::unseal(&**store, &root_key()).await.unwrap();
        let kinds = vec![KindOf::<SimulatedEngine>::new()];
        let (broker, mut woken) =
            Broker::open(ports, unsealed, kinds, Limits::default()).await.unwrap();
        let sweeping = Arc::clone(&broker);
        let clock = Arc::clone(clock);
        let sweeper = tokio::spawn(async move {
            loop {
                let next = match sweeping.sweep().await {
                    Ok(swept) => swept.next,
                    Err(_) => clock.now().plus(Duration::from_secs(1)),
                };
                tokio::select! {
                    () = clock.until(next) => {}
                    _ = woken.next() => {}
                }
            }
        });
        Self { broker, sweeper: sweeper.abort_handle(), tasks }
    }

    /// Whatever it is in the middle of is not done.
    fn die(&self) {
        self.sweeper.abort();
        self.tasks.die();
    }
}

/// A request with a token, as the HTTP layer would make it.
pub fn request(token: &str) -> Request {
    let asked = Asked {
        id: "request".into(),
        operation: Operation::Update,
        path: "test".into(),
        data: Some(json!({ "field": "canary-in-a-body" })),
        ..Asked::default()
    };
    Request { asked, token: Some(SecretText::new(token.into())), ..Request::default() }
}
