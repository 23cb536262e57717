//! Rewriting one end of a packet, wherever the packet is.
//!
//! The same code rewrites a packet and a packet quoted by an ICMP error. It works on the bytes from the
//! IPv4 header on and knows, by [`Kind`], where ports and checksums are. It returns the sum of
//! everything it changed, checksums included, for the sake of an enclosing checksum.
//!
//! ```text
//!              port of the source   of the destination   checksum       over addresses?
//!   TCP                0                    2               16               yes
//!   UDP                0                    2                6 (0 = none)    yes
//!   ICMP request       4 (identifier)       –                2               no
//!   ICMP reply         –                    4 (identifier)   2               no
//!   UDP-Lite, DCCP     –                    –                6               yes
//! ```
//!
//! UDP-Lite and DCCP are translated by address alone, like every protocol unknown here, but their
//! checksums cover the addresses and would be wrong afterwards (RFC 5597 REQ-11).

use core::net::{IpAddr, Ipv4Addr};

use crate::checksum::Delta;
use crate::icmp::{self, Class};
use crate::{Endpoint, Protocol, ipv4, tcp, udp};

/// How much of a transport header is needed to know its kind and its ports (RFC 792 quotes this much).
pub(crate) const MIN_TRANSPORT_LEN: usize = 8;

/// What follows the IPv4 header, as far as rewriting is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// DCCP or UDP-Lite.
    AddressChecksummed,
    FragmentTail,
    IcmpError,
    IcmpOther,
    IcmpReply,
    IcmpRequest,
    Other,
    Tcp,
    Udp,
}

impl Kind {
    /// The kind of what follows the header, by its first bytes.
    ///
    /// A transport header of TCP, UDP or ICMP has at least [`MIN_TRANSPORT_LEN`] bytes; the caller has
    /// checked it.
    pub(crate) fn of(header: &ipv4::Header, transport: &[u8]) -> Self {
        if header.fragment_offset() > 0 {
            return Self::FragmentTail;
        }
        match header.protocol() {
            Protocol::TCP => Self::Tcp,
            Protocol::UDP => Self::Udp,
            Protocol::ICMP => match icmp::class(transport[icmp::offset::KIND]) {
                Class::Error => Self::IcmpError,
                Class::Other => Self::IcmpOther,
                Class::Reply => Self::IcmpReply,
                Class::Request => Self::IcmpRequest,
            },
            Protocol::DCCP | Protocol::UDP_LITE if transport.len() >= MIN_TRANSPORT_LEN => {
                Self::AddressChecksummed
            }
            _ => Self::Other,
        }
    }

    const fn port_at(self, end: End) -> Option<usize> {
        match (self, end) {
            (Self::Tcp | Self::Udp, End::Source) => Some(udp::offset::SOURCE_PORT),
            (Self::Tcp | Self::Udp, End::Destination) => Some(udp::offset::DESTINATION_PORT),
            (Self::IcmpRequest, End::Source) | (Self::IcmpReply, End::Destination) => {
                Some(icmp::offset::IDENTIFIER)
            }
            (
                Self::AddressChecksummed
                | Self::FragmentTail
                | Self::IcmpError
                | Self::IcmpOther
                | Self::IcmpReply
                | Self::IcmpRequest
                | Self::Other,
                End::Source | End::Destination,
            ) => None,
        }
    }

    const fn checksum(self) -> Checksum {
        match self {
            Self::AddressChecksummed => Checksum::WithPseudoHeader(udp::offset::CHECKSUM),
            Self::IcmpReply | Self::IcmpRequest => Checksum::Plain(icmp::offset::CHECKSUM),
            Self::Tcp => Checksum::WithPseudoHeader(tcp::offset::CHECKSUM),
            Self::Udp => Checksum::Udp(udp::offset::CHECKSUM),
            Self::FragmentTail | Self::IcmpError | Self::IcmpOther | Self::Other => Checksum::None,
        }
    }
}

/// Where the transport checksum is, and what it covers.
enum Checksum {
    /// None that rewriting touches.
    None,
    /// The message only.
    Plain(usize),
    /// As with pseudo-header, but zero says that there is none.
    Udp(usize),
    /// The addresses too.
    WithPseudoHeader(usize),
}

/// Which end of a packet is rewritten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Source,
    Destination,
}

impl End {
    const fn addr_at(self) -> usize {
        match self {
            Self::Source => ipv4::offset::SOURCE,
            Self::Destination => ipv4::offset::DESTINATION,
        }
    }
}

/// The endpoint that a packet carries at one end.
pub(crate) fn endpoint(packet: &[u8], header_len: usize, kind: Kind, end: End) -> Endpoint {
    let addr = Ipv4Addr::from_bits(u32_at(packet, end.addr_at()));
    let port = kind.port_at(end).map_or(0, |at| u16_at(packet, header_len + at));
    Endpoint::v4(addr, port)
}

/// Writes an endpoint over one end of a packet and mends every checksum that it has; returns what the
/// whole changed in sum. A checksum that a quoted packet holds only half of, or not at all, stays.
///
/// # Panics
///
/// If the endpoint's address is not IPv4: sending the packet unchanged would be worse.
pub(crate) fn rewrite(
    packet: &mut [u8],
    header_len: usize,
    kind: Kind,
    end: End,
    to: Endpoint,
) -> Delta {
    let IpAddr::V4(to_addr) = to.addr else {
        panic!("an IPv4 packet cannot carry the address {}", to.addr);
    };

    let addr = Delta::of_u32(u32_at(packet, end.addr_at()), to_addr.to_bits());
    packet[end.addr_at()..][..4].copy_from_slice(&to_addr.octets());
    let header = mend(packet, ipv4::offset::CHECKSUM, |checksum| addr.apply(checksum));

    let port = kind.port_at(end).map_or(Delta::NONE, |at| {
        let at = header_len + at;
        let delta = Delta::of_u16(u16_at(packet, at), to.port);
        put_u16(packet, at, to.port);
        delta
    });

    let both = addr.combine(port);
    let transport = match kind.checksum() {
        Checksum::None => Delta::NONE,
        Checksum::Plain(at) => {
            let zero = is_zero_apart_from(packet, header_len, at);
            mend(packet, header_len + at, |checksum| match port.apply(checksum) {
                0 if zero => 0xffff,
                checksum => checksum,
            })
        }
        Checksum::Udp(at) => mend(packet, header_len + at, |checksum| both.apply_udp(checksum)),
        Checksum::WithPseudoHeader(at) => {
            mend(packet, header_len + at, |checksum| both.apply(checksum))
        }
    };
    both.combine(header).combine(transport)
}

/// Whether a whole message has nothing but zeros around its checksum.
///
/// A translated echo reply may end up so (identifier, sequence number and data all zero). It is the one
/// message whose sum is 0x0000, which a difference cannot tell from 0xffff.
fn is_zero_apart_from(packet: &[u8], header_len: usize, checksum_at: usize) -> bool {
    let whole = u16_at(packet, ipv4::offset::FRAGMENT) & ipv4::MORE_FRAGMENTS == 0
        && usize::from(u16_at(packet, ipv4::offset::TOTAL_LEN)) == packet.len();
    let (before, after) = packet[header_len..].split_at(checksum_at);
    whole && before.iter().chain(&after[2..]).all(|byte| *byte == 0)
}

/// Replaces a checksum, if it is there, and returns what that changes in sum.
pub(crate) fn mend(bytes: &mut [u8], at: usize, change: impl Fn(u16) -> u16) -> Delta {
    if at + 2 > bytes.len() {
        return Delta::NONE;
    }
    let old = u16_at(bytes, at);
    let new = change(old);
    put_u16(bytes, at, new);
    Delta::of_u16(old, new)
}

pub(crate) fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

pub(crate) fn put_u16(bytes: &mut [u8], at: usize, value: u16) {
    bytes[at..][..2].copy_from_slice(&value.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::make::{self, at};
    use crate::tcp::Flags;
    use crate::{Packet, Tuple, strategy};

    #[test]
    fn rewriting_gives_the_packet_that_the_gateway_would_have_sent() {
        let tcp = |source| make::tcp(source, remote(), Flags::SYN, 1, 0, &[]);
        let mut bytes = tcp(inside());

        Packet::parse(&mut bytes).unwrap().rewrite_source(outside());

        assert_eq!(bytes, tcp(outside()));
    }

    #[test]
    fn udp_without_checksum_stays_so() {
        let mut bytes = make::udp_without_checksum(inside(), remote(), b"data");
        let mut packet = Packet::parse(&mut bytes).unwrap();

        packet.rewrite_source(outside());

        assert_eq!(packet.payload()[udp::offset::CHECKSUM..][..2], [0, 0]);
        assert_eq!(packet.into_bytes(), make::udp_without_checksum(outside(), remote(), b"data"));
    }

    #[test]
    fn ports_of_address_only_protocols_are_not_written() {
        let payload = [0x55; 16];
        let mut bytes = make::ip(Protocol::SCTP, inside().addr, remote().addr, &payload);
        let mut packet = Packet::parse(&mut bytes).unwrap();

        packet.rewrite_source(outside());

        let expected = make::ip(Protocol::SCTP, outside().addr, remote().addr, &payload);
        assert_eq!(packet.into_bytes(), expected);
    }

    #[test]
    fn rfc_5597_req_11_valid_checksum_stays_valid_where_only_the_address_changes() {
        for protocol in [Protocol::DCCP, Protocol::UDP_LITE] {
            let mut bytes = make::ip(protocol, inside().addr, remote().addr, &[0x55; 16]);
            let before = pseudo_sum(&bytes);
            let mut packet = Packet::parse(&mut bytes).unwrap();

            packet.rewrite_source(outside());

            assert_eq!(packet.source(), Ipv4Addr::new(203, 0, 113, 1));
            assert_eq!(pseudo_sum(&bytes), before);
        }
    }

    #[test]
    fn endpoint_of_a_later_fragment_changes_the_address_only() {
        let fragments = make::fragments(&make::udp(inside(), remote(), &[0xff; 64]), 44);
        let expected = make::fragments(&make::udp(outside(), remote(), &[0xff; 64]), 44);
        for (mut fragment, expected) in fragments.into_iter().zip(expected) {
            Packet::parse(&mut fragment).unwrap().rewrite_source(outside());

            assert_eq!(fragment, expected);
        }
    }

    #[test]
    fn message_of_zeros_gets_the_checksum_of_zeros() {
        let reply = |id, zeros| {
            make::echo_reply(remote().addr, inside().with_port(id), 0, &[0; 64][..zeros])
        };
        for zeros in [0, 1, 56] {
            let mut bytes = reply(0x1234, zeros);

            Packet::parse(&mut bytes).unwrap().rewrite_destination(inside().with_port(0));
            assert_eq!(bytes, reply(0, zeros));
            assert_eq!(bytes[22..24], [0xff, 0xff]);

            Packet::parse(&mut bytes).unwrap().rewrite_destination(inside().with_port(0x1234));
            assert_eq!(bytes, reply(0x1234, zeros));
        }
    }

    #[test]
    #[should_panic(expected = "an IPv4 packet cannot carry the address 2001:db8::1")]
    fn address_of_another_family_is_a_mistake() {
        let mut bytes = make::udp(inside(), remote(), b"data");

        Packet::parse(&mut bytes).unwrap().rewrite_source(at("[2001:db8::1]:1"));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(3000))]

        #[test]
        fn rewriting_equals_full_computation(
            before in strategy::datagram(),
            source in strategy::endpoint(),
            destination in strategy::endpoint(),
        ) {
            let mut bytes = before;
            let mut packet = Packet::parse(&mut bytes).unwrap();
            let tuple = packet.tuple().unwrap();

            packet.rewrite_source(source);
            packet.rewrite_destination(destination);

            let after = packet.tuple().unwrap();
            prop_assert_eq!(after.source.addr, source.addr);
            prop_assert_eq!(after.destination.addr, destination.addr);
            prop_assert!([source.port, tuple.source.port].contains(&after.source.port));
            let mut full = bytes.clone();
            make::fill_checksums(&mut full);
            prop_assert_eq!(&bytes, &full);
            prop_assert!(make::checksums_verify(&bytes));
        }

        #[test]
        fn there_and_back_is_identity(
            before in strategy::packet(),
            source in strategy::endpoint(),
            destination in strategy::endpoint(),
        ) {
            let mut bytes = before.clone();
            let mut packet = Packet::parse(&mut bytes).unwrap();
            let was = packet.tuple().unwrap_or_else(|| addresses(&packet));

            packet.rewrite_source(source);
            packet.rewrite_destination(destination);
            packet.rewrite_source(was.source);
            packet.rewrite_destination(was.destination);

            prop_assert_eq!(bytes, before);
        }

        #[test]
        fn corrupted_in_is_corrupted_out(
            packet in prop_oneof![strategy::tcp(), strategy::udp(), strategy::icmp_query()],
            at in any::<prop::sample::Index>(),
            flip in 1..=255_u8,
            source in strategy::endpoint(),
        ) {
            let mut bytes = packet;
            let start = ipv4::HEADER_LEN;
            let index = start + at.index(bytes.len() - start);
            bytes[index] ^= flip;
            // Some flips make another packet of it, and some leave it valid (0 and 0xffff).
            if make::checksums_verify(&bytes) {
                return Ok(());
            }
            let Ok(mut packet) = Packet::parse(&mut bytes) else { return Ok(()) };
            if packet.tuple().is_none() {
                return Ok(());
            }

            packet.rewrite_source(source);

            prop_assert!(!make::checksums_verify(packet.bytes()));
        }

        #[test]
        fn fragments_rewritten_one_by_one_equal_the_datagram_rewritten(
            mut datagram in strategy::datagram(),
            source in strategy::endpoint(),
        ) {
            // The sum of a message that is all zeros cannot be seen from its first fragment.
            prop_assume!(datagram[20..].iter().any(|byte| *byte != 0));
            let mtu = usize::from(datagram[0] & 0x0f) * 4 + 24;
            let mut fragments = make::fragments(&datagram, mtu);

            for fragment in &mut fragments {
                Packet::parse(fragment).unwrap().rewrite_source(source);
            }
            Packet::parse(&mut datagram).unwrap().rewrite_source(source);

            prop_assert_eq!(fragments, make::fragments(&datagram, mtu));
        }
    }

    fn inside() -> Endpoint {
        at("192.168.1.3:40000")
    }

    fn outside() -> Endpoint {
        at("203.0.113.1:61000")
    }

    fn remote() -> Endpoint {
        at("203.0.113.178:8888")
    }

    /// What the addresses of a packet without tuple are restored from.
    fn addresses(packet: &Packet<'_>) -> Tuple {
        Tuple::new(
            packet.protocol(),
            Endpoint::new(IpAddr::V4(packet.source()), 0),
            Endpoint::new(IpAddr::V4(packet.destination()), 0),
        )
    }

    /// The folded sum that the checksum of a protocol like UDP-Lite makes constant.
    fn pseudo_sum(packet: &[u8]) -> u16 {
        crate::checksum::Sum::ZERO.add_bytes(&packet[ipv4::offset::SOURCE..]).fold()
    }
}
