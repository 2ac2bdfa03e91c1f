//! What is wrong with what a process reads from its store and commits there.

use super::{Flaw, MEMORY};
use crate::worlds::judge::CANARY;
use crate::worlds::setting::Setting;
use leasehold_core::store::{Batch, Key, Revision, Value};
use std::time::Duration;

/// What a process reads.
pub fn on_get(
    setting: &Setting,
    key: &Key,
    found: Option<(Value, Revision)>,
) -> Option<(Value, Revision)> {
    if !setting.has(Flaw::LazyDeletionRevokesRenewed) || !key.0.starts_with(b"lease/") {
        return found;
    }
    let (value, revision) = found?;
    MEMORY.with_borrow_mut(|memory| {
        let first = memory.first_seen.entry(key.clone()).or_insert(value);
        Some((first.clone(), revision))
    })
}

/// A process has read a record. Where all is well a lapsed token that lives on would be caught by being late.
pub fn was_read(setting: &Setting, is_token: bool) {
    if setting.has(Flaw::LapsedTokenAdmitted) && !setting.fair {
        MEMORY.with_borrow_mut(|memory| memory.has_read_token = is_token);
    }
}

/// Which keys it reads.
pub fn on_range(setting: &Setting, from: &Key, to: &Key) -> (Key, Key) {
    let (mut from, mut to) = (from.clone(), to.clone());
    if setting.has(Flaw::PrefixReachesFurther)
        && from.0.starts_with(b"of-role/")
        && from.0.last() == Some(&0)
    {
        from.0.pop();
        to = from.after_prefix();
    }
    if setting.has(Flaw::RefillLosesTheHorizon) && from.0.starts_with(b"due/") && from.0.len() == 12
    {
        // The first half minute after where the last read ended.
        let begins = from.0.last_chunk::<8>().map_or(0, |at| u64::from_be_bytes(*at));
        if begins > 0 {
            from = Key([b"due/".as_slice(), &(begins + 30_000).to_be_bytes()].concat());
        }
    }
    if setting.has(Flaw::PrefixMissesTheNewest)
        && from.0.starts_with(b"of-role/")
        && from.0.last() == Some(&0)
    {
        // Ids are ordered by time: six bytes of it come first.
        let made_by = setting.now().minus(Duration::from_mins(10));
        to = Key([&from.0, &made_by.0.to_be_bytes()[2..]].concat());
    }
    if setting.has(Flaw::TokensFoundLate) && from.0.starts_with(b"token-due/") {
        let found_by = setting.now().minus(Duration::from_mins(10));
        to = to.min(Key([b"token-due/".as_slice(), &found_by.0.to_be_bytes()].concat()));
    }
    (from, to)
}

/// What it commits.
pub fn on_commit(setting: &Setting, mut batch: Batch) -> Batch {
    let puts_lease = batch.puts.iter().any(|(key, _)| key.0.starts_with(b"lease/"));
    let is_new = puts_lease && is_issue(&batch);
    let is_renewal = is_renewal(&batch);
    match setting.flaw {
        Some(Flaw::ChildOutlivesParent) => {
            batch.puts.retain(|(key, _)| !key.0.starts_with(b"child/"));
        }
        Some(Flaw::RepeatsForgotten) => {
            batch.puts.retain(|(key, _)| !key.0.starts_with(b"repeat/"));
        }
        Some(Flaw::SecretInTheRepeat) => {
            let beside = |key: &Key| {
                let rest = key.0.strip_prefix(b"repeat/")?;
                Some(Key([b"repeat-answer/".as_slice(), rest].concat()))
            };
            let answer = Value(format!("{CANARY}of the lease").into_bytes());
            let kept: Vec<_> = batch.puts.iter().filter_map(|(key, _)| beside(key)).collect();
            batch.puts.extend(kept.into_iter().map(|key| (key, answer.clone())));
            let gone: Vec<_> = batch.deletes.iter().filter_map(beside).collect();
            batch.deletes.extend(gone);
        }
        Some(Flaw::AccessorLeft) => batch.deletes.retain(|key| !key.0.starts_with(b"accessor/")),
        Some(Flaw::HistoryNotKept) => {
            batch.puts.retain(|(key, _)| !key.0.starts_with(b"history"));
        }
        Some(Flaw::AbandonmentNotKept) => {
            batch.puts.retain(|(key, _)| !key.0.starts_with(b"abandoned/"));
        }
        // Nobody waits for what is durable, and nobody can tell by its revision.
        Some(Flaw::StoredAfterTheRotation) if rotates(&batch) => batch.expected.clear(),
        Some(Flaw::KeptInMemoryAlone) if rotates_root(&batch) => batch.expected.clear(),
        Some(Flaw::TokenEndsMeanwhile) if is_new => {
            batch.expected.retain(|(key, _)| !key.0.starts_with(b"token/"));
        }
        Some(Flaw::RenewalWhileLapseIsAsked) if is_renewal => batch.expected.clear(),
        Some(Flaw::RenewalLosesItsPlace) if is_renewal => {
            batch.puts.retain(|(key, _)| !key.0.starts_with(b"due/"));
        }
        Some(Flaw::BatchTorn) if setting.fails(20) => {
            let half = batch.puts.len().div_ceil(2);
            batch.puts.truncate(half);
        }
        Some(Flaw::BackOffStops) if puts_lease && !is_new => MEMORY.with_borrow_mut(|memory| {
            let key = batch.puts.iter().find(|(key, _)| key.0.starts_with(b"lease/"));
            let looks = key.map(|(key, _)| memory.looks.entry(key.0.clone()).or_default());
            let is_last = looks.is_some_and(|looks| {
                *looks += 1;
                *looks > 6
            });
            batch.puts.retain(|(key, _)| !is_last || !key.0.starts_with(b"due/"));
        }),
        Some(_) | None => {}
    }
    batch
}

/// Whether a commit is acknowledged before it is durable, and how much before.
pub fn acknowledged_before(setting: &Setting, batch: &Batch) -> Option<Duration> {
    let is_early = match setting.flaw {
        Some(Flaw::StoredAfterTheIssue) => is_issue(batch),
        Some(Flaw::StoredAfterTheRotation) => rotates(batch),
        Some(_) | None => false,
    };
    is_early.then_some(Duration::from_millis(50))
}

fn rotates(batch: &Batch) -> bool {
    batch.puts.iter().any(|(key, _)| key.0.starts_with(b"static-role/"))
}

fn rotates_root(batch: &Batch) -> bool {
    batch.puts.iter().any(|(key, _)| key.0.starts_with(b"root-rotation/"))
}

fn is_issue(batch: &Batch) -> bool {
    let mut absent = batch.expected.iter().filter(|(_, at)| at.is_none());
    absent.any(|(key, _)| key.0.starts_with(b"lease/"))
}

fn is_renewal(batch: &Batch) -> bool {
    let puts_lease = batch.puts.iter().any(|(key, _)| key.0.starts_with(b"lease/"));
    puts_lease && !is_issue(batch) && !batch.spends_reserve
}

/// Whether a lease is about to be put back: nothing of it changes that anything is found by.
fn puts_back(batch: &Batch) -> bool {
    let is_due = |(key, _): &(Key, Value)| key.0.starts_with(b"due/");
    is_renewal(batch) && !batch.puts.iter().any(is_due)
}

/// Whether a commit is acknowledged and dropped.
pub fn drops(setting: &Setting, batch: &Batch) -> bool {
    let puts = |prefix: &[u8]| batch.puts.iter().find(|(key, _)| key.0.starts_with(prefix));
    let is_there = |key: &Key| batch.expected.iter().any(|(at, was)| at == key && was.is_some());
    let changes = |prefix| puts(prefix).is_some_and(|(key, _)| is_there(key));
    // Where all is well they would be caught by being late.
    let at_times = || !setting.fair && setting.dice.happens(200);
    match setting.flaw {
        Some(Flaw::RenewalNotStored) => is_renewal(batch),
        Some(Flaw::PutBackNotStored) => puts_back(batch),
        Some(Flaw::KeptInMemoryAlone) => rotates_root(batch) && puts(b"target/").is_none(),
        Some(Flaw::EndNotStored) => batch.spends_reserve && changes(b"lease/") && at_times(),
        Some(Flaw::TokenEndNotStored) => changes(b"token/") && at_times(),
        Some(Flaw::FailedIssueLeftHeld) => MEMORY.with_borrow_mut(|memory| {
            let Some((key, _)) = puts(b"lease/") else { return false };
            if !is_there(key) {
                memory.stored.insert(key.clone(), setting.now());
            }
            let stored = memory.stored.get(key).copied().unwrap_or_default();
            batch.spends_reserve && setting.now().since(stored) < Duration::from_secs(5)
        }),
        Some(_) | None => false,
    }
}

/// Whether a commit is applied and said to be refused. Where all is well it would be caught by being late, and not
/// by what the holder was told.
pub fn refuses_what_it_applies(setting: &Setting, batch: &Batch) -> bool {
    let has = setting.has(Flaw::RefusedRenewalStored) && !setting.fair;
    has && is_renewal(batch) && setting.dice.happens(200)
}
