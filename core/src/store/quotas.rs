//! Quotas in the store.
//!
//! | key | record |
//! |---|---|
//! | `quota/rate-limit/<name>` | how often one sender may ask |
//! | `quota/lease-count/<name>` | how many leases there may be |
//! | `quota-config` | what holds for all of them |

use super::leases::joined;
use super::records::Records;
use super::{Key, StoreError};
use crate::quota::windows::Rate;
use crate::quota::{Quotas, Scope};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What a quota bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum QuotaKind {
    /// How often one sender may ask.
    RateLimit,
    /// How many leases there may be.
    LeaseCount,
}

/// A quota, as an operator wrote it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Quota {
    /// What operators call it.
    pub name: String,
    /// What it is for.
    pub scope: Scope,
    /// Kept for clients that read it back.
    pub inheritable: bool,
    /// What it bounds.
    pub limit: Limit,
}

/// The bound of a quota.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    /// How often one sender may ask.
    Rate {
        /// How many requests in an interval.
        rate: f64,
        /// How long that is.
        interval: Duration,
        /// How long whoever asks more often is refused; zero for until the interval is over.
        block_interval: Duration,
    },
    /// How many leases there may be.
    Leases {
        /// How many.
        max_leases: u64,
    },
}

/// What holds for all quotas.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuotaConfig {
    /// Whether requests that are refused for their rate are recorded.
    pub audits_refusals: bool,
    /// Whether answers tell how much is left of a rate.
    pub tells_what_is_left: bool,
    /// The paths whose requests no rate limits; with `*` at the end, what they begin with.
    pub exempt_paths: Vec<String>,
}

impl QuotaKind {
    /// Returns Vault's word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::RateLimit => "rate-limit",
            Self::LeaseCount => "lease-count",
        }
    }
}

impl Quota {
    /// Returns what it bounds.
    #[must_use]
    pub fn kind(&self) -> QuotaKind {
        match self.limit {
            Limit::Rate { .. } => QuotaKind::RateLimit,
            Limit::Leases { .. } => QuotaKind::LeaseCount,
        }
    }

    /// Returns how often one sender may ask. A rate below one lets one request through in as many intervals as it takes.
    #[must_use]
    pub fn rate(&self) -> Option<Rate> {
        let Limit::Rate { rate, interval, block_interval: block } = self.limit else { return None };
        if rate < 1.0 {
            let window = Duration::try_from_secs_f64(interval.as_secs_f64() / rate).ok()?;
            return Some(Rate { requests: 1, window, block });
        }
        // Rounded as in Vault; what is too large for any number of requests is the largest.
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it is at least one, and the cast saturates"
        )]
        let requests = rate.round() as u64;
        Some(Rate { requests, window: interval, block })
    }
}

/// Vault's: whoever must open the store or looks whether it is open is never kept from it.
impl Default for QuotaConfig {
    fn default() -> Self {
        let exempt_paths = [
            "sys/generate-recovery-token/attempt",
            "sys/generate-recovery-token/update",
            "sys/generate-root/attempt",
            "sys/generate-root/update",
            "sys/health",
            "sys/seal-status",
            "sys/unseal",
        ];
        Self {
            audits_refusals: false,
            tells_what_is_left: false,
            exempt_paths: exempt_paths.map(str::to_owned).to_vec(),
        }
    }
}

impl QuotaConfig {
    /// Whether no rate limits requests to a path.
    #[must_use]
    pub fn exempts(&self, path: &str) -> bool {
        let matches = |exempt: &String| match exempt.strip_suffix('*') {
            Some(beginning) => path.starts_with(beginning),
            None => exempt.trim_end_matches('/') == path.trim_end_matches('/'),
        };
        self.exempt_paths.iter().any(matches)
    }
}

/// Where a quota is kept.
#[must_use]
pub fn quota_at(kind: QuotaKind, name: &str) -> Key {
    joined(&[b"quota/", kind.word().as_bytes(), b"/", name.as_bytes()])
}

/// Where is kept what holds for all of them.
#[must_use]
pub fn quota_config_at() -> Key {
    Key(b"quota-config".to_vec())
}

impl Records {
    /// Returns all quotas.
    pub async fn quotas(&self) -> Result<Quotas, StoreError> {
        let found = self.all::<Quota>(&joined(&[b"quota/"])).await?;
        let config = self.read::<QuotaConfig>(&quota_config_at()).await?;
        let quotas = found.into_iter().map(|(_, found)| found);
        Ok(Quotas::new(quotas, config.map(|config| config.record).unwrap_or_default()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quota(rate: f64) -> Quota {
        let (interval, block_interval) = (Duration::from_secs(10), Duration::ZERO);
        let limit = Limit::Rate { rate, interval, block_interval };
        Quota { name: "q".into(), scope: Scope::default(), inheritable: true, limit }
    }

    #[test]
    fn a_rate_is_a_number_of_requests_in_a_time() {
        for (rate, requests, window) in [
            (1.0, 1, 10),
            (2.4, 2, 10),
            (2.5, 3, 10),
            (0.5, 1, 20),
            (0.1, 1, 100),
            (1e300, u64::MAX, 10),
        ] {
            let found = quota(rate).rate().unwrap();
            assert_eq!((found.requests, found.window.as_secs()), (requests, window), "{rate}");
        }
        // So slow that no time is long enough.
        assert_eq!(quota(1e-300).rate(), None);
    }

    #[test]
    fn an_exempt_path_is_one_or_all_that_begin_so() {
        let config = QuotaConfig {
            exempt_paths: vec!["sys/health".into(), "a/*".into(), "b/".into()],
            ..QuotaConfig::default()
        };
        for (path, exempt) in [
            ("sys/health", true),
            ("sys/health/", true),
            ("sys/healthy", false),
            ("a/b/c", true),
            ("a", false),
            ("b", true),
            ("b/c", false),
        ] {
            assert_eq!(config.exempts(path), exempt, "{path}");
        }
    }

    #[test]
    fn quotas_as_they_were_first_stored_still_read() {
        let stored = r#"{"name":"q","scope":{"mount":"","suffix":"","role":""},"inheritable":true,
            "limit":{"rate":{"rate":2.5,"interval":{"secs":10,"nanos":0},"block_interval":{"secs":0,"nanos":0}}}}"#;
        assert_eq!(serde_json::from_str::<Quota>(stored).unwrap(), quota(2.5));
        let stored = r#"{"name":"q","scope":{"mount":"a/"},"inheritable":false,"limit":{"leases":{"max_leases":5}}}"#;
        let read: Quota = serde_json::from_str(stored).unwrap();
        assert_eq!((read.kind(), read.rate()), (QuotaKind::LeaseCount, None));
        let stored = r#"{"audits_refusals":true,"tells_what_is_left":false,"exempt_paths":["a"]}"#;
        assert!(serde_json::from_str::<QuotaConfig>(stored).unwrap().audits_refusals);
    }
}
