//! Who sent a request that proxies have forwarded: as far as they are trusted, what `X-Forwarded-For` says.

use leasehold_core::address::{ClientAddress, Network};
use std::net::{IpAddr, SocketAddr};

/// Which proxies a listener believes, in Vault's words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Forwarded {
    /// The proxies that are believed.
    pub(crate) authorized: Vec<Network>,
    /// How many hops before the last one are the operator's own, whatever their addresses.
    pub(crate) hop_skips: usize,
    /// Whether to refuse what somebody else says was forwarded, instead of not believing it.
    pub(crate) reject_not_authorized: bool,
    /// Whether to refuse what was not forwarded.
    pub(crate) reject_not_present: bool,
}

/// Nobody can say who sent a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ForwardedError {
    /// The listener takes only what was forwarded. Vault's words.
    #[error("missing x-forwarded-for header and configured to reject when not present")]
    NotPresent,
    /// The listener takes forwarded requests only from proxies that it knows. Vault's words.
    #[error(
        "client address not authorized for x-forwarded-for and configured to reject connection"
    )]
    NotAuthorized,
    /// There are no more hops than are to be skipped. Vault's words.
    #[error(
        "malformed x-forwarded-for configuration or request, hops to skip ({skips}) would skip before earliest chain \
         link (chain length {length})"
    )]
    TooShort {
        /// How many are to be skipped.
        skips: usize,
        /// How many there are.
        length: usize,
    },
    /// What a proxy told of whoever came to it is no address.
    #[error("the `X-Forwarded-For` of a trusted proxy holds what is no address")]
    NoAddress,
}

impl Forwarded {
    /// Returns who sent a request that came from `peer` with these lines of `X-Forwarded-For`.
    ///
    /// Each proxy adds at the end whom it was asked by. So the last address is told by the other end of the connection,
    /// and each one before it by the one after it, as long as those are trusted: the sender is the last who is not.
    /// **Invariant:** what stands before that was written by the sender. It is not even read.
    pub(crate) fn sender<'a>(
        &self,
        peer: ClientAddress,
        lines: impl DoubleEndedIterator<Item = &'a [u8]> + Clone,
    ) -> Result<ClientAddress, ForwardedError> {
        if lines.clone().next().is_none() {
            let refused = self.reject_not_present.then_some(ForwardedError::NotPresent);
            return refused.map_or(Ok(peer), Err);
        }
        if !self.trusts(peer.ip()) {
            let refused = self.reject_not_authorized.then_some(ForwardedError::NotAuthorized);
            return refused.map_or(Ok(peer), Err);
        }
        let hops = lines.rev().flat_map(|line| line.rsplit(|byte| *byte == b','));
        let mut sender = None;
        for hop in hops.clone().skip(self.hop_skips) {
            let hop = address(hop).ok_or(ForwardedError::NoAddress)?;
            sender = Some(hop);
            if !self.trusts(hop) {
                break;
            }
        }
        let too_short = || {
            let (skips, length) = (self.hop_skips, hops.count());
            ForwardedError::TooShort { skips, length }
        };
        sender.map(|sender| peer.forwarded(sender)).ok_or_else(too_short)
    }

    fn trusts(&self, ip: IpAddr) -> bool {
        self.authorized.iter().any(|network| network.contains(ip))
    }
}

/// Reads an address, with the port that some proxies add.
fn address(written: &[u8]) -> Option<IpAddr> {
    let text = str::from_utf8(written).ok()?.trim_matches([' ', '\t']);
    let bracketed = || text.strip_prefix('[')?.strip_suffix(']')?.parse().ok().map(IpAddr::V6);
    let with_port = || text.parse().ok().map(|address: SocketAddr| address.ip());
    let ip = text.parse().ok().or_else(bracketed).or_else(with_port);
    ip.map(|ip: IpAddr| ip.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROXY: &str = "10.0.0.9";

    fn trusting(networks: &[&str]) -> Forwarded {
        let authorized = networks.iter().map(|network| network.parse().unwrap()).collect();
        Forwarded { authorized, ..Forwarded::default() }
    }

    fn sender(forwarded: &Forwarded, peer: &str, lines: &[&str]) -> Result<String, ForwardedError> {
        let peer = ClientAddress::new(SocketAddr::new(peer.parse().unwrap(), 5));
        let sender = forwarded.sender(peer, lines.iter().map(|line| line.as_bytes()))?;
        assert_eq!(sender.port(), 5);
        Ok(sender.ip().to_string())
    }

    #[test]
    fn the_sender_is_the_last_who_is_no_trusted_proxy() {
        let forwarded = trusting(&["10.0.0.0/8", "2001:db8::/32"]);
        for (lines, expected) in [
            (&[][..], PROXY),
            (&["192.0.2.1"], "192.0.2.1"),
            (&["192.0.2.1", "10.1.1.1"], "192.0.2.1"),
            (&["192.0.2.1, 10.1.1.1,10.2.2.2"], "192.0.2.1"),
            // Whatever the sender made up stands before its own address, in however many lines.
            (&["127.0.0.1, 192.0.2.1, 10.1.1.1"], "192.0.2.1"),
            (&["127.0.0.1", "10.3.3.3", "192.0.2.1", "10.1.1.1"], "192.0.2.1"),
            (&["10.9.9.9, nonsense, 192.0.2.1"], "192.0.2.1"),
            (&["", ",,,", "192.0.2.1"], "192.0.2.1"),
            // All trusted: the first of them asked for itself.
            (&["10.4.4.4, 10.1.1.1"], "10.4.4.4"),
            // One address, in the ways there are to write it.
            (&["\t192.0.2.1 "], "192.0.2.1"),
            (&["192.0.2.1:4711"], "192.0.2.1"),
            (&["::ffff:192.0.2.1"], "192.0.2.1"),
            (&["[::ffff:192.0.2.1]:80, ::ffff:10.1.1.1"], "192.0.2.1"),
            (&["2001:DB9::1"], "2001:db9::1"),
            (&["[2001:db9::1]"], "2001:db9::1"),
            (&["[2001:db9::1]:443, 2001:db8::5, 10.1.1.1:80"], "2001:db9::1"),
        ] {
            assert_eq!(sender(&forwarded, PROXY, lines).as_deref(), Ok(expected), "{lines:?}");
        }
        // The proxy itself may come by IPv6.
        let told = sender(&forwarded, "::ffff:10.0.0.9", &["192.0.2.1"]);
        assert_eq!(told.as_deref(), Ok("192.0.2.1"));
    }

    #[test]
    fn what_a_trusted_proxy_tells_must_be_an_address() {
        let forwarded = trusting(&["10.0.0.0/8"]);
        for line in [
            "",
            " ",
            ",",
            "192.0.2.1,",
            "192.0.2.1, ,10.1.1.1",
            "unknown",
            "_hidden",
            "192.0.2.256",
            "192.0.2",
            "0300.1",
            "192.0.2.01",
            "3232235777",
            "0xc0000201",
            "192.0.2.1:",
            "192.0.2.1:99999",
            "192.0.2.1/32",
            "[192.0.2.1]",
            "[::1",
            "::1]",
            "fe80::1%eth0",
            "192.0.2.1 10.1.1.1",
            "192.0.2.1;10.1.1.1",
            "\"192.0.2.1\"",
            "192.0.2.1\n",
            "for=192.0.2.1",
            "1٩2.0.2.1",
        ] {
            let told = sender(&forwarded, PROXY, &["192.0.2.7", line]);
            assert_eq!(told, Err(ForwardedError::NoAddress), "{line:?}");
        }
        let peer = ClientAddress::new("10.0.0.9:5".parse().unwrap());
        let not_text = forwarded.sender(peer, [b"192.0.2.1\xff".as_slice()].into_iter());
        assert_eq!(not_text, Err(ForwardedError::NoAddress));
    }

    #[test]
    fn who_is_not_trusted_is_taken_for_what_it_is_or_refused() {
        let lines = &["192.0.2.1"][..];
        let mut forwarded = trusting(&["10.0.0.0/8"]);
        assert_eq!(sender(&forwarded, "203.0.113.5", lines).as_deref(), Ok("203.0.113.5"));
        assert_eq!(sender(&forwarded, "203.0.113.5", &["nonsense"]).as_deref(), Ok("203.0.113.5"));
        assert_eq!(sender(&forwarded, "::1", lines).as_deref(), Ok("::1"));
        forwarded.reject_not_authorized = true;
        assert_eq!(sender(&forwarded, "203.0.113.5", lines), Err(ForwardedError::NotAuthorized));
        assert_eq!(sender(&forwarded, "203.0.113.5", &[]).as_deref(), Ok("203.0.113.5"));
        assert_eq!(sender(&forwarded, PROXY, lines).as_deref(), Ok("192.0.2.1"));
        forwarded.reject_not_present = true;
        for peer in ["203.0.113.5", PROXY] {
            assert_eq!(sender(&forwarded, peer, &[]), Err(ForwardedError::NotPresent));
        }
    }

    #[test]
    fn hops_that_are_skipped_may_have_any_address() {
        let forwarded = Forwarded { hop_skips: 2, ..trusting(&["10.0.0.0/8"]) };
        for (lines, expected) in [
            (&["192.0.2.1, 198.51.100.1, 198.51.100.2"][..], "192.0.2.1"),
            (&["192.0.2.9", "192.0.2.1,10.1.1.1", "unknown", "198.51.100.2"], "192.0.2.1"),
        ] {
            assert_eq!(sender(&forwarded, PROXY, lines).as_deref(), Ok(expected), "{lines:?}");
        }
        let told = sender(&forwarded, PROXY, &["192.0.2.1, 198.51.100.1"]);
        assert_eq!(told, Err(ForwardedError::TooShort { skips: 2, length: 2 }));
    }

    #[test]
    fn a_list_without_end_is_read_no_further_than_the_sender() {
        let forwarded = trusting(&["10.0.0.0/8"]);
        let long = "nonsense,".repeat(100_000);
        let lines = vec![long.as_str(); 100];
        let told = sender(&forwarded, PROXY, &[lines.as_slice(), &["192.0.2.1"]].concat());
        assert_eq!(told.as_deref(), Ok("192.0.2.1"));
    }
}
