//! Making an ICMP error about a packet (RFC 792, RFC 1812 §4.3.2).

use core::net::Ipv4Addr;

use zerocopy::IntoBytes;

use crate::checksum::Sum;
use crate::icmp::{self, kind, time_exceeded, unreachable};
use crate::ipv4::{self, BufferTooSmall};
use crate::{Packet, Protocol, Transport};

/// The longest error: as much of the packet is quoted as fits (RFC 1812 §4.3.2.3).
pub const MAX_LEN: usize = ipv4::MIN_REASSEMBLED_LEN;

/// The precedence of errors, "internetwork control" (RFC 1812 §4.3.2.5), as type of service.
pub const INTERNETWORK_CONTROL: u8 = 0xc0;

/// What an error says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Report {
    pub kind: u8,
    pub code: u8,
    /// The four bytes after the checksum.
    pub rest: [u8; 4],
}

impl Report {
    /// The packet's TTL ended here.
    pub const TTL_EXCEEDED: Self =
        Self { kind: kind::TIME_EXCEEDED, code: time_exceeded::TTL, rest: [0; 4] };

    /// Fragments of the datagram were missing for too long.
    pub const REASSEMBLY_EXCEEDED: Self =
        Self { kind: kind::TIME_EXCEEDED, code: time_exceeded::REASSEMBLY, rest: [0; 4] };

    /// "Destination unreachable" with a code of [`icmp::unreachable`](mod@icmp::unreachable).
    #[must_use]
    pub const fn unreachable(code: u8) -> Self {
        Self { kind: kind::DESTINATION_UNREACHABLE, code, rest: [0; 4] }
    }

    /// The packet exceeds the next hop's MTU and may not be fragmented (RFC 1191).
    #[must_use]
    pub const fn fragmentation_needed(mtu: u16) -> Self {
        let [high, low] = mtu.to_be_bytes();
        Self {
            kind: kind::DESTINATION_UNREACHABLE,
            code: unreachable::FRAGMENTATION_NEEDED,
            rest: [0, 0, high, low],
        }
    }

    /// The header's byte at `pointer` is at fault.
    #[must_use]
    pub const fn parameter_problem(pointer: u8) -> Self {
        Self { kind: kind::PARAMETER_PROBLEM, code: 0, rest: [pointer, 0, 0, 0] }
    }
}

/// How an error travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Envelope {
    pub source: Ipv4Addr,
    pub tos: u8,
    pub ttl: u8,
    pub identification: u16,
}

/// Builds an error about a packet, addressed to its source; returns the error's length.
///
/// # Errors
///
/// If the buffer is too short; one of [`MAX_LEN`] never is.
pub fn build(
    report: Report,
    envelope: Envelope,
    about: &Packet<'_>,
    out: &mut [u8],
) -> Result<usize, BufferTooSmall> {
    const OVERHEAD: usize = ipv4::HEADER_LEN + icmp::HEADER_LEN;
    let quoted = &about.bytes()[..about.total_len().min(MAX_LEN - OVERHEAD)];
    let total_len = OVERHEAD + quoted.len();
    let out = out.get_mut(..total_len).ok_or(BufferTooSmall { needed: total_len })?;
    let (header, message) = out.split_at_mut(ipv4::HEADER_LEN);

    let fields = ipv4::Header {
        version_ihl: 0x45,
        tos: envelope.tos,
        // At most MAX_LEN.
        total_len: (total_len as u16).into(),
        identification: envelope.identification.into(),
        fragment: 0.into(),
        ttl: envelope.ttl,
        protocol: Protocol::ICMP.0,
        checksum: 0.into(),
        source: envelope.source.to_bits().into(),
        destination: about.source().to_bits().into(),
    };
    header.copy_from_slice(fields.as_bytes());
    ipv4::fill_checksum(header);

    message[icmp::offset::KIND] = report.kind;
    message[icmp::offset::CODE] = report.code;
    message[icmp::offset::CHECKSUM..][..2].fill(0);
    message[icmp::offset::IDENTIFIER..][..4].copy_from_slice(&report.rest);
    message[icmp::HEADER_LEN..].copy_from_slice(quoted);
    let checksum = Sum::ZERO.add_bytes(message).checksum();
    message[icmp::offset::CHECKSUM..][..2].copy_from_slice(&checksum.to_be_bytes());
    Ok(total_len)
}

/// Whether a packet may be answered by an error (RFC 1812 §4.3.2.7).
///
/// Never another error, a later fragment, or a packet that is not from and to a single host. What only the
/// link and the routes know (a broadcast frame, a subnet's broadcast address) is for the caller to exclude.
#[must_use]
pub fn is_permitted(about: &Packet<'_>) -> bool {
    if about.fragment_offset() > 0 {
        return false;
    }
    match about.transport() {
        // What is not a query could be an error of a kind that we do not know.
        Transport::IcmpError(_) | Transport::IcmpOther { .. } | Transport::FragmentTail => false,
        Transport::IcmpQuery(_) | Transport::Other | Transport::Tcp(_) | Transport::Udp(_) => {
            is_single_host(about.source())
                && !about.destination().is_multicast()
                && !about.destination().is_broadcast()
        }
    }
}

fn is_single_host(source: Ipv4Addr) -> bool {
    // Class E (240/4) names no host, and holds the broadcast address.
    let [first, ..] = source.octets();
    first != 0 && !source.is_loopback() && !source.is_multicast() && first < 240
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use proptest::prelude::*;

    use super::*;
    use crate::make::{self, at};
    use crate::tcp::Flags;
    use crate::{Endpoint, strategy};

    const GATEWAY: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 1);
    const ENVELOPE: Envelope = Envelope {
        source: GATEWAY,
        tos: INTERNETWORK_CONTROL | 0x08,
        ttl: 64,
        identification: 0x4242,
    };

    #[test]
    fn error_goes_to_the_sender_and_quotes_its_packet() {
        let about = make::udp(inside(), remote(), b"data");

        let mut error = built(Report::fragmentation_needed(1280), &about);

        let mut packet = Packet::parse(&mut error).unwrap();
        assert_eq!((packet.source(), packet.destination()), (GATEWAY, about_source(&about)));
        assert_eq!((packet.tos(), packet.ttl()), (0xc8, 64));
        assert_eq!(packet.identification(), 0x4242);
        let Transport::IcmpError(view) = packet.transport() else { panic!("{packet}") };
        assert_eq!((view.kind, view.code, view.mtu), (3, 4, Some(1280)));
        assert_eq!(view.extensions_len, 0);
        assert_eq!(packet.quoted().unwrap().unwrap().bytes(), about);
        assert!(make::checksums_verify(&error));
    }

    #[test]
    fn rfc_1812_4_3_2_3_error_is_at_most_576_bytes() {
        for (len, expected) in [(0, 56), (519, 575), (520, 576), (521, 576), (1472, 576)] {
            let about = make::udp(inside(), remote(), &[7; 1472][..len]);

            let error = built(Report::TTL_EXCEEDED, &about);

            assert_eq!(error.len(), expected);
            assert_eq!(error[28..], about[..expected - 28]);
            assert!(make::checksums_verify(&error));
        }
    }

    #[test]
    fn reports_have_their_types_and_codes() {
        let head = |report: Report| (report.kind, report.code, report.rest);

        assert_eq!(head(Report::TTL_EXCEEDED), (11, 0, [0; 4]));
        assert_eq!(head(Report::REASSEMBLY_EXCEEDED), (11, 1, [0; 4]));
        assert_eq!(head(Report::unreachable(13)), (3, 13, [0; 4]));
        assert_eq!(head(Report::fragmentation_needed(0x0506)), (3, 4, [0, 0, 5, 6]));
        assert_eq!(head(Report::parameter_problem(20)), (12, 0, [20, 0, 0, 0]));
    }

    #[test]
    fn short_buffer_is_refused() {
        let mut about = make::udp(inside(), remote(), b"data");
        let about = Packet::parse(&mut about).unwrap();

        assert_eq!(
            build(Report::TTL_EXCEEDED, ENVELOPE, &about, &mut [0; 59]),
            Err(BufferTooSmall { needed: 60 })
        );
    }

    #[test]
    fn rfc_1812_4_3_2_7_what_may_not_be_answered() {
        let host = inside().addr;
        let fragments = make::fragments(&make::udp(inside(), remote(), &[0; 64]), 44);
        let udp = |source: &str, destination: &str| make::udp(at(source), at(destination), b"");
        let forbidden = [
            make::icmp_error(host, remote().addr, Report::TTL_EXCEEDED, &udp_packet()),
            make::icmp(host, remote().addr, 5, 1, [0; 4], &udp_packet()),
            make::icmp(host, remote().addr, 40, 0, [0; 4], &[]),
            fragments[1].clone(),
            udp("192.168.1.3:1", "255.255.255.255:67"),
            udp("192.168.1.3:1", "224.0.0.251:5353"),
            udp("0.0.0.0:68", "203.0.113.178:67"),
            udp("127.0.0.1:1", "203.0.113.178:1"),
            udp("239.1.1.1:1", "203.0.113.178:1"),
            udp("255.255.255.255:1", "203.0.113.178:1"),
            udp("240.0.0.1:1", "203.0.113.178:1"),
        ];
        for mut packet in forbidden {
            let packet = Packet::parse(&mut packet).unwrap();

            assert!(!is_permitted(&packet), "{packet}");
        }
    }

    #[test]
    fn queries_first_fragments_and_data_may_be_answered() {
        let permitted = [
            udp_packet(),
            make::tcp(inside(), remote(), Flags::SYN, 1, 0, &[]),
            make::echo_request(inside(), remote().addr, 1, &[]),
            make::fragments(&make::udp(inside(), remote(), &[0; 64]), 44).swap_remove(0),
            make::ip(Protocol::GRE, inside().addr, remote().addr, &[]),
        ];
        for mut packet in permitted {
            let packet = Packet::parse(&mut packet).unwrap();

            assert!(is_permitted(&packet), "{packet}");
        }
    }

    proptest! {
        #[test]
        fn errors_built_are_valid(about in strategy::packet(), (kind, code) in any::<(u8, u8)>()) {
            let report = Report { kind, code, rest: [0; 4] };

            let mut error = built(report, &about);

            prop_assert!(make::checksums_verify(&error));
            prop_assert!(Packet::parse(&mut error).is_ok());
        }
    }

    fn built(report: Report, about: &[u8]) -> Vec<u8> {
        let mut about = about.to_vec();
        let about = Packet::parse(&mut about).unwrap();
        let mut out = [0xee; MAX_LEN];
        let len = build(report, ENVELOPE, &about, &mut out).unwrap();
        out[..len].to_vec()
    }

    fn about_source(about: &[u8]) -> Ipv4Addr {
        Packet::parse(&mut about.to_vec()).unwrap().source()
    }

    fn udp_packet() -> Vec<u8> {
        make::udp(inside(), remote(), b"data")
    }

    fn inside() -> Endpoint {
        at("192.168.1.3:40000")
    }

    fn remote() -> Endpoint {
        at("203.0.113.178:8888")
    }
}
