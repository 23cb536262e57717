//! The UDP header (RFC 768).

use zerocopy::network_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

pub const HEADER_LEN: usize = size_of::<Header>();

/// Distance of the fields from the start of the header.
pub mod offset {
    pub const SOURCE_PORT: usize = 0;
    pub const DESTINATION_PORT: usize = 2;
    pub const LENGTH: usize = 4;
    /// UDP-Lite (RFC 3828) and DCCP (RFC 4340) have theirs in the same place.
    pub const CHECKSUM: usize = 6;
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
    /// Header and payload, in bytes.
    pub length: U16,
    /// Zero says that the sender computed none.
    pub checksum: U16,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_is_eight_bytes_and_offsets_agree_with_it() {
        let header = Header {
            source_port: U16::new(1),
            destination_port: U16::new(2),
            length: U16::new(3),
            checksum: U16::new(4),
        };
        let bytes = header.as_bytes();

        assert_eq!(HEADER_LEN, 8);
        assert_eq!(bytes[offset::SOURCE_PORT + 1], 1);
        assert_eq!(bytes[offset::DESTINATION_PORT + 1], 2);
        assert_eq!(bytes[offset::LENGTH + 1], 3);
        assert_eq!(bytes[offset::CHECKSUM + 1], 4);
    }
}
