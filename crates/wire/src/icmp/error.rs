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

    /// "Destination unreachable" with a code of [`unreachable`].
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
