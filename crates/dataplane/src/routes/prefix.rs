//! An address prefix, always with its host bits cleared.

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// `address/length`, with the bits beyond the length zero, so that equal prefixes compare equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Prefix {
    address: IpAddr,
    length: u8,
}

impl Prefix {
    /// Makes the prefix of that length that contains `address`; a length beyond the address's
    /// bits counts as all of them.
    pub fn new(address: IpAddr, length: u8) -> Self {
        match address {
            IpAddr::V4(address) => {
                let length = length.min(32);
                let mask = u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0);
                Self { address: Ipv4Addr::from_bits(address.to_bits() & mask).into(), length }
            }
            IpAddr::V6(address) => {
                let length = length.min(128);
                let mask = u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0);
                Self { address: Ipv6Addr::from_bits(address.to_bits() & mask).into(), length }
            }
        }
    }

    /// The first address of the prefix.
    pub fn address(self) -> IpAddr {
        self.address
    }

    /// How many leading bits are fixed.
    pub fn length(self) -> u8 {
        self.length
    }

    /// Whether the address lies inside; never for an address of the other family.
    pub fn contains(self, address: IpAddr) -> bool {
        self.address.is_ipv4() == address.is_ipv4() && Self::new(address, self.length) == self
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(address: &str, length: u8) -> Prefix {
        Prefix::new(address.parse().unwrap(), length)
    }

    #[test]
    fn host_bits_are_cleared() {
        assert_eq!(prefix("192.0.2.77", 24), prefix("192.0.2.0", 24));
        assert_eq!(prefix("192.0.2.77", 0).to_string(), "0.0.0.0/0");
        assert_eq!(prefix("2001:db8::77", 32).to_string(), "2001:db8::/32");
        assert_eq!(prefix("2001:db8::77", 200).length(), 128);
    }

    #[test]
    fn containing_respects_length_and_family() {
        let net = prefix("192.0.2.0", 25);
        assert!(net.contains("192.0.2.127".parse().unwrap()));
        assert!(!net.contains("192.0.2.128".parse().unwrap()));
        assert!(!prefix("0.0.0.0", 0).contains("::".parse().unwrap()));
        assert!(prefix("0.0.0.0", 0).contains("203.0.113.9".parse().unwrap()));
    }
}
