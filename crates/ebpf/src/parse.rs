//! What an IPv4 packet is, as far as it takes to say whose it is.
//!
//! Nothing is judged here: a packet that cannot be read is [`Kind::Unreadable`], and the engine, to
//! which it is punted, says what is wrong with it.

use masq_flow::key::{Key4, unpack_ports};
use masq_wire::Protocol;
use masq_wire::checksum::Sum;
use masq_wire::icmp::{self, Class};

use crate::bytes::Bytes;

/// A header without options, and as much of what follows as is looked at. Drivers that put headers
/// apart from data put apart no less.
pub(crate) const USUALLY_LOOKED_AT: u32 = 20 + 20;
/// The same of the longest header.
pub(crate) const LOOKED_AT: u32 = 60 + 20;
/// As much of an ICMP error: its headers, and those of the packet that it quotes (RFC 792).
pub(crate) const LOOKED_AT_IN_ERROR: u32 = 60 + 8 + 60 + 8;
/// Where the quoted packet begins in an ICMP error.
const QUOTED_AT: usize = 8;

/// An IPv4 packet.
#[derive(Clone, Copy)]
pub(crate) struct Packet {
    /// Its header, without options.
    pub(crate) header: Header,
    /// Its tuple. Ports are zero where the kind says that there are none.
    pub(crate) key: Key4,
    pub(crate) kind: Kind,
}

impl Packet {
    /// The destination port, or the identifier of a reply.
    #[inline(always)]
    pub(crate) fn port(&self) -> u16 {
        let (_, port) = unpack_ports(self.key.ports);
        port
    }
}

/// What follows the IPv4 header.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// TCP or UDP, with ports.
    Ports,
    /// An ICMP query, with an identifier for the source port.
    Request,
    /// The answer to one, with an identifier for the destination port.
    Reply,
    /// An ICMP error: what it is about stands inside.
    IcmpError,
    /// Other ICMP: redirects, router discovery, unknown types.
    IcmpOther,
    /// A protocol without ports that the gateway understands.
    Portless,
    /// A fragment that follows another. Only reassembled does it show whose it is.
    Fragment,
    /// The first fragment, with the tuple of the whole. That is the engine's to judge, but other
    /// packets of its session must not overtake it.
    FirstFragment,
    /// Too short, or not IPv4 after all.
    Unreadable,
}

impl Kind {
    /// Whether nobody but the engine can say whose it is, if it is translated.
    #[inline(always)]
    pub(crate) fn is_in_parts_or_error(self) -> bool {
        matches!(self, Self::Fragment | Self::FirstFragment | Self::IcmpError)
    }

    /// Whether the packet's tuple may be that of a session.
    #[inline(always)]
    pub(crate) fn has_tuple(self) -> bool {
        match self {
            Self::FirstFragment | Self::Ports | Self::Request | Self::Reply | Self::Portless => {
                true
            }
            Self::IcmpError | Self::IcmpOther | Self::Fragment | Self::Unreadable => false,
        }
    }
}

/// The IPv4 header without options, in words as they lie in the packet (RFC 791 §3.1).
#[derive(Clone, Copy)]
pub(crate) struct Header([u32; 5]);

impl Header {
    /// Where the last three words begin: time to live, protocol and checksum, and both addresses.
    pub(crate) const TAIL: usize = 8;

    #[inline(always)]
    pub(crate) fn version(self) -> u8 {
        let [first, ..] = self.0[0].to_ne_bytes();
        first >> 4
    }

    /// The length of the header with its options.
    #[inline(always)]
    pub(crate) fn length(self) -> usize {
        let [first, ..] = self.0[0].to_ne_bytes();
        usize::from(first & 0x0f) * 4
    }

    #[inline(always)]
    pub(crate) fn total_length(self) -> u16 {
        let [_, _, high, low] = self.0[0].to_ne_bytes();
        u16::from_be_bytes([high, low])
    }

    /// Whether it has an offset, or more fragments follow.
    #[inline(always)]
    pub(crate) fn is_fragment(self) -> bool {
        self.fragment() & 0x3fff != 0
    }

    /// Whether something comes before what follows the header.
    #[inline(always)]
    pub(crate) fn has_offset(self) -> bool {
        self.fragment() & 0x1fff != 0
    }

    #[inline(always)]
    fn fragment(self) -> u16 {
        let [_, _, high, low] = self.0[1].to_ne_bytes();
        u16::from_be_bytes([high, low])
    }

    #[inline(always)]
    pub(crate) fn ttl(self) -> u8 {
        let [ttl, ..] = self.0[2].to_ne_bytes();
        ttl
    }

    #[inline(always)]
    pub(crate) fn protocol(self) -> u8 {
        let [_, protocol, ..] = self.0[2].to_ne_bytes();
        protocol
    }

    #[inline(always)]
    pub(crate) fn checksum(self) -> u16 {
        let [_, _, high, low] = self.0[2].to_ne_bytes();
        u16::from_be_bytes([high, low])
    }

    #[inline(always)]
    pub(crate) fn source(self) -> u32 {
        self.0[3]
    }

    #[inline(always)]
    pub(crate) fn destination(self) -> u32 {
        self.0[4]
    }

    /// Whether a header without options is intact.
    #[inline(always)]
    pub(crate) fn verifies(self) -> bool {
        let [a, b, c, d, e] = self.0;
        // A sum does not depend on the order of bytes (RFC 1071 §2B).
        Sum::ZERO.add_u32(a).add_u32(b).add_u32(c).add_u32(d).add_u32(e).verifies()
    }
}

/// Reads the packet whose IPv4 header begins at `start`; none if it is shorter than such a header.
#[inline(always)]
pub(crate) fn packet<B: Bytes>(bytes: B, start: usize) -> Option<Packet> {
    let header = Header(bytes.read(start)?);
    let (source, destination) = (header.source(), header.destination());
    let mut key = Key4 { source, destination, ports: 0, protocol: header.protocol() };
    let kind = if header.version() != 4 || header.length() < 20 {
        Kind::Unreadable
    } else if header.has_offset() {
        Kind::Fragment
    } else {
        let kind = transport(bytes, start + header.length(), &mut key);
        match header.is_fragment() {
            true if kind.has_tuple() => Kind::FirstFragment,
            true => Kind::Fragment,
            false => kind,
        }
    };
    Some(Packet { header, key, kind })
}

/// Reads the packet that an ICMP error quotes.
#[inline(always)]
pub(crate) fn quoted<B: Bytes>(bytes: B, start: usize, error: &Packet) -> Option<Packet> {
    packet(bytes, start + error.header.length() + QUOTED_AT)
}

#[inline(always)]
fn transport<B: Bytes>(bytes: B, start: usize, key: &mut Key4) -> Kind {
    match Protocol(key.protocol) {
        Protocol::TCP | Protocol::UDP => match bytes.read(start) {
            Some(ports) => {
                key.ports = ports;
                Kind::Ports
            }
            None => Kind::Unreadable,
        },
        Protocol::ICMP => match bytes.read::<[u32; 2]>(start) {
            Some([first, second]) => {
                let ([kind, ..], [i0, i1, ..]) = (first.to_ne_bytes(), second.to_ne_bytes());
                icmp(kind, [i0, i1], key)
            }
            None => Kind::Unreadable,
        },
        _ => Kind::Portless,
    }
}

#[inline(always)]
fn icmp(kind: u8, [i0, i1]: [u8; 2], key: &mut Key4) -> Kind {
    match icmp::class(kind) {
        Class::Request => {
            key.ports = u32::from_ne_bytes([i0, i1, 0, 0]);
            Kind::Request
        }
        Class::Reply => {
            key.ports = u32::from_ne_bytes([0, 0, i0, i1]);
            Kind::Reply
        }
        // A redirect quotes a packet, but speaks to the router that sent it: RFC 792.
        Class::Error if kind != icmp::kind::REDIRECT => Kind::IcmpError,
        Class::Error | Class::Other => Kind::IcmpOther,
    }
}
