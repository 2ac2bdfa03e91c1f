//! Judges the accounts whose secrets are rotated. Whatever has died, whatever lands: what an account has is sealed in
//! the store, or people have set it (law 6). What is served has been let in, and what is told works.

use super::Judge;
use super::known::Known;
use crate::worlds::desk::KEEPER;
use crate::worlds::disk::{Disk, Records};
use leasehold_core::engine::rotation::AccountSecret;
use leasehold_core::store::accounts::{Begun, RootRotation, Rotation, StaticRole};
use leasehold_core::store::mounts::Target;
use leasehold_core::store::{Key, Value};
use leasehold_core::time::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

/// All accounts, by their names.
#[derive(Debug, Default)]
pub(super) struct Passwords(BTreeMap<String, Account>);

/// One account.
#[derive(Debug, Default)]
struct Account {
    /// What it has had, each with since when: it has the last.
    had: Vec<(String, Timestamp)>,
    /// What people know of it: they have set it, or it was served when nobody was to rotate it any more.
    by_people: BTreeSet<String>,
    /// What the store says that it has or is to have, and where.
    papers: BTreeMap<Key, Paper>,
    /// What was in the store at any time.
    sealed_once: BTreeSet<String>,
    /// What the server has let in.
    let_in: BTreeSet<String>,
    /// The store is a backup in which it was not found what it has.
    is_older: bool,
    /// The store is a backup, and nothing of what it says has been let in since.
    is_doubted: bool,
    /// Somebody has asked for a rotation since then.
    is_asked: bool,
}

/// What one record says.
#[derive(Debug, Default)]
struct Paper {
    served: Option<String>,
    intended: Option<String>,
}

impl Paper {
    /// What a record says, and of which account; `None` if it is about none.
    fn read(judge: &Judge, key: &Key, value: &Value) -> Option<(String, Self)> {
        if let Some(role) = judge.read_as::<StaticRole>(key, value, b"static-role/") {
            let intended = intended(&role.rotation);
            let served = role.secret.as_ref().map(text);
            return Some((role.username, Self { served, intended }));
        }
        if let Some(root) = judge.read_as::<RootRotation>(key, value, b"root-rotation/") {
            let intended = intended(&root.rotation);
            return Some((KEEPER.to_owned(), Self { served: None, intended }));
        }
        let target = judge.read_as::<Target>(key, value, b"target/")?;
        let served = Some(target.fields.0.get("password")?.as_str()?.to_owned());
        Some((KEEPER.to_owned(), Self { served, intended: None }))
    }

    fn says(&self) -> impl Iterator<Item = &String> {
        [&self.served, &self.intended].into_iter().flatten()
    }
}

impl Account {
    fn has(&self) -> Option<&String> {
        self.had.last().map(|(password, _)| password)
    }

    /// Whether the store says what it has.
    fn is_sealed(&self) -> bool {
        let is_said = |has| self.papers.values().flat_map(Paper::says).any(|said| said == has);
        self.has().is_some_and(is_said)
    }

    /// Whether anybody knows what it has.
    fn is_known(&self) -> bool {
        self.is_sealed() || self.has().is_none_or(|has| self.by_people.contains(has))
    }

    /// Whether it had a password at some time since then.
    fn has_had(&self, password: &str, since: Timestamp) -> bool {
        let ends = self.had.iter().skip(1).map(|(_, at)| *at).chain([Timestamp(u64::MAX)]);
        self.had.iter().zip(ends).any(|((had, _), end)| had == password && end >= since)
    }

    fn put(&mut self, key: &Key, paper: Paper) {
        self.sealed_once.extend(paper.says().cloned());
        self.papers.insert(key.clone(), paper);
    }
}

impl Judge {
    /// A person sets the password of an account, and knows it.
    pub fn set_by_people(&self, name: &str, password: &str) {
        let now = self.setting.now();
        let mut known = self.known.lock();
        let account = known.passwords.0.entry(name.to_owned()).or_default();
        account.by_people.insert(password.to_owned());
        account.had.push((password.to_owned(), now));
    }

    /// A process is about to ask for another password.
    pub fn is_to_be_set(&self, name: &str) {
        let known = self.known.lock();
        let doubted = |account: &&Account| account.is_doubted && !account.is_asked;
        if known.passwords.0.get(name).is_some_and(|account| doubted(&account)) {
            let what = format!("`{name}` is rotated after a restore, and nobody has logged in");
            self.setting.broken(9, None, what);
        }
    }

    /// A server has set a password because a process had asked for it.
    pub fn was_set(&self, name: &str, password: &str) {
        self.setting.note(None, || format!("`{name}` has another password"));
        let now = self.setting.now();
        let mut known = self.known.lock();
        let account = known.passwords.0.entry(name.to_owned()).or_default();
        account.had.push((password.to_owned(), now));
        // What was asked before a restore may come after it.
        account.is_older =
            self.setting.restores && !account.is_sealed() && account.sealed_once.contains(password);
        self.check_known(name, account);
    }

    /// A server lets somebody in.
    pub fn was_let_in(&self, name: &str, password: &str) {
        let mut known = self.known.lock();
        if let Some(account) = known.passwords.0.get_mut(name) {
            account.let_in.insert(password.to_owned());
            account.is_doubted = false;
        }
    }

    /// Somebody is about to ask for a rotation.
    pub fn asks_for_rotation(&self, name: &str) {
        if let Some(account) = self.known.lock().passwords.0.get_mut(name) {
            account.is_asked = true;
        }
    }

    /// Somebody who had asked by then is told a secret: the account had it since.
    pub fn secret_is_told(&self, name: &str, password: &str, asked_at: Timestamp) {
        let known = self.known.lock();
        let Some(account) = known.passwords.0.get(name) else { return };
        if account.is_doubted {
            let what = format!("a secret of `{name}` is told after a restore, and was not let in");
            self.setting.broken(6, None, what);
        }
        // What was let in since may be replaced by what the process of before the restore had asked.
        if account.is_older || account.has_had(password, asked_at) {
            return;
        }
        self.setting.broken(6, None, format!("a secret of `{name}` was told that does not work"));
    }

    fn check_known(&self, name: &str, account: &Account) {
        if !account.is_known() && !account.is_older {
            self.setting.broken(6, None, format!("`{name}` has a password that nobody knows"));
        }
    }

    /// A record was stored that may be about an account.
    pub(super) fn paper_put(&self, key: &Key, value: &Value) {
        let Some((name, paper)) = Paper::read(self, key, value) else { return };
        let mut known = self.known.lock();
        let account = known.passwords.0.entry(name.clone()).or_default();
        let before = account.papers.get(key).and_then(|paper| paper.served.clone());
        if let Some(served) = paper.served.as_ref().filter(|served| before.as_ref() != Some(served))
        {
            let counters = &self.setting.counters;
            let is_root = name == KEEPER;
            (if is_root { &counters.roots_rotated } else { &counters.rotated }).one();
            self.setting.note(None, || format!("`{name}` is served anew"));
            if !account.let_in.contains(served) {
                let what = format!("a secret of `{name}` is served that was never let in");
                self.setting.broken(6, None, what);
            }
        }
        account.put(key, paper);
        account.is_older &= !account.is_sealed();
    }

    /// All records of a batch are stored: somebody knows what each account has.
    pub(super) fn check_all_known(&self) {
        let known = self.known.lock();
        known.passwords.0.iter().for_each(|(name, account)| self.check_known(name, account));
    }

    /// A record is gone that may have been about an account: what it served last is left to people.
    pub(super) fn paper_deleted(&self, key: &Key) {
        let mut known = self.known.lock();
        for (name, account) in &mut known.passwords.0 {
            let Some(paper) = account.papers.remove(key) else { continue };
            self.setting.note(None, || format!("`{name}` is left alone"));
            account.by_people.extend(paper.served);
        }
    }

    /// The store has become that of a backup.
    pub(super) fn doubt_passwords(&self, known: &mut Known, records: &Records) {
        let accounts = &mut known.passwords.0;
        for account in accounts.values_mut() {
            account.papers.clear();
            (account.is_doubted, account.is_asked) = (true, false);
        }
        for (key, (value, _)) in records {
            if let Some((name, paper)) = Paper::read(self, key, value) {
                accounts.entry(name).or_default().put(key, paper);
            }
        }
        for account in accounts.values_mut() {
            account.is_older = !account.is_sealed();
        }
    }

    /// No secret of an account was ever recorded, or stored as it is (law 3).
    pub(super) fn check_passwords(&self, known: &Known, disk: &Disk) {
        let records = disk.under("");
        for (name, account) in &known.passwords.0 {
            self.check_known(name, account);
            // Whatever leaks one leaks others; all of them would take longer than the rest of the world.
            let some = || account.sealed_once.iter().take(2);
            let shows = |text: &str| some().any(|it| text.contains(it.as_str()));
            if self.journal.is_any(shows) {
                self.setting.broken(3, None, format!("a secret of `{name}` is in the audit"));
            }
            if records.iter().any(|(_, value)| shows(&String::from_utf8_lossy(&value.0))) {
                self.setting.broken(3, None, format!("a secret of `{name}` is not sealed"));
            }
        }
    }
}

fn intended(rotation: &Rotation) -> Option<String> {
    rotation.begun.as_ref().and_then(Begun::secret).map(text)
}

fn text(secret: &AccountSecret) -> String {
    secret.part("password").unwrap().reveal().to_owned()
}
