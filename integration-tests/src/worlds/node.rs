//! A process: the real broker and the real sweeper between simulated ports. It may die at any await, and another
//! one is started in its place.

use super::clock::{ProcessClock, ProcessTasks, Wall};
use super::disk::{Disk, DiskStore};
use super::engine::NetworkEngine;
use super::executor::Whose;
use super::journal::{Device, Journal};
use super::judge::Judge;
use super::setting::Setting;
use futures_channel::oneshot;
use leasehold_core::broker::{Broker, Ports};
use leasehold_core::engine::erased::KindOf;
use leasehold_core::limits::Limits;
use leasehold_core::seal::{self, RootKey};
use leasehold_core::tasks::{Pending, Tasks};
use leasehold_server::sweeper;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

/// What all processes of an installation share.
#[derive(Clone, Debug)]
pub struct Site {
    /// The world.
    pub setting: Arc<Setting>,
    /// What is durable.
    pub disk: Arc<Disk>,
    /// What is recorded.
    pub journal: Arc<Journal>,
    /// Who sees everything.
    pub judge: Arc<Judge>,
}

/// One place where a process runs, or does not.
#[derive(Debug)]
pub struct Node {
    site: Site,
    /// The wall clock of its machine.
    pub wall: Arc<Wall>,
    /// Processes are numbered, so that what a dead one left is told from the next.
    process: AtomicU32,
    numbers: Arc<AtomicU32>,
    broker: Mutex<Option<Arc<Broker>>>,
    runs: AtomicBool,
    /// Whether somebody works on the store, and nothing is to be started.
    kept_down: AtomicBool,
}

/// The key of every world.
pub fn root_key() -> RootKey {
    RootKey::new([7; 32])
}

impl Node {
    /// A place where nothing runs yet.
    pub fn new(site: Site, numbers: Arc<AtomicU32>) -> Arc<Self> {
        let wall = Arc::new(Wall::new(Arc::clone(&site.setting)));
        let process = AtomicU32::new(0);
        let broker = Mutex::new(None);
        let (runs, kept_down) = (AtomicBool::new(false), AtomicBool::new(false));
        Arc::new(Self { site, wall, process, numbers, broker, runs, kept_down })
    }

    /// The process as it is now, if there is one.
    pub fn broker(&self) -> Option<Arc<Broker>> {
        self.broker.lock().clone()
    }

    /// What its tasks are known by; the next process has another name.
    pub fn whose(&self) -> Whose {
        Whose::Process(self.process.load(Ordering::Relaxed))
    }

    /// How a process reaches the world.
    pub fn ports(&self) -> (Ports, Arc<dyn Tasks>) {
        let site = &self.site;
        let setting = Arc::clone(&site.setting);
        let clock = ProcessClock::starting(Arc::clone(&setting), Arc::clone(&self.wall));
        let clock = Arc::new(clock);
        let tasks = ProcessTasks::new(Arc::clone(&setting), Arc::clone(&clock), self.whose());
        let tasks: Arc<dyn Tasks> = Arc::new(tasks);
        let (disk, judge) = (Arc::clone(&site.disk), Arc::clone(&site.judge));
        let store = DiskStore::new(Arc::clone(&clock), disk, judge);
        let ports = Ports {
            store: Arc::new(store),
            clock,
            chance: Arc::clone(&setting.dice) as _,
            tasks: Arc::clone(&tasks),
            audit: vec![Arc::new(Device(Arc::clone(&site.journal)))],
        };
        (ports, tasks)
    }

    /// Starts nothing from now on, or does again.
    pub fn keep_down(&self, kept_down: bool) {
        self.kept_down.store(kept_down, Ordering::Relaxed);
    }

    /// A process begins, unless one runs, and tries until it can read its store.
    pub fn start(self: &Arc<Self>) {
        if self.kept_down.load(Ordering::Relaxed) || self.runs.swap(true, Ordering::Relaxed) {
            return;
        }
        let number = self.numbers.fetch_add(1, Ordering::Relaxed) + 1;
        self.process.store(number, Ordering::Relaxed);
        self.site.setting.note(None, || format!("process {number} starts"));
        self.site.setting.disturb(Duration::ZERO);
        let node = Arc::clone(self);
        self.site.setting.executor.spawn(
            self.whose(),
            Box::pin(async move {
                while node.open().await.is_none() {
                    node.site.setting.executor.sleep(Duration::from_secs(1)).await;
                }
            }),
        );
    }

    async fn open(&self) -> Option<()> {
        let (ports, tasks) = self.ports();
        let unsealed = seal::unseal(&*ports.store, &root_key()).await.ok()?;
        let kinds = vec![KindOf::<NetworkEngine>::new()];
        let opened = Broker::open(ports, unsealed, kinds, Limits::default()).await;
        let (broker, woken) = opened.ok()?;
        *self.broker.lock() = Some(Arc::clone(&broker));
        let sweeping = Box::pin(async move { sweeper::run(broker, tasks, woken).await });
        self.site.setting.executor.spawn(self.whose(), sweeping);
        Some(())
    }

    /// The process dies where it stands. What it had asked of others goes on.
    pub fn die(&self) {
        if !self.runs.swap(false, Ordering::Relaxed) {
            return;
        }
        let setting = &self.site.setting;
        setting.note(None, || format!("process {:?} dies", self.whose()));
        setting.counters.deaths.one();
        setting.count_death(self.whose());
        *self.broker.lock() = None;
        setting.executor.kill(self.whose());
        self.site.judge.process_dies(self.whose());
    }

    /// The process ends with its world.
    pub fn stop(&self) {
        *self.broker.lock() = None;
    }

    /// The process stands still for a while.
    pub fn stand_still(&self, span: Duration) {
        let setting = &self.site.setting;
        setting.note(None, || format!("{:?} stands still for {} s", self.whose(), span.as_secs()));
        setting.counters.suspensions.one();
        setting.disturb(span);
        setting.executor.suspend(self.whose(), span);
    }

    /// Has the process do something, which goes on whether or not anybody waits for it. An error means that
    /// nobody will ever know: it is not running, or has died.
    pub fn ask<T: Send + 'static>(
        &self,
        verb: impl FnOnce(Arc<Broker>) -> Pending<'static, T>,
    ) -> oneshot::Receiver<T> {
        let (tell, told) = oneshot::channel();
        if let Some(broker) = self.broker() {
            let doing = verb(broker);
            self.site.setting.executor.spawn(
                self.whose(),
                Box::pin(async move {
                    let _ = tell.send(doing.await);
                }),
            );
        }
        told
    }
}
