//! What a method says of the tokens that its logins make: Vault's `token_*` fields, once for all methods.

use super::policy::PolicyName;
use super::token::{ROOT_POLICY, TokenKind};
use crate::address::Network;
use crate::limits::TTL_MAX;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

/// The most networks that one list may hold: each request with such a token looks through them.
const NETWORKS_MAX: usize = 256;
/// The most policies that one role or user may give.
const POLICIES_MAX: usize = 1024;

/// The tokens that logins of one user or one role make.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenParams {
    /// What they may do, besides `default`.
    pub policies: Vec<String>,
    /// Leave out the `default` policy.
    pub no_default_policy: bool,
    /// How long they live; zero for the mount's default.
    pub ttl: Duration,
    /// How long they live at most; zero for the mount's maximum.
    pub max_ttl: Duration,
    /// The bound that no renewal and no change of the maximum passes; zero for none.
    pub explicit_max_ttl: Duration,
    /// Renewed by this much each time; zero for tokens that are not periodic.
    pub period: Duration,
    /// How many requests they are good for; 0 for any number.
    pub num_uses: u32,
    /// From where one may log in and use them, as it was written; none for from everywhere.
    pub bound_cidrs: Vec<String>,
    /// Good only from the address that logged in.
    pub strictly_bind_ip: bool,
    /// How they are kept.
    pub token_type: TokenType,
    /// Which of these were written by names that they once had: those are shown as well.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub old_names: BTreeSet<String>,
}

/// How the tokens of a method are kept; Vault's words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TokenType {
    /// As the mount says.
    #[default]
    Default,
    /// In the store, unless a login says otherwise.
    DefaultService,
    /// Nowhere, unless a login says otherwise.
    DefaultBatch,
    /// In the store.
    Service,
    /// Nowhere.
    Batch,
}

/// What is to be changed; `None` leaves it.
#[derive(Clone, Debug, Default)]
pub struct ParamsWrite {
    /// See [`TokenParams`].
    pub policies: Option<Vec<String>>,
    /// See [`TokenParams`].
    pub no_default_policy: Option<bool>,
    /// See [`TokenParams`].
    pub ttl: Option<Duration>,
    /// See [`TokenParams`].
    pub max_ttl: Option<Duration>,
    /// See [`TokenParams`].
    pub explicit_max_ttl: Option<Duration>,
    /// See [`TokenParams`].
    pub period: Option<Duration>,
    /// See [`TokenParams`].
    pub num_uses: Option<u32>,
    /// See [`TokenParams`].
    pub bound_cidrs: Option<Vec<String>>,
    /// See [`TokenParams`].
    pub strictly_bind_ip: Option<bool>,
    /// See [`TokenParams`].
    pub token_type: Option<TokenType>,
    /// Of each field that has an older name and is written: the older name, and whether it was written by it.
    pub old_names: Vec<(String, bool)>,
}

/// Tokens like these cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadParams(pub String);

impl TokenType {
    /// Returns Vault's word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::DefaultService => "default-service",
            Self::DefaultBatch => "default-batch",
            Self::Service => "service",
            Self::Batch => "batch",
        }
    }

    /// Reads Vault's word; `None` for what is none.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        match word {
            "" | "default" => Some(Self::Default),
            "default-service" => Some(Self::DefaultService),
            "default-batch" => Some(Self::DefaultBatch),
            "service" => Some(Self::Service),
            "batch" => Some(Self::Batch),
            _ => None,
        }
    }

    /// Returns how a token is kept, where this is what its user or role says and that is what its mount says.
    #[must_use]
    pub fn kind(self, mounts: Self) -> TokenKind {
        let decides = match (mounts, self) {
            (Self::Service | Self::Batch, _) | (_, Self::Default) => mounts,
            (_, own) => own,
        };
        match decides {
            Self::Default | Self::DefaultService | Self::Service => TokenKind::Service,
            Self::DefaultBatch | Self::Batch => TokenKind::Batch,
        }
    }
}

impl TokenParams {
    /// The same after a change, checked.
    pub fn changed(mut self, write: ParamsWrite) -> Result<Self, BadParams> {
        if let Some(names) = write.policies {
            let names = PolicyName::parse_all(&names);
            self.policies = names.map_err(|error| BadParams(error.to_string()))?;
        }
        self.no_default_policy = write.no_default_policy.unwrap_or(self.no_default_policy);
        self.ttl = write.ttl.unwrap_or(self.ttl);
        self.max_ttl = write.max_ttl.unwrap_or(self.max_ttl);
        self.explicit_max_ttl = write.explicit_max_ttl.unwrap_or(self.explicit_max_ttl);
        self.period = write.period.unwrap_or(self.period);
        self.num_uses = write.num_uses.unwrap_or(self.num_uses);
        self.bound_cidrs = write.bound_cidrs.unwrap_or(self.bound_cidrs);
        self.strictly_bind_ip = write.strictly_bind_ip.unwrap_or(self.strictly_bind_ip);
        self.token_type = write.token_type.unwrap_or(self.token_type);
        for (name, is_old) in write.old_names {
            if is_old {
                self.old_names.insert(name);
            } else {
                self.old_names.remove(&name);
            }
        }
        self.checked()
    }

    fn checked(self) -> Result<Self, BadParams> {
        let bad = |message: &str| Err(BadParams(message.to_owned()));
        if self.policies.iter().any(|policy| policy == ROOT_POLICY) {
            return bad("`root` is given by a root token only, not by a login");
        }
        if self.policies.len() > POLICIES_MAX {
            return Err(BadParams(format!("more than {POLICIES_MAX} policies")));
        }
        let spans = [self.ttl, self.max_ttl, self.explicit_max_ttl, self.period];
        if spans.iter().any(|span| *span > TTL_MAX) {
            return bad("a ttl may be at most 876000h");
        }
        if !self.max_ttl.is_zero() && self.ttl > self.max_ttl {
            return bad("'token_ttl' cannot be greater than 'token_max_ttl'");
        }
        networks(&self.bound_cidrs)?;
        if matches!(self.token_type, TokenType::Batch | TokenType::DefaultBatch) {
            self.check_for_batch()?;
        }
        Ok(self)
    }

    /// Refuses what no batch token can have.
    pub fn check_for_batch(&self) -> Result<(), BadParams> {
        let what = match (self.period.is_zero(), self.num_uses) {
            (true, 0) => return Ok(()),
            (false, _) => "periodic tokens",
            (true, _) => "tokens with limited use count",
        };
        Err(BadParams(format!(
            "'token_type' cannot be 'batch' or 'default_batch' when set to generate {what}"
        )))
    }

    /// The policies of a token made by a login.
    #[must_use]
    pub fn token_policies(&self) -> Vec<String> {
        let mut policies = self.policies.clone();
        if !self.no_default_policy {
            policies.push("default".into());
        }
        policies.sort();
        policies.dedup();
        policies
    }

    /// Returns from where a token may be used that is made by a login from this address, where what was shown narrows
    /// that `further`; `None` if nobody may log in from there.
    #[must_use]
    pub fn bound_networks(&self, further: &[String], from: Option<IpAddr>) -> Option<Vec<Network>> {
        let bound = in_both(networks(&self.bound_cidrs).ok()?, networks(further).ok()?)?;
        if !is_within(&bound, from) {
            return None;
        }
        match from {
            Some(ip) if self.strictly_bind_ip => Some(vec![ip.to_string().parse().ok()?]),
            None if self.strictly_bind_ip => None,
            Some(_) | None => Some(bound),
        }
    }
}

/// Whether an address is in one of these networks, or there are none. One that nobody knows is in none.
#[must_use]
pub fn is_within(networks: &[Network], from: Option<IpAddr>) -> bool {
    networks.is_empty() || from.is_some_and(|ip| networks.iter().any(|each| each.contains(ip)))
}

/// Returns the networks of addresses that both lists have, of which an empty one has all; `None` if there are none.
fn in_both(one: Vec<Network>, other: Vec<Network>) -> Option<Vec<Network>> {
    if one.is_empty() || other.is_empty() {
        return Some(if one.is_empty() { other } else { one });
    }
    // Of two networks one is within the other, or they have nothing in common.
    let within = |inner: &[Network], outer: &[Network]| -> Vec<_> {
        let is_within = |each: &&Network| outer.iter().any(|wide| wide.includes(**each));
        inner.iter().filter(is_within).copied().collect()
    };
    let mut both = within(&one, &other);
    let more: Vec<_> =
        within(&other, &one).into_iter().filter(|each| !both.contains(each)).collect();
    both.extend(more);
    (!both.is_empty()).then_some(both)
}

/// Reads a list of networks.
pub fn networks(written: &[String]) -> Result<Vec<Network>, BadParams> {
    if written.len() > NETWORKS_MAX {
        return Err(BadParams(format!("more than {NETWORKS_MAX} networks")));
    }
    let read = |text: &String| {
        text.trim().parse().map_err(|error| BadParams(format!("{text:?}: a bound CIDR {error}")))
    };
    written.iter().map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policies(names: &[&str]) -> ParamsWrite {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        ParamsWrite { policies: Some(names), ..ParamsWrite::default() }
    }

    #[test]
    fn no_login_gives_root_however_it_is_written_cve_2025_5999() {
        for name in ["root", " Root", "ROOT\t", "rOOt "] {
            let refused = TokenParams::default().changed(policies(&["a", name]));
            assert!(refused.is_err(), "{name:?}");
        }
        for name in ["ro\u{43e}t", "bac\u{212a}up", "a\tb"] {
            let refused = TokenParams::default().changed(policies(&["a", name]));
            assert!(refused.is_err(), "{name:?} is no name, and no other way of writing one");
        }
        let params = TokenParams::default().changed(policies(&["B ", "a", "b", ""])).unwrap();
        assert_eq!(params.token_policies(), ["a", "b", "default"]);
    }

    #[test]
    fn what_cannot_be_is_refused_and_what_is_not_named_stays() {
        let hour = Some(Duration::from_hours(1));
        let first = ParamsWrite { ttl: hour, max_ttl: hour, ..ParamsWrite::default() };
        let params = TokenParams::default().changed(first).unwrap();
        let longer = ParamsWrite { ttl: Some(Duration::from_hours(2)), ..ParamsWrite::default() };
        assert!(params.clone().changed(longer).is_err());
        let endless = ParamsWrite { period: Some(Duration::MAX), ..ParamsWrite::default() };
        assert!(params.clone().changed(endless).is_err());
        let nowhere =
            ParamsWrite { bound_cidrs: Some(vec!["10.0.0.0/33".into()]), ..ParamsWrite::default() };
        assert!(params.clone().changed(nowhere).is_err());
        assert_eq!(params.clone().changed(ParamsWrite::default()), Ok(params));
    }

    #[test]
    fn a_mount_says_how_tokens_are_kept_unless_it_leaves_that_to_the_login() {
        use TokenType::{Batch, Default, DefaultBatch, DefaultService, Service};
        for (mount, batch) in [
            (DefaultService, [false, false, true, false, true]),
            (DefaultBatch, [true, false, true, false, true]),
            (Service, [false; 5]),
            (Batch, [true; 5]),
        ] {
            for (own, batch) in
                [Default, DefaultService, DefaultBatch, Service, Batch].into_iter().zip(batch)
            {
                let kind = if batch { TokenKind::Batch } else { TokenKind::Service };
                assert_eq!(own.kind(mount), kind, "{own:?} at {mount:?}");
                assert_eq!(TokenType::parse(own.word()), Some(own));
            }
        }
    }

    #[test]
    fn what_a_batch_token_cannot_have_no_user_who_gets_one_has() {
        let batch = ParamsWrite { token_type: Some(TokenType::Batch), ..ParamsWrite::default() };
        let params = TokenParams::default().changed(batch).unwrap();
        let period = Some(Duration::from_hours(1));
        for write in [
            ParamsWrite { period, ..ParamsWrite::default() },
            ParamsWrite { num_uses: Some(1), ..ParamsWrite::default() },
        ] {
            assert!(params.clone().changed(write).is_err());
        }
    }

    #[test]
    fn a_token_is_bound_to_the_networks_of_its_role_or_to_the_address_that_logged_in() {
        let bound = ParamsWrite {
            bound_cidrs: Some(vec!["127.0.0.1/8".into(), "::1".into()]),
            ..ParamsWrite::default()
        };
        let params = TokenParams::default().changed(bound).unwrap();
        let ip = |text: &str| Some(text.parse().unwrap());
        assert_eq!(params.bound_networks(&[], ip("127.9.9.9")).unwrap().len(), 2);
        assert_eq!(params.bound_networks(&[], ip("10.0.0.1")), None);
        assert_eq!(params.bound_networks(&[], None), None);
        let strict = TokenParams { strictly_bind_ip: true, ..params };
        let only = strict.bound_networks(&[], ip("127.9.9.9")).unwrap();
        assert!(is_within(&only, ip("127.9.9.9")) && !is_within(&only, ip("127.9.9.8")));
        assert_eq!(TokenParams::default().bound_networks(&[], None), Some(Vec::new()));
    }

    #[test]
    fn what_narrows_a_token_never_widens_it() {
        let list =
            |texts: &[&str]| -> Vec<String> { texts.iter().map(|&text| text.into()).collect() };
        let ip = Some("192.0.2.1".parse().unwrap());
        for (own, further, both) in [
            (&["192.0.0.0/16"][..], &["192.0.2.0/24"][..], Some(&["192.0.2.0/24"][..])),
            (&["192.0.2.0/24"], &["192.0.0.0/16"], Some(&["192.0.2.0/24"])),
            (&["192.0.2.0/24"], &["192.0.2.0/24"], Some(&["192.0.2.0/24"])),
            (&["192.0.2.0/24"], &[], Some(&["192.0.2.0/24"])),
            (&[], &["192.0.2.0/24"], Some(&["192.0.2.0/24"])),
            (&[], &[], Some(&[])),
            (
                &["192.0.2.0/24", "10.0.0.0/8"],
                &["192.0.2.0/28", "10.0.0.0/8", "::1"],
                Some(&["10.0.0.0/8", "192.0.2.0/28"]),
            ),
            (&["192.0.2.0/24"], &["198.51.100.0/24"], None),
            (&["10.0.0.0/8", "192.0.2.2/32"], &["192.0.2.0/24"], None),
        ] {
            let params = TokenParams { bound_cidrs: list(own), ..TokenParams::default() };
            let both = both.map(|both| networks(&list(both)).unwrap());
            assert_eq!(params.bound_networks(&list(further), ip), both, "{own:?} {further:?}");
        }
    }
}
