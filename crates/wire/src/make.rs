//! Packets from values, for tests.
//!
//! Everything is valid and has full checksums, computed from nothing: that makes it the reference for
//! the incremental ones. Tests that want a fault edit the bytes and, where the fault is elsewhere, call
//! [`fill_checksums`]. Functions panic on arguments that make no sense.

use alloc::vec;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr};

use zerocopy::IntoBytes;

use crate::checksum::Sum;
use crate::fragment::Fragments;
use crate::icmp::error::Report;
use crate::icmp::kind;
use crate::tcp::Flags;
use crate::{Endpoint, Packet, Protocol, icmp, ipv4, tcp, udp};

/// The time to live of packets made here.
pub const TTL: u8 = 64;

/// Reads an endpoint such as `192.0.2.1:80`.
#[must_use]
pub fn at(text: &str) -> Endpoint {
    text.parse().expect("an endpoint like 192.0.2.1:80")
}

/// A packet of any protocol. Fills in the transport checksum if the protocol has one.
#[must_use]
pub fn ip(
    protocol: Protocol,
    source: impl Into<IpAddr>,
    destination: impl Into<IpAddr>,
    payload: &[u8],
) -> Vec<u8> {
    let header = ipv4::Header {
        version_ihl: 0x45,
        tos: 0,
        total_len: len_u16(ipv4::HEADER_LEN + payload.len()).into(),
        identification: 0x1234.into(),
        fragment: 0.into(),
        ttl: TTL,
        protocol: protocol.0,
        checksum: 0.into(),
        source: v4(source.into()).to_bits().into(),
        destination: v4(destination.into()).to_bits().into(),
    };
    let mut packet = header.as_bytes().to_vec();
    packet.extend_from_slice(payload);
    fill_checksums(&mut packet);
    packet
}

#[must_use]
pub fn udp(source: Endpoint, destination: Endpoint, payload: &[u8]) -> Vec<u8> {
    let header = udp::Header {
        source_port: source.port.into(),
        destination_port: destination.port.into(),
        length: len_u16(udp::HEADER_LEN + payload.len()).into(),
        // Anything but zero, so that it is filled in.
        checksum: 1.into(),
    };
    ip(Protocol::UDP, source.addr, destination.addr, &concat(header.as_bytes(), payload))
}

/// A UDP datagram whose sender computed no checksum.
#[must_use]
pub fn udp_without_checksum(source: Endpoint, destination: Endpoint, payload: &[u8]) -> Vec<u8> {
    let mut packet = udp(source, destination, payload);
    packet[ipv4::HEADER_LEN + udp::offset::CHECKSUM..][..2].fill(0);
    packet
}

#[must_use]
pub fn tcp(
    source: Endpoint,
    destination: Endpoint,
    flags: Flags,
    sequence: u32,
    acknowledgment: u32,
    payload: &[u8],
) -> Vec<u8> {
    tcp_with_options(source, destination, flags, sequence, acknowledgment, &[], payload)
}

/// A segment whose header has options, given with their padding to words.
#[must_use]
pub fn tcp_with_options(
    source: Endpoint,
    destination: Endpoint,
    flags: Flags,
    sequence: u32,
    acknowledgment: u32,
    options: &[u8],
    payload: &[u8],
) -> Vec<u8> {
    assert!(options.len().is_multiple_of(4) && options.len() <= 40, "options are up to ten words");
    let header = tcp::Header {
        source_port: source.port.into(),
        destination_port: destination.port.into(),
        sequence: sequence.into(),
        acknowledgment: acknowledgment.into(),
        data_offset: (5 + options.len() as u8 / 4) << 4,
        flags: flags.bits(),
        window: 64_240.into(),
        checksum: 0.into(),
        urgent: 0.into(),
    };
    let body = concat(&concat(header.as_bytes(), options), payload);
    ip(Protocol::TCP, source.addr, destination.addr, &body)
}

/// An echo request; the port of its source is the identifier.
#[must_use]
pub fn echo_request(
    source: Endpoint,
    destination: impl Into<IpAddr>,
    sequence: u16,
    payload: &[u8],
) -> Vec<u8> {
    let rest = query(source.port, sequence);
    icmp(source.addr, destination, kind::ECHO_REQUEST, 0, rest, payload)
}

/// An echo reply; the port of its destination is the identifier.
#[must_use]
pub fn echo_reply(
    source: impl Into<IpAddr>,
    destination: Endpoint,
    sequence: u16,
    payload: &[u8],
) -> Vec<u8> {
    let rest = query(destination.port, sequence);
    icmp(source, destination.addr, kind::ECHO_REPLY, 0, rest, payload)
}

/// Any ICMP message; `rest` is what follows the checksum.
#[must_use]
pub fn icmp(
    source: impl Into<IpAddr>,
    destination: impl Into<IpAddr>,
    kind: u8,
    code: u8,
    rest: [u8; 4],
    body: &[u8],
) -> Vec<u8> {
    let message = concat(&concat(&[kind, code, 0, 0], &rest), body);
    ip(Protocol::ICMP, source, destination, &message)
}

/// An ICMP error that quotes the bytes given, all of them.
#[must_use]
pub fn icmp_error(
    source: impl Into<IpAddr>,
    destination: impl Into<IpAddr>,
    report: Report,
    quoted: &[u8],
) -> Vec<u8> {
    icmp(source, destination, report.kind, report.code, report.rest, quoted)
}

/// An ICMP error with extensions behind the quoted bytes, which are padded to 128 (RFC 4884).
#[must_use]
pub fn icmp_error_with_extensions(
    source: impl Into<IpAddr>,
    destination: impl Into<IpAddr>,
    report: Report,
    quoted: &[u8],
    extensions: &[u8],
) -> Vec<u8> {
    let mut body = quoted.to_vec();
    body.resize(quoted.len().next_multiple_of(4).max(128), 0);
    let mut rest = report.rest;
    rest[1] = u8::try_from(body.len() / 4).expect("a quotation of at most 1,020 bytes");
    body.extend_from_slice(extensions);
    icmp(source, destination, report.kind, report.code, rest, &body)
}

/// The same packet with options in its IPv4 header, padded to words with "end of options".
#[must_use]
pub fn with_options(packet: &[u8], options: &[u8]) -> Vec<u8> {
    let header_len = usize::from(packet[0] & 0x0f) * 4;
    let mut header = packet[..ipv4::HEADER_LEN].to_vec();
    header.extend_from_slice(options);
    header.resize(header.len().next_multiple_of(4), 0);
    assert!(header.len() <= ipv4::MAX_HEADER_LEN, "options are at most 40 bytes");
    header[0] = 0x40 | (header.len() / 4) as u8;

    let mut packet = concat(&header, &packet[header_len..]);
    let total_len = len_u16(packet.len());
    packet[ipv4::offset::TOTAL_LEN..][..2].copy_from_slice(&total_len.to_be_bytes());
    fill_header_checksum(&mut packet);
    packet
}

#[must_use]
pub fn with_ttl(packet: &[u8], ttl: u8) -> Vec<u8> {
    edited(packet, |packet| packet[ipv4::offset::TTL] = ttl)
}

#[must_use]
pub fn with_tos(packet: &[u8], tos: u8) -> Vec<u8> {
    edited(packet, |packet| packet[ipv4::offset::TOS] = tos)
}

#[must_use]
pub fn with_identification(packet: &[u8], identification: u16) -> Vec<u8> {
    edited(packet, |packet| {
        packet[ipv4::offset::IDENTIFICATION..][..2].copy_from_slice(&identification.to_be_bytes());
    })
}

#[must_use]
pub fn with_dont_fragment(packet: &[u8]) -> Vec<u8> {
    edited(packet, |packet| packet[ipv4::offset::FRAGMENT] |= 0x40)
}

/// The packet cut into fragments of at most `mtu` bytes, in order.
#[must_use]
pub fn fragments(packet: &[u8], mtu: usize) -> Vec<Vec<u8>> {
    let mut packet = packet.to_vec();
    let view = Packet::parse(&mut packet).expect("a valid packet");
    let fragments = Fragments::new(&view, mtu).expect("an MTU that holds a fragment");
    fragments
        .clone()
        .map(|fragment| {
            let mut out = vec![0; mtu];
            let len = fragments.write(&fragment, view.bytes(), &mut out).expect("an MTU of room");
            out.truncate(len);
            out
        })
        .collect()
}

/// One fragment with any data at any offset (a multiple of eight), header taken from `packet`; nothing
/// is checked, so it may overlap others, or lie beyond the end.
#[must_use]
pub fn fragment(packet: &[u8], offset: usize, data: &[u8], more: bool) -> Vec<u8> {
    assert!(
        offset.is_multiple_of(8) && offset / 8 <= usize::from(ipv4::OFFSET_MASK),
        "an offset in eights"
    );
    let header_len = usize::from(packet[0] & 0x0f) * 4;
    let mut fragment = concat(&packet[..header_len], data);
    let total_len = len_u16(fragment.len());
    let more = if more { ipv4::MORE_FRAGMENTS } else { 0 };
    let word = more | (offset / 8) as u16;
    fragment[ipv4::offset::TOTAL_LEN..][..2].copy_from_slice(&total_len.to_be_bytes());
    fragment[ipv4::offset::FRAGMENT..][..2].copy_from_slice(&word.to_be_bytes());
    fill_header_checksum(&mut fragment);
    fragment
}

/// Computes the header checksum anew.
pub fn fill_header_checksum(packet: &mut [u8]) {
    let header_len = usize::from(packet[0] & 0x0f) * 4;
    ipv4::fill_checksum(&mut packet[..header_len]);
}

/// Computes all checksums of a whole datagram anew. A UDP checksum of zero stays zero.
pub fn fill_checksums(packet: &mut [u8]) {
    fill_header_checksum(packet);
    let Some(at) = transport_checksum_at(packet) else {
        return;
    };
    let udp = packet[ipv4::offset::PROTOCOL] == Protocol::UDP.0;
    if udp && packet[at..][..2] == [0, 0] {
        return;
    }
    packet[at..][..2].fill(0);
    let sum = transport_sum(packet);
    let checksum = if udp { sum.udp_checksum() } else { sum.checksum() };
    packet[at..][..2].copy_from_slice(&checksum.to_be_bytes());
}

/// Whether all checksums of a whole datagram are right, by full computation.
#[must_use]
pub fn checksums_verify(packet: &[u8]) -> bool {
    let header_len = usize::from(packet[0] & 0x0f) * 4;
    if !Sum::ZERO.add_bytes(&packet[..header_len]).verifies() {
        return false;
    }
    let udp = packet[ipv4::offset::PROTOCOL] == Protocol::UDP.0;
    match transport_checksum_at(packet) {
        None => true,
        Some(at) if udp && packet[at..][..2] == [0, 0] => true,
        Some(_) => transport_sum(packet).verifies(),
    }
}

/// Where the transport checksum is, if the protocol has one that we know and the packet holds it.
fn transport_checksum_at(packet: &[u8]) -> Option<usize> {
    let header_len = usize::from(packet[0] & 0x0f) * 4;
    let at = match Protocol(packet[ipv4::offset::PROTOCOL]) {
        Protocol::TCP => tcp::offset::CHECKSUM,
        Protocol::UDP => udp::offset::CHECKSUM,
        Protocol::ICMP => icmp::offset::CHECKSUM,
        _ => return None,
    };
    (header_len + at + 2 <= packet.len()).then_some(header_len + at)
}

/// The sum over what the transport checksum covers.
fn transport_sum(packet: &[u8]) -> Sum {
    let (header, transport) = packet.split_at(usize::from(packet[0] & 0x0f) * 4);
    let protocol = Protocol(header[ipv4::offset::PROTOCOL]);
    // UDP sums as much as its own length says (RFC 768).
    let transport = match protocol {
        Protocol::UDP => {
            let length = u16::from_be_bytes([transport[4], transport[5]]);
            &transport[..usize::from(length).min(transport.len())]
        }
        _ => transport,
    };
    if protocol == Protocol::ICMP {
        return Sum::ZERO.add_bytes(transport);
    }
    Sum::ZERO
        .add_bytes(&header[ipv4::offset::SOURCE..ipv4::HEADER_LEN])
        .add_u16(u16::from(protocol.0))
        .add_u32(transport.len() as u32)
        .add_bytes(transport)
}

fn edited(packet: &[u8], edit: impl FnOnce(&mut [u8])) -> Vec<u8> {
    let mut packet = packet.to_vec();
    edit(&mut packet);
    fill_header_checksum(&mut packet);
    packet
}

fn query(id: u16, sequence: u16) -> [u8; 4] {
    let ([a, b], [c, d]) = (id.to_be_bytes(), sequence.to_be_bytes());
    [a, b, c, d]
}

fn concat(first: &[u8], second: &[u8]) -> Vec<u8> {
    [first, second].concat()
}

fn len_u16(len: usize) -> u16 {
    u16::try_from(len).expect("a packet of at most 65,535 bytes")
}

fn v4(addr: IpAddr) -> Ipv4Addr {
    match addr {
        IpAddr::V4(addr) => addr,
        IpAddr::V6(_) => panic!("only IPv4 packets are made here"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_checksum_of_a_known_packet() {
        let mut header = [
            0x45, 0x00, 0x00, 0x73, 0x00, 0x00, 0x40, 0x00, 0x40, 0x11, 0x00, 0x00, 0xc0, 0xa8,
            0x00, 0x01, 0xc0, 0xa8, 0x00, 0xc7,
        ];

        fill_header_checksum(&mut header);

        assert_eq!(header[10..12], [0xb8, 0x61]);
    }

    #[test]
    fn any_flipped_bit_is_noticed() {
        let (source, destination) = (at("192.168.1.3:40000"), at("203.0.113.178:8888"));
        for packet in [
            udp(source, destination, b"odd"),
            tcp(source, destination, Flags::SYN, 1, 2, b"odd"),
            echo_request(source, destination.addr, 1, b"odd"),
        ] {
            assert!(checksums_verify(&packet));
            // The first byte says where everything is.
            for bit in 8..packet.len() * 8 {
                let mut packet = packet.clone();
                packet[bit / 8] ^= 1 << (bit % 8);

                assert!(!checksums_verify(&packet), "bit {bit}");
            }
        }
    }
}
