//! The TCP header (RFC 9293 §3.1).

use zerocopy::network_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// The header without options.
pub const HEADER_LEN: usize = size_of::<Header>();

/// Distance of the fields from the start of the header.
pub mod offset {
    pub const SOURCE_PORT: usize = 0;
    pub const DESTINATION_PORT: usize = 2;
    pub const SEQUENCE: usize = 4;
    pub const ACKNOWLEDGMENT: usize = 8;
    pub const DATA_OFFSET: usize = 12;
    pub const FLAGS: usize = 13;
    pub const WINDOW: usize = 14;
    pub const CHECKSUM: usize = 16;
}

bitflags::bitflags! {
    /// The control bits.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub struct Flags: u8 {
        const FIN = 0x01;
        const SYN = 0x02;
        const RST = 0x04;
        const PSH = 0x08;
        const ACK = 0x10;
        const URG = 0x20;
        const ECE = 0x40;
        const CWR = 0x80;
    }
}

impl Flags {
    /// Whether the segment opens a connection: SYN without ACK, RST or FIN.
    #[inline(always)]
    #[must_use]
    pub const fn opens(self) -> bool {
        let relevant = Self::SYN.bits() | Self::ACK.bits() | Self::RST.bits() | Self::FIN.bits();
        self.bits() & relevant == Self::SYN.bits()
    }
}

/// The header as it lies in the packet.
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
    pub source_port: U16,
    pub destination_port: U16,
    pub sequence: U32,
    pub acknowledgment: U32,
    /// The header's length in words, in the upper half.
    pub data_offset: u8,
    pub flags: u8,
    pub window: U16,
    pub checksum: U16,
    pub urgent: U16,
}

impl Header {
    /// The header's length in bytes, as its own field says.
    #[inline(always)]
    #[must_use]
    pub const fn header_len(&self) -> usize {
        (self.data_offset >> 4) as usize * 4
    }

    #[inline(always)]
    #[must_use]
    pub const fn flags(&self) -> Flags {
        Flags::from_bits_retain(self.flags)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_is_twenty_bytes_and_offsets_agree_with_it() {
        let header = Header {
            source_port: U16::new(1),
            destination_port: U16::new(2),
            sequence: U32::new(3),
            acknowledgment: U32::new(4),
            data_offset: 0x60,
            flags: 0x12,
            window: U16::new(6),
            checksum: U16::new(7),
            urgent: U16::new(8),
        };
        let bytes = header.as_bytes();

        assert_eq!(HEADER_LEN, 20);
        assert_eq!(header.header_len(), 24);
        assert_eq!(header.flags(), Flags::SYN | Flags::ACK);
        assert_eq!(bytes[offset::SOURCE_PORT + 1], 1);
        assert_eq!(bytes[offset::DESTINATION_PORT + 1], 2);
        assert_eq!(bytes[offset::SEQUENCE + 3], 3);
        assert_eq!(bytes[offset::ACKNOWLEDGMENT + 3], 4);
        assert_eq!(bytes[offset::DATA_OFFSET], 0x60);
        assert_eq!(bytes[offset::FLAGS], 0x12);
        assert_eq!(bytes[offset::WINDOW + 1], 6);
        assert_eq!(bytes[offset::CHECKSUM + 1], 7);
    }

    #[test]
    fn only_a_plain_syn_opens() {
        assert!(Flags::SYN.opens());
        assert!((Flags::SYN | Flags::ECE | Flags::CWR).opens());
        assert!(!(Flags::SYN | Flags::ACK).opens());
        assert!(!(Flags::SYN | Flags::RST).opens());
        assert!(!(Flags::SYN | Flags::FIN).opens());
        assert!(!Flags::ACK.opens());
    }
}
