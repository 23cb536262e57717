//! A session as a plain value: everything that was decided about it.

use bitflags::bitflags;
use masq_wire::checksum::Delta;
use masq_wire::{Protocol, Tuple};

use crate::direction::{Direction, PerDirection};
use crate::nexthop::NextHopId;

/// Two tuples that belong together, and how packets with them are treated.
///
/// ```text
///    inside host                gateway                     remote
///         │ ── original ──────►   │   ── reply reversed ──────► │
///         │ ◄── original reversed │   ◄────────────── reply ──  │
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Session {
    /// The tuple of the first packet, as it arrived.
    pub original: Tuple,
    /// The tuple of an answer, as it arrives: source is the remote, destination is the outside.
    pub reply: Tuple,
    /// What else there is to know.
    pub flags: Flags,
    /// The timeout class; its meaning is the engine's.
    pub class: u8,
    /// The state of the TCP automaton; its meaning is the engine's.
    pub state: u8,
    /// Where translated packets of each direction go.
    pub next_hops: PerDirection<NextHopId>,
    /// The interface at which packets of each direction arrive, by index; 0 where any will do.
    pub interfaces: PerDirection<u32>,
    /// The policy that this session was last judged by.
    pub epoch: u32,
    /// The rules that the session matched, by number; 0 for none.
    pub rule_path: u32,
    /// When the first packet came, in seconds of `CLOCK_MONOTONIC`.
    pub created: u32,
}

impl Session {
    /// The tuple that packets of `direction` arrive with.
    #[must_use]
    pub const fn arriving(&self, direction: Direction) -> &Tuple {
        match direction {
            Direction::Egress => &self.original,
            Direction::Ingress => &self.reply,
        }
    }

    /// The tuple that packets of `direction` leave with.
    #[must_use]
    pub const fn leaving(&self, direction: Direction) -> Tuple {
        let answer = self.arriving(direction.reverse());
        Tuple { protocol: answer.protocol, source: answer.destination, destination: answer.source }
    }

    /// How the addresses change the checksum of a packet of the original direction. The way back is
    /// the inverse.
    #[must_use]
    pub fn address_delta(&self) -> Delta {
        let (old, new) = (&self.original, self.leaving(Direction::Egress));
        Delta::of_addr(old.source.addr, new.source.addr)
            .combine(Delta::of_addr(old.destination.addr, new.destination.addr))
    }

    /// How the ports (or ICMP identifier) change the checksum of a packet of the original
    /// direction. The way back is the inverse.
    #[must_use]
    pub fn port_delta(&self) -> Delta {
        let (old, new) = (&self.original, self.leaving(Direction::Egress));
        Delta::of_u16(old.source.port, new.source.port)
            .combine(Delta::of_u16(old.destination.port, new.destination.port))
    }
}

bitflags! {
    /// What a record says beside tuples and next hops.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct Flags: u16 {
        /// Every packet goes to the engine: a helper listens, or a rule differs by packet.
        const PUNT = 1;
        /// Both ends are inside.
        const HAIRPIN = 1 << 1;
        /// An answer has been seen, so the mapping is in use.
        const ANSWERED = 1 << 2;
        /// The session was let in by a forwarding rule, not begun from inside.
        const FORWARDED = 1 << 3;
        /// Packets leave as they arrive: each tuple is the other's reverse, and there is no mapping.
        const UNTRANSLATED = 1 << 4;
    }
}

/// The session cannot be held by a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unencodable {
    /// Source and destination of one tuple are of different families.
    #[error("a tuple mixes IPv4 and IPv6")]
    MixedFamilies,
    /// Packets do not change their protocol, except between ICMP and ICMPv6.
    #[error("the two tuples have different protocols")]
    Protocols,
    /// Packets of both directions would look the same.
    #[error("both tuples are the same")]
    SameTuples,
}

/// What a packet's protocol is called on the other side: ICMP changes with the family (RFC 7915).
pub(crate) fn translated_protocol(
    protocol: Protocol,
    arriving_v6: bool,
    leaving_v6: bool,
) -> Protocol {
    match (arriving_v6, leaving_v6) {
        (true, false) if protocol == Protocol::ICMPV6 => Protocol::ICMP,
        (false, true) if protocol == Protocol::ICMP => Protocol::ICMPV6,
        (true | false, _) => protocol,
    }
}
