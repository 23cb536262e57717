//! Rewriting a packet on the fast path.
//!
//! Everything but the transport checksum is written here for both programs. The IPv4 checksum never
//! is left to hardware, so it is mended directly; and since it makes the header's sum what it was, a
//! sum over the whole packet that a driver has computed stays right.

use masq_flow::index::Hit;
use masq_flow::key::unpack_ports;
use masq_wire::checksum::{Delta, never_zero};
use masq_wire::icmp::offset;
use zerocopy::network_endian::U16;

use crate::bytes::Bytes;
use crate::clock;
use crate::fast::{Arrival, HEADER_LENGTH, Way};
use crate::parse::{Header, Packet};
use crate::transport::{Kind, Note};

/// Writes addresses, time to live, and ports or identifier.
#[inline(always)]
pub(crate) fn headers<B: Bytes>(bytes: B, start: usize, packet: &Packet, way: &Way) -> Option<()> {
    let header = packet.header;
    let to = &way.translation;
    let (ttl, protocol) = (header.ttl(), header.protocol());
    let checksum = to.address_delta.apply_with(Delta::TTL_DECREMENTED, header.checksum());
    let [high, low] = checksum.to_be_bytes();
    let third = u32::from_ne_bytes([ttl.wrapping_sub(1), protocol, high, low]);
    bytes.write(start + Header::TAIL, [third, to.source, to.destination])?;
    let transport = start + HEADER_LENGTH;
    match way.transport.kind {
        Kind::Tcp | Kind::Udp => bytes.write(transport, to.ports),
        // A request has the identifier for its source port, a reply for its destination port.
        Kind::EchoRequest => {
            let (identifier, _) = unpack_ports(to.ports);
            bytes.write(transport + offset::IDENTIFIER, U16::new(identifier))
        }
        Kind::EchoReply => {
            let (_, identifier) = unpack_ports(to.ports);
            bytes.write(transport + offset::IDENTIFIER, U16::new(identifier))
        }
    }
}

/// Writes the transport checksum of a packet whose checksum is complete.
#[inline(always)]
pub(crate) fn checksum<B: Bytes>(bytes: B, start: usize, way: &Way) -> Option<()> {
    let (to, transport) = (&way.translation, &way.transport);
    let both = || to.address_delta.apply_with(to.port_delta, transport.checksum);
    let checksum = match (transport.kind, transport.checksum) {
        (Kind::EchoReply | Kind::EchoRequest, before) => to.port_delta.apply(before),
        (Kind::Udp, 0) => 0,
        // Where 0xffff comes in for zero, it goes out for zero if nothing has changed.
        (Kind::Udp, _) => never_zero(both()),
        (Kind::Tcp, _) => both(),
    };
    bytes.write(start + HEADER_LENGTH + transport.kind.checksum_at(), U16::new(checksum))
}

/// Notes a packet in its session's record: so many packets that came as one, of that many bytes.
#[inline(always)]
pub(crate) fn stamp(hit: &Hit<'_>, arrival: &Arrival, packet: &Packet, way: &Way, segments: u32) {
    let (activity, direction) = (&hit.record.activity, hit.direction);
    let headers = HEADER_LENGTH as u32 + way.transport.header_length;
    let more = if arrival.segment == 0 { 0 } else { segments.saturating_sub(1) };
    let length = u64::from(packet.header.total_length()) + u64::from(more) * u64::from(headers);
    let mark = match way.transport.note {
        Note::Tcp(mark) => Some(mark),
        Note::Seen | Note::Nothing => None,
    };
    let now = match way.transport.note {
        Note::Nothing => activity.last_seen(direction),
        Note::Seen | Note::Tcp(_) => clock::now(hit.header),
    };
    activity.stamp_several(now, direction, 1 + more, length, mark);
}
