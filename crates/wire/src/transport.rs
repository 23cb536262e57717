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
