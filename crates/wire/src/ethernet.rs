//! The Ethernet II header: fourteen bytes before the packet.

use core::fmt;
use core::str::FromStr;

use zerocopy::network_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

pub const HEADER_LEN: usize = size_of::<Header>();

pub const ETHERTYPE_IPV4: u16 = 0x0800;
pub const ETHERTYPE_ARP: u16 = 0x0806;
/// IEEE 802.1Q customer tag.
pub const ETHERTYPE_VLAN: u16 = 0x8100;
pub const ETHERTYPE_IPV6: u16 = 0x86dd;
pub const ETHERTYPE_PPPOE_SESSION: u16 = 0x8864;
/// IEEE 802.1ad service tag.
pub const ETHERTYPE_QINQ: u16 = 0x88a8;

/// A link-layer address.
#[derive(
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Default,
    FromBytes,
    IntoBytes,
    KnownLayout,
    Immutable,
    Unaligned,
)]
#[repr(transparent)]
pub struct MacAddr(pub [u8; 6]);

impl MacAddr {
    pub const BROADCAST: Self = Self([0xff; 6]);
    pub const ZERO: Self = Self([0; 6]);

    /// Whether this is a group address (broadcast included).
    #[inline(always)]
    #[must_use]
    pub const fn is_multicast(self) -> bool {
        self.0[0] & 1 == 1
    }
}

impl fmt::Display for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Text is not six colon-separated bytes in hexadecimal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a link-layer address like 02:00:5e:10:00:01")]
pub struct InvalidMacAddr;

impl FromStr for MacAddr {
    type Err = InvalidMacAddr;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut parts = text.split(':');
        let mut bytes = [0; 6];
        for byte in &mut bytes {
            let part = parts.next().ok_or(InvalidMacAddr)?;
            if part.len() != 2 || !part.bytes().all(|c| c.is_ascii_hexdigit()) {
                return Err(InvalidMacAddr);
            }
            *byte = u8::from_str_radix(part, 16).map_err(|_| InvalidMacAddr)?;
        }
        if parts.next().is_some() {
            return Err(InvalidMacAddr);
        }
        Ok(Self(bytes))
    }
}

/// The header as it lies in the frame.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Default,
    FromBytes,
    IntoBytes,
    KnownLayout,
    Immutable,
    Unaligned,
)]
#[repr(C)]
pub struct Header {
    pub destination: MacAddr,
    pub source: MacAddr,
    pub ethertype: U16,
}

impl Header {
    #[inline(always)]
    #[must_use]
    pub const fn new(destination: MacAddr, source: MacAddr, ethertype: u16) -> Self {
        Self { destination, source, ethertype: U16::new(ethertype) }
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn header_is_fourteen_bytes_in_frame_order() {
        let header = Header::new(MacAddr::BROADCAST, MacAddr([2, 0, 0, 0, 0, 1]), ETHERTYPE_IPV4);

        assert_eq!(HEADER_LEN, 14);
        assert_eq!(
            header.as_bytes(),
            [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 1, 0x08, 0x00]
        );
    }

    #[test]
    fn addresses_print_and_parse() {
        let addr = MacAddr([0x02, 0x00, 0x5e, 0x10, 0x00, 0xfe]);

        assert_eq!(addr.to_string(), "02:00:5e:10:00:fe");
        assert_eq!("02:00:5E:10:00:fe".parse(), Ok(addr));
    }

    #[test]
    fn text_that_is_no_address_is_refused() {
        for text in [
            "",
            "02:00:5e:10:00",
            "02:00:5e:10:00:fe:01",
            "2:0:5e:10:0:fe",
            "02-00-5e-10-00-fe",
            "+2:00:5e:10:00:fe",
        ] {
            assert_eq!(text.parse::<MacAddr>(), Err(InvalidMacAddr), "{text}");
        }
    }

    #[test]
    fn group_bit_tells_multicast() {
        assert!(MacAddr::BROADCAST.is_multicast());
        assert!(MacAddr([0x01, 0, 0x5e, 0, 0, 1]).is_multicast());
        assert!(!MacAddr([0x02, 0, 0, 0, 0, 1]).is_multicast());
    }
}
