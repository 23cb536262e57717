//! The IPv4 header (RFC 791) and its options.

use core::net::Ipv4Addr;

use zerocopy::network_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::Protocol;
use crate::checksum::Sum;

/// The header without options.
pub const HEADER_LEN: usize = size_of::<Header>();
/// The longest header: the length field counts to fifteen words.
pub const MAX_HEADER_LEN: usize = 60;
/// The longest options.
pub const MAX_OPTIONS_LEN: usize = MAX_HEADER_LEN - HEADER_LEN;
/// The longest datagram.
pub const MAX_TOTAL_LEN: usize = 65_535;
/// Every link carries this much without fragmenting it (RFC 791).
pub const MIN_MTU: usize = 68;
/// Every host takes a datagram of this size (RFC 791).
pub const MIN_REASSEMBLED_LEN: usize = 576;

pub const RESERVED_FLAG: u16 = 0x8000;
pub const DONT_FRAGMENT: u16 = 0x4000;
pub const MORE_FRAGMENTS: u16 = 0x2000;
/// The fragment offset within its word, in units of eight bytes.
pub const OFFSET_MASK: u16 = 0x1fff;

/// Distance of the fields from the start of the header, for those who write into packets in place.
pub mod offset {
    pub const TOS: usize = 1;
    pub const TOTAL_LEN: usize = 2;
    pub const IDENTIFICATION: usize = 4;
    pub const FRAGMENT: usize = 6;
    pub const TTL: usize = 8;
    pub const PROTOCOL: usize = 9;
    pub const CHECKSUM: usize = 10;
    pub const SOURCE: usize = 12;
    pub const DESTINATION: usize = 16;
}

/// The header as it lies in the packet.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned,
)]
#[repr(C)]
pub struct Header {
    /// Version, and the header's length in words.
    pub version_ihl: u8,
    pub tos: u8,
    pub total_len: U16,
    pub identification: U16,
    /// Flags and fragment offset.
    pub fragment: U16,
    pub ttl: u8,
    pub protocol: u8,
    pub checksum: U16,
    pub source: U32,
    pub destination: U32,
}

impl Header {
    /// The version field; 4 in a valid header.
    #[inline(always)]
    #[must_use]
    pub const fn version(&self) -> u8 {
        self.version_ihl >> 4
    }

    /// The header's length in bytes, as its own field says.
    #[inline(always)]
    #[must_use]
    pub const fn header_len(&self) -> usize {
        (self.version_ihl & 0x0f) as usize * 4
    }

    #[inline(always)]
    #[must_use]
    pub fn source(&self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.source.get())
    }

    #[inline(always)]
    #[must_use]
    pub fn destination(&self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.destination.get())
    }

    #[inline(always)]
    #[must_use]
    pub const fn protocol(&self) -> Protocol {
        Protocol(self.protocol)
    }

    #[inline(always)]
    #[must_use]
    pub fn dont_fragment(&self) -> bool {
        self.fragment.get() & DONT_FRAGMENT != 0
    }

    #[inline(always)]
    #[must_use]
    pub fn more_fragments(&self) -> bool {
        self.fragment.get() & MORE_FRAGMENTS != 0
    }

    /// Where the payload belongs in its datagram, in bytes.
    #[inline(always)]
    #[must_use]
    pub fn fragment_offset(&self) -> usize {
        (self.fragment.get() & OFFSET_MASK) as usize * 8
    }

    /// Whether the packet is not a whole datagram.
    #[inline(always)]
    #[must_use]
    pub fn is_fragment(&self) -> bool {
        self.fragment.get() & (MORE_FRAGMENTS | OFFSET_MASK) != 0
    }
}

/// A buffer is too short for what is to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("buffer is shorter than the {needed} bytes to write")]
pub struct BufferTooSmall {
    pub needed: usize,
}

/// Fills in the checksum of a header (options included) that we made ourselves.
pub(crate) fn fill_checksum(header: &mut [u8]) {
    header[offset::CHECKSUM..][..2].fill(0);
    let checksum = Sum::ZERO.add_bytes(header).checksum();
    header[offset::CHECKSUM..][..2].copy_from_slice(&checksum.to_be_bytes());
}

/// An option of the header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeaderOption<'a> {
    /// The whole type byte: copied flag, class and number.
    pub kind: u8,
    /// The option as it lies in the header, with its type and length.
    pub bytes: &'a [u8],
}

impl HeaderOption<'_> {
    pub const END: u8 = 0;
    pub const NO_OPERATION: u8 = 1;
    pub const RECORD_ROUTE: u8 = 7;
    pub const TIMESTAMP: u8 = 68;
    pub const LOOSE_SOURCE_ROUTE: u8 = 131;
    pub const STRICT_SOURCE_ROUTE: u8 = 137;
    /// RFC 2113.
    pub const ROUTER_ALERT: u8 = 148;

    /// Whether every fragment carries it, not just the first.
    #[must_use]
    pub const fn is_copied(&self) -> bool {
        self.kind & 0x80 != 0
    }

    /// Whether it names addresses of the path, which a translator must not let out.
    #[must_use]
    pub const fn holds_addresses(&self) -> bool {
        matches!(
            self.kind,
            Self::RECORD_ROUTE
                | Self::TIMESTAMP
                | Self::LOOSE_SOURCE_ROUTE
                | Self::STRICT_SOURCE_ROUTE
        )
    }
}

/// Iterates over the options of a header, without the padding after the end option.
#[derive(Debug, Clone)]
pub struct HeaderOptions<'a> {
    rest: &'a [u8],
}

impl<'a> HeaderOptions<'a> {
    /// Over the bytes between the fixed header and the payload.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Whether every option ends where the header ends, or before.
    #[must_use]
    pub fn are_well_formed(mut self) -> bool {
        while let Some(step) = self.step() {
            if step.is_none() {
                return false;
            }
        }
        true
    }

    /// The next option; the inner `None` stands for one that reaches past the end.
    fn step(&mut self) -> Option<Option<HeaderOption<'a>>> {
        let (&kind, after) = self.rest.split_first()?;
        let len = match kind {
            HeaderOption::END => return None,
            HeaderOption::NO_OPERATION => 1,
            _ => after.first().map_or(0, |len| usize::from(*len)),
        };
        if (len < 2 && kind != HeaderOption::NO_OPERATION) || len > self.rest.len() {
            self.rest = &[];
            return Some(None);
        }
        let (bytes, rest) = self.rest.split_at(len);
        self.rest = rest;
        Some(Some(HeaderOption { kind, bytes }))
    }
}

impl<'a> Iterator for HeaderOptions<'a> {
    type Item = HeaderOption<'a>;

    /// The next option; options that are not well-formed end the walk.
    fn next(&mut self) -> Option<Self::Item> {
        self.step().flatten()
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    fn kinds(bytes: &[u8]) -> Vec<u8> {
        HeaderOptions::new(bytes).map(|option| option.kind).collect()
    }

    #[test]
    fn header_is_twenty_bytes_and_offsets_agree_with_it() {
        let header = Header {
            version_ihl: 0x45,
            tos: 1,
            total_len: U16::new(0x0203),
            identification: U16::new(0x0405),
            fragment: U16::new(0x6001),
            ttl: 8,
            protocol: 9,
            checksum: U16::new(0x0a0b),
            source: U32::new(0x0c0d_0e0f),
            destination: U32::new(0x1011_1213),
        };
        let bytes = header.as_bytes();

        assert_eq!(HEADER_LEN, 20);
        assert_eq!(header.version(), 4);
        assert_eq!(header.header_len(), 20);
        assert_eq!(bytes[offset::TOS], 1);
        assert_eq!(bytes[offset::TOTAL_LEN..][..2], [2, 3]);
        assert_eq!(bytes[offset::IDENTIFICATION..][..2], [4, 5]);
        assert_eq!(bytes[offset::FRAGMENT..][..2], [0x60, 1]);
        assert_eq!(bytes[offset::TTL], 8);
        assert_eq!(bytes[offset::PROTOCOL], 9);
        assert_eq!(bytes[offset::CHECKSUM..][..2], [0x0a, 0x0b]);
        assert_eq!(bytes[offset::SOURCE..][..4], header.source().octets());
        assert_eq!(bytes[offset::DESTINATION..][..4], header.destination().octets());
        assert!(header.dont_fragment() && header.more_fragments() && header.is_fragment());
        assert_eq!(header.fragment_offset(), 8);
    }

    #[test]
    fn options_are_walked_to_the_end_option() {
        let bytes = [1, 148, 4, 0, 0, 7, 3, 4, 0, 9, 9, 9];

        assert_eq!(kinds(&bytes), [1, 148, 7]);
        assert!(HeaderOptions::new(&bytes).are_well_formed());
        assert_eq!(HeaderOptions::new(&bytes).nth(1).map(|o| o.bytes), Some(&bytes[1..5]));
    }

    #[test]
    fn options_past_the_end_are_not_well_formed() {
        for bytes in [&[1, 1, 1, 7][..], &[7, 5, 0, 0], &[7, 1, 0, 0], &[7, 0, 0, 0]] {
            assert!(!HeaderOptions::new(bytes).are_well_formed(), "{bytes:?}");
        }
        assert_eq!(kinds(&[1, 7, 9, 0]), [1]);
    }

    #[test]
    fn no_options_are_well_formed() {
        assert!(HeaderOptions::new(&[]).are_well_formed());
        assert_eq!(kinds(&[]), []);
    }

    #[test]
    fn copied_flag_and_addresses_are_told_by_kind() {
        let option = |kind| HeaderOption { kind, bytes: &[] };

        assert!(option(HeaderOption::ROUTER_ALERT).is_copied());
        assert!(!option(HeaderOption::RECORD_ROUTE).is_copied());
        assert!(option(HeaderOption::RECORD_ROUTE).holds_addresses());
        assert!(option(HeaderOption::LOOSE_SOURCE_ROUTE).holds_addresses());
        assert!(!option(HeaderOption::ROUTER_ALERT).holds_addresses());
    }
}
