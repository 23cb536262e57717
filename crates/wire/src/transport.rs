//! What a packet carries: values read from its transport header.
//!
//! These are copies, as of the moment they are read; rewriting the packet does not change them.

use crate::icmp::offset;
use crate::rewrite::u16_at;
use crate::tcp::Flags;
use crate::{icmp, tcp, udp};

/// What follows the IPv4 header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// A fragment with offset above zero: no transport header.
    FragmentTail,
    IcmpError(IcmpError),
    /// A message that is neither query nor error.
    IcmpOther {
        kind: u8,
        code: u8,
    },
    IcmpQuery(IcmpQuery),
    /// A protocol that is translated by address alone.
    Other,
    Tcp(Tcp),
    Udp(Udp),
}

/// The TCP header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tcp {
    pub source_port: u16,
    pub destination_port: u16,
    pub sequence: u32,
    pub acknowledgment: u32,
    pub flags: Flags,
    pub window: u16,
    /// With options.
    pub header_len: usize,
    /// Zero if a first fragment ends within the options.
    pub payload_len: usize,
}

impl Tcp {
    pub(crate) fn read(header: &tcp::Header, transport_len: usize) -> Self {
        Self {
            source_port: header.source_port.get(),
            destination_port: header.destination_port.get(),
            sequence: header.sequence.get(),
            acknowledgment: header.acknowledgment.get(),
            flags: header.flags(),
            window: header.window.get(),
            header_len: header.header_len(),
            payload_len: transport_len.saturating_sub(header.header_len()),
        }
    }

    /// How far the segment moves the sequence number: its payload, and one each for SYN and FIN.
    #[must_use]
    pub fn segment_len(&self) -> u32 {
        // A payload is shorter than 65,536 bytes.
        self.payload_len as u32
            + u32::from(self.flags.contains(Flags::SYN))
            + u32::from(self.flags.contains(Flags::FIN))
    }
}

/// The UDP header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Udp {
    pub source_port: u16,
    pub destination_port: u16,
    /// By the header's length field; a first fragment holds only part of it.
    pub payload_len: usize,
    /// Whether the sender computed a checksum.
    pub has_checksum: bool,
}

impl Udp {
    pub(crate) fn read(header: &udp::Header) -> Self {
        Self {
            source_port: header.source_port.get(),
            destination_port: header.destination_port.get(),
            payload_len: usize::from(header.length.get()).saturating_sub(udp::HEADER_LEN),
            has_checksum: header.checksum.get() != 0,
        }
    }
}

/// An ICMP request or its reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IcmpQuery {
    pub kind: u8,
    /// Whether this is the request.
    pub request: bool,
    pub id: u16,
    pub sequence: u16,
}

impl IcmpQuery {
    pub(crate) fn read(header: &icmp::Header, request: bool) -> Self {
        Self {
            kind: header.kind,
            request,
            id: header.identifier.get(),
            sequence: header.sequence.get(),
        }
    }
}

/// An ICMP error; what it quotes is read by [`Packet::quoted`](crate::Packet::quoted).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IcmpError {
    pub kind: u8,
    pub code: u8,
    /// The next hop's MTU; only "fragmentation needed" has one, and old routers say zero (RFC 1191).
    pub mtu: Option<u16>,
    /// Length of the quoted packet with its padding: all up to the end, or up to the extensions (RFC 4884).
    /// It begins right after the message's eight-byte header.
    pub quoted_len: usize,
    /// Length of the extensions behind it.
    pub extensions_len: usize,
}

impl IcmpError {
    /// Reads a message of at least eight bytes.
    pub(crate) fn read(message: &[u8]) -> Self {
        let kind = message[offset::KIND];
        let code = message[offset::CODE];
        let body_len = message.len() - icmp::HEADER_LEN;
        let quoted_len = match kind {
            // Only these have the length field (RFC 4884 §4). A length that reaches beyond the message
            // is none: the byte was unused before there were extensions.
            icmp::kind::DESTINATION_UNREACHABLE
            | icmp::kind::TIME_EXCEEDED
            | icmp::kind::PARAMETER_PROBLEM => match usize::from(message[offset::QUOTED_LEN]) * 4 {
                0 => body_len,
                len => len.min(body_len),
            },
            _ => body_len,
        };
        let mtu = (kind == icmp::kind::DESTINATION_UNREACHABLE
            && code == icmp::unreachable::FRAGMENTATION_NEEDED)
            .then(|| u16_at(message, offset::MTU));
        Self { kind, code, mtu, quoted_len, extensions_len: body_len - quoted_len }
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;
    use crate::icmp::error::Report;
    use crate::make::{self, at};
    use crate::{Endpoint, Packet};

    #[test]
    fn tcp_is_read() {
        let flags = Flags::SYN | Flags::ACK;
        let segment = make::tcp_with_options(inside(), remote(), flags, 5, 6, &[1; 12], b"data");

        let Transport::Tcp(tcp) = read(segment) else { panic!("not TCP") };

        assert_eq!((tcp.source_port, tcp.destination_port), (40_000, 8888));
        assert_eq!((tcp.sequence, tcp.acknowledgment, tcp.window), (5, 6, 64_240));
        assert_eq!((tcp.flags, tcp.header_len, tcp.payload_len), (flags, 32, 4));
    }

    #[test]
    fn syn_and_fin_take_a_sequence_number_each() {
        let len = |flags, payload: &[u8]| {
            let segment = make::tcp(inside(), remote(), flags, 0, 0, payload);
            let Transport::Tcp(tcp) = read(segment) else { panic!("not TCP") };
            tcp.segment_len()
        };

        assert_eq!(len(Flags::ACK, b""), 0);
        assert_eq!(len(Flags::SYN, b""), 1);
        assert_eq!(len(Flags::FIN | Flags::ACK, b"data"), 5);
        assert_eq!(len(Flags::SYN | Flags::FIN, b""), 2);
    }

    #[test]
    fn udp_is_read() {
        let Transport::Udp(udp) = read(make::udp(inside(), remote(), b"data")) else {
            panic!("not UDP")
        };

        assert_eq!((udp.source_port, udp.destination_port), (40_000, 8888));
        assert_eq!((udp.payload_len, udp.has_checksum), (4, true));
        assert_eq!(
            read(make::udp_without_checksum(inside(), remote(), b"data")),
            Transport::Udp(Udp { has_checksum: false, ..udp })
        );
    }

    #[test]
    fn queries_are_read() {
        let request = IcmpQuery { kind: 8, request: true, id: 40_000, sequence: 3 };
        let reply = IcmpQuery { kind: 0, request: false, ..request };

        assert_eq!(
            read(make::echo_request(inside(), remote().addr, 3, b"data")),
            Transport::IcmpQuery(request)
        );
        assert_eq!(
            read(make::echo_reply(remote().addr, inside(), 3, b"data")),
            Transport::IcmpQuery(reply)
        );
        assert_eq!(
            read(make::icmp(inside().addr, remote().addr, 13, 0, [0, 1, 0, 2], &[0; 12])),
            Transport::IcmpQuery(IcmpQuery { kind: 13, request: true, id: 1, sequence: 2 })
        );
    }

    #[test]
    fn other_messages_are_read() {
        let message = make::icmp(inside().addr, remote().addr, 40, 2, [0; 4], &[]);

        assert_eq!(read(message), Transport::IcmpOther { kind: 40, code: 2 });
    }

    #[test]
    fn only_fragmentation_needed_has_an_mtu() {
        assert_eq!(error(Report::fragmentation_needed(1280)).mtu, Some(1280));
        assert_eq!(error(Report::fragmentation_needed(0)).mtu, Some(0));
        assert_eq!(error(Report { code: 3, ..Report::fragmentation_needed(9) }).mtu, None);
        assert_eq!(error(Report::TTL_EXCEEDED).mtu, None);
    }

    #[test]
    fn rfc_4884_length_is_read_where_the_type_has_one() {
        for (kind, has_length) in [(3, true), (4, false), (5, false), (11, true), (12, true)] {
            // 36 bytes are quoted; the length says 28.
            let error = error(Report { kind, code: 0, rest: [1, 7, 3, 4] });

            let expected = if has_length { (28, 8) } else { (36, 0) };
            assert_eq!((error.quoted_len, error.extensions_len), expected, "type {kind}");
        }
    }

    #[test]
    fn rfc_4884_length_and_mtu_are_side_by_side() {
        let error = error(Report { rest: [0, 7, 5, 0], ..Report::fragmentation_needed(0) });

        assert_eq!((error.mtu, error.quoted_len), (Some(1280), 28));
    }

    fn error(report: Report) -> IcmpError {
        let about = make::udp(inside(), remote(), b"odd data");
        let packet = make::icmp_error([198, 51, 100, 1], inside().addr, report, &about);
        let Transport::IcmpError(error) = read(packet) else { panic!("not an error") };
        error
    }

    fn read(mut packet: Vec<u8>) -> Transport {
        Packet::parse(&mut packet).unwrap().transport()
    }

    fn inside() -> Endpoint {
        at("192.168.1.3:40000")
    }

    fn remote() -> Endpoint {
        at("203.0.113.178:8888")
    }
}
