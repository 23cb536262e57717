//! The ICMP header (RFC 792): types, codes and which of them are queries or errors.

use zerocopy::network_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

pub mod error;

/// Every message has this much: type, code, checksum and four bytes whose meaning depends on the type.
pub const HEADER_LEN: usize = size_of::<Header>();

/// Distance of the fields from the start of the header.
pub mod offset {
    pub const KIND: usize = 0;
    pub const CODE: usize = 1;
    pub const CHECKSUM: usize = 2;
    /// The identifier of queries.
    pub const IDENTIFIER: usize = 4;
    /// The sequence number of queries.
    pub const SEQUENCE: usize = 6;
    /// In errors, how long the quoted datagram is, in words, where extensions follow it (RFC 4884).
    pub const QUOTED_LEN: usize = 5;
    /// The next hop's MTU in "fragmentation needed" (RFC 1191).
    pub const MTU: usize = 6;
}

/// Message types.
pub mod kind {
    pub const ECHO_REPLY: u8 = 0;
    pub const DESTINATION_UNREACHABLE: u8 = 3;
    pub const SOURCE_QUENCH: u8 = 4;
    pub const REDIRECT: u8 = 5;
    pub const ECHO_REQUEST: u8 = 8;
    pub const ROUTER_ADVERTISEMENT: u8 = 9;
    pub const ROUTER_SOLICITATION: u8 = 10;
    pub const TIME_EXCEEDED: u8 = 11;
    pub const PARAMETER_PROBLEM: u8 = 12;
    pub const TIMESTAMP_REQUEST: u8 = 13;
    pub const TIMESTAMP_REPLY: u8 = 14;
    pub const INFORMATION_REQUEST: u8 = 15;
    pub const INFORMATION_REPLY: u8 = 16;
    pub const MASK_REQUEST: u8 = 17;
    pub const MASK_REPLY: u8 = 18;
}

/// Codes of "destination unreachable" (RFC 792, RFC 1122, RFC 1812).
pub mod unreachable {
    pub const NETWORK: u8 = 0;
    pub const HOST: u8 = 1;
    pub const PROTOCOL: u8 = 2;
    pub const PORT: u8 = 3;
    pub const FRAGMENTATION_NEEDED: u8 = 4;
    pub const SOURCE_ROUTE_FAILED: u8 = 5;
    pub const NETWORK_PROHIBITED: u8 = 9;
    pub const HOST_PROHIBITED: u8 = 10;
    pub const ADMINISTRATIVELY_PROHIBITED: u8 = 13;
}

/// Codes of "time exceeded".
pub mod time_exceeded {
    pub const TTL: u8 = 0;
    pub const REASSEMBLY: u8 = 1;
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
    pub kind: u8,
    pub code: u8,
    pub checksum: U16,
    /// Identifier of a query; first half of an error's four bytes.
    pub identifier: U16,
    /// Sequence number of a query; second half of an error's four bytes.
    pub sequence: U16,
}

/// What a type is to a translator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// Quotes the datagram that it is about.
    Error,
    /// Neither query nor error: it belongs to a link, or nobody knows it.
    Other,
    /// Answers a request and carries its identifier.
    Reply,
    /// Carries an identifier and wants a reply that carries it too.
    Request,
}

/// Tells queries and errors apart by their type.
#[inline(always)]
#[must_use]
pub const fn class(kind: u8) -> Class {
    match kind {
        kind::ECHO_REQUEST
        | kind::TIMESTAMP_REQUEST
        | kind::INFORMATION_REQUEST
        | kind::MASK_REQUEST => Class::Request,
        kind::ECHO_REPLY | kind::TIMESTAMP_REPLY | kind::INFORMATION_REPLY | kind::MASK_REPLY => {
            Class::Reply
        }
        kind::DESTINATION_UNREACHABLE
        | kind::SOURCE_QUENCH
        | kind::REDIRECT
        | kind::TIME_EXCEEDED
        | kind::PARAMETER_PROBLEM => Class::Error,
        _ => Class::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_is_eight_bytes_and_offsets_agree_with_it() {
        let header = Header {
            kind: 8,
            code: 1,
            checksum: U16::new(2),
            identifier: U16::new(3),
            sequence: U16::new(4),
        };
        let bytes = header.as_bytes();

        assert_eq!(HEADER_LEN, 8);
        assert_eq!(bytes[offset::KIND], 8);
        assert_eq!(bytes[offset::CODE], 1);
        assert_eq!(bytes[offset::CHECKSUM + 1], 2);
        assert_eq!(bytes[offset::IDENTIFIER + 1], 3);
        assert_eq!(bytes[offset::SEQUENCE + 1], 4);
    }

    #[test]
    fn every_request_is_followed_or_preceded_by_its_reply() {
        for (request, reply) in [(8, 0), (13, 14), (15, 16), (17, 18)] {
            assert_eq!(class(request), Class::Request);
            assert_eq!(class(reply), Class::Reply);
        }
    }

    #[test]
    fn only_the_five_errors_of_rfc_1122_quote() {
        let errors = (0..=255).filter(|kind| class(*kind) == Class::Error);

        assert!(errors.eq([3, 4, 5, 11, 12]));
    }
}
