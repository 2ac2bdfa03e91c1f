//! Judges what is kept and recorded: no secret is in it (law 3).

use super::Judge;
use super::known::Known;
use crate::worlds::disk::Disk;
use leasehold_core::store::{Batch, Key, Value};

/// What every secret that is made here contains, passwords and tokens with chosen ids alike, so that it is found
/// wherever it leaks, as soon as it does.
pub const CANARY: &str = "canary-secret-";

impl Judge {
    /// Something was stored.
    pub(super) fn check_puts(&self, batch: &Batch) {
        for (key, value) in &batch.puts {
            if self.plain_has(key, value, |text| text.contains(CANARY)) {
                let what = format!("a secret is stored at {}", key.readable());
                self.setting.broken(3, None, what);
            }
        }
    }

    /// At the end all that is there is searched for tokens with drawn ids as well.
    pub(super) fn check_secrets(&self, known: &Known, disk: &Disk) {
        let has_secret = |text: &str| {
            text.contains(CANARY)
                || known.told_tokens.keys().any(|token| text.contains(token.as_str()))
        };
        for (key, value) in disk.under("") {
            if self.plain_has(&key, &value, has_secret) {
                let what = format!("a secret is stored at {}", key.readable());
                self.setting.broken(3, None, what);
            }
        }
        if self.journal.is_any(has_secret) {
            self.setting.broken(3, None, "a secret is in the audit");
        }
    }

    fn plain_has(&self, key: &Key, value: &Value, is_secret: impl Fn(&str) -> bool) -> bool {
        let barrier = self.barrier.lock().clone();
        let opened = barrier.and_then(|barrier| barrier.open(key, value).ok());
        let plain = opened.as_ref().map_or(value.0.as_slice(), |plain| plain.as_ref());
        is_secret(&String::from_utf8_lossy(plain)) || is_secret(&String::from_utf8_lossy(&key.0))
    }
}
