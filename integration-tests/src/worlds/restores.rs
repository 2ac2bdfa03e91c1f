//! Restores of an older backup, and copies of the store that are started elsewhere.

use super::callers::{Crowd, request};
use super::clock::{ProcessClock, Wall};
use super::disk::{Disk, DiskStore, Records};
use super::journal::Journal;
use super::judge::Judge;
use super::node::{Node, Site, root_key};
use super::setting::Setting;
use leasehold_core::limits::Limits;
use leasehold_core::restore::{FromBackup, goes_into_a_copy};
use leasehold_core::time::Timestamp;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

/// A backup, and when it was taken.
#[derive(Debug)]
struct Backup {
    records: Records,
    taken_at: Timestamp,
}

/// Takes backups, restores them, and starts copies, until `end`.
pub async fn restore(crowd: Arc<Crowd>, end: u64, pause: Duration) {
    let site = &crowd.site;
    let (setting, node) = (&site.setting, &crowd.nodes[0]);
    let wait = || setting.executor.sleep(setting.dice.span(Duration::ZERO, pause));
    loop {
        wait().await;
        let backup = Backup { records: site.disk.all(), taken_at: setting.now() };
        setting.note(None, || "a backup is taken".into());
        wait().await;
        if setting.executor.now() >= end {
            return;
        }
        if setting.dice.happens(400) {
            live_in_a_copy(&crowd, backup).await;
            continue;
        }
        node.keep_down(true);
        node.die();
        let downtime = setting.dice.span(Duration::ZERO, Duration::from_mins(5));
        setting.executor.sleep(downtime).await;
        put_back(site, &backup).await;
        setting.counters.restores.one();
        node.keep_down(false);
        node.start();
    }
}

/// A backup takes the place of the store.
async fn put_back(site: &Site, backup: &Backup) {
    site.setting.note(None, || "the backup is restored".into());
    site.judge.forget(&backup.records);
    loop {
        site.disk.replace(backup.records.clone());
        let from = from_backup(site, backup);
        if from.prepare(&root_key(), &Limits::default()).await.is_ok() {
            return;
        }
    }
}

fn from_backup(site: &Site, backup: &Backup) -> FromBackup {
    let setting = &site.setting;
    let wall = Arc::new(Wall::new(Arc::clone(setting)));
    let clock = Arc::new(ProcessClock::starting(Arc::clone(setting), wall));
    let store = DiskStore::new(clock, Arc::clone(&site.disk), Arc::clone(&site.judge));
    FromBackup {
        store: Arc::new(store),
        chance: Arc::clone(&setting.dice) as _,
        taken_at: backup.taken_at,
        wall: setting.now(),
    }
}

/// The backup is started elsewhere as a copy, for a while. Nothing there may reach any server.
async fn live_in_a_copy(crowd: &Arc<Crowd>, backup: Backup) {
    let setting = &crowd.site.setting;
    setting.note(None, || "a copy is started elsewhere".into());
    let journal = Arc::new(Journal::new(Arc::clone(setting)));
    // Nobody judges what becomes of it: it has no servers.
    let judge = Arc::new(Judge::new(Arc::clone(setting), Arc::clone(&journal)));
    let disk = Arc::new(Disk::default());
    let site = Site { setting: Arc::clone(setting), disk, journal, judge };
    let kept = backup.records.iter().filter(|(key, _)| goes_into_a_copy(key));
    let kept: Records = kept.map(|(key, value)| (key.clone(), value.clone())).collect();
    let copy = loop {
        site.disk.replace(kept.clone());
        if let Ok(copy) = from_backup(&site, &backup).prepare_copy(&root_key()).await {
            break copy;
        }
    };
    let node = Node::new(site, Arc::new(AtomicU32::new(COPIES_FROM)));
    node.start();
    for _ in 0..5 {
        let pause = setting.dice.span(Duration::ZERO, Duration::from_mins(5));
        setting.executor.sleep(pause).await;
        let role = *setting.dice.one_of(&crowd.roles);
        let request = request(setting, copy.root.reveal());
        let issued = node.ask(|broker| {
            Box::pin(async move { broker.issue(&request, "database/", role).await.is_ok() })
        });
        if issued.await == Ok(true) {
            setting.broken(9, None, "a copy issued at a server of the original");
        }
    }
    setting.counters.copies.one();
    node.die();
    node.stop();
}

/// Processes of copies have numbers that no other has.
const COPIES_FROM: u32 = 1_000_000;

/// A question has arrived at a server from an installation: it has to be the one that is no copy.
pub fn check_origin(setting: &Setting, installation: leasehold_core::ids::InstallationId) {
    if setting.original.get().is_some_and(|original| *original != installation) {
        setting.broken(9, None, "a copy asked a server of the original");
    }
}
