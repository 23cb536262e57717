//! Addresses of the outside and networks of the inside.
//!
//! An outside pool is a list of single addresses, ranges and prefixes, not necessarily adjacent
//! (RFC 6888 REQ-3). Networks are prefixes in their canonical form: host bits are a mistake, and the
//! message says what was probably meant.

use core::fmt;
use core::net::Ipv4Addr;
use core::str::FromStr;

use serde::{Deserialize, Deserializer, de};

/// A pool may not be larger than this: every address has a port bitmap for each protocol.
pub(crate) const POOL_LIMIT: u32 = 4096;

/// An IPv4 network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Prefix {
    address: Ipv4Addr,
    length: u8,
}

/// One item of a pool: `203.0.113.5`, `203.0.113.5-203.0.113.9` or `203.0.113.0/28`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AddressRange {
    /// The lowest address.
    pub first: Ipv4Addr,
    /// The highest address.
    pub last: Ipv4Addr,
}

/// Why a text is neither an address nor a network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotAnAddress {
    /// The first address is above the last.
    #[error("the range {first}-{last} is empty: write {last}-{first}")]
    Backwards {
        /// The address before the dash.
        first: Ipv4Addr,
        /// The address after it.
        last: Ipv4Addr,
    },
    /// Bits behind the prefix are set.
    #[error("`{address}/{length}` has host bits set: write \"{network}/{length}\"")]
    HostBits {
        /// The address as written.
        address: Ipv4Addr,
        /// The prefix length as written.
        length: u8,
        /// The network it is in.
        network: Ipv4Addr,
    },
    /// IPv6 is not translated by this release.
    #[error("`{text}` is an IPv6 address: this release translates IPv4 only")]
    Ipv6 {
        /// What was written.
        text: String,
    },
    /// A pool of more addresses than there are bitmaps for.
    #[error("`{text}` holds {count} addresses: a pool may have {POOL_LIMIT}")]
    Large {
        /// What was written.
        text: String,
        /// How many addresses it holds.
        count: u64,
    },
    /// Nothing that looks like an address.
    #[error("`{text}` is not {wanted}")]
    Syntax {
        /// What was written.
        text: String,
        /// What would be right.
        wanted: &'static str,
    },
    /// Neither 0.0.0.0, nor loopback, nor multicast, nor broadcast can be the source of a packet.
    #[error("{address} cannot be an outside address: {reason}")]
    Unusable {
        /// The address.
        address: Ipv4Addr,
        /// What it is.
        reason: &'static str,
    },
}

impl Prefix {
    /// # Errors
    ///
    /// When the length is above 32 or bits behind it are set.
    pub fn new(address: Ipv4Addr, length: u8) -> Result<Self, NotAnAddress> {
        if length > 32 {
            return Err(NotAnAddress::Syntax {
                text: format!("{address}/{length}"),
                wanted: "a network: an IPv4 prefix is at most 32 long",
            });
        }
        let network = Ipv4Addr::from_bits(address.to_bits() & mask(length));
        if network != address {
            return Err(NotAnAddress::HostBits { address, length, network });
        }
        Ok(Self { address, length })
    }

    /// The network that an interface's address is in.
    #[must_use]
    pub fn of(address: Ipv4Addr, length: u8) -> Self {
        let length = length.min(32);
        Self { address: Ipv4Addr::from_bits(address.to_bits() & mask(length)), length }
    }

    /// The network's address.
    #[must_use]
    pub fn address(self) -> Ipv4Addr {
        self.address
    }

    /// How many leading bits are the network.
    #[must_use]
    pub fn length(self) -> u8 {
        self.length
    }

    /// Whether an address is in both.
    #[must_use]
    pub fn overlaps(self, other: Self) -> bool {
        let mask = mask(self.length.min(other.length));
        self.address.to_bits() & mask == other.address.to_bits() & mask
    }

    /// Whether the address is in the network.
    #[must_use]
    pub fn contains(self, address: Ipv4Addr) -> bool {
        address.to_bits() & mask(self.length) == self.address.to_bits()
    }
}

fn mask(length: u8) -> u32 {
    u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0)
}

impl FromStr for Prefix {
    type Err = NotAnAddress;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.contains(':') {
            return Err(NotAnAddress::Ipv6 { text: text.to_owned() });
        }
        let syntax = || NotAnAddress::Syntax {
            text: text.to_owned(),
            wanted: "a network: write \"192.168.1.0/24\"",
        };
        let (address, length) = text.split_once('/').unwrap_or((text, "32"));
        Self::new(address.parse().map_err(|_| syntax())?, length.parse().map_err(|_| syntax())?)
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.length)
    }
}

impl AddressRange {
    /// How many addresses there are, at least one.
    #[must_use]
    pub fn count(self) -> u64 {
        u64::from(self.last.to_bits()) - u64::from(self.first.to_bits()) + 1
    }

    /// The first address that both hold.
    #[must_use]
    pub fn common(self, other: Self) -> Option<Ipv4Addr> {
        let first = self.first.max(other.first);
        (first <= self.last.min(other.last)).then_some(first)
    }

    /// Every address, lowest first.
    pub fn addresses(self) -> impl Iterator<Item = Ipv4Addr> {
        (self.first.to_bits()..=self.last.to_bits()).map(Ipv4Addr::from_bits)
    }

    fn checked(self, text: &str) -> Result<Self, NotAnAddress> {
        if self.first > self.last {
            return Err(NotAnAddress::Backwards { first: self.first, last: self.last });
        }
        if self.count() > u64::from(POOL_LIMIT) {
            return Err(NotAnAddress::Large { text: text.to_owned(), count: self.count() });
        }
        for address in [self.first, self.last] {
            let reason = if address.octets()[0] == 0 {
                "0.0.0.0/8 means \"this network\""
            } else if address.is_loopback() {
                "it is a loopback address"
            } else if address.is_multicast() {
                "it is a multicast address"
            } else if address.octets()[0] >= 240 {
                "240.0.0.0/4 is reserved"
            } else {
                continue;
            };
            return Err(NotAnAddress::Unusable { address, reason });
        }
        Ok(self)
    }
}

impl FromStr for AddressRange {
    type Err = NotAnAddress;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.contains(':') {
            return Err(NotAnAddress::Ipv6 { text: text.to_owned() });
        }
        let address = |part: &str| {
            part.trim().parse::<Ipv4Addr>().map_err(|_| NotAnAddress::Syntax {
                text: text.to_owned(),
                wanted: "an address, a range or a prefix: write \"203.0.113.5\", \
                         \"203.0.113.5-203.0.113.9\", \"203.0.113.0/28\", or \"auto\"",
            })
        };
        let range = if text.contains('/') {
            let prefix: Prefix = text.parse()?;
            let last = prefix.address.to_bits() | !mask(prefix.length);
            Self { first: prefix.address, last: Ipv4Addr::from_bits(last) }
        } else if let Some((first, last)) = text.split_once('-') {
            Self { first: address(first)?, last: address(last)? }
        } else {
            let only = address(text)?;
            Self { first: only, last: only }
        };
        range.checked(text)
    }
}

impl fmt::Display for AddressRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last {
            write!(f, "{}", self.first)
        } else {
            write!(f, "{}-{}", self.first, self.last)
        }
    }
}

impl<'de> Deserialize<'de> for Prefix {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl<'de> Deserialize<'de> for AddressRange {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_contain_and_overlap() {
        let net: Prefix = "192.168.1.0/24".parse().unwrap();
        assert!(net.contains(Ipv4Addr::new(192, 168, 1, 255)));
        assert!(!net.contains(Ipv4Addr::new(192, 168, 2, 0)));
        assert!(net.overlaps("192.168.0.0/16".parse().unwrap()));
        assert!(net.overlaps("0.0.0.0/0".parse().unwrap()));
        assert!(!net.overlaps("192.168.2.0/24".parse().unwrap()));
    }

    #[test]
    fn host_bits_say_which_network_was_meant() {
        let error = "192.168.1.3/24".parse::<Prefix>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "`192.168.1.3/24` has host bits set: write \"192.168.1.0/24\""
        );
    }

    #[test]
    fn a_pool_item_is_an_address_a_range_or_a_prefix() {
        let count = |text: &str| text.parse::<AddressRange>().map(AddressRange::count);
        assert_eq!(count("203.0.113.5"), Ok(1));
        assert_eq!(count("198.51.100.9-198.51.100.12"), Ok(4));
        assert_eq!(count("203.0.113.0/28"), Ok(16));
    }

    #[test]
    fn addresses_that_cannot_be_sources_are_refused() {
        for text in [
            "127.0.0.1",
            "0.0.0.0",
            "224.0.0.1",
            "255.255.255.255",
            "2001:db8::1",
            "x",
            "203.0.113.9-203.0.113.5",
            "10.0.0.0/8",
        ] {
            assert!(text.parse::<AddressRange>().is_err(), "{text}");
        }
    }
}
