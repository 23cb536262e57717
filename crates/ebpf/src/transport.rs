//! Transport headers on the fast path: what has to be right about them, changed and noted.

use masq_flow::index::Hit;
use masq_flow::key::unpack_ports;
use masq_flow::punt::PuntReason;
use masq_flow::{Direction, TcpMark, Translation};
use masq_wire::icmp::{self, kind};
use masq_wire::tcp::{self, Flags};
use masq_wire::{Protocol, udp};

use crate::bytes::Bytes;
use crate::fast::{Arrival, HEADER_LENGTH};
use crate::parse::Packet;

/// A transport header.
#[derive(Clone, Copy)]
pub(crate) struct Transport {
    pub(crate) kind: Kind,
    /// How long it is.
    pub(crate) header_length: u32,
    /// Its checksum.
    pub(crate) checksum: u16,
    /// What is noted in the record.
    pub(crate) note: Note,
}

/// A transport protocol, as it is rewritten.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    EchoReply,
    EchoRequest,
    Tcp,
    Udp,
}

impl Kind {
    /// Where the checksum is.
    #[inline(always)]
    pub(crate) fn checksum_at(self) -> usize {
        match self {
            Self::EchoReply | Self::EchoRequest => icmp::offset::CHECKSUM,
            Self::Tcp => tcp::offset::CHECKSUM,
            Self::Udp => udp::offset::CHECKSUM,
        }
    }
}

/// What a packet leaves behind in its session's record, beside having been counted.
#[derive(Clone, Copy)]
pub(crate) enum Note {
    /// That it was seen.
    Seen,
    /// And TCP's flags and acknowledgement.
    Tcp(TcpMark),
    /// Nothing: it does not prove that anybody uses the session.
    Nothing,
}

/// Reads the transport header of a session's packet.
#[inline(always)]
pub(crate) fn read<B: Bytes>(
    bytes: B,
    arrival: &Arrival,
    packet: &Packet,
    hit: &Hit<'_>,
    translation: &Translation,
) -> Result<Transport, PuntReason> {
    let start = arrival.start + HEADER_LENGTH;
    let total_length = u32::from(packet.header.total_length());
    let Some(length) = total_length.checked_sub(HEADER_LENGTH as u32) else {
        return Err(PuntReason::Malformed);
    };
    match Protocol(packet.key.protocol) {
        Protocol::TCP => segment(bytes.read(start), length, hit),
        Protocol::UDP => datagram(bytes.read(start), length),
        Protocol::ICMP => echo(bytes.read(start), length, translation),
        _ => Err(PuntReason::Protocol),
    }
}

#[inline(always)]
fn segment(header: Option<[u32; 5]>, length: u32, hit: &Hit<'_>) -> Result<Transport, PuntReason> {
    let Some([_, sequence, acknowledgement, fourth, last]) = header else {
        return Err(PuntReason::Malformed);
    };
    let [offset, flags, ..] = fourth.to_ne_bytes();
    let [high, low, ..] = last.to_ne_bytes();
    let checksum = u16::from_be_bytes([high, low]);
    let header_length = u32::from(offset >> 4) * 4;
    if header_length < tcp::HEADER_LEN as u32 || header_length > length {
        return Err(PuntReason::Malformed);
    }
    let mark = TcpMark { flags, acknowledgement: u32::from_be(acknowledgement) };
    let flags = Flags::from_bits_retain(flags);
    if flags.opens() {
        return Err(PuntReason::Opening);
    }
    // Nobody computes this one, but two small changes do not make the same of it as one large.
    if checksum == 0xffff {
        return Err(PuntReason::Zero);
    }
    let note = if flags.contains(Flags::RST) {
        let expected = hit.record.activity.acknowledged(hit.direction.reverse());
        if expected == Some(u32::from_be(sequence)) {
            return Err(PuntReason::Reset);
        }
        match hit.direction {
            Direction::Egress => Note::Nothing,
            Direction::Ingress => Note::Seen,
        }
    } else {
        Note::Tcp(mark)
    };
    Ok(Transport { kind: Kind::Tcp, header_length, checksum, note })
}

#[inline(always)]
fn datagram(header: Option<[u32; 2]>, length: u32) -> Result<Transport, PuntReason> {
    let Some([_, second]) = header else { return Err(PuntReason::Malformed) };
    let [l0, l1, c0, c1] = second.to_ne_bytes();
    let udp_length = u32::from(u16::from_be_bytes([l0, l1]));
    // Less than the payload is legal: what follows are options (RFC 9868).
    if udp_length < udp::HEADER_LEN as u32 || udp_length > length {
        return Err(PuntReason::Malformed);
    }
    Ok(Transport {
        kind: Kind::Udp,
        header_length: udp::HEADER_LEN as u32,
        checksum: u16::from_be_bytes([c0, c1]),
        note: Note::Seen,
    })
}

#[inline(always)]
fn echo(
    header: Option<[u32; 2]>,
    length: u32,
    translation: &Translation,
) -> Result<Transport, PuntReason> {
    let Some([first, second]) = header else { return Err(PuntReason::Malformed) };
    if length < icmp::HEADER_LEN as u32 {
        return Err(PuntReason::Malformed);
    }
    let [kind, code, c0, c1] = first.to_ne_bytes();
    let [_, _, s0, s1] = second.to_ne_bytes();
    let checksum = u16::from_be_bytes([c0, c1]);
    let kind = match kind {
        kind::ECHO_REPLY => Kind::EchoReply,
        kind::ECHO_REQUEST => Kind::EchoRequest,
        _ => return Err(PuntReason::Protocol),
    };
    // The checksum of nothing but zeros is 0xffff, which a difference cannot arrive at. Whether the
    // data are zeros too is for the engine to see.
    let (_, identifier) = unpack_ports(translation.ports);
    let zeros = kind == Kind::EchoReply && [code, s0, s1] == [0; 3] && identifier == 0;
    if zeros && translation.port_delta.apply(checksum) == 0 {
        return Err(PuntReason::Zero);
    }
    let header_length = icmp::HEADER_LEN as u32;
    Ok(Transport { kind, header_length, checksum, note: Note::Seen })
}
