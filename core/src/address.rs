//! From where a request comes, and the networks that addresses are in.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

/// From where a request comes: its sender's address as far as trusted proxies tell it, and the port of the connection.
///
/// **Invariant:** an address of IPv4 is one, also where it was written as one of IPv6 (`::ffff:192.0.2.1`): nobody has
/// two.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ClientAddress {
    ip: IpAddr,
    port: u16,
}

/// The addresses that begin with the same bits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Network {
    /// The first of them.
    first: IpAddr,
    bits: u8,
}

/// It is neither an address nor a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be an address or a network like `10.0.0.0/8` or `2001:db8::/32`")]
pub struct BadNetwork;

/// How many bits of an address of IPv6 stand for one sender: that many are the same wherever one customer or one machine
/// is given addresses of its own, and it may draw a new one of them for each request.
const BITS_OF_SENDER: u8 = 64;

impl ClientAddress {
    /// The other end of a connection.
    #[must_use]
    pub fn new(peer: SocketAddr) -> Self {
        Self { ip: peer.ip().to_canonical(), port: peer.port() }
    }

    /// The sender whom a proxy at this other end names.
    #[must_use]
    pub fn forwarded(self, sender: IpAddr) -> Self {
        Self { ip: sender.to_canonical(), ..self }
    }

    /// Returns the address.
    #[must_use]
    pub fn ip(self) -> IpAddr {
        self.ip
    }

    /// Returns the port of the connection: a proxy's, where one has forwarded the request.
    #[must_use]
    pub fn port(self) -> u16 {
        self.port
    }

    /// Returns whom this address stands for when requests are counted: of IPv4 the address alone, for whose neighbors are
    /// strangers, who must not be able to use up what is its own; of IPv6 all that its sender may have.
    #[must_use]
    pub fn network(self) -> Network {
        let bits = if self.ip.is_ipv4() { 32 } else { BITS_OF_SENDER };
        Network::of(self.ip, bits)
    }
}

impl Network {
    /// The network of so many bits that an address is in.
    fn of(ip: IpAddr, bits: u8) -> Self {
        let first = match ip {
            IpAddr::V4(ip) => {
                let mask = u32::MAX.checked_shl(32_u32.saturating_sub(bits.into()));
                Ipv4Addr::from_bits(ip.to_bits() & mask.unwrap_or_default()).into()
            }
            IpAddr::V6(ip) => {
                let mask = u128::MAX.checked_shl(128_u32.saturating_sub(bits.into()));
                Ipv6Addr::from_bits(ip.to_bits() & mask.unwrap_or_default()).into()
            }
        };
        Self { first, bits }
    }

    /// Whether all addresses of another one are in it.
    #[must_use]
    pub fn includes(self, other: Self) -> bool {
        self.bits <= other.bits && self.contains(other.first)
    }

    /// Whether an address is in it.
    #[must_use]
    pub fn contains(self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        ip.is_ipv4() == self.first.is_ipv4() && Self::of(ip, self.bits) == self
    }
}

/// Reads `192.0.2.0/24`, or an address alone for the network of that one. The bits of an address after those of its
/// network do not count, as in Vault.
impl FromStr for Network {
    type Err = BadNetwork;

    fn from_str(text: &str) -> Result<Self, BadNetwork> {
        let (ip, bits) = match text.split_once('/') {
            None => (text, None),
            // A sign or a zero before it would be another way to write the same.
            Some((ip, bits)) if bits == "0" || !bits.starts_with(['0', '+']) => (ip, Some(bits)),
            Some(_) => return Err(BadNetwork),
        };
        let ip: IpAddr = ip.parse().map_err(|_| BadNetwork)?;
        let bits_max: u8 = if ip.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Ok(bits_max), str::parse).map_err(|_| BadNetwork)?;
        if bits > bits_max {
            return Err(BadNetwork);
        }
        // What is written as addresses of IPv4 within IPv6 is these.
        match ip.to_canonical() {
            canonical if canonical.is_ipv4() && ip.is_ipv6() => {
                Ok(Self::of(canonical, bits.checked_sub(96).ok_or(BadNetwork)?))
            }
            _ => Ok(Self::of(ip, bits)),
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first, self.bits)
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for ClientAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&SocketAddr::new(self.ip, self.port), f)
    }
}

impl Serialize for Network {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Network {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_has_one_way_to_be_written() {
        for (written, read) in [
            ("192.0.2.1", "192.0.2.1/32"),
            ("192.0.2.77/24", "192.0.2.0/24"),
            ("0.0.0.0/0", "0.0.0.0/0"),
            ("2001:DB8::1/32", "2001:db8::/32"),
            ("::1", "::1/128"),
            ("::/0", "::/0"),
            ("::ffff:192.0.2.1", "192.0.2.1/32"),
            ("::ffff:192.0.2.1/120", "192.0.2.0/24"),
        ] {
            let network: Network = written.parse().unwrap();
            assert_eq!(network.to_string(), read, "{written}");
            assert_eq!(read.parse(), Ok(network));
        }
        for written in [
            "",
            "/",
            "192.0.2.1/",
            "/8",
            "192.0.2.1/33",
            "::1/129",
            "192.0.2/24",
            "192.0.2.1/-1",
            "192.0.2.1/+8",
            "192.0.2.1/08",
            "192.0.2.01",
            "192.0.2.1:80",
            "[::1]",
            "fe80::1%eth0",
            "::ffff:192.0.2.1/64",
            " ::1",
            "a",
            "192.0.2.1/8/8",
            "192.0.2.1/300",
        ] {
            assert_eq!(written.parse::<Network>(), Err(BadNetwork), "{written:?}");
        }
    }

    #[test]
    fn an_address_is_in_the_networks_of_its_family() {
        for (network, inside, outside) in [
            ("10.0.0.0/8", "10.255.0.1", "11.0.0.1"),
            ("192.0.2.1", "192.0.2.1", "192.0.2.2"),
            ("10.0.0.0/8", "::ffff:10.0.0.1", "::10.0.0.1"),
            ("0.0.0.0/0", "255.255.255.255", "::1"),
            ("::/0", "2001:db8::1", "192.0.2.1"),
            ("2001:db8::/33", "2001:db8:7fff::1", "2001:db8:8000::1"),
        ] {
            let network: Network = network.parse().unwrap();
            assert!(network.contains(inside.parse().unwrap()), "{network} {inside}");
            assert!(!network.contains(outside.parse().unwrap()), "{network} {outside}");
        }
    }

    #[test]
    fn whoever_may_draw_addresses_is_counted_as_one() {
        for (address, network) in [
            ("192.0.2.77:5", "192.0.2.77/32"),
            ("[::ffff:192.0.2.77]:5", "192.0.2.77/32"),
            ("[2001:db8:1:2:3:4:5:6]:5", "2001:db8:1:2::/64"),
        ] {
            let address = ClientAddress::new(address.parse().unwrap());
            assert_eq!(address.network().to_string(), network);
            assert_eq!(address.port(), 5);
        }
    }
}
