//! What an IPv4 packet is, as far as it takes to say whose it is.
//!
//! Nothing is judged here: a packet that cannot be read is [`Kind::Unreadable`], and the engine, to
//! which it is punted, says what is wrong with it.

use masq_flow::key::{Key4, unpack_ports};
use masq_wire::Protocol;
use masq_wire::icmp::{self, Class};

use crate::skb::Skb;

/// The longest IPv4 header, and as much of what follows as is looked at.
const LOOKED_AT: u32 = 60 + 8;

/// An IPv4 packet.
#[derive(Clone, Copy)]
pub(crate) struct Packet {
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
    /// A fragment. Only reassembled does it show whose it is.
    Fragment,
    /// Too short, or not IPv4 after all.
    Unreadable,
}

/// Reads the packet whose IPv4 header begins at `start`; none if it is shorter than such a header.
#[inline(always)]
pub(crate) fn packet(skb: Skb<'_>, start: u32) -> Option<Packet> {
    skb.pull(start + LOOKED_AT);
    let start = start as usize;
    let header = skb.read::<20>(start)?;
    let [first, _, _, _, _, _, f0, f1, _, protocol, _, _, s0, s1, s2, s3, d0, d1, d2, d3] = header;
    let source = u32::from_ne_bytes([s0, s1, s2, s3]);
    let destination = u32::from_ne_bytes([d0, d1, d2, d3]);
    let mut key = Key4 { source, destination, ports: 0, protocol };
    let length = usize::from(first & 0x0f) * 4;
    if first >> 4 != 4 || length < 20 {
        return Some(Packet { key, kind: Kind::Unreadable });
    }
    // More fragments, or an offset: RFC 791, 3.1.
    if u16::from_be_bytes([f0, f1]) & 0x3fff != 0 {
        return Some(Packet { key, kind: Kind::Fragment });
    }
    let kind = transport(skb, start + length, &mut key);
    Some(Packet { key, kind })
}

#[inline(always)]
fn transport(skb: Skb<'_>, start: usize, key: &mut Key4) -> Kind {
    match Protocol(key.protocol) {
        Protocol::TCP | Protocol::UDP => match skb.read::<4>(start) {
            Some(ports) => {
                key.ports = u32::from_ne_bytes(ports);
                Kind::Ports
            }
            None => Kind::Unreadable,
        },
        Protocol::ICMP => match skb.read::<8>(start) {
            Some([kind, _, _, _, i0, i1, _, _]) => icmp(kind, [i0, i1], key),
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
