//! Knows about how many leases a token or a role has, without counting them each time.
//!
//! What is known is never too low but by what is under way at once: the leases that were counted last, and one more for
//! each since, whatever has ended meanwhile. Only who seems to have too many is counted again.

use super::tallies::RoleOf;
use crate::limits::{LEASE_HOLDERS_MAX, LEASES_RECOUNTED};
use crate::store::tokens::TokenKey;
use crate::time::Timestamp;
use std::collections::HashMap;

/// Who has leases.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Holder {
    /// The token they were issued to.
    Token(TokenKey),
    /// The role they are of.
    Role(RoleOf),
}

/// Whether there may be one more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// There may, and it is taken as made.
    Room,
    /// There may not.
    Full,
    /// The leases must be counted first.
    Unknown,
}

/// What is known of tokens and roles that have borrowed lately.
#[derive(Debug, Default)]
pub struct Estimates(HashMap<Holder, Estimate>);

#[derive(Debug)]
struct Estimate {
    at_most: u64,
    counted_at: Timestamp,
}

impl Estimates {
    /// Says whether a holder may have one lease more, of `most`.
    pub fn one_more(&mut self, holder: &Holder, most: u64, now: Timestamp) -> Verdict {
        match self.0.get_mut(holder) {
            Some(known) if known.at_most < most => {
                known.at_most = known.at_most.saturating_add(1);
                Verdict::Room
            }
            Some(known) if now < known.counted_at.plus(LEASES_RECOUNTED) => Verdict::Full,
            Some(_) | None => Verdict::Unknown,
        }
    }

    /// Notes how many there were when they were counted, which began at `began`.
    pub fn counted(&mut self, holder: &Holder, leases: u64, began: Timestamp) {
        if let Some(known) = self.0.get_mut(holder) {
            // Another has counted meanwhile, and has seen more or as much.
            if known.counted_at < began {
                *known = Estimate { at_most: leases, counted_at: began };
            }
            return;
        }
        if self.0.len() >= LEASE_HOLDERS_MAX {
            let any = self.0.keys().next().cloned();
            any.map(|any| self.0.remove(&any));
        }
        self.0.insert(holder.clone(), Estimate { at_most: leases, counted_at: began });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(number: u8) -> Holder {
        Holder::Token(TokenKey([number; 32]))
    }

    #[test]
    fn who_seems_to_have_too_many_is_counted_again_but_not_all_the_time() {
        let mut estimates = Estimates::default();
        let (holder, now) = (token(1), Timestamp(1_000));
        assert_eq!(estimates.one_more(&holder, 3, now), Verdict::Unknown);
        estimates.counted(&holder, 1, now);
        for verdict in [Verdict::Room, Verdict::Room, Verdict::Full] {
            assert_eq!(estimates.one_more(&holder, 3, now), verdict);
        }
        // Whoever began to count at the same time brings nothing new.
        estimates.counted(&holder, 1, now);
        assert_eq!(estimates.one_more(&holder, 3, now), Verdict::Full);
        let later = now.plus(LEASES_RECOUNTED);
        assert_eq!(estimates.one_more(&holder, 3, later), Verdict::Unknown);
        estimates.counted(&holder, 2, later);
        for verdict in [Verdict::Room, Verdict::Full] {
            assert_eq!(estimates.one_more(&holder, 3, later), verdict);
        }
        assert_eq!(estimates.one_more(&token(2), 3, later), Verdict::Unknown);
    }

    #[test]
    fn a_bounded_number_of_holders_is_known() {
        let mut estimates = Estimates::default();
        for number in 0..=LEASE_HOLDERS_MAX {
            let mount = crate::ids::MountId::from_bytes([1; 16]);
            estimates.counted(&Holder::Role((mount, number.to_string())), 1, Timestamp(1));
        }
        assert_eq!(estimates.0.len(), LEASE_HOLDERS_MAX);
    }
}
